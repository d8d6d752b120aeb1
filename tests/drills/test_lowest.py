"""The lowest versions that pyproject.toml allows, all at once: the page from records, and one line for a mistake.

CI runs what is marked `brief`: the first notebook and the last.
"""

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
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("0*.ipynb"))


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


def redraw(python, results: Path, *words) -> set[str]:
    """Draw notebooks from quick's records; the names of those that went well, computed nothing and said no warning."""
    shutil.copytree(ROOT / "results" / "quick" / "runs", results / "quick" / "runs")
    done = call(python, *words, "--profile", "quick", "--results", results)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    drawn = re.findall(r"^(\S+) +OK +[\d.]+ +0 +\d+$", done.stdout, re.MULTILINE)  # 0 computed
    return {name for name in drawn if "Warning" not in (results / "quick" / "notebooks" / f"{name}.ipynb").read_text()}


def test_the_page_from_records(python, tmp_path):
    assert redraw(python, tmp_path, "report") == set(NOTEBOOKS)


@pytest.mark.brief
def test_two_notebooks_from_records(python, tmp_path):
    assert redraw(python, tmp_path, "notebooks", "--only", "1,7") == {NOTEBOOKS[0], NOTEBOOKS[-1]}


@pytest.mark.brief
@pytest.mark.parametrize("words", [["runs", "--profile", "quik"], ["nonsense"], ["runs", "--profile"]])
def test_a_mistake_is_one_line(python, words):
    done = call(python, *words)
    assert done.returncode == 2 and done.stderr.startswith("dipddpm: ") and done.stderr.count("\n") == 1
