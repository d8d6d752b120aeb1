"""What a benchmark hands over (rows and curves), and fair timing: ours and a peer in turn, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


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
    low: tuple[float, ...] = ()  # ends of the 95% intervals of y, where there are any
    high: tuple[float, ...] = ()

    def plain(self) -> dict[str, Any]:
        return asdict(self)


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
    value = median(ratios)
    about = f"ours {median(own for own, _ in measured):.3g} s, peer {median(theirs for _, theirs in measured):.3g} s"
    met = None if target is None else value >= target
    return Row(name, value, target, "times faster", quartiles(ratios), met, f"{about}{'; ' if note else ''}{note}")


def at_most(name: str, measured: Sequence[float], target: float | None, unit: str = "s", note: str = "") -> Row:
    """The median of what was measured, which has to stay under a limit."""
    value = median(measured)
    return Row(name, value, target, unit, quartiles(measured), None if target is None else value <= target, note)


def at_least(name: str, measured: Sequence[float], target: float | None, unit: str, note: str = "") -> Row:
    """The median of what was measured, which has to reach a limit."""
    value = median(measured)
    return Row(name, value, target, unit, quartiles(measured), None if target is None else value >= target, note)
