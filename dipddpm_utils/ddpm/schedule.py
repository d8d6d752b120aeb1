"""Noise schedules, and every coefficient that follows from one.

q(x_t | x_0) = N(sqrt(alphas_cumprod[t]) x_0, (1 - alphas_cumprod[t]) I), with t = 0 the least noisy step (variance
betas[0], not 0) and t = T - 1 the noisiest. All coefficients are computed in float64 and cast once, at the end.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dipddpm_utils import config

MAX_BETA = 0.999  # Nichol & Dhariwal 2021, section 3.2: keeps the last step from being singular


def betas(name: str, T: int) -> Tensor:
    """The variances betas[t] of q(x_t | x_{t-1}): float64 [T], each in (0, 0.999].

    - "linear": from 1e-4 to 0.02 for T = 1000 (Ho et al. 2020, section 4), both scaled by 1000 / T otherwise, so that
      alphas_cumprod ends near 4e-5 from T = 500 on, and lower for fewer steps but T = 1. Cut at MAX_BETA, reached below T = 21.
    - "cosine": alpha_bar = cos^2((t/T + s) / (1 + s) pi/2), s = 0.008 (Nichol & Dhariwal 2021, equation 17).
    - "sigmoid": alpha_bar a sigmoid from -3 to 3, temperature 1 (Jabri et al. 2022, arXiv 2212.11972, figure 8).
    """
    if name not in ("linear", "cosine", "sigmoid") or T < 1:
        raise ValueError(f"name, T are {name!r}, {T}, expected 'linear', 'cosine' or 'sigmoid', and at least 1 step")
    if name == "linear":
        scale = 1000 / T
        return torch.linspace(scale * 1e-4, scale * 0.02, T, dtype=torch.float64).clamp(max=MAX_BETA)
    time = torch.arange(T + 1, dtype=torch.float64) / T
    if name == "cosine":
        alpha_bar = torch.cos((time + 0.008) / 1.008 * (math.pi / 2)) ** 2
    else:
        start, end = torch.sigmoid(torch.tensor([-3.0, 3.0], dtype=torch.float64))
        alpha_bar = (end - torch.sigmoid(6 * time - 3)) / (end - start)
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=MAX_BETA)


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Tables indexed by t, each [T], in one dtype on one device. Equation (2) is notebook 01's.

    `alpha_bars` holds alphas_cumprod as Python floats (float64): samplers, where t is one number for the whole batch,
    compute from these and so lose nothing to the tables' dtype and never wait for a GPU.
    """

    alpha_bars: tuple[float, ...]
    betas: Tensor
    alphas: Tensor  # 1 - betas
    alphas_cumprod: Tensor  # alpha_bar
    sqrt_alphas_cumprod: Tensor
    sqrt_one_minus_alphas_cumprod: Tensor
    posterior_variance: Tensor  # beta_tilde, equation (2); 0 at t = 0
    posterior_mean_coef1: Tensor  # weight of x0 in equation (2)
    posterior_mean_coef2: Tensor  # weight of x_t in equation (2)
    snr: Tensor  # alpha_bar / (1 - alpha_bar)

    @property
    def num_train_timesteps(self) -> int:
        return len(self.alpha_bars)

    def alpha_bar(self, t: int) -> float:
        """alphas_cumprod[t] in float64 for t in -1..T-1, where t = -1 stands for x_0 itself: 1."""
        return self.alpha_bars[t] if t >= 0 else 1.0


def coefficients(
    diffusion: config.Diffusion, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Coefficients:
    """The coefficients of `diffusion`'s schedule, computed in float64 on the CPU, then cast to `dtype` on `device`."""
    beta = betas(diffusion.schedule, diffusion.num_train_timesteps)
    alpha = 1 - beta
    bar = alpha.cumprod(0)
    prev = torch.cat([bar.new_ones(1), bar[:-1]])
    tables = {
        "betas": beta,
        "alphas": alpha,
        "alphas_cumprod": bar,
        "sqrt_alphas_cumprod": bar.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - bar).sqrt(),
        "posterior_variance": beta * (1 - prev) / (1 - bar),
        "posterior_mean_coef1": beta * prev.sqrt() / (1 - bar),
        "posterior_mean_coef2": (1 - prev) * alpha.sqrt() / (1 - bar),
        "snr": bar / (1 - bar),
    }
    cast = {name: table.to(dtype).to(device) for name, table in tables.items()}  # cast first: MPS has no float64
    return Coefficients(alpha_bars=tuple(bar.tolist()), **cast)
