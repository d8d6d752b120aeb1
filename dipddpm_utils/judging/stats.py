"""Intervals and comparisons: every number that is shown comes with one. numpy only, so that the report can use it too.

SciPy is not needed: degrees of freedom are integers here, for which Student's t has a finite closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval; `n` is the number of independent values that it rests on."""

    low: float
    value: float
    high: float
    n: int
    level: float = 0.95

    def __str__(self) -> str:
        width = self.high - self.low
        scale = width if width > 0 and math.isfinite(width) else abs(self.value) / 10
        digits = min(12, max(0, 1 - math.floor(math.log10(scale)))) if scale > 0 and math.isfinite(scale) else 2
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}] (n={self.n})"


@dataclass(frozen=True)
class Difference:
    """Mean of a - b over pairs, with its interval, and two-sided p-values of 'no difference' by two tests."""

    interval: Interval
    p: float  # paired t-test
    p_sign_flip: float  # permutation test that flips the sign of each pair's difference; assumes only symmetry


def mean_interval(values: np.ndarray | list[float], level: float = 0.95) -> Interval:
    """Mean of independent values [n >= 2], with Student's t interval."""
    values = _finite(values, "values", at_least=2)
    half = float(t_quantile(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    mean = float(values.mean())
    return Interval(mean - half, mean, mean + half, len(values), level)


def seeds_interval(values: np.ndarray | list[float], level: float = 0.95) -> Interval:
    """`mean_interval` of one number a seed: what another seed's run may be expected to average to."""
    return mean_interval(values, level)


def bootstrap(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], float] = np.mean,
    *,
    rng: np.random.Generator,
    n_resamples: int = 2000,
    level: float = 0.95,
    method: str = "basic",
) -> Interval:
    """Bootstrap interval of statistic(values), resampling the first axis of `values` [n, ...].

    'percentile' takes quantiles of the resampled statistic; 'basic' mirrors them about the estimate
    (Davison & Hinkley 1997, sec. 5.2).
    """
    if method not in ("basic", "percentile"):
        raise ValueError(f"method is {method!r}; expected 'basic' or 'percentile'")
    values = _finite(values, "values", at_least=2)
    value = float(statistic(values))
    draws = [statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(n_resamples)]
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    if method == "basic":
        low, high = 2 * value - high, 2 * value - low
    return Interval(float(low), value, float(high), len(values), level)


def paired_difference(
    a: np.ndarray | list[float],
    b: np.ndarray | list[float],
    *,
    rng: np.random.Generator | None = None,
    n_permutations: int = 10_000,
    level: float = 0.95,
) -> Difference:
    """a - b for pairs (the same seed, or the same image) [n >= 2]: mean with t interval, paired t-test, sign-flip test.

    The sign-flip test goes through all 2^n flips up to n = 12, beyond that through `n_permutations` drawn with `rng`
    (default: a fixed seed), the observed one counted among them.
    """
    a, b = _finite(a, "a", at_least=2), _finite(b, "b", at_least=2)
    if a.shape != b.shape:
        raise ValueError(f"a has shape {a.shape} and b {b.shape}; expected pairs, so the same shape")
    d = a - b
    n, interval = len(d), mean_interval(d, level)
    error = d.std(ddof=1) / math.sqrt(n)
    p = 1.0 if not d.any() else 0.0 if error == 0 else 2 * (1 - t_cdf(abs(interval.value) / error, n - 1))
    seen, slack = abs(d.sum()), 1e-12 * np.abs(d).sum()  # flips that tie but for rounding count as ties
    if n <= 12:
        sums = np.abs(np.array(list(product((-1, 1), repeat=n))) @ d)
        return Difference(interval, p, float(np.mean(sums >= seen - slack)))
    rng = rng or np.random.default_rng(0)
    hits = sum(int(abs(rng.choice((-1.0, 1.0), n) @ d) >= seen - slack) for _ in range(n_permutations))
    return Difference(interval, p, (hits + 1) / (n_permutations + 1))


def t_cdf(t: float, df: int) -> float:
    """P(T <= t) for Student's t with an integer number `df` of degrees of freedom (Abramowitz & Stegun 26.7.3, 26.7.4)."""
    if df < 1 or df != int(df):
        raise ValueError(f"df is {df}; expected an integer of at least 1")
    theta = math.atan2(t, math.sqrt(df))
    sin, cos2 = math.sin(theta), math.cos(theta) ** 2
    if df % 2:  # theta + sin cos (1 + 2/3 cos^2 + 2*4/(3*5) cos^4 + ...), (df - 1) / 2 terms
        k = np.arange(1, (df - 1) // 2)
        terms = np.concatenate([[1.0], np.cumprod(2 * k / (2 * k + 1) * cos2)]) if df > 1 else np.zeros(1)
        within = 2 / math.pi * (theta + sin * math.cos(theta) * terms.sum())
    else:  # sin (1 + 1/2 cos^2 + 1*3/(2*4) cos^4 + ...), df / 2 terms
        k = np.arange(1, df // 2)
        within = sin * np.concatenate([[1.0], np.cumprod((2 * k - 1) / (2 * k) * cos2)]).sum()
    return 0.5 + 0.5 * float(within)


def t_quantile(p: float, df: int) -> float:
    """The t with P(T <= t) = p, for 0 < p < 1, by bisection of `t_cdf`."""
    if not 0 < p < 1:
        raise ValueError(f"p is {p}; expected a number between 0 and 1")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def _finite(values: np.ndarray | list[float], name: str, at_least: int) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if len(values) < at_least:
        raise ValueError(f"{name} has {len(values)} value(s); an interval needs at least {at_least}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not finite; leave them out and say how many there were")
    return values
