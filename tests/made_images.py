"""Images made for tests that need colour, or files, and no network."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image


def put_images(folder: Path, images: np.ndarray, ending: str = "png") -> Path:
    """Write images uint8 [N,3,H,W], [N,1,H,W] or [N,H,W] as numbered files."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        pixels = image if image.ndim == 2 else image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / f"{i:04}.{ending}")
    return folder


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the format of MNIST's files."""
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


def made_colour_images(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [n,3,32,32], labels [n]): soft-edged coloured discs, bars or rings (label 0, 1, 2) over a shaded ground.

    Made, not found: smooth like photographs (most power at low frequencies), for tests that need colour and no network.
    """
    rng = np.random.default_rng(seed)
    size = 32
    y, x = np.mgrid[0:size, 0:size][:, None] / (size - 1) - 0.5  # [1,H,W], -0.5..0.5

    def draw(low: float, high: float, *shape: int) -> np.ndarray:
        return rng.uniform(low, high, (n, *shape))[..., None, None]

    labels = np.arange(n) % 3
    angle = draw(0, np.pi)
    slope = draw(-0.5, 0.5, 3) * x[None] + draw(-0.5, 0.5, 3) * y[None]
    waves = draw(0.02, 0.08, 3) * np.sin(2 * np.pi * (draw(0, 3, 3) * x[None] + draw(0, 3, 3) * y[None] + draw(0, 1, 3)))
    ground = draw(0.25, 0.75, 3) + slope + waves
    dx, dy, radius = x - draw(-0.2, 0.2), y - draw(-0.2, 0.2), draw(0.12, 0.3)
    across = np.abs(dx * np.cos(angle) + dy * np.sin(angle))
    away = np.hypot(dx, dy)
    depth = np.choose(labels[:, None, None], (radius - away, radius / 2 - across, 0.08 - np.abs(away - radius)))
    cover = 1 / (1 + np.exp(-np.clip(depth / draw(0.01, 0.04), -40, 40)))[:, None]  # soft edges
    images = ground * (1 - cover) + (draw(0.0, 1.0, 3) + 0.3 * slope) * cover
    return (np.clip(images, 0, 1) * 255).round().astype(np.uint8), labels.astype(np.uint8)
