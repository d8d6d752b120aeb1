"""The run store: `ensure` reads a complete record, goes on with a partial run, or computes it.

config -> hash -> folder -> record.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dipddpm_utils.config import Run, run_hash
from dipddpm_utils.machine import files
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.device import pick_device
from dipddpm_utils.machine.errors import StoreError
from dipddpm_utils.store import records
from dipddpm_utils.store.records import Record
from dipddpm_utils.store.work import Work, compute
from dipddpm_utils.study import profile as profiles

if TYPE_CHECKING:
    from torch import Tensor

State = Literal["complete", "partial", "absent", "damaged", "stale"]
CHECKOUT = Path(__file__).resolve().parents[2]


class Store:
    """All runs of one profile under `results/<profile>/`.

    device: 'auto', 'cpu', 'cuda' or 'mps'. fresh: compute anew what is older than the start of this fresh round; an
    old record stays until its new one is complete. records_only: compute nothing, say what is missing instead.
    """

    def __init__(
        self,
        results: Path,
        profile: str,
        *,
        device: str = "auto",
        budget: Budget | None = None,
        fresh: bool = False,
        records_only: bool = False,
    ) -> None:
        self.profile = profiles.load(profile)
        self.root = Path(results) / profile
        self.device, self.records_only = device, records_only
        self.budget = budget or Budget.from_env()
        self.fresh_since = self._fresh_start() if fresh else None

    # --- where a run is and how far it got ---

    def folder(self, run: Run) -> Path:
        """`runs/<name>-<hash>`; a run that the profile does not declare is named by its kind and seed."""
        entry = self.profile.find(run)
        return self.root / "runs" / (entry.folder if entry else f"{run.kind}-s{run.seed}-{run_hash(run)}")

    def state(self, run: Run) -> State:
        """How far a run got. 'stale': complete, but older than the fresh round; 'damaged': its record was altered."""
        folder = self.folder(run)
        if not (folder / "record.json").exists():
            return "partial" if (folder / "work").is_dir() or (folder / "staged").is_dir() else "absent"
        try:
            completed = records.read_checked(folder / "record.json")["completed"]
        except StoreError:
            return "damaged"
        return "stale" if self.fresh_since is not None and completed < self.fresh_since else "complete"

    def load(self, run: Run) -> Record:
        """The record of a complete run; StoreError if it is not there or was altered."""
        folder = self.folder(run)
        if not (folder / "record.json").exists():
            raise StoreError(
                f"run {folder.name} has no record in profile {self.profile.name}: "
                f"compute it with `python -m dipddpm_utils run --profile {self.profile.name}`"
            )
        return Record(folder)

    def stored(self) -> Iterator[dict[str, Any]]:
        """Every record in the store, declared or not: name, hash, kind, completed, timings, bytes."""
        try:
            folders = sorted(os.scandir(self.root / "runs"), key=lambda item: item.name)
        except FileNotFoundError:
            return
        for folder in folders:
            path = os.path.join(folder.path, "record.json")
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    content = json.load(file)
                yield {key: content[key] for key in ("name", "hash", "kind", "completed", "timings")}

    # --- getting a record ---

    def ensure(self, run: Run, *, quiet: bool = False) -> Record:
        """The record of a run: read if complete, else computed, going on from its last checkpoint.

        Raises OutOfTime when the budget ends first (everything is saved), StoreError for a record that was altered, and
        whatever error the computation ends with; what was there before is kept in each case.
        """
        began = time.perf_counter()
        if self._is_complete(run):
            record = self.load(run)
            if not quiet:
                self._event(record.folder.name, "record", time.perf_counter() - began)
            return record
        return self._computed(run)

    def weights(self, run: Run) -> dict[str, Tensor]:
        """Trained weights of a run. A clone has records only: then the run is computed again."""
        from safetensors.torch import load

        record = self.ensure(run, quiet=True)
        path = record.folder / records.WEIGHTS
        if not path.exists():
            record = self._computed(run, again=True)
        data = path.read_bytes()
        if files.sha256_bytes(data) != record.weights_sha256:
            raise StoreError(
                f"{path} is not what its record says (its checksum differs): remove it and run the same command again"
            )
        return load(data)

    def _is_complete(self, run: Run) -> bool:
        state = self.state(run)
        if state == "damaged":
            records.read_checked(self.folder(run) / "record.json")  # raises, saying what is wrong
        return state == "complete"

    def _computed(self, run: Run, *, again: bool = False) -> Record:
        folder = self.folder(run)
        if self.records_only:
            return self.load(run)
        with self._locked(folder):
            records.finish_move(folder)
            if not again and self._is_complete(run):  # another process was first
                self._event(folder.name, "record", 0.0)
                return self.load(run)
            self.budget.check()
            return self._compute(run, folder)

    def _compute(self, run: Run, folder: Path) -> Record:
        from dipddpm_utils.machine import provenance  # torch is imported only here

        began = time.perf_counter()
        print(f"computing {folder.name}", file=sys.stderr, flush=True)
        device = pick_device(self.device)
        facts = provenance.provenance(run, device)
        work = Work(folder / "work", self.budget, str(device), folder.name, self)
        outcome = compute(run, work)
        name = folder.name.removesuffix(f"-{run_hash(run)}")
        record = records.write(folder, name, run, outcome, provenance.finish(facts), _now())
        shutil.rmtree(folder / "work", ignore_errors=True)
        self._event(folder.name, "computed", time.perf_counter() - began)
        return record

    # --- one at a time, and only in time ---

    @contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        """One process computes a run, the others wait. The system frees the lock of a process that died."""
        from filelock import FileLock, Timeout

        try:
            folder.mkdir(parents=True, exist_ok=True)
            files.write_text(folder / ".writable", "")  # a read-only or full disk is said before any work is done
            (folder / ".writable").unlink()
        except OSError as error:
            raise StoreError(f"cannot write to {folder}: {error.strerror}: choose another folder with --results DIR") from error
        lock = FileLock(folder / ".lock")
        said = False
        while True:
            try:
                lock.acquire(timeout=0.5)
                break
            except Timeout:
                if not said:
                    print(f"waiting for another process that is computing {folder.name}", file=sys.stderr, flush=True)
                    said = True
                self.budget.check()
        try:
            yield
        finally:
            lock.release()

    # --- a fresh round ---

    def _fresh_start(self) -> str:
        """When this fresh round began: now, or earlier if a fresh round was cut off."""
        path = self.root / "fresh.json"
        if path.exists():
            since = files.read_json(path)["since"]
            print(f"going on with the fresh round begun at {since}", file=sys.stderr)
            return since
        files.write_json(path, {"since": _now()})
        for unfinished in self.root.glob("runs/*/work"):
            shutil.rmtree(unfinished)
        return files.read_json(path)["since"]

    def end_fresh(self) -> None:
        """Close the fresh round: every run that was asked for is new."""
        (self.root / "fresh.json").unlink(missing_ok=True)

    def _event(self, run: str, action: str, seconds: float) -> None:
        path = os.environ.get("DIPDDPM_EVENTS")
        if path:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"run": run, "action": action, "seconds": round(seconds, 3)}) + "\n")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def results_folder(given: str | Path = "") -> Path:
    """The results folder: the one given, else DIPDDPM_RESULTS, else results/ of this checkout."""
    return Path(given or os.environ.get("DIPDDPM_RESULTS") or CHECKOUT / "results")


def open_store(profile: str, results: str | Path = "", device: str = "auto") -> Store:
    """A store as the environment of a notebook or command asks for it (see notebooks.py for the variables)."""
    return Store(
        results_folder(results),
        profile,
        device=os.environ.get("DIPDDPM_DEVICE") or device,
        fresh=os.environ.get("DIPDDPM_FRESH") == profile,  # notebook 07 opens others, which are not begun anew
        records_only=os.environ.get("DIPDDPM_RECORDS_ONLY") == "1",
    )
