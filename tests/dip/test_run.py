"""Both kinds of DIP run, tiny, through the real store: what is computed and what is kept."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from priors.runs import DATA, DIP, JUDGED, in_slices
from safetensors.torch import load_file

from dipddpm_utils import ranges
from dipddpm_utils.config import Bank, Dip, DipImages, Optim
from dipddpm_utils.data import sets
from dipddpm_utils.dip import fit
from dipddpm_utils.dip.run import FITTED_TOGETHER, build, fits_operations, fitted, ready_to_fit
from dipddpm_utils.judging import fidelity
from dipddpm_utils.machine import streams
from dipddpm_utils.machine.errors import DataError
from dipddpm_utils.parts import PerImage
from dipddpm_utils.training import loop


@pytest.mark.parametrize("clip", [True, False])
def test_a_dip_is_fitted_to_a_data_set_and_judged(store, clip):
    record = store.ensure(DIP.model_copy(update={"clip_input": clip}))
    assert JUDGED <= set(record.metrics) and record.metrics["parameters"] == 64 * 9 + 64 + 64 * 9 + 1
    assert record.metrics["psnr_low"] <= record.metrics["psnr"] <= record.metrics["psnr_high"]
    assert record.arrays["panels_restored"].shape == record.arrays["panels_clean"].shape == (8, 1, 28, 28)
    assert record.curve["step"].tolist() == list(range(1, 13))


def test_pictures_of_a_dip_are_kept_for_the_seed_that_is_shown(store):
    shown, other = (store.ensure(DIP.model_copy(update={"seed": seed})) for seed in (0, 1))
    assert "panels_restored" in shown.arrays and not other.arrays
    assert set(shown.metrics) == set(other.metrics)


def test_one_dip_per_image_never_sees_the_clean_one(store):
    record = store.ensure(DipImages(data=DATA, net="2conv", n_images=3, iterations=20, snapshots=(5, 20), width=8))
    assert record.metrics["n"] == 3 and record.metrics["seconds"] > 0
    assert record.arrays["snapshots"].shape == (2, 3, 1, 28, 28)
    assert set(record.evals.columns) == {"iteration", "image", "psnr", "psnr_noisy", "loss"}


def test_one_batch_may_be_judged_by_what_it_makes_of_others(store):
    run = Dip(data=DATA, net="5conv", width=4, one_batch=True, optim=Optim(steps=3, batch_size=80))
    own, others = store.ensure(run), store.ensure(run.model_copy(update={"judged": 90}))
    assert (own.metrics["n"], others.metrics["n"]) == (80, 90)
    assert own.weights_sha256 == others.weights_sha256 and own.metrics["psnr"] == others.metrics["psnr"]


def test_a_net_that_ends_at_one_pixel_is_whole_again_once_it_is_fitted_also_after_a_cut(store, tmp_path):
    run = Dip(data=DATA, net="resnet18", width=16, optim=Optim(steps=6, batch_size=8))
    record, (again, slices) = store.ensure(run), in_slices(tmp_path, run, 4)
    begun, kept = build(run).state_dict(), load_file(record.folder / "weights.safetensors")
    assert {name: value.shape for name, value in kept.items()} == {name: value.shape for name, value in begun.items()}
    assert slices >= 1 and again.weights_sha256 == record.weights_sha256
    assert record.metrics["parameters"] == sum(p.numel() for p in build(run).parameters())
    deepest = "encoder.layer4.1.conv2.weight"
    moved = (kept[deepest] != begun[deepest]).any((0, 1))
    assert moved.tolist() == [[False, False, False], [False, True, False], [False, False, False]]


@pytest.mark.parametrize("optim", [Optim(name="adamw", steps=6), Optim(name="muon", steps=6), Optim(steps=6, weight_decay=0.1)])
def test_weights_that_an_optimiser_would_shrink_are_not_left_out(optim):
    run = Dip(data=DATA, net="resnet18", width=16, optim=optim)
    net = build(run)
    shapes = [p.shape for p in net.parameters()]
    ready_to_fit(run, net)()
    assert [p.shape for p in net.parameters()] == shapes
    ready_to_fit(run, net)
    assert [p.shape for p in net.parameters()] == shapes
    ready_to_fit(run.model_copy(update={"optim": Optim(steps=6)}), net)
    assert [p.shape for p in net.parameters()] != shapes


BANK = Bank(data=DATA, fit=PerImage(net="2conv", width=4, iterations=5), n=80)


def test_a_bank_keeps_what_a_fit_to_each_of_its_images_shows(store):
    record = store.ensure(BANK)
    kept, train = load_file(record.folder / "weights.safetensors"), sets.load(DATA).train
    images, rows = kept["images"], kept["rows"]
    assert images.shape == (80, 1, 28, 28) and len(set(rows.tolist())) == 80 and rows.max() < 96
    clean = ranges.uint8_to_unit(train[rows])
    generator = streams.generator(0, "fit of part 1")
    *_, last = fit.fit_images(BANK.fit, clean[FITTED_TOGETHER:], generator)
    torch.testing.assert_close(images[FITTED_TOGETHER:], last.outputs)
    assert record.metrics["psnr"] == pytest.approx(float(fidelity.psnr(images, clean).mean()))
    assert JUDGED <= set(record.metrics) and record.metrics["train_seconds"] > 0 and record.metrics["flops"] > 0
    assert record.arrays["panels_applied"].shape == record.arrays["panels_train"].shape == (8, 1, 28, 28)


def test_a_bank_that_is_cut_off_fits_no_part_twice(store, tmp_path):
    record, slices = in_slices(tmp_path, BANK, 7)  # checks: one to begin, one an iteration
    assert slices == 1 and record.weights_sha256 == store.ensure(BANK).weights_sha256


def test_a_bank_costs_what_its_fits_do():
    once = BANK.fit.model_copy(update={"iterations": 1})
    assert fits_operations(BANK.fit, DATA, 80) == 80 * 5 * fits_operations(once, DATA, 1) > 10**6


@pytest.mark.slow
def test_a_bank_of_all_images_has_them_in_order_and_another_seed_draws_others(store):
    every = store.ensure(BANK.model_copy(update={"n": None}))
    assert load_file(every.folder / "weights.safetensors")["rows"].tolist() == list(range(96))
    one, other = (store.weights(BANK.model_copy(update={"seed": seed}))["rows"] for seed in (0, 1))
    assert one.tolist() != other.tolist()


def test_a_bank_larger_than_its_data_is_refused(store):
    with pytest.raises(DataError, match="a bank of 97 images is asked for, but digits5k has 96 training images: ask for fewer"):
        store.ensure(BANK.model_copy(update={"n": 97}))


def test_each_dip_is_fitted_to_its_noisy_image_and_followed_against_both(store):
    run = DipImages(data=DATA, net="2conv", n_images=3, iterations=20, snapshots=(20,), width=8)
    rows = store.ensure(run).evals.query("iteration == 20")
    clean = ranges.uint8_to_unit(sets.load(DATA).held_out[:3])
    noisy = fit.noisy_input(clean, run.std, True, streams.generator(0, "observed noise"))
    *_, last = fits = list(fit.fit_images(run, noisy, streams.generator(0, "fit")))
    peaks = torch.stack([fidelity.psnr(each.outputs, clean) for each in fits]).argmax(0)
    best = torch.stack([each.outputs for each in fits])[peaks, torch.arange(3)]
    arrays = store.ensure(run).arrays
    assert (arrays["outputs_best"] == ranges.unit_to_uint8(best).numpy()).all()
    assert (arrays["snapshots"] == ranges.unit_to_uint8(last.outputs)[None].numpy()).all()
    for name, target in (("psnr", clean), ("psnr_noisy", noisy)):
        np.testing.assert_allclose(rows[name], fidelity.psnr(last.outputs, target), rtol=1e-4)
    np.testing.assert_allclose(rows["loss"], last.losses, rtol=1e-4)


@pytest.mark.parametrize("run", [DIP, Dip(data=DATA, net="5conv", width=4, std=0.5, optim=Optim(steps=20, batch_size=16))])
def test_what_is_restored_are_held_out_images_and_it_is_cut_to_their_range(store, run):
    own, clean = store.ensure(run).metrics, ranges.uint8_to_unit(sets.load(DATA).held_out)
    noisy = fit.noisy_input(clean, run.std, run.clip_input, streams.generator(run.seed, "held-out noise"))
    with torch.no_grad():
        raw = fitted(run, SimpleNamespace(store=store, device="cpu"))(noisy)
    assert (raw.min() < 0) == (run.net == "5conv")
    scores = {"psnr": fidelity.psnr(raw.clamp(0, 1), clean), "ssim": fidelity.ssim(raw.clamp(0, 1), clean)}
    for name, each in scores.items():
        assert own[name] == pytest.approx(float(each.mean()), rel=1e-5)


def test_z_is_as_small_as_published_where_the_net_normalises():
    assert fit.Z_HIGH["skip"] == fit.Z_HIGH["resnet18"] == 0.1


@pytest.mark.parametrize("clip", [True, False])
def test_the_input_of_a_fit_is_clipped_if_asked(store, clip):
    run = DIP.model_copy(update={"clip_input": clip})
    state, images = loop.new_state(build(run), run.optim, 96, run.seed), ranges.uint8_to_unit(sets.load(DATA).train)
    first = fit.dip_loss(state.model, images[state.order.next(16)], run.std, clip, state.generator)
    assert store.ensure(run).curve["loss"][0] == pytest.approx(first.item(), rel=1e-5)
