"""Ctrl-C as a clean stop: the first one asks every computation to save and end, the second one ends at once."""

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Self

EXIT_CODE = 130  # what a shell reports for a program ended by Ctrl-C
SIGNALS = {getattr(signal, name): name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}


class CleanStop:
    """While entered, Ctrl-C (or SIGTERM, or a closed terminal) creates the file `stop`, which `budget.Budget` looks for
    between steps (DIPDDPM_STOP).

    A notebook's kernel runs in a session of its own and never sees the terminal's Ctrl-C, so the file reaches it instead.
    """

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="dipddpm-"))
        self.stop = self.folder / "stop"
        self.asked = 0  # the signal that asked for a stop
        heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores SIGHUP
        self._before = {number: signal.signal(number, self._interrupted) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def why(self) -> str:
        """What asked for the stop, in words."""
        return "Ctrl-C" if self.asked == signal.SIGINT else SIGNALS[self.asked]

    @property
    def exit_code(self) -> int:
        """What a shell reports for a program ended by that signal: EXIT_CODE for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.asked

    def _interrupted(self, number: int, _frame: FrameType | None) -> None:
        again, self.asked = self.asked, number
        if again:
            shutil.rmtree(self.folder, ignore_errors=True)
            os._exit(self.exit_code)  # kernels end by themselves when their parent is gone
        with suppress(OSError):  # a full disk: what runs goes on to its end, and nothing else begins
            self.stop.touch()
        with suppress(OSError):  # os.write: print may be interrupted in the middle of itself by this very handler
            os.write(2, b"\nstopping: what is running is being saved (Ctrl-C again ends at once)\n")
