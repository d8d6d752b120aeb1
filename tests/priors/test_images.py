"""The controls: each changes real images by one effect of a known size."""

from types import SimpleNamespace

import pytest
import torch
from made_images import made_colour_images
from priors.runs import DATA, DDPM, DIP

from dipddpm_utils import ranges
from dipddpm_utils.data import sets
from dipddpm_utils.dip.fit import dip_outputs
from dipddpm_utils.dip.run import build, fitted, operations
from dipddpm_utils.judging import fidelity
from dipddpm_utils.priors import images as made
from dipddpm_utils.priors.images import blur, of_dip, training_images


@pytest.fixture(scope="module")
def real():
    return ranges.uint8_to_signed(torch.from_numpy(made_colour_images(64, seed=256)[0]))


@pytest.mark.parametrize("width", [0.0, 0.4, 0.7, 1.5])
def test_the_matched_width_is_that_of_a_blur_it_is_shown(real, width):
    found = made.matched_width(real, fidelity.gaussian_blur(real, width))
    assert found == pytest.approx(width, abs=0.051)
    images, strength = made.blur(real, fidelity.gaussian_blur(real, width))
    assert strength == found and images.shape == real.shape


def test_a_wave_has_its_power_in_its_own_ring():
    k = 5
    wave = torch.cos(2 * torch.pi * k * torch.arange(32) / 32).expand(1, 1, 32, 32)
    power = made.radial_power(wave)
    assert power.shape == (16,) and int(power.argmax()) == k - 1
    assert float(power[[i for i in range(16) if i != k - 1]].max()) < 1e-6 * float(power[k - 1])


def test_the_clipped_image_is_what_a_sigmoid_makes_of_signed_targets(real):
    images, _ = made.clip(real, real)
    p = ranges.signed_to_unit(real)
    torch.testing.assert_close(ranges.signed_to_unit(images), torch.clamp(2 * p - 1, min=0))
    assert float(images.min()) == -1


def test_rescaled_images_have_the_outputs_variance_about_their_own_mean(real):
    outputs = 0.1 + 0.5 * real
    images, ratio = made.rescaled(real, outputs)
    assert ratio == pytest.approx(0.5, rel=1e-5)
    torch.testing.assert_close(made.variance(images), made.variance(outputs))
    torch.testing.assert_close(images.mean((0, 2, 3)), real.mean((0, 2, 3)), atol=1e-5, rtol=0)


def test_no_blur_is_the_image_and_a_blur_keeps_flat_images_and_the_mean_of_an_impulse():
    x = torch.zeros(1, 1, 15, 15)
    x[0, 0, 7, 7] = 1
    assert (fidelity.gaussian_blur(x, 0) == x).all()
    blurred = fidelity.gaussian_blur(x, 1.0)
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)
    offsets = torch.arange(15) - 7  # the variance of the blurred impulse is the width's square
    assert float((blurred[0, 0].sum(0) * offsets**2).sum()) == pytest.approx(1.0, abs=0.05)
    flat = torch.full((1, 3, 8, 8), 0.3)
    torch.testing.assert_close(fidelity.gaussian_blur(flat, 0.8), flat)


def test_emphasis_is_the_change_of_contrast_between_strokes_and_ground():
    images = torch.zeros(2, 1, 4, 4)
    images[:, :, 1] = 1.0
    assert fidelity.emphasis(images, images) == pytest.approx(0)
    assert fidelity.emphasis(images, 0.5 * images + 0.2) == pytest.approx(-0.5)
    assert fidelity.emphasis(images, 1.1 * images) == pytest.approx(0.1)


def test_the_seconds_of_a_dip_are_those_of_its_fit_and_of_applying_it(store):
    long = SimpleNamespace(metrics={"train_seconds": 1e6})
    shop = SimpleNamespace(weights=store.weights, ensure=lambda run, quiet: long)
    made = of_dip(DIP, sets.load(DATA).train, SimpleNamespace(device="cpu", store=shop))
    assert 1e6 < made.seconds < 1e6 + 60


def test_controls_are_an_untrained_dip_and_as_strong_as_the_trained_one(store):
    work, source = SimpleNamespace(device="cpu", store=store), sets.load(DATA)
    run, unit = DDPM.model_copy(update={"dip": DIP}), ranges.uint8_to_unit(source.train)
    untrained = training_images(run.model_copy(update={"train_on": "untrained"}), source, work)
    assert torch.equal(untrained.images, dip_outputs(build(DIP), unit))
    blurred, strength = blur(ranges.uint8_to_signed(source.train), dip_outputs(fitted(DIP, work), unit))
    made = training_images(run.model_copy(update={"train_on": "blur"}), source, work)
    assert made.strength == strength > 0 and torch.equal(made.images, blurred)


def test_every_ring_counts_alike_in_the_matched_width():
    """As sharp as the images in the two lowest rings, which hold most of the power, and blurred in all others."""
    real = ranges.uint8_to_signed(torch.from_numpy(made_colour_images(64, seed=256)[0]))
    k = torch.fft.fftfreq(32, 1 / 32)
    low = (k[:, None] ** 2 + k[None] ** 2).sqrt().round() <= 2
    spectra = [torch.fft.fft2(each) for each in (real, fidelity.gaussian_blur(real, 1.0))]
    outputs = torch.fft.ifft2(torch.where(low, *spectra)).real
    assert made.matched_width(real, outputs) == pytest.approx(1.0, abs=0.06)


def test_a_dip_costs_its_fit_and_being_applied_to_every_image(store):
    applied = of_dip(DIP, sets.load(DATA).train, SimpleNamespace(device="cpu", store=store))
    assert applied.flops == operations(DIP, build(DIP), 96) > operations(DIP, build(DIP), 0)
