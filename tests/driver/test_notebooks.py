"""The notebook driver, on small made notebooks in real kernels: what is run, kept, counted, and how it ends."""

import json
import os
import re
import signal
import sys
import threading
import time

import nbformat
import notebook_rules
import pytest
from made_notebooks import made, outputs

from dipddpm_utils.driver import nbfiles, notebooks
from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import StoreError, UsageError
from dipddpm_utils.machine.process import CleanStop
from dipddpm_utils.page import html

EVENT = "import json, os\nlog = open(os.environ['DIPDDPM_EVENTS'], 'a')\n"
EVENT += "for run, action in {}: print(json.dumps(dict(run=run, action=action, seconds=1)), file=log, flush=True)"
WAIT = "import pathlib, time\nfrom dipddpm_utils.machine.budget import Budget\n"
WAIT += "pathlib.Path('mark').touch()\nbudget = Budget.from_env()\n"
WAIT += "for _ in range(300): budget.check(); time.sleep(0.1)"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A notebooks folder and a results folder, on paths with spaces and braces; a home with a kernel that must not be used."""
    other = tmp_path / "home" / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setattr(html, "build", lambda sources, *rest: html.Page(repr(sources)))
    return tmp_path / "note {books}", tmp_path / "some results"


def test_a_failed_notebook_is_told_and_the_others_go_on(places, capsys, monkeypatch):
    folder, results = places
    kept = results / "smoke" / "notebooks"
    facts = "import os, sys\nplace = os.environ['DIPDDPM_RESULTS']\n"
    facts += "print(sys.executable, os.getcwd(), place, profile, repr(results), steps, sep='|')"
    counted = EVENT.format([("a", "computed"), ("a", "record"), ("b", "record"), ("b", "record"), ("c", "record")])
    made(folder / "01_good.ipynb", facts, counted, "print('noise', file=sys.stderr)")
    made(folder / "02_bad.ipynb", EVENT.format([("d", "record")]), "x = 1\nx / 0\n# why")
    made(folder / "03_exit.ipynb", "import sys\nsys.exit(0)", "print('never')")
    kept.mkdir(parents=True)
    for name in ("02_bad", "03_exit"):
        (kept / f"{name}.ipynb").write_text("the good one of last time")
    monkeypatch.setattr(notebooks, "say_what_is_there", lambda store: True)  # two at a time, as from records
    code = notebooks.drive(notebooks.Job("smoke", results, folder, parameters={"steps": "7"}))
    said = capsys.readouterr()
    assert code == 1
    rows = {line.split()[0]: line.split()[1:] for line in said.out.split("from records\n")[1].splitlines() if line.strip()}
    assert rows["01_good"][0] == "OK" and rows["01_good"][2:] == ["1", "2"]
    assert rows["02_bad"][0] == "FAIL" and rows["02_bad"][2:] == ["0", "1"]
    assert rows["03_exit"][0] == "FAIL"
    assert "1 run computed, 3 taken from records." in said.out
    assert re.search(r"FAIL 02_bad: ZeroDivisionError: division by zero \(in cell \d: x / 0\)", said.err)
    assert "SystemExit" in said.err
    assert "    noise\n" in said.err  # what a kernel says while it works is passed on, and not kept
    assert said.out.rstrip().endswith("report.html") and (results / "smoke" / "report.html").exists()

    (shown,) = outputs(kept / "01_good.ipynb")
    assert shown["text"][0].strip().split("|")[1:] == [str(folder), str(results), "smoke", "''", "7"]
    assert "environment" in shown["text"][0] and sys.prefix not in shown["text"][0]  # this interpreter, its path left out
    assert (kept / "02_bad.ipynb").read_text() == (kept / "03_exit.ipynb").read_text() == "the good one of last time"
    assert (kept / "02_bad.failed.ipynb").exists()
    text = (kept / "01_good.ipynb").read_text()
    assert "someone-elses-kernel" not in text and "start_time" not in text and "iopub" not in text
    assert nbformat.read(kept / "01_good.ipynb", 4).metadata.kernelspec.name == "python3"


def test_what_a_notebook_no_longer_draws_is_deleted_once_it_went_well(places):
    folder, results = places
    figures = results / "smoke" / "figures"
    draw = "import os, pathlib\npathlib.Path(os.environ['DIPDDPM_RESULTS'], 'smoke', 'figures', '01_new.png').touch()"
    made(folder / "01_good.ipynb", draw)
    made(folder / "02_bad.ipynb", "1 / 0")
    figures.mkdir(parents=True)
    for name in ("01_old.png", "01_new.png", "02_old.png", "03_old.png"):
        (figures / name).touch()
        os.utime(figures / name, (1e9, 1e9))
    notebooks.drive(notebooks.Job("smoke", results, folder))
    assert {path.name for path in figures.iterdir()} == {"01_new.png", "02_old.png", "03_old.png"}


def test_out_of_time_between_two_notebooks_is_no_success_and_ends_no_round(places, capsys, monkeypatch):
    folder, results = places
    made(folder / "01_drawn.ipynb", "1")  # draws to its end, since nothing of it asks for the time
    made(folder / "02_next.ipynb", "1")
    one = notebooks.Runner.one

    def slow(runner, source):
        result = one(runner, source)
        time.sleep(max(0.0, runner.budget.deadline - time.time()))
        return result

    monkeypatch.setattr(notebooks.Runner, "one", slow)
    code = notebooks.drive(notebooks.Job("smoke", results, folder, max_minutes=0.2, fresh=True))
    said = capsys.readouterr()
    assert code == 75 and "01_drawn  OK" in said.out and "02_next   -" in said.out and "report:" not in said.out
    assert list((results / "smoke").rglob("fresh.json"))  # so that --fresh goes on with this round


def test_out_of_time_is_75_and_what_was_kept_stays(places, capsys):
    folder, results = places
    made(folder / "01_long.ipynb", WAIT)
    made(folder / "02_next.ipynb", "1")
    code = notebooks.drive(notebooks.Job("smoke", results, folder, max_minutes=0.001))
    said = capsys.readouterr()
    assert code == 75 and "the same command goes on" in said.err
    assert "01_long   STOPPED" in said.out and "02_next   -" in said.out
    assert not list((results / "smoke").rglob("*.ipynb")) and "report:" not in said.out


def test_ctrl_c_is_a_clean_stop_and_130(places, capsys):
    folder, results = places
    made(folder / "01_long.ipynb", WAIT)
    made(folder / "02_next.ipynb", "1")

    def interrupt():
        while not (folder / "mark").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    code = notebooks.drive(notebooks.Job("smoke", results, folder))
    said = capsys.readouterr()
    assert code == 130 and time.monotonic() - began < 25
    assert "01_long   STOPPED" in said.out and "02_next   -" in said.out and "nothing is lost" in said.err
    assert signal.getsignal(signal.SIGINT) is before


def test_a_dead_kernel_is_a_failure_that_says_so(places, capsys):
    folder, results = places
    made(folder / "01_dies.ipynb", "import os\nos._exit(9)")
    assert notebooks.drive(notebooks.Job("smoke", results, folder)) == 1
    assert "FAIL 01_dies: its kernel died" in capsys.readouterr().err


def test_nothing_runs_when_a_name_a_value_or_the_results_folder_is_wrong(places, monkeypatch, tmp_path):
    folder, results = places
    made(folder / "01_a.ipynb", "1")
    monkeypatch.setattr(notebooks.Runner, "one", lambda *_: pytest.fail("a notebook was run"))
    for change, says in [
        ({"only": "7"}, "no notebook '7'"),
        ({"parameters": {"step": "1"}}, "did you mean steps"),
        ({"parameters": {"results": "x"}}, "use --results"),
    ]:
        with pytest.raises(UsageError, match=says):
            notebooks.drive(notebooks.Job(**{"profile": "smoke", "results": results, "folder": folder, **change}))
    assert not results.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot use"):
        notebooks.drive(notebooks.Job("smoke", tmp_path / "file", folder))


def test_a_fresh_round_ends_only_when_all_went_well(places, monkeypatch):
    folder, results = places
    made(folder / "01_a.ipynb", "1")
    states = iter(["FAIL", "STOPPED", "OK"])
    monkeypatch.setattr(notebooks.Runner, "one", lambda self, source: notebooks.Result(source.name, next(states)))
    mark = results / "smoke" / "fresh.json"
    for code, left in ((1, True), (75, True), (0, False)):
        assert notebooks.drive(notebooks.Job("smoke", results, folder, fresh=True)) == code
        assert mark.exists() is left


def test_notebooks_are_found_in_order_by_number_or_name(tmp_path):
    for name in ("03_c", "01_a", "02_b"):
        made(tmp_path / f"{name}.ipynb", text=f"# Title of {name}\n\n# not this")
    (tmp_path / "draft.ipynb").write_text("{}")
    assert [s.title for s in nbfiles.find(tmp_path)] == ["Title of 01_a", "Title of 02_b", "Title of 03_c"]
    assert [s.name for s in nbfiles.find(tmp_path, "03, 1,02_b")] == ["01_a", "02_b", "03_c"]
    assert [s.name for s in nbfiles.find(tmp_path, "3")] == ["03_c"]
    assert {name: item.value for name, item in nbfiles.read(tmp_path / "01_a.ipynb").parameters.items()} == {
        "profile": "quick", "results": "", "steps": 3, "rate": 0.5, "name": "a", "flag": False,
    }  # fmt: skip
    for wrong in ("4", "01,", "01_x", ""):
        with pytest.raises(UsageError, match="no notebook"):
            nbfiles.find(tmp_path, wrong)
    (tmp_path / "04_d.ipynb").write_text("{broken")
    with pytest.raises(StoreError, match="04_d.ipynb is not a notebook"):
        nbfiles.find(tmp_path)


def test_the_lint_sees_each_fault_and_passes_a_good_notebook(tmp_path):
    good = made(tmp_path / "01_good.ipynb", "1", parameters="n = 1  # 1 to 9; how many\n# a remark\n\nx = -0.5  # -1.0 to 1.0")
    assert notebook_rules.lint(good) == []
    bad = made(tmp_path / "02_bad.ipynb", "\n".join("x" * 31), "class A: pass", "from os import *",
               parameters="n = 1  # default=1\nm = [1]\nk = l = 2\nprint()\ni = 0  # 1 to 9\nj = 3  # no limits")  # fmt: skip
    notebook = nbformat.read(bad, 4)
    notebook.cells[2].execution_count = 1
    notebook.metadata.widgets = {}
    nbformat.write(notebook, bad)
    faults = "\n".join(notebook_rules.lint(bad))
    for expected in (
        "widget",
        "n = 1",
        "m = [1]",
        "k = l = 2",
        "print()",
        "'i' takes a whole number from 1 to 9, not 0",
        "a number without its limits",
        "31 lines",
        "outputs are in",
        "a class",
        "star import",
    ):
        assert expected in faults


def test_an_executed_copy_keeps_warnings_and_pictures_but_no_paths(tmp_path):
    here = str(nbfiles.CHECKOUT)
    notebook = nbformat.read(made(tmp_path / "01_a.ipynb", "1"), 4)
    notebook.cells[2].outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="step 3/10\n"),
        nbformat.v4.new_output("stream", name="stderr", text=f"{here}/a.py:3: UserWarning: careful\n"),
        nbformat.v4.new_output("display_data", {"text/html": f"<b>{here}/results</b>", "image/png": "QUJD"}),
    ]
    own = tmp_path / "my images"
    notebook.metadata["papermill"] = {"parameters": {"profile": f"quick:{own}", "n": 3}, "input_path": here}
    given = nbformat.v4.new_code_cell(f'# Parameters\nprofile = "quick:{own}"\n', metadata={"tags": ["injected-parameters"]})
    notebook.cells.append(given)
    nbformat.write(notebook, tmp_path / "done.ipynb")
    text = nbfiles.cleaned(tmp_path / "done.ipynb")
    assert json.loads(text)["metadata"]["papermill"] == {"parameters": {"profile": "quick:my images", "n": 3}}
    assert json.loads(text)["cells"][-1]["source"][1] == 'profile = "quick:my images"\n' and str(tmp_path) not in text
    kept = json.loads(text)["cells"][2]["outputs"]
    assert here not in text and "step 3/10" not in text
    assert kept[0]["text"] == ["./a.py:3: UserWarning: careful\n"]
    assert kept[1]["data"] == {"text/html": ["<b>./results</b>"], "image/png": "QUJD"}


@pytest.mark.parametrize(("way", "said"), [("fresh", ("smoke", "")), ("records_only", ("", "1")), (None, ("", ""))])
def test_a_kernel_is_told_what_the_command_was(tmp_path, way, said):
    made(tmp_path / "notebooks" / "01_a.ipynb", "1")
    job = notebooks.Job("smoke", tmp_path / "results", tmp_path / "notebooks", device="cuda:1", **({way: True} if way else {}))
    (source,) = nbfiles.find(job.folder)
    with CleanStop() as stop:
        name = notebooks.Runner(job, {}, stop).kernel(source, tmp_path / "events")
        told = files.read_json(stop.folder / "jupyter" / "kernels" / name / "kernel.json")["env"]
    assert (told["DIPDDPM_FRESH"], told["DIPDDPM_RECORDS_ONLY"]) == said
    assert (told["DIPDDPM_RESULTS"], told["DIPDDPM_STOP"]) == (str(tmp_path / "results"), str(stop.stop))
    assert told["DIPDDPM_DEVICE"] == "cuda:1"


def test_what_a_good_run_replaces(places, monkeypatch):
    """A failed copy of last time, and the figures and tables that are not drawn any more."""
    folder, results = places
    good = made(folder / "01_good.ipynb", "1")
    monkeypatch.setattr(
        notebooks.Runner, "execute", lambda self, source, executed, events: executed.write_text(good.read_text())
    )
    old = [results / "smoke" / name for name in ("notebooks/01_good.failed.ipynb", "figures/01_old.png", "tables/01_old.csv")]
    for path in old:
        files.write_text(path, "old")
    assert notebooks.drive(notebooks.Job("smoke", results, folder)) == 0
    assert not any(path.exists() for path in old)


@pytest.mark.parametrize(("there", "most"), [(True, 2), (False, 1)])
def test_two_notebooks_at_a_time_only_where_nothing_is_computed(places, monkeypatch, there, most):
    folder, results = places
    made(folder / "01_a.ipynb", "1")
    said = []
    monkeypatch.setattr(notebooks, "say_what_is_there", lambda store: there)
    monkeypatch.setattr(notebooks.machine_device, "cores", lambda: 8)
    monkeypatch.setattr(notebooks.Runner, "run", lambda self, sources, n: said.append(n) or [notebooks.Result("a", "OK")] * 2)
    notebooks.drive(notebooks.Job("smoke", results, folder))
    assert said == [most]


def test_two_at_a_time_too_where_nothing_may_be_computed(places, monkeypatch):
    folder, results = places
    made(folder / "01_a.ipynb", "1")
    said = []
    monkeypatch.setattr(notebooks.Store, "state", lambda self, run: "complete" if "floor" in run.kind else "absent")
    monkeypatch.setattr(notebooks.Store, "refuse_losses", lambda self: None)
    monkeypatch.setattr(notebooks.machine_device, "cores", lambda: 8)
    monkeypatch.setattr(notebooks.Runner, "run", lambda self, sources, n: said.append(n) or [notebooks.Result("a", "STOPPED")])
    notebooks.drive(notebooks.Job("smoke", results, folder, records_only=True))
    assert said == [2]


def test_the_page_is_of_all_notebooks_whichever_was_asked_for(places, monkeypatch):
    folder, results = places
    for name in ("01_a", "02_b"):
        made(folder / f"{name}.ipynb", "1")
    monkeypatch.setattr(notebooks.Runner, "one", lambda self, source: notebooks.Result(source.name, "OK"))
    assert notebooks.drive(notebooks.Job("smoke", results, folder, only="02")) == 0
    page = (results / "smoke" / "report.html").read_text()
    assert "01_a.ipynb" in page and "02_b.ipynb" in page


@pytest.mark.parametrize(("minutes", "deadline"), [(2.0, 1120.0), (None, None)])
def test_the_time_that_may_be_spent_is_in_minutes(tmp_path, monkeypatch, minutes, deadline):
    monkeypatch.setattr(notebooks.time, "time", lambda: 1000.0)
    with CleanStop() as stop:
        runner = notebooks.Runner(notebooks.Job("smoke", tmp_path, tmp_path, max_minutes=minutes), {}, stop)
    assert runner.budget.deadline == deadline


def test_a_fresh_round_is_of_the_notebooks_that_were_asked_for(places, monkeypatch):
    folder, results = places
    for name in ("01_a", "02_b"):
        made(folder / f"{name}.ipynb", "1")
    monkeypatch.setattr(notebooks.Runner, "one", lambda self, source: notebooks.Result(source.name, "STOPPED"))
    notebooks.drive(notebooks.Job("smoke", results, folder, fresh=True))
    monkeypatch.setattr(notebooks.Runner, "one", lambda self, source: notebooks.Result(source.name, "OK"))
    notebooks.drive(notebooks.Job("smoke", results, folder, fresh=True, only="02"))
    assert (results / "smoke" / "fresh.json").exists()  # the round of all is not ended by one of them
