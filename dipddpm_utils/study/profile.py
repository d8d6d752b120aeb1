"""profiles.toml turned into runs: which runs a profile declares, under which names, in which groups.

The file holds data only. `[runs.NAME]` declares a run and `[sweeps.NAME]` a group of runs that differ in a few fields
(`over`: every combination of values; `cases`: one by one); every profile has them all. `[profiles.P]` gives the sizes,
and may change or skip single runs. A string "@a.b" stands for the value at a.b, looked up in the profile first and in the
whole file second; "@runs.NAME" stands for another run.
"""

from __future__ import annotations

import difflib
import itertools
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dipddpm_utils.config import Frozen, Run, parse, run_hash
from dipddpm_utils.machine.errors import ConfigError, UsageError

FILE = Path(__file__).with_name("profiles.toml")


@dataclass(frozen=True)
class Entry:
    """A declared run: its name carries its seed, and its folder is `<name>-<hash>`."""

    name: str
    run: Run
    notebook: str  # the first notebook that needs it, for instance "03"
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


@dataclass
class Profile:
    """All runs of one profile, in the order in which they should be computed."""

    name: str
    about: str
    entries: dict[str, Entry] = field(default_factory=dict)
    groups: dict[str, list[Member]] = field(default_factory=dict)
    _by_hash: dict[str, Entry] = field(default_factory=dict, repr=False)

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

    def _add(self, group: str, name: str, run: Run, notebook: str, label: str, value: Any, anchor: bool = False) -> None:
        """A run that is declared twice, say as the anchor of several sweeps, is one entry under its first name."""
        digest = run_hash(run)
        entry = self._by_hash.get(digest)
        if entry is None:
            entry = self._by_hash[digest] = self.entries[name] = Entry(name, run, notebook, digest)
        self.groups.setdefault(group, []).append(Member(entry, label, value, anchor))


def names() -> list[str]:
    """Profiles from the smallest to the largest."""
    return list(_file()["profiles"])


@cache
def load(name: str) -> Profile:
    """All runs of a profile. UsageError: no such profile; ConfigError: profiles.toml declares something not allowed."""
    everything = _file()
    if name not in everything["profiles"]:
        raise UsageError(f"unknown profile {name!r}: choose one of {', '.join(everything['profiles'])}")
    sizes = everything["profiles"][name]
    scope = _Scope(sizes, everything)
    profile = Profile(name, sizes["about"])
    for run_name in everything["runs"]:
        _add_run(profile, scope, run_name)
    for sweep_name, sweep in everything["sweeps"].items():
        _add_sweep(profile, scope, sweep_name, _merged(sweep, sizes.get("sweeps", {}).get(sweep_name, {})))
    return profile


@cache
def part(path: str) -> dict[str, Any]:
    """A named part of the file, for instance part("unet.fast") for the fields of that U-Net preset."""
    return _at(_file(), path)


# --- how the file is read ---------------------------------------------------------------------------------------------

_NOT_CONFIG = ("seeds", "notebook", "skip")


@cache
def _file() -> dict[str, Any]:
    with FILE.open("rb") as file:
        return tomllib.load(file)


