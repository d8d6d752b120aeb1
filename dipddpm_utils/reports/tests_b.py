"""What report B's claims are tested by: shape and contrast of drawn digits, time by data path, slopes over the full grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.judging import shapes
from dipddpm_utils.page.compare import Paired, difference, frame_of, grid_frame, paired, slope, summary
from dipddpm_utils.page.prose import percent
from dipddpm_utils.page.words import in_unit, number, span
from dipddpm_utils.reports import one_fault
from dipddpm_utils.reports.tests_a import Finding, Test, compared, contrast

SAME = 0.05  # relative change of a time that still counts as none, fixed before any run
PAIR = ("b-ddpm", "b-combined")
SUSPECTS = {"FB1": -1, "FB2": -1, "FB3": -1}  # of the combined run: a larger statistic of it speaks against the claim
LEFT_OUT = "DIP seconds left out, as in the report."


# --- how drawn digits look ------------------------------------------------------------------------------------------------


def look_of(measure: Callable[[Any], float], record: Any) -> float:
    """log of a measure of shapes.py over all of a record's last samples; over its grid if the record does not hold that."""
    value = record.metrics.get(measure.__name__)
    value = measure(record.arrays["grid"]) if value is None else value
    return math.log(value) if value > 0 else math.nan


def of_looks(measure: Callable[[Any], float], why: str, unit: str, names: tuple[str, str] = PAIR) -> Test:
    """log(a measure of the first run's samples / of the second's), in the corrected runs and as published."""

    def statistic(record: Any) -> float:
        return look_of(measure, record)

    def test(lab: Any) -> Finding | None:
        endings = ("", "-published") if lab.has(*(f"{name}-published" for name in names)) else ("",)
        effects = [contrast(lab, names, ending, statistic, lambda t: t[names[0]] - t[names[1]]) for ending in endings]
        published = effects[1] if len(effects) > 1 else pd.Series(dtype=float)
        return compared(effects[0], published, "", lambda: one_fault.largest(lab, SUSPECTS, statistic), why=why, unit=unit)

    return test


RAGGED = "Outline over root of the area of the ink, DDPM alone over combined, mean over the last samples."
GREY = "Standard deviation of an image's pixels, DDPM alone over combined, mean over the last samples."
less_ragged = of_looks(shapes.raggedness, RAGGED, "log raggedness, alone over combined")
greyer = of_looks(shapes.contrast, GREY, "log contrast, alone over combined")
greyer_digits = of_looks(
    shapes.contrast, GREY, "log contrast, alone over combined", ("ddpm", "ddpm-on-dip")
)  # without runs of report B's own


# --- time -----------------------------------------------------------------------------------------------------------------


def shorter(alone: str, combined: str) -> Test:
    """log(training seconds alone / combined), both from memory; as published: an epoch decoded over one from memory."""

    def test(lab: Any) -> Finding | None:
        gap = difference(frame_of(lab.seeds(alone)), frame_of(lab.seeds(combined)), "train_seconds", ratio=True)
        if gap is None:
            return None
        about = {"unit": "log seconds, alone over combined", "margin": math.log(1 + SAME)}
        why = f"Equal steps, both from memory; a saving counts beyond {SAME:.0%}. {LEFT_OUT}"
        if not lab.has("b-timing"):
            return Finding(gap, why=why, **about)
        timing = lab.seeds("b-timing")
        before = paths(timing)
        why += f" Same model, an epoch decoded image by image over one from memory: {in_unit(before, about['unit'])}. "
        why += path_share(frame_of(timing))
        return Finding(gap, why=why, published=before, shift=_apart(before, gap), fault="FB1", **about)

    return test


def paths(records: Sequence[Any]) -> Paired:
    """log(seconds of an epoch decoded image by image / from memory), kind epoch_timing: by seed, or one's repeats."""
    ratios = [
        np.log(whole["decode"] / whole["memory"])
        for whole in (record.evals.pivot_table("seconds", "repeat", "path", aggfunc="sum") for record in records)
    ]
    return paired([float(own.mean()) for own in ratios] if len(ratios) > 1 else list(ratios[0]))


