"""The restoration run: each method on the same images, choices made on others, and a DIP's seconds for each of its rivals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from draws import rng
from hypothesis import given
from hypothesis import strategies as st
from priors.runs import DDPM

from dipddpm_utils import config, ranges
from dipddpm_utils.combined import restored
from dipddpm_utils.config import Restore, Sampler, Supervised, Unet
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process, schedule
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.dip import fit
from dipddpm_utils.judging import evaluate, fidelity
from dipddpm_utils.machine import device
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.priors import restore, supervised
from dipddpm_utils.priors.degraded import degrade
from dipddpm_utils.store.records import Work
from dipddpm_utils.store.runs import Store
from dipddpm_utils.training import loop

WITHOUT = ["degraded", "smooth", "dip", "dip_oracle", "ddpm", "smooth_ddpm", "dip_ddpm", "mean", "calls", "eta", "unet"]
RUN = Restore(model=DDPM, n=4, n_tune=2, iterations=12, width=4, t_starts=(20, 60), sampler=Sampler(steps=5), lr=0.02)


def changed(**fields):
    return Restore(**{**dict(RUN), **fields})


@pytest.mark.parametrize(("task", "strength"), [("denoise", None), ("inpaint", None), ("super_resolve", 4)])
@pytest.mark.slow
def test_a_restoration_run_judges_every_method_on_the_same_images(store, task, strength):
    record = store.ensure(changed(task=task, strength=strength))
    m, rows = record.metrics, record.evals
    methods = [*WITHOUT, *(["told_ddpm", "dip_told_ddpm", "ddnm"] if task != "denoise" else [])]
    assert set(rows["method"]) == set(methods) and (rows.groupby("method").size() == 4).all()
    for score in ("psnr", "ssim", "features"):
        table = rows.pivot(index="image", columns="method", values=score)
        assert all(m[f"{name}_{score}"] == pytest.approx(table[name].mean(), abs=1e-3) for name in methods)
    psnr = rows.pivot(index="image", columns="method", values="psnr")
    assert (psnr["dip_oracle"] >= psnr["dip"] - 1e-3).all()
    assert m["ddpm_t_start"] in (20, 60) and 1 <= m["dip_iterations"] <= 12 and m["mean_samples"] >= 1 <= m["unet_steps"]
    assert m["dip_ddpm_seconds"] > m["dip_seconds"] and m["dip_oracle_seconds"] >= m["dip_seconds"]
    assert m["strength"] == (strength or {"denoise": 0.4, "inpaint": 0.5, "super_resolve": 2}[task])
    shown, clean = (record.arrays[f"panels_{name}"] / 255 for name in ("dip", "clean"))
    again = fidelity.psnr(torch.tensor(shown), torch.tensor(clean)).numpy()
    np.testing.assert_allclose(again, psnr["dip"].to_numpy()[: len(again)], atol=0.1)
    features = evaluate.space(DDPM.data)
    apart = features(torch.from_numpy(record.arrays["panels_dip"])) - features(torch.from_numpy(record.arrays["panels_clean"]))
    table = rows.pivot(index="image", columns="method", values="features")
    np.testing.assert_allclose(apart.norm(dim=1), table["dip"][: len(apart)], atol=1e-3)
    assert len(apart) == restore.PANELS
    assert sum(path.stat().st_size for path in record.folder.iterdir()) < 60_000


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.slow
def test_colour_images_are_judged_in_a_second_space_too_or_the_record_says_why_not(tmp_path, monkeypatch, there):
    def shades(images):
        return images.float().mean((2, 3))

    images, labels = torch.randint(256, (96, 3, 32, 32), generator=torch.Generator().manual_seed(0)), torch.zeros(96).long()
    made = sets.DataSet("cifar10", images.byte(), labels, images.flip(3).byte(), labels, "made up", "0")
    second = evaluate.Features("FD-IMAGENET", 3, "", shades, torch.device("cpu")) if there else None
    monkeypatch.setattr(sets, "load", lambda data: made)
    monkeypatch.setattr(evaluate, "second_space", lambda n, device: (second, "" if there else "no second space: install it"))
    colour = DDPM.model_copy(update={"data": DDPM.data.model_copy(update={"name": "cifar10"})})
    record = Store(tmp_path, "smoke", device="cpu").ensure(changed(model=colour))
    assert record.notes == ([] if there else ["no second space: install it"])
    assert ("imagenet" in record.evals) is ("dip_imagenet" in record.metrics) is there
    if there:
        own = record.evals[record.evals["method"] == "dip"]
        assert record.metrics["dip_imagenet"] == pytest.approx(own["imagenet"].mean(), abs=1e-3)
        panels = {name: torch.from_numpy(record.arrays[f"panels_{name}"]) for name in ("dip", "clean")}
        apart = (shades(panels["dip"]) - shades(panels["clean"])).norm(dim=1)
        np.testing.assert_allclose(apart, own["imagenet"][: len(apart)], atol=1e-3)


@pytest.mark.slow
def test_each_model_restores_images_of_its_own_and_only_the_first_shows_them(store):
    first, second = (store.ensure(changed(seed=seed)) for seed in (0, 1))
    assert list(first.evals["image"].unique()) == [2, 3, 4, 5] and list(second.evals["image"].unique()) == [8, 9, 10, 11]
    assert first.arrays and not second.arrays


def test_more_images_than_there_are_is_refused(tmp_path):
    with pytest.raises(ValueError, match="held-out images"):
        Store(tmp_path, "smoke", device="cpu").ensure(Restore(model=DDPM, n=90, n_tune=20))


@pytest.mark.parametrize(("task", "strength"), [("inpaint", 1.0), ("super_resolve", 2.5), ("super_resolve", 5)])
def test_a_strength_that_a_task_cannot_have_is_refused(task, strength):
    with pytest.raises(ValueError, match="strength is"):
        changed(task=task, strength=strength)


def test_a_strength_that_is_not_named_leaves_the_hash_as_it_was():
    assert "strength" not in config.canonical(RUN) and "validation" not in config.canonical(RUN)
    assert config.run_hash(changed(strength=0.2)) != config.run_hash(RUN) == config.run_hash(changed(strength=None))


# --- equal seconds ----------------------------------------------------------------------------------------------------


@given(start=st.integers(0, 50), n=st.integers(1, 200))
def test_blocks_hold_each_image_once_and_are_alike_in_size(start, n):
    found = restore.blocks(start, n)
    sizes = [rows.stop - rows.start for rows in found]
    assert [i for rows in found for i in range(rows.start, rows.stop)] == list(range(start, start + n))
    assert max(sizes) <= restore.TOGETHER and len(set(sizes[:-1])) <= 1 and max(sizes) - min(sizes) < len(sizes)


@pytest.mark.slow
def test_rivals_get_the_seconds_of_the_best_way_with_a_dip(store, monkeypatch):
    """By a clock that ticks five times for each image of a DIP's iteration, and once for each of a network's call.

    Ten more for an image of an iteration of so few as are tuned on: what judged images take is what counts.
    """
    ticks, forward, fit_images = [0.0], UNet.forward, fit.fit_images

    def counted(self, x, t):
        ticks[0] += len(x)
        return forward(self, x, t)

    def slow(about, targets, *others):
        for state in fit_images(about, targets, *others):
            ticks[0] += (5 if len(targets) > 10 else 15) * len(targets)
            yield state

    monkeypatch.setattr(UNet, "forward", counted)
    monkeypatch.setattr(fit, "fit_images", slow)
    monkeypatch.setattr(restore, "LOOKS", 6)  # at every second iteration of a fit
    for place in (device, loop):
        monkeypatch.setattr(place, "clock", lambda device=None: lambda: ticks[0])
    m = store.ensure(changed(task="inpaint", n=22, n_tune=10, sampler=Sampler(steps=10))).metrics
    best = max(restore.WITH_DIP, key=lambda name: m[f"{name}_tuned"])
    seconds = m[f"{best}_seconds"]
    assert seconds >= 22 * 5 * m["dip_iterations"] == m["dip_seconds"]
    one = 22 * m["mean_nfe"] / m["mean_samples"]
    assert m["mean_seconds"] == pytest.approx(seconds, abs=0.51 * one) and m["mean_samples"] > 1
    assert m["unet_seconds"] == pytest.approx(
        seconds + 22, abs=0.51 * RUN.supervised.batch_size
    )  # the 22 are restored beyond that
    for name in ("calls", "eta", "ddnm"):  # a call at every step is as much as there can be
        most = 22 * (m[f"{name}_t_start"] + 1)
        assert m[f"{name}_seconds"] == pytest.approx(min(seconds, most), rel=0.15), name
    assert m["ddnm_t_start"] == 99 and m["told_ddpm_seconds"] < seconds / 3


def bench_of(clean, task, model, strength=None):
    """A bench whose images are all for tuning, with a made-up network."""
    run = changed(task=task, n_tune=len(clean), strength=strength)
    work = Work(None, Budget(), "cpu", "", None)
    return restore.Bench(run, work, clean, degrade(task, clean, torch.Generator().manual_seed(2)), model)


def test_the_mean_of_k_samples_has_the_error_of_the_posterior_mean_and_a_kth_of_their_variance():
    """Pixels N(0, s^2) that nothing is seen of: the error of the mean of k samples is s^2 + v / k, with v about s^2."""
    about, std, k = DDPM.diffusion, 0.2, 16
    coefs = schedule.coefficients(about)

    def best(x, t):  # E[eps | x_t] of such pixels, in [-1, 1]
        bar = process.at(coefs.alphas_cumprod, t, x)
        return x * (1 - bar).sqrt() / (bar * std**2 + 1 - bar)

    clean = (0.5 + 0.5 * std * torch.randn(60, 1, 16, 16, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    bench = bench_of(clean, "denoise", best)
    chain = restore.Chain("grey", False, 99, Sampler(name="ddim", steps=50))
    errors = {}
    for samples in (1, k):
        images, calls, _ = bench.draw(chain._replace(samples=samples), slice(0, 60), torch.full_like(clean, 0.5))
        errors[samples] = (images - clean).square().mean().item() / (0.5 * std) ** 2
        assert calls == 50 * samples
    assert errors[1] > 1.6 and errors[k] == pytest.approx(1 + (errors[1] - 1) / k, rel=0.05)


def test_ddnm_and_means_keep_the_pixels_that_are_seen(monkeypatch):
    monkeypatch.setattr(restore.Observation, "keep", lambda seen, images: images)  # the chain, before they are put back
    clean = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    bench = bench_of(clean, "inpaint", lambda x, t: torch.zeros_like(x))
    seen = bench.seen
    for start, t, samples in (("grey", 99, 1), ("smooth", 40, 5)):
        chain = restore.Chain(start, True, t, Sampler(name="ddim", steps=20, eta=restore.DDNM_ETA), samples)
        images, _, _ = bench.draw(chain, slice(0, 6), seen.smooth)
        torch.testing.assert_close(seen.known * images, seen.target, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_supervised_network_sees_y_and_learns_from_it(monkeypatch):
    """Noise so weak that y shows x: it does better than the mean image can, and answers another y with another image."""
    generator = torch.Generator().manual_seed(1)
    train = (255 * torch.rand(64, 1, 1, 1, generator=generator)).to(torch.uint8).expand(64, 1, 28, 28).contiguous()
    run = changed(strength=0.05, model=DDPM.model_copy(update={"unet": Unet(width=8, mults=(1,), blocks=1, patch=4)}))
    monkeypatch.setattr(supervised, "fill", lambda seconds, one: 60)
    network, seconds, steps = supervised.supervised(run, train, 1.0, Work(None, Budget(), "cpu", "", None))
    clean = ranges.uint8_to_unit(train[:16])
    seen = degrade("denoise", clean, generator, 0.05)
    error = (network(seen) - clean).square().mean()
    assert steps == 60 and seconds > 0 and error < 0.25 * clean.var()
    masked = degrade("inpaint", torch.rand(4, 1, 28, 28, generator=generator), generator, 0.5)
    other = restore.Observation("inpaint", masked.target, masked.picture, masked.smooth, 1 - masked.known)
    assert not torch.allclose(network(masked), network(other))  # which pixels are seen is told, too


def test_a_residual_network_gives_what_the_guess_lacks():
    about = Supervised(unet=Unet(width=8, mults=(1,), blocks=1, patch=4), lr=1e-12, batch_size=2, residual=True)
    train = torch.randint(256, (8, 1, 28, 28), dtype=torch.uint8, generator=rng(0))
    network, *_ = supervised.supervised(changed(supervised=about), train, 0.01, Work(None, Budget(), "cpu", "", None))
    seen = degrade("inpaint", torch.rand(4, 1, 28, 28, generator=rng(1)), rng(2), 0.5)
    torch.testing.assert_close(network(seen), seen.smooth, atol=1e-5, rtol=0)  # its last layer begins at zero, and stays there


def test_without_chains_a_dip_alone_stands_beside_the_supervised_network_and_no_ddpm_is_trained(tmp_path):
    record = Store(tmp_path, "smoke", device="cpu").ensure(
        changed(task="inpaint", t_starts=(), supervised=Supervised(batch_size=2, residual=True))
    )
    assert set(record.evals["method"]) == {"degraded", "smooth", "dip", "dip_oracle", "unet"}
    assert [folder.name for folder in record.folder.parent.iterdir()] == [record.folder.name]
    assert restored.best([record], "with a DIP") == "dip" and restored.best([record], "equal seconds") == "unet"


def test_the_look_and_each_t_start_are_those_of_the_best_tuning_images(monkeypatch):
    clean = torch.rand(4, 1, 16, 16, generator=rng(1))
    bench = bench_of(clean, "inpaint", None)
    off = torch.tensor([0.3, 0.01, 0.2]).view(-1, 1, 1, 1, 1)
    monkeypatch.setattr(restore.Bench, "draw", lambda own, chain, rows, guess: (clean + 0.001 * abs(chain.t - 60), 5, 1.0))
    monkeypatch.setattr(restore, "supervised", lambda *given: (None, 0.0, 1))
    plan = restore._plan(bench, restore.Fits(clean + off, [1.0, 2.0, 3.0]), [1.0, 2.0, 3.0], None)
    assert plan.look == 1 and {plan.chains[name].t for name in (*restore.CHAINS, "mean", "calls", "eta")} == {60}


@pytest.mark.slow
def test_where_asked_all_is_chosen_on_training_images(tmp_path, monkeypatch):
    own, load, seen = sets.load(DDPM.data), sets.load, []
    others = replace(own, held_out=255 - own.train)
    monkeypatch.setattr(sets, "load", lambda data: others if data.validation else load(data))
    monkeypatch.setattr(restore, "degrade", lambda task, clean, *given: seen.append(clean) or degrade(task, clean, *given))
    Store(tmp_path, "smoke", device="cpu").ensure(changed(validation=True))
    expected = torch.cat([others.held_out[:2], own.held_out[2:6]])
    assert torch.equal(seen[0], ranges.uint8_to_unit(expected))


def test_what_is_seen_is_put_back_into_samples_and_fits():
    clean = torch.rand(6, 1, 16, 16, generator=rng(1))
    bench = bench_of(clean, "inpaint", lambda x, t: torch.zeros_like(x))
    seen = bench.seen
    chain = restore.Chain("smooth", False, 40, Sampler(name="ddim", steps=20), 2)
    images, _, _ = bench.draw(chain, slice(0, 6), seen.smooth)
    for x in (images, *bench.fit(slice(0, 6)).looks):
        torch.testing.assert_close(seen.known * x, seen.target)


def test_rivals_are_what_they_are_called(monkeypatch):
    clean = torch.rand(4, 1, 16, 16, generator=rng(1))
    bench = bench_of(clean, "inpaint", None)
    monkeypatch.setattr(restore.Bench, "draw", lambda own, chain, rows, guess: (clean, 5, 1.0))
    monkeypatch.setattr(restore, "supervised", lambda *given: (None, 0.0, 1))
    chains = restore._plan(bench, restore.Fits(clean[None] + 0.1, [1.0]), [1.0], None).chains
    assert {name: chains[name].sampler.eta for name in ("calls", "eta", "ddnm")} == {"calls": 0.0, "eta": 1.0, "ddnm": 0.85}
    assert chains["ddnm"][:3] == ("grey", True, 99)  # from pure noise, told y at every step


@pytest.mark.slow
def test_the_supervised_rival_is_trained_on_training_images(tmp_path, monkeypatch):
    seen = []

    def supervised(run, images, seconds, work):
        seen.append(images)
        return lambda of: of.picture, 0.0, 1

    monkeypatch.setattr(restore, "supervised", supervised)
    Store(tmp_path, "smoke", device="cpu").ensure(RUN)
    assert torch.equal(seen[0], sets.load(DDPM.data).train)
