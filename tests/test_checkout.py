"""A checkout whose git turns line ends into CRLF, as on Windows: everything that is checksummed or run has its own bytes."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from dipddpm_utils.store.records import Record

ROOT = Path(__file__).resolve().parent.parent


def _git(*arguments: str, at: Path = ROOT) -> str:
    return subprocess.run(["git", *arguments], cwd=at, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """HEAD as such a git checks it out."""
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("not a git checkout")
    there = tmp_path_factory.mktemp("clone") / "checkout"
    _git("clone", "-q", "--shared", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", str(ROOT), str(there))
    return there


def test_every_file_has_the_bytes_that_were_committed(clone):
    listed = [line.split("\t") for line in _git("ls-files", "-z", "-s", at=clone).split("\0")[:-1]]
    changed = []
    for about, name in listed:
        body = (clone / name).read_bytes()
        if hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest() != about.split()[1]:
            changed.append(name)
    assert len(listed) > 1000 and not changed, changed[:10]


def test_its_scripts_records_and_weights_are_usable(clone):
    for script in ("run_all.sh", ".ci/run"):
        assert (clone / script).read_bytes().startswith(b"#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", clone / "run_all.sh", "--help"], capture_output=True).returncode == 0
    for folder in sorted((clone / "results/quick/runs").iterdir())[::40]:
        record = Record(folder)
        assert record.metrics and record.curve is not None and record.evals is not None and record.arrays is not None
    for about in (clone / "dipddpm_utils/judging/assets").glob("*.json"):
        assert (
            hashlib.sha256(about.with_suffix(".safetensors").read_bytes()).hexdigest()
            == json.loads(about.read_text())["sha256"]
        )
