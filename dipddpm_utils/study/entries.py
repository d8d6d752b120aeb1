"""A profile: runs by name, group and configuration, in the order in which they should be computed."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dipddpm_utils.config import Run, run_hash
from dipddpm_utils.machine.errors import ConfigError, UsageError

Seeds = int | Sequence[int]  # 0, 1, ... so many of them, or these


@dataclass(frozen=True)
class Entry:
    """A declared run: its name carries its seed, and its folder is `<name>-<hash>`."""

    name: str
    run: Run
    hash: str

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.hash}"


@dataclass(frozen=True)
class Member:
    """A run's place in a group: the label and value that set it apart there, and whether it is the common anchor."""

    entry: Entry
    label: str
    value: Any
    anchor: bool = False


@dataclass(frozen=True)
class By:
    """The value of a setting that is drawn by another sampler than the others of its group."""

    value: float
    sampler: str  # its title

    def __str__(self) -> str:
        return f"{self.value:g} {self.sampler}"


@dataclass
class Profile:
    """All runs of one profile. `run` and `member` declare, the others look up."""

    name: str
    about: str = ""  # what it is for
    folder: str = ""  # of its records below results/
    entries: dict[str, Entry] = field(default_factory=dict)
    groups: dict[str, list[Member]] = field(default_factory=dict)
    _by_hash: dict[str, Entry] = field(default_factory=dict, repr=False)

    def run(self, name: str, run: Run, seeds: Seeds = 1) -> None:
        """Declare a run; its seeds are a group of its name."""
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            self.member(name, f"seed {seed}", run, (seed,), value=seed, name=name)

    def member(
        self, group: str, label: str, run: Run, seeds: Seeds = 1, *, value: Any = None, name: str = "", anchor: bool = False
    ) -> None:
        """Declare a run of a group. value: its label unless given; name: group and label unless given.

        The seed is also that of every run it is built on. A run that is declared twice is one entry under its first name.
        """
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            full_name = f"{name or f'{group} {label}'}-s{seed}".replace(" ", "-")
            seeded = run.mapped(lambda one, seed=seed: one.model_copy(update={"seed": seed}) if isinstance(one, Run) else one)
            digest = run_hash(seeded)
            entry = self._by_hash.setdefault(digest, Entry(full_name, seeded, digest))
            if self.entries.setdefault(entry.name, entry) is not entry:
                raise ConfigError(f"profile {self.name} declares two different runs {full_name}: rename one of them")
            self.groups.setdefault(group, []).append(Member(entry, label, label if value is None else value, anchor))

    def members(self, group: str, runs: Mapping[str, Run], seeds: Seeds = 1) -> None:
        """Declare the runs of a group by their labels."""
        for label, run in runs.items():
            self.member(group, label, run, seeds)

    def entry(self, name: str) -> Entry:
        """The run of that name; UsageError with the nearest names if there is none."""
        if name in self.entries:
            return self.entries[name]
        near = difflib.get_close_matches(name, self.entries, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"`runs --profile {self.name}` lists them"
        raise UsageError(f"profile {self.name} has no run {name!r}: {hint}")

    def group(self, name: str) -> list[Member]:
        """The members of a group (all seeds of a run are a group too); UsageError if there is none."""
        if name in self.groups:
            return self.groups[name]
        raise UsageError(f"profile {self.name} has no group {name!r}: it has {', '.join(self.groups)}")

    def seeds(self, name: str) -> list[Entry]:
        """The same run with each of its seeds."""
        return [member.entry for member in self.group(name)]

    def find(self, run: Run) -> Entry | None:
        """The declared run with this very configuration, if there is one."""
        return self._by_hash.get(run_hash(run))
