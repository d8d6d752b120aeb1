"""Sample runs: from every start, and with every opinion."""

import pytest
import torch
from priors.runs import DDPM, DIP, SMALL
from pydantic import ValidationError

from dipddpm_utils import ranges
from dipddpm_utils.config import Advice, Bank, Prior, Sample, Sampler, Start
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.dip.run import build, operations
from dipddpm_utils.judging import fidelity
from dipddpm_utils.machine.errors import ConfigError
from dipddpm_utils.parts import PerImage
from dipddpm_utils.priors import declared, sample, train
from dipddpm_utils.priors.images import Given, Made
from dipddpm_utils.store.runs import Store
from dipddpm_utils.theory import gaussian
from dipddpm_utils.training import mistakes

ADVICE = {
    "guidance": Advice(name="dip", weight=0.3, dip=DIP),
    "re-injection": Advice(name="bank", weight=0.3, bank="dip", dip=DIP, when="early"),
    "blur": Advice(name="blur", weight=0.3),
    "re-injection, blur": Advice(name="bank", weight=0.3, bank="blur"),
}


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
        assert (record.metrics["start_kl_bound"], record.metrics["start_tv_bound"]) == (at, gaussian.most_variation(at))


def test_a_start_whose_training_images_are_not_known_is_refused(store, monkeypatch):
    monkeypatch.setattr(declared, "KINDS", dict(declared.KINDS))

    @declared.start("late", "draws noise first", "#000000d")
    def late(given, n, generator):
        given.normal((n, 1, 1, 1), generator)
        return given.signed(given.drawn(n, generator))

    monkeypatch.setattr(sample.Judge, "score", lambda *_: pytest.fail("drawn before it was refused"))
    mixed = Advice(name="bank", bank="late", weight=0.3)
    with pytest.raises(ConfigError, match="^the start 'late' is of training images"):
        store.ensure(Sample(model=DDPM, advice=mixed, sampler=Sampler(steps=4), n=80))
    with pytest.raises(ConfigError, match=r"^the start 'late' is of training images, .*: draw 80 by given\.drawn before"):
        store.ensure(Sample(model=DDPM, start=Start(name="late", t_start=49), sampler=Sampler(steps=4), n=80))


def test_of_which_training_samples_are_is_kept(store):
    own = store.ensure(Sample(model=DDPM, sampler=Sampler(steps=4), n=80)).metrics
    assert own["model_weights"] and own["model_weights"] == store.ensure(DDPM).weights_sha256


def test_what_is_on_a_device_without_float64_is_computed_on_the_cpu():
    class OnApples(torch.Tensor):
        def double(self):
            raise TypeError("MPS has no float64")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    images = torch.rand(3, 1, 8, 8)
    there = images.as_subclass(OnApples)
    given = Given(ranges.unit_to_signed(there), schedule.coefficients(DDPM.diffusion))
    assert sample._bound_on(given, given.train + 0.5, 49, torch.arange(3))["start_moved"] == pytest.approx(64 * 0.25)
    assert fidelity.emphasis(there, there / 2) == fidelity.emphasis(images, images / 2)
    assert (mistakes.wrapped_uint8(there) == mistakes.wrapped_uint8(images)).all()


BANK = Bank(data=DDPM.data, fit=PerImage(net="2conv", width=4, iterations=5), n=80)


BEGUN = Sample(model=DDPM, start=Start(name="per_image", t_start=49, bank=BANK), sampler=Sampler(steps=4), n=80)


def test_chains_begin_at_a_fit_of_each_image_and_each_has_its_own_to_pay(store):
    own, fits = store.ensure(BEGUN).metrics, store.ensure(BANK).metrics
    kept, train = store.weights(BANK), sets.load(DDPM.data).train
    moved = (ranges.unit_to_signed(kept["images"]) - ranges.uint8_to_signed(train[kept["rows"]])).square().sum((1, 2, 3))
    assert own["start_moved"] == pytest.approx(float(moved.mean()), rel=1e-5)
    assert own["prior_seconds"] == 0 and own["start_seconds"] > fits["train_seconds"] and own["dip_flops"] == fits["flops"]


def test_a_sample_is_held_against_the_image_that_was_mixed_into_its_chain(store):
    wholly = Advice(name="bank", bank="real", weight=1.0)
    own = store.ensure(Sample(model=DDPM, advice=wholly, sampler=Sampler(steps=4), n=80)).metrics
    assert own["own_source_rate"] > 0.9


