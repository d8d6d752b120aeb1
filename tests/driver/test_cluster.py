"""Runs as jobs: order, refinding, what a job that ended without a record leads to; checked with a queue that is a table."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from dipddpm_utils import __main__ as command_line
from dipddpm_utils.driver import cluster, jobs
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import DipddpmError, OutOfTime, StoreError, UsageError
from dipddpm_utils.store.runs import CHECKOUT, Store
from dipddpm_utils.study import profile as profiles

SMOKE = profiles.load("smoke")


class FakeStore:
    """Which runs are there, by the name of their folder; `bare`: with a record but without weights, as in a clone."""

    def __init__(self) -> None:
        self.real, self.there, self.bare = Store(Path("nowhere"), "smoke"), set(), set()

    def folder(self, run):
        return self.real.folder(run)

    def state(self, run):
        return "complete" if self.folder(run).name in self.there | self.bare else "absent"

    def can_be_built_on(self, run):
        return self.folder(run).name in self.there


class FakeEngine:
    """A queue in which a job computes its run when the test says so."""

    lag, pause, shared = 0.0, 0.0, False
    alone = nullcontext

    def __init__(self, store) -> None:
        self.store, self.queue, self.log, self.words = store, {}, [], {}

    def live(self):
        return {name: (job, "running") for name, job in self.queue.items()}

    def submit(self, name, task):
        self.log.append(name)
        self.queue[name] = str(len(self.log))
        return self.queue[name]

    def why(self, job):
        return self.words.pop(job)

    def forget(self, job):
        pass

    def finish(self, name, words=None):
        job = self.queue.pop(name)
        if words is None:
            self.store.there.add(name)
        else:
            self.words[job] = words


def campaign(*names, jobs=9, **there):
    store = FakeStore()
    for key, members in there.items():
        getattr(store, key).update(SMOKE.entry(name).folder for name in members)
    engine = FakeEngine(store)
    runs = [SMOKE.entry(name).run for name in names]
    return cluster.Campaign(store, runs, engine, jobs), engine


def move(work):
    work.look()
    work.submit()


def short(names):
    return [name.rpartition("-")[0] for name in names]


def test_what_a_run_is_built_on_is_found_wherever_it_stands_in_its_configuration():
    found = {
        name: [run.kind for run in cluster.built_on(SMOKE.entry(name).run)]
        for name in ("floor-s0", "ddpm-on-dip-s0", "starts-dip-300-s0", "a-controls-blur-s0", "restore-denoise-s0",
                     "mechanisms-shift-s0", "mechanisms-guidance-0.5-s0", "dip-images-skip-s0", "bank-per_image-s0")
    }  # fmt: skip
    assert found == {
        "floor-s0": [],
        "ddpm-on-dip-s0": ["dip"],
        "starts-dip-300-s0": ["ddpm", "dip"],
        "a-controls-blur-s0": ["dip"],
        "restore-denoise-s0": ["ddpm"],
        "mechanisms-shift-s0": ["dip"],
        "mechanisms-guidance-0.5-s0": ["ddpm", "dip"],
        "dip-images-skip-s0": [],
        "bank-per_image-s0": ["bank"],
    }
    standard = profiles.load("standard").group("restore-tuned")
    assert standard and not any(cluster.built_on(member.entry.run) for member in standard)  # no chain, so no model is asked for


def test_every_run_of_every_profile_comes_behind_what_it_is_built_on():
    for profile in map(profiles.load, profiles.PROFILES):
        work = cluster.Campaign(FakeStore(), [entry.run for entry in profile.entries.values()], None, 1)
        before = set()
        for item in work.items.values():
            assert before.issuperset(item.needs)
            before.add(item.name)
        assert len(before) >= len(profile.entries)


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_timed_gets_a_shared_gpu_alone(shared):
    others = {"floor-s0", "dip-images-skip-s0"}
    work, engine = campaign("floor-s0", "b-timing-s0", "dip-images-skip-s0", jobs=3)
    engine.shared = shared
    move(work)
    if not shared:  # on processors each is timed by its own
        assert {*short(engine.log)} == {*others, "b-timing-s0"}
        return
    assert {*short(engine.log)} == others  # it waits, and holds nobody up
    for name in list(engine.queue):
        engine.finish(name)
    move(work)
    assert short(engine.queue) == ["b-timing-s0"]
    work, engine = campaign("b-timing-s0", "floor-s0", jobs=3)
    engine.shared = True
    move(work)
    move(work)
    assert short(engine.log) == ["b-timing-s0"]  # nothing beside it
    engine.finish(engine.log[0])
    move(work)
    assert short(engine.log[1:]) == ["floor-s0"]


def test_as_many_jobs_as_cores_but_one_on_a_gpu(monkeypatch, tmp_path):
    def at_once(device, on="local", jobs_asked=None):
        return jobs.place(device, on, None, jobs_asked, None, None, None).jobs

    assert at_once("cpu") == jobs.machine_device.cores() and at_once("cpu", jobs_asked=5) == 5
    monkeypatch.setattr(jobs.machine_device, "pick_device", lambda name: SimpleNamespace(type="cuda"))
    assert at_once("auto") == 1 and at_once("auto", jobs_asked=12) == 12
    monkeypatch.setattr(jobs.shutil, "which", lambda name: "sbatch")
    assert at_once("cuda", "slurm") == 8
    assert jobs.Local(Store(tmp_path, "smoke"), jobs.Place("local", 1, 60), Budget()).shared


def test_a_run_is_submitted_once_all_that_it_needs_is_there_and_no_more_than_asked_for_at_once():
    work, engine = campaign("starts-dip-300-s0", "floor-s0", jobs=2)
    move(work)
    assert len(engine.log) == 2 and "starts-dip-300-s0" not in short(engine.log)
    first, second = engine.log
    engine.finish(first)
    move(work)
    assert short(engine.log[2:]) == ["floor-s0"]  # the sample still lacks one of its two
    engine.finish(second)
    move(work)
    assert short(engine.log[3:]) == ["starts-dip-300-s0"]
    for name in list(engine.queue):
        engine.finish(name)
    move(work)
    assert not work.open() and not work.news and len(engine.log) == 4


def test_what_is_complete_is_not_computed_but_weights_that_are_needed_are():
    assert not campaign("ddpm-on-dip-s0", there=["ddpm-on-dip-s0"])[0].items  # its dip is absent, and nobody needs it
    needed = short(item.name for item in campaign("ddpm-on-dip-s0")[0].items.values())
    work, _ = campaign("ddpm-on-dip-s0", bare=needed[:1])
    assert short(work.items) == needed and needed[-1] == "ddpm-on-dip-s0"
    assert short(campaign("ddpm-on-dip-s0", there=needed[:1])[0].items) == ["ddpm-on-dip-s0"]


def test_jobs_that_are_in_the_queue_already_are_found_and_not_submitted_again():
    work, engine = campaign("floor-s0", "gaussian-s0")
    engine.queue[SMOKE.entry("floor-s0").folder] = "77"
    move(work)
    assert short(engine.log) == ["gaussian-s0"]
    assert [item.job for item in work.live()] == ["77", "1"]


def test_a_job_that_was_cut_off_is_submitted_again_and_one_that_failed_is_said_with_all_that_needs_it():
    work, engine = campaign("ddpm-on-dip-s0", "floor-s0")
    move(work)
    dip, floor = engine.log
    engine.finish(floor, words=f"dipddpm_utils.machine.errors.{OutOfTime.__name__}: a stop was asked for (log)")
    engine.finish(dip, words="srun: error: node: task 0: Out Of Memory (log)")
    move(work)
    assert engine.log == [dip, floor, floor]
    engine.finish(floor)
    move(work)
    assert not work.open() and len(work.news) == 2
    assert "Out Of Memory" in work.news[0] and f"built on {dip}" in work.news[1]


def test_a_damaged_record_is_named_and_the_others_are_computed(monkeypatch):
    work, engine = campaign("ddpm-on-dip-s0", "floor-s0")
    (damaged,) = work.items[SMOKE.entry("ddpm-on-dip-s0").folder].needs
    there = engine.store.can_be_built_on

    def can_be_built_on(run):
        if engine.store.folder(run).name == damaged:
            raise StoreError("record.json was edited")
        return there(run)

    monkeypatch.setattr(engine.store, "can_be_built_on", can_be_built_on)
    again = cluster.Campaign(engine.store, [item.run for item in work.items.values()], engine, 9)
    move(again)
    assert short(engine.log) == ["floor-s0"] and "was edited" in again.news[0] and len(again.news) == 2


def test_a_file_that_is_seen_late_is_waited_for():
    work, engine = campaign("floor-s0")
    engine.lag = 60.0
    move(work)
    (name,) = engine.log
    engine.finish(name, words="nothing")
    move(work)
    assert work.items[name].state == "ended" and work.live()
    engine.store.there.add(name)
    move(work)
    assert work.items[name].state == "complete" and not work.news


def test_when_the_time_is_over_nothing_is_submitted_and_what_runs_is_waited_for(capsys):
    work, engine = campaign("floor-s0", "gaussian-s0", jobs=1)
    move(work)
    ends = iter([False, True])
    engine.live = lambda: {} if next(ends) else {engine.log[0]: ("1", "running")}
    engine.words["1"] = OutOfTime.__name__
    cluster.wait(work, Budget(deadline=1.0))
    assert len(engine.log) == 1 and {item.state for item in work.items.values()} == {"waits"}


def test_a_table_that_is_no_terminals_is_at_most_twenty_lines_and_what_failed(capsys):
    work, engine = campaign(*[name for name, entry in SMOKE.entries.items() if entry.run.kind == "dip"], "floor-s0")
    table = cluster.Table(work)
    move(work)
    engine.finish(engine.log[-1], words="a full disk")
    while work.open():
        table.show()
        move(work)
        for name in list(engine.queue)[:1]:
            engine.finish(name)
    table.show()
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "a full disk" in said.err
    assert 3 < said.out.count("\n") <= 21 and "\x1b" not in said.out


def test_a_terminals_table_is_redrawn_in_place(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    work, engine = campaign("floor-s0", "gaussian-s0")
    table = cluster.Table(work)
    move(work)
    table.show()
    table.show()
    first, second = capsys.readouterr().out.split("\x1b[3F\x1b[J")
    assert first == second and len(first.splitlines()) == 3 and "floor-s0" in first


@pytest.mark.parametrize(("text", "minutes"), [("2h", 120), ("90m", 90), ("1h30m", 90)])
def test_a_time_limit_is_read(text, minutes):
    assert jobs.time_limit(text) == minutes


@pytest.mark.parametrize("text", ["", "90", "1:30", "2 h", "soon", "1m", "-2h", "0h", "٣h"])
def test_a_time_limit_that_means_nothing_is_refused(text):
    with pytest.raises(UsageError, match="expected two minutes or more as 2h, 90m"):
        jobs.time_limit(text)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--jobs", "3"], "--jobs needs a place"),
        (["--time", "2h"], "--time needs a place"),
        (["--workers", "2", "--on", "slurm"], "--workers N is short for --on local --jobs N"),
        (["--workers", "0"], "not in the range"),
        (["--on", "cloud"], "'cloud' is not one of"),
        (["--on", "local", "--gpus", "1"], "--partition and --gpus are for --on slurm"),
        (["--on", "local", "--time", "2"], "--time is '2'"),
        (["--on", "slurm"], "no SLURM here"),
        (["--workers", "2", "--device", "gpu"], "there is no device 'gpu'"),
    ],
)
def test_options_that_make_no_sense_are_one_line_and_2(arguments, says, capsys, monkeypatch):
    monkeypatch.setattr(jobs.shutil, "which", lambda name: None)
    assert command_line.main(["run", "--all", "--profile", "smoke", *arguments]) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and not said.out


def test_without_submitit_the_command_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(jobs.importlib.util, "find_spec", lambda name: None)
    assert command_line.main(["run", "--all", "--profile", "smoke", "--workers", "2"]) == 2
    assert "pip install submitit" in capsys.readouterr().err


def test_the_limit_of_a_cluster_is_that_of_its_jobs_and_no_fresh_round_is_begun(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jobs.shutil, "which", lambda name: "sbatch")
    asked = ["run", "--all", "--profile", "smoke", "--on", "slurm", "--max-minutes", "5", "--fresh", "--results", str(tmp_path)]
    assert command_line.main(asked) == 2 and "with --on slurm give --time" in capsys.readouterr().err
    assert not list(tmp_path.rglob("fresh.json"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_jobs_of_this_machine_and_is_the_exit_code(tmp_path, monkeypatch, capsys, number, code):
    class Told(FakeEngine):
        folder = tmp_path

        def live(self):
            os.kill(os.getpid(), number)
            return {}

    engine = Told(FakeStore())
    monkeypatch.setattr(cluster, "Local", lambda *_: engine)
    assert cluster.drive(Store(tmp_path, "smoke"), [SMOKE.entry("floor-s0").run], jobs.Place("local", 1, 60)) == code
    assert not engine.log and "the same command goes on" in capsys.readouterr().err


# --- submitit ---------------------------------------------------------------------------------------------------------

SBATCH = """\
#!/bin/sh
cp "$1" {folder}/asked
{end}
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """SLURM's commands as far as they are used; `end`: what sbatch does; a file `queue` is what squeue says."""
    pytest.importorskip("submitit")
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(end):
        for name, text in {
            "sbatch": SBATCH.format(folder=folder, end=end),
            "srun": "#!/bin/sh\n",
            "squeue": f"#!/bin/sh\ncat {folder}/queue\n",
        }.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        return folder

    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return make


