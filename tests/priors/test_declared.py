"""Declared priors: what each start and opinion does, and that a new one is one function with a name of its own."""

from dataclasses import replace

import pytest
import torch
from draws import rng
from scipy import ndimage

from dipddpm_utils import config, ranges
from dipddpm_utils.ddpm import process, schedule
from dipddpm_utils.dip import fit, nets
from dipddpm_utils.judging import fidelity
from dipddpm_utils.machine.errors import ConfigError
from dipddpm_utils.page import names
from dipddpm_utils.priors import declared
from dipddpm_utils.priors.declared import find
from dipddpm_utils.priors.images import Given
from dipddpm_utils.priors.process import start_chain

COEFS = schedule.coefficients(config.Diffusion(num_train_timesteps=1000, schedule="linear"))


@pytest.fixture
def given():
    """40 random smooth-ish colour images of 12 x 12 pixels, all different."""
    coarse = torch.rand(40, 3, 3, 3, generator=rng(5))
    images = torch.nn.functional.interpolate(coarse, size=12, mode="bilinear")
    net = nets.build("2conv", 3, width=4, generator=rng(6))
    return Given(train=(images * 255).round().to(torch.uint8), coefs=COEFS, net=net)


# --- every start


@pytest.mark.parametrize("name", ["noise", "dip", "mean", "gaussian", "blur", "real"])
def test_every_start_has_the_images_shape_and_follows_the_generator(given, name):
    begin = find("start", name).function
    a, b, other = begin(given, 5, rng(1)), begin(given, 5, rng(1)), begin(given, 5, rng(2))
    assert a.shape == (5, 3, 12, 12) and a.dtype == torch.float32 and torch.equal(a, b)
    assert torch.equal(a, other) == (name == "mean")
    if name not in ("noise", "gaussian"):
        ranges.check_signed(a, name)
    assert begin(given, 100, rng(1)).shape[0] == 100  # more than there are training images


@pytest.fixture
def kinds(monkeypatch):
    """The declarations, and room for new ones that are gone after the test."""
    monkeypatch.setattr(declared, "KINDS", dict(declared.KINDS))
    return declared.KINDS


def test_a_new_prior_is_one_decorated_function_with_a_name_and_a_look_of_its_own(kinds):
    before = {kind.look[1:] for kind in kinds.values()}

    @declared.start("grey", "grey images")
    def grey(given, n, generator):
        return given.train.new_zeros(n, *given.train.shape[1:]).float()

    @declared.opinion("darker", "a darker image", setting="weight", dip=True, controls=("guidance blur",))
    def darker(given, x0_hat, x_dip):
        return given.dip(x0_hat) - 0.1

    assert find("start", "grey").function is grey and find("opinion", "darker").function is darker
    assert names.look("grey").label == "grey images" and names.look("start grey").label == "start: grey images"
    assert names.look("darker").label == "a darker image" and names.look("darker").marker
    assert len({names.look(name)[1:] for name in ("grey", "darker")} - before) == 2  # no look of another prior
    assert names.starts(dip=False)[-1] == "grey" and "grey" not in names.starts(dip=True)
    assert list(names.mechanisms())[-1] == "darker" and (kinds["darker"].dip_calls(20), kinds["grey"].dip_calls(20)) == (20, 0)
    for taken in (
        declared.start("grey", "again"),
        declared.learned("grey", "again"),
        declared.opinion("dip", "again", name="x"),
    ):
        with pytest.raises(ValueError, match="is declared twice"):
            taken(grey)


def test_a_prior_that_is_not_declared_is_said_with_those_that_are():
    with pytest.raises(ConfigError, match=r"^the opinion 'dop' is not declared: expected one of bank, dip, blur$"):
        find("opinion", "dop")


def test_every_control_has_a_name():
    for name, kind in names.mechanisms().items():
        for control in kind.controls:
            assert names.look(control).label != control or control in names.METHODS, (name, control)
            assert "DIP" not in names.look(control).label
    order = list(names.mechanisms())
    assert order[order.index("start") + 1] == "start per_image" and "start blur" not in order
    assert names.mechanisms()["start per_image"].controls == names.mechanisms()["start"].controls
    assert names.starts(dip=True)[:2] == ("dip", "per_image") and names.starts(dip=False)[:3] == ("mean", "gaussian", "blur")


# --- each start


