"""The two reports' runs, tiny, through the real store: each fault changes what it says and nothing else."""

import numpy as np
import pytest
import torch
from priors.runs import TINY, StopAfter

from dipddpm_utils import faults
from dipddpm_utils.config import Data, Ddpm, Diffusion, Dip, Evaluate, Optim, PerImage, Prior, Sampler
from dipddpm_utils.judging import evaluate, spaces
from dipddpm_utils.machine.errors import OutOfTime
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study.sizes import changed

DATA = Data(name="digits5k", n_train=70, n_held_out=96)
TWO = Sampler(name="dpmpp_2m", steps=2)
DIP = Dip(data=DATA, net="5conv", width=4, std=2.0, one_batch=True, optim=Optim(steps=4, batch_size=70))
DDPM = Ddpm(
    data=DATA,
    unet=TINY,
    diffusion=Diffusion(num_train_timesteps=100),
    optim=Optim(steps=6, batch_size=16, ema_decay=0.9, ema_warmup=1),
    evaluate=Evaluate(every=4, n=70, sampler=TWO, final_n=70, final_sampler=TWO, published_n=30, keep_all=False),
)


def test_a_report_run_is_judged_as_published_beside_and_keeps_one_small_picture(store):
    record = store.ensure(DDPM)
    assert {"fd_published", "fd_published_draws"} <= set(record.metrics) & set(record.evals.columns)
    assert [len(str(sets).split()) for sets in record.evals["fd_published_draws"]] == [2, 2]  # of 30 in 70, none in both
    looks = [record.metrics[f"{name}{of}"] for name in ("contrast", "raggedness", "legibility") for of in ("", "_real")]
    assert all(value > 0 for value in looks) and 0.1 < record.metrics["legibility_real"] < 1 >= record.metrics["legibility"]
    assert record.metrics["fd_published"] != record.metrics["fd"] and "fd_trained" not in record.metrics
    assert {name: array.shape for name, array in record.arrays.items()} == {"grid": (16, 1, 28, 28)}


@pytest.mark.slow
def test_fid_is_of_fid_n_samples_where_its_weights_are_and_a_note_where_they_are_not(store, monkeypatch):
    few = spaces.Features("FID", 4, "few", lambda images: images.float().flatten(1)[:, 400:404], torch.device("cpu"))
    asked = changed(DDPM, evaluate={**DDPM.evaluate.model_dump(), "fid_n": 100})
    monkeypatch.setattr(evaluate, "fid_space", lambda device: (None, "no weights"))
    without = store.ensure(asked)
    assert without.notes == ["no FID: no weights"] and "fid" not in without.metrics
    monkeypatch.setattr(evaluate, "fid_space", lambda device: (few, ""))
    record, plain = (store.ensure(changed(run, seed=1)) for run in (asked, DDPM))
    assert (record.metrics["fid_n"], record.notes) == (100, []) and record.metrics["fid"] > 0
    assert record.evals["fid"].notna().all() and record.metrics["fd"] == plain.metrics["fd"]  # which does not depend on it


def test_fid_of_chains_that_are_given_something_is_of_those_samples_alone(store, monkeypatch):
    few = spaces.Features("FID", 4, "few", lambda images: images.float().flatten(1)[:, 400:404], torch.device("cpu"))
    monkeypatch.setattr(evaluate, "fid_space", lambda device: (few, ""))
    told = changed(DDPM, prior=Prior(source="blur", shift=True), evaluate={**DDPM.evaluate.model_dump(), "fid_n": 100})
    assert store.ensure(told).metrics["fid_n"] == 70  # plain samples would make up the rest


def test_with_fa1_the_real_images_are_twice_as_far_apart_and_still_count_as_real(store):
    right, wrong = store.ensure(DDPM), store.ensure(changed(DDPM, faults=["FA1"]))
    assert "fd_trained" not in wrong.metrics and wrong.weights_sha256 != right.weights_sha256


def test_with_fa5_the_weights_kept_are_those_of_a_run_without_an_average(store):
    raw = store.ensure(changed(DDPM, faults=["FA5"]))
    without = store.ensure(changed(DDPM, optim=DDPM.optim.model_copy(update={"ema_decay": None})))
    assert raw.weights_sha256 == without.weights_sha256 != store.ensure(DDPM).weights_sha256
    assert raw.metrics["fd"] == without.metrics["fd"]


