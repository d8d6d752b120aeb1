"""The committed records, held in memory: what figures, tables and sentences are tested on. Tests may change them at will."""

from __future__ import annotations

import copy
import dataclasses
from functools import cache
from pathlib import Path

import pytest

from dipddpm_utils.page.lab import Lab
from dipddpm_utils.store.records import Record

RESULTS = Path(__file__).parents[1] / "results"
NETS = ("2conv", "5conv", "resnet18", "skip")


@cache
def _read(folder: Path) -> Record:
    return Record(folder)


class Records(Lab):
    """A lab over the records of a committed profile; what a test changes in one stays in this lab.

    Runs without a record are left out. seeds: keep only the first ones. without: groups said not to be declared.
    """

    def __init__(self, profile: str = "standard", *, seeds: int | None = None, without: tuple[str, ...] = ()) -> None:
        super().__init__(profile, str(RESULTS))
        self.store.records_only = True
        groups = {
            name: [m for m in members if self._folder(m.entry.run).exists() and m.entry.run.seed < (seeds or 99)]
            for name, members in self.profile.groups.items()
            if name not in without
        }
        self.profile = dataclasses.replace(self.profile, groups=groups)

    def has(self, *groups: str) -> bool:
        return all(self.profile.groups.get(name) for name in groups)

    def _folder(self, run) -> Path:
        return self.store.folder(run) / "record.json"

    def _used(self, run) -> Record:
        folder = self._folder(run).parent
        if folder.name not in self.used:
            self.used[folder.name] = copy.deepcopy(_read(folder))
        return self.used[folder.name]

    def members(self, group: str):
        """(label, value, record) of each member of a group."""
        return [(member.label, member.value, self._used(member.entry.run)) for member in self.profile.group(group)]

    def set(self, group: str, **metrics) -> None:
        """Change metrics of a group's records: name -> function of (record, label, value), times a seed's own factor."""
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
