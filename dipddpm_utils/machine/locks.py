"""One process at a time, also on file systems without flock, such as Google Drive and some network shares."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import StoreError

STALE = 180.0  # seconds without a sign of life after which the owner of a lock file counts as gone


@contextmanager
def locked(path: Path, what: str, check: Callable[[], None]) -> Iterator[None]:
    """Hold the lock `path`. That another process `what` is waited for is said, and `check()`, called meanwhile, may raise.

    Where there is flock, the system frees the lock of a process that died. Elsewhere `<path>.owner` is there while the lock
    is held: it names host and process, and is written to again and again. It is taken over from a process of this host that
    is gone, and from any that gave no sign of life for STALE seconds by the clock of the process that waits.
    """
    try:
        lock = FileLock(path) if _has_flock(path) else SoftFileLock(path.with_name(f"{path.name}.owner"))
        _acquire(lock, what, check)
    except OSError as error:
        raise StoreError(files.explain(path, error)) from error
    try:
        with _alive(Path(lock.lock_file)) if isinstance(lock, SoftFileLock) else nullcontext():
            yield
    finally:
        lock.release()


def _has_flock(path: Path) -> bool:
    if os.name == "nt":
        return True  # filelock has its own way there
    import fcntl

    with open(path, "ab+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # another process may hold it
            return error.errno not in files.REFUSED
    return True


def _acquire(lock: FileLock | SoftFileLock, what: str, check: Callable[[], None]) -> None:
    path, seen, since = Path(lock.lock_file), None, 0.0
    while True:
        try:
            lock.acquire(timeout=0.5)
            return
        except Timeout:
            check()
        if not since:
            print(f"waiting for another process {what}", file=sys.stderr, flush=True)
            since = time.monotonic()
        with suppress(FileNotFoundError, Timeout):
            sign = path.stat().st_mtime_ns
            if sign != seen:
                seen, since = sign, time.monotonic()
            elif time.monotonic() - since > STALE and isinstance(lock, SoftFileLock):
                with SoftFileLock(f"{path}.taken", timeout=0.5):  # else two that wait may remove it, one of them the other's
                    if path.stat().st_mtime_ns == seen:
                        path.unlink()


@contextmanager
def _alive(path: Path) -> Iterator[None]:
    """While entered, the file shows signs of life: its first letter is written once more."""
    done = threading.Event()

    def show() -> None:
        while not done.wait(STALE / 9):
            with suppress(OSError), open(path, "r+b") as file:  # a write, since setting times may be refused as well
                first = file.read(1)
                file.seek(0)
                file.write(first or b"\n")  # older versions of filelock leave it empty

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
