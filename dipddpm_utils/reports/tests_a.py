"""What a claim is tested by: a lab's records -> a Finding, an effect with its interval, seed by seed. Report A's claims.

Distances are compared as logarithms: they have no unit in common with the published FID, and a share of an FD means the same
in both. Each test measures its effect in the corrected runs and again in those as published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page.compare import Paired, best_control, best_start, copies, judged_alike, paired, scaled
from dipddpm_utils.page.names import starts
from dipddpm_utils.page.prose import percent
from dipddpm_utils.page.words import in_unit
from dipddpm_utils.reports import one_fault
from dipddpm_utils.reports.printed import VARIANTS, same_fid

Test = Callable[[Any], "Finding | None"]
Combine = Callable[[pd.DataFrame], pd.Series]  # a row a seed, a column a variant -> the effect by seed
ALONE, ON_DIP = VARIANTS[0], list(VARIANTS[1:])
ALL_A = (*VARIANTS, *(f"{name}-published" for name in VARIANTS))


@dataclass(frozen=True)
class Finding:
    """What a test measured. Positive speaks for the claim, unless `equal`, where an interval within +-margin does.

    effect: in the corrected runs. published: the same in the runs as published (None: not compared). shift: published minus
    corrected, paired by seed. margin: what an effect has to exceed (equal: stay within). fault: what would explain an effect
    that is there as published only. artefact_of: set if the corrected effect itself is there for another reason.
    """

    effect: Paired
    unit: str
    why: str
    equal: bool = False
    margin: float = 0.0
    published: Paired | None = None
    shift: Paired | None = None
    fault: str = ""
    artefact_of: str = ""


# --- statistics of one record: the logarithm of a distance over training ------------------------------------------------


def curve(record: Any, column: str) -> np.ndarray:
    """log of the distance at each evaluation during training."""
    return np.log(judged_alike(record.evals)[column].to_numpy(float))


def first(record: Any, column: str) -> float:
    """At the first evaluation."""
    return float(curve(record, column)[0])


def last(record: Any, column: str) -> float:
    """At the last one."""
    return float(curve(record, column)[-1])


def lowest(record: Any, column: str) -> float:
    """The lowest of all."""
    return float(curve(record, column).min())


def first_is_lowest(record: Any, column: str) -> float:
    """The lowest of the later ones over the first: above zero if the first is the lowest. NaN with one evaluation."""
    values = curve(record, column)
    return float(values[1:].min() - values[0]) if len(values) > 1 else np.nan


def fall(record: Any, column: str) -> float:
    """The first over the last."""
    return first(record, column) - last(record, column)


def late_rise(record: Any, column: str) -> float:
    """The last over the one at half of the training."""
    values = curve(record, column)
    return float(values[-1] - values[(len(values) - 1) // 2])


def seen_rise(record: Any, column: str) -> float:
    """The last over the lowest before it, as a reader sees it in a figure. NaN with one evaluation."""
    values = curve(record, column)
    return float(values[-1] - values[:-1].min()) if len(values) > 1 else np.nan


# --- a contrast of variants, in the corrected runs and as published ------------------------------------------------------


def contrast(lab: Any, names: tuple[str, ...], ending: str, statistic: one_fault.Statistic, combine: Combine) -> pd.Series:
    """The effect by seed: the statistic of each variant's records, combined; seeds that miss a variant are left out."""
    values = {name: {record.seed: statistic(record) for record in lab.seeds(name + ending)} for name in names}
    return combine(pd.DataFrame(values).dropna())


def shows(effect: Paired, margin: float = 0.0, equal: bool = False) -> bool:
    """Whether the interval lies above the margin (equal: within +-margin). One seed shows nothing."""
    if effect.low is None or effect.high is None:
        return False
    return max(abs(effect.low), abs(effect.high)) <= margin if equal else effect.low > margin


def compared(
    corrected: pd.Series, published: pd.Series, way: str, fault: Callable[[], str], *, why: str, **about: Any
) -> Finding | None:
    """A Finding from the effects by seed. way: how the published runs were judged. fault: gives the name of the culprit."""
    if corrected.empty:
        return None
    effect, gaps = paired(list(corrected)), (published - corrected).dropna()
    if gaps.empty:
        return Finding(effect, why=why, **about)
    before = paired(list(published))
    guilty = fault() if shows(before, about.get("margin", 0.0), about.get("equal", False)) else ""
    why += f" As published{way}: {in_unit(before, about['unit'])}."
    return Finding(effect, why=why, published=before, shift=paired(list(gaps)), fault=guilty, **about)


def of_distance(
    statistic: Callable[[Any, str], float], combine: Combine, suspects: Mapping[str, int], why: str, **about: Any
) -> Test:
    """A test of report A's three variants on a statistic of the distance over training.

    Runs as published that do not show the effect when judged on all samples are judged on 30 as well, as they were there: what
    is seen only then is an artefact of the measure (FA3).
    """

    def test(lab: Any) -> Finding | None:
        def measured(ending: str, column: str) -> pd.Series:
            return contrast(lab, VARIANTS, ending, lambda record: statistic(record, column), combine)

        corrected, published = measured("", "fd"), measured("-published", "fd")
        known = len(published) > 0 and shows(paired(list(published)), about.get("margin", 0.0), about.get("equal", False))
        by_measure = _has_thirty(lab) and not known

        def fault() -> str:
            return "FA3" if by_measure else one_fault.largest(lab, suspects, lambda record: statistic(record, "fd"))

        if by_measure:
            published = measured("-published", "fd_published")
        way = " (judged on 30 samples, as there)" if by_measure else ""
        return compared(corrected, published, way, fault, unit="log FD", why=why, **about)

    return test


