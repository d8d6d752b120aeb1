"""What a prior is given: training images, a fitted DIP, the process; and the ways of drawing from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.dip import fit
from dipddpm_utils.judging import fidelity


@dataclass(frozen=True)
class Given:
    """What a prior may look at. All is made on the device of `train`; images are taken as uint8, or as floats in [-1, 1]."""

    train: Tensor  # uint8 [N, C, H, W], the training images
    coefs: Coefficients
    net: nn.Module | None = None  # the fitted DIP, [0, 1] -> about [0, 1], for a prior that is declared to need one

    def drawn(self, n: int, generator: torch.Generator) -> Tensor:
        """n training images, uint8, without repeats as far as there are enough."""
        total = len(self.train)
        rounds = [torch.randperm(total, generator=generator, device=generator.device) for _ in range(math.ceil(n / total))]
        return self.train[torch.cat(rounds)[:n].to(self.train.device)]

    def normal(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """N(0, I), drawn where the generator lives: a CPU generator gives the same noise for every device."""
        return torch.randn(shape, generator=generator, device=generator.device).to(self.train.device)

    def signed(self, images: Tensor) -> Tensor:
        """The images as floats in [-1, 1]."""
        return ranges.uint8_to_signed(images) if images.dtype == torch.uint8 else images

    def blurred(self, images: Tensor) -> Tensor:
        """What a DIP does, without a DIP: a Gaussian blur of BLUR pixels, in [-1, 1]."""
        return fidelity.gaussian_blur(self.signed(images))

    def dip(self, images: Tensor) -> Tensor:
        """What the DIP makes of the images, in [-1, 1]. ValueError if none was given."""
        if self.net is None:
            raise ValueError("no DIP is given: declare the prior with dip=True, and name a `dip` in its configuration")
        unit = ranges.uint8_to_unit(images) if images.dtype == torch.uint8 else ranges.signed_to_unit(images).clamp(0, 1)
        return fit.dip_outputs(self.net, unit)