def test_a_sample_is_held_against_the_images_of_the_fits_that_were_mixed_into_its_chain(store, monkeypatch):
    asked = []
    monkeypatch.setattr(sample.evaluate, "own_source_rate", lambda images, source, rows: asked.append(rows.tolist()) or 0.5)
    wholly = Advice(name="bank", bank="per_image", weight=1.0)
    store.ensure(Sample(model=DDPM, start=Start(bank=BANK), advice=wholly, sampler=Sampler(steps=4), n=80))
    assert asked == [store.weights(BANK)["rows"][:80].tolist()]


def test_a_sample_of_a_bank_is_held_against_the_image_that_its_own_fit_is_of(store, monkeypatch):
    train, rows = sets.load(DDPM.data).train, torch.arange(95, 15, -1)
    made = Made(ranges.uint8_to_signed(train[rows]), 1e6, 960, rows=rows)  # fits that are their images, at great cost
    monkeypatch.setattr(sample, "of_bank", lambda bank, work: made)
    at_the_end = BEGUN.model_copy(update={"start": BEGUN.start.model_copy(update={"t_start": 0})})
    own = store.ensure(at_the_end).metrics  # next to nothing is added, and one call takes it away
    assert own["own_source_rate"] > 0.9 and own["start_moved"] == 0
    assert own["start_seconds"] == pytest.approx(1e6, rel=1e-3) and own["dip_flops"] == 960


def test_of_a_larger_bank_only_the_fits_that_are_used_are_paid(store, monkeypatch):
    train = sets.load(DDPM.data).train
    made = Made(ranges.uint8_to_signed(train), 96e6, 960, rows=torch.arange(96))
    monkeypatch.setattr(sample, "of_bank", lambda bank, work: made)
    begin = Start(name="per_image", t_start=49, bank=BANK.model_copy(update={"n": None}))
    own = store.ensure(BEGUN.model_copy(update={"start": begin})).metrics
    assert own["start_seconds"] == pytest.approx(80e6, rel=1e-3) and own["dip_flops"] == 800


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"n": 79}, "start.bank has 79 DIPs, expected one for each of the 80 samples"),
        ({"data": DDPM.data.model_copy(update={"n_train": 95})}, "start.bank is of other data than the model"),
    ],
)
def test_a_bank_of_too_few_or_other_images_is_refused(other, said):
    with pytest.raises(ValidationError, match=said):
        Sample(model=DDPM, start=Start(name="per_image", bank=BANK.model_copy(update=other)), n=80)


def test_a_bank_that_nothing_begins_from_is_refused(store):
    with pytest.raises(ConfigError, match="start.bank is given, and nothing here begins from it: leave it out"):
        store.ensure(Sample(model=DDPM, start=Start(name="noise", bank=BANK), sampler=Sampler(steps=4), n=80))


def test_an_opinion_may_take_its_images_from_a_bank(store):
    begin = Start(name="blur", t_start=49, bank=BANK)
    pulled = BEGUN.model_copy(update={"start": begin, "advice": Advice(name="bank", bank="per_image", weight=0.3)})
    own = store.ensure(pulled).metrics
    assert own["nfe"] == 2 and own["dip_flops"] == store.ensure(BANK).metrics["flops"]


@pytest.mark.parametrize("name", ADVICE)
def test_samples_follow_a_second_opinion_at_equal_calls(store, name):
    plain = Sample(model=SMALL, sampler=Sampler(steps=4), n=80)
    record = store.ensure(plain.model_copy(update={"advice": ADVICE[name]}))
    assert record.metrics["nfe"] == store.ensure(plain).metrics["nfe"] == 4 and record.metrics["t_start"] == 99
    assert record.metrics["fd"] != store.ensure(plain).metrics["fd"]
    assert (record.metrics["prior_seconds"] > 0) == (ADVICE[name].dip is not None)
    assert record.metrics["model_seconds"] == store.ensure(SMALL).metrics["total_seconds"]
    assert record.metrics["total_flops"] > store.ensure(SMALL).metrics["train_flops"]


def test_a_start_and_advice_go_together(store):
    run = Sample(model=SMALL, start=Start(name="blur", t_start=49), sampler=Sampler(steps=4), n=80, advice=ADVICE["blur"])
    assert store.ensure(run).metrics["nfe"] == 2


SHIFTED = SMALL.model_copy(update={"prior": Prior(source=DIP, shift=True)})


