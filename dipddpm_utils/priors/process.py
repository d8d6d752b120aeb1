"""Priors inside the model: what a DIP's image x_dip can change in the forward process, the network's input and its weights.

- *shift*: the process ends at x_dip instead of at 0,
      x_t = sqrt(alpha_bar_t) x0 + (1 - sqrt(alpha_bar_t)) x_dip + sqrt(1 - alpha_bar_t) eps                           (1)
  (ShiftDDPMs: Zhang et al. 2023; PriorGrad: Lee et al. 2022). Take x_dip from both sides, and the residual r = x - x_dip is
      r_t = sqrt(alpha_bar_t) r_0 + sqrt(1 - alpha_bar_t) eps,                                                         (2)
  an ordinary diffusion. So schedule, loss, posterior and every sampler stay as they are, applied to r, and training and
  sampling match; the network is shown x_t = r_t + x_dip and predicts v (eps, x0) of r.
- *condition*: the network is told x_dip in further input channels, model([x_t, x_dip], t).
- *weights*: before it learns to denoise, the network is fitted as a DIP, `fit_loss`.

At test time there is no image to make x_dip of: it is drawn from a bank, the DIP's outputs for the training images. So
samples of a shifted or conditioned model may be copies, and copies are counted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dipddpm_utils import config
from dipddpm_utils.ddpm import process, sampling
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.priors.guidance import corrected


def told(model: Model, x_dip: Tensor, *, shift: bool, condition: bool) -> Model:
    """The network as the process of r sees it: (r_t, t) -> model of r_t + x_dip, and of x_dip beside it."""

    def network(r_t: Tensor, t: Tensor) -> Tensor:
        x_t = r_t + x_dip if shift else r_t
        return model(torch.cat([x_t, x_dip], 1) if condition else x_t, t)

    return network


def loss(
    coefs: Coefficients,
    about: config.Diffusion,
    model: Model,
    x0: Tensor,
    x_dip: Tensor,
    t: Tensor,
    eps: Tensor,
    *,
    shift: bool,
    condition: bool,
) -> Tensor:
    """`diffusion.loss` of x0, or with `shift` of the residual x0 - x_dip, for a network that is `told` x_dip."""
    network = told(model, x_dip, shift=shift, condition=condition)
    r_0 = x0 - x_dip if shift else x0
    return (process.loss_in_any_range if shift else process.loss)(coefs, about, network, r_0, t, eps)


def sample(
    coefs: Coefficients,
    about: config.Diffusion,
    model: Model,
    sampler: config.Sampler,
    eps: Tensor,
    x_dip: Tensor,
    generator: torch.Generator | None = None,
    *,
    shift: bool,
    condition: bool,
) -> tuple[Tensor, int]:
    """A whole chain for `loss`'s process, from x_T = x_dip + eps (without shift: eps): (x_0, network calls).

    With shift it is the residual that the sampler carries, and x0_hat = r0_hat + x_dip that is kept in [-1, 1].
    """
    network = told(model, x_dip, shift=shift, condition=condition)
    if not shift:
        return sampling.sample(network, coefs, about, sampler, eps, None, generator)

    def within(r0_hat: Tensor, t: int) -> Tensor:
        return (r0_hat + x_dip).clamp(-1, 1) - x_dip

    network = corrected(network, coefs, about, within)
    r_0, calls = sampling.sample(network, coefs, about, sampler, eps, None, generator, clip=False)
    return r_0 + x_dip, calls


def fit_loss(model: Model, z: Tensor, target: Tensor) -> Tensor:
    """min over w of || f_w(z) - target ||^2, images in [-1, 1]: the denoiser itself fitted as a DIP, always told t = 0.

    z: noisy copies of the targets (a data-set fit), or one fixed draw of noise for one image (as published).
    """
    t = torch.zeros(len(z), dtype=torch.int64, device=z.device)
    return (model(z, t).to(target.dtype) - target).square().mean()
