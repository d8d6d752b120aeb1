"""A record: everything a finished run left behind, readable without torch and without pickle.

results/<profile>/runs/<name>-<hash>/
    record.json    config, metrics, timings, provenance, checksums of its neighbours and of itself
    curve.csv      one row per logged training step
    evals.csv      one row per evaluation
    arrays.npz     small pictures and curves
    weights.safetensors   only where the run was computed; never needed to draw
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipddpm_utils.config import Run, parse, run_hash
from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

    from dipddpm_utils.machine.budget import Budget
    from dipddpm_utils.store.runs import Store

SCHEMA = 1
WEIGHTS = "weights.safetensors"
NEIGHBOURS = ("curve.csv", "evals.csv", "arrays.npz")
STAGED = "staged/record.json"  # there: a complete record whose files a kill, or another process just now, has not all moved


@dataclass(frozen=True)
class Outcome:
    """What computing a run gives, before it is written: plain numbers, rows, small arrays, and the weights if any."""

    metrics: dict[str, float | int | str | None]
    timings: dict[str, float] = field(default_factory=dict)  # seconds
    curve: list[dict[str, Any]] = field(default_factory=list)
    evals: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, Any] = field(default_factory=dict)  # numpy
    weights: dict[str, Any] | None = None  # tensors
    notes: list[str] = field(default_factory=list)  # anything a reader has to know to judge the run


@dataclass
class Work:
    """What computing a run may use: a folder for its checkpoints, a budget, a device, and the runs it is built on."""

    folder: Path
    budget: Budget
    device: str
    label: str
    store: Store  # gives their records (`ensure`) and weights, computed first if need be


class Record:
    """A finished run, read from its folder. Tables and arrays are read, and their checksums compared, when asked for."""

    def __init__(self, folder: Path) -> None:
        content = self._content = read_checked(folder / "record.json")
        self.folder = folder
        self.name: str = content["name"]
        self.hash: str = content["hash"]
        self.kind: str = content["kind"]
        self.seed: int = content["config"]["seed"]
        self.metrics: dict[str, Any] = content["metrics"]
        self.timings: dict[str, float] = content["timings"]  # seconds
        self.notes: list[str] = content["notes"]
        self.provenance: dict[str, Any] = content["provenance"]
        self.completed: str = content["completed"]  # UTC, ISO 8601
        self.weights_sha256: str | None = (content["weights"] or {}).get("sha256")

    @cached_property
    def run(self) -> Run:
        return parse(self._content["config"])

    @property
    def seconds(self) -> float:
        """All that computing it took; `total` is the last sitting's alone where it was cut off."""
        own = self.timings
        return max(own.get("total", 0.0), own.get("train", 0.0) + own.get("evaluate", 0.0))

    @cached_property
    def curve(self) -> pd.DataFrame:
        return self._table("curve.csv")

    @cached_property
    def evals(self) -> pd.DataFrame:
        return self._table("evals.csv")

    @cached_property
    def arrays(self) -> dict[str, Any]:
        """The arrays of arrays.npz by name; none without that file. StoreError if it was changed."""
        import numpy as np

        if "arrays.npz" not in self._content["files"]:
            return {}
        with np.load(io.BytesIO(self._neighbour("arrays.npz")), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        if name not in self._content["files"]:
            return pd.DataFrame()
        return pd.read_csv(io.BytesIO(self._neighbour(name)))

    def check(self) -> None:
        """StoreError if a neighbour is missing or was changed."""
        for name in self._content["files"]:
            self._neighbour(name)

    def _neighbour(self, name: str) -> bytes:
        path = self.folder / name
        try:
            data = path.read_bytes()
            wrong = files.sha256_bytes(data) != self._content["files"][name] and "was changed after it was written"
        except OSError as error:
            data, wrong = b"", f"cannot be read although the record beside it names it ({error.strerror})"
        if not wrong:
            return data
        if (self.folder / STAGED).exists() or read_checked(self.folder / "record.json") != self._content:
            raise StoreError(f"{self.folder} was computed anew while it was read: run the same command again")
        raise StoreError(f"{path} {wrong}: {_REPAIR}")


_REPAIR = "bring it back with `git checkout`, or remove its folder and compute it anew (`dipddpm_utils run NAME`)"


def find(folder: Path) -> Record | None:
    """The record in a run's folder, None if there is none. StoreError: it is damaged, another run's, or gone from its place."""
    names = os.listdir(folder) if folder.is_dir() else []  # once, since another process may be moving a record in
    if "record.json" in names:
        record = Record(folder)
        if not folder.name.endswith(f"-{record.hash}"):
            raise StoreError(f"{folder / 'record.json'} is the record of {record.name}-{record.hash}, copied here: {_REPAIR}")
        return record
    left = sorted(set(NEIGHBOURS) & set(names))
    if left and "staged" not in names:
        raise StoreError(f"{folder / 'record.json'} is missing although {left[0]} beside it is there: {_REPAIR}")
    return None


def read_checked(path: Path) -> dict[str, Any]:
    """The content of a record.json; StoreError if it is not there, is of another schema, or was edited by hand."""
    content = files.read_json(path, _REPAIR)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise StoreError(f"{path} is not a record of schema {SCHEMA}: {_REPAIR}")
    if content.get("sha256") != _digest(content):
        raise StoreError(f"{path} was changed after it was written (its checksum differs): {_REPAIR}")
    return content


def write(folder: Path, name: str, run: Run, outcome: Outcome, provenance: dict[str, Any], completed: str) -> Record:
    """Write a record and its neighbours so that a kill at any moment leaves the old record or the new one.

    The new files are put together in a folder beside the final places; once record.json is there the record counts, and
    `finish_move` can complete the renames at any later time.
    """
    import pandas as pd

    tables = {"curve.csv": pd.DataFrame(outcome.curve), "evals.csv": pd.DataFrame(outcome.evals)}
    form = {"index": False, "float_format": "%.7g", "lineterminator": "\n"}  # enough to judge, and short in a diff
    neighbours = {name: table.to_csv(**form).encode() for name, table in tables.items() if len(table)}
    if outcome.arrays:
        neighbours["arrays.npz"] = files.npz_bytes(outcome.arrays)
    staged = folder / "staged"
    shutil.rmtree(staged, ignore_errors=True)
    sums: dict[str, str] = {}
    for file_name, data in neighbours.items():
        files.write_bytes(staged / file_name, data)
        sums[file_name] = files.sha256_bytes(data)
    weights = None
    if outcome.weights is not None:
        from safetensors.torch import save

        data = save(outcome.weights)
        files.write_bytes(staged / WEIGHTS, data)
        weights = {"file": WEIGHTS, "sha256": files.sha256_bytes(data), "bytes": len(data)}
    content = {
        "schema": SCHEMA,
        "name": name,
        "hash": run_hash(run),
        "kind": run.kind,
        "completed": completed,
        "config": run.model_dump(mode="json"),
        "metrics": _finite(outcome.metrics),
        "timings": _finite(outcome.timings),
        "notes": outcome.notes,
        "provenance": provenance,
        "files": sums,
        "weights": weights,
    }
    files.write_json(staged / "record.json", {**content, "sha256": _digest(content)})
    finish_move(folder)
    return Record(folder)


def finish_move(folder: Path) -> None:
    """Move a staged record, if there is one, to its final place, record.json last."""
    staged = folder / "staged"
    if not (folder / STAGED).exists():
        return
    new = read_checked(staged / "record.json")
    for file_name in [*new["files"], *([WEIGHTS] if new["weights"] else []), "record.json"]:
        if (staged / file_name).exists():  # else an earlier, interrupted move took it
            (staged / file_name).replace(folder / file_name)
    for old in NEIGHBOURS:
        if old not in new["files"]:
            (folder / old).unlink(missing_ok=True)
    shutil.rmtree(staged)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON can hold: numpy's become Python's, and what is not finite becomes null."""
    plain = {key: value.item() if hasattr(value, "item") else value for key, value in values.items()}
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in plain.items()}


def _digest(content: dict[str, Any]) -> str:
    body = {key: value for key, value in content.items() if key != "sha256"}
    return files.sha256_bytes(json.dumps(body, sort_keys=True, ensure_ascii=False).encode())
