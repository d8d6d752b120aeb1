"""What the rebuilt reports show, as sentences computed from records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dipddpm_utils.faults import FAULTS
from dipddpm_utils.page.compare import difference, frame_of, summary
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import NOT_MEASURED, bullets, comparison, over_seeds_distance, ratio
from dipddpm_utils.page.words import count, number, signed, span
from dipddpm_utils.reports import one_fault
from dipddpm_utils.reports.printed import VARIANTS
from dipddpm_utils.reports.tables import by_label
from dipddpm_utils.reports.tests_b import path_share

BATCH_MARGIN = 0.5  # dB, either way


def not_held(*groups: str) -> str:
    """Said where a section's runs are not in the profile."""
    return f"*This profile does not hold the runs of this section ({', '.join(groups)}).*"


def variants(lab: Any) -> str:
    """Report A's two DIP variants against the DDPM alone at the end of training, corrected and as published."""
    lines = []
    for ending, way in (("-published", "As published"), ("", "Corrected")):
        alone = frame_of(lab.seeds(VARIANTS[0] + ending))
        for name in VARIANTS[1:]:
            gap = difference(frame_of(lab.seeds(name + ending)), alone, "fd", ratio=True)
            lines.append(ratio(f"{way}: FD trained on {look(name).label} outputs over FD alone, equal steps", gap))
    return bullets(lines)


def controls(frames: Mapping[str, pd.DataFrame], dip: str) -> str:
    """Each control against training on the DIP's outputs: whether what the DIP does can be had without it."""
    lines = [
        ratio(f"FD trained on {name} over FD trained on {dip}", difference(frame, frames[dip], "fd", ratio=True))
        for name, frame in frames.items()
        if name != dip
    ]
    return bullets(lines)


def pair_b(lab: Any) -> str:
    """Report B's combined model against its DDPM alone, as published and corrected; seconds with and without the DIP's."""
    alone, combined = (frame_of(lab.seeds(f"{name}-published")) for name in ("b-ddpm", "b-combined"))
    lines = [ratio("As published: FD combined over FD alone", difference(combined, alone, "fd", ratio=True))]
    lines.append(f"Corrected: {corrected_b(lab)}")
    alone, combined = (frame_of(lab.seeds(name)) for name in ("b-ddpm", "b-combined"))
    gap = difference(combined, alone, "train_seconds", ratio=True)
    lines.append(ratio("Corrected: training seconds combined over alone, DIP left out", gap, worse="slower", better="faster"))
    dip = number(float(combined["dip_seconds"].mean()))
    lines.append(f"The DIP takes another {dip} s, beside {number(float(combined['train_seconds'].mean()))} s of training.")
    return bullets(lines)


def corrected_b(lab: Any) -> str:
    """Report B's combined model over its DDPM alone, both corrected: quality at equal steps, and what both cost and reach."""
    alone, combined = (frame_of(lab.seeds(name)) for name in ("b-ddpm", "b-combined"))
    gap = difference(combined, alone, "fd", ratio=True)
    spent = [number(float((frame["train_seconds"] + frame["dip_seconds"]).mean())) for frame in (combined, alone)]
    cover = [number(float(frame["recall"].mean()), 2) for frame in (combined, alone)]
    said = ratio("FD combined over FD alone at equal steps", gap)
    return f"{said} With the DIP it took {spent[0]} s, alone {spent[1]} s; recall {cover[0]} against {cover[1]}."


def timing(lab: Any) -> str:
    """Seconds of an epoch on both data paths, and the share of the published saving that the path explains."""
    record = lab.seeds("b-timing")[0]
    frame = frame_of(lab.seeds("b-timing"))
    decode, memory = (number(float(frame[f"{path}_seconds"].mean())) for path in ("decode", "memory"))
    how = f"extrapolated from {record.run.steps} steps, {record.run.repeats} times each"
    return f"An epoch takes {decode} s decoded image by image and {memory} s from memory ({how}). {path_share(frame)}"


def emphasis(lab: Any) -> str:
    """How a DIP's outputs, and blurred digits, change the strokes against their surroundings."""
    frame = frame_of(lab.seeds("b-dip"))
    if "emphasis" not in frame:
        return ""
    own, blur = (span(summary(frame, name)) for name in ("emphasis", "emphasis_blur"))
    return (
        f"Brightness of strokes against their surroundings, relative to the clean digits: {own} for the DIP, {blur} for a blur."
    )


