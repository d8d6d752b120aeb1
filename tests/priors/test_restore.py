"""Degradations, and the restoration run: each method on the same images, choices made on others, intervals over images."""

import numpy as np
import pytest
import torch
from priors.runs import DDPM

from dipddpm_utils import config, ranges
from dipddpm_utils.config import Restore, Sampler
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.dip import fit
from dipddpm_utils.judging import fidelity
from dipddpm_utils.priors import restore
from dipddpm_utils.store.runs import Store

pytestmark = pytest.mark.usefixtures("one_thread")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def clean():
    return torch.rand(40, 1, 16, 16, generator=rng(1)).round()


def test_noise_is_added_and_cut(clean):
    seen = restore.degrade("denoise", torch.full((200, 1, 16, 16), 0.5), rng(2))
    expected = (0.5 + 0.4 * torch.randn(10**6, generator=rng(3))).clamp(0, 1)
    assert seen.picture.std().item() == pytest.approx(expected.std().item(), rel=0.01)
    assert torch.equal(seen.observe(clean), clean) and torch.equal(seen.rows(slice(40)).keep(clean), clean)
    torch.testing.assert_close(seen.smooth, fidelity.gaussian_blur(seen.picture))


def test_half_of_the_pixels_is_missing_and_the_rest_is_kept(clean):
    seen = restore.degrade("inpaint", clean, rng(2))
    assert seen.known.mean().item() == pytest.approx(0.5, abs=5 * 0.5 / seen.known.numel() ** 0.5)
    assert torch.equal(seen.target, seen.known * clean)
    assert ((seen.picture == 0.5) == (seen.known == 0)).all()
    kept = seen.keep(torch.full_like(clean, 0.3))
    assert torch.equal(kept[seen.known == 1], clean[seen.known == 1]) and (kept[seen.known == 0] == 0.3).all()
    flat = restore.degrade("inpaint", torch.full((2, 1, 16, 16), 0.7), rng(2))
    torch.testing.assert_close(flat.smooth, torch.full_like(flat.smooth, 0.7))  # a mean of what is seen, not of holes


def test_coarse_pixels_are_means_of_four(clean):
    seen = restore.degrade("super_resolve", clean, rng())
    means = clean.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    assert torch.equal(seen.picture[:, :, ::2, ::2], means) and torch.equal(seen.picture[:, :, 1::2, 1::2], means)
    torch.testing.assert_close(seen.observe(seen.observe(clean)), seen.observe(clean))
    assert seen.rows(slice(3, 5)).target.shape[0] == 2


def test_another_task_is_refused(clean):
    with pytest.raises(ValueError, match=r"^task is 'colour', expected denoise"):
        restore.degrade("colour", clean, rng())


def test_a_fit_to_what_is_seen_ignores_what_is_not(clean):
    seen = restore.degrade("inpaint", clean[:2], rng(2))
    options = {"iterations": 60, "lr": 2e-2, "z_std": 0.0, "width": 4}
    *_, last = fit.fit_images("skip", seen.target, **options, generator=rng(3), observe=seen.observe)
    *_, blind = fit.fit_images("skip", seen.target, **options, generator=rng(3))
    hidden = (seen.known == 0).expand_as(clean[:2])
    assert last.losses.mean() < 0.15
    assert last.outputs[hidden].mean() > 1.5 * blind.outputs[hidden].mean()  # not pulled to the zeros of the target


def test_a_restart_with_the_true_x0_gives_it_back():
    about = config.Diffusion(num_train_timesteps=50, objective="x0")
    coefs, truth = schedule.coefficients(about), torch.rand(3, 1, 8, 8, generator=rng(1))
    images, calls = restore.restart(
        lambda x, t: ranges.unit_to_signed(truth), coefs, about, Sampler(steps=10), torch.zeros_like(truth), 29, rng(2)
    )
    torch.testing.assert_close(images, truth)
    assert calls == 6


@pytest.mark.parametrize("task", ["inpaint", "super_resolve"])
def test_a_chain_that_is_told_y_ends_where_y_could_have_come_from(clean, task):
    seen, about = restore.degrade(task, clean, rng(2)), config.Diffusion(num_train_timesteps=50, objective="v")
    guess = torch.rand(clean.shape, generator=rng(3))
    torch.testing.assert_close(seen.observe(seen.agree(guess)), seen.target)
    torch.testing.assert_close(seen.agree(seen.agree(guess)), seen.agree(guess))
    torch.testing.assert_close(seen.agree(clean), clean)
    assert ((seen.agree(guess) - clean) ** 2).sum() < ((guess - clean) ** 2).sum()  # a projection comes nearer
    coefs = schedule.coefficients(about)
    network = restore.told(lambda x, t: torch.zeros_like(x), coefs, about, seen)
    images, _ = restore.restart(network, coefs, about, Sampler(name="ddim", steps=10), seen.smooth, 29, rng(4))
    if task == "inpaint":  # no value of it is cut to [0, 1]
        torch.testing.assert_close(seen.observe(images), seen.target, atol=1e-5, rtol=0)
    assert (seen.observe(images) - seen.target).abs().mean() < 0.05


def test_a_noisy_image_is_nothing_to_be_held_to(clean):
    with pytest.raises(ValueError, match=r"^task is 'denoise'"):
        restore.degrade("denoise", clean, rng()).agree(clean)


@pytest.mark.parametrize("task", ["denoise", "inpaint", "super_resolve"])
def test_a_restoration_run_judges_every_method_on_the_same_images(store, task):
    run = Restore(
        model=DDPM, task=task, n=4, n_tune=2, iterations=12, width=4, t_starts=(20, 60), sampler=Sampler(steps=5), lr=0.02
    )
    record = store.ensure(run)
    m, rows = record.metrics, record.evals
    methods = ["degraded", "smooth", "dip", "dip_oracle", "ddpm", "smooth_ddpm", "dip_ddpm"]
    methods += ["told_ddpm", "dip_told_ddpm"] if task != "denoise" else []
    assert list(dict.fromkeys(rows["method"])) == methods and (rows.groupby("method").size() == 4).all()
    table = rows.pivot(index="image", columns="method", values="psnr")
    for name in methods:
        assert m[f"{name}_psnr"] == pytest.approx(table[name].mean(), abs=1e-3)
        assert m[f"{name}_psnr_low"] <= m[f"{name}_psnr"] <= m[f"{name}_psnr_high"]
    assert (table["dip_oracle"] >= table["dip"] - 1e-3).all()
    assert m["dip_ddpm_minus_ddpm"] == pytest.approx((table["dip_ddpm"] - table["ddpm"]).mean(), abs=1e-3)
    assert m["ddpm_t_start"] in (20, 60) and 1 <= m["dip_iterations"] <= 12
    assert m["dip_ddpm_seconds"] > m["dip_seconds"] and m["dip_oracle_seconds"] >= m["dip_seconds"]
    shown = record.arrays["panels_dip"] / 255
    psnr = fidelity.psnr(torch.tensor(shown), torch.tensor(record.arrays["panels_clean"] / 255), 1.0).numpy()
    np.testing.assert_allclose(psnr, table["dip"].to_numpy()[: len(psnr)], atol=0.1)
    assert sum(path.stat().st_size for path in record.folder.iterdir()) < 60_000


def test_more_images_than_there_are_is_refused(tmp_path):
    with pytest.raises(ValueError, match="held-out images"):
        Store(tmp_path, "smoke", device="cpu").ensure(Restore(model=DDPM, n=90, n_tune=20))
