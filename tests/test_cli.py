"""The command line: one clear line and the right exit code for every mistake; listing and computing runs."""

import runpy
import subprocess
import sys
import time

import pytest
from made_notebooks import made

from dipddpm_utils import __main__ as command_line
from dipddpm_utils import front
from dipddpm_utils.driver import nbfiles, notebooks
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import OutOfTime, StoreError, TrainingError
from dipddpm_utils.store import runs


def call(*arguments: str, capsys) -> tuple[int, str, str]:
    code = command_line.main(list(arguments))
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "No such command"),
        (["runs", "--profile", "quik"], "unknown profile 'quik': choose one of smoke, quick, standard, full"),
        (["run"], "name the runs to compute, or give --all"),
        (["run", "--all", "floor"], "name the runs to compute, or give --all"),
        (["run", "--profile", "smoke", "ddpn-s0"], "no run 'ddpn-s0': did you mean"),
        (["run", "--profile", "smoke", "floor", "--device", "gpu"], "no device 'gpu'"),
        (["notebooks", "--profile", "big"], "unknown profile 'big'"),
        (["notebooks", "--max-minutes", "soon"], "'soon' is not a valid float"),
        (["notebooks", "--max-minutes", "0"], "not in the range"),
        (["notebooks", "--max-minutes", "nan"], "nan is no number of minutes"),
        (["runs", "--profile", "quick:"], "no folder after the colon"),
        (["runs", "--profile", "smoke", "--results", "~nobody-here/a"], "~nobody-here/a begins with the home folder of a user"),
        (["notebooks", "--profile", "quick:~nobody-here/a"], "write the path out"),
        (["data", "~nobody-here/a"], "write the path out"),
        (["doctor", "--results", "~nobody-here/a"], "write the path out"),
        (["notebooks", "--only", "09"], "no notebook '09': there are 01_a"),
        (["notebooks", "-p", "stepz", "3"], "parameter 'stepz': did you mean steps?"),
        (["notebooks", "-p", "steps", "many"], "'steps' takes a whole number from 1 to 9, not 'many'"),
        (["notebooks", "-p", "steps", "1e999"], "'steps' takes a whole number from 1 to 9, not inf"),
        (["notebooks", "-p", "profile", "full"], "use --profile"),
        (["notebooks", "--no-such-option"], "No such option"),
    ],
)
def test_bad_usage_is_one_line_and_2(arguments, says, capsys, monkeypatch, tmp_path):
    made(tmp_path / "01_a.ipynb", parameters='profile = "quick"\nsteps = 3  # 1 to 9; how many')
    monkeypatch.setattr(nbfiles.find, "__defaults__", (tmp_path, ""))
    monkeypatch.setattr(notebooks, "drive", lambda job: pytest.fail("the notebooks were started"))
    code, out, err = call(*arguments, capsys=capsys)
    assert code == 2 and not out
    assert err.count("\n") == 1 and err.startswith("dipddpm: ") and says in err


def test_a_device_that_is_not_there_is_refused_before_anything_runs(capsys, monkeypatch):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    code, out, err = call("run", "--profile", "smoke", "floor", "--device", "cuda", capsys=capsys)
    assert code == 1 and "device cuda was asked for" in err and err.count("\n") == 1


@pytest.mark.parametrize("command", ["run floor-s0", "runs", "report", "notebooks"])
def test_a_results_folder_that_cannot_be_one_is_one_line_and_1(capsys, tmp_path, command):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "drive that is not mounted")
    for place, says in (
        ("file/results", "file is not a folder"),
        ("link", "link is a link to"),
        ("link/a", "which is not there"),
    ):
        arguments = (*command.split(), "--profile", "smoke", "--results", str(tmp_path / place))
        code, _, err = call(*arguments, capsys=capsys)
        assert code == 1 and says in err and "another one with --results DIR" in err and err.count("\n") == 1
    assert not (tmp_path / "drive that is not mounted").exists()


def test_runs_lists_what_the_profile_declares(capsys, tmp_path):
    code, out, _ = call("runs", "--profile", "smoke", "--results", str(tmp_path), capsys=capsys)
    lines = out.splitlines()
    store = runs.Store(tmp_path, "smoke")
    n = len(store.profile.entries)
    assert code == 0 and lines[0].split() == ["name", "hash", "state", "seconds", "size", "FLOPs", "hours"]
    declared = store.profile.entries.values()
    assert [line.split()[:3] for line in lines[1 : n + 1]] == [[e.name, e.hash, "absent"] for e in declared]
    assert f"0 of {n} runs complete" in lines[n + 1] and f"left: {n} runs" in lines[n + 2]
    assert not list(tmp_path.iterdir())  # looking writes nothing


def test_run_goes_on_after_a_failed_run_and_stops_when_the_time_is_over(capsys, monkeypatch, tmp_path):
    asked = []

    def ensure(self, run, quiet=False):
        asked.append(run.seed)
        if run.seed == 0 and stop_at_two:
            raise RuntimeError("CUDA out of memory")
        if run.seed == 1:
            raise TrainingError("the loss is not finite at step 7")
        if run.seed == 2 and stop_at_two:
            raise OutOfTime("the time budget ran out; everything is saved, and the same command goes on from there")

    monkeypatch.setattr(runs.Store, "ensure", ensure)
    stop_at_two = False
    arguments = ["run", "dip-5conv", "--profile", "quick", "--results", str(tmp_path)]
    code, out, err = call(*arguments, capsys=capsys)
    assert code == 1 and asked == [0, 1, 2]
    assert "dip-5conv-s1: the loss is not finite at step 7" in err and "dip-5conv-s2: computed" in out
    stop_at_two = True
    code, _, err = call(*arguments, "--max-minutes", "5", capsys=capsys)
    assert code == 75 and "the same command goes on" in err and "dip-5conv-s0: RuntimeError: CUDA out of memory" in err


