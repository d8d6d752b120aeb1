"""The run store: `ensure` reads a complete record, goes on with a partial run, or computes it."""

from __future__ import annotations

import json
import os
import pkgutil
import shlex
import shutil
import sys
import uuid
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dipddpm_utils.config import Run, run_hash
from dipddpm_utils.machine import files, locks, provenance
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.device import keep_memory, pick_device, stopwatch
from dipddpm_utils.machine.errors import StoreError, UsageError
from dipddpm_utils.machine.files import CHECKOUT
from dipddpm_utils.store import records
from dipddpm_utils.store.records import Outcome, Record, Work
from dipddpm_utils.study import profile as profiles

if TYPE_CHECKING:
    from torch import Tensor

State = Literal["complete", "partial", "absent", "stale"]
PUBLISHED = "tables/records.csv"


class Store:
    """All runs of one profile under `results/<profile>/`.

    device: see machine.device.pick_device. fresh: the command that asks to compute anew (`run --all`), empty without one:
    what was not computed in its fresh round is, and an old record stays until its new one is complete. records_only:
    compute nothing, say what is missing instead; a results folder that holds no runs of the profile is then drawn from
    the checkout's.
    """

    def __init__(
        self,
        results: Path,
        profile: str,
        *,
        device: str = "auto",
        budget: Budget | None = None,
        fresh: str = "",
        records_only: bool = False,
    ) -> None:
        self.profile = profiles.load(profile)
        images = self.profile.name.partition(":")[2]  # a folder of the user's own, if so
        if images and Path(results).resolve().is_relative_to(Path(images).resolve()):
            raise UsageError(f"the results would lie among your images in {images}, expected another --results DIR")
        self.root = Path(results) / self.profile.folder
        self.device, self.records_only = device, records_only
        self.budget = budget or Budget.from_env()
        committed = CHECKOUT / "results" / self.profile.folder
        borrowed = records_only and not (self.root / "runs").is_dir() and (committed / "runs").is_dir()
        self.source = committed if borrowed else self.root  # where the records are
        self.fresh, self.round = fresh, self._join_round(fresh) if fresh else None

    # --- where a run is and how far it got ---

    def folder(self, run: Run) -> Path:
        """`runs/<name>-<hash>`; a run that the profile does not declare is named by its kind and seed."""
        entry = self.profile.find(run)
        return self.source / "runs" / (entry.folder if entry else f"{run.kind}-s{run.seed}-{run_hash(run)}")

    def state(self, run: Run) -> State:
        """How far a run got. 'stale': complete, but not of this fresh round. StoreError: its record is damaged or another's."""
        record = self._record(run)
        if record is not None:
            return "complete" if self._is_new(record) else "stale"
        return "partial" if any(self.folder(run).glob("work*")) or (self.folder(run) / "staged").is_dir() else "absent"

    def load(self, run: Run) -> Record:
        """The record of a complete run; StoreError if it is not there, is damaged, or another run's."""
        record, name = self._record(run), self.folder(run).name
        if record is None:
            how = self.command(f"run {name.rpartition('-')[0]}")
            raise StoreError(f"run {name} has no record in profile {self.profile.name}: compute it with `{how}`")
        return record

    def examined(self, run: Run) -> tuple[str, Record | None, str]:
        """(state, its whole record if complete, what is wrong with it): 'damaged' where something is."""
        try:
            if (state := self.state(run)) != "complete":
                return state, None, ""
            record = self.load(run)
            record.check()
        except StoreError as error:
            return "damaged", None, str(error)
        return state, record, ""

    def command(self, words: str) -> str:
        """The command that does this for the profile in this folder of results, as it can be typed."""
        where = "" if self.root.parent == CHECKOUT / "results" else f" --results {shlex.quote(str(self.root.parent))}"
        return f"python -m dipddpm_utils {words} --profile {shlex.quote(self.profile.name)}{where}"

    def _record(self, run: Run) -> Record | None:
        folder = self.folder(run)
        return None if (folder / records.STAGED).exists() else records.find(folder)

    def _is_new(self, record: Record) -> bool:
        return self.round is None or record.provenance.get("round") == self.round

    # --- what the page was drawn from ---

    def publish(self) -> None:
        """Note in tables/records.csv which runs the page was drawn from, so that one that is lost will be missed."""
        if self.source == self.root:
            listed, entries = self._published(), self.profile.entries.values()
            drawn = [entry.folder for entry in entries if entry.folder in listed or self._record(entry.run) is not None]
            files.write_text(self.root / PUBLISHED, "\n".join(["record", *drawn]))

    def refuse_losses(self) -> None:
        """StoreError if a run that the page was drawn from, and that is declared still, has no record any more."""
        listed, entries = self._published(), self.profile.entries.values()
        lost = [entry.name for entry in entries if entry.folder in listed and self._record(entry.run) is None]
        if lost:
            raise StoreError(
                f"profile {self.profile.name} lost {len(lost)} of the {len(listed)} records its page was drawn from "
                f"({', '.join(lost[:3])}{', ...' * (len(lost) > 3)}): bring them back with `git checkout`, or compute them "
                f"with `{self.command('run --all')}`; if they are not wanted, remove {self.source / PUBLISHED}"
            )

    def _published(self) -> set[str]:
        path = self.source / PUBLISHED
        return set(path.read_text(encoding="utf-8", errors="replace").split()[1:]) if path.exists() else set()

    # --- getting a record ---

    def ensure(self, run: Run, *, quiet: bool = False, weights: bool = False) -> Record:
        """The record of a run: read if complete, else computed, going on from its last checkpoint.

        weights: its trained weights are needed, too. A clone has records only: then it is computed again.
        Raises OutOfTime when the budget ends first (everything is saved), StoreError for a record that was altered, and
        whatever error the computation ends with; what was there before is kept in each case.
        """
        record = self._usable(run, weights)
        if record is None:
            return self._computed(run, weights)
        if not quiet:
            self._event(record.folder.name, "record")
        return record

    def weights(self, run: Run) -> dict[str, Tensor]:
        """Trained weights of a run, computed if need be."""
        from safetensors.torch import load

        record = self.ensure(run, quiet=True, weights=True)
        path = record.folder / records.WEIGHTS
        data = path.read_bytes()
        if files.sha256_bytes(data) != record.weights_sha256:
            raise StoreError(
                f"{path} is not what its record says (its checksum differs): remove it and run the same command again"
            )
        return load(data)

    def can_be_built_on(self, run: Run) -> bool:
        """Whether a run's record is complete and its weights, which no clone has, are here."""
        return self._usable(run, weights=True) is not None

    def _usable(self, run: Run, weights: bool) -> Record | None:
        """A run's whole record if there is one, of this fresh round and, where its weights are needed, with them."""
        record = self._record(run)
        if record is None or not self._is_new(record):
            return None
        record.check()
        lacks = weights and record.weights_sha256 is not None and not (record.folder / records.WEIGHTS).exists()
        return None if lacks else record

    def _computed(self, run: Run, weights: bool) -> Record:
        folder = self.folder(run)
        if self.records_only and not (folder / records.STAGED).exists():
            return self.load(run)
        with self._locked(folder):
            for litter in folder.rglob(".*.tmp"):  # of a process that was killed while it wrote
                litter.unlink(missing_ok=True)
            records.finish_move(folder)
            if record := self._usable(run, weights):
                self._event(folder.name, "record")  # another process was first
                return record
            self.budget.check()
            again = weights and self.state(run) == "complete"
            why = " again: its weights, which no clone has, are needed; its record is replaced by that of this machine" * again
            print(f"computing {folder.name}{why}", file=sys.stderr, flush=True)
            device = pick_device(self.device, to_compute=True)
            keep_memory()
            facts = provenance.provenance(run, device) | ({"round": self.round} if self.round else {})
            checkpoints = folder / (f"work-{self.round}" if self.round else "work")  # none from before a fresh round
            outcome = compute(run, Work(checkpoints, self.budget, str(device), folder.name, self))
            name = folder.name.removesuffix(f"-{run_hash(run)}")
            record = records.write(folder, name, run, outcome, provenance.finish(facts, run), provenance.now())
            for done in folder.glob("work*"):
                shutil.rmtree(done, ignore_errors=True)
            self._event(folder.name, "computed")
        return record

    # --- one at a time, and only in time ---

    def _locked(self, folder: Path) -> AbstractContextManager[None]:
        """While entered, this process works in a folder and the others wait."""
        files.check_writable(folder)
        return locks.locked(folder / ".lock", f"that is computing {folder.name}", self.budget.check)

    # --- a fresh round ---

    def _join_round(self, command: str) -> str:
        """The id of the fresh round that was begun and not ended, else of a new one; the records of the round carry it."""
        path = self.root / "fresh.json"
        with self._locked(self.root):
            if is_new := not path.exists():
                files.write_json(path, {"round": uuid.uuid4().hex[:12], "by": command, "since": provenance.now()})
            begun = self._begun()
        if not is_new:
            ends = "" if begun["by"] == command else f"; it ends when that is through, or when {path} is removed"
            print(f"going on with the fresh round that `{begun['by']}` began at {begun['since']}{ends}", file=sys.stderr)
        return begun["round"]

    def _begun(self) -> dict[str, str]:
        begun = files.read_json(self.root / "fresh.json")
        if isinstance(begun, dict) and {"round", "by", "since"} <= begun.keys():
            return begun
        raise StoreError(f"{self.root / 'fresh.json'} tells of no fresh round: remove it and run the same command again")

    def end_fresh(self) -> None:
        """Close the fresh round if this store's command began it: every run that was asked for is new."""
        path = self.root / "fresh.json"
        if self.round is None:
            return
        with self._locked(self.root):
            if path.exists():
                begun = self._begun()
                if (begun["round"], begun["by"]) == (self.round, self.fresh):  # another may have been begun meanwhile
                    path.unlink()

    def _event(self, run: str, action: str) -> None:
        if path := os.environ.get("DIPDDPM_EVENTS"):
            with suppress(OSError), open(path, "a", encoding="utf-8") as file:  # a full disk: counts alone depend on it
                file.write(json.dumps({"run": run, "action": action}) + "\n")