def asked_of_sbatch(folder):
    return dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in (folder / "asked").read_text().splitlines()
        if line.startswith("#SBATCH")
    )


def test_a_job_asks_for_what_was_asked_for_and_for_no_gpu_unless_it_was(tools, tmp_path):
    folder = tools("echo Submitted batch job 42")
    store = Store(tmp_path, "smoke")
    engine = jobs.Slurm(store, jobs.Place("slurm", 8, 120), Budget())
    assert engine.submit("floor-s0-x", print) == "42"
    assert engine.live() == {"floor-s0-x": ("42", "pending")}  # squeue does not answer: that it was killed is not known
    (folder / "queue").write_text("")
    assert engine.live() == {}
    asked = asked_of_sbatch(folder)
    assert (asked["time"], asked["cpus-per-task"]) == ("120", "1") and asked["signal"].endswith("@120")
    assert "requeue" in asked and not {"gres", "gpus-per-node", "partition"} & set(asked)
    jobs.Slurm(store, jobs.Place("slurm", 8, 2, gpus=1, partition="gpu"), Budget()).submit("floor-s0-x", print)
    asked = asked_of_sbatch(folder)
    assert (asked["gpus-per-node"], asked["partition"], asked["signal"]) == ("1", "gpu", "USR2@30")


@pytest.mark.parametrize(("gpus", "device", "computed_on"), [(1, "auto", "cuda"), (1, "cpu", "cpu"), (None, "auto", "auto")])
def test_a_job_with_a_gpu_rather_fails_than_spends_days_on_a_cpu(tools, tmp_path, gpus, device, computed_on):
    tools("")
    engine = jobs.Slurm(Store(tmp_path, "smoke", device=device), jobs.Place("slurm", 8, 60, gpus=gpus), Budget())
    assert jobs.Task(SMOKE.entry("floor-s0").run, *engine.about).device == computed_on


