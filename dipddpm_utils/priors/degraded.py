"""A degraded image y = A x + noise, and the chains that are told it. Images in [0, 1], [N, C, H, W]."""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from dipddpm_utils import ranges
from dipddpm_utils.config import Diffusion, Sampler
from dipddpm_utils.ddpm import sampling
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.judging.fidelity import gaussian_blur
from dipddpm_utils.machine import streams
from dipddpm_utils.priors.process import corrected, start_chain

STRENGTHS = {"denoise": 0.4, "inpaint": 0.5, "super_resolve": 2.0}  # where a run names none


@dataclass(frozen=True)
class Observation:
    """What is given. All tensors are images of the full size."""

    task: str
    target: Tensor  # y = A x + noise: what A of a fit is compared with
    picture: Tensor  # the degraded image as one would show it: missing pixels grey, coarse pixels copied
    smooth: Tensor  # a guess without any network: the control
    known: Tensor  # [N, 1, H, W]: 1 where y gives the pixel itself, 0 elsewhere
    side: int = 2  # of a coarse pixel

    def observe(self, images: Tensor) -> Tensor:
        """A, as a map from images to images."""
        if self.task == "inpaint":
            return self.known * images
        return coarse(images, self.side) if self.task == "super_resolve" else images

    def keep(self, guess: Tensor) -> Tensor:
        """A guess with what y says without noise put back: the known pixels, or the means of the coarse ones."""
        if self.task == "super_resolve":
            return self.agree(guess).clamp(0, 1)
        return self.known * self.target + (1 - self.known) * guess

    def agree(self, images: Tensor) -> Tensor:
        """The nearest images x with A x = y: x + (y - A x), since A is a projection. ValueError if y has noise of its own."""
        if self.task == "denoise":
            raise ValueError("task is 'denoise', whose y has noise, expected inpaint or super_resolve")
        return images + self.target - self.observe(images)

    def rows(self, rows: slice) -> Self:
        """The same for some of the images."""
        parts = (x[rows] for x in (self.target, self.picture, self.smooth, self.known))
        return Observation(self.task, *parts, self.side)


def degrade(task: str, clean: Tensor, generator: torch.Generator, strength: float | None = None) -> Observation:
    """Degrade clean images; strength: None is that of STRENGTHS.

    ValueError if the task is none of these, and if clean, on the CPU, leaves [0, 1].
    """
    if clean.device.type == "cpu":  # reading values off a GPU would stall it
        ranges.check_unit(clean, "clean")
    if task not in STRENGTHS:
        raise ValueError(f"task is {task!r}, expected {', '.join(STRENGTHS)}")
    strength, known = STRENGTHS[task] if strength is None else strength, torch.zeros_like(clean[:, :1])
    if task == "denoise":
        noisy = (clean + strength * streams.normal(clean, generator)).clamp(0, 1)
        return Observation(task, noisy, noisy, gaussian_blur(noisy), known)
    if task == "inpaint":
        known = (torch.rand(known.shape, generator=generator, device=generator.device) < strength).to(clean)
        around = gaussian_blur(known * clean) / gaussian_blur(known).clamp(min=1e-6)  # the mean of what is seen nearby
        grey, guess = (known * clean + (1 - known) * fill for fill in (0.5, around))
        return Observation(task, known * clean, grey, guess, known)
    side = int(strength)
    wide = F.interpolate(F.avg_pool2d(clean, side), scale_factor=side, mode="bilinear", align_corners=False)
    means = coarse(clean, side)
    return Observation(task, means, means, wide, known, side)


def coarse(images: Tensor, side: int) -> Tensor:
    """Means of side x side pixels, each copied to all its places."""
    return F.interpolate(F.avg_pool2d(images, side), scale_factor=side, mode="nearest")


def restart(
    model: Model, coefs: Coefficients, about: Diffusion, sampler: Sampler, guess: Tensor, t: int, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Noise a guess in [0, 1] to t and run the rest of the chain: (images in [0, 1], network calls)."""
    x_t = start_chain(coefs, ranges.unit_to_signed(guess.clamp(0, 1)), t, generator)
    x_0, calls = sampling.sample(model, coefs, about, sampler, x_t, t, generator)
    return ranges.signed_to_unit(x_0).clamp(0, 1), calls


def told(model: Model, coefs: Coefficients, about: Diffusion, seen: Observation) -> Model:
    """The network whose x0_hat agrees with y at every step, up to the cut to [0, 1]: (8) of notebook 04."""

    def agreeing(x0_hat: Tensor, t: int) -> Tensor:
        return ranges.unit_to_signed(seen.agree(ranges.signed_to_unit(x0_hat.clamp(-1, 1))).clamp(0, 1))

    return corrected(model, coefs, about, agreeing)
