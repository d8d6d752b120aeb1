"""Priors on the way down: a second opinion on x0_hat, mixed in at every step of a chain.

At each step the network says what x_0 it expects, x0_hat. Another source has an opinion too, and the chain goes on from
      x0_hat <- (1 - w_t) x0_hat + w_t opinion,   w_t = weight * (t / (T - 1) "early", 1 - t / (T - 1) "late", 1 "always")
so that any sampler can be used as it is. *Guidance*: the opinion is what the DIP network makes of x0_hat itself ("dip"),
*re-injection*: it is an image of the DIP's bank, the same at every step ("bank"). "blur" is guidance without a DIP, a control.

An opinion is one function, `@opinion("name")`: (context, x0_hat, x_dip) -> images in [-1, 1], all [B, C, H, W]. x_dip is
drawn once a sample, by the start that the configuration names as its `bank`; None without one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dipddpm_utils import config, ranges
from dipddpm_utils.ddpm import process
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.dip.fit import dip_outputs
from dipddpm_utils.judging.fidelity import gaussian_blur
from dipddpm_utils.priors.starts import Context

Opinion = Callable[[Context, Tensor, Tensor | None], Tensor]
OPINIONS: dict[str, Opinion] = {}


def opinion(name: str) -> Callable[[Opinion], Opinion]:
    """Register an opinion under the name that a configuration uses for it. ValueError if the name is taken."""

    def register(function: Opinion) -> Opinion:
        if name in OPINIONS:
            raise ValueError(f"name is {name!r}, expected one not yet in OPINIONS: {', '.join(OPINIONS)}")
        OPINIONS[name] = function
        return function

    return register


@opinion("dip")
def dip(context: Context, x0_hat: Tensor, x_dip: Tensor | None) -> Tensor:
    """f_w(x0_hat): a network that was fitted to give clean images for noisy ones. ValueError without a network."""
    if context.net is None:
        raise ValueError("context.net is None, expected a fitted DIP: give the opinion a `dip` in its configuration")
    return dip_outputs(context.net, ranges.signed_to_unit(x0_hat).clamp(0, 1))


@opinion("bank")
def bank(context: Context, x0_hat: Tensor, x_dip: Tensor | None) -> Tensor:
    """x_dip itself: each chain is pulled to one image of the bank, and so to one training image. ValueError without a bank."""
    if x_dip is None:
        raise ValueError("x_dip is None, expected images: give the opinion a `bank` in its configuration")
    return x_dip


@opinion("blur")
def blur(context: Context, x0_hat: Tensor, x_dip: Tensor | None) -> Tensor:
    """k * x0_hat: as smooth as a DIP's, and free."""
    return gaussian_blur(x0_hat)


def weight_at(weight: float, when: str, t: int, T: int) -> float:
    """w_t of the equation above. ValueError if `when` is none of early, late, always."""
    share = t / max(T - 1, 1)
    shares = {"early": share, "late": 1 - share, "always": 1.0}
    if when not in shares:
        raise ValueError(f"when is {when!r}, expected one of {', '.join(shares)}")
    return weight * shares[when]


def advised(
    model: Model, about: config.Diffusion, advice: config.Advice, context: Context, x_dip: Tensor | None = None
) -> Model:
    """The network with the opinion `advice.name` mixed into its x0_hat. x_dip: an image for each one of the batch."""
    coefs = context.coefs

    def mixed(x0_hat: Tensor, t: int) -> Tensor:
        w = weight_at(advice.weight, advice.when, t, coefs.num_train_timesteps)
        x0_hat = x0_hat.clamp(-1, 1)
        return x0_hat if w == 0 else (1 - w) * x0_hat + w * OPINIONS[advice.name](context, x0_hat, x_dip)

    return corrected(model, coefs, about, mixed)


def corrected(model: Model, coefs: Coefficients, about: config.Diffusion, change: Callable[[Tensor, int], Tensor]) -> Model:
    """The network whose output means change(x0_hat, t) instead of x0_hat, whatever it predicts. t is one for the batch."""

    @torch.no_grad()
    def network(x_t: Tensor, t: Tensor) -> Tensor:
        x0_hat, _ = process.to_x0_eps(coefs, about.objective, model(x_t, t), x_t, t)
        x0_hat = change(x0_hat, int(t[0]))
        if about.objective == "x0":
            return x0_hat
        eps_hat = process.predict_eps_from_x0(coefs, x_t, t, x0_hat)
        return eps_hat if about.objective == "eps" else process.predict_v_from_x0_eps(coefs, x0_hat, t, eps_hat)

    return network
