"""The bundle itself: redrawn from records without torch, quick to import, small in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

from benchmarks import children
from benchmarks.pairs import Row, Setting, row
from dipddpm_utils.front import strongest
from dipddpm_utils.store.runs import CHECKOUT, Store

TRAP = """import os, pathlib
pathlib.Path(os.environ["TORCH_TRAP"]).touch()
raise ImportError("the way from records to the page imports torch")
"""
ENGINE = "dipddpm_utils.priors.train, dipddpm_utils.dip.run, dipddpm_utils.store.runs"
IMPORT = "import time, torch\nbegan = time.perf_counter()\n{what}\nprint(time.perf_counter() - began)"
COMPUTE = """
import sys
from pathlib import Path
from dipddpm_utils.store import runs
from dipddpm_utils.study import profile as profiles
from dipddpm_utils.study.sizes import changed
name, folder, steps, device = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
run = profiles.load("quick").entry(name).run
if hasattr(run, "optim"):
    run = changed(run, optim=changed(run.optim, steps=steps))
else:
    run = changed(run, iterations=steps, snapshots=(steps,))
if hasattr(run, "evaluate"):
    few = changed(run.evaluate.final_sampler, steps=3)
    run = changed(run, evaluate=changed(run.evaluate, every=steps, final_sampler=few))
runs.Store(Path(folder), "quick", device=device).ensure(run)
"""
# run -> steps: memory is the same for more
HEAVIEST = {"ddpm-long-s0": 40, "dip-resnet18-s0": 5, "dip-images-resnet18-s0": 10}


def rows(setting: Setting) -> Iterator[Row]:
    """Seconds of an import, peak memory of the heaviest runs, seconds of a redraw."""
    repeats = setting.pick(7, 2)
    for name, what, target in (
        ("import dipddpm_utils, beyond torch", "import dipddpm_utils", 0.3),
        ("import of the whole engine, beyond torch", f"import {ENGINE}", None),
    ):
        spent = [float(children.run(["-c", IMPORT.format(what=what)]).output.split()[-1]) for _ in range(repeats)]
        yield row(name, spent, at_most=target)
    folder = setting.scratch / "memory"
    for name, steps in list(HEAVIEST.items())[: setting.pick(3, 1)]:
        child = children.run(["-c", COMPUTE, name, str(folder), str(setting.pick(steps, 25)), str(setting.device)])
        note = "the process that computes it; all sizes as in quick, fewer steps"
        yield row(f"peak memory, quick's {name.removesuffix('-s0')}", [child.peak / 1e9], "GB", note, at_most=2.5)
    shutil.rmtree(folder)
    yield from _redraw(setting)


def _redraw(setting: Setting) -> Iterator[Row]:
    """Everything redrawn from the committed records, with a trap where torch would be found."""
    results, trap = setting.scratch / "results", setting.scratch / "trap" / "torch"
    profile = strongest(CHECKOUT / "results")
    records = CHECKOUT / "results" / profile / "runs"
    store = Store(CHECKOUT / "results", profile, records_only=True)
    if any(store.state(entry.run) != "complete" for entry in store.profile.entries.values()):
        print(f"no row for a redraw: profile {profile} has not all its records", flush=True)
        return
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text(TRAP)
    marker = setting.scratch / "torch-was-imported"
    spent = []
    for _ in range(setting.pick(3, 1)):
        shutil.rmtree(results, ignore_errors=True)
        shutil.copytree(records, results / profile / "runs")
        arguments = ["-m", "dipddpm_utils", "report", "--profile", profile, "--results", str(results)]
        spent.append(children.run(arguments, PYTHONPATH=str(trap.parent), TORCH_TRAP=str(marker)).seconds)
    pages = list(results.rglob("report.html"))
    seen = "was" if marker.exists() else "was not"
    note = f"profile {profile}, torch {seen} imported; {len(pages)} page, every figure and table"
    redrawn = row("redraw from records", spent, note=note, at_most=60.0)
    yield redrawn if not marker.exists() else replace(redrawn, met=False)
