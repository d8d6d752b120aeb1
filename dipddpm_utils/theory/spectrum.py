"""Errors by spatial frequency: what a network has fitted so far, from coarse shapes to single pixels."""

import torch
from torch import Tensor


def band_errors(target: Tensor, output: Tensor, bands: int) -> Tensor:
    """Relative squared error in each of `bands` rings of spatial frequency: float32 [bands], the lowest first.

    target, output: [N, C, H, W] in any range. Ring k holds the frequencies (cycles a pixel, up to 0.5 along an axis) between
    k and k + 1 bands-ths of the highest one; corners belong to the last. The constant is left out. An entry is
    sum |FFT(output - target)|^2 / sum |FFT(target)|^2 over the ring and all images: 1 means nothing is fitted, 0 everything
    (the measure of Rahaman et al. 2019, arXiv 1806.08734, section 3). ValueError if shapes differ, or if there are so many
    bands that a ring holds no frequency.
    """
    if target.shape != output.shape:
        raise ValueError(f"output has shape {list(output.shape)}, expected target's {list(target.shape)}")
    height, width = target.shape[-2:]
    if not 1 <= bands <= min(height, width) // 2:
        raise ValueError(f"bands is {bands}, expected 1..{min(height, width) // 2} for images of {height} x {width} pixels")
    rows, columns = (torch.fft.fftfreq(side, device=target.device) for side in (height, width))
    radius = (rows[:, None] ** 2 + columns[None] ** 2).sqrt()
    ring = (radius / 0.5 * bands).long().clamp(max=bands - 1)

    def energy(x: Tensor) -> Tensor:
        power = torch.fft.fft2(x.float()).abs().square().sum(dim=(0, 1))
        power[0, 0] = 0.0
        return torch.zeros(bands, device=x.device).index_add_(0, ring.flatten(), power.flatten())

    return energy(output - target) / energy(target).clamp(min=1e-12)
