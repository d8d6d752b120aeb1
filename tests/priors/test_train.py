"""Training runs, plain and with every prior: what is recorded and what it costs; a cut-off run ends the same."""

from types import SimpleNamespace

import pytest
import torch
from priors.runs import DATA, DDPM, DIP, JUDGED, SMALL, in_slices
from pydantic import ValidationError

from dipddpm_utils.config import (
    Bank,
    Data,
    Ddpm,
    DipImages,
    Optim,
    Prior,
    Restore,
    Sample,
    Sampler,
    Start,
    Stopping,
    canonical,
    run_hash,
)
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process as diffusion
from dipddpm_utils.dip import fit
from dipddpm_utils.dip.run import fitted
from dipddpm_utils.machine import streams
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import OutOfTime, TrainingError
from dipddpm_utils.parts import PerImage, Warm
from dipddpm_utils.priors import judge, train
from dipddpm_utils.priors.declared import fit_loss
from dipddpm_utils.priors.judge import averaged
from dipddpm_utils.priors.train import Batch, at_work
from dipddpm_utils.store.records import Work
from dipddpm_utils.store.runs import Store

PRIORS = {
    "curriculum": Prior(source=DIP, curriculum=0.5),
    "curriculum, blur": Prior(source="blur", curriculum=0.5),
    "weights of a data set": Prior(warm=Warm(steps=3)),
    "weights of an image": Prior(warm=Warm(fit="image", steps=3)),
    "shift": Prior(source=DIP, shift=True),
    "condition": Prior(source="blur", condition=True),
    "shift and condition": Prior(source=DIP, shift=True, condition=True),
    "truncated": Prior(source=DIP, truncate=30),
}


def joined(prior):
    return SMALL.model_copy(update={"prior": prior})


def working(name, store):
    """A prior, ready for training."""
    work = SimpleNamespace(device="cpu", store=store)
    return at_work(joined(PRIORS[name]), sets.load(DATA), work), work


@pytest.mark.slow
def test_scores_of_several_sets_are_averaged_and_their_interval_is_that_of_one(store):
    evaluate = DDPM.evaluate.model_copy(update={"final_draws": 3})
    one, three = store.ensure(DDPM), store.ensure(DDPM.model_copy(update={"evaluate": evaluate}))
    assert (one.metrics["draws"], three.metrics["draws"]) == (1, 3)
    rows = [
        {"n": 70, "fd": fd, "fd_low": fd - 3.0, "fd_high": fd + 6.0, "evaluation_seconds": 2.0, "kid_low": None, "kid": 0.0}
        for fd in (10.0, 14.0, 18.0, 14.0)
    ]
    mean = averaged(rows)
    assert (mean["n"], mean["fd"], mean["fd_low"], mean["fd_high"]) == (70, 14.0, 11.0, 20.0)
    assert mean["evaluation_seconds"] == 8.0 and mean["kid_low"] is None and mean["fd_sets"] == "10 14 18 14"
    assert averaged(rows[:1]) == rows[0]
    assert three.metrics["fd"] != one.metrics["fd"] and len(three.evals) == len(one.evals)


@pytest.mark.parametrize("dip", [None, DIP])
@pytest.mark.slow
def test_a_ddpm_is_trained_and_judged_at_several_steps(store, dip):
    record = store.ensure(DDPM.model_copy(update={"dip": dip}))
    assert JUDGED | {"train_seconds", "dip_seconds", "total_seconds", "parameters", "nfe"} <= set(record.metrics)
    assert record.evals["step"].tolist() == [5, 10, 12] and record.evals["nfe"].tolist() == [2, 2, 3]
    assert (record.metrics["dip_seconds"] > 0) == (dip is not None)
    assert record.arrays["grid"].shape == (64, 1, 28, 28) and record.arrays["grids_by_step"].shape == (2, 16, 1, 28, 28)
    assert len(record.arrays["reverse"]) == len(record.arrays["reverse_t"]) > 1
    assert len(record.arrays["forward"]) == len(record.arrays["forward_t"]) == judge.STRIP


@pytest.mark.parametrize("checks", [2, 7])  # after every second look at the budget, and after longer stretches
@pytest.mark.slow
def test_a_run_that_is_cut_off_anywhere_ends_with_the_same_record(store, tmp_path, checks):
    """Cut off in training and in the evaluations between: the same curve, metrics and pictures in the end."""
    whole, (record, slices) = store.ensure(DDPM), in_slices(tmp_path, DDPM, checks)
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


