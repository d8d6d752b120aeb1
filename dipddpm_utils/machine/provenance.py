"""What a record says about how it came about: code, packages, machine, device, threads, clock, precision, seed, time."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipddpm_utils.machine.device import clock_name, cores, first_match, kernels_fused, number_format, output_of

if TYPE_CHECKING:
    import torch

    from dipddpm_utils.config import Run

PACKAGE = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pydantic", "safetensors", "pytorch-fid")
DATA: dict[Any, str] = {}  # sha256 of each data set that this process loaded, by its configuration


def now() -> str:
    """The time now, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(config: Run | None, device: str | torch.device) -> dict[str, Any]:
    """What is needed to judge a record: code, package versions, machine, device, threads, seed, start (`finish`: the end)."""
    import torch

    device = torch.device(device)
    on_gpu = device.type == "cuda"
    facts = {
        "code": dict(code_version()),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpu_instructions": torch.backends.cpu.get_cpu_capability(),  # others may add in another order, and take other seconds
        "cpu_count": cores(),
        "threads": torch.get_num_threads(),
        "clock": clock_name(device),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if on_gpu else cpu_model(),
        "cuda": torch.version.cuda if on_gpu else None,
        **({"compiled": kernels_fused()} if on_gpu or kernels_fused() else {}),
        "start": now(),
        "end": None,
    }
    if config is not None:
        from dipddpm_utils.config import run_hash

        facts |= {"kind": config.kind, "hash": run_hash(config), "seed": config.seed}
        optim = getattr(getattr(config, "model", config), "optim", None)
        facts |= {} if optim is None else {"precision": number_format(device, optim.precision)}
    return facts


def hardware(facts: Mapping[str, Any]) -> str:
    """'AMD EPYC (AVX512), 2 threads', of a record's provenance; two processors of one name may differ severalfold in speed."""
    known = facts.get("cpu_instructions") if facts["device"] == "cpu" else None  # early records do not have it
    name = f"{facts['device_name']} ({known})" if known else facts["device_name"]
    return f"{name}, {facts['threads']} thread{'s' * (facts['threads'] != 1)}"


def machine(device: str | torch.device) -> str:
    """'AMD EPYC (AVX512), 2 threads, torch 2.14.1': what a measured number of seconds is of."""
    return f"{hardware(provenance(None, device))}, torch {_version('torch')}"


def finish(facts: dict[str, Any], config: Run) -> dict[str, Any]:
    """A copy of `provenance`'s facts with the end time set, and the sha256 of the data that the run loaded."""
    data = {part.name: DATA[part] for part in config.parts() if part in DATA}
    return {**facts, "end": now(), **({"data": data} if data else {})}


@lru_cache(maxsize=1)
def code_version() -> dict[str, Any]:
    """Package version, SHA-256 of its .py files, and in a checkout the git commit and whether the package differs from it."""
    sources = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        sources.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    top = output_of(["git", "-C", str(PACKAGE), "rev-parse", "--show-toplevel"]).strip()
    commit = dirty = None
    if top and Path(top).resolve() == PACKAGE.parent:  # else it is installed inside some other project's checkout
        commit = output_of(["git", "-C", top, "rev-parse", "--verify", "-q", "HEAD"]).strip() or None
        dirty = commit is None or bool(output_of(["git", "-C", top, "status", "--porcelain", "--", PACKAGE.name]).strip())
    version = _version("dipddpm-utils")
    if version is None:  # it is used from its checkout without being installed
        with suppress(OSError, KeyError, ValueError):
            version = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]["version"]
    return {"version": version, "commit": commit, "dirty": dirty, "sha256": sources.hexdigest()}


@lru_cache(maxsize=1)
def cpu_model() -> str:
    """The processor's name; its architecture where the system tells no name."""
    name = first_match(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo"))
    return name or platform.processor() or platform.machine()


@lru_cache
def _version(package: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None
