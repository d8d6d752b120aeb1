"""Intervals, the correction for many comparisons, and the seeds that a comparison takes. Needs no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

ALPHA = 0.05  # of every test, and one minus the level of every interval
Z = 1.96  # standard errors, either way, of a normal 95% interval
POWER = 0.8
MOST = 1000  # pairs that anybody would make


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95% interval (NaN where there is none); `n` is the number of independent values that it rests on."""

    low: float
    value: float
    high: float
    n: int

    def named(self, name: str) -> dict[str, float]:
        """As a record holds it: the estimate by its name, the ends as <name>_low and <name>_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def mean_interval(values: np.ndarray | Sequence[float]) -> Interval:
    """Mean of independent values [n >= 2], with Student's t interval."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        raise ValueError(f"values has {len(values)} value(s); an interval needs at least 2")
    if not np.isfinite(values).all():
        raise ValueError("values holds some that are not finite; leave them out and say how many there were")
    half = t_quantile(1 - ALPHA / 2, len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = float(values.mean())
    return Interval(mean - half, mean, mean + half, len(values))


def mean_intervals(scores: Mapping[str, np.ndarray | Sequence[float]]) -> dict[str, float]:
    """The same of each score, as `Interval.named`."""
    return {key: value for name, values in scores.items() for key, value in mean_interval(values).named(name).items()}


def t_quantile(p: float, df: int) -> float:
    """The t with P(T <= t) = p for Student's t with `df` degrees of freedom."""
    return float(special.stdtrit(df, p))


def t_test(distance: float, error: float, df: int) -> float:
    """Two-sided p-value of a mean that is `distance` from the hypothesis, with standard error `error`."""
    if error == 0:
        return 1.0 if distance == 0 else 0.0
    return float(2 * special.stdtr(df, -abs(distance / error)))


def holm(pvalues: Sequence[float]) -> np.ndarray:
    """p-values adjusted for all being looked at (Holm 1979): each below ALPHA is shown, all of them together at that level.

    NaN (nothing to test) stays NaN and does not count.
    """
    p = np.array(pvalues, dtype=float)
    order = [i for i in np.argsort(p) if np.isfinite(p[i])]
    steps = np.arange(len(order), 0, -1)
    p[order] = np.minimum(np.maximum.accumulate(steps * p[order]), 1)
    return p


def pairs_needed(distance: float, spread: float, level: float = ALPHA, planned: int | None = None) -> int | None:
    """The fewest pairs with which a two-sided paired t-test at `level` finds a mean this far off with 80% power.

    distance: of the true mean from the hypothesis; spread: standard deviation of the differences. None beyond MOST.
    planned: beyond so many pairs each further one is one more look at the result, which divides the level.
    """
    if spread == 0:
        return 2 if distance else None
    n = np.arange(2, MOST + 1)
    looks = 1 if planned is None else 1 + np.maximum(0, n - planned)
    edge, shift = special.stdtrit(n - 1, 1 - level / looks / 2), abs(distance) / spread * np.sqrt(n)
    enough = np.flatnonzero(1 - special.nctdtr(n - 1, shift, edge) >= POWER)  # the other side's share is below 1e-3
    return int(n[enough[0]]) if len(enough) else None