def test_noise_is_standard_normal(given):
    x_start, close = find("start", "noise").function(given, 400, rng(1)), 5 / (400 * 3 * 12 * 12) ** 0.5
    assert abs(x_start.mean()) < close and abs(x_start.std() - 1) < close  # five standard errors
    assert (x_start.var(0) - 1).abs().mean() < 0.1  # pixel by pixel too


def test_mean_is_the_mean_training_image(given):
    expected = ranges.uint8_to_signed(given.train).mean(0)
    torch.testing.assert_close(find("start", "mean").function(given, 3, rng()), expected.expand(3, -1, -1, -1))


def test_gaussian_has_the_training_images_mean_and_covariance(given):
    draws = find("start", "gaussian").function(given, 40_000, rng(1)).flatten(1)
    images = ranges.uint8_to_signed(given.train).flatten(1)
    cov = torch.cov(images.T, correction=0)
    se_mean = (cov.diagonal() / len(draws)).sqrt()
    assert ((draws.mean(0) - images.mean(0)).abs() < 5 * se_mean).all()
    measured = torch.cov(draws.T)
    se_cov = ((cov.square() + cov.diagonal()[:, None] * cov.diagonal()) / len(draws)).sqrt()  # Isserlis
    assert ((measured - cov).abs() < 6 * se_cov).all()
    score = (draws - images.mean(0)) @ torch.linalg.eigh(cov)[1][:, -1]  # a projection is normal: kurtosis 3
    assert ((score - score.mean()) / score.std()).pow(4).mean().item() == pytest.approx(3, abs=0.15)


def test_blur_is_scipys_gaussian_filter(given):
    images = find("start", "real").function(given, 4, rng(1))
    sigma = (0, 0, fidelity.BLUR, fidelity.BLUR)
    expected = torch.tensor(ndimage.gaussian_filter(images.numpy(), sigma, mode="nearest", radius=(0, 0, 5, 5)))
    torch.testing.assert_close(find("start", "blur").function(given, 4, rng(1)), expected, rtol=0, atol=1e-5)


def test_real_blur_and_dip_draw_the_same_images_without_repeats(given):
    real = find("start", "real").function(given, 40, rng(1))
    assert len(real.flatten(1).unique(dim=0)) == 40
    expected = fit.dip_outputs(given.net, ranges.signed_to_unit(real).clamp(0, 1))
    torch.testing.assert_close(find("start", "dip").function(given, 40, rng(1)), expected, rtol=0, atol=1e-5)


def test_dip_without_a_network_says_so(given):
    with pytest.raises(ValueError, match=r"^no DIP is given"):
        find("start", "dip").function(replace(given, net=None), 1, rng())


# --- start_chain and dip_outputs


@pytest.mark.parametrize("t_start", [0, 500, 999])
def test_start_chain_is_the_forward_process(given, t_start):
    x_start = find("start", "real").function(given, 6, rng(1))
    eps = torch.randn(x_start.shape, generator=rng(2))
    expected = process.diffuse(COEFS, x_start, torch.full((6,), t_start), eps)
    torch.testing.assert_close(start_chain(COEFS, x_start, t_start, rng(2)), expected)


@pytest.mark.parametrize("t_start", [-1, 1000])
def test_start_chain_refuses_steps_outside_the_chain(t_start):
    with pytest.raises(ValueError, match=rf"^t_start is {t_start}, expected 0..999"):
        start_chain(COEFS, torch.zeros(1, 1, 8, 8), t_start, rng())


def test_dip_outputs_are_signed_cut_and_independent_of_the_batch(given):
    images = ranges.uint8_to_unit(given.train)
    torch.testing.assert_close(fit.dip_outputs(torch.nn.Identity(), images), ranges.uint8_to_signed(given.train))
    wild = fit.dip_outputs(torch.nn.Threshold(0.5, -3.0), images)  # leaves [0, 1], as 5conv may
    assert wild.min() == -1 and wild.max() <= 1
    net = nets.build("skip", 3, width=4, generator=rng()).train()  # batch normalisation: only its evaluation mode will do
    net(images)
    many = images.repeat(7, 1, 1, 1)  # more than one batch
    torch.testing.assert_close(fit.dip_outputs(net, many), fit.dip_outputs(net, images).repeat(7, 1, 1, 1))
    assert net.training and not fit.dip_outputs(net, images).requires_grad


def test_dip_outputs_refuses_signed_images(given):
    with pytest.raises(ValueError, match=r"^images_unit has values from -1"):
        fit.dip_outputs(given.net, torch.full((1, 3, 12, 12), -1.0))
