"""Shift, condition and weights: the shifted process is an ordinary one of the residual, in training and in sampling."""

import numpy as np
import pytest
import torch

from dipddpm_utils import config
from dipddpm_utils.ddpm import process as diffusion
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.priors import process as priors_process
from dipddpm_utils.priors.declared import Joint, curriculum, fit_loss
from dipddpm_utils.theory import gaussian

T = 50
EPS = config.Diffusion(num_train_timesteps=T)
TINY = config.Unet(width=8, mults=(1,), blocks=1, middle_attention=False)
SAMPLER = config.Sampler(name="ddim", steps=T)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def images(seed, n=6, c=1):
    return torch.rand(n, c, 8, 8, generator=rng(seed)) * 2 - 1


@pytest.fixture
def coefs():
    return schedule.coefficients(EPS, torch.float64)


def test_what_the_network_sees_is_equation_1(coefs):
    x0, x_dip, eps, t = images(1).double(), images(2).double(), torch.randn(6, 1, 8, 8).double(), torch.arange(0, T, 9)
    seen = []
    priors_process.loss(coefs, EPS, lambda x, _: seen.append(x) or x, x0, Joint(x_dip), t, eps)
    bar = coefs.alphas_cumprod[t].view(-1, 1, 1, 1)
    torch.testing.assert_close(seen[0], bar.sqrt() * x0 + (1 - bar.sqrt()) * x_dip + (1 - bar).sqrt() * eps)


@pytest.mark.parametrize("objective", ["eps", "x0", "v"])
def test_a_network_that_knows_the_residual_has_no_loss_and_gives_x0_back(coefs, objective):
    about = EPS.model_copy(update={"objective": objective})
    x0, x_dip, eps = images(1).double(), images(2).double(), torch.randn(6, 1, 8, 8, generator=rng(3)).double()

    def perfect(x_t, t):
        r_0 = x0 - x_dip
        e = diffusion.predict_eps_from_x0(coefs, x_t - x_dip, t, r_0)
        return {"eps": e, "x0": r_0, "v": diffusion.predict_v_from_x0_eps(coefs, r_0, t, e)}[objective]

    t = torch.arange(0, T, 9)
    assert priors_process.loss(coefs, about, perfect, x0, Joint(x_dip), t, eps) < 1e-20
    drawn, calls = priors_process.sample(coefs, about, perfect, SAMPLER, eps, Joint(x_dip))
    torch.testing.assert_close(drawn, x0)
    assert calls == T


def test_without_a_shift_both_are_the_ordinary_ones(coefs):
    x0, eps = images(1).double(), torch.randn(6, 1, 8, 8, generator=rng(3)).double()
    model, t = (lambda x, t: 0.3 * x), torch.arange(0, T, 9)
    expected = diffusion.loss(coefs, EPS, model, x0, t, eps)
    assert priors_process.loss(coefs, EPS, model, x0, Joint(), t, eps) == expected
    expected, _ = sampling.sample(model, coefs, EPS, SAMPLER, eps)
    assert torch.equal(priors_process.sample(coefs, EPS, model, SAMPLER, eps, Joint())[0], expected)


def test_samples_of_a_shifted_process_stay_images(coefs):
    x_dip = images(2).double()
    drawn, _ = priors_process.sample(coefs, EPS, lambda x, t: -9 * x, SAMPLER, torch.randn(6, 1, 8, 8).double(), Joint(x_dip))
    assert drawn.abs().max() <= 1 + 1e-9 and drawn.abs().max() > 0.99


def test_the_optimal_network_of_gaussian_residuals_draws_the_datas_mean(coefs):
    """x0 = x_dip + r with r ~ N(m, s^2): the chain's samples less x_dip have r's mean, as training and sampling match."""
    x_dip, mean, cov = images(2, 400).double() * 0.5, np.full(8, 0.2), 0.01 * np.eye(8)
    best = gaussian.optimal_model(mean, cov, coefs.alpha_bars, "eps")

    def model(x_t, t):
        return best((x_t - x_dip).reshape(-1, 1, 1, 8), t.repeat_interleave(8)).view(x_t.shape)

    drawn, _ = priors_process.sample(
        coefs, EPS, model, SAMPLER, torch.randn(400, 1, 8, 8, generator=rng(5)).double(), Joint(x_dip)
    )
    chain = gaussian.ddim_chain(mean, cov, coefs.alpha_bars, sampling.timesteps(T, T))
    expected, var = chain.apply(np.zeros(8), np.eye(8))
    assert (drawn - x_dip).mean().item() == pytest.approx(expected.mean(), abs=0.005)
    assert (drawn - x_dip).var().item() == pytest.approx(var[0, 0], rel=0.05)


def test_a_condition_is_further_channels_and_changes_the_output(coefs):
    model = UNet(TINY, 3, 8, given=3)
    assert model(torch.zeros(2, 6, 8, 8), torch.zeros(2, dtype=torch.int64)).shape == (2, 3, 8, 8)
    torch.nn.init.normal_(model.head.weight, generator=rng())
    x, t = images(1, 2, 3), torch.tensor([3, 3])
    one, other = (priors_process.told(model, Joint(told=images(s, 2, 3)))(x, t) for s in (4, 5))
    assert one.shape == x.shape and not torch.allclose(one, other)
    with pytest.raises(ValueError, match="x has shape"):
        model(x, t)


def test_fit_loss_is_the_error_of_the_network_at_t_0():
    z, target = images(1), images(2)
    times = []
    value = fit_loss(lambda x, t: times.append(t) or 2 * x, z, target)
    assert value.item() == pytest.approx((2 * z - target).square().mean().item()) and times[0].tolist() == [0] * 6


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.3, 3), (0.25, 3), (1.0, 10)])
def test_a_curriculum_is_dip_outputs_for_that_share_of_the_steps(share, expected):
    x0, x_dip = torch.zeros(1), torch.ones(1)
    learned = [int(curriculum(x0, x_dip, step, 10, share)) for step in range(10)]
    assert learned == [1] * expected + [0] * (10 - expected)
