"""What the profiles declare: names, hashes and groups as committed records have them, and that they mean what they say."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dipddpm_utils import config, parts
from dipddpm_utils.machine.errors import ConfigError, UsageError
from dipddpm_utils.study import profile as profiles
from dipddpm_utils.study import sizes
from dipddpm_utils.study.entries import By, Profile
from dipddpm_utils.study.sizes import changed

RESULTS = Path(__file__).resolve().parents[2] / "results"
SNAPSHOT = {  # number of runs; the start of SHA-256 over all names and hashes in order, and over all groups
    "smoke": (160, "2424010c5b00acaf", "d92c94d9aa74051d"),
    "quick": (103, "882eb1f96ee7597d", "9cb1b94a5e9e5a51"),
    "standard": (995, "3fefde04d347e786", "87f29d4e0a0bd0f6"),
    "full": (60, "2a33ea73d5b77d3b", "d0c871ca9287d44d"),
}
HEADLINE_LEAVES_OUT = {  # quick has the two reports' own runs and the same corrected, no more of them
    "a-only", "a-without", "a-controls", "a-starts", "a-bank", "a-bank-fits", "a-batch",
    "b-only", "b-without", "b-rows", "b-grid", "b-fashion", "b-timing",
    "b-dip-std", "b-dip-lr", "restore",
}  # fmt: skip
LARGE = {
    "dip_pick",
    "main",
    "main-on-dip",
    "main-starts",
    "main-shift",
    "main-curriculum",
    "main-truncated",
    "main-condition",
    "main-weights",
    "main-curriculum-blur",
    "main-drawn",
    "photos-floor",
    "photos",
    "photos-drawn",
    "photos-drawn-floor",
    "restore-more",
    "restore-tuned",
}  # models that draw digits
LEFT_OUT = {
    "smoke": LARGE | {"ddpm_T", "ddpm_batch"},  # as ddpm_schedule, which it has
    "quick": LARGE
    | HEADLINE_LEAVES_OUT
    | {"bank", "bank-fits", "start-fits", "stopping_stages", "ddpm_lr", "ddpm_schedule", "ddpm_T", "ddpm_batch"},
}


def _sha256(value) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_names_hashes_order_and_groups_are_those_that_records_were_computed_with(name):
    """Red after a run was added or changed on purpose: then the new line of SNAPSHOT is the one that pytest shows."""
    profile = profiles.load(name)
    runs = [(entry.name, entry.hash) for entry in profile.entries.values()]
    groups = {g: [(m.entry.name, m.label, str(m.value), m.anchor) for m in ms] for g, ms in profile.groups.items()}
    now = (len(runs), _sha256(runs), _sha256(groups))
    assert now == SNAPSHOT[name], f'"{name}": {now},'


def _with_those_it_is_built_on(value):
    if isinstance(value, config.Run):
        yield value
    if isinstance(value, parts.Frozen):
        for field in type(value).model_fields:
            yield from _with_those_it_is_built_on(getattr(value, field))


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_each_committed_record_is_that_of_a_declared_run_or_of_one_it_is_built_on(name):
    declared = profiles.load(name).entries.values()
    known = {entry.folder for entry in declared}
    parts = {run for entry in declared for run in _with_those_it_is_built_on(entry.run)}
    known |= {f"{run.kind}-s{run.seed}-{config.run_hash(run)}" for run in parts}
    assert {path.parent.name for path in RESULTS.glob(f"{name}/runs/*/record.json")} <= known


@pytest.mark.parametrize("name", ["smoke", "quick"])
def test_small_profiles_declare_the_groups_of_standard_but_for_those_named(name):
    assert set(profiles.load(name).groups) == set(profiles.load("standard").groups) - LEFT_OUT[name]


def test_full_is_the_two_reports_at_their_own_size_in_the_order_of_what_decides_most():
    p = profiles.load("full")
    assert len(p.entries) <= 60 and all(group[:2] in ("a-", "b-") for group in set(p.groups) - {"floor"})
    a_models, b_models = ([e.run for e in p.seeds(f"{report}-ddpm")] for report in "ab")
    assert {run.data for run in a_models} == {config.Data(name="cifar10")} and len(a_models) == len(b_models) == 3
    assert {run.data for run in b_models} == {config.Data(name="mnist")}
    optim, published = a_models[0].optim, p.entry("a-ddpm-published-s0").run.optim
    assert (optim.lr, optim.batch_size, optim.steps) == (8e-5, 8, 30_000) and optim == published
    assert [(e.run.optim.batch_size, e.run.optim.steps) for e in map(p.entry, ("a-dip-2conv-s0", "a-dip-resnet18-s0"))] == [
        (4, 375_000), (8, 187_500),
    ]  # fmt: skip
    assert {m.label for m in p.group("a-starts")} == {"dip", "mean", "gaussian", "blur", "noise"}
    order = ("a-resnet18-published-s0", "b-combined-published-s2", "b-rows-dip_lr-5e-3-s0", "a-starts-noise-12-s0", "a-ddpm-s1")
    places = [list(p.entries).index(name) for name in order]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["quick", "standard"])
def test_comparisons_have_three_seeds_and_one_anchor(name):
    profile = profiles.load(name)
    ddpm = {"ddpm_lr", "ddpm_schedule", "ddpm_T", "ddpm_batch"} - LEFT_OUT.get(name, set())
    for group in ("dip_lr", "std", "dip_iterations", "dip_net", *ddpm):
        members = profile.group(group)
        assert len({m.entry.run.seed for m in members}) >= 3
        anchors = {m.value for m in members if m.anchor}
        assert len(anchors) == 1, group
    assert all({m.entry.name for m in profile.group(g) if m.anchor} == {e.name for e in profile.seeds("ddpm")} for g in ddpm)
    assert [entry.run.seed for entry in profile.seeds("ddpm")] == [0, 1, 2]


def test_batches_are_compared_at_equal_images():
    optims = [member.entry.run.optim for member in profiles.load("standard").group("ddpm_batch")]
    assert len({optim.batch_size * optim.steps for optim in optims}) == 1 and len({o.batch_size for o in optims}) == 3
    assert len({optim.lr for optim in optims}) == 1


def test_a_seed_reaches_every_run_that_a_run_is_built_on():
    run = profiles.load("quick").entry("starts-dip-300-s2").run
    assert (run.seed, run.model.seed, run.start.dip.seed) == (2, 2, 2)
    assert run.start.dip == profiles.load("quick").entry("dip-skip-s2").run


def test_starts_and_their_control_make_the_same_number_of_network_calls():
    from dipddpm_utils.ddpm.sampling import timesteps

    for name in ("quick", "standard", "full"):
        groups, calls = profiles.load(name).groups, {}
        members = groups.get("starts", []) + groups.get("a-starts", [])
        for member in members:
            run = member.entry.run
            T = run.model.diffusion.num_train_timesteps
            calls.setdefault((run.model.data, member.value), set()).add(len(timesteps(T, run.sampler.steps, run.start.t_start)))
        assert calls and all(len(seen) == 1 for seen in calls.values()), (name, calls)


@pytest.mark.parametrize("name", ["standard", "full"])
def test_report_bs_rows_and_grid_say_what_differs(name):
    profile = profiles.load(name)
    rows = [m for m in profile.group("b-rows") if m.entry.run.seed == 0]
    assert [m.value for m in rows] == list(range(6))
    anchor = profile.seeds("b-combined")[0].run
    rates = [m.entry.run.optim.lr / anchor.optim.lr for m in rows]
    assert rates == [0.5, 0.5, 0.5, 1, 1, 1]
    assert [m.entry.run.dip.std for m in rows] == [1.2, 1.0, 0.8, 1.2, 1.2, 1.2]
    assert [m.entry.run.dip.optim.lr for m in rows] == [1e-3, 1e-3, 1e-3, 5e-4, 2e-3, 5e-3]
    grid = profile.groups.get("b-grid", [])
    assert {m.entry.run for m in grid if m.anchor} <= {entry.run for entry in profile.seeds("b-combined")}


def test_mechanisms_of_models_that_draw_digits_are_declared_by_name_and_make_as_many_calls():
    from dipddpm_utils.ddpm.sampling import timesteps
    from dipddpm_utils.study import headline, models

    p, z = profiles.load("standard"), sizes.STANDARD
    base = models.main(z)
    assert {member.label for member in p.group("main-drawn")} == {
        "shift", "curriculum", "curriculum blur", "truncated", "condition", "weights",
        "baseline", "reinject", "guidance", "reinject blur", "guidance blur", "more calls",
    }  # fmt: skip
    for member in p.group("main-drawn"):
        run, prior = member.entry.run, member.entry.run.model.prior
        if prior is None:
            value, by = (member.value.value, member.value.sampler) if isinstance(member.value, By) else (member.value, "ddim")
            assert run.sampler.title == by
            calls = value if member.label == "more calls" else headline.CALLS
            assert len(timesteps(1000, run.sampler.steps)) == calls
            assert (run.advice is None) is (member.label in ("baseline", "more calls"))
            continue
        assert len(timesteps(1000, run.sampler.steps, prior.truncate)) == headline.CALLS == 12
        assert (prior.source == "blur") is member.label.endswith("blur")
        alone, same = run.model.model_copy(update={"prior": None, "evaluate": base.evaluate}), base
        if prior.truncate:  # with its DIP in as many seconds
            same = base.model_copy(update={"optim": changed(base.optim, steps=1960)})
        assert alone == same.model_copy(update={"seed": run.seed})
    assert p.entry("main-truncated-s0").run.evaluate.final_sampler.steps == z.start_steps


# --- declaring and looking up -----------------------------------------------------------------------------------------

FLOOR = config.Floor(data=config.Data(name="digits5k"))


def test_a_run_has_its_seeds_and_a_member_its_label_value_and_name():
    p = Profile("p")
    p.run("floor", FLOOR, 2)
    p.member("two", "as is", FLOOR, anchor=True)
    p.member("two", "b", FLOOR.model_copy(update={"repeats": 7}), value=5)
    p.run("floor", FLOOR, (4,))
    assert list(p.entries) == ["floor-s0", "floor-s1", "two-b-s0", "floor-s4"]  # the same configuration is the same run
    assert [(m.label, m.value, m.anchor) for m in p.group("two")] == [("as is", "as is", True), ("b", 5, False)]
    assert p.group("two")[0].entry is p.entry("floor-s0") and [e.run.seed for e in p.seeds("floor")] == [0, 1, 4]
    assert p.find(p.entry("two-b-s0").run) is p.entry("two-b-s0")
    p.members("three", {"as is": FLOOR, "b": FLOOR.model_copy(update={"repeats": 7})}, 2)
    assert [(m.label, m.entry.name) for m in p.group("three")][1:] == [
        ("as is", "floor-s1"), ("b", "two-b-s0"), ("b", "three-b-s1"),
    ]  # fmt: skip


def test_two_different_runs_of_one_name_are_refused():
    p = Profile("p")
    p.run("floor", FLOOR)
    with pytest.raises(ConfigError, match="profile p declares two different runs floor-s0"):
        p.run("floor", FLOOR.model_copy(update={"repeats": 7}))


def test_unknown_names_say_what_there_is():
    with pytest.raises(UsageError, match="unknown profile 'qick': choose one of smoke, quick, standard, full"):
        profiles.load("qick")
    with pytest.raises(UsageError, match="has no run 'ddpm-s9': did you mean ddpm-s"):
        profiles.load("quick").entry("ddpm-s9")
    with pytest.raises(UsageError, match="has no group 'zzz'"):
        profiles.load("quick").group("zzz")


def test_a_size_that_is_not_allowed_is_named(monkeypatch):
    monkeypatch.setitem(profiles.PROFILES, "p", (profiles.everything, replace(sizes.SMOKE, dip_steps=0)))
    with pytest.raises(ValueError, match=r"Optim\nsteps\n.*greater than 0"):
        profiles.load("p")