def restored(lab: Any, name: str) -> str:
    """Restoration by a DIP run: PSNR, its gain over the noisy input, and the distance of its outputs."""
    frame = frame_of(lab.seeds(name))
    gain = ""
    if "psnr_input" in frame:
        more = float((frame["psnr"] - frame["psnr_input"]).mean())
        gain = f", {number(abs(more))} dB {'above' if more > 0 else 'below'} its input"
    features = frame["features"].iloc[0]
    return f"{span(summary(frame, 'psnr'))} dB{gain}; {features} of its outputs for clean images {span(summary(frame, 'fd'))}."


def batch(lab: Any) -> str:
    """Whether report A's batch of 4 may be replaced by the larger one used here, at equal images: within BATCH_MARGIN?"""
    a, b = by_label(lab, "a-batch").values()
    gap = difference(b, a, "psnr")
    if gap is None:
        return NOT_MEASURED
    of_outputs = comparison("Distance of their outputs", difference(b, a, "fd"), a["features"].iloc[0])
    said = (
        f"{of_outputs} Larger batch minus the published one, equal images: {signed(gap)} dB of PSNR, paired over {gap.n} seeds"
    )
    if gap.low is None or gap.high is None:
        return f"{of_outputs} Restoration: **not decidable** from one seed."
    allowed = f"the {BATCH_MARGIN:g} dB either way that are allowed for"
    within = max(-gap.low, gap.high) <= BATCH_MARGIN
    apart = gap.low > BATCH_MARGIN or gap.high < -BATCH_MARGIN
    if within:
        return f"{said}, within {allowed}: **it does not matter** for restoration."
    return f"{said}: **{'it matters' if apart else 'not decidable'}**, {'beyond' if apart else 'not wholly within'} {allowed}."


def faults(lab: Any) -> str:
    """For each report, the fault with the largest effect on the distance, and those whose effect is not told from none."""
    lines = []
    for report in ("A", "B"):
        own = [fault for fault in one_fault.trained() if fault.report == report]
        found = {fault.id: one_fault.effect(lab, fault, one_fault.metric("fd")) for fault in own}
        known = {name: one for name, one in found.items() if not math.isnan(one.size())}
        if not known:
            lines.append(f"Report {report}: {not_held(f'{report.lower()}-only', f'{report.lower()}-without')}")
            continue
        top = max(known, key=lambda name: abs(known[name].size()))
        sides = [
            f"{span(one)} when only {side}" for side, one in zip(("on", "off"), known[top], strict=True) if one is not None
        ]
        like = [name for name, one in known.items() if name != top and _overlap(one, known[top])]
        apart = f" Not told apart from {', '.join(like)}." if like else ""
        lines.append(f"Report {report}: {top} ({FAULTS[top].what}) changes FD most: {', '.join(sides)}.{apart}")
        weak = [name for name, one in known.items() if not any(side is not None and side.decided for side in one)]
        if weak:
            lines.append(f"Report {report}: no effect on FD can be told from none for {', '.join(weak)}.")
    return bullets(lines)


def _overlap(one: one_fault.Effect, other: one_fault.Effect) -> bool:
    """Whether the sizes of two effects, in the setting where each is largest, have intervals in common."""
    (low, high), (other_low, other_high) = _reach(one), _reach(other)
    return low <= other_high and other_low <= high


def _reach(effect: one_fault.Effect) -> tuple[float, float]:
    """The interval of an effect's size; without one (one seed) anything may be its size."""
    largest = max((side for side in effect if side is not None), key=lambda side: abs(side.value))
    if largest.low is None:
        return 0.0, math.inf
    ends = sorted((abs(largest.low), abs(largest.high)))
    return (0.0 if largest.low < 0 < largest.high else ends[0]), ends[1]


def age(lab: Any) -> str:
    """How good the models are on which the claims were judged: a verdict holds for models of that age."""
    lines = []
    for report, name in (("A", "a-ddpm"), ("B", "b-ddpm")):
        if lab.has(name) and lab.has(f"{name[0]}-floor"):
            distance = over_seeds_distance(lab.seeds(name), lab.seeds(f"{name[0]}-floor")[0])
            steps = lab.seeds(name)[0].evals["step"].max()
            lines.append(f"Report {report}'s corrected DDPM alone, after {count(steps)} steps: {distance}.")
    return bullets([*lines, "A verdict holds for models of that age, and says nothing of older ones."]) if lines else ""
