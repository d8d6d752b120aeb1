"""How drawn digits look, in numbers: their contrast, and how ragged their outline is."""

import math

import numpy as np
from numpy.typing import NDArray


def raggedness(images: NDArray[np.uint8]) -> float:
    """Outline over root of the area of the ink, mean over images [N, C, H, W]: 4 for a square, more for a ragged shape.

    Ink is what is brighter than midway between an image's darkest and brightest pixel, so that greyer digits are not taken for
    thinner ones. The outline counts the sides of pixels between ink and no ink. An image of one grey has no ink and is left
    out; NaN if all are.
    """
    grey = np.asarray(images).mean(axis=1, dtype=float)
    middle = (grey.min(axis=(1, 2)) + grey.max(axis=(1, 2))) / 2
    ink = np.pad(grey > middle[:, None, None], ((0, 0), (1, 1), (1, 1)))
    outline = (ink[:, 1:] != ink[:, :-1]).sum(axis=(1, 2)) + (ink[:, :, 1:] != ink[:, :, :-1]).sum(axis=(1, 2))
    area = ink.sum(axis=(1, 2))
    some = area > 0
    return float((outline[some] / np.sqrt(area[some])).mean()) if some.any() else math.nan


def contrast(images: NDArray[np.uint8]) -> float:
    """Standard deviation of the pixels of an image in [0, 1], mean over images uint8 [N, C, H, W]."""
    return float((np.asarray(images) / 255.0).std(axis=(1, 2, 3)).mean())
