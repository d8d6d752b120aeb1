"""Numbers as text: three significant digits, intervals to the same place as the value, nothing typed by hand."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dipddpm_utils.judging.stats import ALPHA, Interval
from dipddpm_utils.page.compare import Paired

FEW = 4  # seeds, at most, whose interval may say nothing


class Link(NamedTuple):
    """A cell of a table that leads somewhere: what it says, and where to."""

    text: str
    target: str


def decimals(value: float, digits: int = 3) -> int:
    """Decimal places that show `value` to that many significant digits, 5 at most: 14.2 -> 1, 0.0412 -> 4, 1234 -> 0."""
    if not math.isfinite(value) or value == 0:
        return digits - 1
    return min(5, max(0, digits - 1 - math.floor(math.log10(abs(value)) + 1e-12)))


def number(value: float | None, digits: int = 3) -> str:
    """A number to three significant digits, with thousands separated by a thin space in long integers."""
    if value is None or not math.isfinite(value):
        return "not known"
    return f"{value:,.{decimals(value, digits)}f}".replace(",", "\u202f")


def count(value: float) -> str:
    """A whole number, thousands separated by a thin space."""
    return f"{value:,.0f}".replace(",", "\u202f")


TOO_WIDE = "[wide]"
TOO_WIDE_MEANS = f"{TOO_WIDE}: an interval wider than twice the value, from few seeds; the CSV has it."


def span(interval: Interval | None, sign: str = "") -> str:
    """'14.2 [13.1, 15.0]'; without an interval only the value; '' if nothing was measured. sign: '+' to show it always.

    The interval of a mean over so few seeds that it says nothing is not printed as if it did: '5.59 [wide: 1.99 to 15.66]'.
    """
    if interval is None:
        return ""
    ends = [end for end in (interval.low, interval.high) if math.isfinite(end)]
    if not any((interval.value, *ends)):
        return "0"
    places = decimals(max(map(abs, (interval.value, *ends))) if sign else interval.value)
    value, *bounds = (f"{x:{sign}.{places}f}" for x in (interval.value, *ends))
    if (
        len(bounds) == 2
        and 2 < interval.n <= FEW
        and not sign
        and interval.high - interval.low > 2 * interval.value > 2 * interval.low > 0
    ):
        return f"{value} [wide: {' to '.join(bounds)}]"
    return f"{value} [{', '.join(bounds)}]" if len(bounds) == 2 else value


def ends(values: Sequence[float]) -> str:
    """The least and the most of some numbers: '1.2 to 1.5'."""
    return " to ".join(dict.fromkeys(number(end, 2) for end in (min(values), max(values))))


def factor(gap: Paired) -> str:
    """A difference of logarithms as a factor: '1.31 [1.12, 1.53]', however wide: its verdict stands beside it."""
    ends = {"low": math.exp(gap.low), "value": math.exp(gap.value), "high": math.exp(gap.high)}
    return span(Interval(**ends, n=FEW + 1))


def effect(gap: Paired | None, unit: str = "") -> str:
    """'a factor of 1.31 [1.12, 1.53]', or '+6.3 [+2.1, +10.4] dB'; '' if there is none."""
    if gap is None:
        return ""
    return f"a factor of {factor(gap)}" if gap.ratio else f"{span(gap, '+')} {unit}".strip()


def shown_by(gap: Paired) -> str:
    """'p = 0.012, Holm over 8': what the verdict rests on; '' with one pair."""
    if not math.isfinite(gap.p):
        return ""
    places = 4 if f"{gap.p:.3f}" == f"{ALPHA:.3f}" else 2 if gap.p >= 0.1 else 3  # so that it is seen to be above or below
    p = "p < 0.001" if gap.p < 1e-3 else f"p = {gap.p:.{places}f}"
    return p + (f", Holm over {gap.of}" if gap.of > 1 else "")
