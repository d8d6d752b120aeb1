"""Degradations, and chains that are told what is seen."""

import pytest
import torch
from draws import rng

from dipddpm_utils import config, ranges
from dipddpm_utils.config import Sampler
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.dip import fit
from dipddpm_utils.judging import fidelity
from dipddpm_utils.priors.degraded import degrade, restart, told

PARTS = ("target", "picture", "smooth", "known")


@pytest.fixture
def clean():
    return torch.rand(40, 1, 16, 16, generator=rng(1)).round()


@pytest.mark.parametrize(("strength", "std"), [(None, 0.4), (0.4, 0.4), (0.2, 0.2)])
def test_noise_is_added_and_cut(clean, strength, std):
    seen = degrade("denoise", torch.full((200, 1, 16, 16), 0.5), rng(2), strength)
    expected = (0.5 + std * torch.randn(10**6, generator=rng(3))).clamp(0, 1)
    assert seen.picture.std().item() == pytest.approx(expected.std().item(), rel=0.01)
    assert torch.equal(seen.observe(clean), clean) and torch.equal(seen.rows(slice(40)).keep(clean), clean)
    torch.testing.assert_close(seen.smooth, fidelity.gaussian_blur(seen.picture))


@pytest.mark.parametrize(("strength", "share"), [(None, 0.5), (0.25, 0.25)])
def test_a_share_of_the_pixels_is_seen_and_kept(clean, strength, share):
    seen = degrade("inpaint", clean, rng(2), strength)
    assert seen.known.mean().item() == pytest.approx(share, abs=5 * 0.5 / seen.known.numel() ** 0.5)
    assert torch.equal(seen.target, seen.known * clean)
    assert ((seen.picture == 0.5) == (seen.known == 0)).all()
    kept = seen.keep(torch.full_like(clean, 0.3))
    assert torch.equal(kept[seen.known == 1], clean[seen.known == 1]) and (kept[seen.known == 0] == 0.3).all()
    flat = degrade("inpaint", torch.full((2, 1, 16, 16), 0.7), rng(2))
    torch.testing.assert_close(flat.smooth, torch.full_like(flat.smooth, 0.7))  # a mean of what is seen, not of holes


@pytest.mark.parametrize(("strength", "side"), [(None, 2), (4, 4)])
def test_coarse_pixels_are_means(clean, strength, side):
    seen = degrade("super_resolve", clean, rng(), strength)
    means = clean.unfold(2, side, side).unfold(3, side, side).mean((-1, -2))
    assert all(torch.equal(seen.picture[:, :, i::side, i::side], means) for i in range(side))
    torch.testing.assert_close(seen.observe(seen.observe(clean)), seen.observe(clean))
    guess = torch.rand(clean.shape, generator=rng(3))
    torch.testing.assert_close(seen.observe(seen.agree(guess)), seen.target)
    assert ((seen.keep(guess) - clean) ** 2).sum() < ((seen.agree(guess) - clean) ** 2).sum()  # cut to [0, 1] as well
    part = seen.rows(slice(3, 5))
    assert part.smooth.shape == (2, 1, 16, 16) and torch.equal(part.observe(clean[3:5]), part.target)


def test_another_task_is_refused(clean):
    with pytest.raises(ValueError, match=r"^task is 'colour', expected denoise"):
        degrade("colour", clean, rng())


@pytest.mark.slow
def test_a_fit_to_what_is_seen_ignores_what_is_not(clean):
    seen = degrade("inpaint", clean[:2], rng(2))
    about = config.ImageFit(net="skip", iterations=60, lr=2e-2, z_std=0.0, width=4)
    *_, last = fit.fit_images(about, seen.target, rng(3), seen.observe)
    *_, blind = fit.fit_images(about, seen.target, rng(3))
    hidden = (seen.known == 0).expand_as(clean[:2])
    assert last.losses.mean() < 0.15
    assert last.outputs[hidden].mean() > 1.5 * blind.outputs[hidden].mean()  # not pulled to the zeros of the target