def _has_thirty(lab: Any) -> bool:
    return all("fd_published" in judged_alike(record.evals) for name in VARIANTS for record in lab.seeds(f"{name}-published"))


# Faults that both sides of a contrast have (FA4, FA5) cannot make one differ from the other, so they are suspects only
# where a curve is compared with itself. +1: a larger statistic of the fault's variant speaks for the claim.
BETWEEN = {"FA1": 1, "FA2": -1, "FA7": -1}
WITHIN = {"FA2": 1, "FA7": 1, "FA4": 1, "FA5": 1}

first_lowest = of_distance(
    first_is_lowest,
    lambda t: t[ON_DIP].mean(axis=1),
    WITHIN,
    "With a DIP: lowest FD of the later evaluations over the first, mean of both nets (against the DDPM alone: see A4).",
)
falls_faster = of_distance(
    fall,
    lambda t: t[ON_DIP].mean(axis=1) - t[ALONE],
    {name: -sign for name, sign in BETWEEN.items()},
    "Fall of FD from the first evaluation to the last, as a factor: mean of both nets over alone.",
)
rises_later = of_distance(
    late_rise,
    lambda t: t[ON_DIP].mean(axis=1),
    WITHIN,
    "With a DIP: FD at the last evaluation over FD at half of the training, mean of both nets.",
)
starts_higher = of_distance(
    first,
    lambda t: t[ALONE] - t[ON_DIP].max(axis=1),
    BETWEEN,
    "First evaluation: FD alone over the higher of both nets'.",
)
lowest_of_all = of_distance(
    lowest,
    lambda t: t[[ALONE, "a-2conv"]].min(axis=1) - t["a-resnet18"],
    BETWEEN,
    "Lowest FD over training: the lower of the two others over ResNet-18's.",
)
same_nets = of_distance(
    last,
    lambda t: t["a-resnet18"] - t["a-2conv"],
    {"FA2": 1, "FA7": 1},
    "Last evaluation: FD with ResNet-18 over FD with 2conv. 5 FID are as large a share of the published FID as the margin.",
    equal=True,
    margin=same_fid(),
)


def rise_is_noise(lab: Any) -> Finding | None:
    """A7: do the same models rise when judged on 30 samples and not when judged on many?"""
    if not _has_thirty(lab):
        return None
    thirty, many = (
        contrast(lab, VARIANTS, "-published", lambda r, c=column: seen_rise(r, c), lambda t: t.mean(axis=1))
        for column in ("fd_published", "fd")
    )
    gaps = (thirty - many).dropna()
    if gaps.empty:
        return None
    why = "Rise over the lowest earlier value, as a factor: on 30 samples over on all, mean of the three models as published."
    return Finding(paired(list(gaps)), "log FD", f"{why} On all samples: {in_unit(paired(list(many)), 'log FD')}.")


# --- both reports: starts, cost -----------------------------------------------------------------------------------------


def fewer_steps(group: str) -> Test:
    """FD from a DIP start against FD from noise with as many calls, with its copies and its rivals that need no DIP."""

    def test(lab: Any) -> Finding | None:
        frame = lab.frame(group)
        best = best_start(frame, *starts(dip=True))
        if best is None:
            return None
        t_start, gap, rows = best
        effect = scaled(gap, -1)
        copied, usual, many = copies(rows)
        why = "FD of noise over FD of the DIP start, at equal network calls, at the best t_start "
        why += f"({t_start:.0f}), interval widened for that choice."
        why += f" Copied: {percent(copied)} (held-out: {percent(usual)})."
        artefact = "copying of training images" if many else ""
        if (rival := best_control(frame)) is not None and not artefact:
            label, at, against = rival
            why += f" Against the {label} start at {at:.0f}: {in_unit(against, 'log FD')}."
            artefact = f"any start near the data (the {label} does as well)" if against.high is None or against.high > 0 else ""
        return Finding(effect, "log FD", why, artefact_of=artefact)

    return test


def costs_more(*pairs: tuple[str, str]) -> Test:
    """log(seconds of training on DIP outputs, the DIP's included / seconds of training alone); mean over (alone, with)."""

    def test(lab: Any) -> Finding | None:
        shares = [_total(lab, with_dip, dip=True) - _total(lab, alone, dip=False) for alone, with_dip in pairs]
        gaps = pd.concat(shares, axis=1).mean(axis=1, skipna=False).dropna()
        why = "Seconds of training on DIP outputs, those of the DIP included, over seconds alone; equal steps."
        without = [_total(lab, with_dip, dip=False) - _total(lab, alone, dip=False) for alone, with_dip in pairs]
        rest = pd.concat(without, axis=1).mean(axis=1, skipna=False).dropna()
        if gaps.empty:
            return None
        why += f" With the DIP's left out, as published (FA9, FB4): {in_unit(paired(list(rest)), 'log seconds')}."
        return Finding(paired(list(gaps)), "log seconds", why)

    return test


def _total(lab: Any, name: str, *, dip: bool) -> pd.Series:
    """log of the training seconds of a run's seeds, with or without the DIP's."""
    seconds = {r.seed: r.metrics["train_seconds"] + (r.metrics.get("dip_seconds") or 0.0) * dip for r in lab.seeds(name)}
    return np.log(pd.Series(seconds, dtype=float))
