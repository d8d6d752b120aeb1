"""Many runs as jobs, each after those that it is built on: `run --on slurm`, `run --on local`, `run --workers 2`."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import click

from dipddpm_utils.config import Ddpm, Restore, Run
from dipddpm_utils.driver.jobs import Local, Place, Slurm
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import OutOfTime, StoreError
from dipddpm_utils.machine.process import CleanStop
from dipddpm_utils.store.runs import Store

ROWS = 16  # of the table of states

# --- which runs, in which order ---------------------------------------------------------------------------------------


def built_on(run: Run) -> list[Run]:
    """The runs that stand anywhere in a configuration's fields, and the bank that a model is trained on."""
    if isinstance(run, Restore) and not run.t_starts:  # no chains: its model says what is restored, and is not asked for
        return []
    parts = list(run.parts())
    banks = [part.bank for part in parts if isinstance(part, Ddpm) and part.bank is not None]
    return [*banks, *(part for part in parts if isinstance(part, Run) and part is not run)]


@dataclass
class Item:
    """A run that has to be computed, the names of those that must be there first, and how far it got."""

    name: str
    run: Run
    needs: list[str]
    state: str = "waits"  # then submitted, what SLURM says, ended, and in the end complete or failed
    job: str = ""  # while it has one
    since: float = field(default_factory=time.monotonic)

    def now(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, time.monotonic()


class Campaign:
    """What is wanted and not there, behind what it is built on. `look` and `submit` carry it on; `news` says what failed."""

    def __init__(self, store: Store, runs: list[Run], engine: Any, jobs: int) -> None:
        self.store, self.engine, self.jobs = store, engine, jobs
        self.items: dict[str, Item] = {}
        self.news: list[str] = []
        for run in runs:
            if not self._holds(lambda run: store.state(run) == "complete", run):
                self._add(run)

    def _holds(self, question: Callable[[Run], bool], run: Run) -> bool:
        """False also where a record is damaged: that is said when it is the run's turn."""
        try:
            return question(run)
        except StoreError:
            return False

    def _add(self, run: Run) -> str:
        name = self.store.folder(run).name
        if name not in self.items:
            needs = [self._add(part) for part in built_on(run) if not self._holds(self.store.can_be_built_on, part)]
            self.items[name] = Item(name, run, needs)
        return name

    def open(self) -> list[Item]:
        """What is not yet complete and has not failed, in order."""
        return [item for item in self.items.values() if item.state not in ("complete", "failed")]

    def live(self) -> list[Item]:
        """What has a job."""
        return [item for item in self.open() if item.job]

    def look(self) -> None:
        """Bring every state up to date with the queue and the store."""
        queue = self.engine.live()
        for item in self.open():
            if item.name in queue:
                item.job, state = queue[item.name]
                item.now(state)
                continue
            try:
                there = self.store.can_be_built_on(item.run)
            except StoreError as error:
                self._failed(item, str(error))
                continue
            if there:
                item.now("complete")
                if item.job:
                    self.engine.forget(item.job)
            elif item.job:
                self._ended(item)
            elif failed := [name for name in item.needs if self.items[name].state == "failed"]:
                self._failed(item, f"not begun, for it is built on {failed[0]}")

    def _ended(self, item: Item) -> None:
        """A job is gone and left no record: it was cut off, and another goes on where it was; or it failed."""
        item.now("ended")
        if time.monotonic() - item.since < self.engine.lag:
            return
        why, item.job = self.engine.why(item.job), ""
        if OutOfTime.__name__ in why:
            item.now("waits")
        else:
            self._failed(item, why)

    def _failed(self, item: Item, why: str) -> None:
        item.now("failed")
        self.news.append(f"{item.name}: {why}")

    def submit(self) -> None:
        """Submit what nothing is missing for, in order, while there is room; what is timed gets a GPU that jobs share alone."""
        ready = [i for i in self.open() if not i.job and all(self.items[name].state == "complete" for name in i.needs)]
        for item in ready:
            live = self.live()
            alone = self.engine.shared and any(one.run.timed for one in (item, *live))
            if len(live) < (1 if alone else self.jobs):
                item.job = self.engine.submit(item.name, item.run)
                item.now("submitted")


# --- the command ------------------------------------------------------------------------------------------------------


class Table:
    """The states of all runs while the command waits: a terminal's is redrawn, else at most about twenty lines are printed."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign, self.height, self.slot = campaign, 0, -1

    def show(self) -> None:
        counts = Counter(item.state for item in self.campaign.items.values())
        if not counts:
            return
        others = "".join(f", {n} {state}" for state, n in sorted(counts.items()) if state != "complete")
        lines = [f"{counts['complete']} of {counts.total()} runs computed{others}"]
        if terminal := sys.stdout.isatty():
            now, live = time.monotonic(), self.campaign.live()[:ROWS]
            lines[:0] = [f"{i.name:40}  {i.state:10}  {i.job:>9}  {now - i.since:6.0f} s" for i in live]
        elif (slot := counts["complete"] * 20 // counts.total()) != self.slot:
            self.slot = slot
        else:
            lines = []
        click.echo(f"\x1b[{self.height}F\x1b[J" * bool(self.height), nl=False)
        while self.campaign.news:
            click.echo(self.campaign.news.pop(0), err=True)
        for line in lines:
            click.echo(line)
        self.height = len(lines) * terminal


def drive(store: Store, runs: list[Run], place: Place, deadline: float | None = None) -> int:
    """Compute runs as jobs and return the exit code. Ctrl-C or SIGTERM ends jobs of this machine, leaves a cluster's."""
    with CleanStop(outlived=True) if place.on == "local" else nullcontext() as stop:
        budget = Budget(deadline, stop and stop.stop)
        engine = (Slurm if place.on == "slurm" else Local)(store, place, budget)
        campaign = Campaign(store, runs, engine, place.jobs)
        click.echo(f"{len(campaign.items)} runs to compute, at most {place.jobs} at once (their logs: {engine.folder})")
        try:
            wait(campaign, budget)
        except (KeyboardInterrupt, SystemExit) as error:  # the second is SIGTERM (machine/process.py)
            campaign.look()  # what was seen last may be a quarter of a minute old
            click.echo(f"{len(campaign.live())} jobs go on without this command; the same command finds them again", err=True)
            return error.code if isinstance(error, SystemExit) else 130
        if campaign.open():
            click.echo(f"{budget.reason}; everything is saved, and the same command goes on from there", err=True)
            return stop.asked or OutOfTime.exit_code
    failed = [name for name, item in campaign.items.items() if item.state == "failed"]
    if failed:
        click.echo(f"{len(failed)} of {len(campaign.items)} runs failed: {', '.join(failed)}", err=True)
        return 1
    store.end_fresh()
    return 0


def wait(campaign: Campaign, budget: Budget) -> None:
    """Carry a campaign on until everything is complete or has failed, or the budget is over and its last job has ended."""
    table = Table(campaign)
    while True:
        with campaign.engine.alone():
            campaign.look()
            if not budget.expired():
                campaign.submit()
        table.show()
        if not campaign.open() or (budget.expired() and not campaign.live()):
            return
        time.sleep(campaign.engine.pause)