def path_share(timing: pd.DataFrame) -> str:
    """How much of the published saving an epoch the data path saves on this machine, as a sentence."""
    shares = timing.assign(
        **{
            name: timing[f"data_saved_seconds{end}"] / timing["published_saved_seconds"]
            for name, end in (("share", ""), ("share_low", "_low"), ("share_high", "_high"))
        }
    )
    share = summary(shares, "share")
    saves = f"{percent(share.value)} [{percent(share.low)}, {percent(share.high)}]"
    printed, saved = f"{timing['published_saved_seconds'].iloc[0]:g} s an epoch", timing["data_saved_seconds"].mean()
    of_ours = percent(float(saved / timing["decode_seconds"].mean()))
    return (
        f"Decoding one by one costs {number(float(saved))} s an epoch more on this machine: {saves} of the published saving of "
        f"{printed}, and {of_ours} of an epoch here."
    )


def _apart(a: Paired, b: Paired) -> Paired | None:
    """a - b of independent effects: half-widths add in quadrature. None if one has no interval."""
    if None in (a.low, a.high, b.low, b.high):
        return None
    half = math.hypot((a.high - a.low) / 2, (b.high - b.low) / 2)
    return Paired(a.value - b.value, a.value - b.value - half, a.value - b.value + half, min(a.n, b.n), None)


# --- settings ---------------------------------------------------------------------------------------------------------------


def slope_in_grid(setting: str, metric: str, unit: str, why: str, *, log: bool = False, same: bool = False) -> Test:
    """Slope over one setting of the full grid, all other settings being balanced; beside it that of the published rows.

    A distance is taken as its logarithm, as everywhere in the audit. same: the change over the whole range as a share of the
    mean, claimed to be within +-SAME.
    """

    def measured(frame: pd.DataFrame) -> Paired | None:
        return slope(_relative(frame, setting, metric) if same else _logarithm(frame, setting, metric), metric, log=log)

    def test(lab: Any) -> Finding | None:
        effect = measured(grid_frame(lab, "b-grid"))
        if effect is None:
            return None
        about, text = {"equal": same, "margin": SAME if same else 0.0}, why
        before = measured(_varied(grid_frame(lab, "b-rows"), setting)) if lab.has("b-rows") else None
        if before is None:
            return Finding(effect, unit, text, **about)
        text += f" In the published rows alone: {in_unit(before, unit)}."
        return Finding(effect, unit, text, published=before, shift=_apart(before, effect), **about)

    return test


def _varied(rows: pd.DataFrame, setting: str) -> pd.DataFrame:
    """The published rows in which only this setting varies: the largest set that agrees in the other two."""
    others = [name for name in ("dip_lr", "ddpm_lr", "std") if name != setting]
    sets = [part for _, part in rows.groupby(others) if part[setting].nunique() > 1]
    return max(sets, key=len, default=rows.iloc[:0])


def _logarithm(frame: pd.DataFrame, setting: str, metric: str) -> pd.DataFrame:
    """The frame with the logarithm of `metric` over `value`, the setting."""
    return frame.assign(value=frame[setting], **{metric: np.log(frame[metric].astype(float))})


def slope_of(group: str, metric: str, unit: str, why: str, *, log: bool = False, same: bool = False) -> Test:
    """Slope over a sweep of DIP runs, where a profile has no grid of combined runs."""

    def test(lab: Any) -> Finding | None:
        frame = lab.frame(group)
        effect = slope(_relative(frame, "value", metric) if same else _logarithm(frame, "value", metric), metric, log=log)
        return None if effect is None else Finding(effect, unit, why, equal=same, margin=SAME if same else 0.0)

    return test


def _relative(frame: pd.DataFrame, setting: str, metric: str) -> pd.DataFrame:
    """`metric` as a share of its mean, so that a slope over `value` is the change over the whole range of the setting."""
    values = frame[setting].astype(float)
    return frame.assign(
        value=(values - values.min()) / max(values.max() - values.min(), 1e-12),
        **{metric: frame[metric] / frame[metric].mean()},
    )


def emphasis(lab: Any) -> Finding | None:
    """B8: strokes against their surroundings, in a DIP's outputs for clean digits, beyond the digits' own and a blur's."""
    frame = frame_of(lab.seeds("b-dip"))
    if "emphasis" not in frame or "emphasis_blur" not in frame:
        return None
    gaps = frame["emphasis"] - frame["emphasis_blur"].clip(lower=0.0)
    why = "Brightness inside the strokes minus outside, over that of the clean digits, minus 1; must exceed their own (0) and "
    why += f"that of blurred digits ({span(summary(frame, 'emphasis_blur'))})."
    return Finding(paired(list(gaps)), "of the digits' own", why)