def test_a_job_asks_for_as_many_cores_as_it_has_threads(tools, tmp_path, monkeypatch):
    folder = tools("echo Submitted batch job 42")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    jobs.Slurm(Store(tmp_path, "smoke"), jobs.Place("slurm", 8, 60), Budget()).submit("floor-s0-x", print)
    assert asked_of_sbatch(folder)["cpus-per-task"] == "4"


def test_the_files_of_a_job_are_removed_and_those_of_no_other(tools, tmp_path):
    tools("")
    engine = jobs.Slurm(Store(tmp_path, "smoke"), jobs.Place("slurm", 8, 60), Budget())
    for name in ("4_0_log.err", "4_submitted.pkl", "42_0_log.err", ".submission_file_of_42.sh"):
        (engine.folder / name).write_text("")
    (engine.folder / ".submission_file_live").symlink_to(engine.folder / "42_0_log.err")
    (engine.folder / ".submission_file_dead").symlink_to(engine.folder / "4_submitted.pkl")
    engine.forget("4")
    left = {path.name for path in engine.folder.iterdir() if "lock" not in path.name}
    assert left == {"42_0_log.err", ".submission_file_of_42.sh", ".submission_file_live"}


def test_jobs_are_found_by_their_name_and_by_no_other_folders(tools, tmp_path):
    folder = tools("")
    ours, others = (jobs.Slurm(Store(tmp_path / name, "smoke"), jobs.Place("slurm", 8, 60), Budget()) for name in "ab")
    (folder / "queue").write_text(f"7|RUNNING|x-s0-1{ours.mark}\n8|PENDING|x-s0-1{others.mark}\n9|RUNNING|a\n")
    assert ours.live() == {"x-s0-1": ("7", "running")} and others.live() == {"x-s0-1": ("8", "pending")}
    (folder / "queue").unlink()  # squeue fails: no news
    assert ours.live() == {"x-s0-1": ("7", "running")}


