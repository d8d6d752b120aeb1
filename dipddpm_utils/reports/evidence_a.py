"""What report A's claims on distances over its training are tested by."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page.compare import judged_alike, paired
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import effect
from dipddpm_utils.reports.finding import Finding, by_seed, compared, shows
from dipddpm_utils.reports.printed import VARIANTS

# a row per seed, a column per variant -> a column for each that a claim is made of
Combine = Callable[[pd.DataFrame], pd.DataFrame]
OfCurve = Callable[[np.ndarray], float]  # log FD at each evaluation during training -> a statistic


def late_change(logs: np.ndarray) -> float:
    """From half of the training to its end."""
    return logs[-1] - logs[(len(logs) - 1) // 2]


def of_curve(statistic: OfCurve, column: str, record: Any) -> float:
    """The statistic of a record's curve; NaN with one evaluation, from which nothing is seen to change."""
    logs = np.log(judged_alike(record.evals)[column].to_numpy(float))
    return float(statistic(logs)) if len(logs) > 1 else np.nan


def of_distance(statistic: OfCurve, combine: Combine, why: str, lab: Any, **limits: Any) -> Finding | None:
    """Report A's three variants, tested on a statistic of the distance over training.

    Runs as published that do not show the effect when judged on all samples are judged on 30 as well, as they were there: what
    is seen only then is an artefact of the measure (FA3).
    """

    def measured(ending: str, column: str = "fd") -> pd.DataFrame:
        own = by_seed(lab, [name + ending for name in VARIANTS], partial(of_curve, statistic, column))
        return combine(own.set_axis(VARIANTS, axis=1))

    about = {"unit": "FD", "why": why, **limits}
    corrected, published = measured(""), measured("-published")
    if len(published) and all(shows(paired(list(own)), **limits) for _, own in published.items()):
        return compared(corrected, published, **about)
    published = measured("-published", "fd_published")
    return compared(corrected, published, way=" (judged on 30 samples, as there)", fault="FA3", **about)


def rise_is_noise(names: Sequence[str], lab: Any) -> Finding | None:
    """A7: is most of the rise that one set of 30 samples shows not there in other sets of the same models?

    By seed or, of one seed, by set. None where a record does not hold the many sets.
    """
    records = {name: lab.seeds(f"{name}-published") for name in names}
    rises = {name: [_drawn_rises(record) for record in own] for name, own in records.items()}
    if any(rise is None for own in rises.values() for rise in own):
        return None
    seeds = min(map(len, rises.values()))
    effects = {name: [float(rise.mean()) for rise in own] if seeds > 1 else list(own[0]) for name, own in rises.items()}
    late = {name: [of_curve(late_change, "fd", record) for record in own] for name, own in records.items()}
    shown = {look(name).label: paired(own, ratio=True) for name, own in late.items() if np.isfinite(own).any()}
    longer = [f"of {label}, as published, by {effect(gap)}" for label, gap in shown.items()]
    why = (
        "A set's rise since its lowest evaluation, as a factor, divided by the square of its rise since the one where the "
        "other sets are lowest: above 1, most of the rise is chance. Too few steps is not tested: from half of the training "
        f"to its end FD of all samples changes, {'; '.join(longer)}."
    )
    least = min(map(len, effects.values()))
    values = pd.DataFrame({name: own[:least] for name, own in effects.items()})
    return compared(values, over="seeds" if seeds > 1 else "sets of 30", unit="FD", why=why)


def _drawn_rises(record: Any) -> np.ndarray | None:
    """Of each set of 30: log of its rise over its lowest earlier value, less twice that over where the other sets are lowest.

    The first is above zero by choice alone; the second is a change that other samples of the same models show too. None where
    the sets do not rise, and there is nothing to explain.
    """
    rows = judged_alike(record.evals)
    if "fd_published_draws" not in rows or rows["fd_published_draws"].isna().any() or len(rows) < 2:
        return None
    drawn = [[float(value) for value in str(text).split()] for text in rows["fd_published_draws"]]
    if (sets := min(map(len, drawn))) < 2:
        return None
    logs = np.log(np.array([own[:sets] for own in drawn]))
    last, earlier = logs[-1], logs[:-1]
    lowest = (earlier.sum(axis=1, keepdims=True) - earlier).argmin(axis=0)  # for all sets but each
    own, others = last - earlier.min(axis=0), last - earlier[lowest, np.arange(sets)]
    return own - 2 * others if own.mean() > 0 else None
