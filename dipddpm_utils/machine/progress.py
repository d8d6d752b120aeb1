"""Progress of long work: a bar on a terminal, a few plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Lines:
    """Progress as at most twenty plain lines over a whole loop, for notebooks and log files."""

    def __init__(self, total: int, label: str, initial: int) -> None:
        self.total, self.label, self.done = max(1, total), label, initial
        self._initial, self._begin = initial, time.monotonic()
        self._printed = self._slot()

    def _slot(self) -> int:
        return min(20, self.done * 20 // self.total)

    def update(self, n: int = 1, **values: Any) -> None:
        """Counts `n` more; prints a line with `values` when another twentieth of the loop is done."""
        self.done += n
        if self._slot() > self._printed:
            self._printed = self._slot()
            spent = time.monotonic() - self._begin
            left = spent / max(1, self.done - self._initial) * max(0, self.total - self.done)
            shown = "".join(f"  {name} {_short(value)}" for name, value in values.items())
            line = f"{self.label}: {self.done}/{self.total}  {spent:.0f} s, about {left:.0f} s left{shown}"
            print(line, file=sys.stderr, flush=True)


class Bar:
    """Progress as a tqdm bar on a terminal."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def update(self, n: int = 1, **values: Any) -> None:
        """Counts `n` more and shows `values` beside the bar."""
        if values and self._bar.n + n >= self._bar.last_print_n + self._bar.miniters:
            self._bar.set_postfix_str("  ".join(f"{name} {_short(value)}" for name, value in values.items()), refresh=False)
        self._bar.update(n)


@contextmanager
def progress(total: int, label: str, initial: int = 0) -> Iterator[Bar | Lines]:
    """`with progress(steps, 'ddpm-s0', initial=state.step) as bar: bar.update(loss=0.1)`: a bar on a terminal, else lines."""
    if not sys.stderr.isatty():
        yield Lines(total, label, initial)
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=label, initial=initial, leave=False, mininterval=0.2) as bar:
        yield Bar(bar)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
