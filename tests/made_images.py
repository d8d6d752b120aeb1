"""Images made for tests that need colour, or files, and no network."""

from __future__ import annotations

import numpy as np


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