def test_a_refusal_is_one_line_and_says_what_sbatch_said(tools, tmp_path, capfd):
    tools("echo sbatch: error: invalid partition specified: gpu >&2; exit 1")
    engine = jobs.Slurm(Store(tmp_path, "smoke"), jobs.Place("slurm", 8, 60), Budget())
    with pytest.raises(DipddpmError, match="floor was refused: sbatch: error: invalid partition"):
        engine.submit("floor", print)
    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (
            "Traceback\n  x\ndipddpm_utils.machine.errors.TrainingError: not finite\nsrun: error: task 0\n",
            "TrainingError: not finite",
        ),
        ("dipddpm_utils.machine.errors.OutOfTime: a stop was asked for\n", "OutOfTime"),
        (
            "computing x\nslurmstepd: error: oom-kill event\n\n",
            "by hand; its last words: slurmstepd: error: oom-kill event",
        ),
        ("computing x\n", "it was killed, for want of memory or by hand; its last words: computing x"),
        (None, "last words: none"),
    ],
)
def test_a_jobs_last_words_are_found_in_its_log(tools, tmp_path, log, says):
    engine = jobs.Local(Store(tmp_path, "smoke"), jobs.Place("local", 1, 60), Budget())
    if log is not None:
        (engine.folder / "5_0_log.err").write_text(log)
    assert says in engine.why("5") and "5_0_log.err" in engine.why("5")


