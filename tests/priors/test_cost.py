"""What runs will cost: FLOPs as a record's own bill has them, hours from a probe that is kept, and what `runs` says of both."""

import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from made_images import made_colour_images, put_images

from dipddpm_utils.config import Floor, Sample, Start, run_hash
from dipddpm_utils.data import own
from dipddpm_utils.machine.errors import StoreError
from dipddpm_utils.page import speed
from dipddpm_utils.parts import Prior
from dipddpm_utils.priors import cost, judge, listed
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study import profile
from dipddpm_utils.study.sizes import changed

SMOKE = profile.load("smoke")
MODEL = SMOKE.entry("b-ddpm-s0").run


def test_flops_are_those_of_the_records_own_bill():
    own = cost.of(MODEL)
    billed = judge.bill(MODEL, judge.build(MODEL), 0, own.calls, "cpu")
    assert own.flops == billed["train_flops"] + billed["sample_flops"] == billed["total_flops"]
    way = MODEL.evaluate
    visits = MODEL.optim.steps // way.every
    assert own.calls == visits * way.n * way.sampler.steps + way.final_n * way.final_sampler.steps


def test_a_chain_that_begins_later_makes_fewer_calls_and_a_floor_makes_none():
    whole = Sample(model=MODEL, n=100)
    part = changed(whole, start=Start(t_start=300))
    assert cost.of(part).calls == 100 * 15 and cost.of(whole).calls == 100 * 50
    begun = changed(MODEL, prior=Prior(source="blur", truncate=300))  # trained and judged up to there alone
    assert cost.of(changed(whole, model=begun)).calls == 100 * 15
    assert cost.of(begun).calls < 0.6 * cost.of(MODEL).calls
    assert cost.of(Floor(data=MODEL.data)).flops == 0 == cost.of(Floor(data=MODEL.data)).hours({})


def test_a_dip_is_applied_once_to_what_it_is_judged_on():
    one_batch = next(m.entry.run for m in SMOKE.group("b-dip-std"))
    assert cost.of(one_batch).calls == one_batch.judged
    assert cost.of(changed(one_batch, judged=None)).calls == one_batch.optim.batch_size
    assert cost.of(changed(one_batch, judged=None, one_batch=False)).calls == one_batch.data.n_train


def test_a_bank_of_dips_is_a_run_of_its_own_and_costs_as_its_record_says(tmp_path):
    bank = next(m.entry.run for m in SMOKE.group("a-bank") if m.label == "per_image")
    assert cost.of(bank).flops == cost.of(changed(bank, per_image=None)).flops  # what it is built on is another run
    fits, twice = cost.of(bank.bank), changed(bank.bank, fit=changed(bank.bank.fit, iterations=4))
    assert fits.flops == Store(tmp_path, "smoke", device="cpu").ensure(bank.bank).metrics["flops"] > 0
    assert cost.of(twice).flops == 2 * fits.flops and not fits.network  # nothing that a probe could time


def test_every_set_of_samples_is_drawn_and_what_changes_a_steps_seconds_is_another_network():
    way = MODEL.evaluate
    more = changed(MODEL, evaluate=changed(way, final_draws=way.final_draws + 2))
    assert cost.of(more).calls - cost.of(MODEL).calls == 2 * way.final_n * way.final_sampler.steps
    others = [
        changed(MODEL, optim=changed(MODEL.optim, **{name: value}))
        for name, value in {"batch_size": 2 * MODEL.optim.batch_size, "precision": "float32", "name": "adamw"}.items()
    ]
    others += [changed(MODEL, unet=changed(MODEL.unet, width=2 * MODEL.unet.width)), SMOKE.entry("b-dip-s0").run]
    assert len({cost.network(run) for run in [MODEL, *others]}) == 1 + len(others)
    longer = changed(MODEL, optim=changed(MODEL.optim, steps=MODEL.optim.steps + 1))
    assert cost.network(longer) == cost.network(MODEL)


def test_a_call_is_timed_for_all_its_images_and_kept_for_one(monkeypatch):
    monkeypatch.setattr(cost.machine, "stopwatch", lambda device: lambda: 48.0)
    assert cost._probed(MODEL, "cpu")["call"] == 48.0 / min(cost.DRAWN, MODEL.optim.batch_size)


def test_the_list_counts_what_was_trained_and_drawn_and_what_is_complete(monkeypatch):
    records = {
        "b-ddpm-s0": {"train_flops": 3e9, "sample_flops": 2e9},
        "floor-s0": {},
        "b-dip-s0": None,
    }
    store = Store(Path("nowhere"), "smoke")
    few = {name: SMOKE.entry(name) for name in records}
    store.profile = SimpleNamespace(name="smoke", entries=few, find=SMOKE.find)

    def examined(run):
        (name,) = (name for name, entry in few.items() if entry.run == run)
        if records[name] is None:
            return "absent", None, ""
        own = SimpleNamespace(metrics=records[name], seconds=1800.0, provenance={"machine": "x"})
        return "complete", own, ""

    monkeypatch.setattr(store, "examined", examined)
    monkeypatch.setattr(listed, "hardware", lambda provenance: "x")
    lines, _ = listed.listing(store)
    row = {line.split()[0]: line.split() for line in lines[1:4]}
    assert row["b-ddpm-s0"][-2:] == ["5.0e+09", "0.50"] and row["floor-s0"][-1] == "0.50"
    assert "profile smoke: 2 of 3 runs complete, in 1.0 hours" in lines


