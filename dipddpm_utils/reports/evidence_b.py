"""What report B's claims are tested by: shape and contrast of drawn digits, time by data path, slopes over the full grid."""

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page.compare import Paired, difference, frame_of, own_interval, paired, scaled, slope, summary
from dipddpm_utils.page.prose import effect as told
from dipddpm_utils.page.prose import percent, span
from dipddpm_utils.reports import one_fault
from dipddpm_utils.reports.evidence_a import Finding, Test, compared, contrast
from dipddpm_utils.reports.tables import grid_frame

SAME = 0.05  # relative change of a time that still counts as none, fixed before any run
PAIR = ("b-ddpm", "b-combined")
NONE = pd.Series(dtype=float)
SUSPECTS = {"FB1": -1, "FB2": -1, "FB3": -1}  # of the combined run: a larger statistic of it speaks against the claim


# --- how drawn digits look ------------------------------------------------------------------------------------------------


def looks(names: tuple[str, str], sides: dict[str, one_fault.Statistic], suspect: str, unit: str, why: str) -> Test:
    """Statistics of the first run's samples minus the second's, in the corrected runs and as published; None without any.

    suspect: the side whose largest fault is named where only the published runs show it.
    """

    def test(lab: Any) -> Finding | None:
        def measured(ending: str) -> Any:
            own = {name: contrast(lab, names, ending, of, lambda t: t[names[0]] - t[names[1]]) for name, of in sides.items()}
            found = pd.DataFrame(own).dropna()
            return found if len(sides) > 1 else found.iloc[:, 0]

        known = lab.has(*(f"{name}-published" for name in names))
        fault = partial(one_fault.largest, lab, SUSPECTS, sides[suspect])
        return compared(measured(""), measured("-published") if known else NONE, "", fault, why=why, unit=unit)

    return test


def greyer(names: tuple[str, str] = PAIR) -> Test:
    """B3: contrast of the first run's samples over the second's."""
    why = "Standard deviation of an image's pixels, DDPM alone over combined, mean over the last samples."
    return looks(names, {"contrast": one_fault.metric("contrast")}, "contrast", "contrast, alone over combined", why)


def off_real(measure: str) -> one_fault.Statistic:
    """How far samples are from real digits in a measure, as the size of the logarithm of the ratio; NaN if not recorded.

    Of a classifier's confidence, too: it is surer of some blots than of digits, so more of it is not better.
    """

    def statistic(record: Any) -> float:
        drawn, real = (record.metrics.get(name) for name in (measure, f"{measure}_real"))
        return abs(math.log(drawn / real)) if drawn and real else math.nan

    return statistic


better_shaped = looks(  # B2
    PAIR,
    {name: off_real(name) for name in ("raggedness", "legibility")},
    "raggedness",
    "distance from real digits, alone over combined",
    "Of all last samples, the DDPM alone over combined: how far from real digits they are in raggedness (outline over root "
    "of the ink's area) and in legibility (a classifier's confidence).",
)


# --- time -----------------------------------------------------------------------------------------------------------------


def shorter(alone: str, combined: str) -> Test:
    """Training seconds alone over combined, both from memory; as published: an epoch decoded over one from memory."""

    def test(lab: Any) -> Finding:
        gap = difference(frame_of(lab.seeds(alone)), frame_of(lab.seeds(combined)), "train_seconds")
        why = f"Equal steps, both from memory; a saving counts beyond {SAME:.0%}. DIP seconds left out, as in the report."
        about: dict[str, Any] = {"unit": "seconds, alone over combined", "margin": math.log(1 + SAME)}
        if lab.has("b-timing"):
            before = paths(lab.seeds("b-timing")[0])
            why += f" Same model, an epoch decoded image by image over one from memory: {told(before)}. {path_share(lab)}"
            about |= {"published": before, "shift": _apart(before, gap), "fault": "FB1"}
        return Finding(gap, why=why, **about)

    return test


def paths(record: Any) -> Paired:
    """Seconds of an epoch decoded image by image over from memory, kind epoch_timing: over its repeats."""
    whole = record.evals.pivot_table("seconds", "repeat", "path", aggfunc="sum")
    return paired(list(np.log(whole["decode"] / whole["memory"])), ratio=True, over="repeats")


def path_share(lab: Any) -> str:
    """What the data path saves in an epoch on the machine that timed it, beside the published saving, as a sentence."""
    record = lab.seeds("b-timing")[0]
    row, machine = record.metrics, record.provenance.get("device_name", "not known")
    saved, published = own_interval(row | {"n": row["repeats"]}, "data_saved_seconds"), row["published_saved_seconds"]
    return (
        f"Decoding one by one, timed by itself, costs {span(saved)} s an epoch more ({machine}), "
        f"{percent(saved.value / row['decode_seconds'])} of an epoch there; the published saving, on another machine: "
        f"{published:g} s an epoch."
    )


def _apart(a: Paired, b: Paired) -> Paired:
    """a - b of independent effects: half-widths add in quadrature."""
    half, value = math.hypot((a.high - a.low) / 2, (b.high - b.low) / 2), a.value - b.value
    return Paired(value - half, value, value + half, min(a.n, b.n), a.ratio)


# --- settings ---------------------------------------------------------------------------------------------------------------


def slope_test(setting: str, group: str, unit: str, why: str, *, metric: str = "fd", log: bool = False) -> Test:
    """Slope over a setting, all others being balanced: of the full grid 'b-grid', and beside it that of the published rows; of
    'b-rows' over those rows in which nothing else varies; of another group over its value. Seconds are claimed not to change:
    their slope is over the whole range, and within +-SAME.
    """
    same = metric != "fd"

    def sloped(frame: pd.DataFrame) -> Paired | None:
        values = frame[setting if group in ("b-grid", "b-rows") else "value"].astype(float)
        found = slope(frame.assign(value=values), metric, log=log)
        return scaled(found, float(values.max() - values.min())) if found is not None and same else found

    def test(lab: Any) -> Finding | None:
        frame = grid_frame(lab, group) if group in ("b-grid", "b-rows") else lab.frame(group)
        if (effect := sloped(_varied(frame, setting) if group == "b-rows" else frame)) is None:
            return None
        about: dict[str, Any] = {"equal": same, "margin": math.log(1 + SAME) if same else 0.0, "why": why}
        beside = group == "b-grid" and lab.has("b-rows")
        if beside and (before := sloped(_varied(grid_frame(lab, "b-rows"), setting))) is not None:
            about["why"] += f" In the published rows alone: {told(before)}."
            about |= {"published": before, "shift": _apart(before, effect)}
        return Finding(effect, unit, **about)

    return test


def _varied(rows: pd.DataFrame, setting: str) -> pd.DataFrame:
    """The published rows in which only this setting varies: the largest set that agrees in the other two."""
    others = [name for name in ("dip_lr", "ddpm_lr", "std") if name != setting]
    sets = [part for _, part in rows.groupby(others) if part[setting].nunique() > 1]
    return max(sets, key=len, default=rows.iloc[:0])


def emphasis(lab: Any) -> Finding:
    """B8: strokes against their surroundings, in a DIP's outputs for clean digits, beyond the digits' own and a blur's."""
    frame = frame_of(lab.seeds("b-dip"))
    gaps = frame["emphasis"] - frame["emphasis_blur"].clip(lower=0.0)
    why = "Brightness inside the strokes minus outside, over that of the clean digits, minus 1; must exceed their own (0) and "
    why += f"that of blurred digits ({span(summary(frame, 'emphasis_blur'))})."
    return Finding(paired(list(gaps)), "of the digits' own", why)
