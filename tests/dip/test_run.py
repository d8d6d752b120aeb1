"""Both kinds of DIP run, tiny, through the real store: what is computed and what is kept."""

import pytest
from priors.runs import DATA, DIP, JUDGED

from dipddpm_utils.config import DipImages


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
