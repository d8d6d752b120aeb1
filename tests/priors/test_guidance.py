"""Second opinions on x0_hat: the mix is the equation's, for every objective and sampler, and none changes nothing."""

import pytest
import torch

from dipddpm_utils import config, ranges
from dipddpm_utils.ddpm import process, sampling, schedule
from dipddpm_utils.dip import fit, nets
from dipddpm_utils.judging import fidelity
from dipddpm_utils.priors import guidance, starts

T = 20
X0 = config.Diffusion(num_train_timesteps=T, objective="x0")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def context():
    train = (255 * torch.rand(30, 1, 8, 8, generator=rng(1))).to(torch.uint8)
    net = nets.build("2conv", 1, 8, width=4, generator=rng(2))
    return starts.Context(train=train, coefs=schedule.coefficients(X0, torch.float64), net=net)


def images(seed=3, n=5):
    return (torch.rand(n, 1, 8, 8, generator=rng(seed)) * 2 - 1).double()


def heard(context, about, x0_hat, change, t=7):
    """What x0_hat a sampler understands from the corrected network, where the plain network says `x0_hat`."""
    coefs, x_t, times = context.coefs, images(9), torch.full((5,), t)
    eps_hat = process.predict_eps_from_x0(coefs, x_t, times, x0_hat)
    v_hat = process.predict_v_from_x0_eps(coefs, x0_hat, times, eps_hat)
    says = {"x0": x0_hat, "eps": eps_hat, "v": v_hat}[about.objective]
    out = guidance.corrected(lambda x, t: says, coefs, about, change)(x_t, times)
    return process.to_x0_eps(coefs, about.objective, out, x_t, times)[0]


@pytest.mark.parametrize("objective", ["eps", "x0", "v"])
def test_corrected_changes_x0_hat_and_nothing_else(context, objective):
    about = X0.model_copy(update={"objective": objective})
    x0_hat, other = images(4), images(5)
    torch.testing.assert_close(heard(context, about, x0_hat, lambda x, t: x), x0_hat)
    torch.testing.assert_close(heard(context, about, x0_hat, lambda x, t: other * t), other * 7)


@pytest.mark.parametrize(
    ("when", "t", "expected"),
    [("always", 0, 0.4), ("always", 19, 0.4), ("early", 19, 0.4), ("early", 0, 0), ("late", 0, 0.4), ("late", 19, 0)],
)
def test_weight_over_t(when, t, expected):
    assert guidance.weight_at(0.4, when, t, T) == pytest.approx(expected)


def test_weight_refuses_another_word():
    with pytest.raises(ValueError, match=r"^when is 'soon', expected one of early, late, always"):
        guidance.weight_at(0.4, "soon", 1, T)


def said(context, advice, x0_hat, x_dip=None, t=10):
    model = guidance.advised(lambda x, t: x0_hat, X0, advice, context, x_dip)
    return model(images(9), torch.full((len(x0_hat),), t))


def test_each_opinion_is_mixed_in_by_its_weight(context):
    x0_hat, x_dip = images(4), images(5)
    expected = {
        "bank": x_dip,
        "blur": fidelity.gaussian_blur(x0_hat),
        "dip": fit.dip_outputs(context.net.double(), ranges.signed_to_unit(x0_hat)),
    }
    assert set(expected) == set(guidance.OPINIONS)
    for name, other in expected.items():
        got = said(context, config.Advice(name=name, weight=0.3), x0_hat, x_dip)
        torch.testing.assert_close(got, 0.7 * x0_hat + 0.3 * other)


def test_no_weight_is_the_plain_sampler_and_full_weight_ends_in_the_bank(context):
    x_t, x_dip = torch.randn(5, 1, 8, 8, generator=rng(7)).double(), images(5)
    sampler = config.Sampler(name="dpmpp_2m", steps=6)

    def plain(x, t):
        return (0.5 * x).clamp(-1, 1)

    def drawn(weight):
        advice = config.Advice(name="bank", weight=weight)
        return sampling.sample(guidance.advised(plain, X0, advice, context, x_dip), context.coefs, X0, sampler, x_t)[0]

    torch.testing.assert_close(drawn(0.0), sampling.sample(plain, context.coefs, X0, sampler, x_t)[0])
    torch.testing.assert_close(drawn(1.0), x_dip)


def test_opinions_without_what_they_need_say_so(context):
    with pytest.raises(ValueError, match=r"^x_dip is None"):
        said(context, config.Advice(name="bank", weight=0.5), images())
    context.net = None
    with pytest.raises(ValueError, match=r"^context.net is None"):
        said(context, config.Advice(name="dip", weight=0.5), images())


def test_a_name_is_given_once(monkeypatch):
    monkeypatch.setattr(guidance, "OPINIONS", dict(guidance.OPINIONS))
    with pytest.raises(ValueError, match=r"^name is 'blur'"):
        guidance.opinion("blur")(guidance.blur)
