"""Settings beside one another: summaries over seeds with intervals, differences paired by seed, the floor at the same n."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.judging import stats
from dipddpm_utils.judging.stats import Interval
from dipddpm_utils.page.names import starts

LIMITS = {"fd": (0.0, math.inf)} | dict.fromkeys(("precision", "recall", "copy_rate", "copy_rate_floor"), (0.0, 1.0))


def judged_alike(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that were judged as the first one was: same sampler, calls and number of images. A run's last row may differ.

    Where it does not, it is the second one of its step, and left out too.
    """
    way = ["sampler", "nfe", "n"]
    alike = rows[(rows[way] == rows[way].iloc[0]).all(axis=1)]
    return alike.drop_duplicates([name for name in ("seed", "step") if name in alike]) if "step" in alike else alike


def over_seeds(frame: pd.DataFrame, by: str, metric: str) -> pd.DataFrame:
    """Mean and 95% interval of `metric` for each value of column `by`: columns x, mean, low, high, n.

    With several rows (seeds, images) the interval is Student's t over them. A single row keeps the interval that it came
    with (columns `<metric>_low`, `<metric>_high`), or none (NaN).
    """
    rows = []
    for value, part in frame.groupby(by, sort=False):
        if (interval := summary(part, metric)) is not None:
            rows.append((value, interval.value, interval.low, interval.high, np.isfinite(part[metric].to_numpy(float)).sum()))
    return pd.DataFrame(rows, columns=["x", "mean", "low", "high", "n"])


def summary(frame: pd.DataFrame, metric: str) -> Interval | None:
    """One interval for all rows: Student's t over several, the row's own for one; None if nothing was measured."""
    if metric not in frame:
        return None
    numbers = frame[metric].to_numpy(float)
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) > 1:
        return _within(stats.seeds_interval(numbers), *LIMITS.get(metric, (-math.inf, math.inf)))
    if len(numbers) == 0:
        return None
    low, high = (
        pd.to_numeric(frame.get(f"{metric}{end}", pd.Series([math.nan])), errors="coerce") for end in ("_low", "_high")
    )
    return Interval(low=float(low.iloc[0]), value=float(numbers[0]), high=float(high.iloc[0]), n=1)


def _within(interval: Interval, least: float, most: float) -> Interval:
    """The part of an interval that the measure can reach: a t-interval of few seeds goes beyond, and covers no more by it."""
    return replace(interval, low=max(least, interval.low), high=min(most, interval.high))


def floor_n(floor: Any, n: float | None = None) -> float:
    """The n at which the floor can be given: the one asked for if the record has it, else the record's own."""
    return float(n) if n is not None and len(floor.evals) and (floor.evals["n"] == n).any() else float(floor.metrics["n"])


def floor_at(floor: Any, metric: str = "fd", n: float | None = None) -> Interval | None:
    """What real images score at the same n (see `floor_n`). None without a floor."""
    if floor is None:
        return None
    if n is not None and floor_n(floor, n) == n and len(floor.evals):
        return summary(floor.evals[floor.evals["n"] == n], metric)
    return summary(pd.DataFrame([floor.metrics]), metric)


def frame_of(records: Sequence[Any]) -> pd.DataFrame:
    """The metrics of records, a row each, with name and seed."""
    return pd.DataFrame([{"name": record.name, "seed": record.seed, **record.metrics} for record in records])


def grid_frame(lab: Any, group: str) -> pd.DataFrame:
    """`lab.frame` of a group of combined runs, with columns dip_lr, ddpm_lr and std read off each record's configuration."""
    frame = lab.frame(group)
    runs = {record.name: record.run for own in lab.labelled(group).values() for record in own}
    settings = [(run.dip.optim.lr, run.optim.lr, run.dip.std) for run in (runs[name] for name in frame["name"])]
    return frame.assign(**dict(zip(("dip_lr", "ddpm_lr", "std"), zip(*settings, strict=True), strict=True)))