def compute(run: Run, work: Work) -> Outcome:
    """Compute a run. Raises OutOfTime with everything saved in `work.folder`; the next call goes on from there."""
    since = stopwatch(work.device)
    outcome = pkgutil.resolve_name(run.computed_by)(run, work)
    outcome.timings.setdefault("total", since())
    return outcome


def results_folder(given: str | Path = "") -> Path:
    """The results folder: the one given, else DIPDDPM_RESULTS, else results/ of this checkout. StoreError: it cannot be one."""
    named = given or os.environ.get("DIPDDPM_RESULTS")
    if not named and CHECKOUT.name in ("site-packages", "dist-packages"):
        raise StoreError("this package is installed without its checkout: say with --results DIR where results are to be kept")
    folder = files.expanded(named or CHECKOUT / "results").absolute()
    for place in (folder, *folder.parents):
        if os.path.lexists(place) and not place.is_dir():
            what = f"a link to {os.readlink(place)}, which is not there" if place.is_symlink() else "not a folder"
            raise StoreError(f"{place} is {what}: make that a folder, or choose another one with --results DIR")
    return folder


def open_store(profile: str, results: str | Path = "", device: str = "auto", records_only: bool = False) -> Store:
    """A store as the environment of a notebook or command asks for it (see driver/notebooks.py for the variables)."""
    return Store(
        results_folder(results),
        profile,
        device=os.environ.get("DIPDDPM_DEVICE") or device,
        fresh="notebooks" if os.environ.get("DIPDDPM_FRESH") == profile else "",  # claims come from other profiles, too
        records_only=records_only or os.environ.get("DIPDDPM_RECORDS_ONLY") == "1",
    )