@pytest.mark.parametrize("name", PRIORS)
def test_a_model_with_a_prior_is_trained_and_judged_at_its_full_cost(store, name):
    plain, record = store.ensure(SMALL), store.ensure(joined(PRIORS[name]))
    m = record.metrics
    assert JUDGED <= set(m) and m["fd"] != plain.metrics["fd"]
    assert m["total_seconds"] == pytest.approx(m["train_seconds"] + m["dip_seconds"]) and m["dip_seconds"] > 0
    assert (m["dip_flops"] > 0) == (PRIORS[name].source != "blur")
    assert m["total_flops"] == m["train_flops"] + m["dip_flops"] + m["sample_flops"]
    if "condition" not in name:
        assert m["train_flops"] == plain.metrics["train_flops"]
    assert sum(path.stat().st_size for path in record.folder.iterdir() if path.suffix != ".safetensors") < 60_000
    assert set(record.arrays) == {"grid"}


def test_a_curriculum_trains_on_dip_outputs_first_and_then_as_the_plain_model_does(store):
    prior, work = working("curriculum", store)
    x0, idx = torch.zeros(2, 1, 28, 28), torch.tensor([5, 3])
    assert torch.equal(prior.batch(x0, idx, 5).x0, prior.x_dip[idx])
    assert torch.equal(prior.batch(x0, idx, 6).x0, x0)
    net_output = fit.dip_outputs(fitted(DIP, work), sets.load(DATA).train[idx] / 255)
    torch.testing.assert_close(prior.x_dip[idx], net_output, rtol=0, atol=1e-5)


def test_a_truncated_model_learns_no_level_above_and_its_chains_begin_there_from_dip_outputs(store):
    (prior, _), asked = working("truncated", store), []

    def model(x_t, t):
        asked.append((x_t, t))
        return torch.zeros_like(x_t)

    eps = torch.randn(200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    prior.loss(model, Batch(torch.zeros_like(eps), None), torch.Generator().manual_seed(0))
    assert asked[0][1].max() <= 30 and asked[0][1].float().mean() == pytest.approx(15, abs=2)
    bank = prior.x_dip[prior.drawn_rows(200, "here")]
    _, calls = prior.chain(Sampler(steps=10), 200, "here")(model, eps, slice(0, 200), torch.Generator())
    x_t, t = asked[1]
    assert set(t.tolist()) == {30} and calls == 3 and len(asked) == 4
    torch.testing.assert_close(x_t, diffusion.diffuse(prior.given.coefs, bank, t, eps))


def test_a_share_of_nothing_is_the_plain_model(store):
    warm_free = store.ensure(joined(Prior()))
    assert warm_free.metrics["fd"] == store.ensure(SMALL).metrics["fd"]


def test_a_fit_as_a_dip_leaves_training_draws_alone_and_changes_the_first_loss(store):
    plain, warm = store.ensure(SMALL), store.ensure(joined(PRIORS["weights of a data set"]))
    assert plain.curve["loss"].iloc[0] != warm.curve["loss"].iloc[0]
    assert plain.metrics["images_seen"] == warm.metrics["images_seen"]


@pytest.mark.parametrize("name", ["shift", "weights of an image"])
def test_a_run_with_a_prior_that_is_cut_off_ends_with_the_same_record(store, tmp_path, name):
    run = joined(PRIORS[name])
    record, slices = in_slices(tmp_path, run, 10)
    assert slices and record.weights_sha256 == store.ensure(run).weights_sha256
    assert record.metrics["fd"] == store.ensure(run).metrics["fd"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"curriculum": 0.5}, "source is needed by"),
        ({"source": "blur"}, "source is needed by"),
        ({"source": "blur", "condition": True, "warm": Warm()}, "warm is given with condition"),
        ({"truncate": 300}, "source is needed by"),
        ({"trained": "fade"}, "source is needed by"),
        ({"source": "blur", "trained": "truncated"}, "trained is 'truncated', which has a setting"),
        ({"source": "blur", "truncate": 300, "shift": True}, "truncate is given with shift"),
    ],
)
def test_a_prior_that_cannot_be_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        Prior(**values)


