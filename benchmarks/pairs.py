"""What a benchmark hands over (rows and curves), and fair timing: ours and a peer in turn, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from dipddpm_utils.judging.stats import Interval


@dataclass(frozen=True)
class Setting:
    """Where a program measures. brief: tiny budgets, to see that it runs; its numbers mean nothing."""

    device: torch.device
    scratch: Path  # a folder that is removed at the end; programs may leave each other things there
    brief: bool = False

    def pick(self, whole: Any, brief: Any) -> Any:
        """One of two sizes."""
        return brief if self.brief else whole


@dataclass(frozen=True)
class Row:
    """One line of the table, in `unit`; `spread` holds the quartiles over the pairs (or what the note says)."""

    name: str
    value: float
    target: float | None
    unit: str
    spread: tuple[float, float]
    met: bool | None  # None: not judged, at a quality that is none
    note: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON holds it: numpy's numbers become Python's."""
        met = None if self.met is None else bool(self.met)
        spread = tuple(float(end) for end in self.spread)
        return {**asdict(self), "value": float(self.value), "spread": spread, "met": met}


@dataclass(frozen=True)
class Curve:
    """One line of a plot: `figure` names the plot, and curves of one figure with the same x_label share a panel."""

    figure: str
    label: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()  # ends of the bars of y, where there are any
    high: tuple[float, ...] = ()

    @classmethod
    def measured(cls, figure: str, label: str, x_label: str, y_label: str, values: Mapping[float, Sequence[float]]) -> Curve:
        """Through the medians of what was measured at each x, between its quartiles."""
        low, high = zip(*map(quartiles, values.values()), strict=True)
        return cls(figure, label, x_label, y_label, tuple(map(float, values)), tuple(map(median, values.values())), low, high)

    @classmethod
    def judged(cls, figure: str, label: str, x_label: str, n: int, found: Mapping[float, Interval]) -> Curve:
        """Through distances of n samples from held-out digits, between the ends of their intervals."""
        low, y, high = zip(*((one.low, one.value, one.high) for one in found.values()), strict=True)
        unit = f"FD-MNIST of {n} samples (lower is better)"
        return cls(figure, label, x_label, unit, tuple(map(float, found)), y, low, high)

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@contextmanager
def one_thread() -> Iterator[None]:
    """As records are computed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def row(
    name: str,
    measured: Sequence[float],
    unit: str = "s",
    note: str = "",
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Row:
    """The median of what was measured, and its quartiles; one of the two limits is its target, neither: it is not judged."""
    value = median(measured)
    if at_least is not None:
        return Row(name, value, at_least, unit, quartiles(measured), value >= at_least, note)
    return Row(name, value, at_most, unit, quartiles(measured), None if at_most is None else value <= at_most, note)


def seconds(action: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def quartiles(values: Iterable[float]) -> tuple[float, float]:
    """The lower and the upper quartile, as values that were measured."""
    values = sorted(values)
    return values[len(values) // 4], values[-1 - len(values) // 4]


def times_faster(
    name: str, ours: Callable[[], Any], peer: Callable[[], Any], target: float | None, pairs: int = 7, note: str = ""
) -> Row:
    """How many times longer the peer takes: median over pairs, after one unmeasured call of each."""
    ours(), peer()
    measured = [(seconds(ours), seconds(peer)) for _ in range(pairs)]
    ratios = [theirs / own for own, theirs in measured]
    about = f"ours {median(own for own, _ in measured):.3g} s, peer {median(theirs for _, theirs in measured):.3g} s"
    return row(name, ratios, "times faster", f"{about}{'; ' if note else ''}{note}", at_least=target)
