"""The run store: computed once, read for ever after, whole after any kill, also with others at once and on Google Drive."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dipddpm_utils.machine import files
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import OutOfTime, StoreError
from dipddpm_utils.store import records, runs
from dipddpm_utils.store.records import Outcome
from dipddpm_utils.store.runs import Store, open_store
from dipddpm_utils.study import profile

RUN = profile.load("smoke").entry("gaussian-s0").run
CHECKOUT = Path(__file__).parents[2]


def test_a_run_is_computed_once_and_its_record_says_everything(tmp_path, calls, monkeypatch):
    monkeypatch.setenv("DIPDDPM_EVENTS", str(tmp_path / "events"))
    store = Store(tmp_path, "smoke")
    assert store.state(RUN) == "absent"
    first, second = store.ensure(RUN), Store(tmp_path, "smoke").ensure(RUN)
    assert len(calls) == 1 and store.state(RUN) == "complete"
    assert first.folder == tmp_path / "smoke" / "runs" / f"gaussian-s0-{second.hash}"
    assert second.run == RUN and second.metrics == {"fd": 1.5, "n": 3, "features": "none", "kid": None}
    assert second.curve["loss"].tolist() == [0.1234568, 0.1] and second.evals["step"].tolist() == [2]
    assert second.arrays["grid"].shape == (2, 1, 4, 4)
    assert {"code", "packages", "device", "threads", "seed", "start", "end"} <= set(second.provenance)
    assert store.weights(RUN)["w"].tolist() == [0, 1, 2]
    actions = [json.loads(line)["action"] for line in (tmp_path / "events").read_text().splitlines()]
    assert actions == ["computed", "record"]


def test_records_are_plain_text_and_arrays(tmp_path, calls):
    folder = Store(tmp_path, "smoke").ensure(RUN).folder
    assert {path.name for path in folder.iterdir()} - {".lock"} == {
        "record.json", "curve.csv", "evals.csv", "arrays.npz", "weights.safetensors",
    }  # fmt: skip
    json.loads((folder / "record.json").read_text())
    np.load(folder / "arrays.npz", allow_pickle=False)


def test_the_seconds_of_a_run_are_those_of_all_its_sittings(tmp_path, calls):
    record = Store(tmp_path, "smoke").ensure(RUN)
    for record.timings, seconds in (({"total": 5, "train": 8, "evaluate": 1}, 9), ({"total": 12, "train": 8}, 12), ({}, 0)):
        assert record.seconds == seconds


def test_a_clone_has_no_weights_and_computes_them_when_they_are_needed(tmp_path, calls, capsys):
    store = Store(tmp_path, "smoke")
    (store.ensure(RUN).folder / "weights.safetensors").unlink()
    assert store.ensure(RUN) and len(calls) == 1  # drawing needs none
    assert store.weights(RUN)["w"].tolist() == [0, 1, 2] and len(calls) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert (
        "again" not in first
        and second
        == f"{first} again: its weights, which no clone has, are needed; its record is replaced by that of this machine"
    )


def test_weights_that_another_process_made_meanwhile_are_not_computed_twice(tmp_path, calls, monkeypatch):
    store = Store(tmp_path, "smoke")
    weights = store.ensure(RUN).folder / "weights.safetensors"
    data, locked = weights.read_bytes(), Store._locked
    weights.unlink()
    assert not store.can_be_built_on(RUN) and store.state(RUN) == "complete"

    @contextmanager
    def other_first(self, folder):
        with locked(self, folder):
            weights.write_bytes(data)
            yield

    monkeypatch.setattr(Store, "_locked", other_first)
    assert store.weights(RUN)["w"].tolist() == [0, 1, 2] and len(calls) == 1 and store.can_be_built_on(RUN)


def test_a_kill_between_two_renames_is_completed_by_the_next_start(tmp_path, calls, monkeypatch):
    """The record counts as soon as it is staged; the renames that were not reached are made later."""
    store = Store(tmp_path, "smoke")
    real, done = Path.replace, []

    def replace_one_then_die(self, target):
        if self.parent.name == "staged" and done:
            raise KeyboardInterrupt
        done.append(self.name)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace_one_then_die)
    with pytest.raises(KeyboardInterrupt):
        store.ensure(RUN)
    monkeypatch.setattr(Path, "replace", real)
    assert store.state(RUN) == "partial"
    record = store.ensure(RUN)
    assert len(calls) == 1 and record.notes == ["computation 1"] and not record.curve.empty


def test_a_fresh_round_keeps_old_records_until_their_new_ones_and_can_be_cut_off(tmp_path, calls):
    other = profile.load("smoke").entry("floor-s0").run
    old = Store(tmp_path, "smoke")
    old.ensure(RUN), old.ensure(other)
    fresh = Store(tmp_path, "smoke", fresh="run --all")
    assert (fresh.state(RUN), old.state(RUN)) == ("stale", "complete")
    assert fresh.ensure(RUN).notes == ["computation 3"]
    again = Store(tmp_path, "smoke", fresh="run --all")  # the same command after it was cut off
    assert (again.state(RUN), again.state(other)) == ("complete", "stale")
    assert again.load(other).notes == ["computation 2"]
    again.ensure(other)
    again.end_fresh()
    assert Store(tmp_path, "smoke", fresh="run --all").state(RUN) == "stale"  # a new round


@pytest.mark.parametrize("clock", ["2999-01-01T00:00:00.000000Z", "1999-01-01T00:00:00.000000Z"])
def test_a_fresh_round_trusts_no_clock(tmp_path, calls, monkeypatch, clock):
    """Records from the future, or a round begun in it: once the first made it a no-op, and the second an endless loop."""
    real = runs.provenance.now
    monkeypatch.setattr(runs.provenance, "now", lambda: clock)
    Store(tmp_path, "smoke").ensure(RUN)
    monkeypatch.setattr(runs.provenance, "now", real)
    first = Store(tmp_path, "smoke", fresh="run --all")
    assert first.state(RUN) == "stale" and first.ensure(RUN).provenance["round"] == first.round
    first.end_fresh()
    monkeypatch.setattr(runs.provenance, "now", lambda: clock)
    second = Store(tmp_path, "smoke", fresh="run --all")
    monkeypatch.setattr(runs.provenance, "now", real)
    assert second.state(RUN) == "stale"
    second.ensure(RUN), second.ensure(RUN)
    assert len(calls) == 3 and Store(tmp_path, "smoke", fresh="run --all").state(RUN) == "complete"


def test_a_fresh_round_goes_on_with_its_own_checkpoints_only(tmp_path, calls, monkeypatch):
    folders = []

    def cut_off(run, work):
        folders.append(files.write_text(work.folder / "checkpoint", "").parent)
        raise OutOfTime("stop")

    monkeypatch.setattr(runs, "compute", cut_off)
    for fresh in ("", "run --all", "run --all", ""):
        store = Store(tmp_path, "smoke", fresh=fresh)
        with pytest.raises(OutOfTime):
            store.ensure(RUN)
        assert store.state(RUN) == "partial"
    assert folders[0] == folders[3] != folders[1] == folders[2]
    monkeypatch.undo()
    monkeypatch.setattr(runs, "compute", lambda *_: Outcome(metrics={}))
    assert not list(Store(tmp_path, "smoke").ensure(RUN).folder.glob("work*"))


def test_a_file_of_a_round_that_cannot_be_read_is_named(tmp_path):
    files.write_text(tmp_path / "smoke" / "fresh.json", "<<<<<<< HEAD")
    with pytest.raises(StoreError, match=r"fresh\.json is not valid JSON .*remove it"):
        Store(tmp_path, "smoke", fresh="run --all")
    files.write_text(tmp_path / "smoke" / "fresh.json", "[]")
    with pytest.raises(StoreError, match=r"fresh\.json tells of no fresh round: remove it"):
        Store(tmp_path, "smoke", fresh="run --all")


def test_only_the_command_that_began_a_fresh_round_ends_it(tmp_path, calls, capsys):
    """Once a `--fresh` of one run ended the round of all that had been cut off, which then began from nothing."""
    other = profile.load("smoke").entry("floor-s0").run
    whole = Store(tmp_path, "smoke", fresh="run --all")
    whole.ensure(RUN)  # and is cut off
    part = Store(tmp_path, "smoke", fresh="run floor-s0")
    assert part.round == whole.round and "`run --all` began" in capsys.readouterr().err
    part.ensure(other)
    part.end_fresh()
    again = Store(tmp_path, "smoke", fresh="run --all")
    assert again.round == whole.round and (again.state(RUN), again.state(other)) == ("complete", "complete")
    again.end_fresh()
    assert Store(tmp_path, "smoke", fresh="run --all").round != whole.round


def test_the_same_command_twice_at_once_ends_its_round_and_no_later_one(tmp_path):
    first, second = (Store(tmp_path, "smoke", fresh="run --all") for _ in range(2))
    assert first.round == second.round
    first.end_fresh()
    later = Store(tmp_path, "smoke", fresh="run --all")
    second.end_fresh()
    assert Store(tmp_path, "smoke", fresh="run --all").round == later.round != first.round


def test_a_notebook_that_looks_at_another_profile_begins_no_fresh_round_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DIPDDPM_FRESH", "smoke")
    own, other = open_store("smoke", tmp_path, "cpu"), open_store("quick", tmp_path, "cpu")
    assert own.round is not None and other.round is None
    assert (tmp_path / "smoke" / "fresh.json").exists() and not (tmp_path / "quick" / "fresh.json").exists()


def test_a_failed_fresh_computation_leaves_the_old_record(tmp_path, calls, monkeypatch):
    Store(tmp_path, "smoke").ensure(RUN)
    monkeypatch.setattr(runs, "compute", lambda *_: (_ for _ in ()).throw(OutOfTime("stop")))
    with pytest.raises(OutOfTime):
        Store(tmp_path, "smoke", fresh="run --all").ensure(RUN)
    assert Store(tmp_path, "smoke").ensure(RUN).notes == ["computation 1"]


def test_records_only_computes_nothing_and_says_how(tmp_path, calls, monkeypatch):
    monkeypatch.setattr(runs, "CHECKOUT", tmp_path / "no checkout")
    with pytest.raises(
        StoreError, match=r"gaussian-s0-\w+ has no record .* compute it with .* run gaussian-s0 --profile smoke --results .*`"
    ):
        Store(tmp_path, "smoke", records_only=True).ensure(RUN)
    assert not calls and not any(tmp_path.iterdir())


def test_a_budget_that_is_over_stops_before_anything_is_computed(tmp_path, calls):
    with pytest.raises(OutOfTime, match="the same command goes on"):
        Store(tmp_path, "smoke", budget=Budget(deadline=time.time() - 1)).ensure(RUN)
    assert not calls


def test_a_full_disk_is_one_line(small_disk, calls, monkeypatch):
    (small_disk / "ballast").write_bytes(bytes(1_048_576 - 8192 * 3))
    with pytest.raises(StoreError, match="the disk is full") as caught:
        monkeypatch.setattr(
            runs, "compute", lambda *_: Outcome(metrics={}, arrays={"a": np.random.default_rng(0).random(99_999)})
        )
        Store(small_disk, "smoke").ensure(RUN)
    assert "\n" not in str(caught.value)


def test_a_read_only_results_folder_can_be_drawn_from_but_not_computed_in(small_disk, calls):
    Store(small_disk, "smoke").ensure(RUN)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert Store(small_disk, "smoke").ensure(RUN).metrics["fd"] == 1.5
    with pytest.raises(StoreError, match="choose another folder with --results|--results DIR"):
        Store(small_disk, "smoke").ensure(profile.load("smoke").entry("floor-s0").run)


def test_a_file_system_that_refuses_locks_modes_and_flushes_will_do(tmp_path, calls, monkeypatch):
    """Google Drive on Colab."""

    def refuse(*_):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    for module, name in ((os, "fchmod"), (os, "chmod"), (os, "fsync"), (os, "link"), (os, "utime"), (fcntl, "flock")):
        monkeypatch.setattr(module, name, refuse)
    folder = Store(tmp_path, "smoke", fresh="run --all").ensure(RUN).folder
    assert Store(tmp_path, "smoke").ensure(RUN).arrays and len(calls) == 1 and not (folder / ".lock.owner").exists()


ENDLESS = """
import sys, time
from dipddpm_utils.store import runs
from dipddpm_utils.study import profile
def compute(run, work):
    print("computing", flush=True)
    work.folder.mkdir(exist_ok=True)
    while True:
        time.sleep(1)
