"""Shift, condition and weights: the shifted process is an ordinary one of the residual, in training and in sampling."""

from dataclasses import replace

import pytest
import torch
from draws import rng

from dipddpm_utils import config, ranges
from dipddpm_utils.config import Advice
from dipddpm_utils.ddpm import process as diffusion
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.dip import fit, nets
from dipddpm_utils.judging import fidelity
from dipddpm_utils.priors import process as priors_process
from dipddpm_utils.priors.declared import KINDS, Joint, curriculum, find, fit_loss
from dipddpm_utils.priors.images import Given

T = 50
EPS = config.Diffusion(num_train_timesteps=T)
TINY = config.Unet(width=8, mults=(1,), blocks=1, middle_attention=False)
SAMPLER = config.Sampler(name="ddim", steps=T)


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
        return {"eps": e, "x0": r_0, "v": diffusion.target(coefs, "v", r_0, t, e)}[objective]

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
    with pytest.raises(ValueError, match="x0 has values"):
        priors_process.loss(coefs, EPS, model, 3 * x0, Joint(), t, eps)
    noisy = config.Sampler(name="ancestral", steps=T)
    expected, _ = sampling.sample(model, coefs, EPS, noisy, eps, generator=rng(4))
    assert torch.equal(priors_process.sample(coefs, EPS, model, noisy, eps, Joint(), rng(4))[0], expected)


def test_samples_of_a_shifted_process_stay_images(coefs):
    x_dip = images(2).double()
    drawn, _ = priors_process.sample(coefs, EPS, lambda x, t: -9 * x, SAMPLER, torch.randn(6, 1, 8, 8).double(), Joint(x_dip))
    assert drawn.abs().max() <= 1 + 1e-9 and drawn.abs().max() > 0.99


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


# --- opinions on x0_hat: the mix is the equation's, for every objective and sampler, and none changes nothing

X0 = config.Diffusion(num_train_timesteps=20, objective="x0")


@pytest.fixture
def given():
    train = (255 * torch.rand(30, 1, 8, 8, generator=rng(1))).to(torch.uint8)
    net = nets.build("2conv", 1, width=4, generator=rng(2))
    return Given(train=train, coefs=schedule.coefficients(X0, torch.float64), net=net)


def pictures(seed=3, n=5):
    return (torch.rand(n, 1, 8, 8, generator=rng(seed)) * 2 - 1).double()


def heard(given, about, x0_hat, change, t=7):
    """What x0_hat a sampler understands from the corrected network, where the plain network says `x0_hat`."""
    coefs, x_t, times = given.coefs, pictures(9), torch.full((5,), t)
    eps_hat = diffusion.predict_eps_from_x0(coefs, x_t, times, x0_hat)
    v_hat = diffusion.target(coefs, "v", x0_hat, times, eps_hat)
    says = {"x0": x0_hat, "eps": eps_hat, "v": v_hat}[about.objective]
    out = priors_process.corrected(lambda x, t: says, coefs, about, change)(x_t, times)
    bar = coefs.alpha_bar(t)
    return diffusion.predicted_x0(about.objective, out, x_t, bar**0.5, (1 - bar) ** 0.5)


@pytest.mark.parametrize("objective", ["eps", "x0", "v"])
def test_corrected_changes_x0_hat_and_nothing_else(given, objective):
    about = X0.model_copy(update={"objective": objective})
    x0_hat, other = pictures(4), pictures(5)
    torch.testing.assert_close(heard(given, about, x0_hat, lambda x, t: x), x0_hat)
    torch.testing.assert_close(heard(given, about, x0_hat, lambda x, t: other * t), other * 7)


@pytest.mark.parametrize(
    ("when", "t", "expected"),
    [("always", 0, 0.4), ("always", 19, 0.4), ("early", 19, 0.4), ("early", 0, 0), ("late", 0, 0.4), ("late", 19, 0)],
)
def test_weight_over_t(given, when, t, expected):
    advice, nothing = config.Advice(name="blur", weight=0.4, when=when), lambda x, t: torch.zeros_like(x)
    mixed = priors_process.advised(nothing, given.coefs, X0, advice, torch.ones_like)  # x0_hat is 0, the opinion 1
    torch.testing.assert_close(mixed(pictures(), torch.full((5,), t)), torch.full_like(pictures(), expected))


def advised(model, advice, given, x_dip=None):
    opinion = find("opinion", advice.name).function
    return priors_process.advised(model, given.coefs, X0, advice, lambda x0_hat: opinion(given, x0_hat, x_dip))


def said(given, advice, x0_hat, x_dip=None, t=10):
    model = advised(lambda x, t: x0_hat, advice, given, x_dip)
    return model(pictures(9), torch.full((len(x0_hat),), t))


def test_each_opinion_is_mixed_in_by_its_weight(given):
    x0_hat, x_dip = pictures(4), pictures(5)
    expected = {
        "bank": x_dip,
        "blur": fidelity.gaussian_blur(x0_hat),
        "dip": fit.dip_outputs(given.net.double(), ranges.signed_to_unit(x0_hat)),
    }
    assert set(expected) == {kind.key for kind in KINDS.values() if kind.place == "opinion" and not kind.everywhere}
    for name, other in expected.items():
        got = said(given, config.Advice(name=name, weight=0.3), x0_hat, x_dip)
        torch.testing.assert_close(got, 0.7 * x0_hat + 0.3 * other)


def test_no_weight_is_the_plain_sampler_and_full_weight_ends_in_the_bank(given):
    x_t, x_dip = torch.randn(5, 1, 8, 8, generator=rng(7)).double(), pictures(5)
    sampler = config.Sampler(name="dpmpp_2m", steps=6)

    def plain(x, t):
        return (0.5 * x).clamp(-1, 1)

    def drawn(weight):
        advice = config.Advice(name="bank", weight=weight)
        return sampling.sample(advised(plain, advice, given, x_dip), given.coefs, X0, sampler, x_t)[0]

    torch.testing.assert_close(drawn(0.0), sampling.sample(plain, given.coefs, X0, sampler, x_t)[0])
    torch.testing.assert_close(drawn(1.0), x_dip)


def test_opinions_without_what_they_need_say_so(given):
    with pytest.raises(ValueError, match=r"^x_dip is None"):
        said(given, config.Advice(name="bank", weight=0.5), pictures())
    with pytest.raises(ValueError, match=r"^no DIP is given"):
        said(replace(given, net=None), config.Advice(name="dip", weight=0.5), pictures())


def test_an_opinion_is_mixed_into_an_image():
    about = config.Diffusion(num_train_timesteps=20, objective="x0")
    coefs = schedule.coefficients(about, torch.float64)
    x0_hat, x_dip = (scale * torch.randn(5, 1, 8, 8, generator=rng(s)).double() for s, scale in ((1, 3), (2, 0.1)))
    advice, bank = Advice(name="bank", weight=0.3), find("opinion", "bank").function
    model = priors_process.advised(lambda x, t: x0_hat, coefs, about, advice, lambda x: bank(None, x, x_dip))
    got = model(torch.zeros_like(x0_hat), torch.full((5,), 7))
    torch.testing.assert_close(got, 0.7 * x0_hat.clamp(-1, 1) + 0.3 * x_dip)
