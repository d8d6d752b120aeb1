"""Run the programs named, or all: python -m benchmarks [training_step] [frechet_distance] [run_store]."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime

import torch

from dipddpm_utils import files, runtime
from dipddpm_utils.runs import results_folder

PROGRAMS = ("training_step", "frechet_distance", "run_store")


def main(names: list[str]) -> int:
    """Print a row as soon as it is measured, keep all of them in results/bench/<device>.json, and return the exit code."""
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}: choose from {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    device = str(runtime.pick_device())
    path = results_folder() / "bench" / f"{device}.json"
    kept: dict[str, list[dict]] = {}
    if path.exists():
        for row in files.read_json(path)["rows"]:
            kept.setdefault(row["program"], []).append(row)
    for name in names or PROGRAMS:
        kept[name] = []
        for row in importlib.import_module(f"benchmarks.{name}").rows():
            kept[name].append({"program": name, **row.plain()})
            met = {True: "met", False: "not met", None: ""}[row.met]
            low, high = row.spread
            print(
                f"{row.name}: {row.value:.3g} [{low:.3g}, {high:.3g}] {row.unit}, target {row.target}: {met} ({row.note})",
                flush=True,
            )
    about = {"made": datetime.now(UTC).isoformat(timespec="seconds"), **runtime.provenance(None, torch.device(device))}
    files.write_json(path, {"machine": about, "rows": [row for name in PROGRAMS for row in kept.get(name, [])]})
    print(f"kept in {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
