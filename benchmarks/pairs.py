"""Fair timing: ours and a peer in turn, in one process, so that whatever slows the machine slows both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table, in `unit`; `spread` holds the quartiles over the pairs."""

    name: str
    value: float
    target: float | None
    unit: str
    spread: tuple[float, float]
    met: bool | None
    note: str = ""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def seconds(action: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def times_faster(
    name: str, ours: Callable[[], Any], peer: Callable[[], Any], target: float, pairs: int = 7, note: str = ""
) -> Row:
    """How many times longer the peer takes: median over pairs, after one unmeasured call of each."""
    ours(), peer()
    measured = [(seconds(ours), seconds(peer)) for _ in range(pairs)]
    ratios = sorted(theirs / own for own, theirs in measured)
    value = median(ratios)
    about = f"ours {median(own for own, _ in measured):.3g} s, peer {median(theirs for _, theirs in measured):.3g} s"
    spread = (ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4])
    return Row(name, value, target, "times faster", spread, value >= target, f"{about}{'; ' if note else ''}{note}")


def at_most(name: str, action: Callable[[], Any], target: float, repeats: int = 7) -> Row:
    """Seconds of an action that has to stay under a limit: median over repeats."""
    measured = sorted(seconds(action) for _ in range(repeats))
    value = median(measured)
    return Row(name, value, target, "s", (measured[len(measured) // 4], measured[-1 - len(measured) // 4]), value <= target)
