"""Images that priors start from: what a prior is given, and what a DDPM is trained on.

That is real images, a DIP's outputs for them, or a control that has one effect of a DIP without a DIP.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Bank, Ddpm, Dip
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.dip import fit
from dipddpm_utils.dip.run import build, fitted, operations
from dipddpm_utils.judging import fidelity
from dipddpm_utils.machine import device, streams
from dipddpm_utils.store.records import Work
from dipddpm_utils.training import mistakes

WIDTHS = tuple(k / 20 for k in range(61))  # pixels, 0 to 3: the Gaussian widths that `blur` chooses from
COMPARED = 1000  # images whose spectra are compared


@dataclass(frozen=True)
class Given:
    """What a prior may look at. All is made on the device of `train`; images are taken as uint8, or as floats in [-1, 1]."""

    train: Tensor  # uint8 [N, C, H, W], the training images
    coefs: Coefficients
    net: nn.Module | None = None  # the fitted DIP, [0, 1] -> about [0, 1], for a prior that is declared to need one
    bank: Tensor | None = None  # floats [n, C, H, W] in [-1, 1], the outputs of DIPs fitted to one training image each
    seen: list[Tensor] = field(default_factory=list, compare=False, repr=False)  # which rows of train were drawn, each time

    def drawn(self, n: int, generator: torch.Generator) -> Tensor:
        """n training images, uint8, without repeats as far as there are enough."""
        self.seen.append(self.drawn_rows(n, generator))
        return self.train[self.seen[-1].to(self.train.device)]

    def drawn_rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Which ones `drawn` draws from the same generator: int64 [n], where the generator lives."""
        total = len(self.train)
        rounds = [torch.randperm(total, generator=generator, device=generator.device) for _ in range(math.ceil(n / total))]
        return torch.cat(rounds)[:n]

    def normal(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """N(0, I), drawn where the generator lives: a CPU generator gives the same noise for every device."""
        return streams.normal(torch.empty(shape, device=self.train.device), generator)

    def signed(self, images: Tensor) -> Tensor:
        """The images as floats in [-1, 1]."""
        return ranges.uint8_to_signed(images) if images.dtype == torch.uint8 else images

    def noised(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        """x_t of images in [-1, 1] at one step t: (1) of notebook 01."""
        return process.diffuse(self.coefs, images, t, eps)

    def blurred(self, images: Tensor) -> Tensor:
        """What a DIP does, without a DIP: a Gaussian blur of BLUR pixels, in [-1, 1]."""
        return fidelity.gaussian_blur(self.signed(images))

    def dip(self, images: Tensor) -> Tensor:
        """What the DIP makes of the images, in [-1, 1]. ValueError if none was given."""
        if self.net is None:
            raise ValueError("no DIP is given: declare the prior with dip=True, and name a `dip` in its configuration")
        unit = ranges.uint8_to_unit(images) if images.dtype == torch.uint8 else ranges.signed_to_unit(images).clamp(0, 1)
        return fit.dip_outputs(self.net, unit)

    def banked(self, n: int) -> Tensor:
        """What the first n DIPs of the bank show, in [-1, 1]. ValueError if none was given, or it has fewer."""
        if self.bank is None:
            raise ValueError("no bank of DIPs is given: declare the prior with bank=True, and name `start.bank`")
        if len(self.bank) < n:
            raise ValueError(f"the bank has {len(self.bank)} DIPs, expected {n}: give it more images, or draw fewer samples")
        return self.bank[:n]


@dataclass(frozen=True)
class Made:
    """Images of a training set, a row each, on the device, and what making them took.

    uint8 [N, C, H, W], or floats where something made them: in [-1, 1], but for the faults FA1 and FB2.
    """

    images: Tensor
    seconds: float = 0.0  # fitting and applying a DIP
    flops: int = 0
    strength: float | None = None  # of a control
    rows: Tensor | None = None  # int64, which training images these are made of; None: all, in order


def training_images(run: Ddpm, source: sets.DataSet, work: Work) -> Made:
    """What the run trains on. A control that has its strength from `run.dip` is not charged that DIP's seconds."""
    real = source.train.to(work.device)
    if run.bank is not None:
        return of_bank(run.bank, work)
    if run.train_on == "untrained":
        return Made(fit.dip_outputs(build(run.dip).to(work.device), ranges.uint8_to_unit(real)))
    if run.train_on is not None:
        signed = ranges.uint8_to_signed(real)
        outputs = signed if run.dip is None else fit.dip_outputs(fitted(run.dip, work), ranges.uint8_to_unit(real))
        images, strength = CONTROLS[run.train_on](signed, outputs)
        return Made(images, strength=strength)
    if run.dip is None:
        return Made(mistakes.double_scaled(ranges.uint8_to_signed(real)) if "FA1" in run.faults else real)
    return of_dip(run.dip, real, work, mistakes.unclipped_outputs if "FB2" in run.faults else fit.dip_outputs)


def of_dip(dip: Dip, real: Tensor, work: Work, outputs: Callable[..., Tensor] = fit.dip_outputs) -> Made:
    """What a DIP fitted to a data set makes of uint8 images."""
    net = fitted(dip, work)
    since = device.stopwatch(work.device)
    images = outputs(net, ranges.uint8_to_unit(real))
    seconds = since() + work.store.ensure(dip, quiet=True).metrics["train_seconds"]
    return Made(images, seconds, operations(dip, net, len(real)))


def of_blur(real: Tensor, work: Work) -> Made:
    """The same without a DIP: uint8 images blurred."""
    since = device.stopwatch(work.device)
    images = torch.cat([fidelity.gaussian_blur(ranges.uint8_to_signed(part)) for part in real.split(COMPARED)])
    return Made(images, since())


def of_bank(bank: Bank, work: Work) -> Made:
    """What the fits of a bank show, one of each training image."""
    kept, about = work.store.weights(bank), work.store.ensure(bank, quiet=True).metrics
    images = ranges.unit_to_signed(kept["images"].to(work.device))
    return Made(images, about["train_seconds"], about["flops"], rows=kept["rows"])


# --- controls: (real images, what the DIP makes of them) -> (real images changed, how much), floats in [-1, 1] throughout ---


def blur(real: Tensor, outputs: Tensor) -> tuple[Tensor, float]:
    """Gaussian blur of the width (pixels) whose power spectrum is nearest to the DIP's."""
    width = matched_width(real[:COMPARED], outputs[:COMPARED])
    return torch.cat([fidelity.gaussian_blur(part, width) for part in real.split(COMPARED)]), width


def clip(real: Tensor, outputs: Tensor) -> tuple[Tensor, float]:
    """max(0, 2 p - 1) for p in [0, 1]: what a sigmoid makes of targets in [-1, 1] (FA2), exactly. `outputs` is not used."""
    return ranges.unit_to_signed((2 * ranges.signed_to_unit(real) - 1).clamp(min=0)), 1.0


def rescaled(real: Tensor, outputs: Tensor) -> tuple[Tensor, float]:
    """mean + s (x - mean), s such that the variance about each channel's mean is that of the DIP's outputs; cut to [-1, 1]."""
    centre = real.mean((0, 2, 3), keepdim=True)
    ratio = (variance(outputs) / variance(real)).sqrt()
    return (centre + ratio * (real - centre)).clamp(-1, 1), float(ratio)


CONTROLS = {"blur": blur, "clip": clip, "rescaled": rescaled}  # by the names that `Ddpm.train_on` has for them


def variance(images: Tensor) -> Tensor:
    """Mean square of [N, C, H, W] about each channel's mean: a scalar."""
    return images.var((0, 2, 3), correction=0).mean()


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
    return (torch.bincount(ring, power) / torch.bincount(ring))[1 : height // 2 + 1] + 1e-12
