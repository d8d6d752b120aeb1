"""The one place that writes files: whole or not at all, on the disk before the name is there."""

import errno
import hashlib
import io
import json
import os
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from dipddpm_utils.machine.errors import StoreError, UsageError

CHECKOUT = Path(__file__).resolve().parents[2]
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}  # to this user
# What file systems answer that have no such call (Google Drive and other FUSE, SMB, WSL): no reason to fail.
REFUSED = {errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}


def write_bytes(path: Path | str, data: bytes) -> Path:
    """Write `data` to `path` so that a reader, a kill or a full disk sees the old file or the new one, never half.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and take the name by a rename. The file's
    mode is what the user's umask leaves. Raises StoreError in one line when the folder cannot be written or the disk is
    full; the old file is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            _sync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:  # also Ctrl-C between the two names
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise StoreError(explain(path, error)) from error
        raise
    return path


def check_writable(folder: Path) -> None:
    """StoreError if nothing can be written to a folder, which is made: said before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:  # without a name: a kill leaves nothing behind
            probe.write(bytes(4096))
    except OSError as error:
        raise StoreError(explain(folder, error)) from error


def write_text(path: Path | str, text: str) -> Path:
    """UTF-8 text with a newline at its end."""
    return write_bytes(path, (text if text.endswith("\n") else text + "\n").encode())


def write_json(path: Path | str, value: Any) -> Path:
    """Readable, diffable JSON: two spaces, keys in the order given, no NaN."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def npz_bytes(arrays: dict[str, Any]) -> bytes:
    """A compressed .npz without pickle, as bytes; the same arrays give the same bytes (numpy fixes the zip's dates)."""
    import numpy as np

    for name, array in arrays.items():
        if np.asarray(array).dtype == object:
            raise TypeError(f"array {name!r} holds Python objects; only plain numbers are written")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(array) for name, array in arrays.items()})
    return buffer.getvalue()


def read_json(path: Path | str, advice: str = "remove it and run the same command again") -> Any:
    """The JSON in `path`; StoreError, which ends with the advice, if it is not there or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(explain(Path(path), error)) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is not valid JSON ({error}): {advice}") from error


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def _sync(handle: int) -> None:
    """To the disk, where the file system can be told so; a full or broken disk still raises."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in REFUSED:
            raise


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it can be written but not read, or folders cannot be opened at all
        return
    try:
        _sync(handle)
    finally:
        os.close(handle)


def expanded(path: Path | str) -> Path:
    """A path as it was typed, `~` and `~user` in it made a home folder. UsageError if that user has none on this machine."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path} begins with the home folder of a user who is not known here: write the path out") from error


def cache_folder() -> Path:
    """DIPDDPM_CACHE, else dipddpm in the user's cache folder (XDG_CACHE_HOME or ~/.cache)."""
    own = os.environ.get("DIPDDPM_CACHE")
    return expanded(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dipddpm"


def offline() -> bool:
    """Whether DIPDDPM_OFFLINE asks for no download: set, and not to 0."""
    return os.environ.get("DIPDDPM_OFFLINE", "") not in ("", "0")


def arrays(path: Path) -> dict[str, Any] | None:
    """The arrays of an .npz; None where it is not there, torn or damaged, so that its content is made again."""
    import numpy as np

    with suppress(Exception), np.load(path) as stored:  # numpy, zipfile, zlib, tokenize: each has errors of its own
        return dict(stored)
    return None


def keep(name: str, data: bytes) -> None:
    """Write what can be made again to the cache folder; where that cannot be written it costs time, nothing else."""
    with suppress(StoreError):
        write_bytes(cache_folder() / name, data)


_REASONS = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again, it goes on",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again, it goes on",
    errno.EISDIR: "a folder, expected a file: move it away, or name another file",
}


def explain(path: Path, error: OSError) -> str:
    """One line for an error of the system: which path, why, what to do."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return f"cannot use {path}: {reason}{_instead(path) if error.errno in _CLOSED else ''}"


def _instead(path: Path) -> str:
    """What to do about a path that is closed to the user, by what it is for."""
    path = path.absolute()
    if path.is_file() and not os.access(path, os.R_OK):
        return ": make it readable"
    if path.is_relative_to(cache_folder()):
        return ": set DIPDDPM_CACHE to a folder that can be written"
    if path.is_relative_to(CHECKOUT) and not path.is_relative_to(CHECKOUT / "results"):
        return ": make this checkout writable, or take a copy of it that is"
    return ": choose a folder that can be written with --results DIR"
