"""Arithmetic on measured curves: seconds at a quality, how much sooner one curve is there, and exponents of growth."""

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


def common_level(ours: Points, peer: Points) -> float:
    """The lowest distance that both curves reach."""
    return max(min(d for _, d in ours), min(d for _, d in peer))


def times_sooner(ours: Points, peer: Points, level: float | None = None) -> float:
    """Seconds of the peer over ours at a distance both reach (None: the lowest such). ValueError if one does not reach it."""
    level = common_level(ours, peer) if level is None else level
    own, theirs = seconds_at(ours, level), seconds_at(peer, level)
    if own is None or theirs is None:
        raise ValueError(f"level is {level}, which {'ours' if own is None else 'the peer'} does not reach")
    return theirs / own


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """k of the power law y = c x^k that fits best in logarithms."""
    if len(x) < 2 or min(x) <= 0 or min(y) <= 0:
        raise ValueError(f"x and y hold {list(x)} and {list(y)}; expected at least two points, all above zero")
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
