"""Images of the user's own: a folder of PNG and JPEG files, or of IDX files as MNIST's. Only read, never written to.

All are brought to what the networks take, 1 x 28 x 28 where every image is grey, else 3 x 32 x 32, by cropping to the middle
square and resizing. For photographs that takes a while, so the result is kept in the cache folder until a file changes.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shlex
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dipddpm_utils.config import Data
from dipddpm_utils.data.fetch import short
from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

CHAPTERS = "02,03,04,05,07"  # the notebooks that are about one's images
TINTED = 8  # grey levels between the channels of a pixel, above which an image is coloured
TRAIN_SHARE = 0.6  # of images that come without a split of their own, as for digits5k
LEAST_TRAIN, LEAST_HELD_OUT = 130, 65  # the Frechet distance needs more images than the 64 features
_IDX = re.compile(r"idx[13]-ubyte(\.gz)?$")
WANTED = "a folder of PNG or JPEG images, or of IDX files such as MNIST's"


@dataclass(frozen=True)
class Own:
    """What a folder holds: the data set, how many of its images are for what, and a line about it for the user."""

    data: Data
    n_train: int
    n_held_out: int
    given: bool  # by the files: the last n_held_out images are the held-out ones
    said: str


def read(path: str | Path) -> tuple[Own, np.ndarray, np.ndarray]:
    """What is in the folder `path`, its images uint8 [N,C,H,W] and labels int64 [N] (zeros without any), ordered by file name.

    Raises DataError naming the folder or the file that cannot be used, and what to do.
    """
    folder = files.expanded(path).absolute()
    try:
        facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in _found(folder)]
    except OSError as error:
        raise DataError(
            f"{error.filename or folder} cannot be read ({error.strerror}): make it readable or take it out"
        ) from error
    return _read(folder, json.dumps([1, str(folder), facts]))


@lru_cache(maxsize=2)
def _read(folder: Path, stamp: str) -> tuple[Own, np.ndarray, np.ndarray]:
    kept = f"own-{files.sha256_bytes(stamp.encode())[:16]}.npz"
    if (stored := files.arrays(files.cache_folder() / kept)) is not None:
        about = json.loads(str(stored["about"]))
        return Own(Data(**about.pop("data"), path=str(folder)), **about), stored["images"], stored["labels"]
    print(f"reading the images in {folder}", file=sys.stderr, flush=True)
    own, images, labels = _made(folder, _found(folder))
    print(own.said, file=sys.stderr, flush=True)
    about = json.dumps({**asdict(own), "data": own.data.model_dump()})
    files.keep(kept, files.npz_bytes({"about": about, "images": images, "labels": labels}))
    return own, images, labels


def _found(folder: Path) -> list[Path]:
    """The IDX files below the folder or, without any, the images; what is hidden is left out. May raise OSError."""
    if not folder.is_dir():
        raise DataError(f"{folder} {'is not a folder' if os.path.lexists(folder) else 'does not exist'}, expected {WANTED}")

    def refuse(error: OSError) -> None:
        raise error

    below = sorted(Path(top, name) for top, *both in os.walk(folder, onerror=refuse) for name in sum(both, []))
    shown = [path for path in below if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if links := [path for path in shown if path.is_symlink() and path.is_dir()]:
        raise DataError(f"{links[0]} is a link to a folder, which is not followed: copy that, or give the folder itself")
    paths = [path for path in shown if not path.is_dir()]
    idx = [path for path in paths if _IDX.search(path.name)]
    images = [path for path in paths if path.suffix.lower() in (".png", ".jpg", ".jpeg")]
    if not (idx or images):
        raise DataError(f"{folder} holds {len(paths)} files but no image, expected {WANTED}")
    if odd := [path for path in idx or images if path.exists() and not path.is_file()]:  # a pipe would be waited for
        raise DataError(f"{odd[0]} is neither a file nor a folder: take it out")
    return idx or images


def _made(folder: Path, found: list[Path]) -> tuple[Own, np.ndarray, np.ndarray]:
    images, labels, n_train, sizes, sums = (_from_idx if _IDX.search(found[0].name) else _from_images)(folder, found)
    given = n_train is not None
    n_train = n_train if given else round(TRAIN_SHARE * len(images))
    n_held_out, (_, channels, size, _) = len(images) - n_train, images.shape
    if n_train < LEAST_TRAIN or n_held_out < LEAST_HELD_OUT:
        least = f"expected at least {LEAST_TRAIN} and {LEAST_HELD_OUT}: add more images"
        raise DataError(f"{folder} gives {n_train} images to train on and {n_held_out} to judge by, {least}")
    if (distinct := len({image.tobytes() for image in images})) < LEAST_TRAIN:
        least = f"expected at least {LEAST_TRAIN}: add more images"
        raise DataError(f"{folder} gives {len(images)} images of which {distinct} are different, {least}")
    values, labels = np.unique(np.zeros(len(images)) if labels is None else labels, return_inverse=True)
    sha256 = files.sha256_bytes("\n".join(sums).encode(errors="surrogateescape"))  # a name need not be UTF-8
    data = Data(name="own", path=str(folder), sha256=sha256, colour=channels == 3, labelled=len(values) > 1)
    pixels, kind = f"{size} x {size} pixels", "colour" if data.colour else "grey"
    resized = f"of {len(sizes)} size{'s' * (len(sizes) > 1)}, cropped to the middle and resized to {pixels}"
    done = f"of {pixels}" if sizes == {(size, size)} else resized
    said = (
        f"{folder}: {len(images)} {kind} images {done}; {n_train} to train on, "
        f"{n_held_out} held out; {f'{len(values)} labels' if data.labelled else 'no labels'}"
    )
    return Own(data, n_train, n_held_out, given, said), images, labels.astype(np.int64)


# --- images: (uint8 [N,C,H,W], labels, how many to train on, sizes in pixels, checksums) ----------------------------------


def _from_images(folder: Path, found: list[Path]) -> tuple:
    grey, colour = np.empty((len(found), 1, 28, 28), np.uint8), np.empty((len(found), 3, 32, 32), np.uint8)
    sizes, sums = set(), []
    with ThreadPoolExecutor() as pool:
        for i, (small, large, size, digest) in enumerate(pool.map(_from_image, found)):
            grey[i, 0], colour[i] = small, large.transpose(2, 0, 1)
            sizes.add(size)
            sums.append(f"{digest} {found[i].relative_to(folder).as_posix()}")
    tinted = any(np.ptp(image, axis=0).max() > TINTED for image in colour)
    return colour if tinted else grey, None, None, sizes, sums


def _from_image(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[int, int], str]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        content = path.read_bytes()
        picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        size = picture.size
        picture.draft(None, (64, 64))  # a large JPEG is decoded at a fraction of its size
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16 bit
            picture = Image.fromarray((np.asarray(picture) / 257).round().clip(0, 255).astype(np.uint8))
        if picture.has_transparency_data:
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
        picture = picture.convert("RGB")
    except Exception as error:  # Pillow has many, in what an image says of itself as well
        why = "no PNG or JPEG" if isinstance(error, UnidentifiedImageError) else short(error)
        raise DataError(f"{path} cannot be read as an image ({why}): repair it or take it out") from error
    return _square(picture.convert("L"), 28), _square(picture, 32), size, files.sha256_bytes(content)


def _square(picture: Image, size: int) -> np.ndarray:
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS))


# --- IDX files: the same -------------------------------------------------------------------------------------------------


def _from_idx(folder: Path, found: list[Path]) -> tuple:
    from PIL import Image

    by_name = {str(path).removesuffix(".gz"): path for path in reversed(found)}  # the unpacked one where there are both
    parts = sorted((name for name in by_name if "idx3" in name), key=_is_test)
    if [_is_test(name) for name in parts] not in ([False], [False, True]):
        wanted = "expected one, or one to train on and one with t10k or test in its name: give the folder of one data set"
        raise DataError(f"{folder} holds {len(parts)} IDX files of images, {wanted}")
    images, labels, sizes, sums = [], [], set(), []
    for name in parts:
        pixels = _idx(by_name[name], 3, sums)
        sizes.add(pixels.shape[1:])
        resized = pixels if pixels.shape[1:] == (28, 28) else [_square(Image.fromarray(image), 28) for image in pixels]
        images.append(np.asarray(resized))
        partner = by_name.get(str(Path(name).with_name(Path(name).name.replace("images", "labels").replace("idx3", "idx1"))))
        if partner is not None:
            labels.append(_idx(partner, 1, sums))
            if len(labels[-1]) != len(pixels):
                raise DataError(f"{partner} has {len(labels[-1])} labels for {len(pixels)} images: get both files again")
    both = np.concatenate(labels) if len(labels) == len(parts) else None
    return np.concatenate(images)[:, None], both, len(images[0]) if len(parts) > 1 else None, sizes, sums


def _is_test(name: str) -> bool:
    return re.search(r"(^|[^a-z])(t10k|test)([^a-z]|$)", Path(name).name) is not None


def _idx(path: Path, dimensions: int, sums: list[str]) -> np.ndarray:
    """The bytes of an IDX file as an array; the sha256 of its unpacked content is added to `sums`."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        if content[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError(f"not bytes in {dimensions} dimensions")
        shape = np.frombuffer(content, ">u4", dimensions, 4).astype(int)
        if 0 in shape:
            raise ValueError(f"its header says {' x '.join(map(str, shape))}")
        sums.append(files.sha256_bytes(content))
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as an IDX file ({short(error)}): get it again") from error


def described(folder: str) -> str:
    """What is in a folder of one's own images, what would judge them, and the command that asks the question of them."""
    found = read(folder)[0]
    fixed = "FD-CIFAR" if found.data.colour else "FD-MNIST"
    judge = "a classifier fitted to their labels (FD-OWN)" if found.data.labelled else f"KID on {fixed}'s features; no FID"
    command = f"python -m dipddpm_utils notebooks --profile {shlex.quote(f'quick:{folder}')} --only {CHAPTERS}"
    return f"{found.said}\nsha256: {found.data.sha256}\njudged by {judge}\nthe report on them: {command}"
