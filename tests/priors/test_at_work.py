"""Every mechanism, tiny, through the real store: what is recorded, what it costs, and what a configuration refuses."""

import pytest
import torch
from priors.test_run import DATA, DDPM, DIP, JUDGED, StopAfter
from pydantic import ValidationError

from dipddpm_utils.config import Advice, Data, Prior, Sample, Sampler, Start, Warm
from dipddpm_utils.data import sets
from dipddpm_utils.dip import fit
from dipddpm_utils.machine.errors import OutOfTime
from dipddpm_utils.priors import at_work as experiments_priors
from dipddpm_utils.store.runs import Store

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = DDPM.model_copy(update={"evaluate": DDPM.evaluate.model_copy(update={"every": 100, "keep_all": False})})
PRIORS = {
    "curriculum": Prior(source=DIP, curriculum=0.5),
    "curriculum, blur": Prior(source="blur", curriculum=0.5),
    "weights of a data set": Prior(warm=Warm(steps=3)),
    "weights of an image": Prior(warm=Warm(fit="image", steps=3)),
    "shift": Prior(source=DIP, shift=True),
    "condition": Prior(source="blur", condition=True),
    "shift and condition": Prior(source=DIP, shift=True, condition=True),
}


def joined(prior):
    return SMALL.model_copy(update={"prior": prior})


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
    class Work:
        device = "cpu"
        record, weights = store.ensure, store.weights

    source = sets.load(DATA)
    at_work = experiments_priors.at_work(joined(PRIORS["curriculum"]), source, Work())
    x0, idx = torch.zeros(2, 1, 28, 28), torch.tensor([5, 3])
    assert torch.equal(at_work.batch(x0, idx, 5, 12), at_work.x_dip[idx])
    assert torch.equal(at_work.batch(x0, idx, 6, 12), x0)
    net_output = fit.dip_outputs(experiments_priors.fitted(DIP, Work()), source.train[idx] / 255)
    torch.testing.assert_close(at_work.x_dip[idx], net_output, rtol=0, atol=1e-5)


def test_a_share_of_nothing_is_the_plain_model(store):
    warm_free = store.ensure(joined(Prior()))
    assert warm_free.metrics["fd"] == store.ensure(SMALL).metrics["fd"]


def test_a_fit_as_a_dip_leaves_training_draws_alone_and_changes_the_first_loss(store):
    plain, warm = store.ensure(SMALL), store.ensure(joined(PRIORS["weights of a data set"]))
    assert plain.curve["loss"].iloc[0] != warm.curve["loss"].iloc[0]
    assert plain.metrics["images_seen"] == warm.metrics["images_seen"]


@pytest.mark.parametrize("name", ["shift", "weights of an image"])
def test_a_run_with_a_prior_that_is_cut_off_ends_with_the_same_record(store, tmp_path, name):
    run, slices = joined(PRIORS[name]), 0
    while True:
        try:
            record = Store(tmp_path, "smoke", device="cpu", budget=StopAfter(10)).ensure(run)
            break
        except OutOfTime:
            slices += 1
            assert slices < 40
    assert slices and record.weights_sha256 == store.ensure(run).weights_sha256
    assert record.metrics["fd"] == store.ensure(run).metrics["fd"]


ADVICE = {
    "guidance": Advice(name="dip", weight=0.3, dip=DIP),
    "re-injection": Advice(name="bank", weight=0.3, bank="dip", dip=DIP, when="early"),
    "blur": Advice(name="blur", weight=0.3),
    "re-injection, blur": Advice(name="bank", weight=0.3, bank="blur"),
}


@pytest.mark.parametrize("name", ADVICE)
def test_samples_follow_a_second_opinion_at_equal_calls(store, name):
    plain = Sample(model=SMALL, sampler=Sampler(steps=4), n=80)
    record = store.ensure(plain.model_copy(update={"advice": ADVICE[name]}))
    assert record.metrics["nfe"] == store.ensure(plain).metrics["nfe"] == 4
    assert record.metrics["fd"] != store.ensure(plain).metrics["fd"]
    assert (record.metrics["prior_seconds"] > 0) == (ADVICE[name].dip is not None)
    assert record.metrics["model_seconds"] == store.ensure(SMALL).metrics["total_seconds"]
    assert record.metrics["total_flops"] > store.ensure(SMALL).metrics["train_flops"]


def test_a_start_and_advice_go_together(store):
    run = Sample(model=SMALL, start=Start(name="blur", t_start=49), sampler=Sampler(steps=4), n=80, advice=ADVICE["blur"])
    assert store.ensure(run).metrics["nfe"] == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"curriculum": 0.5}, "source is needed by"),
        ({"source": "blur"}, "source is needed by"),
        ({"source": "blur", "condition": True, "warm": Warm()}, "warm is given with condition"),
    ],
)
def test_a_prior_that_cannot_be_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        Prior(**values)


def test_a_model_whose_chains_need_x_dip_takes_no_start():
    with pytest.raises(ValidationError, match="model has a prior"):
        Sample(model=joined(PRIORS["shift"]))


def test_old_configurations_keep_their_hash():
    from dipddpm_utils.config import Ddpm, run_hash

    assert run_hash(Ddpm(data=Data(name="mnist"))) == run_hash(Ddpm(data=Data(name="mnist"), prior=None))
    assert '"prior"' not in __import__("dipddpm_utils.config", fromlist=["canonical"]).canonical(Ddpm(data=DATA))
