"""Everything that joins a DIP to a DDPM.

A diffusion chain goes from x_T ~ N(0, I) down to x_0. A prior can help in six places. Two are in this file:

- *data*: the model is trained on what a DIP makes of the real images, `dip_outputs` (both reports), or first on that and
  then on the images themselves, `curriculum`;
- *start*: the chain begins at t_start < T - 1, from an image x_start that some other means gave, noised to that level,
      x_t = sqrt(alpha_bar_t) x_start + sqrt(1 - alpha_bar_t) eps,   eps ~ N(0, I)            (SDEdit: Meng et al. 2022)
  which leaves t_start / T of the calls. It is exact if x_start has the data's distribution, and only then.

Three change what the network learns, or from where, and are in priors_process.py: *shift*, *condition*, *weights*. The
last, *guidance*, changes x0_hat on the way down, as re-injection does: priors_chain.py.

A start is one function, `@start("name")`: (context, n, generator) -> x_start, floats [n, C, H, W] on the images' device. Images
are in [-1, 1]; "noise" and "gaussian" are not images, and have no bounds. The starts here without a DIP are controls: a
prior is worth something only if it beats the cheapest of them. Those that draw training images draw the same ones from
the same generator state, so that "dip", "blur" and "real" can be compared image by image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.dip import fit
from dipddpm_utils.judging import fidelity

GAUSSIAN_IMAGES = 10_000  # of which "gaussian" takes the moments


@dataclass
class Context:
    """What a start may look at. Everything is made on the device of `train`."""

    train: Tensor  # uint8 [N, C, H, W], the training images
    coefs: Coefficients
    net: nn.Module | None = None  # the DIP, [0, 1] -> about [0, 1], where the start needs one


Start = Callable[[Context, int, torch.Generator], Tensor]
STARTS: dict[str, Start] = {}


def start(name: str) -> Callable[[Start], Start]:
    """Register a start under the name that a configuration uses for it. ValueError if the name is taken."""

    def register(function: Start) -> Start:
        if name in STARTS:
            raise ValueError(f"name is {name!r}, expected one not yet in STARTS: {', '.join(STARTS)}")
        STARTS[name] = function
        return function

    return register


def start_chain(coefs: Coefficients, x_start: Tensor, t_start: int, generator: torch.Generator) -> Tensor:
    """x_t = sqrt(alpha_bar) x_start + sqrt(1 - alpha_bar) eps at t_start: a draw from q(x_t | x_start) (Ho et al. 2020, eq. 4).

    x_start: [n, C, H, W]. An x_start that is N(0, I) itself stays so, as alpha_bar + (1 - alpha_bar) = 1.
    ValueError if t_start is not in 0..T-1.
    """
    if not 0 <= t_start < coefs.num_train_timesteps:
        raise ValueError(f"t_start is {t_start}, expected 0..{coefs.num_train_timesteps - 1}; T - 1 is the whole chain")
    bar = coefs.alpha_bar(t_start)
    return bar**0.5 * x_start + (1 - bar) ** 0.5 * _noise(x_start, generator)


def curriculum(x0: Tensor, x_dip: Tensor, step: int, steps: int, share: float) -> Tensor:
    """What is learned at `step` (0, 1, ...) of `steps`: x_dip for the first `share` of them, x0 for the rest."""
    return x_dip if step < share * steps else x0


# --- starts -----------------------------------------------------------------------------------------------------------


@start("noise")
def noise(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """No prior: x_start ~ N(0, I), hence x_t ~ N(0, I) at every t_start. At T - 1 this is the ordinary chain."""
    shape = (n, *context.train.shape[1:])
    return torch.randn(shape, generator=generator, device=generator.device).to(context.train.device)


@start("dip")
def dip(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """The DIP's outputs for training images drawn at random: near the data, and near *those* data, so copies are counted."""
    if context.net is None:
        raise ValueError("context.net is None, expected a fitted DIP: give the start a `dip` in its configuration")
    return fit.dip_outputs(context.net, ranges.uint8_to_unit(_drawn(context, n, generator)))


@start("mean")
def mean(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """x_start = mu, the mean training image, every time: the least that one can know about the data."""
    centre = ranges.uint8_to_signed(context.train).mean(0)
    return centre.expand(n, -1, -1, -1).clone()


@start("gaussian")
def gaussian(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """x_start ~ N(mu, Sigma) with the training images' mean and covariance: everything that two moments can say.

    x_start = mu + sum_i w_i (x_i - mu) / sqrt(N), w ~ N(0, I): a random mix of N training images has exactly their
    covariance, without a matrix of it. Not cut to [-1, 1], so that x_t has exactly the mean and covariance of q(x_t).
    N is at most GAUSSIAN_IMAGES, drawn at random.
    """
    images = ranges.uint8_to_signed(_drawn(context, min(len(context.train), GAUSSIAN_IMAGES), generator)).flatten(1)
    centre = images.mean(0)
    weights = torch.randn(n, len(images), generator=generator, device=generator.device).to(images)
    return (centre + weights @ (images - centre) / len(images) ** 0.5).view(n, *context.train.shape[1:])


@start("blur")
def blur(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """x_start = k * x: random training images blurred by a Gaussian of BLUR pixels. What a DIP does, without a DIP."""
    return fidelity.gaussian_blur(ranges.uint8_to_signed(_drawn(context, n, generator)))


@start("real")
def real(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """Training images themselves: the best start there is, and pure copying at small t_start (an oracle, not a method)."""
    return ranges.uint8_to_signed(_drawn(context, n, generator))


def _drawn(context: Context, n: int, generator: torch.Generator) -> Tensor:
    """n training images, without repeats as far as there are enough."""
    total = len(context.train)
    rounds = [torch.randperm(total, generator=generator, device=generator.device) for _ in range(math.ceil(n / total))]
    return context.train[torch.cat(rounds)[:n].to(context.train.device)]


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Drawn where the generator lives: a CPU generator gives the same noise for every device."""
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)