def test_a_restart_with_the_true_x0_gives_it_back():
    about = config.Diffusion(num_train_timesteps=50, objective="x0")
    coefs, truth = schedule.coefficients(about), torch.rand(3, 1, 8, 8, generator=rng(1))
    images, calls = restart(
        lambda x, t: ranges.unit_to_signed(truth), coefs, about, Sampler(steps=10), torch.zeros_like(truth), 29, rng(2)
    )
    torch.testing.assert_close(images, truth)
    assert calls == 6


@pytest.mark.parametrize(
    ("task", "strength"), [("inpaint", None), ("inpaint", 0.25), ("super_resolve", None), ("super_resolve", 4)]
)
@pytest.mark.parametrize(("t", "eta"), [(29, 0.0), (49, 0.85)], ids=["from a guess", "from pure noise, as DDNM"])
def test_a_chain_that_is_told_y_ends_where_y_could_have_come_from(clean, task, strength, t, eta):
    seen, about = degrade(task, clean, rng(2), strength), config.Diffusion(num_train_timesteps=50, objective="v")
    guess = torch.rand(clean.shape, generator=rng(3))
    torch.testing.assert_close(seen.observe(seen.agree(guess)), seen.target)
    torch.testing.assert_close(seen.agree(seen.agree(guess)), seen.agree(guess))
    torch.testing.assert_close(seen.agree(clean), clean)
    assert ((seen.agree(guess) - clean) ** 2).sum() < ((guess - clean) ** 2).sum()  # a projection comes nearer
    coefs = schedule.coefficients(about)
    network = told(lambda x, t: torch.zeros_like(x), coefs, about, seen)
    images, _ = restart(network, coefs, about, Sampler(steps=10, eta=eta), seen.smooth, t, rng(4))
    if task == "inpaint":  # no value of it is cut to [0, 1]
        torch.testing.assert_close(seen.observe(images), seen.target, atol=1e-5, rtol=0)
    assert (seen.observe(images) - seen.target).abs().mean() < 0.05


def test_a_noisy_image_is_nothing_to_be_held_to(clean):
    with pytest.raises(ValueError, match=r"^task is 'denoise'"):
        degrade("denoise", clean, rng()).agree(clean)


def test_nothing_that_is_hidden_reaches_an_observation(clean):
    seen = degrade("inpaint", clean, rng(2))
    other = degrade("inpaint", torch.where(seen.known == 1, clean, 1 - clean), rng(2))
    for name in PARTS:
        assert torch.equal(getattr(other, name), getattr(seen, name))


def test_the_control_of_coarse_pixels_is_bilinear_between_their_centres(clean):
    seen = degrade("super_resolve", clean, rng())
    m = seen.target[:, :, ::2, ::2]
    between = (9 * m[:, :, 0, 0] + 3 * m[:, :, 0, 1] + 3 * m[:, :, 1, 0] + m[:, :, 1, 1]) / 16
    torch.testing.assert_close(seen.smooth[:, :, 1, 1], between)
    assert torch.equal(seen.smooth[:, :, 0, 0], m[:, :, 0, 0])
    part = seen.rows(slice(3, 5))
    assert all(torch.equal(getattr(part, name), getattr(seen, name)[3:5]) for name in PARTS)


def test_a_restart_begins_at_the_guess_cut_to_an_image():
    about, seen, guess = (
        config.Diffusion(num_train_timesteps=50, objective="x0"),
        [],
        3 * torch.rand(3, 1, 8, 8, generator=rng(1)) - 1,
    )
    for given in (guess, guess.clamp(0, 1)):
        restart(lambda x, t: seen.append(x) or 0 * x, schedule.coefficients(about), about, Sampler(steps=10), given, 0, rng(2))
    assert torch.equal(*seen)


def test_what_a_network_that_is_told_y_expects_is_an_image(clean):
    about, seen = config.Diffusion(num_train_timesteps=50, objective="x0"), degrade("super_resolve", clean, rng(2))
    x0_hat = 3 * torch.randn(clean.shape, generator=rng(3))
    network = told(lambda x, t: x0_hat, schedule.coefficients(about), about, seen)
    agreeing = seen.agree(ranges.signed_to_unit(x0_hat.clamp(-1, 1)))
    assert agreeing.min() < 0 and agreeing.max() > 1
    got = network(torch.zeros_like(clean), torch.full((40,), 7))
    torch.testing.assert_close(got, ranges.unit_to_signed(agreeing.clamp(0, 1)))
