"""Where `run` computes: in its own process, or as jobs on this machine or a cluster. Here its options are checked."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import click

from dipddpm_utils.machine.errors import UsageError

LIMIT = {"slurm": "2h", "local": "8760h"}  # of a job; what takes longer is saved and queued again


@dataclass(frozen=True)
class Place:
    """Where jobs run, how many at once, and what each may take: minutes, GPUs, a partition (the cluster's own if empty)."""

    on: str
    jobs: int
    minutes: int
    gpus: int = 0
    partition: str = ""


def options(command: Callable) -> Callable:
    """The options of a command line that become a `place`."""
    many = click.IntRange(min=1)
    for option in (
        click.option("--gpus", type=many, metavar="N", help="slurm: GPUs of each job [none]."),
        click.option("--time", "limit", metavar="2h", help="Of each job; then it saves and is queued again [slurm: 2h]."),
        click.option("--partition", metavar="NAME", help="slurm: where to queue [the cluster's own choice]."),
        click.option("--jobs", type=many, metavar="N", help="Jobs at once [slurm: 8, local: one a core]."),
        click.option("--on", type=click.Choice(["slurm", "local"]), help="As jobs of a cluster, or processes of this machine."),
        click.option("--workers", type=many, metavar="N", help="Short for --on local --jobs N."),
    ):
        command = option(command)
    return command


def place(
    on: str | None, workers: int | None, jobs: int | None, partition: str | None, limit: str | None, gpus: int | None
) -> Place | None:
    """Where the options want the runs to be computed, None for this very process. UsageError if they do not go together."""
    asked = {"--jobs": jobs, "--partition": partition, "--gpus": gpus, "--time": limit}
    given = [name for name, value in asked.items() if value]
    if workers and (on or jobs):
        raise UsageError("--workers N is short for --on local --jobs N: give one or the other")
    on, jobs = ("local", workers) if workers else (on, jobs)
    if on is None:
        if given:
            raise UsageError(f"{given[0]} needs a place: give --on slurm or --on local with it")
        return None
    if on == "local" and (partition or gpus):
        raise UsageError("--partition and --gpus are for --on slurm: on this machine a job uses the GPU that is there")
    minutes = time_limit(limit or LIMIT[on])
    if importlib.util.find_spec("submitit") is None:
        raise UsageError("--on and --workers need the package submitit: python -m pip install submitit")
    if on == "slurm" and shutil.which("sbatch") is None:
        raise UsageError("no SLURM here (no sbatch on PATH): go where jobs can be submitted, or use --on local")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Place(on, jobs or (8 if on == "slurm" else cores), minutes, gpus or 0, partition or "")


def time_limit(text: str) -> int:
    """Minutes of '2h', '90m' or '1h30m'; UsageError for anything else or less than two."""
    found = re.fullmatch(r"(?:([0-9]+)h)?(?:([0-9]+)m)?", text)
    minutes = 60 * int(found[1] or 0) + int(found[2] or 0) if found else 0
    if minutes < 2:
        raise UsageError(f"--time is {text!r}, expected two minutes or more as 2h, 90m or 1h30m")
    return minutes
