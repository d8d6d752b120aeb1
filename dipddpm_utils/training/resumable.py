"""What all runs that train a network share: weights from a named stream, and training that goes on from its checkpoint."""

import time
from collections.abc import Callable
from typing import Any

import torch

from dipddpm_utils.config import Run
from dipddpm_utils.machine import progress, streams
from dipddpm_utils.machine.errors import OutOfTime
from dipddpm_utils.store.records import Work
from dipddpm_utils.training import loop

SAVE_EVERY = 20.0  # seconds between checkpoints: what a kill costs at most
SAVING = 0.02  # share of the time that saving may take: a large network on a fast machine is saved less often
CURVE_ROWS = 200  # points of a logged loss curve


def seeded(build: Callable[[], Any], run: Run, purpose: str = "initial weights") -> Any:
    """Build a network with weights drawn from the run's own named stream; the CPU's global state is as it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(streams.derived_seed(run.seed, purpose))
        return build()


def train_resumably(
    state: loop.State,
    loss_fn: loop.LossFn,
    get_batch: loop.GetBatch,
    work: Work,
    visits: tuple[int, ...] = (),
    visit: Callable[[loop.State, dict[str, Any]], None] | None = None,
    *,
    steady: bool = False,
) -> dict[str, Any]:
    """Train to the end, going on from the newest checkpoint in `work.folder`, and return the log.

    log['curve'] has at most about CURVE_ROWS rows. `visit(state, log)` is called once at each step in `visits`, outside the
    training time, and may add to the log, which is saved with each checkpoint; a visit that is cut off is made again.
    steady: as for `loop.train`.
    """
    log: dict[str, Any] = {"curve": [], "visited": [], "notes": []}
    if restored := state.resume(work.folder):
        log, note = restored
        log["notes"] += [note] if note else []
    every = max(1, state.optim.steps // CURVE_ROWS)

    def pay_visit() -> None:
        if visit is not None and state.step in visits and state.step not in log["visited"]:
            state.synchronise()  # what a GPU still has queued is training time
            visit(state, log)
            log["visited"].append(state.step)

    saved, pause, shown, began_at = time.monotonic(), SAVE_EVERY, state.step, state.step
    with progress.Progress(state.optim.steps, work.label, initial=state.step) as bar:
        try:
            pay_visit()
            for loss in loop.train(state, loss_fn, get_batch, work.budget, steady=steady):
                step = state.step
                if step % every == 0 or step in (1, state.optim.steps):
                    seconds, rate = state.synchronise(), loop.lr_at(state.optim, step - 1)  # then the loss, which waits, too
                    row = {"step": step, "loss": float(loss), "lr": rate, "images": state.images, "seconds": seconds}
                    log["curve"].append(row)
                    bar.update(step - shown, loss=row["loss"])
                    shown = step
                pay_visit()
                if (begin := time.monotonic()) - saved > pause:
                    state.save(work.folder, extra=log)
                    saved = time.monotonic()
                    pause = max(SAVE_EVERY, (saved - begin) / SAVING)
        except OutOfTime:
            state.save(work.folder, extra=log)
            raise
    if state.step not in (began_at, 0):  # what follows (sampling, judging) must not cost the training if it is cut off
        state.save(work.folder, extra=log)
    return log
