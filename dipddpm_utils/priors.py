"""Everything that joins a DIP to a DDPM.

A diffusion chain goes from x_T ~ N(0, I) down to x_0. A prior can help in two places:

- `dip_outputs`: the model is trained on what a DIP makes of the real images (both reports);
- a *start*: the chain begins at t_start < T - 1, from an image x_start that some other means gave, noised to that level,
      x_t = sqrt(alpha_bar_t) x_start + sqrt(1 - alpha_bar_t) eps,   eps ~ N(0, I)            (SDEdit: Meng et al. 2022)
  which leaves t_start / T of the calls. It is exact if x_start has the data's distribution, and only then.

A start is one function, `@start("name")`: (context, n, generator) -> x_start [n, C, H, W] in [-1, 1]. The ones here without a
DIP are controls: a prior is worth something only if it beats the cheapest of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.schedule import Coefficients


@dataclass
class Context:
    """What a start may look at."""

    train: Tensor  # uint8 [N, C, H, W], the training images
    coefs: Coefficients
    net: nn.Module | None = None  # the DIP, [0, 1] -> about [0, 1], where the start needs one


Start = Callable[[Context, int, torch.Generator], Tensor]
STARTS: dict[str, Start] = {}


def start(name: str) -> Callable[[Start], Start]:
    """Register a start under the name that a configuration uses for it."""

    def register(function: Start) -> Start:
        STARTS[name] = function
        return function

    return register


def start_chain(coefs: Coefficients, x_start: Tensor, t_start: int, generator: torch.Generator) -> Tensor:
    """x_t at t_start for x_start [n, C, H, W] in [-1, 1]: drawn from q(x_t | x_start). ValueError if t_start is not in 0..T-1."""
    if not 0 <= t_start < coefs.num_train_timesteps:
        raise ValueError(f"t_start is {t_start}, expected 0..{coefs.num_train_timesteps - 1}")
    bar = coefs.alpha_bar(t_start)
    return bar**0.5 * x_start + (1 - bar) ** 0.5 * _noise(x_start, generator)


@torch.no_grad()
def dip_outputs(net: nn.Module, images_unit: Tensor, batch: int = 250) -> Tensor:
    """What a DIP makes of clean images [N, C, H, W] in [0, 1]: the same shape in [-1, 1], cut to that range (5conv may leave it)."""
    parts = [net(part).clamp(0, 1) for part in images_unit.split(batch)]
    return ranges.unit_to_signed(torch.cat(parts))


# --- starts -----------------------------------------------------------------------------------------------------------


@start("noise")
def noise(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """No prior: x_start = 0, so that x_t has no signal. At t_start = T - 1 this is the ordinary chain, N(0, (1 - alpha_bar_T) I)."""
    return torch.zeros(n, *context.train.shape[1:], device=context.train.device)


@start("dip")
def dip(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """The DIP's outputs for training images drawn at random: near the data, and near *those* data, so copies are counted."""
    if context.net is None:
        raise ValueError("context.net is None, expected a fitted DIP: give the start a `dip` in its configuration")
    return dip_outputs(context.net, ranges.uint8_to_unit(_drawn(context, n, generator)))


@start("mean")
def mean(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """The mean training image, every time: the least that one can know about the data."""
    return _mean(context).expand(n, -1, -1, -1).clone()


@start("gaussian")
def gaussian(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """Draws from N(mean, cov) of the training images, cut to [-1, 1]: everything that two moments can say."""
    flat = ranges.uint8_to_signed(context.train[:10_000]).flatten(1)
    centre = flat.mean(0)
    eigenvalues, basis = torch.linalg.eigh(torch.cov(flat.T))
    root = basis * eigenvalues.clamp(min=0).sqrt()
    draws = torch.randn(n, len(centre), generator=generator, device=generator.device).to(flat)
    return (centre + draws @ root.T).clamp(-1, 1).view(n, *context.train.shape[1:])


@start("blur")
def blur(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """Training images drawn at random, blurred by a Gaussian of 1.5 pixels: what a DIP does, without a DIP."""
    offsets = torch.arange(-4, 5, device=context.train.device, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * 1.5**2))
    kernel = kernel / kernel.sum()
    x = ranges.uint8_to_signed(_drawn(context, n, generator))
    channels = x.shape[1]
    for shape, padding in (((1, 1, -1, 1), (0, 0, 4, 4)), ((1, 1, 1, -1), (4, 4, 0, 0))):
        weight = kernel.view(shape).expand(channels, -1, -1, -1)
        x = F.conv2d(F.pad(x, padding, mode="replicate"), weight, groups=channels)
    return x


@start("real")
def real(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """Training images themselves: the best start there is, and pure copying at small t_start (an oracle, not a method)."""
    return ranges.uint8_to_signed(_drawn(context, n, generator))


def _drawn(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """n training images, without repeats as far as there are enough."""
    order = [torch.randperm(len(context.train), generator=generator, device=generator.device) for _ in range(-(-n // len(context.train)))]
    return context.train[torch.cat(order)[:n].to(context.train.device)]


def _mean(context: Context) -> Tensor:
    return ranges.uint8_to_signed(context.train).mean(0, keepdim=True)


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Drawn where the generator lives: a CPU generator gives the same noise for every device."""
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)
