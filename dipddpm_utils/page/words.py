"""Numbers as text: three significant digits, intervals to the same place as the value, nothing typed by hand."""

from __future__ import annotations

import math
from typing import NamedTuple

from dipddpm_utils.judging.stats import Interval
from dipddpm_utils.page.compare import Paired


class Link(NamedTuple):
    """A cell of a table that leads somewhere: what it says, and where to."""

    text: str
    target: str


def decimals(value: float, digits: int = 3) -> int:
    """Decimal places that show `value` to that many significant digits, 5 at most: 14.2 -> 1, 0.0412 -> 4, 1234 -> 0."""
    if not math.isfinite(value) or value == 0:
        return digits - 1
    return min(5, max(0, digits - 1 - math.floor(math.log10(abs(value)) + 1e-12)))


def number(value: float, digits: int = 3) -> str:
    """A number to three significant digits, with thousands separated by a thin space in long integers."""
    if value is None or not math.isfinite(value):
        return "not known"
    return f"{value:,.{decimals(value, digits)}f}".replace(",", "\u202f")


def count(value: float) -> str:
    """A whole number, thousands separated by a thin space."""
    return f"{value:,.0f}".replace(",", "\u202f")


def span(interval: Interval | Paired | None) -> str:
    """'14.2 [13.1, 15.0]'; without an interval only the value; '' if nothing was measured."""
    if interval is None:
        return ""
    places = decimals(interval.value)
    if interval.low is None or interval.high is None or not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return f"{interval.value:.{places}f}"
    return f"{interval.value:.{places}f} [{interval.low:.{places}f}, {interval.high:.{places}f}]"


def signed(interval: Paired) -> str:
    """'+6.3 [+2.1, +10.4]'."""
    places = decimals(max(abs(x) for x in (interval.value, interval.low, interval.high) if x is not None))
    if interval.low is None:
        return f"{interval.value:+.{places}f}"
    return f"{interval.value:+.{places}f} [{interval.low:+.{places}f}, {interval.high:+.{places}f}]"


def in_unit(measured: Paired, unit: str) -> str:
    """An effect in its unit: one in logarithms ('log FD') as a factor, any other with its sign ('+6.3 [+2.1, +10.4] dB')."""
    return f"a factor of {factor(measured)}" if in_logarithms(unit) else f"{signed(measured)} {unit}"


def in_logarithms(unit: str) -> bool:
    """Whether an effect of that unit is a difference of logarithms, and shown as a factor."""
    return unit.startswith("log ")


def factor(log_ratio: Paired) -> str:
    """A difference of logarithms as a factor: '1.31 [1.12, 1.53]'."""
    ends = [None if x is None else math.exp(x) for x in (log_ratio.low, log_ratio.high)]
    return span(Paired(math.exp(log_ratio.value), ends[0], ends[1], log_ratio.n, log_ratio.needed))
