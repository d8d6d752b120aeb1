"""The doctor: one screen, whatever is broken; nothing private in it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dipddpm_utils.driver import doctor, install
from dipddpm_utils.study import profile

ROOT = Path(__file__).resolve().parents[2]


def screen(capsys, results="") -> list[str]:
    assert doctor.main(str(results)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 8 <= len(lines) <= 24
    return lines


def test_it_says_what_is_here_and_what_to_do_next(capsys, tmp_path, monkeypatch):
    home = tmp_path / "somebody"
    results = home / "results"
    (results / "quick").mkdir(parents=True)
    theirs = sorted((ROOT / "results" / "quick" / "runs").iterdir())
    for folder in theirs[:3]:
        shutil.copytree(folder, results / "quick" / "runs" / folder.name)
    damaged = results / "quick" / "runs" / theirs[1].name / "record.json"
    damaged.write_text(damaged.read_text().replace("metrics", "metrix"))
    beside = next(path for path in (results / "quick" / "runs" / theirs[2].name).iterdir() if path.name != "record.json")
    beside.write_bytes(beside.read_bytes()[:-1])  # the record itself is whole
    (home / ".cache" / "dipddpm" / "mnist").mkdir(parents=True)
    monkeypatch.delenv("DIPDDPM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DIPDDPM_DATA", str(home))
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret-word@there")
    monkeypatch.setenv("SOME_TOKEN", "secret-word")
    lines = screen(capsys, results)
    text = "\n".join(lines)
    assert f"Python {sys.version_info[0]}" in text.replace("python    ", "Python ") and "cpu" in text
    assert any(number in text for number in ("float32", "bfloat16", "float16"))
    assert "mnist in the cache, ~/.cache/dipddpm" in text and "DIPDDPM_DATA=~" in text
    declared = len(profile.load("quick").entries)
    assert f"1 of {declared} complete, 2 damaged" in text and " GB free for the results, in ~/results" in text
    assert [line for line in lines if line.startswith("next")] and "bring it back with git checkout" in text
    assert theirs[1].name in text and "secret-word" not in text and str(home) not in text


def test_a_folder_of_results_that_is_none_is_said_and_what_is_borrowed_too(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    text = "\n".join(screen(capsys, tmp_path / "file"))
    assert "file is no folder that can be written" in text and "nothing is wrong here" not in text
    text = "\n".join(screen(capsys, tmp_path))
    assert "complete, read from the checkout" in text


@pytest.mark.slow
def test_other_versions_and_missing_packages_are_named(capsys, monkeypatch):
    have = install.installed()
    monkeypatch.setattr(install, "installed", lambda: {**have, "torch": "2.9.0", "scipy": "1.18.1"} | {"click": "9.0"})
    text = "\n".join(screen(capsys))
    assert "torch 2.9.0 (lock: " in text and "in another version" in text
    monkeypatch.setattr(install, "installed", lambda: {name: v for name, v in have.items() if name != "papermill"})
    text = "\n".join(screen(capsys))
    assert "missing: papermill" in text and "./run_all.sh installs what is missing" in text


def test_a_gpu_that_torch_cannot_use_is_said_with_the_reason(capsys, monkeypatch):
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr("dipddpm_utils.machine.device.nvidia_gpus", lambda: ["Tesla T4"])
    text = "\n".join(screen(capsys))
    assert "This machine has a GPU (Tesla T4), but" in text and "update the GPU's driver" in text


@pytest.mark.slow
def test_the_checkouts_own_environment_is_advised_where_another_one_runs(capsys, monkeypatch, tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(install, "missing", lambda *_: [None])
    text = "\n".join(screen(capsys))
    assert "source .venv/bin/activate" in text and "./run_all.sh installs" not in text
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    text = "\n".join(screen(capsys))
    assert "source .venv/bin/activate" not in text and "./run_all.sh installs" in text


def test_what_takes_days_is_not_advised_and_a_folder_is_quoted(capsys, tmp_path):
    results = tmp_path / "my results"
    for name in ("quick", "full"):
        some = next((ROOT / "results" / name / "runs").iterdir())
        shutil.copytree(some, results / name / "runs" / some.name)
    (advice,) = (line for line in screen(capsys, results) if "run --all" in line)
    assert "--profile quick --results '" in advice and "my results' computes" in advice


@pytest.mark.parametrize("error", [ValueError("two\nlines"), SystemExit("gone"), ImportError("x" * 300)])
def test_what_is_broken_is_said_in_its_place(error, capsys, monkeypatch):
    def broken(self):
        raise error

    for topic in doctor.TOPICS[1:]:
        monkeypatch.setattr(doctor.Look, topic, broken)
    lines = screen(capsys)
    assert len([line for line in lines if "could not be told: " + type(error).__name__ in line]) == len(doctor.TOPICS) - 1


def test_it_needs_no_package(tmp_path):
    """Python without its site-packages: no click, no numpy, no torch. Another command then says the same, and fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for command, code in (("doctor", 0), ("runs", 1)):
        call = [sys.executable, "-S", "-m", "dipddpm_utils", command]
        done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code and not done.stderr, done.stderr
        assert re.search("missing: .*click", done.stdout) and "torch is not installed" in done.stdout