def task(tmp_path, **options):
    return jobs.Task(SMOKE.entry("floor-s0").run, tmp_path, "smoke", "cpu", fresh="", **options)


@pytest.fixture
def in_job(monkeypatch):
    """A job that is told to stop while it computes; what it did to be queued again."""
    pytest.importorskip("submitit")
    again = []
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGTERM)}
    signal.signal(signal.SIGUSR2, lambda *_: again.append("queued"))
    monkeypatch.setattr(os, "nice", lambda n: None)

    def begin(number):
        def ensure(self, run, weights):
            os.kill(os.getpid(), number)
            self.budget.check()

        monkeypatch.setattr(Store, "ensure", ensure)
        return again

    yield begin
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "queue", "queued"),
    [
        (signal.SIGUSR2, "RUNNING", True),
        (signal.SIGTERM, "RUNNING", True),  # it has to make room for another
        (signal.SIGTERM, "COMPLETING", False),  # scancel
    ],
)
def test_a_job_that_is_told_to_stop_is_queued_again_unless_it_was_cancelled(
    tools, in_job, tmp_path, monkeypatch, number, queue, queued
):
    (tools("") / "queue").write_text(queue + "\n")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    again = in_job(number)
    with pytest.raises(OutOfTime if queued else DipddpmError, match="everything is saved") as caught:
        task(tmp_path)()
    assert bool(again) == queued and ("cancelled" in str(caught.value)) == (not queued)


