"""The forward process, its posterior, what a network may predict, and the training loss (Ho et al. 2020). No sampling here.

Images x0, x_t, eps, v and the network's output are floats [B, C, H, W], x0 in [-1, 1]; t is int64 [B] in 0..T-1, or (`Times`)
one number for all of them. Results have the dtype of the images. Values are checked on the CPU only: reading them off a GPU
would stall it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dipddpm_utils import config, ranges
from dipddpm_utils.ddpm.schedule import Coefficients

Model = Callable[[Tensor, Tensor], Tensor]  # (x_t [B, C, H, W], t [B]) -> [B, C, H, W]
Times = Tensor | int


def diffuse(coefs: Coefficients, x0: Tensor, t: Times, eps: Tensor) -> Tensor:
    """x_t from q(x_t | x0), (1) of notebook 01: sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps.

    ValueError unless eps has the shape of x0.
    """
    check_like(eps, x0, "eps", "x0")
    return at(coefs.sqrt_alphas_cumprod, t, x0) * x0 + at(coefs.sqrt_one_minus_alphas_cumprod, t, x0) * eps


# --- x0, eps and v from one another, given x_t -----------------------------------------------------------------------


def predicted_x0(objective: str, out: Tensor, x_t: Tensor, signal: float | Tensor, noise: float | Tensor) -> Tensor:
    """x0_hat from a network's output, by what it predicts: "eps", "x0" or "v". Nothing is clipped.

    signal, noise: sqrt(alpha_bar) and sqrt(1 - alpha_bar), numbers or [B, 1, 1, 1]. For "eps" (1) of notebook 01 solved for x0.
    """
    out = out.to(x_t.dtype)  # a network under autocast answers in bfloat16
    if objective == "x0":
        return out
    if objective not in ("eps", "v"):
        raise ValueError(f"objective is {objective!r}, expected 'eps', 'x0' or 'v'")
    return (x_t - noise * out) / signal if objective == "eps" else signal * x_t - noise * out


def predict_eps_from_x0(coefs: Coefficients, x_t: Tensor, t: Times, x0: Tensor) -> Tensor:
    """eps = (x_t - sqrt(alpha_bar) x0) / sqrt(1 - alpha_bar), (1) of notebook 01 solved for eps."""
    return (x_t - at(coefs.sqrt_alphas_cumprod, t, x_t) * x0) / at(coefs.sqrt_one_minus_alphas_cumprod, t, x_t)


def target(coefs: Coefficients, objective: str, x0: Tensor, t: Times, eps: Tensor) -> Tensor:
    """What a network that knew x0 would say: eps, x0, or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0.

    v: Salimans & Ho 2022, section 4.
    """
    if objective in ("eps", "x0"):
        return eps if objective == "eps" else x0
    if objective != "v":
        raise ValueError(f"objective is {objective!r}, expected 'eps', 'x0' or 'v'")
    return at(coefs.sqrt_alphas_cumprod, t, x0) * eps - at(coefs.sqrt_one_minus_alphas_cumprod, t, x0) * x0


# --- one step back ----------------------------------------------------------------------------------------------------


def q_posterior_mean_variance(coefs: Coefficients, x0: Tensor, x_t: Tensor, t: Times) -> tuple[Tensor, Tensor]:
    """Mean [B, C, H, W] and variance [B, 1, 1, 1] of q(x_{t-1} | x_t, x0), (2) of notebook 01; no variance at t = 0."""
    mean = at(coefs.posterior_mean_coef1, t, x_t) * x0 + at(coefs.posterior_mean_coef2, t, x_t) * x_t
    return mean, at(coefs.posterior_variance, t, x_t)


# --- training ---------------------------------------------------------------------------------------------------------


def snr_weights(coefs: Coefficients, diffusion: config.Diffusion, t: Tensor) -> Tensor:
    """Weights [B] of the squared error of whatever is predicted: min-SNR-gamma (Hang et al. 2023, equation 8).

    min(snr, gamma) weighs the error of x0; the same loss in terms of eps is divided by snr, in terms of v by snr + 1.
    """
    snr = coefs.snr[t]
    clipped = snr.clamp(max=diffusion.min_snr_gamma)
    return {"x0": clipped, "eps": clipped / snr, "v": clipped / (snr + 1)}[diffusion.objective]


def training_times(
    diffusion: config.Diffusion, n: int, generator: torch.Generator, device: torch.device | str, last: int | None = None
) -> Tensor:
    """t for `n` training images, int64 [n] in 0..last (None: T - 1) on `device`, drawn from `generator` where that lives.

    "uniform": each t alike (Ho et al. 2020, algorithm 1). "logit_normal": t = floor(T sigmoid(n)), n ~ N(times_mean, 1), so
    that middle noise levels, where the image takes shape, come up most (Esser et al. 2024, section 3.1). The best network is
    the same; what changes is at which noise levels a small or young one spends itself.
    """
    T = diffusion.num_train_timesteps if last is None else last + 1
    if diffusion.times == "uniform":
        return torch.randint(0, T, (n,), generator=generator, device=generator.device).to(device)
    share = torch.sigmoid(diffusion.times_mean + torch.randn(n, generator=generator, device=generator.device))
    return (share * T).long().clamp(max=T - 1).to(device)


def loss(
    coefs: Coefficients, diffusion: config.Diffusion, model: Model, x0: Tensor, t: Tensor, eps: Tensor, *, free: bool = False
) -> Tensor:
    """The training loss, a scalar: mean squared error of the network's prediction at x_t = diffuse(x0, t, eps).

    (3) of notebook 01 for "eps" without weights; `snr_weights` otherwise. free: x0 may leave [-1, 1], as data that were scaled
    wrongly on purpose do (training/mistakes.py), and residuals. ValueError naming the argument if a shape or dtype is wrong
    and, for tensors on the CPU, if t is outside 0..T-1 or x0 outside its range.
    """
    _check(coefs, x0, t, eps, free=free)
    return squared_error(coefs, diffusion, model, x0, t, eps)


def squared_error(coefs: Coefficients, diffusion: config.Diffusion, model: Model, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """(3) of notebook 01, for whichever of eps, x0 and v the network predicts: drown x0 in noise, ask, compare."""
    out = model(diffuse(coefs, x0, t, eps), t)
    check_like(out, x0, "the model's output", "x0")
    error = (out.to(x0.dtype) - target(coefs, diffusion.objective, x0, t, eps)).square()
    if diffusion.min_snr_gamma is None:
        return error.mean()
    return (error.flatten(1).mean(1) * snr_weights(coefs, diffusion, t).to(error.dtype)).mean()


# --- checks and indexing ----------------------------------------------------------------------------------------------


def at(table: Tensor, t: Times, like: Tensor) -> Tensor:
    """table[t] shaped [B, 1, ..., 1], or [1, 1, ..., 1] for one t, to multiply `like` [B, ...], in its dtype.

    ValueError for one t below 0, which would be counted from the end.
    """
    if isinstance(t, int) and t < 0:
        raise ValueError(f"t is {t}, expected a step in 0..{len(table) - 1}")
    return table[t].to(like.dtype).view(-1, *[1] * (like.ndim - 1))


def check_images(x: Tensor, name: str) -> None:
    """ValueError naming `name` unless x is a float tensor [B, C, H, W]. Values are not read."""
    if not x.is_floating_point():
        raise ValueError(f"{name} is {x.dtype}, expected floats; convert it with ranges.uint8_to_signed")
    if x.ndim != 4:
        raise ValueError(f"{name} has shape {list(x.shape)}, expected [B, C, H, W]; add the missing dimensions")


def check_like(x: Tensor, other: Tensor, name: str, other_name: str) -> None:
    """ValueError naming `name` unless x has the shape of `other`."""
    if x.shape != other.shape:
        raise ValueError(f"{name} has shape {list(x.shape)}, expected that of {other_name}, {list(other.shape)}")


def _check(coefs: Coefficients, x0: Tensor, t: Tensor, eps: Tensor, *, free: bool) -> None:
    """ValueError naming the argument that is wrong; the numbers in t and x0 are read on the CPU only."""
    check_images(x0, "x0")
    check_like(eps, x0, "eps", "x0")
    last = coefs.num_train_timesteps - 1
    if t.dtype != torch.int64 or t.shape != x0.shape[:1]:
        raise ValueError(f"t is {t.dtype} {list(t.shape)}, expected torch.int64 [{x0.shape[0]}] with values in 0..{last}")
    if x0.device.type != "cpu":
        return
    if ((t < 0) | (t > last)).any():  # a negative index would silently count from the end
        raise ValueError(f"t has values from {t.min()} to {t.max()}, expected 0..{last} (t counts from 0)")
    if not free:
        ranges.check_signed(x0, "x0")
