"""What report B's claims on digits and settings are tested by."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page.compare import Paired, as_ratio, frame_of, paired, scaled, summary
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import effect, span
from dipddpm_utils.reports.finding import Finding, Statistic, by_seed, compared
from dipddpm_utils.reports.tables import grid_frame
from dipddpm_utils.study import profile as profiles

PAIR = ("b-ddpm", "b-combined")
REPORTED = {"std": (0.8, 1.2), "dip_lr": (5e-4, 5e-3)}  # from which to which report B varied a setting
OF_GROUP = {  # what a slope is of
    "b-grid": "FD of the combined model's samples, all other settings balanced, one line per seed.",
    "b-rows": "FD of the combined model's samples, in the largest set of rows in which only this setting varies.",
}
OF_DIP = "FD of the DIP's outputs for clean images to held-out images: what the DDPM is trained on."


# --- how drawn digits look ------------------------------------------------------------------------------------------------


def looks(names: tuple[str, str], sides: Mapping[str, Statistic], unit: str, why: str, lab: Any) -> Finding | None:
    """Statistics of the first run's samples minus the second's, in the corrected runs and as published; None without any."""

    def measured(ending: str) -> pd.DataFrame:
        runs = [f"{name}{ending}" for name in names]
        found = {name: by_seed(lab, runs, of) for name, of in sides.items()}
        return pd.DataFrame({name: own[runs[0]] - own[runs[1]] for name, own in found.items()}).dropna()

    known = lab.has(*(f"{name}-published" for name in names))
    return compared(measured(""), measured("-published") if known else None, why=why, unit=unit)


def greyer(names: tuple[str, str], lab: Any) -> Finding | None:
    """B3: contrast of the first run's samples over the second's."""
    why = "Standard deviation of an image's pixels, DDPM alone over combined, mean over the last samples."
    if names != PAIR:
        why += " The DIP is another one; report B's own models at their size: [table](#tab-06_own_size_b)."
    contrast = {"contrast": lambda record: math.log(record.metrics.get("contrast") or math.nan)}
    return looks(names, contrast, "contrast, alone over combined", why, lab)


def off_real(measure: str, record: Any) -> float:
    """How far samples are from real digits in a measure, as the size of the logarithm of the ratio; NaN if not recorded.

    Of a classifier's confidence, too: it is surer of some blots than of digits, so more of it is not better.
    """
    drawn, real = (record.metrics.get(name) for name in (measure, f"{measure}_real"))
    return abs(math.log(drawn / real)) if drawn and real else math.nan


def emphasis(lab: Any) -> Finding:
    """B8: strokes against their surroundings, in a DIP's outputs for clean digits, beyond the digits' own and a blur's."""
    records, theirs = lab.seeds("b-dip"), profiles.load("full").entry("b-dip-s0").run.optim.steps
    frame, fit = frame_of(records), records[0].run.optim.steps
    gaps = frame["emphasis"] - frame["emphasis_blur"].clip(lower=0.0)
    why = "Brightness inside the strokes minus outside, over that of the clean digits, minus 1; must exceed their own (0) and "
    why += f"that of blurred digits ({span(summary(frame, 'emphasis_blur'))}). Fits of {fit} steps"
    why += f" (report B: {theirs})." if fit != theirs else "."
    return Finding(paired(list(gaps)), "of the digits' own contrast", why)


# --- settings -------------------------------------------------------------------------------------------------------------


def slope_over(frame: pd.DataFrame, setting: str, metric: str, ends: tuple[float, float] | None = None) -> Paired | None:
    """What a metric (its logarithm where `as_ratio`) does from the low end of a setting to the high one: its slope over std or
    the logarithm of a rate, by least squares, a line per seed. ends: None: those of the frame. None if no seed has two values.
    """
    ratio, log, slopes = as_ratio(metric), setting != "std", []
    for _, part in frame.dropna(subset=[metric]).groupby("seed"):
        x, y = (part[name].to_numpy(float) for name in (setting, metric))
        if len(np.unique(x)) > 1:
            slopes.append(np.polyfit(np.log10(x) if log else x, np.log(y) if ratio else y, 1)[0])
    low, high = ends or (frame[setting].min(), frame[setting].max())
    return scaled(paired(slopes, ratio=ratio), math.log10(high / low) if log else high - low) if slopes else None


def slope_test(setting: str, group: str, lab: Any) -> Finding | None:
    """FD over report B's range of a setting, all others being balanced: of the full grid 'b-grid', and beside it that of the
    published rows; of 'b-rows' over those rows in which nothing else varies; of another group over its value.
    """
    ends = REPORTED[setting]

    def sloped(group: str) -> Paired | None:
        if group in OF_GROUP:
            frame = grid_frame(lab, group)
        else:
            frame = lab.frame(group).assign(**{setting: lambda f: f["value"]})
            frame = frame[frame[setting].between(*ends)]
        return slope_over(_varied(frame, setting) if group == "b-rows" else frame, setting, "fd", ends)

    if (gap := sloped(group)) is None:
        return None
    why, about = OF_GROUP.get(group, OF_DIP), {}
    if group not in OF_GROUP:
        fit = lab.seeds(group)[0].run
        wide = f" of width {fit.width}" * bool(fit.width)
        to = f" to its first batch of {fit.optim.batch_size}" * fit.one_batch
        why += f" Fits of {look(fit.net).label}{wide}{to}, {fit.optim.steps} steps, over the settings of report B's range."
    if group == "b-grid" and lab.has("b-rows") and (before := sloped("b-rows")) is not None:
        why += f" In the published rows alone: {effect(before)}."
        about = {"published": before, "shift": apart(before, gap)}
    return Finding(gap, f"FD, {setting} {ends[1]:g} over {ends[0]:g}", why, **about)


def apart(a: Paired, b: Paired) -> Paired:
    """a - b of independent effects: half-widths add in quadrature."""
    half, value = math.hypot((a.high - a.low) / 2, (b.high - b.low) / 2), a.value - b.value
    return Paired(value - half, value, value + half, min(a.n, b.n), a.ratio)


def _varied(rows: pd.DataFrame, setting: str) -> pd.DataFrame:
    """The published rows in which only this setting varies: the largest set that agrees in the other two."""
    others = [name for name in ("dip_lr", "ddpm_lr", "std") if name != setting]
    sets = [part for _, part in rows.groupby(others) if part[setting].nunique() > 1]
    return max(sets, key=len, default=rows.iloc[:0])
