"""The committed records, held in memory: what figures, tables and sentences are tested on. Tests may change them at will."""

from __future__ import annotations

import copy
import dataclasses
from functools import cache, cached_property
from pathlib import Path

import pytest

from dipddpm_utils.page.lab import Lab
from dipddpm_utils.store.records import Record

RESULTS = Path(__file__).parents[1] / "results"
NETS = ("2conv", "5conv", "resnet18", "skip")


@cache
def _read(folder: Path) -> Record:
    return Record(folder)


@cache
def _there(runs: Path) -> frozenset[str]:
    return frozenset(path.parent.name for path in runs.glob("*/record.json"))


class Copy(Record):
    """A record whose metrics, tables and arrays a test may change. Files are read once for all tests: most of a lab's time."""

    LAZY = ("run", "curve", "evals", "arrays")

    def __init__(self, kept: Record) -> None:
        vars(self).update({name: value for name, value in vars(kept).items() if name not in self.LAZY})
        self.kept, self.metrics = kept, dict(kept.metrics)

    run = cached_property(lambda self: self.kept.run)
    curve = cached_property(lambda self: self.kept.curve.copy())
    evals = cached_property(lambda self: self.kept.evals.copy())
    arrays = cached_property(lambda self: copy.deepcopy(self.kept.arrays))


class Records(Lab):
    """A lab over the records of a committed profile; what a test changes in one stays in this lab.

    Runs without a record are left out. seeds: keep only the first ones. without: groups said not to be declared.
    """

    def __init__(self, profile: str = "standard", *, seeds: int | None = None, without: tuple[str, ...] = ()) -> None:
        super().__init__(profile, str(RESULTS))
        self.store.records_only = True
        there = _there(self.store.source / "runs")
        groups = {
            name: [m for m in members if m.entry.folder in there and m.entry.run.seed < (seeds or 99)]
            for name, members in self.profile.groups.items()
            if name not in without
        }
        self.profile = dataclasses.replace(self.profile, groups=groups)

    def has(self, *groups: str) -> bool:
        return all(self.profile.groups.get(name) for name in groups)

    def _used(self, run) -> Record:
        folder = self.store.folder(run)
        if folder.name not in self.used:
            self.used[folder.name] = Copy(_read(folder))
        return self.used[folder.name]

    def members(self, group: str):
        """(label, value, record) of each member of a group."""
        return [(member.label, member.value, self._used(member.entry.run)) for member in self.profile.group(group)]

    def set(self, group: str, **metrics) -> None:
        """Change metrics of a group's records: name -> function of (record, label, value), times a seed's own factor."""
        self.kept = {}  # of `once`
        for label, value, record in self.members(group):
            for name, make in metrics.items():
                record.metrics[name] = make(record, label, value) * NOISE[record.seed % len(NOISE)]


NOISE = (0.99, 1.0, 1.015)  # a seed's factor


def holding(*groups: str, **options) -> Records:
    """A lab that has records of all these groups; the test is skipped where no committed profile has."""
    for name in ("standard", "full", "quick"):
        if (lab := Records(name, **options)).has(*groups):
            return lab
    pytest.skip(f"no committed profile holds {', '.join(groups)}")
