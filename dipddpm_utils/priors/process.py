"""Where priors enter the process: the start of a chain, its x0_hat on the way, and a process that is learned around x_dip.

A start at t_start (SDEdit: Meng et al. 2022) is exact if x_start has the data's distribution, and only then. Around a centre c
the residual r = x - c is an ordinary diffusion, so schedule, loss, posterior and every sampler stay as they are, applied to r,
and training and sampling match. At test time there is no image to make x_dip of: it is drawn from a bank, the DIP's outputs for
the training images. So samples of such a model may be copies, and copies are counted.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dipddpm_utils.config import Advice, Diffusion, Sampler
from dipddpm_utils.ddpm import process, sampling
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.machine import streams
from dipddpm_utils.priors.declared import Joint


def start_chain(coefs: Coefficients, x_start: Tensor, t_start: int, generator: torch.Generator) -> Tensor:
    """x_t = sqrt(alpha_bar) x_start + sqrt(1 - alpha_bar) eps at t_start: a draw from q(x_t | x_start), (1) of notebook 04.

    x_start: [n, C, H, W]. An x_start that is N(0, I) itself stays so, as alpha_bar + (1 - alpha_bar) = 1.
    ValueError if t_start is not in 0..T-1.
    """
    if not 0 <= t_start < coefs.num_train_timesteps:
        raise ValueError(f"t_start is {t_start}, expected 0..{coefs.num_train_timesteps - 1}; T - 1 is the whole chain")
    return process.diffuse(coefs, x_start, t_start, streams.normal(x_start, generator))


# --- on the way down --------------------------------------------------------------------------------------------------


def advised(model: Model, coefs: Coefficients, about: Diffusion, advice: Advice, opinion: Callable[[Tensor], Tensor]) -> Model:
    """The network with an opinion mixed into its x0_hat, as strongly as `advice` says: (4) of notebook 04, and its (7)."""

    def mixed(x0_hat: Tensor, t: int) -> Tensor:
        share = t / max(coefs.num_train_timesteps - 1, 1)
        w = advice.weight * {"early": share, "late": 1 - share, "always": 1.0}[advice.when]  # w_t of (4) and (7)
        x0_hat = x0_hat.clamp(-1, 1)
        return x0_hat if w == 0 else (1 - w) * x0_hat + w * opinion(x0_hat)

    return corrected(model, coefs, about, mixed)


def corrected(model: Model, coefs: Coefficients, about: Diffusion, change: Callable[[Tensor, int], Tensor]) -> Model:
    """The network whose output means change(x0_hat, t) instead of x0_hat, whatever it predicts. t is one for the batch."""

    @torch.no_grad()
    def network(x_t: Tensor, t: Tensor) -> Tensor:
        signal, noise = (process.at(of, t, x_t) for of in (coefs.sqrt_alphas_cumprod, coefs.sqrt_one_minus_alphas_cumprod))
        x0_hat = change(process.predicted_x0(about.objective, model(x_t, t), x_t, signal, noise), int(t[0]))
        return process.target(coefs, about.objective, x0_hat, t, process.predict_eps_from_x0(coefs, x_t, t, x0_hat))

    return network


# --- learned ----------------------------------------------------------------------------------------------------------


def told(model: Model, joint: Joint) -> Model:
    """(6) of notebook 04, as the process of r in (5) sees it: (r_t, t) -> model of r_t + centre and of what it is told."""

    def network(r_t: Tensor, t: Tensor) -> Tensor:
        x_t = r_t if joint.centre is None else r_t + joint.centre
        return model(x_t if joint.told is None else torch.cat([x_t, joint.told], 1), t)

    return network


def loss(
    coefs: Coefficients, about: Diffusion, model: Model, x0: Tensor, joint: Joint, t: Tensor, eps: Tensor, *, free: bool = False
) -> Tensor:
    """The training loss of x0 or, around a centre, of r in (5) of notebook 04. free: of an x0 that may leave [-1, 1], too."""
    free = free or joint.centre is not None
    r_0 = x0 if joint.centre is None else x0 - joint.centre
    return process.loss(coefs, about, told(model, joint), r_0, t, eps, free=free)


def sample(
    coefs: Coefficients, about: Diffusion, model: Model, sampler: Sampler, eps: Tensor, joint: Joint,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, int]:  # fmt: skip
    """A whole chain for `loss`'s process, from x_T = centre + eps: (x_0, network calls).

    Around a centre the sampler carries r, (5) of notebook 04, and it is x0_hat = r0_hat + centre that is kept in [-1, 1].
    """
    network, centre = told(model, joint), joint.centre
    if centre is None:
        return sampling.sample(network, coefs, about, sampler, eps, None, generator)

    def within(r0_hat: Tensor, t: int) -> Tensor:
        return (r0_hat + centre).clamp(-1, 1) - centre

    network = corrected(network, coefs, about, within)
    r_0, calls = sampling.sample(network, coefs, about, sampler, eps, None, generator, clip=False)
    return r_0 + centre, calls
