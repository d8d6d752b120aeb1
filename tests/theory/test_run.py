"""Floor, Gaussian theory and spectrum, tiny, through the real store."""

import numpy as np
import pytest
from priors.runs import DATA, JUDGED

from dipddpm_utils.config import Floor, Gaussian, Spectrum
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.store.records import Work
from dipddpm_utils.theory import run as theory


def test_floor_is_about_real_images_only(store):
    record = store.ensure(Floor(data=DATA, ns=(70, 90), repeats=3))
    assert JUDGED <= set(record.metrics) and record.metrics["n"] == 90
    assert record.evals["n"].tolist() == [70] * 3 + [90] * 3
    assert record.metrics["fd_low"] <= record.metrics["fd"] <= record.metrics["fd_high"]
    trivial = {name: record.metrics[f"trivial_{name}_fd"] for name in ("gaussian", "blur", "mean")}
    assert min(trivial.values()) > record.metrics["fd"] and max(trivial, key=trivial.get) == "mean"


def test_gaussian_theory_holds_on_samples(store):
    record = store.ensure(Gaussian(n=4000, steps=(10,), mismatches=(0.0, 1.0), t_starts=(200, 800)))
    assert record.metrics["start_bound_violations"] == 0
    for check in ("q_variance", "posterior_variance", "optimal_eps_error", "ddim_variance", "ancestral_variance"):
        assert record.metrics[f"{check}_max_relative_error"] < 0.06, check
    shifts = record.evals.query("check == 'output_shift' and mismatch == 1.0")
    assert (np.abs(shifts["measured"] - shifts["expected"]) < 0.06).all()


@pytest.mark.slow
def test_an_untrained_net_fits_images_before_noise(store):
    record = store.ensure(Spectrum(data=DATA, net="skip", n_images=2, iterations=40, width=8, bands=3))
    assert set(record.evals["target"]) == {"image", "noise", "noisy"}
    last = record.evals[record.evals["iteration"] == 40].set_index(["target", "band"])["relative_error"]
    assert last["image", 0] < last["noise", 2]


def test_a_bound_that_does_not_hold_is_counted(monkeypatch):
    monkeypatch.setattr(theory.closed, "most_variation", lambda kl: 0.0)
    run = Gaussian(n=400, steps=(10,), mismatches=(0.0, 1.0), t_starts=(200, 800))
    assert theory.gaussian(run, Work(None, Budget(), "cpu", "", None)).metrics["start_bound_violations"] == 2


def test_every_draw_of_the_floor_is_another(store):
    record = store.ensure(Floor(data=DATA, ns=(70, 90), repeats=3))
    assert record.evals["fd"].nunique() == 6
