"""What surrounds a command: readers of its output that go away, a user without a home, and signals, as a clean stop."""

from __future__ import annotations

import errno
import getpass
import io
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Self

_lost: list[OSError] = []


class _Lasting(io.FileIO):
    """A standard stream whose reader may go away (`| head`, a `tee` that Ctrl-C ended), or whose disk may fill up.

    The computation whose words it carries is worth more than they: it goes on.
    """

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # a pipe or a terminal that nobody reads any more
                _lost.append(error)
            return len(data)


def lost() -> str:
    """Why something that was said was not written, or nothing."""
    return str(_lost[0].strerror) if _lost else ""


def steady() -> None:
    """For a command, before anything else: it outlives its readers, SIGTERM lets it clean up, user and home are named."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:  # closed (`2>&-`): the next file that is opened would get its number, and our words
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            os.set_inheritable(number, True)  # where both were the same number, it would be closed to children
            setattr(sys, name, open(number, "w", closefd=False))
        old = getattr(sys, name)
        raw = io.BufferedWriter(_Lasting(old.fileno(), "w", closefd=False))
        lines = name == "stderr" or old.isatty()
        setattr(sys, name, io.TextIOWrapper(raw, old.encoding, old.errors, line_buffering=lines))
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # temporary folders go on the way out
    home = os.path.expanduser("~")  # stays as it is without an entry among the system's users, as in some containers
    os.environ.setdefault("HOME", "/" if home == "~" else home)
    try:
        getpass.getuser()  # parts of torch do
    except (KeyError, OSError):
        os.environ["USER"] = f"uid{os.getuid()}"


# --- Ctrl-C: the first one asks every computation to save and end, the second one ends at once ------------------------

SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}


class CleanStop:
    """While entered, Ctrl-C (or SIGTERM, or a closed terminal) creates the file `stop`, which `budget.Budget` looks for
    between steps (DIPDDPM_STOP).

    A notebook's kernel runs in a session of its own and never sees the terminal's Ctrl-C, so the file reaches it instead.
    outlived: by jobs, which may look at the file only after this process is gone, so that it stays.
    """

    def __init__(self, *, outlived: bool = False) -> None:
        self.outlived = outlived

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="dipddpm-"))
        self.stop = self.folder / "stop"
        self.asked = 0  # then what a shell reports for a program ended by that signal: 130 for Ctrl-C, 143 for SIGTERM
        heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores SIGHUP
        self._before = {number: signal.signal(number, self._interrupted) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _interrupted(self, number: int, _frame: FrameType | None) -> None:
        again, self.asked = self.asked, 128 + number
        if again:
            if not self.outlived:
                shutil.rmtree(self.folder, ignore_errors=True)
            os._exit(self.asked)  # kernels end by themselves when their parent is gone
        with suppress(OSError):  # a full disk: what runs goes on to its end, and nothing else begins
            self.stop.touch()
        with suppress(OSError):  # os.write: print may be interrupted in the middle of itself by this very handler
            os.write(2, b"\nstopping: what is running is being saved (Ctrl-C again ends at once)\n")
