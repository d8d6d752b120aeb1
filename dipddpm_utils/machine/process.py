"""What surrounds a command: readers of its output that go away, signals that end it, a user without a home."""

from __future__ import annotations

import errno
import getpass
import io
import os
import signal
import sys

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
    for name in ("stdout", "stderr"):
        old = getattr(sys, name)
        if old is not None:
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