def test_a_misspelt_run_begins_no_fresh_round(capsys, tmp_path):
    """It never ended, for no command that is through had begun it: every later `--fresh` went on with it."""
    for more in ([], ["--workers", "1"]):
        asked = ["run", "floor", "ddpn-s0", "--profile", "smoke", "--results", str(tmp_path), "--fresh", *more]
        code, _, err = call(*asked, capsys=capsys)
        assert code == 2 and "no run 'ddpn-s0'" in err and not any(tmp_path.iterdir())


DRAWING = "page.style page.figures page.images page.tables page.compare page.prose theory.figures combined.comparisons"


@pytest.mark.parametrize(
    ("modules", "not_loaded"),
    [
        ("machine.budget machine.device machine.progress machine.provenance machine.streams", {"torch", "numpy", "tqdm"}),
        (DRAWING, {"torch", "torchvision", "matplotlib.pyplot", "seaborn"}),
        (
            "__main__ driver.notebooks driver.nbfiles page.html page.lab store.runs page.training reports.claims "
            "combined.verdicts",
            {"torch", "torchvision", "papermill", "nbconvert"},
        ),
    ],
)
@pytest.mark.slow
def test_commands_and_the_page_do_not_load_what_takes_seconds(modules, not_loaded):
    code = f"import sys, importlib\nfor m in {modules.split()}: importlib.import_module('dipddpm_utils.' + m)\n"
    code += f"sys.exit(', '.join({not_loaded} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_only_a_package_that_is_missing_is_the_doctors_to_say(monkeypatch):
    monkeypatch.setitem(sys.modules, "dipddpm_utils.store.runs", None)
    with pytest.raises(ModuleNotFoundError, match="dipddpm_utils.store.runs"):
        runpy.run_path(command_line.__file__)


def test_what_is_below_a_command_hears_its_limit_as_well(monkeypatch, tmp_path, capsys):
    heard = []
    monkeypatch.setattr(runs.Store, "ensure", lambda *_: heard.append(Budget.from_env()))
    arguments = ["run", "--profile", "smoke", "floor", "--results", str(tmp_path), "--max-minutes", "5"]
    assert call(*arguments, capsys=capsys)[0] == 0
    assert 0 < heard[0].deadline - time.time() <= 300 and heard[0].stop.name == "stop"
    assert Budget.from_env().deadline is None and Budget.from_env().stop is None


def test_help_exits_with_0_and_lists_the_commands(capsys):
    code, out, _ = call("--help", capsys=capsys)
    assert code == 0 and all(
        f"  {name} " in out for name in ("runs", "run", "data", "features", "report", "notebooks", "doctor")
    )


def test_the_page_of_another_folder_opens_with_the_answer_of_the_records_that_it_is_drawn_from(tmp_path):
    said, reports = command_line._front(tmp_path, "quick")
    assert "Drawing new images" in said and "Drawing new images:</b> not measured" not in said
    assert "Of 17 claims, " in reports


def test_a_report_of_no_records_is_refused_before_a_kernel_starts(tmp_path, capsys):
    code, out, said = call("report", "--profile", "smoke", "--results", str(tmp_path), capsys=capsys)
    assert code == 1 and f"notebooks --profile smoke --results {tmp_path}`" in said and "there is nothing to draw" in said
    assert "01_theory" not in out and not list(tmp_path.iterdir())


def test_one_runs_failure_is_not_the_others(tmp_path, capsys, monkeypatch):
    def ensure(self, run):
        if run.seed == 0:
            raise KeyError("tiny")  # what a library raises is not known beforehand

    monkeypatch.setattr(command_line.Store, "ensure", ensure)
    code, out, said = call("run", "ddpm", "--profile", "smoke", "--results", str(tmp_path), capsys=capsys)
    assert code == 1 and "ddpm-s0: KeyError: 'tiny'" in said and "ddpm-s1: computed" in out


def test_readme_block_replaces_only_what_is_between_its_marks(monkeypatch, tmp_path, capsys):
    begin, end = front.README_MARKS
    (tmp_path / "README.md").write_text(f"# Top\n{begin}\nold\n{end}\n\ntail\n")
    monkeypatch.setattr(runs, "CHECKOUT", tmp_path)
    monkeypatch.setattr(front, "picture", lambda lab: b"")
    monkeypatch.setattr(front, "reports_in_short", lambda lab, page=False: f"the claims of {lab.profile.name}")
    told = "the answer of quick, True, then the claims of quick"
    monkeypatch.setattr(
        front,
        "readme_block",
        lambda lab, reports: f"the answer of {lab.profile.name}, {lab.store.records_only}, then {reports}",
    )
    for _ in range(2):
        front.write_readme(tmp_path / "results")
        assert (tmp_path / "README.md").read_text() == f"# Top\n{begin}\n\n{told}\n\n{end}\n\ntail\n"
    larger = f"{begin}\n\nRecords of profile **standard**; the page.\n\n{end}\n"
    (tmp_path / "README.md").write_text(larger)  # a larger profile spoke, which lacks runs now: its answer stays
    front.write_readme(tmp_path / "results")
    assert (tmp_path / "README.md").read_text() == larger
    assert "keeps the answer of profile standard" in capsys.readouterr().err
    (tmp_path / "README.md").write_text("no marks")
    with pytest.raises(StoreError, match="two marks"):
        front.write_readme(tmp_path)
