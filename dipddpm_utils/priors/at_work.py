"""Priors at work in one run: what experiments_ddpm.py asks of `Ddpm.prior` and `Sample.advice`, with seconds and FLOPs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Ddpm, Dip, Prior, Sample, Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.dip import fit
from dipddpm_utils.dip.fit import noisy_input
from dipddpm_utils.dip.run import fitted
from dipddpm_utils.judging import fidelity
from dipddpm_utils.machine import device, streams
from dipddpm_utils.priors import guidance, process, starts
from dipddpm_utils.training import flops, loop

if TYPE_CHECKING:
    from dipddpm_utils.store.work import Work

Chain = Callable[[Model, Tensor, slice, torch.Generator], tuple[Tensor, int]]  # network, x_t, which rows -> x_0, calls


@dataclass
class AtWork:
    """A prior in one training run. x_dip: floats [N, C, H, W] in [-1, 1], a row for each training image, or None."""

    prior: Prior
    x_dip: Tensor | None
    seconds: float  # fitting and applying the DIP, and fitting the denoiser as one
    flops: int

    @property
    def joint(self) -> bool:
        """Whether the network needs x_dip at each step, in training and in sampling."""
        return self.prior.shift or self.prior.condition

    def batch(self, x0: Tensor, indices: Tensor, step: int, steps: int) -> Tensor | tuple[Tensor, Tensor]:
        """What step `step` of `steps` learns: images, with x_dip beside them where the network needs it."""
        if self.x_dip is None:
            return x0
        x_dip = self.x_dip[indices]
        learned = starts.curriculum(x0, x_dip, step, steps, self.prior.curriculum)
        return (learned, x_dip) if self.joint else learned

    def chain(self, run: Ddpm, sampler: Sampler, n: int, purpose: str) -> Chain | None:
        """Whole chains with x_dip from the bank, that is from training images drawn at random; None if none is needed."""
        if not self.joint:
            return None
        coefs = schedule.coefficients(run.diffusion, device=self.x_dip.device)
        order = torch.randperm(len(self.x_dip), generator=streams.generator(run.seed, f"bank, {purpose}"))
        bank = self.x_dip[order.repeat(-(-n // len(order)))[:n].to(self.x_dip.device)]

        def drawn(network: Model, eps: Tensor, rows: slice, generator: torch.Generator) -> tuple[Tensor, int]:
            ways = {"shift": self.prior.shift, "condition": self.prior.condition}
            return process.sample(coefs, run.diffusion, network, sampler, eps, bank[rows], generator, **ways)

        return drawn


def at_work(run: Ddpm, source: sets.DataSet, work: Work) -> AtWork | None:
    """A run's prior, ready: the DIP fitted and applied to every training image. None without a prior."""
    if run.prior is None:
        return None
    made = run.prior.source
    if made is None:
        return AtWork(run.prior, None, 0.0, 0)
    images, now = source.train.to(work.device), device.clock(work.device)
    if made == "blur":
        began = now()
        x_dip = torch.cat([fidelity.gaussian_blur(ranges.uint8_to_signed(part)) for part in images.split(1000)])
        return AtWork(run.prior, x_dip, now() - began, 0)
    net = fitted(made, work)
    began = now()
    x_dip = fit.dip_outputs(net, ranges.uint8_to_unit(images))
    seconds = work.record(made).metrics["train_seconds"] + now() - began
    return AtWork(run.prior, x_dip, seconds, dip_flops(made, net, len(images)))


