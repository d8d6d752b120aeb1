"""One training loop for every network here: a generator that the caller drives, and a state that can be saved at any step.

state = new_state(model, optim, n_items=len(images), seed=run.seed, device=device)
for loss in train(state, loss_fn, lambda idx: images[idx], budget): ...

`train_resumably` drives it for a run: logged, saved on the way, and going on from its newest checkpoint.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dipddpm_utils.config import Optim, Run
from dipddpm_utils.machine import progress, provenance, streams
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.device import autocast, clock, kernels_fused
from dipddpm_utils.machine.errors import OutOfTime, TrainingError
from dipddpm_utils.store.records import Work
from dipddpm_utils.training.launched import Together
from dipddpm_utils.training.state import Order, State, layout, new_state

__all__ = ["Order", "State", "layout", "lr_at", "new_state", "seeded", "train", "train_resumably"]

LossFn = Callable[[nn.Module, Any, torch.Generator], Tensor]
GetBatch = Callable[[Tensor], Any]
CHECK_EVERY = 64  # steps between looks at the losses on a GPU, where each look makes the CPU wait
SAVE_EVERY = 20.0  # seconds between checkpoints: what a kill costs at most
SAVING = 0.02  # share of the time that saving may take: a large network on a fast machine is saved less often
CURVE_ROWS = 200  # points of a logged loss curve


def seeded(build: Callable[[], Any], run: Run, purpose: str = "initial weights") -> Any:
    """Build a network with weights drawn from the run's own named stream; the CPU's global state is as it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(streams.derived_seed(run.seed, purpose))
        return build()


def lr_at(optim: Optim, step: int) -> float:
    """The learning rate of the step that follows `step` finished ones (0 <= step < optim.steps).

    Linear warm-up to optim.lr over `warmup_steps`, then constant, or cosine or linear down to 0 at `optim.steps`.
    """
    if step < optim.warmup_steps:
        return optim.lr * ((step + 1) / optim.warmup_steps)
    if optim.decay == "constant":
        return optim.lr
    share = min(1.0, (step - optim.warmup_steps) / max(1, optim.steps - optim.warmup_steps))
    return optim.lr * (0.5 * (1 + math.cos(math.pi * share)) if optim.decay == "cosine" else 1 - share)


def train(
    state: State,
    loss_fn: LossFn,
    get_batch: GetBatch,
    budget: Budget | None = None,
    *,
    steady: bool = False,
) -> Iterator[Tensor]:
    """Trains from `state.step` to `optim.steps`, yielding the batch's loss after each step, from before its update.

    loss_fn(model, batch, generator) -> scalar; get_batch(indices int64 [B] on the device) -> batch on the device.
    steady: loss_fn and get_batch do the same at every step and read nothing off the device, so that a GPU can be given all
    kernels of a step at once (launched.py).
    Between steps `state` is whole and may be saved. A model may draw nothing of its own (dropout): it would not go on to the
    same bits. The loss is on the device: reading it waits for a GPU, which
    `state.synchronise()` counts, and the next step may write over it.
    Raises OutOfTime from `budget` between steps, TrainingError if a loss is not finite (on a GPU at most CHECK_EVERY steps
    later) or, where gradients are clipped on the CPU, a gradient.
    """
    optim, device = state.optim, state.device
    on_cpu = device.type == "cpu"
    groups = [group for each in state.optimisers for group in each.param_groups]
    weights = [p for group in groups for p in group["params"]]
    learn, update = _halves_of_a_step(state, loss_fn, get_batch, steady=steady)
    total, now = 0.0, clock(device)  # the sum of the losses is not finite as soon as one of them is not
    while state.step < optim.steps:
        if budget is not None:
            budget.check()
        begin = now()
        if not state.model.training:  # the caller has evaluated; asked first, since train() walks over all modules
            state.model.train()
        rate = lr_at(optim, state.step)
        for group in groups:
            group["lr"] = rate * group.get("share", 1)
        loss = learn(state.order.next(optim.batch_size))
        updates = (state.step + 1) % state.update_every == 0
        usable = True
        if updates and optim.grad_clip is not None:
            for each in state.optimisers:
                state.scaler.unscale_(each)
            norm = nn.utils.clip_grad_norm_(weights, optim.grad_clip)
            usable = not state.scaler.is_enabled() or math.isfinite(norm.item())
            if on_cpu and not state.scaler.is_enabled() and not math.isfinite(norm.item()):
                raise _not_finite("gradient", state.step + 1)
        if updates and usable:
            update()
        elif updates:  # in float16 some gradients overflowed, and clipping has spread that over those of both optimisers
            state.scaler.update()
        state.step += 1
        if updates and state.ema is not None and state.step % optim.ema_every == 0:
            state.ema.update_parameters(state.model)
        if not on_cpu:
            total = total + loss.float()
            if (state.step % CHECK_EVERY == 0 or state.step == optim.steps) and not math.isfinite(total.item()):
                raise _not_finite("sum of the losses", state.step)
        state.seconds += now() - begin
        yield loss


