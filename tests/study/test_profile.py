"""profiles.toml: every profile loads, every run in it is valid, and names, hashes and references mean what they say."""

import pytest

from dipddpm_utils import config
from dipddpm_utils.machine.errors import ConfigError, UsageError
from dipddpm_utils.study import profile as profiles

HEADLINE_LEAVES_OUT = {  # quick has the two reports' own runs and the same corrected, no more of them
    "a-only", "a-without", "a-controls", "a-starts", "a-bank", "a-batch",
    "b-only", "b-without", "b-rows", "b-grid", "b-fashion", "b-timing", "restore",
}  # fmt: skip
LEFT_OUT = {
    "smoke": {"ddpm_T", "ddpm_batch"},  # as ddpm_schedule, which it has
    "quick": HEADLINE_LEAVES_OUT | {"stopping_stages", "ddpm_lr", "ddpm_schedule", "ddpm_T", "ddpm_batch"},
}


@pytest.mark.parametrize("name", ["smoke", "quick", "standard", "full"])
def test_every_profile_declares_the_same_groups(name):
    profile = profiles.load(name)
    assert set(profile.groups) == set(profiles.load("full").groups) - LEFT_OUT.get(name, set())
    assert all(entry.folder == f"{entry.name}-{entry.hash}" for entry in profile.entries.values())
    hashes = [entry.hash for entry in profile.entries.values()]
    assert len(set(hashes)) == len(hashes)  # nothing is declared, and so computed, twice


@pytest.mark.parametrize("name", ["quick", "standard", "full"])
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


@pytest.mark.parametrize("name", ["standard", "full"])
def test_batches_are_compared_at_equal_images(name):
    optims = [member.entry.run.optim for member in profiles.load(name).group("ddpm_batch")]
    assert len({optim.batch_size * optim.steps for optim in optims}) == 1 and len({o.batch_size for o in optims}) == 3
    assert len({optim.lr for optim in optims}) == 1


def test_a_seed_reaches_every_run_that_a_run_is_built_on():
    run = profiles.load("quick").entry("starts-dip-300-s2").run
    assert (run.seed, run.model.seed, run.start.dip.seed) == (2, 2, 2)
    assert run.start.dip == profiles.load("quick").entry("dip-skip-s2").run


def test_starts_and_their_control_make_the_same_number_of_network_calls():
    from dipddpm_utils.ddpm.sampling import timesteps

    for name in ("quick", "standard", "full"):
        calls = {}
        members = profiles.load(name).group("starts") + (profiles.load(name).groups.get("a-starts") or [])
        for member in members:
            run = member.entry.run
            T = run.model.diffusion.num_train_timesteps
            calls.setdefault((run.model.data, member.value), set()).add(len(timesteps(T, run.sampler.steps, run.start.t_start)))
        assert all(len(seen) == 1 for seen in calls.values()), (name, calls)


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
    grid = profile.group("b-grid")
    assert {m.entry.run for m in grid if m.anchor} == {entry.run for entry in profile.seeds("b-combined")}


def test_a_case_takes_its_label_and_changes_what_it_names(own_file):
    cases = """[sweeps.two]
cases = [{ label = "as is", like = "@runs.d" }, { label = "b", value = 5, like = "@runs.d", optim = { lr = 0.3 } }]
[profiles.p]"""
    own_file(TABLE.replace("[profiles.p]", cases, 1))
    p = profiles.load("p")
    assert [(m.label, m.value, m.entry.name) for m in p.group("two")] == [("as is", "as is", "d-s0"), ("b", 5, "two-b-s0")]
    assert p.entry("two-b-s0").run == p.entry("d-s0").run.model_copy(update={"optim": config.Optim(lr=0.3, steps=7)})


def test_unknown_names_say_what_there_is():
    with pytest.raises(UsageError, match="unknown profile 'qick': choose one of smoke, quick, standard, full"):
        profiles.load("qick")
    with pytest.raises(UsageError, match="has no run 'ddpm-s9': did you mean ddpm-s"):
        profiles.load("quick").entry("ddpm-s9")
    with pytest.raises(UsageError, match="has no group 'zzz'"):
        profiles.load("quick").group("zzz")


TABLE = """
[parts.a]
lr = 0.1
[runs.d]
kind = "dip"
data = "@data"
optim = { like = "@parts.a", steps = "@steps" }
seeds = 2
[sweeps.lr]
like = "@runs.d"
over = { "optim.lr" = [0.1, 0.2], std = [1.0, 1.2] }
anchor = 1.2
[profiles.p]
about = "p"
data = { name = "mnist" }
steps = 7
[profiles.q]
about = "q"
data = { name = "mnist" }
steps = 7
runs.d.optim.batch_size = 5
runs.d.seeds = 1
"""


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    def use(text):
        (tmp_path / "profiles.toml").write_text(text)
        monkeypatch.setattr(profiles, "FILE", tmp_path / "profiles.toml")
        for function in (profiles._file, profiles.load, profiles.part):
            function.cache_clear()

    yield use
    for function in (profiles._file, profiles.load, profiles.part):
        function.cache_clear()


def test_references_changes_and_sweeps(own_file):
    own_file(TABLE)
    p, q = profiles.load("p"), profiles.load("q")
    assert p.entry("d-s1").run == config.Dip(data=config.Data(name="mnist"), optim=config.Optim(lr=0.1, steps=7), seed=1)
    assert q.entry("d-s0").run.optim.batch_size == 5 and "d-s1" not in q.entries
    assert [(m.label, m.value, m.anchor) for m in p.group("lr")] == [
        ("0.1", 1.0, False), ("0.1", 1.2, True), ("0.2", 1.0, False), ("0.2", 1.2, True),
    ]  # fmt: skip
    assert p.group("lr")[1].entry is p.entry("d-s0")  # the same configuration is the same run


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 7\n[profiles.q]", "steps = 0\n[profiles.q]", "run d: dip.optim.steps: Input should be greater than 0"),
        ('"@data"', '"@dota"', "nothing is named 'dota'"),
        ('kind = "dip"', 'kind = "dop"', "run d"),
        ('"@runs.d"', '"@runs.e"', "refers to a run 'e'"),
    ],
)
def test_a_mistake_in_the_file_is_one_clear_line(own_file, old, new, message):
    own_file(TABLE.replace(old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        profiles.load("p")
    assert "\n" not in str(caught.value)
