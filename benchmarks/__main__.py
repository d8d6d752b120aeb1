"""Run the programs named, or all: python -m benchmarks [--brief] [--device NAME] [--out FOLDER] [NAME]..."""

from __future__ import annotations

import argparse
import importlib
import io
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.pairs import Row, Setting
from dipddpm_utils.machine import device as machine_device
from dipddpm_utils.machine import files, provenance
from dipddpm_utils.machine.errors import DipddpmError
from dipddpm_utils.store.runs import results_folder

PROGRAMS = (
    "training_step",
    "own_size",
    "seconds_to_quality",
    "one_sitting",
    "sampling",  # after seconds_to_quality, whose model it takes
    "machine_share",
    "dip_images",
    "frechet_distance",
    "bundle",
    "growth",
)


def main(arguments: list[str]) -> int:
    """Print a row as soon as it is measured, keep all of them, draw, and return the exit code: 1 if a program failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROGRAMS)} (default: all)")
    parser.add_argument("--brief", action="store_true", help="tiny sizes, to see that it runs; kept only with --out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--out", type=Path, help="folder of the results [results/bench]")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in PROGRAMS]:
        parser.error(f"unknown benchmark {unknown[0]!r}: choose from {', '.join(PROGRAMS)}")
    try:
        device = machine_device.pick_device(given.device, to_compute=True)
        folder = given.out or (None if given.brief else results_folder() / "bench")
        content = _kept(folder, device)
    except DipddpmError as error:
        parser.exit(error.exit_code, f"{parser.prog}: {error}\n")
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(device, Path(scratch), given.brief)
        for name in given.names or PROGRAMS:
            began = time.perf_counter()
            print(f"-- {name}", flush=True)
            rows, curves = [], []
            try:
                for item in importlib.import_module(f"benchmarks.{name}").rows(setting):
                    made = {"program": name, "machine": provenance.machine(setting.device), **item.plain()}
                    (rows if isinstance(item, Row) else curves).append(made)
                    if isinstance(item, Row):
                        print(said(item), flush=True)
            except Exception:  # the other programs' numbers are worth having, and so are this one's so far
                traceback.print_exc()
                failed.append(name)
            for key, new in (("rows", rows), ("curves", curves)):
                content[key] = [old for old in content[key] if old["program"] != name] + new
            print(f"-- {name}: {time.perf_counter() - began:.0f} s", flush=True)
            if folder is not None:
                keep(folder, device, content)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def said(row: Row) -> str:
    """A row as a line."""
    low, high = row.spread
    met = {True: ": met", False: ": not met", None: ""}[row.met]
    target = "" if row.target is None else f", target {row.target:g}{met}"
    return f"{row.name}: {row.value:.3g} [{low:.3g}, {high:.3g}] {row.unit}{target} ({row.note})"


def keep(folder: Path, device: torch.device, content: dict[str, Any]) -> None:
    """Write <device>.json, <device>.csv and <device>-<figure>.png, rows in the order of the programs."""
    from dipddpm_utils.page import images, speed

    order = {name: index for index, name in enumerate(PROGRAMS)}
    for key in ("rows", "curves"):
        content[key] = sorted((row for row in content[key] if row["program"] in order), key=lambda row: order[row["program"]])
    machine = {"made": datetime.now(UTC).isoformat(timespec="seconds"), **provenance.provenance(None, device)}
    content = {"machine": machine, **{key: content[key] for key in ("rows", "curves")}}
    path = files.write_json(folder / f"{device.type}.json", content)
    files.write_text(path.with_suffix(".csv"), speed.table(content).to_csv(index=False, lineterminator="\n"))
    for name in speed.TITLES:
        figure = speed.curves(content, name)
        if figure is not None:
            data = io.BytesIO()
            figure.savefig(data, dpi=110, facecolor="white", metadata={"Software": None})
            files.write_bytes(folder / f"{device.type}-{name}.png", images.with_fewer_colours(data.getvalue()))


def _kept(folder: Path | None, device: torch.device) -> dict[str, Any]:
    """What earlier calls measured on this kind of device."""
    from dipddpm_utils.page import speed

    path = None if folder is None else folder / f"{device.type}.json"
    return speed.read(path) if path is not None and path.exists() else {"rows": [], "curves": []}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