def train_resumably(
    state: State,
    loss_fn: LossFn,
    get_batch: GetBatch,
    work: Work,
    visits: tuple[int, ...] = (),
    visit: Callable[[State, dict[str, Any]], None] | None = None,
    *,
    steady: bool = False,
) -> dict[str, Any]:
    """Train to the end, going on from the newest checkpoint in `work.folder`, and return the log.

    log['curve'] has between CURVE_ROWS and twice as many rows, or one a step. `visit(state, log)` is called once at each
    step in `visits`, outside the training time, and may add to the log, which is saved with each checkpoint; a visit that is
    cut off is made again. steady: as for `train`.
    """
    here = provenance.machine(state.device)
    log: dict[str, Any] = {"curve": [], "visited": [], "notes": [], "machine": here}
    if restored := state.resume(work.folder):
        log, note = restored
        before, log["machine"] = log.get("machine", here), here  # early checkpoints do not have it
        moved = f"trained by {before}, from step {state.step} on by {here}: its seconds are of both" if before != here else None
        log["notes"] += filter(None, (note, moved))
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
            for loss in train(state, loss_fn, get_batch, work.budget, steady=steady):
                step = state.step
                if step % every == 0 or step in (1, state.optim.steps):
                    seconds, rate = state.synchronise(), lr_at(state.optim, step - 1)  # then the loss, which waits, too
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
    if state.step != began_at:  # what follows (sampling, judging) must not cost the training if it is cut off
        state.save(work.folder, extra=log)
    return log


def _halves_of_a_step(
    state: State, loss_fn: LossFn, get_batch: GetBatch, *, steady: bool
) -> tuple[Callable[[Tensor], Tensor], Callable[[], None]]:
    """(learn: indices -> loss, with gradients in place of the last ones; update: the optimiser's step), see `train`."""
    optim, device, model = state.optim, state.device, state.model
    if kernels_fused():  # equal up to rounding, with the same weights
        model = torch.compile(model, dynamic=False)
    in_short = autocast(device, optim.precision)

    def learn(indices: Tensor) -> Tensor:
        batch = get_batch(indices)
        with in_short:
            loss = loss_fn(model, batch, state.generator)
        for optimiser in state.optimisers:
            optimiser.zero_grad()
        if device.type == "cpu" and not math.isfinite(loss.item()):
            raise _not_finite("loss", state.step + 1)
        state.scaler.scale(loss).backward()
        return loss.detach()

    def update() -> None:
        for optimiser in state.optimisers:
            state.scaler.step(optimiser)  # optimiser.step(), unless in float16 the gradients overflowed
        state.scaler.update()

    if steady:
        learn = Together(learn, device, [state.generator])
        same_rate = optim.decay == "constant" and optim.warmup_steps == 0  # a recorded step keeps the rate that it had
        if optim.name != "muon" and same_rate and not state.scaler.is_enabled():
            update = Together(update, device, after=learn)
    return learn, update


def _not_finite(what: str, step: int) -> TrainingError:
    advice = "what was saved earlier is kept; lower the learning rate or set grad_clip"
    return TrainingError(f"the {what} is not finite at step {step}; {advice}")
