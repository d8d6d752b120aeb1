"""Runs the notebooks in order, counts what they computed and what they took from records, builds the page."""

import os
import sys
from pathlib import Path

from dipddpm_utils.driver import nbfiles
from dipddpm_utils.driver.runner import Job, Result, Runner, shown
from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import OutOfTime
from dipddpm_utils.machine.interrupt import CleanStop
from dipddpm_utils.store.runs import Store


def drive(job: Job) -> int:
    """Run the job's notebooks and build its page; returns the exit code (0, 1, 75 or 130). UsageError before anything runs."""
    sources = nbfiles.find(job.folder, job.only)
    values = nbfiles.checked(sources, job.parameters)
    store = Store(job.results, job.profile, fresh=job.fresh, records_only=job.records_only)
    if job.records_only:
        store.refuse_losses()
    files.check_writable(job.root / "notebooks")  # a read-only folder is said now, not in an hour
    complete = say_what_is_there(store)
    with CleanStop() as stop:
        # where nothing has to be computed, two notebooks at a time: their kernels mostly wait for imports
        at_a_time = min(2, os.cpu_count() or 1) if complete or job.records_only else 1
        results = Runner(job, values, stop).run(sources, at_a_time)
        print_table(results)
        return finish(job, store, results, stop)


def say_what_is_there(store: Store) -> bool:
    """Say how much of the profile is computed already; true if all of it is."""
    states = [store.state(entry.run) for entry in store.profile.entries.values()]
    done = states.count("complete")
    hint = " (--fresh computes everything anew)" if done and store.round is None and not store.records_only else ""
    print(f"profile {store.profile.name}: {done} of {len(states)} runs have records in {shown(store.source)}{hint}", flush=True)
    return done == len(states)


def finish(job: Job, store: Store, results: list[Result], stop: CleanStop) -> int:
    """The sentence after the table, the page, and the exit code."""
    computed, taken = sum(r.computed for r in results), sum(r.from_records for r in results)
    print(f"\n{computed} run{'' if computed == 1 else 's'} computed, {taken} taken from records.")
    for result in results:
        if result.error:
            print(f"{result.state} {result.name}: {result.error}", file=sys.stderr)
    if stop.asked:
        print(f"stopped by {stop.why}; nothing is lost, and the same command goes on from there", file=sys.stderr)
        return stop.exit_code
    if any(r.state == "STOPPED" for r in results):
        print("the time budget ran out; everything is saved, and the same command goes on from there", file=sys.stderr)
        return OutOfTime.exit_code
    page = build_page(job)
    print(f"report: {shown(page)}")
    if any(r.state == "FAIL" for r in results):
        return 1
    store.publish()
    store.end_fresh()
    return 0


def build_page(job: Job) -> Path:
    """`report.html` from all executed notebooks of the profile, also those of earlier commands."""
    from dipddpm_utils.page import html

    drawn = [(s.title, job.root / "notebooks" / s.path.name) for s in nbfiles.find(job.folder)]
    front = job.front(job.results, job.profile) if job.front else ""
    page = html.build(drawn, front)
    for problem in page.problems:
        print(f"report.html: {problem}", file=sys.stderr)
    return files.write_text(job.root / "report.html", page.text)


def print_table(results: list[Result]) -> None:
    width = max(len("notebook"), *(len(r.name) for r in results))
    print(f"\n{'notebook':{width}}  {'result':7}  {'seconds':>8}  {'computed':>8}  {'from records':>12}")
    for r in results:
        print(f"{r.name:{width}}  {r.state:7}  {r.seconds:8.1f}  {r.computed:8}  {r.from_records:12}")


def default_profile() -> str:
    """'full' where torch can use a CUDA GPU, else 'quick'. torch is loaded only where there is an NVIDIA GPU."""
    from dipddpm_utils.machine import device as machine_device

    return "full" if machine_device.nvidia_gpus() and machine_device.pick_device("auto").type == "cuda" else "quick"