runs.compute = compute
runs.Store(sys.argv[1], "smoke").ensure(profile.load("smoke").entry("gaussian-s0").run)
"""

HURRIED = """
import os, sys, time
from dipddpm_utils.store import runs
from dipddpm_utils.store.records import Outcome
results, gate, name = sys.argv[1:]
runs.compute = lambda run, work: Outcome(metrics={"by": name}, curve=[{"step": 1}])
print("ready", flush=True)
while not os.path.exists(gate): pass
store = runs.Store(results, "smoke", fresh="run --all")
for entry in list(store.profile.entries.values())[:15]:
    record = store.ensure(entry.run)
    assert list(record.curve["step"]) == [1]
print(store.round, flush=True)
"""


def _process(program, *arguments):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT)


@pytest.mark.slow
def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path, calls):
    first = _process(ENDLESS, tmp_path)
    assert first.stdout.readline() == "computing\n"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    store = Store(tmp_path, "smoke")
    folder = store.folder(RUN)
    assert set(os.listdir(folder)) <= {".lock", "work"}  # a kill leaves no probe
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / ".record.json.0123456789ab.tmp").touch()  # but it may have come in the middle of a write
    (folder / ".curve.csv.0123456789ab.tmp").touch()
    assert store.ensure(RUN).notes == ["computation 1"] and not list(folder.rglob("*.tmp"))


@pytest.mark.slow
def test_two_commands_at_once_do_not_fail_each_other(tmp_path):
    """Both want all of a profile anew: they join one round, compute each run once, and read what the other wrote."""
    both = [_process(HURRIED, tmp_path, tmp_path / "gate", name) for name in "ab"]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "gate").touch()
    (one, wrong), (other, also) = (process.communicate() for process in both)
    assert [process.returncode for process in both] == [0, 0], wrong + also
    computed = [line for line in (wrong + also).splitlines() if line.startswith("computing ")]
    assert one == other and len(computed) == len(set(computed)) == 15


def test_checkpoints_stay_until_their_record_is_written(tmp_path, monkeypatch):
    def compute(run, work):
        files.write_text(work.folder / "checkpoint", "")
        return Outcome(metrics={})

    def full(*_):
        raise StoreError("the disk is full")

    store = Store(tmp_path, "smoke")
    with monkeypatch.context() as patch:
        patch.setattr(runs, "compute", compute)
        patch.setattr(runs.records, "write", full)
        with pytest.raises(StoreError, match="full"):
            store.ensure(RUN)
    assert (store.folder(RUN) / "work" / "checkpoint").exists() and store.state(RUN) == "partial"


def test_an_installed_package_keeps_no_results_in_its_installation(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "CHECKOUT", tmp_path / "site-packages")
    with pytest.raises(StoreError, match="installed without its checkout: say with --results DIR"):
        runs.results_folder()
    assert runs.results_folder(tmp_path / "own") == tmp_path / "own"
    monkeypatch.setenv("DIPDDPM_RESULTS", str(tmp_path / "other"))
    assert runs.results_folder() == tmp_path / "other"


def test_a_new_record_leaves_no_file_of_the_old_one(tmp_path, calls, monkeypatch):
    old = Store(tmp_path, "smoke").ensure(RUN)
    assert (old.folder / "arrays.npz").exists()
    monkeypatch.setattr(runs, "compute", lambda *_: Outcome(metrics={"fd": 1.0}))
    new = Store(tmp_path, "smoke", fresh="run --all").ensure(RUN)
    assert {path.name for path in new.folder.iterdir()} - {".lock", "weights.safetensors"} == {
        "record.json"
    } and new.arrays == {}


def test_a_record_that_another_process_is_moving_in_is_not_missing_a_part(tmp_path):
    (tmp_path / "staged").mkdir()
    (tmp_path / "curve.csv").touch()
    assert records.find(tmp_path) is None


def test_numbers_that_are_not_finite_or_numpys_can_be_recorded(tmp_path, monkeypatch):
    metrics = {"low": float("-inf"), "fd": np.float32(1.5), "kid": np.float64("nan"), "n": np.int64(3)}
    monkeypatch.setattr(runs, "compute", lambda *_: Outcome(metrics=metrics))
    assert Store(tmp_path, "smoke").ensure(RUN).metrics == {"low": None, "fd": 1.5, "kid": None, "n": 3}


def test_a_run_that_has_no_weights_lacks_none(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(runs, "compute", lambda *_: made.append(1) or Outcome(metrics={}))
    store = Store(tmp_path, "smoke")
    store.ensure(RUN)
    assert store.can_be_built_on(RUN) and store.ensure(RUN, weights=True) and made == [1]


@pytest.mark.parametrize(("asked", "told", "only"), [(False, "1", True), (False, "", False), (True, "", True)])
def test_that_records_alone_are_asked_for_is_said_by_the_call_or_the_environment(tmp_path, monkeypatch, asked, told, only):
    monkeypatch.setenv("DIPDDPM_RECORDS_ONLY", told)
    assert open_store("smoke", tmp_path, records_only=asked).records_only is only


def test_the_device_that_the_environment_names_comes_before_the_notebooks(tmp_path, monkeypatch):
    assert open_store("smoke", tmp_path, "cpu").device == "cpu"
    monkeypatch.setenv("DIPDDPM_DEVICE", "cuda:1")
    assert open_store("smoke", tmp_path, "cpu").device == "cuda:1"


def test_a_gpu_is_opened_by_the_process_that_computes_on_it(tmp_path, monkeypatch, calls):
    opened, pick_device = [], runs.pick_device
    monkeypatch.setattr(
        runs, "pick_device", lambda name, to_compute=False: opened.append((name, to_compute)) or pick_device("cpu")
    )
    store = Store(tmp_path, "smoke", device="cuda:1")
    assert store.state(RUN) == "absent" and opened == []
    store.ensure(RUN)
    assert opened == [("cuda:1", True)] and len(calls) == 1
