"""Every kind of run, tiny, through the real store: what is computed, what is kept, and that a cut-off run ends the same."""

import numpy as np
import pytest

from dipddpm_utils import ranges
from dipddpm_utils.config import (
    Data,
    Ddpm,
    Diffusion,
    Dip,
    DipImages,
    Evaluate,
    Floor,
    Gaussian,
    Optim,
    Sample,
    Sampler,
    Spectrum,
    Start,
    Unet,
)
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import OutOfTime, TrainingError
from dipddpm_utils.priors.run import averaged
from dipddpm_utils.store.runs import Store
from dipddpm_utils.theory import gaussian

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = Data(name="digits5k", n_train=96, n_held_out=96)
TINY = Unet(width=8, mults=(1, 2), blocks=1, patch=4, middle_attention=False)
DIP = Dip(data=DATA, net="2conv", optim=Optim(steps=12, batch_size=16))
DDPM = Ddpm(
    data=DATA,
    unet=TINY,
    diffusion=Diffusion(num_train_timesteps=100),
    optim=Optim(steps=12, batch_size=16, ema_decay=0.9, ema_warmup=2),
    evaluate=Evaluate(
        every=5, n=80, sampler=Sampler(name="dpmpp_2m", steps=2), final_n=80, final_sampler=Sampler(name="ddim", steps=3)
    ),
)
JUDGED = {"n", "fd", "fd_low", "fd_high", "kid", "precision", "recall", "copy_rate", "features"}


def test_scores_of_several_sets_are_averaged_and_their_interval_is_narrower(store):
    evaluate = DDPM.evaluate.model_copy(update={"final_draws": 3})
    one, three = store.ensure(DDPM), store.ensure(DDPM.model_copy(update={"evaluate": evaluate}))
    assert (one.metrics["draws"], three.metrics["draws"]) == (1, 3)
    rows = [
        {"n": 70, "fd": fd, "fd_low": fd - 3.0, "fd_high": fd + 6.0, "evaluation_seconds": 2.0, "kid_low": None, "kid": 0.0}
        for fd in (10.0, 14.0, 18.0, 14.0)
    ]
    mean = averaged(rows)
    assert (mean["n"], mean["fd"], mean["fd_low"], mean["fd_high"]) == (70, 14.0, 12.5, 17.0)
    assert mean["evaluation_seconds"] == 8.0 and mean["kid_low"] is None
    assert averaged(rows[:1]) == rows[0]
    assert three.metrics["fd"] != one.metrics["fd"] and len(three.evals) == len(one.evals)


def test_floor_is_about_real_images_only(store):
    record = store.ensure(Floor(data=DATA, ns=(70, 90), repeats=3))
    assert JUDGED <= set(record.metrics) and record.metrics["n"] == 90
    assert record.evals["n"].tolist() == [70] * 3 + [90] * 3
    assert record.metrics["fd_low"] <= record.metrics["fd"] <= record.metrics["fd_high"]


def test_gaussian_theory_holds_on_samples(store):
    record = store.ensure(Gaussian(n=4000, steps=(10,), mismatches=(0.0, 1.0), t_starts=(200, 800)))
    assert record.metrics["start_bound_violations"] == 0
    for check in ("q_variance", "posterior_variance", "optimal_eps_error", "ddim_variance", "ancestral_variance"):
        assert record.metrics[f"{check}_max_relative_error"] < 0.06, check
    shifts = record.evals.query("check == 'output_shift' and mismatch == 1.0")
    assert (np.abs(shifts["measured"] - shifts["expected"]) < 0.06).all()


def test_an_untrained_net_fits_images_before_noise(store):
    record = store.ensure(Spectrum(data=DATA, net="skip", n_images=2, iterations=40, width=8, bands=3))
    assert set(record.evals["target"]) == {"image", "noise", "noisy"}
    assert record.metrics["image_low_band"] < record.metrics["noise_high_band"]


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
    assert record.metrics["n"] == 3 and record.metrics["psnr_peak"] >= record.metrics["psnr_final"]
    assert record.arrays["snapshots"].shape == (2, 3, 1, 28, 28)
    assert set(record.evals.columns) == {"iteration", "image", "psnr", "psnr_noisy", "loss"}