class _Scope:
    """Looks up "@a.b": in the profile's own table, then in the whole file; runs with the profile's changes applied."""

    def __init__(self, sizes: dict[str, Any], everything: dict[str, Any]) -> None:
        self.sizes, self.everything = sizes, everything

    def declared(self, name: str) -> dict[str, Any]:
        """A run's own table with the profile's changes, nothing looked up yet."""
        if name not in self.everything["runs"]:
            raise ConfigError(f"profiles.toml refers to a run {name!r} that it does not declare")
        return _merged(self.everything["runs"][name], self.sizes.get("runs", {}).get(name, {}))

    def resolve(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("@"):
            return self.resolve(self._named(value[1:]))
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if isinstance(value, dict):
            if "like" in value:  # another table, with changes
                changes = {key: item for key, item in value.items() if key != "like"}
                return self.resolve(_merged(self.resolve(value["like"]), changes))
            return {key: self.resolve(item) for key, item in value.items()}
        return value

    def _named(self, path: str) -> Any:
        if path.startswith("runs."):
            return {k: v for k, v in self.declared(path.removeprefix("runs.")).items() if k not in _NOT_CONFIG}
        for table in (self.sizes, self.everything):
            try:
                return _at(table, path)
            except KeyError:
                continue
        raise ConfigError(f"profiles.toml: nothing is named {path!r}")


def _add_run(profile: Profile, scope: _Scope, name: str) -> None:
    table = scope.declared(name)
    if scope.resolve(table.get("skip", False)):
        return
    values = scope.resolve({key: value for key, value in table.items() if key not in _NOT_CONFIG})
    for seed in range(scope.resolve(table.get("seeds", 1))):
        run = with_seed(_parsed(name, values), seed)
        profile._add(name, f"{name}-s{seed}", run, table.get("notebook", ""), f"seed {seed}", seed)


def _add_sweep(profile: Profile, scope: _Scope, name: str, sweep: dict[str, Any]) -> None:
    """Every combination of the values under `over`, labelled by the first and valued by the last unless said otherwise."""
    if scope.resolve(sweep.get("skip", False)):
        return
    if "cases" in sweep:
        return _add_cases(profile, scope, name, sweep)
    base = scope.resolve(sweep["like"])
    over = {path: scope.resolve(values) for path, values in sweep["over"].items()}
    shown = scope.resolve(sweep.get("values"))
    anchor = scope.resolve(sweep.get("anchor"))
    for place, choice in enumerate(itertools.product(*over.values())):
        values = base
        for path, value in zip(over, choice, strict=True):
            values = _merged(values, _nested(path, value))
        label = sweep.get("label", _text(choice[0]))
        value = choice[-1] if shown is None else shown[place]
        for seed in range(scope.resolve(sweep.get("seeds", 1))):
            run = with_seed(_parsed(name, values), seed)
            run_name = "-".join([name, *(_text(part) for part in choice), f"s{seed}"])
            is_anchor = anchor is not None and anchor in (value, label, list(choice))
            profile._add(sweep.get("group", name), run_name, run, sweep.get("notebook", ""), label, value, is_anchor)


def _add_cases(profile: Profile, scope: _Scope, name: str, sweep: dict[str, Any]) -> None:
    """A group spelled out: each member with its label, its value and name (the label unless said), and its changes."""
    for case in sweep["cases"]:
        label = case["label"]
        values = scope.resolve({key: value for key, value in case.items() if key not in ("label", "value", "name")})
        for seed in range(scope.resolve(sweep.get("seeds", 1))):
            run_name = "-".join([name, *case.get("name", label).split(), f"s{seed}"])
            run = with_seed(_parsed(run_name, values), seed)
            profile._add(name, run_name, run, sweep.get("notebook", ""), label, case.get("value", label))


def with_seed(run: Run, seed: int) -> Run:
    """The run with this seed, in itself and in every run that it is built on."""

    def seeded(value: Any) -> Any:
        if not isinstance(value, Frozen):
            return value
        changes = {name: seeded(getattr(value, name)) for name in type(value).model_fields}
        if isinstance(value, Run):
            changes["seed"] = seed
        return value.model_copy(update=changes)

    return seeded(run)


def _parsed(name: str, values: dict[str, Any]) -> Run:
    try:
        return parse(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"profiles.toml, run {name}: {where}: {first['msg']}") from None


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, tables merged key by key; a reference that is changed in part becomes a `like`."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            result[key] = _merged(old, value)
        elif isinstance(value, dict) and isinstance(old, str) and old.startswith("@"):
            result[key] = {"like": old, **value}
        else:
            result[key] = value
    return result


def _nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def _at(table: dict[str, Any], path: str) -> Any:
    for key in path.split("."):
        table = table[key]
    return table


def _text(value: Any) -> str:
    """A value as it stands in a run's name."""
    if isinstance(value, dict):
        return "-".join(_text(part) for part in value.values())
    return f"{value:g}" if isinstance(value, float) else str(value)