def test_hours_are_steps_and_calls_at_the_probes_speed(monkeypatch):
    own = cost.of(MODEL)
    probes = {own.network: {"step": 3.6, "call": 0.36}}
    assert own.hours(probes) == pytest.approx((own.steps * 3.6 + own.calls * 0.36) / 3600)
    monkeypatch.setattr(cost, "ELSEWHERE", {"slow steps": (1e30, 36.0), "few FLOPs": (1.0, 0.0)})
    on_paper = cost.on_paper(SimpleNamespace(entries={"one": SMOKE.entry("b-ddpm-s0"), "two": SMOKE.entry("b-ddpm-s0")}))
    assert math.isnan(own.hours({})) and on_paper["slow steps"] == pytest.approx(2 * own.steps / 100)
    assert on_paper["few FLOPs"] == pytest.approx(2 * own.flops / 3600)


@pytest.mark.parametrize(
    "text", ["[1]", '{"a": 1}', '{"a": {"net": {"step": 1}}}', '{"a": {"net": {"step": 1, "call": "no"}}}']
)
def test_a_file_of_probes_that_holds_something_else_is_said(monkeypatch, tmp_path, text):
    monkeypatch.setenv("DIPDDPM_CACHE", str(tmp_path))
    (tmp_path / "probes.json").write_text(text)
    with pytest.raises(StoreError, match="probes.json holds no probes: remove it and run the same command again"):
        cost.kept("cpu")


@pytest.mark.parametrize("damage", ["", "x,y\n1,2\n", "profile,runs,hours,how,machine\n<<<<<<< HEAD\nquick,1,2,measured,CPU\n"])
def test_a_damaged_table_of_hours_is_said_in_one_line_before_anything_is_timed(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(cost, "probe", lambda *_: pytest.fail("networks were timed"))
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "hours.csv").write_text(damage)
    for asked in (lambda: listed.listing(Store(tmp_path, "smoke"), probe=True), lambda: speed.hours(tmp_path)):
        with pytest.raises(
            StoreError, match=r"hours\.csv is not the table that .* bring it back with `git checkout`, or remove it"
        ):
            asked()


def test_images_of_ones_own_are_counted_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("DIPDDPM_CACHE", str(tmp_path / "cache"))
    data = own.read(put_images(tmp_path / "own", made_colour_images(230, seed=1)[0]))[0].data
    assert cost.of(changed(SMOKE.entry("dip-2conv-s0").run, data=data)).calls == 138  # 60% of them are trained on


def test_hours_that_were_measured_name_the_machine_with_most_of_them(tmp_path):
    store = SimpleNamespace(profile=SMOKE, root=tmp_path / "smoke")
    listed._keep(store, Counter({"A, 1 thread": 3600.0, "B, 1 thread": 7200.0}), [], "cpu")
    kept = pd.read_csv(tmp_path / "bench/hours.csv").iloc[0]
    assert (kept["hours"], kept["how"], kept["machine"]) == (3.0, "measured", "B, 1 thread, and others")


def test_complete_runs_whose_weights_are_not_here_are_counted_before_what_is_built_on_them():
    group = SMOKE.group
    model, chain = group("b-combined")[0].entry.run, group("starts")[0].entry.run
    there: set[str] = set()
    store = SimpleNamespace(folder=lambda run: Path(run.kind + run_hash(run)))
    store.can_be_built_on, store.state = lambda run: store.folder(run).name in there, lambda run: "absent"
    assert [run.kind for run in listed._trained_again(store, [model])] == ["dip"]
    assert "ddpm" in [run.kind for run in listed._trained_again(store, [chain])]
    assert listed._trained_again(store, [model, model.dip]) == []  # it is left to do itself, and counted there
    there.add(store.folder(model.dip).name)
    assert listed._trained_again(store, [model]) == []

    def damaged(run):
        raise StoreError("its record is damaged")

    store.can_be_built_on = damaged
    assert listed._trained_again(store, [model]) == [model.dip]


@pytest.mark.slow
def test_a_probe_is_made_once_and_turns_question_marks_into_hours(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DIPDDPM_CACHE", str(tmp_path / "cache"))
    store = Store(tmp_path / "results", "smoke")
    few = [SMOKE.entry(name) for name in ("floor-s0", "b-ddpm-s0", "b-dip-s0", "a-dip-resnet18-s0")]
    store.profile = SimpleNamespace(name="smoke", entries={entry.name: entry for entry in few}, find=SMOKE.find)
    lines, wrong = listed.listing(store)
    assert not wrong and [line.split()[-1] for line in lines[1:5]] == ["?"] * 4 and "not counted" in lines[1]
    assert "over 0.0" in "".join(lines) and "not timed here yet: 3 networks" in "".join(lines)
    assert f"runs --probe --profile smoke --results {tmp_path}" in "".join(lines)  # where the hours are kept
    for _ in range(2):
        cost.probe([entry.run for entry in few], "cpu")
    assert capsys.readouterr().out.count(" s a step\n") == 3 == len(cost.kept("cpu"))
    with pytest.MonkeyPatch.context() as one:  # of that name, but without 16-bit instructions: other seconds
        one.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
        assert cost.kept("cpu") == {}
    lines, _ = listed.listing(store, probe=True)
    kept = pd.read_csv(tmp_path / "results/bench/hours.csv").iloc[0]
    assert (kept["profile"], kept["runs"], kept["how"]) == ("smoke", 4, "estimated") and kept["hours"] > 0
    shown = speed.hours(tmp_path / "results")
    assert f"| smoke | 4 | {kept['hours']:g}, estimated (" in shown and shown.count(": hours on paper") == len(cost.ELSEWHERE)
    assert all(line.split()[-1].startswith("~") for line in lines[2:5]) and "not timed" not in "".join(lines)
    assert "restoration, floors and fits to single images not counted" in "".join(lines)
    told = next(entry.run for entry in SMOKE.entries.values() if entry.run.kind == "ddpm" and "condition" in entry.name)
    assert told.prior.condition and cost._probed(told, "cpu")["step"] > 0  # without the images that it is told