@pytest.mark.parametrize("beside", [{"start": Start(name="mean", t_start=49)}, {"advice": ADVICE["blur"]}])
def test_a_model_whose_chains_need_x_dip_takes_no_start_and_no_advice(beside):
    with pytest.raises(ValidationError, match="model has a prior"):
        Sample(model=SHIFTED, **beside)


def test_samples_of_a_model_with_a_prior_are_held_against_the_images_that_x_dip_is_of(store, monkeypatch):
    drawn = store.ensure(Sample(model=SHIFTED, sampler=Sampler(steps=4), n=80))
    assert drawn.metrics["nfe"] == 4 and drawn.metrics["prior_seconds"] > 0 and drawn.metrics["own_source_rate"] < 0.5
    assert drawn.metrics["dip_flops"] > 0 and drawn.metrics["model_seconds"] == store.ensure(SHIFTED).metrics["total_seconds"]
    copier = SHIFTED.model_copy(update={"prior": Prior(source="blur", shift=True)})
    # a chain that ends at the image it is given
    monkeypatch.setattr(train.process, "sample", lambda *args: (args[5].centre, 4))
    copied = store.ensure(Sample(model=copier, sampler=Sampler(steps=4), n=80))
    assert copied.metrics["own_source_rate"] > 0.9


def test_a_start_and_an_opinion_use_each_its_own_dip_and_both_are_on_the_bill(store):
    other = DIP.model_copy(update={"std": 0.5})
    begin = Start(name="dip", t_start=49, dip=DIP)
    plain = Sample(model=SMALL, start=begin, sampler=Sampler(steps=4), n=80)
    own, same = (
        store.ensure(plain.model_copy(update={"advice": Advice(name="dip", weight=0.3, dip=dip)})).metrics
        for dip in (other, DIP)
    )
    assert own["fd"] != same["fd"] and own["start_moved"] == same["start_moved"]
    one, two = (store.ensure(dip).metrics["train_seconds"] for dip in (DIP, other))
    assert own["prior_seconds"] == pytest.approx(one + two) and same["prior_seconds"] == pytest.approx(one)
    alone, net = store.ensure(plain).metrics, build(DIP)
    assert alone["dip_flops"] == operations(DIP, net, 80)  # applied once an image to begin, then at every call, too
    assert same["dip_flops"] == operations(DIP, net, 80 * (1 + same["nfe"])) < own["dip_flops"]


def test_a_model_that_learned_with_a_dip_has_its_operations_on_every_bill(store):
    model = SMALL.model_copy(update={"dip": DIP})
    drawn = store.ensure(Sample(model=model, sampler=Sampler(steps=4), n=80)).metrics
    assert drawn["dip_flops"] == store.ensure(model).metrics["dip_flops"] > 0


@pytest.mark.parametrize(
    ("start", "advice", "said"),
    [
        (Start(name="dip"), None, "the start 'dip' needs a fitted DIP"),
        (Start(), Advice(name="dip", weight=0.1), "the opinion 'dip' needs a fitted DIP"),
        (Start(), Advice(name="bank", bank="dip", weight=0.1), "the start 'dip' needs a fitted DIP"),
        (Start(name="middle"), None, "the start 'middle' is not declared: expected one of noise, dip, per_image, mean"),
        (
            Start(name="per_image"),
            None,
            "the start 'per_image' needs a DIP for each image, and there is none: name one as `start.bank`",
        ),
        (
            Start(),
            Advice(name="bank", bank="per_image", weight=0.1),
            "the start 'per_image' needs a DIP for each image, and there is none: name one as `start.bank`",
        ),
    ],
)
def test_what_is_not_there_is_said_in_one_line(store, start, advice, said):
    with pytest.raises(ConfigError, match=said):
        store.ensure(Sample(model=SMALL, start=start, advice=advice, sampler=Sampler(steps=4), n=80))


def test_drawing_takes_the_seconds_of_its_starts_too(tmp_path, monkeypatch):
    made = Made(ranges.uint8_to_signed(sets.load(DDPM.data).train), 96e6, 960, rows=torch.arange(96))
    monkeypatch.setattr(sample, "of_bank", lambda bank, work: made)
    begin = Start(name="per_image", t_start=49, bank=BANK)
    own = Store(tmp_path, "smoke", device="cpu").ensure(Sample(model=DDPM, start=begin, sampler=Sampler(steps=4), n=80)).metrics
    assert own["sampling_seconds"] > own["start_seconds"] > 1e6
