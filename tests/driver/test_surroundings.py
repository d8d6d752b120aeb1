"""What a command meets at a user's: full disks, files with Python's names, no home, readers that go away, signals."""

import ast
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from made_notebooks import made

from dipddpm_utils import __main__ as command_line
from dipddpm_utils.driver import notebooks
from dipddpm_utils.page import html
from dipddpm_utils.store.runs import Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout():
    """A copy of the checkout without its notebooks, in a folder that every user may read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copytree(ROOT / "dipddpm_utils", folder / "dipddpm_utils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_all.sh", folder)
    (folder / "dipddpm_utils" / "driver" / "install.py").write_text("")  # this environment is left as it is
    (folder / "results").mkdir(mode=0o777)
    yield folder
    shutil.rmtree(folder)


def surroundings(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1", **more}


# --- full disks -------------------------------------------------------------------------------------------------------


def test_a_temporary_folder_that_fills_up_fails_that_notebook_and_no_other(tiny_disk, tmp_path, monkeypatch, capsys):
    made(tmp_path / "notebooks" / "01_large.ipynb", "print('x' * 300_000)")
    made(tmp_path / "notebooks" / "02_small.ipynb", "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tiny_disk))
    monkeypatch.setattr(html, "build", lambda *_: html.Page("page"))
    assert notebooks.drive(notebooks.Job("smoke", tmp_path / "results", tmp_path / "notebooks")) == 1
    said = capsys.readouterr()
    assert re.search(r"^FAIL 01_large: .*(full|cannot be read|not a notebook).*TMPDIR.*$", said.err, flags=re.MULTILINE)
    assert "02_small  OK" in said.out and not list(tiny_disk.iterdir())


@pytest.mark.slow
def test_output_that_cannot_be_written_is_a_failure_and_a_reader_that_goes_away_is_none(tmp_path):
    command = [sys.executable, "-m", "dipddpm_utils", "notebooks", "--list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "No space left" in done.stderr and done.stderr.count("\n") == 1
    piped = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    piped.stdout.close()
    assert piped.wait(60) == 0 and not piped.stderr.read()
    closed = f"exec {shlex.join([*command[:-2], 'run', '--profile', 'smoke', '--results', str(tmp_path), 'dip-2conv-s0'])}"
    assert subprocess.run([f"{closed} >&- 2>&-"], shell=True, cwd=ROOT).returncode == 0  # Python has no sys.stderr then
    assert list(tmp_path.rglob("record.json"))


# --- files with names of the standard library's ------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_users_random_py_is_not_taken_for_pythons(checkout):
    look = "import copy, random, types, secrets, queue\nimport numpy, pandas\nimport dipddpm_utils.page.lab\n"
    look += "print('ours' if any('check' in module.__file__ for module in (copy, random, types)) else 'pythons')"
    made(checkout / "notebooks" / "01_a.ipynb", look)
    for folder in (checkout, checkout / "notebooks"):
        for name in ("types", "random", "copy", "secrets", "queue"):
            (folder / f"{name}.py").write_text("raise SystemExit('a file of the user was imported')\n")
    call = [checkout / "run_all.sh", "--profile", "smoke"]  # here; the notebook's own process begins in notebooks/
    done = subprocess.run(call, cwd=checkout, env=surroundings(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pythons" in (checkout / "results" / "smoke" / "notebooks" / "01_a.ipynb").read_text()
    for folder in (checkout, checkout / "notebooks"):
        (folder / "types.py").unlink()  # `python -m` takes this one before any of our code runs; ./run_all.sh does not
    command = [sys.executable, "-m", "dipddpm_utils", "notebooks", "--list"]
    done = subprocess.run(command, cwd=checkout, env=surroundings(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "01_a" in done.stdout, done.stderr


# --- no home ----------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_user_without_home_and_without_an_entry_gets_a_report(checkout):
    look = "import matplotlib.pyplot, torch._inductor.runtime.cache_dir_utils\nfrom dipddpm_utils.data import sources\n"
    look += "print(sources.cache_folder())"
    made(checkout / "notebooks" / "01_a.ipynb", look)
    # another user, without an entry, who may nevertheless read this interpreter's files
    nobody = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--inh-caps=+dac_override"]
    nobody += ["--ambient-caps=+dac_override", sys.executable]
    asked = subprocess.run([*nobody, "-c", "import pathlib; pathlib.Path.home()"], env=surroundings(), capture_output=True)
    if b"determine home" not in asked.stderr:
        pytest.skip("only root may run a command as a user without an entry (setpriv)")
    for command in (["notebooks", "--profile", "smoke"], ["doctor"]):
        call = [*nobody, "-m", "dipddpm_utils", *command]
        done = subprocess.run(call, cwd=checkout, env=surroundings(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    assert "cache: " not in done.stdout and "data      could not" not in done.stdout and "records   in" in done.stdout
    assert "/.cache/dipddpm" in (checkout / "results" / "smoke" / "notebooks" / "01_a.ipynb").read_text()


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_a_clean_stop_also_when_nobody_reads_any_more(checkout, tmp_path, number, code):
    """As under `2>&1 | tee log`: Ctrl-C ends tee too, so that every later line goes into a broken pipe."""
    wait = "import pathlib, time\nfrom dipddpm_utils.machine.budget import Budget\npathlib.Path('mark').touch()\n"
    wait += "budget = Budget.from_env()\nfor _ in range(600): budget.check(); time.sleep(0.1)"
    made(checkout / "notebooks" / "01_long.ipynb", wait)
    made(checkout / "notebooks" / "02_next.ipynb", "1")
    call = [checkout / "run_all.sh", "--profile", "smoke"]
    there = surroundings(TMPDIR=str(tmp_path), HOME=str(tmp_path / "home"))
    process = subprocess.Popen(call, env=there, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (checkout / "notebooks" / "mark").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.stdout.close()
    os.kill(process.pid, number)
    assert process.wait(60) == code
    assert not list(tmp_path.glob("dipddpm-*"))


@pytest.mark.parametrize("outlived", [False, True])
def test_the_second_signal_ends_at_once_and_leaves_nothing_but_what_stops_jobs(tmp_path, outlived):
    code = (
        f"import os, time\nfrom dipddpm_utils.machine.process import CleanStop\nwith CleanStop(outlived={outlived}) as stop:\n"
    )
    code += "    for _ in range(2): os.kill(os.getpid(), 15)\n    time.sleep(60)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, timeout=50)
    assert done.returncode == 143 and [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["stop"] * outlived


def test_sigterm_in_any_command_takes_its_temporary_folders_along(tmp_path):
    code = "import os, signal, tempfile\nfrom dipddpm_utils.machine import process\nprocess.steady()\n"
    code += "with tempfile.TemporaryDirectory() as folder: os.kill(os.getpid(), signal.SIGTERM)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 143 and not list(tmp_path.iterdir())


# --- advice -----------------------------------------------------------------------------------------------------------


def advised() -> list[list[str]]:
    """The words of every command of ours that a text or message of the package, or README, tells a reader to give."""
    texts = [(ROOT / "README.md").read_text(encoding="utf-8")]
    for path in (ROOT / "dipddpm_utils").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
        for node in set(nodes) - docstrings:
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(p.value if isinstance(p, ast.Constant) else "VALUE" for p in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    names = "|".join(command_line.cli.commands)
    found = re.findall(rf"(?:python -m dipddpm_utils |`)((?:{names})(?![\w./])[^`\n#;:,(]*)", "\n".join(texts))
    script = re.findall(r"\./run_all\.sh((?: -[^`\n#;:,()]*)?)", "\n".join(texts))
    return [text.split() for text in found] + [["notebooks", *text.split()] for text in script]


def test_no_command_is_advised_that_the_program_refuses():
    found = advised()
    assert len(found) > 15 and {words[0] for words in found} >= {"run", "runs", "report", "notebooks", "data"}
    for name, *words in found:
        command = command_line.cli.commands[name]
        options = {option for parameter in command.params for option in parameter.opts} | {"--test", "--bench", "--brief"}
        given = [word for word in words if word.startswith("-")]
        assert set(given) <= options, (name, words)
        if name == "run" and words:
            assert "--all" in given or not words[0].startswith("-"), (
                f"run {' '.join(words)}: it refuses without a name or --all"
            )


def test_a_redraw_does_not_advise_an_option_that_it_lacks(capsys):
    notebooks.say_what_is_there(Store(ROOT / "results", "quick", records_only=True))
    assert "--fresh" not in capsys.readouterr().out
    notebooks.say_what_is_there(Store(ROOT / "results", "quick"))
    assert "--fresh" in capsys.readouterr().out
