"""Ctrl-C as a clean stop: the first one asks every computation to save and end, the second one ends at once."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import FrameType

EXIT_CODE = 130  # what a shell reports for a program ended by Ctrl-C


class CleanStop:
    """While entered, Ctrl-C creates the file `stop`, which `runtime.Budget` looks for between steps (DIPDDPM_STOP).

    A notebook's kernel runs in a session of its own and never sees the terminal's Ctrl-C, so the file reaches it instead.
    """

    def __enter__(self) -> CleanStop:
        self.folder = Path(tempfile.mkdtemp(prefix="dipddpm-"))
        self.stop = self.folder / "stop"
        self.asked = False
        self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            os._exit(EXIT_CODE)  # kernels end by themselves when their parent is gone
        self.asked = True
        self.stop.touch()
        # os.write: print may be interrupted in the middle of itself by this very handler
        os.write(2, b"\nstopping: what is running is being saved (Ctrl-C again ends at once)\n")