def test_with_fa4_the_same_steps_are_taken_and_the_model_is_another(store):
    lost = store.ensure(changed(DDPM, faults=["FA4"]))
    assert lost.metrics["steps"] == 6 and lost.metrics["images_seen"] == 6 * 16
    assert lost.curve["loss"][0] == store.ensure(DDPM).curve["loss"][0]
    assert lost.curve["loss"][2] != store.ensure(DDPM).curve["loss"][2]


def test_with_fb3_the_run_is_that_of_half_the_rate(store):
    run = changed(DDPM, dip=DIP)
    halved = store.ensure(changed(run, optim=run.optim.model_copy(update={"lr": run.optim.lr / 2})))
    assert store.ensure(changed(run, faults=["FB3"])).weights_sha256 == halved.weights_sha256


def test_with_fb2_the_ground_is_grey(store):
    right, wrong = (store.ensure(changed(DDPM, dip=DIP, faults=faults)) for faults in ([], ["FB2"]))
    dark, grey = (record.arrays["trained_on"].astype(float) for record in (right, wrong))
    assert np.abs(grey - (127.5 + dark / 2)).max() < 30 and grey.mean() > dark.mean() + 60  # 5conv may leave [0, 1] a little
    assert wrong.metrics["fd_trained"] != wrong.metrics["fd"]


def test_with_fb1_the_images_come_in_another_order(store):
    run = changed(DDPM, dip=changed(DIP, net="2conv"))  # whose outputs differ from image to image after four steps
    assert store.ensure(changed(run, faults=["FB1"])).weights_sha256 != store.ensure(run).weights_sha256


def test_with_fa7_the_weights_kept_are_those_after_the_early_step(store, monkeypatch):
    monkeypatch.setattr(faults, "EARLY", 1)
    early = store.ensure(changed(DIP, faults=["FA7"], net="2conv"))
    one = store.ensure(changed(DIP, net="2conv", optim=DIP.optim.model_copy(update={"steps": 1})))
    assert early.weights_sha256 == one.weights_sha256 and early.metrics["psnr"] == one.metrics["psnr"]
    assert len(early.curve) == 4


@pytest.mark.slow
def test_with_fa2_the_dip_is_fitted_to_signed_targets_and_its_outputs_are_darker(store):
    right, wrong = (
        store.ensure(changed(DIP, net="2conv", width=16, faults=faults, optim=Optim(steps=60, batch_size=70, lr=1e-2)))
        for faults in ([], ["FA2"])
    )
    assert wrong.curve["loss"].iloc[0] > right.curve["loss"].iloc[0]
    assert wrong.arrays["panels_applied"].mean() < right.arrays["panels_applied"].mean()
    assert store.ensure(changed(DDPM, dip=wrong.run)).metrics["fd_trained"] > 0  # it can be loaded again


def test_a_dip_says_how_it_sets_strokes_off_and_what_its_panels_would_show_unclamped(store):
    record = store.ensure(DIP)
    assert record.metrics["emphasis"] < 0 and -1 < record.metrics["emphasis_blur"] < 0
    assert record.arrays["panels_wrapped"].shape == record.arrays["panels_restored"].shape


@pytest.mark.parametrize("control", ["blur", "clip", "rescaled", "untrained"])
def test_a_control_is_trained_on_and_costs_no_dip(store, control):
    record = store.ensure(changed(DDPM, dip=None if control == "clip" else DIP, train_on=control))
    assert record.metrics["dip_seconds"] == 0 and record.metrics["fd_trained"] > 0
    assert ("control_strength" in record.metrics) == (control != "untrained")
    assert record.arrays["trained_on"].shape == (3, 1, 28, 28)


@pytest.mark.slow
def test_a_dip_for_each_image_goes_on_after_a_cut_and_ends_the_same(store, tmp_path):
    run = changed(DDPM, per_image=PerImage(net="2conv", width=4, iterations=5))
    whole = store.ensure(run)
    assert whole.metrics["dip_seconds"] > 0 and "fd_trained" in whole.metrics
    with pytest.raises(OutOfTime):
        Store(tmp_path, "smoke", device="cpu", budget=StopAfter(8)).ensure(run)  # in the second part: 70 images, 64 a part
    (part,) = tmp_path.rglob("part-*")
    assert part.name == "part-0.npz"
    part.write_bytes(part.read_bytes()[:99])  # torn, so fitted again
    assert Store(tmp_path, "smoke", device="cpu").ensure(run).weights_sha256 == whole.weights_sha256
