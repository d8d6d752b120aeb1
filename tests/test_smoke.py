"""The main job, whole: every notebook of the smoke profile through real papermill, computed, then one again from records."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.smoke
ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def _run_all(results, *more):
    command = [sys.executable, "-P", "-m", "dipddpm_utils", "notebooks", "--profile", "smoke", "--results", str(results), *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DIPDDPM_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(results folder on a path with a space, the first start, the second start)."""
    results = tmp_path_factory.mktemp("smoke results")
    return results, _run_all(results), _run_all(results, "--only", "05")


def test_every_notebook_runs_and_every_run_is_computed(done):
    results, first, _ = done
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    assert [name for name in NAMES if re.search(rf"{name} +OK", first.stdout)] == NAMES
    assert {path.stem for path in (results / "smoke" / "notebooks").glob("*.ipynb")} == set(NAMES)


def test_the_second_start_takes_all_from_records_and_says_so(done):
    _, _, second = done
    assert second.returncode == 0 and re.search(r"\b0 runs computed, [1-9]\d* taken from records", second.stdout)


def test_the_page_holds_all_notebooks_and_needs_no_network(done):
    page = (done[0] / "smoke" / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r"<h1", page)) >= len(NAMES) and "<math" in page and "data:image/png;base64," in page
    assert not re.findall(r"<(?:img|script|link|iframe)[^>]+(?:src|href)=(?![\"']?(?:data:|#))", page)


def test_the_audit_has_a_row_for_each_of_the_17_claims(done):
    with open(done[0] / "smoke" / "tables" / "claims.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == [f"A{i}" for i in range(1, 10)] + [f"B{i}" for i in range(1, 9)]
    assert all(all(cell != "" for cell in row[:2]) for row in rows)
