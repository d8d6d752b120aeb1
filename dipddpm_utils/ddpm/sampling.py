"""Samplers: from x_t to x_0, one network call a step, as generators that the caller drives, draws from, or stops.

Each takes any x_t [B, C, H, W] (float32 or float64; results keep its dtype) at any t_start, draws noise from the
`torch.Generator` it is given and from nothing else, and adds none in the last step. Coefficients are Python floats,
since t is the same for the whole batch. The network is used as it is: put it in evaluation mode first.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dipddpm_utils import config
from dipddpm_utils.ddpm.process import Model, check_images, check_like, predicted_x0
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.machine import streams


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a chain: the network was called at `t`, and `x` is the state at `t_next`."""

    index: int  # 0, 1, ...: the network calls before this one
    t: int
    t_next: int  # -1 after the last step: x is then the sample x_0
    x: Tensor  # [B, C, H, W]
    x0_hat: Tensor  # [B, C, H, W], what the network thought x_0 to be, clipped if clipping is on


def timesteps(T: int, steps: int, t_start: int | None = None) -> list[int]:
    """The t at which the network is called, falling, for `steps` calls over the whole of 0..T-1.

    The whole chain is round(T i / steps) - 1 for i = steps..1 ("trailing" in Lin et al. 2024, arXiv 2305.08891): it
    begins at T - 1. A chain that begins at t_start keeps the times <= t_start, with the first moved up to t_start, where x_t
    is; so it costs about steps * t_start / T calls, and at least one. ValueError if steps or t_start is out of range.
    """
    if not 1 <= steps <= T:
        raise ValueError(f"steps is {steps}, expected 1..{T} (num_train_timesteps)")
    if t_start is None:
        t_start = T - 1
    if not 0 <= t_start < T:
        raise ValueError(f"t_start is {t_start}, expected 0..{T - 1} (t counts from 0)")
    kept = [t for t in ((2 * T * i + steps) // (2 * steps) - 1 for i in range(steps, 0, -1)) if t <= t_start]
    return [t_start, *kept[1:]]


# --- one step from t to s < t, given alpha_bar at both; equations of notebook 03 -------------------------------------------


def ancestral_step(x: Tensor, x0_hat: Tensor, bar_t: float, bar_s: float, large: bool = False) -> tuple[Tensor, float]:
    """Mean and standard deviation of x_s given x_t and x0_hat, (2) of notebook 03; `large`: with q(x_t | x_s)'s variance."""
    beta = 1 - bar_t / bar_s  # of q(x_t | x_s); beta_t where s = t - 1
    x0_weight = beta * math.sqrt(bar_s) / (1 - bar_t)
    x_weight = (1 - bar_s) * math.sqrt(1 - beta) / (1 - bar_t)
    variance = beta if large else beta * (1 - bar_s) / (1 - bar_t)
    return x0_weight * x0_hat + x_weight * x, math.sqrt(variance)


def ddim_step(x0_hat: Tensor, eps_hat: Tensor, bar_t: float, bar_s: float, eta: float = 0.0) -> tuple[Tensor, float]:
    """x_s before noise of standard deviation sigma is added, and sigma, (3) of notebook 03; with eta = 0 there is none."""
    sigma = eta * math.sqrt((1 - bar_s) / (1 - bar_t) * (1 - bar_t / bar_s))
    return math.sqrt(bar_s) * x0_hat + math.sqrt(max(1 - bar_s - sigma**2, 0.0)) * eps_hat, sigma


def dpmpp_step(x: Tensor, x0_hat: Tensor, bar_t: float, bar_s: float, earlier: tuple[float, Tensor] | None = None) -> Tensor:
    """x_s, (4) of notebook 03. earlier: alpha_bar and x0_hat of the step before, by which x0_hat is extrapolated."""
    h, target = half_log_snr(bar_s) - half_log_snr(bar_t), x0_hat
    if earlier is not None:
        r = (half_log_snr(bar_t) - half_log_snr(earlier[0])) / h
        target = (1 + 0.5 / r) * x0_hat - (0.5 / r) * earlier[1]
    return math.sqrt((1 - bar_s) / (1 - bar_t)) * x - math.sqrt(bar_s) * math.expm1(-h) * target


def half_log_snr(bar: float) -> float:
    """lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar))."""
    return 0.5 * (math.log(bar) - math.log1p(-bar))


# --- whole chains -----------------------------------------------------------------------------------------------------


def sample(
    model: Model, coefs: Coefficients, diffusion: config.Diffusion, sampler: config.Sampler, x_t: Tensor,
    t_start: int | None = None, generator: torch.Generator | None = None, clip: bool = True,
) -> tuple[Tensor, int]:  # fmt: skip
    """Run a whole chain as `sampler` says: (x_0 [B, C, H, W], network calls). Arguments and errors as for `chain`."""
    for step in chain(model, coefs, diffusion, sampler, x_t, t_start, generator, clip):
        last = step
    return last.x, last.index + 1


def chain(
    model: Model, coefs: Coefficients, diffusion: config.Diffusion, sampler: config.Sampler, x_t: Tensor,
    t_start: int | None = None, generator: torch.Generator | None = None, clip: bool = True,
) -> Iterator[Step]:  # fmt: skip
    """The steps of a chain from x_t at t_start (None: T - 1), with `sampler.steps` network calls over the whole of 0..T-1:

    - "ancestral": DDPM's own (Ho et al. 2020, algorithm 2), with `diffusion.variance`; with steps < T, the posterior of the
      skipping process.
    - "ddim" (Song et al. 2021, equations 12 and 16): eta 0 is deterministic, eta 1 has the ancestral sampler's noise.
    - "dpmpp_2m": DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2), second order, deterministic. The first step
      is of first order (there is no earlier x0_hat), and so is the last, to x_0 = x0_hat.

    generator: for those that draw noise. clip: clamp x0_hat to [-1, 1]; eps_hat is then derived from it anew, so that both
    belong to the same x_t. ValueError naming the argument if one is wrong, now and not at the first step.
    """
    check_images(x_t, "x_t")
    draws_noise = sampler.name == "ancestral" or (sampler.name == "ddim" and sampler.eta > 0)
    if draws_noise and generator is None:
        raise ValueError(f"generator is None, expected a torch.Generator: {sampler.title} draws noise and uses no global state")
    times = timesteps(coefs.num_train_timesteps, sampler.steps, t_start)

    @torch.no_grad()
    def walk(x: Tensor) -> Iterator[Step]:
        earlier: tuple[float, Tensor] | None = None  # the step before: its alpha_bar and its x0_hat
        for index, (t, s) in enumerate(zip(times, [*times[1:], -1], strict=True)):
            out = model(x, torch.full(x.shape[:1], t, dtype=torch.int64, device=x.device))
            check_like(out, x, "the model's output", "x_t")
            bar_t, bar_s, std = coefs.alpha_bar(t), coefs.alpha_bar(s), 0.0
            x0_hat, eps_hat = _predictions(out, x, bar_t, diffusion.objective, clip)
            if sampler.name == "ancestral":
                x, std = ancestral_step(x, x0_hat, bar_t, bar_s, diffusion.variance == "fixed_large")
            elif sampler.name == "ddim":
                x, std = ddim_step(x0_hat, eps_hat, bar_t, bar_s, sampler.eta)
            elif sampler.name == "dpmpp_2m":
                x = x0_hat if s < 0 else dpmpp_step(x, x0_hat, bar_t, bar_s, earlier)
            else:
                raise NotImplementedError(f"sampler {sampler.name!r} has no step here")
            if s >= 0 and std > 0:
                x = x + std * streams.normal(x, generator)
            earlier = bar_t, x0_hat
            yield Step(index, t, s, x, x0_hat)

    return walk(x_t)


def _predictions(out: Tensor, x: Tensor, alpha_bar: float, objective: str, clip: bool) -> tuple[Tensor, Tensor]:
    """(x0_hat, eps_hat) at one t; after clipping eps_hat follows from x0_hat."""
    signal, noise = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    x0_hat = predicted_x0(objective, out, x, signal, noise)
    if clip:
        x0_hat = x0_hat.clamp(-1, 1)
    elif objective == "eps":
        return x0_hat, out.to(x.dtype)
    return x0_hat, (x - signal * x0_hat) / noise