def warmed(model: nn.Module, run: Ddpm, source: sets.DataSet, work: Work, prior: AtWork) -> nn.Module:
    """The denoiser fitted as a DIP where the prior says so: its weights are where training begins. Seconds and FLOPs count."""
    warm = run.prior.warm
    if warm is None:
        return model
    images = source.train.to(work.device)
    generator = streams.generator(run.seed, "warm start", work.device)
    alone = warm.fit == "image"
    if alone:  # one training image, and one draw of noise in its place, for good
        images = images[torch.randint(len(images), (1,), generator=generator, device=generator.device)]
        z = torch.randn(images.shape, generator=generator, device=generator.device)
    optim = run.optim.model_copy(
        update={"steps": warm.steps, "ema_decay": None, "batch_size": 1 if alone else run.optim.batch_size}
    )

    def loss(model: nn.Module, target: Tensor, generator: torch.Generator) -> Tensor:
        if alone:
            return process.fit_loss(model, z, target)
        noisy = noisy_input(ranges.signed_to_unit(target).clamp(0, 1), warm.std, True, generator)
        return process.fit_loss(model, ranges.unit_to_signed(noisy), target)

    state = loop.new_state(model, optim, len(images), streams.derived_seed(run.seed, "warm start"), work.device)
    for _ in loop.train(state, loss, lambda idx: ranges.uint8_to_signed(images[idx]), work.budget):
        pass
    state.synchronise()
    prior.seconds += state.seconds
    prior.flops += state.images * denoiser_flops(model, run, work)[1]
    return model


def advised_chain(run: Sample, context: starts.Context, t_start: int, work: Work) -> Chain | None:
    """Chains of a trained model with `run.advice` at each step, from wherever they start; None without advice."""
    advice = run.advice
    if advice is None:
        return None
    bank = None
    if advice.bank is not None:
        bank = starts.STARTS[advice.bank](context, run.n, streams.generator(run.seed, f"start {advice.bank}"))

    def drawn(network: Model, x_t: Tensor, rows: slice, generator: torch.Generator) -> tuple[Tensor, int]:
        x_dip = None if bank is None else bank[rows].to(x_t.device)
        mixed = guidance.advised(network, run.model.diffusion, advice, context, x_dip)
        return sampling.sample(mixed, context.coefs, run.model.diffusion, run.sampler, x_t, t_start, generator)

    return drawn


# --- FLOPs ------------------------------------------------------------------------------------------------------------


def denoiser_flops(model: nn.Module, run: Ddpm, work: Work) -> tuple[int, int]:
    """FLOPs an image of (one call, one training step) of a run's denoiser."""
    given = run.data.channels if run.prior is not None and run.prior.condition else 0
    x = torch.zeros(1, run.data.channels + given, run.data.size, run.data.size, device=work.device)
    t = torch.zeros(1, dtype=torch.int64, device=work.device)
    with torch.no_grad():
        once = flops.forward(model, x, t)
    return once, flops.training(model, x, t)


def dip_flops(run: Dip, net: nn.Module, applied: int) -> int:
    """FLOPs of fitting a data set's DIP, and of applying it to `applied` images."""
    x = torch.zeros(1, run.data.channels, run.data.size, run.data.size, device=next(net.parameters()).device)
    with torch.no_grad():
        once = flops.forward(net, x)
    return flops.training(net, x) * run.optim.steps * run.optim.batch_size + once * applied


def ddpm_flops(run: Ddpm, model: nn.Module, final: dict[str, Any], prior: AtWork | None, work: Work) -> dict[str, int]:
    """FLOPs of training, of the DIP or the fit in its place, and of drawing the images that are judged last."""
    once, step = denoiser_flops(model, run, work)
    dip = 0 if prior is None else prior.flops
    if run.dip is not None and run.train_on is None:
        dip += dip_flops(run.dip, fitted(run.dip, work), len(sets.load(run.data).train))
    return _spent(step * run.optim.steps * run.optim.batch_size, dip, once * final["nfe"] * final["n"])


def sample_flops(
    run: Sample, used: Dip | None, net: nn.Module | None, model: nn.Module, nfe: int, work: Work
) -> dict[str, int]:
    """The same for images drawn from a trained model, whose training is on the bill; `used`: the DIP of start or advice."""
    once, step = denoiser_flops(model, run.model, work)
    dip = work.record(run.model).metrics.get("dip_flops", 0)
    if used is not None:
        bank = run.start.name == "dip" or (run.advice is not None and run.advice.bank == "dip")
        asked = nfe if run.advice is not None and run.advice.name == "dip" else 0
        dip += dip_flops(used, net, run.n * (bank + asked))
    return _spent(step * run.model.optim.steps * run.model.optim.batch_size, dip, once * nfe * run.n)


def _spent(train: int, dip: int, sample: int) -> dict[str, int]:
    return {"train_flops": train, "dip_flops": dip, "sample_flops": sample, "total_flops": train + dip + sample}
