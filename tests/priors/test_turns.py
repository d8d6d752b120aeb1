"""Trainings timed in turn: every part of every training each round, there and back, and a whole is the sum of its parts."""

import numpy as np
import pytest
import torch
from made_images import made_colour_images
from priors.runs import TINY
from pydantic import ValidationError

from dipddpm_utils import ranges
from dipddpm_utils.config import Data, Ddpm, Dip, EpochTiming, Optim, Turns, parse
from dipddpm_utils.priors import turns
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study.sizes import changed

DATA = Data(name="digits5k", n_train=300, n_held_out=96)
DDPM = Ddpm(data=DATA, unet=TINY, optim=Optim(steps=6, batch_size=16, ema_decay=0.9, ema_warmup=1))
DIP = Dip(data=DATA, net="5conv", width=4, std=2.0, one_batch=True, optim=Optim(steps=5, batch_size=70))
RUN = Turns(data=DATA, runs=(DDPM, changed(DDPM, dip=DIP)), rounds=3, least=1e-6)


def test_each_part_is_timed_once_a_round_there_and_back(store):
    record = store.ensure(RUN)
    order = [list(zip(part["net"], part["part"], strict=True)) for _, part in record.evals.groupby("repeat")]
    there = [("alone", "train"), ("5conv", "fit"), ("5conv", "apply"), ("5conv", "train")]
    assert order == [there[::-1], there, there[::-1]]
    assert (record.evals["seconds"] > 0).all() and set(record.evals["std"]) == {0.0, 2.0}
    wholes = record.evals.groupby(["net", "repeat"])["seconds"].sum().groupby("net").mean()
    for net, name in (("alone", "alone 0 seconds"), ("5conv", "5conv 2 seconds")):
        assert record.metrics[name] == pytest.approx(wholes[net], rel=1e-5)
        assert record.metrics[f"{name}_low"] <= record.metrics[name] <= record.metrics[f"{name}_high"]


def test_a_whole_training_has_all_steps_and_all_images(monkeypatch):
    images = torch.randint(0, 256, (300, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    fitted_to = []
    monkeypatch.setattr(turns, "begun", lambda run, own, device: (fitted_to.append((run.kind, own)), None))
    parts = turns._parts(changed(DDPM, dip=DIP), images, "cpu")
    assert {name: part.pieces for name, part in parts.items()} == {"fit": 5, "apply": 300 / 250, "train": 6}
    (_, first_batch), (_, outputs) = fitted_to
    assert torch.equal(first_batch, images[:70])
    assert outputs.dtype == torch.float32 and outputs.shape == images.shape  # as what a DIP makes of them all
    assert list(turns._parts(DDPM, images, "cpu")) == ["train"]


def test_seconds_are_of_the_whole_whatever_was_measured(store, monkeypatch):
    """A piece takes 10 ms, a training 100 of them; at least 25 ms a round are 3 pieces."""
    asked = []
    part = turns.Part(100, lambda n: asked.append(n) or 0.01 * n)
    monkeypatch.setattr(turns, "_parts", lambda run, images, device: {"train": part, **({"fit": part} if run.dip else {})})
    record = store.ensure(changed(RUN, least=0.025))
    assert set(record.evals["seconds"].round(9)) == {1.0} and asked[-9:] == [3] * 9
    assert (record.metrics["alone 0 seconds"], record.metrics["5conv 2 seconds"]) == pytest.approx((1.0, 2.0))


def test_training_goes_on_for_as_long_as_it_is_timed():
    state, losses = turns.begun(changed(DIP, optim=Optim(steps=2, batch_size=16)), torch.zeros(20, 1, 28, 28).byte(), "cpu")
    assert [torch.isfinite(next(losses)).item() for _ in range(5)] == [True] * 5 and state.step == 5


OTHERS = [
    {"train_on": "clip"}, {"data": Data(name="digits5k")}, {"optim": Optim(steps=7)}, {"faults": ("FA4",)}, {"dip": None},
]  # fmt: skip


@pytest.mark.parametrize("other", OTHERS)
def test_trainings_that_differ_in_more_than_their_dip_or_in_nothing_are_refused(other):
    with pytest.raises(ValidationError, match=r"expected one network|another net or std"):
        Turns(data=DATA, runs=(DDPM, changed(DDPM, **other)))
    with pytest.raises(ValidationError, match="one without a dip"):
        Turns(data=DATA, runs=(changed(DDPM, dip=DIP), changed(DDPM, dip=changed(DIP, std=1.0))))
    with pytest.raises(ValidationError, match="at least 2"):
        Turns(data=DATA, runs=(DDPM,))


def test_it_survives_json_and_a_seed_reaches_the_trainings_in_it():
    assert parse(RUN.model_dump(mode="json")) == RUN
    seeded = RUN.mapped(lambda part: part.model_copy(update={"seed": 7}) if hasattr(part, "seed") else part)
    assert [seeded.seed, *(run.seed for run in seeded.runs), seeded.runs[1].dip.seed] == [7, 7, 7, 7]


# --- report B's two ways to feed a model


@pytest.mark.parametrize("channels", [1, 3])
def test_both_ways_give_the_model_the_same_batch(channels):
    images = torch.from_numpy(made_colour_images(20, seed=0)[0][:, :channels])
    idx = torch.tensor([3, 0, 19, 3])
    decoded, kept = turns._decoding(images, "cpu")(idx), turns._in_memory(images, "cpu")(idx)
    torch.testing.assert_close(decoded, kept)
    assert (ranges.signed_to_uint8(decoded) == images[idx]).all()


def test_an_epochs_time_is_the_sum_of_its_parts_over_all_its_batches(store):
    run = EpochTiming(data=DATA, unet=TINY, optim=Optim(batch_size=10), images=1000, steps=1, repeats=3)
    record = store.ensure(run)
    table = record.evals.pivot_table(index="repeat", columns=["path", "part"], values="seconds")
    assert table.shape == (3, 6) and (table > 0).all(axis=None)
    for way in ("decode", "memory"):
        assert record.metrics[f"{way}_seconds"] == pytest.approx(table[way].sum(axis=1).mean(), rel=1e-5)
    saved = table["decode"]["data"] - table["memory"]["data"]
    assert record.metrics["data_saved_seconds"] == pytest.approx(saved.mean(), rel=1e-4)
    assert record.metrics["data_saved_seconds_low"] <= saved.mean() <= record.metrics["data_saved_seconds_high"]
    assert record.metrics["published_saved_seconds"] == 7.5
    assert (record.metrics["batch"], record.metrics["images"]) == (10, 1000)


def test_an_epoch_is_as_many_mean_steps_as_it_has_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "_timed_step", lambda *_: np.array([0.1, 0.2, 0.3]))
    run = EpochTiming(data=DATA, unet=TINY, optim=Optim(batch_size=10), images=1000, steps=4, repeats=2)
    record = Store(tmp_path, "smoke", device="cpu").ensure(run)
    found = {part: record.metrics[f"decode_{part}_seconds"] for part in turns.PARTS}
    assert found == pytest.approx({"data": 10.0, "forward_backward": 20.0, "optimiser": 30.0})
