"""Configurations are frozen, refuse what they do not know, and hash by what they mean."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dipddpm_utils import config, parts
from dipddpm_utils.config import Data, Ddpm, Dip, Optim, Sample, Start

RUN = Sample(model=Ddpm(data=Data(name="mnist")), start=Start(name="dip", dip=Dip(data=Data(name="mnist"))))


def test_a_run_survives_json():
    assert config.parse(RUN.model_dump(mode="json")) == RUN


def test_a_dip_is_fitted_to_noise():
    with pytest.raises(ValidationError, match="greater than 0"):
        Dip(data=Data(name="mnist"), std=0)


def test_every_kind_is_named_after_its_tag():
    assert {kind.model_fields["kind"].default for kind in get_args(config._ALL)} == {
        "gaussian", "floor", "spectrum", "dip", "dip_images", "bank", "stopping", "ddpm", "sample", "restore", "epoch_timing",
        "turns",
    }  # fmt: skip


@given(st.floats(1e-6, 1.0), st.integers(1, 10_000), st.integers(0, 99))
def test_the_hash_changes_with_every_field_and_only_then(lr, steps, seed):
    run = Ddpm(data=Data(name="mnist"), optim=Optim(lr=lr, steps=steps), seed=seed)
    same = config.parse(run.model_dump(mode="json"))
    other = Ddpm(data=Data(name="mnist"), optim=Optim(lr=lr, steps=steps + 1), seed=seed)
    assert config.run_hash(run) == config.run_hash(same) != config.run_hash(other)


def test_options_that_are_gone_are_read_in_earlier_records_where_they_were_not_set():
    run = Ddpm(data=Data(name="mnist"))
    values = run.model_dump(mode="json")
    values["unet"] |= {"attention": [], "dropout": 0.0, "time_width": None}
    assert config.parse(values) == run
    values["unet"]["dropout"] = 0.1
    with pytest.raises(ValidationError, match="dropout"):
        config.parse(values)


def test_a_field_at_its_default_leaves_the_hash_alone():
    assert config.run_hash(Ddpm(data=Data(name="mnist"))) == config.run_hash(
        Ddpm(data=Data(name="mnist"), optim=Optim(lr=1e-3))
    )


def test_a_new_revision_of_a_kind_is_a_new_hash(monkeypatch):
    before = config.run_hash(RUN)
    monkeypatch.setattr(Sample, "revision", 2)
    assert config.run_hash(RUN) != before


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"n": 0}, "n"),
        ({"sampler": {"eta": 1.5}}, "eta"),
        ({"speed": 3}, "speed"),
        ({"start": {"t_start": 1000}}, "t_start is 1000"),
        ({"sampler": {"name": "euler"}}, "name"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(change, where):
    values = RUN.model_dump(mode="json")
    for key, value in change.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    with pytest.raises(ValidationError, match=where):
        config.parse(values)


def test_what_acts_on_nothing_is_refused():
    with pytest.raises(ValidationError, match="times_mean is 0.4 with times 'uniform'"):
        config.Diffusion(times_mean=0.4)
    with pytest.raises(ValidationError, match="kernels_only is set with name 'adam'"):
        config.Optim(kernels_only=True)


def test_a_run_cannot_be_changed():
    with pytest.raises(ValidationError):
        RUN.n = 3


def test_a_sampler_that_adds_noise_says_so_in_its_title():
    assert config.Sampler(name="ddim").title == "ddim"
    assert config.Sampler(name="ddim", eta=1.0).title == "ddim eta 1"
    assert config.Sampler(name="ddim", eta=0.5).title == "ddim eta 0.5"


def test_every_data_set_that_has_a_name_is_told_of():
    assert get_args(parts.DataName) == (*parts.PUBLISHED, "own")
