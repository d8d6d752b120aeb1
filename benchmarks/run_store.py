"""The run store as it grows: 10 000 records listed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.pairs import Row, at_most
from dipddpm_utils import profiles, records
from dipddpm_utils.config import run_hash
from dipddpm_utils.records import Outcome
from dipddpm_utils.runs import Store


def rows() -> Iterator[Row]:
    """Seconds to list a store of 10 000 records."""
    run = profiles.load("smoke").entry("ddpm-s0").run
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), "smoke")
        first = store.root / "runs" / "run-00000"
        first.mkdir(parents=True)
        records.write(
            first, "run", run, Outcome(metrics={f"m{i}": float(i) for i in range(30)}), {"hash": run_hash(run)}, "2026"
        )
        text = (first / "record.json").read_bytes()
        for number in range(1, 10_000):
            copy = store.root / "runs" / f"run-{number:05d}"
            copy.mkdir()
            (copy / "record.json").write_bytes(text)
        yield at_most("10 000 records listed", lambda: sum(1 for _ in store.stored()), 2.0)