@dataclass(frozen=True)
class Paired:
    """Differences between two settings, seed by seed: mean, 95% t-interval (None with one seed), and the seeds needed.

    needed: about how many seeds it would take to tell this difference from none, at the spread seen (None: one seed).
    """

    value: float
    low: float | None
    high: float | None
    n: int
    needed: int | None

    @property
    def decided(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def paired(differences: Sequence[float], level: float = 0.95) -> Paired:
    """Summarise differences, one a seed. ValueError if there is none."""
    values = np.asarray(differences, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        raise ValueError("differences is empty, expected one a seed")
    if len(values) == 1:
        return Paired(float(values[0]), None, None, 1, None)
    interval = stats.seeds_interval(values, level=level)
    return Paired(interval.value, interval.low, interval.high, len(values), _needed(values, level))


def _needed(values: np.ndarray, level: float) -> int | None:
    """The fewest seeds whose t-interval, at this mean and spread, would leave out zero; None beyond a thousand."""
    spread, mean = float(values.std(ddof=1)), abs(float(values.mean()))
    if spread * NormalDist().inv_cdf(0.5 + level / 2) >= mean * math.sqrt(1000):
        return None
    n = max(2, math.floor((spread * NormalDist().inv_cdf(0.5 + level / 2) / mean) ** 2))  # t is wider, so never too many
    while spread * stats.t_quantile(0.5 + level / 2, n - 1) >= mean * math.sqrt(n):
        n += 1
    return n


def scaled(effect: Paired, by: float) -> Paired:
    """The same effect in another unit, or (-1) counted the other way round."""
    ends = [None if end is None else by * end for end in (effect.low, effect.high)]
    low, high = ends if by > 0 else reversed(ends)
    return Paired(by * effect.value, low, high, effect.n, effect.needed)


def seeds_needed(effect: Paired, bound: float, level: float = 0.95) -> int | None:
    """The fewest seeds whose interval, at this mean and spread, would lie on one side of `bound`; None: one seed, or over 1000.

    The spread is read back from the interval.
    """
    if effect.low is None or effect.high is None:
        return None
    q, room = stats.t_quantile(0.5 + level / 2, effect.n - 1), abs(effect.value - bound)
    spread = (effect.high - effect.low) / 2 / q * math.sqrt(effect.n)
    fits = (n for n in range(2, 1001) if spread * stats.t_quantile(0.5 + level / 2, n - 1) < room * math.sqrt(n))
    return next(fits, None)


def difference(
    first: pd.DataFrame, second: pd.DataFrame, metric: str, *, ratio: bool = False, level: float = 0.95
) -> Paired | None:
    """first - second (ratio: log(first / second)) of `metric`, paired by seed; None if no seed has both."""
    a, b = first.groupby("seed")[metric].mean(), second.groupby("seed")[metric].mean()
    values = (np.log(a / b) if ratio else a - b).dropna()
    return paired(list(values), level) if len(values) else None


def slope(frame: pd.DataFrame, metric: str, *, log: bool = False) -> Paired | None:
    """Change of `metric` for a unit of `value` (log: for a factor of ten), one least-squares line a seed."""
    slopes = []
    for _, part in frame.dropna(subset=[metric]).groupby("seed"):
        x = np.log10(part["value"].to_numpy(float)) if log else part["value"].to_numpy(float)
        if len(np.unique(x)) > 1:
            slopes.append(np.polyfit(x, part[metric].to_numpy(float), 1)[0])
    return paired(slopes) if slopes else None


def copies(rows: pd.DataFrame) -> tuple[float, float, bool]:
    """(share of samples that look copied, of held-out images that do, whether the first is more than twice the second)."""
    copied, usual = (float(rows[column].mean()) for column in ("copy_rate", "copy_rate_floor"))
    return copied, usual, copied > 2 * usual


def best_start(frame: pd.DataFrame, *labels: str) -> tuple[float, Paired, pd.DataFrame] | None:
    """(t_start, log FD ratio to noise with as many calls, rows) where these starts have their lowest ratio; None without both.

    The best of k is chosen after the fact, so its interval is widened to level 1 - 0.05 / k (Bonferroni).
    """
    noise = frame[frame["label"] == "noise"]
    mine = frame[frame["label"].isin(labels) & frame["value"].isin(noise["value"])]
    found, tried = [], list(mine.groupby(["label", "value"]))
    for (_, t_start), rows in tried:
        gap = difference(rows, noise[noise["value"] == t_start], "fd", ratio=True, level=1 - 0.05 / len(tried))
        if gap is not None:
            found.append((float(t_start), gap, rows))
    return min(found, key=lambda item: item[1].value, default=None)


def best_control(frame: pd.DataFrame) -> tuple[str, float, Paired] | None:
    """The best start that needs no DIP, and log(FD of the best DIP start / FD of that one) at its t_start."""
    own = best_start(frame, *starts(dip=True))
    found = {label: best for label in starts(dip=False) if (best := best_start(frame, label)) is not None}
    if own is None or not found:
        return None
    label = min(found, key=lambda name: found[name][1].value)
    t_start, _, rows = found[label]
    mine = frame[(frame["label"] == own[2]["label"].iloc[0]) & (frame["value"] == t_start)]
    gap = difference(mine, rows, "fd", ratio=True)
    return None if gap is None else (label, t_start, gap)
