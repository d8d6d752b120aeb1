"""The restoration job: a degraded image y = A x + noise is given, so a prior may look at it. Images in [0, 1], [N, C, H, W].

- "denoise": y = clip(x + STD n, 0, 1); - "inpaint": half of the pixels are not seen; - "super_resolve": means of 2 x 2 pixels.

`restart` is where DDPM and DIP meet: a chain started at t from any guess at the image (SDEdit: Meng et al. 2022). A DIP is
told A, a chain that is only started from y is not: `told` tells it, at every step (DDNM: Wang, Yu and Zhang 2023, eq. 13).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dipddpm_utils import config, ranges
from dipddpm_utils.ddpm import sampling
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.judging.fidelity import gaussian_blur
from dipddpm_utils.priors.guidance import corrected
from dipddpm_utils.priors.starts import start_chain

STD = 0.4  # of the noise of "denoise"
SEEN = 0.5  # share of the pixels that "inpaint" leaves


@dataclass(frozen=True)
class Observation:
    """What is given. All tensors are images of the full size."""

    task: str
    target: Tensor  # y = A x + noise: what A of a fit is compared with
    picture: Tensor  # the degraded image as one would show it: missing pixels grey, coarse pixels copied
    smooth: Tensor  # a guess without any network: the control
    known: Tensor  # [N, 1, H, W]: 1 where y gives the pixel itself, 0 elsewhere

    def observe(self, images: Tensor) -> Tensor:
        """A, as a map from images to images."""
        if self.task == "inpaint":
            return self.known * images
        return coarse(images) if self.task == "super_resolve" else images

    def keep(self, guess: Tensor) -> Tensor:
        """A guess with the known pixels put back."""
        return self.known * self.target + (1 - self.known) * guess

    def agree(self, images: Tensor) -> Tensor:
        """The nearest images x with A x = y: x + (y - A x), since A is a projection. ValueError if y has noise of its own."""
        if self.task == "denoise":
            raise ValueError("task is 'denoise', whose y has noise, expected inpaint or super_resolve")
        return images + self.target - self.observe(images)

    def rows(self, rows: slice) -> Observation:
        """The same for some of the images."""
        parts = (x[rows] for x in (self.target, self.picture, self.smooth, self.known))
        return Observation(self.task, *parts)


def degrade(task: str, clean: Tensor, generator: torch.Generator) -> Observation:
    """Degrade clean images. ValueError if the task is none of denoise, inpaint, super_resolve."""
    ranges.check_unit(clean, "clean")
    known = torch.zeros_like(clean[:, :1])
    if task == "denoise":
        noise = torch.randn(clean.shape, generator=generator, device=generator.device).to(clean)
        noisy = (clean + STD * noise).clamp(0, 1)
        return Observation(task, noisy, noisy, gaussian_blur(noisy), known)
    if task == "inpaint":
        known = (torch.rand(known.shape, generator=generator, device=generator.device) < SEEN).to(clean)
        around = gaussian_blur(known * clean) / gaussian_blur(known).clamp(min=1e-6)  # the mean of what is seen nearby
        grey, guess = (known * clean + (1 - known) * fill for fill in (0.5, around))
        return Observation(task, known * clean, grey, guess, known)
    if task == "super_resolve":
        wide = F.interpolate(F.avg_pool2d(clean, 2), scale_factor=2, mode="bilinear", align_corners=False)
        return Observation(task, coarse(clean), coarse(clean), wide, known)
    raise ValueError(f"task is {task!r}, expected denoise, inpaint or super_resolve")


def coarse(images: Tensor) -> Tensor:
    """Means of 2 x 2 pixels, each copied to its four places."""
    return F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")


def restart(
    model: Model,
    coefs: Coefficients,
    about: config.Diffusion,
    sampler: config.Sampler,
    guess: Tensor,
    t_start: int,
    generator: torch.Generator,
) -> tuple[Tensor, int]:
    """Noise a guess in [0, 1] to t_start and run the rest of the chain: (images in [0, 1], network calls)."""
    x_t = start_chain(coefs, ranges.unit_to_signed(guess.clamp(0, 1)), t_start, generator)
    x_0, calls = sampling.sample(model, coefs, about, sampler, x_t, t_start, generator)
    return ranges.signed_to_unit(x_0).clamp(0, 1), calls


def told(model: Model, coefs: Coefficients, about: config.Diffusion, seen: Observation) -> Model:
    """The network whose x0_hat agrees with y at every step: x0_hat <- x0_hat + (y - A x0_hat)."""

    def agreeing(x0_hat: Tensor, t: int) -> Tensor:
        return ranges.unit_to_signed(seen.agree(ranges.signed_to_unit(x0_hat.clamp(-1, 1))).clamp(0, 1))

    return corrected(model, coefs, about, agreeing)
