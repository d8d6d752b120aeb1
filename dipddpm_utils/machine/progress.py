"""Progress of long work: a bar on a terminal, a few plain lines elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from typing import Any


class Progress(AbstractContextManager):
    """`with Progress(steps, 'ddpm-s0', step) as bar: bar.update(loss=0.1)`: tqdm on a terminal, else at most twenty lines."""

    def __init__(self, total: int, label: str, initial: int = 0) -> None:
        from tqdm import tqdm

        self._begin = time.monotonic()
        self._bar = tqdm(total=total, desc=label, initial=initial, leave=False, mininterval=0.2, disable=None)
        self.total, self.label, self.done, self.initial = max(1, total), label, initial, initial

    def update(self, n: int = 1, **values: float) -> None:
        """Counts `n` more and shows `values`: beside the bar, or in a line when another twentieth of the loop is done."""
        before, self.done = self.done, self.done + n
        shown = "".join(f"  {name} {value:.4g}" for name, value in values.items())
        self._bar.set_postfix_str(shown.strip(), refresh=False)
        self._bar.update(n)
        if self._bar.disable and self.done * 20 // self.total > before * 20 // self.total:
            spent = time.monotonic() - self._begin
            left = spent / max(1, self.done - self.initial) * max(0, self.total - self.done)
            line = f"{self.label}: {self.done}/{self.total}  {spent:.0f} s, about {left:.0f} s left{shown}"
            print(line, file=sys.stderr, flush=True)

    def __exit__(self, *_: Any) -> None:
        self._bar.close()