def test_a_process_of_this_machine_that_is_killed_stays_away_and_sees_the_gpus_that_the_command_sees(
    in_job, tmp_path, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    again = in_job(signal.SIGTERM)
    with pytest.raises(DipddpmError, match="cancelled"):
        task(tmp_path, gpus="3")()
    assert not again and os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_a_job_of_a_cluster_keeps_its_priority_and_the_gpus_that_it_was_given(tools, in_job, tmp_path, monkeypatch):
    (tools("") / "queue").write_text("RUNNING\n")
    given = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "42", "CUDA_VISIBLE_DEVICES": "1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    in_job(signal.SIGUSR2)
    monkeypatch.setattr(os, "nice", lambda n: pytest.fail("it made room for others"))
    with pytest.raises(OutOfTime):
        task(tmp_path, gpus="3")()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.smoke
def test_two_workers_compute_real_runs_and_ctrl_c_ends_them_cleanly(tmp_path):
    pytest.importorskip("submitit")
    command = [sys.executable, "-m", "dipddpm_utils", "run", "gaussian-s0", "floor-s0", "--profile", "smoke", "--workers", "2"]
    options = {"cwd": CHECKOUT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = {**os.environ, "DIPDDPM_RESULTS": str(tmp_path)}
    first = subprocess.Popen(command, env=environment, **options)
    assert "2 runs to compute, at most 2 at once" in first.stdout.readline()
    assert "2 submitted" in first.stdout.readline()
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=300)[0]
    assert first.returncode in (0, 130) and (first.returncode == 0 or "the same command goes on" in said)
    again = subprocess.run(command, env=environment, **options, timeout=600)
    assert again.returncode == 0, again.stdout
    store = Store(tmp_path, "smoke")
    assert all(store.load(SMOKE.entry(name).run).provenance["threads"] == 1 for name in ("gaussian-s0", "floor-s0"))


class Jealous(FakeEngine):
    """Whatever is submitted is complete at once; it says no to who is not alone."""

    held = False

    @contextmanager
    def alone(self):
        self.held = True
        yield
        self.held = False

    def live(self):
        assert self.held
        return {}

    def submit(self, name, task):
        assert self.held
        self.store.there.add(name)
        return "1"


def test_jobs_are_looked_for_and_submitted_by_one_command_at_a_time():
    store = FakeStore()
    work = cluster.Campaign(store, [SMOKE.entry("floor-s0").run], Jealous(store), 1)
    cluster.wait(work, Budget())
    assert {item.state for item in work.items.values()} == {"complete"}


def test_a_results_folder_that_is_read_only_is_said_as_everywhere(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match="choose a folder that can be written with --results DIR"):
        jobs.Local(Store(small_disk, "smoke"), jobs.Place("local", 1, 60), Budget())


@pytest.mark.parametrize("fresh", ["run --all", ""])
def test_a_job_of_this_machine_is_told_all_that_the_command_was(tmp_path, fresh):
    pytest.importorskip("submitit")
    store = Store(tmp_path, "smoke", device="cpu", fresh=fresh)
    engine = jobs.Local(store, jobs.Place("local", 1, 60), Budget(5.0, tmp_path / "stop"))
    task = jobs.Task(SMOKE.entry("floor-s0").run, *engine.about)
    assert (task.results, task.profile, task.device, task.fresh) == (tmp_path, "smoke", "cpu", fresh)
    assert (task.deadline, task.stop) == (5.0, tmp_path / "stop")