def test_nothing_is_truncated_above_the_last_step():
    with pytest.raises(ValidationError, match="prior.truncate is 1000, but the model's last step is 999"):
        Ddpm(data=DATA, prior=Prior(source="blur", truncate=1000))


def test_old_configurations_keep_their_hash():
    assert run_hash(Ddpm(data=Data(name="mnist"))) == run_hash(Ddpm(data=Data(name="mnist"), prior=None))
    assert '"prior"' not in canonical(Ddpm(data=DATA)) and '"learned"' not in canonical(joined(PRIORS["shift"]))


RUN = Restore(model=DDPM, n=4, n_tune=2, iterations=12, width=4, t_starts=(20, 60), sampler=Sampler(steps=5), lr=0.02)


def seeded(run, seed):
    return run.mapped(lambda part: part.model_copy(update={"seed": seed}) if hasattr(part, "seed") else part)


BANK = Bank(data=DATA, fit=PerImage(net="2conv", width=4, iterations=5), n=80)


SEEDED = {
    "dip": DIP,
    "dip_images": DipImages(data=DATA, net="2conv", n_images=3, iterations=5, snapshots=(5,), width=8),
    "bank": BANK,
    "stopping": Stopping(data=DATA, n_images=3, iterations=30, width=4, fixed=10, window=4, patience=5, stages=6),
    "ddpm": DDPM.model_copy(update={"dip": DIP}),
    "shift": SMALL.model_copy(update={"prior": Prior(source=DIP, shift=True)}),
    "warm": SMALL.model_copy(update={"prior": Prior(warm=Warm(steps=3))}),
    "start": Sample(model=SMALL, start=Start(name="blur", t_start=49), sampler=Sampler(steps=4, eta=0.5), n=80),
    "restore": RUN,
}


OTHERWISE = {"counting"}  # streams of no run


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.slow
def test_every_stream_that_a_run_draws_from_is_seeded_by_the_run(name, tmp_path, monkeypatch):
    asked, derived = [], streams.derived_seed
    monkeypatch.setattr(streams, "derived_seed", lambda seed, purpose: asked.append((seed, purpose)) or derived(seed, purpose))
    Store(tmp_path, "smoke", device="cpu").ensure(seeded(SEEDED[name], 7))
    own = {7, derived(7, "supervised"), derived(7, "warm start")}
    assert asked and [one for one in asked if one[0] not in own and one[1] not in OTHERWISE] == []


def test_a_fit_as_a_dip_is_shown_noisy_images(monkeypatch):
    shown = []
    monkeypatch.setattr(train.declared, "fit_loss", lambda *given: shown.append(given[1:]) or fit_loss(*given))
    run = SMALL.model_copy(update={"prior": Prior(warm=Warm(steps=3, std=0.5))})
    train.initial(run, sets.load(DATA), Work(None, Budget(), "cpu", "", None))
    for z, target in shown:
        black = z[target == -1]  # 2 clip(0.5 n, 0, 1) - 1: half of them stay black
        assert (black == -1).double().mean().item() == pytest.approx(0.5, abs=0.05) and z.max() <= 1


@pytest.mark.parametrize(("prior", "alike"), [(None, True), (Prior(source="blur", curriculum=0.5), False)])
def test_steps_are_recorded_as_all_alike_only_without_a_prior(tmp_path, monkeypatch, prior, alike):
    """On a GPU what a curriculum shows at the first steps would be shown at all."""
    said = []

    def stop(*given, steady):
        said.append(steady)
        raise OutOfTime("seen")

    monkeypatch.setattr(train.loop, "train_resumably", stop)
    with pytest.raises(OutOfTime, match="seen"):
        Store(tmp_path, "smoke", device="cpu").ensure(joined(prior))
    assert said == [alike]


def test_what_a_record_says_of_its_last_losses_its_calls_and_the_images_behind_its_samples(store, monkeypatch):
    copier = joined(Prior(source="blur", shift=True))
    monkeypatch.setattr(
        train.process, "sample", lambda *args: (args[5].centre, 4)
    )  # a chain that ends at the image it is given
    record = store.ensure(copier)
    m = record.metrics
    assert m["own_source_rate"] > 0.9
    assert m["loss_last"] == pytest.approx(record.curve["loss"].tail(10).mean(), rel=1e-5)
    once, _ = judge.operations(judge.build(copier), copier, "cpu")
    assert m["sample_flops"] == once * m["n"] * m["nfe"]
