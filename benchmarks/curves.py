"""Arithmetic on measured curves: seconds at a quality, and exponents of growth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Points = Sequence[tuple[float, float]]  # (seconds, distance), seconds rising


def seconds_at(curve: Points, level: float) -> float | None:
    """When a curve first reaches a distance of at most `level`; None if it never does.

    Between two looks log distance is taken as linear in log seconds. At or before the first look the answer is the first
    look's time: the truth is not later than that.
    """
    before: tuple[float, float] | None = None
    for now, distance in curve:
        if distance <= level:
            if before is None or distance == before[1]:
                return now
            share = math.log(before[1] / level) / math.log(before[1] / distance)
            return before[0] * (now / before[0]) ** share
        if before is None or distance < before[1]:  # a worse look after a better one does not count as progress
            before = (now, distance)
    return None


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """k of the power law y = c x^k that fits best in logarithms."""
    if len(x) < 2 or min(x) <= 0 or min(y) <= 0:
        raise ValueError(f"x and y hold {list(x)} and {list(y)}; expected at least two points, all above zero")
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
