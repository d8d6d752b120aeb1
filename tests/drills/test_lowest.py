"""The lowest versions that pyproject.toml allows, all at once: the page from records, and one line for a mistake."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import overlay
import pytest
import torch

pytestmark = pytest.mark.drill
ROOT = Path(__file__).resolve().parents[2]


def lowest() -> list[str]:
    """The lower bounds of all packages but torch and torchvision, which stay those that run this suite (3 GB)."""
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = [re.match(r"([\w-]+)[>=]=([\d.]+)", line) for line in lines]
    assert all(bounds), "each dependency begins with its lower bound"
    kept = f"torch=={torch.__version__.split('+')[0]}"
    return [kept, *(f"{bound[1]}=={bound[2]}" for bound in bounds if not bound[1].startswith("torch"))]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return overlay.make(tmp_path_factory.mktemp("lowest") / "venv", lowest())[0]


def call(python, *words) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DIPDDPM_OFFLINE": "1"}
    command = [python, "-P", "-m", "dipddpm_utils", *words]
    return subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_page_from_records(python, tmp_path):
    shutil.copytree(ROOT / "results" / "quick" / "runs", tmp_path / "quick" / "runs")
    done = call(python, "report", "--profile", "quick", "--results", tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(re.findall(r"^\S+ +OK +[\d.]+ +0 +\d+$", done.stdout, re.MULTILINE)) == 7  # 0 computed
    assert not [path.name for path in (tmp_path / "quick" / "notebooks").iterdir() if "Warning" in path.read_text()]


@pytest.mark.parametrize("words", [["runs", "--profile", "quik"], ["nonsense"], ["runs", "--profile"]])
def test_a_mistake_is_one_line(python, words):
    done = call(python, *words)
    assert done.returncode == 2 and done.stderr.startswith("dipddpm: ") and done.stderr.count("\n") == 1
