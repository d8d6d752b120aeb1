"""What a DIP does to real images, one effect at a time and without a DIP: data sets that isolate why a DIP helps or hurts.

Each control is one function, `@control("name")`: (real images, what the DIP makes of them) -> (the same images changed, how
much), floats [N, C, H, W] in [-1, 1] throughout. Where a control has a strength, it is taken from the DIP's outputs. Those of
an untrained network are made where networks are built (experiments_images.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dipddpm_utils import ranges
from dipddpm_utils.judging import fidelity

Control = Callable[[Tensor, Tensor], tuple[Tensor, float]]
CONTROLS: dict[str, Control] = {}
WIDTHS = tuple(k / 20 for k in range(61))  # pixels, 0 to 3: the Gaussian widths that `blur` chooses from
COMPARED = 1000  # images whose spectra are compared


def control(name: str) -> Callable[[Control], Control]:
    """Register a control under the name that `Ddpm.train_on` uses for it."""

    def register(function: Control) -> Control:
        CONTROLS[name] = function
        return function

    return register


@control("blur")
def blur(real: Tensor, outputs: Tensor) -> tuple[Tensor, float]:
    """Gaussian blur of the width (pixels) whose power spectrum is nearest to the DIP's."""
    width = matched_width(real[:COMPARED], outputs[:COMPARED])
    return torch.cat([fidelity.gaussian_blur(part, width) for part in real.split(COMPARED)]), width


@control("clip")
def clip(real: Tensor, outputs: Tensor) -> tuple[Tensor, float]:
    """max(0, 2 p - 1) for p in [0, 1]: what a sigmoid makes of targets in [-1, 1] (FA2), exactly. `outputs` is not used."""
    return ranges.unit_to_signed((2 * ranges.signed_to_unit(real) - 1).clamp(min=0)), 1.0


@control("rescaled")
def rescaled(real: Tensor, outputs: Tensor) -> tuple[Tensor, float]:
    """mean + s (x - mean), s such that the variance about each channel's mean is that of the DIP's outputs; cut to [-1, 1]."""
    centre = real.mean((0, 2, 3), keepdim=True)
    ratio = (variance(outputs) / variance(real)).sqrt()
    return (centre + ratio * (real - centre)).clamp(-1, 1), float(ratio)


def variance(images: Tensor) -> Tensor:
    """Mean square of [N, C, H, W] about each channel's mean: a scalar."""
    return (images - images.mean((0, 2, 3), keepdim=True)).square().mean()


def matched_width(real: Tensor, outputs: Tensor) -> float:
    """The width in WIDTHS, in pixels, at which blurred `real` is nearest to `outputs` in log power over all frequencies.

    Nearest in the sum, over rings of spatial frequency, of squared differences of the log of radially averaged power.
    """
    wanted = radial_power(outputs).log()
    distances = [(radial_power(fidelity.gaussian_blur(real, width)).log() - wanted).square().sum() for width in WIDTHS]
    return WIDTHS[int(torch.stack(distances).argmin())]


def radial_power(images: Tensor) -> Tensor:
    """Power spectrum of [N, C, H, W], averaged over images, channels and directions: [R], ring r around r cycles an image.

    The constant (r = 0) is left out, as are the corners beyond the highest frequency along an axis.
    """
    height, width = images.shape[-2:]
    if height != width:
        raise ValueError(f"images are {height} x {width} pixels, expected squares")
    k = torch.fft.fftfreq(height, 1 / height, device=images.device)
    ring = (k[:, None] ** 2 + k[None] ** 2).sqrt().round().long().flatten()
    power = torch.fft.fft2(images.float()).abs().square().mean((0, 1)).flatten()
    rings = height // 2
    kept = (ring >= 1) & (ring <= rings)
    sums = torch.zeros(rings, device=images.device).index_add_(0, ring[kept] - 1, power[kept])
    counts = torch.zeros(rings, device=images.device).index_add_(0, ring[kept] - 1, torch.ones_like(power[kept]))
    return sums / counts + 1e-12
