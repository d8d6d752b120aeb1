"""Second opinions on x0_hat: the mix is the equation's, for every objective and sampler, and none changes nothing."""

from dataclasses import replace

import pytest
import torch

from dipddpm_utils import config, ranges
from dipddpm_utils.ddpm import process, sampling, schedule
from dipddpm_utils.dip import fit, nets
from dipddpm_utils.judging import fidelity
from dipddpm_utils.priors import process as priors_process
from dipddpm_utils.priors.declared import KINDS, find
from dipddpm_utils.priors.images import Given

T = 20
X0 = config.Diffusion(num_train_timesteps=T, objective="x0")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def given():
    train = (255 * torch.rand(30, 1, 8, 8, generator=rng(1))).to(torch.uint8)
    net = nets.build("2conv", 1, 8, width=4, generator=rng(2))
    return Given(train=train, coefs=schedule.coefficients(X0, torch.float64), net=net)


def images(seed=3, n=5):
    return (torch.rand(n, 1, 8, 8, generator=rng(seed)) * 2 - 1).double()


def heard(given, about, x0_hat, change, t=7):
    """What x0_hat a sampler understands from the corrected network, where the plain network says `x0_hat`."""
    coefs, x_t, times = given.coefs, images(9), torch.full((5,), t)
    eps_hat = process.predict_eps_from_x0(coefs, x_t, times, x0_hat)
    v_hat = process.predict_v_from_x0_eps(coefs, x0_hat, times, eps_hat)
    says = {"x0": x0_hat, "eps": eps_hat, "v": v_hat}[about.objective]
    out = priors_process.corrected(lambda x, t: says, coefs, about, change)(x_t, times)
    return process.to_x0_eps(coefs, about.objective, out, x_t, times)[0]


@pytest.mark.parametrize("objective", ["eps", "x0", "v"])
def test_corrected_changes_x0_hat_and_nothing_else(given, objective):
    about = X0.model_copy(update={"objective": objective})
    x0_hat, other = images(4), images(5)
    torch.testing.assert_close(heard(given, about, x0_hat, lambda x, t: x), x0_hat)
    torch.testing.assert_close(heard(given, about, x0_hat, lambda x, t: other * t), other * 7)


@pytest.mark.parametrize(
    ("when", "t", "expected"),
    [("always", 0, 0.4), ("always", 19, 0.4), ("early", 19, 0.4), ("early", 0, 0), ("late", 0, 0.4), ("late", 19, 0)],
)
def test_weight_over_t(when, t, expected):
    assert priors_process.weight_at(config.Advice(name="blur", weight=0.4, when=when), t, T) == pytest.approx(expected)


def advised(model, advice, given, x_dip=None):
    opinion = find("opinion", advice.name).function
    return priors_process.advised(model, given.coefs, X0, advice, lambda x0_hat: opinion(given, x0_hat, x_dip))


def said(given, advice, x0_hat, x_dip=None, t=10):
    model = advised(lambda x, t: x0_hat, advice, given, x_dip)
    return model(images(9), torch.full((len(x0_hat),), t))


def test_each_opinion_is_mixed_in_by_its_weight(given):
    x0_hat, x_dip = images(4), images(5)
    expected = {
        "bank": x_dip,
        "blur": fidelity.gaussian_blur(x0_hat),
        "dip": fit.dip_outputs(given.net.double(), ranges.signed_to_unit(x0_hat)),
    }
    assert set(expected) == {kind.key for kind in KINDS.values() if kind.place == "opinion"}
    for name, other in expected.items():
        got = said(given, config.Advice(name=name, weight=0.3), x0_hat, x_dip)
        torch.testing.assert_close(got, 0.7 * x0_hat + 0.3 * other)


def test_no_weight_is_the_plain_sampler_and_full_weight_ends_in_the_bank(given):
    x_t, x_dip = torch.randn(5, 1, 8, 8, generator=rng(7)).double(), images(5)
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
        said(given, config.Advice(name="bank", weight=0.5), images())
    with pytest.raises(ValueError, match=r"^no DIP is given"):
        said(replace(given, net=None), config.Advice(name="dip", weight=0.5), images())