@pytest.mark.parametrize("dip", [None, DIP])
def test_a_ddpm_is_trained_and_judged_at_several_steps(store, dip):
    record = store.ensure(DDPM.model_copy(update={"dip": dip}))
    assert JUDGED | {"train_seconds", "dip_seconds", "total_seconds", "parameters", "nfe"} <= set(record.metrics)
    assert record.evals["step"].tolist() == [5, 10, 12] and record.evals["nfe"].tolist() == [2, 2, 3]
    assert (record.metrics["dip_seconds"] > 0) == (dip is not None)
    assert record.arrays["grid"].shape == (64, 1, 28, 28) and record.arrays["grids_by_step"].shape == (2, 16, 1, 28, 28)
    assert len(record.arrays["reverse"]) == len(record.arrays["reverse_t"])


@pytest.mark.parametrize("start", ["noise", "dip", "mean", "gaussian", "blur", "real"])
def test_images_are_drawn_from_every_start(store, start):
    begin = Start(name=start, t_start=49, dip=DIP if start == "dip" else None)
    record = store.ensure(Sample(model=DDPM, start=begin, sampler=Sampler(steps=4), n=80))
    assert record.metrics["nfe"] == 2 and record.metrics["nfe_full"] == 4
    assert (record.metrics["prior_seconds"] > 0) == (start == "dip")
    assert ("start_moved" in record.metrics) == (start in ("dip", "blur", "mean"))
    if start == "mean":  # the distance to the mean is the variance of the images drawn, here nearly all of them
        images = ranges.uint8_to_signed(sets.load(DDPM.data).train)
        assert record.metrics["start_moved"] == pytest.approx(float(images.var(0, correction=0).sum()), rel=0.1)
        at = gaussian.paired_mismatch(record.metrics["start_moved"], schedule.coefficients(DDPM.diffusion).alpha_bar(49))
        assert (record.metrics["start_kl_bound"], record.metrics["start_tv_bound"]) == (at.kl, at.total_variation)


class StopAfter(Budget):
    """A budget that ends at its k-th check."""

    def __init__(self, checks):
        super().__init__()
        self.left = checks

    def expired(self):
        self.left -= 1
        self.reason = "the test said so" if self.left < 0 else None
        return self.left < 0


@pytest.mark.parametrize("checks", [2, 4, 7, 9, 14])
def test_a_run_that_is_cut_off_anywhere_ends_with_the_same_record(store, tmp_path, checks):
    """Cut off in training and in the evaluations between: the same curve, metrics and pictures in the end."""
    whole, slices = store.ensure(DDPM), 0
    while True:
        try:
            record = Store(tmp_path, "smoke", device="cpu", budget=StopAfter(checks)).ensure(DDPM)
            break
        except OutOfTime:
            slices += 1
            assert slices < 40
    assert slices >= 1
    timed = [name for name in whole.metrics if name.endswith("seconds")]
    same = {name: value for name, value in whole.metrics.items() if name not in timed}
    assert {name: value for name, value in record.metrics.items() if name not in timed} == same
    assert record.curve["loss"].tolist() == whole.curve["loss"].tolist()
    assert all((record.arrays[name] == whole.arrays[name]).all() for name in whole.arrays)
    assert record.weights_sha256 == whole.weights_sha256


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(tmp_path):
    run = DDPM.model_copy(update={"optim": Optim(steps=12, batch_size=16, lr=1e30)})
    store = Store(tmp_path, "smoke", device="cpu")
    with pytest.raises(TrainingError, match="is not finite at step") as caught:
        store.ensure(run)
    assert "\n" not in str(caught.value) and store.state(run) != "complete"
