"""Trainings timed in turn: what they cost with and without a DIP, and report B's two ways to feed a model.

Those are each image decoded in Python (its baseline), and tensors in memory (its combined run).
"""

import io
import math
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dipddpm_utils import faults, ranges
from dipddpm_utils.config import Ddpm, Dip, EpochTiming, Turns
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process, schedule
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.dip import run as dips
from dipddpm_utils.dip.fit import dip_loss, dip_outputs
from dipddpm_utils.judging import stats
from dipddpm_utils.machine import device as machine
from dipddpm_utils.priors import judge, train
from dipddpm_utils.priors.images import Given
from dipddpm_utils.store.records import Outcome, Work
from dipddpm_utils.training import loop
from dipddpm_utils.training.launched import calls_before_steady

APPLIED = 250  # images that a DIP is applied to at once
ALONE = "alone"  # in the place of a net
ENDLESS = 10**9  # steps: timing goes on for as long as it has to
PARTS = ("data", "forward_backward", "optimiser")  # of a step
WAYS = ("decode", "memory")  # to feed a model


def in_turn(rounds: range, ways: Collection[Any], work: Work) -> Iterator[tuple[int, Any]]:
    """(round, way): each way once a round, every other round backwards, so that a busy machine slows all alike."""
    for repeat in rounds:
        for way in ways if repeat % 2 else reversed(ways):
            work.budget.check()
            yield repeat, way


# --- with and without a DIP -------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """A part of a training: `some(n)` does n of its equal pieces and returns the seconds; a whole training has `pieces`."""

    pieces: float
    some: Callable[[int], float]


def begun(run: Ddpm | Dip, images: Tensor, device: str) -> tuple[loop.State, Iterator[Tensor]]:
    """(state, the losses of its steps) of a training at its first step, on uint8 images [N, C, H, W] or floats in [-1, 1]."""
    if isinstance(run, Dip):
        model, images = dips.build(run), ranges.uint8_to_unit(images)
        dips.ready_to_fit(run, model)
    else:
        model, given = judge.build(run), Given(images, schedule.coefficients(run.diffusion, device=device))
        prior = train.AtWork(run, given)

    def loss(net: nn.Module, batch: Tensor, draws: torch.Generator) -> Tensor:
        if isinstance(run, Dip):
            return dip_loss(net, batch, run.std, run.clip_input, draws)
        return prior.loss(net, train.Batch(given.signed(batch)), draws)

    optim = run.optim.model_copy(update={"steps": ENDLESS})
    state = loop.new_state(model, optim, len(images), run.seed, device)
    return state, loop.train(state, loss, images.__getitem__, steady=True)


def turns(run: Turns, work: Work) -> Outcome:
    """Seconds of each whole training, extrapolated from a few steps of it a round.

    evals rows: net and std of its DIP (ALONE and 0 without one), part (fit, apply, train), repeat, seconds. Before them each
    part is warmed up, which says how often it has to be repeated.
    """
    images = sets.load(run.data).train.to(work.device)
    parts = {(own, name): part for own in run.runs for name, part in _parts(own, images, work.device).items()}
    times = {key: max(1, math.ceil(run.least / _warm(part, work))) for key, part in parts.items()}
    rows: list[dict[str, Any]] = []
    for repeat, (own, name) in in_turn(range(run.rounds), parts, work):
        part, n = parts[own, name], times[own, name]
        about = {"net": own.dip.net, "std": own.dip.std} if own.dip else {"net": ALONE, "std": 0.0}
        rows.append({**about, "part": name, "repeat": repeat, "seconds": part.some(n) / n * part.pieces})
    wholes = pd.DataFrame(rows).groupby(["net", "std", "repeat"])["seconds"].sum().groupby(["net", "std"])
    spent = {f"{net} {std:g} seconds": own.to_numpy() for (net, std), own in wholes}
    return Outcome(metrics={"rounds": run.rounds, **stats.mean_intervals(spent)}, evals=rows)


def _warm(part: Part, work: Work) -> float:
    """Seconds of one piece, once all that happens only at first is over: on a GPU, both halves of a step are recorded."""
    work.budget.check()
    part.some(calls_before_steady(work.device))
    return max(part.some(1), 1e-6)


def _parts(run: Ddpm, images: Tensor, device: str) -> dict[str, Part]:
    """The parts of one training on uint8 images. Which floats a model learns does not matter, so they need no fitted DIP."""
    if run.dip is None:
        return {"train": _steps(run, images, device)}
    fitted_to = images[: run.dip.optim.batch_size] if run.dip.one_batch else images
    few, net = ranges.uint8_to_unit(images[:APPLIED]), dips.build(run.dip).to(device)

    def applied(n: int) -> float:
        since = machine.stopwatch(device)
        for _ in range(n):
            dip_outputs(net, few)
        return since()

    return {
        "fit": _steps(run.dip, fitted_to, device),
        "apply": Part(len(images) / len(few), applied),
        "train": _steps(run, ranges.uint8_to_signed(images), device),
    }


def _steps(run: Ddpm | Dip, images: Tensor, device: str) -> Part:
    state, losses = begun(run, images, device)

    def some(n: int) -> float:
        before = state.synchronise()
        for _ in range(n):
            next(losses)
        return state.synchronise() - before

    return Part(run.optim.steps, some)


# --- report B's two ways to feed a model ------------------------------------------------------------------------------


def epoch_timing(run: EpochTiming, work: Work) -> Outcome:
    """Seconds an epoch by way and part: a few steps of each way in turn, so that a busy machine slows both alike.

    evals rows: path, part, repeat, seconds, for an epoch of `run.images`. Intervals are over repeats; what the data path saves
    is the paired difference of the data parts, as the rest is the same work.
    """
    source = sets.load(run.data)
    get = {"decode": _decoding(source.train, work.device), "memory": _in_memory(source.train, work.device)}
    net = partial(UNet, run.unet, run.data.channels, run.data.size)
    states = {way: loop.new_state(loop.seeded(net, run), run.optim, len(source.train), run.seed, work.device) for way in WAYS}
    coefs = schedule.coefficients(run.diffusion, device=work.device)
    rows: list[dict[str, Any]] = []
    for repeat, way in in_turn(range(-1, run.repeats), WAYS, work):
        spent = sum(_timed_step(run, states[way], coefs, get[way]) for _ in range(run.steps))
        per_epoch = (spent * (run.images / run.optim.batch_size / run.steps)).tolist()
        if repeat >= 0:  # the first round warms both up and is not kept
            own = zip(PARTS, per_epoch, strict=True)
            rows += [{"path": way, "part": part, "repeat": repeat, "seconds": seconds} for part, seconds in own]
    seconds = pd.DataFrame(rows).pivot(index="repeat", columns=["path", "part"], values="seconds")
    quantities = {f"{way}_seconds": seconds[way].sum(axis=1) for way in WAYS}
    quantities |= {f"{way}_{part}_seconds": seconds[way, part] for way in WAYS for part in PARTS}
    quantities["data_saved_seconds"] = seconds["decode", "data"] - seconds["memory", "data"]
    metrics = {"batch": run.optim.batch_size, "images": run.images, "repeats": run.repeats, **stats.mean_intervals(quantities)}
    return Outcome(metrics={**metrics, "published_saved_seconds": faults.PUBLISHED_SAVED_SECONDS}, evals=rows)


def _timed_step(run: EpochTiming, state: loop.State, coefs: schedule.Coefficients, get: loop.GetBatch) -> np.ndarray:
    """Seconds of one training step by part (PARTS); a GPU's queue is emptied between them."""
    model, (optimiser,), device = state.model.train(), state.optimisers, state.device
    since = machine.stopwatch(device)
    x0 = get(state.order.next(run.optim.batch_size))
    marks = [0.0, since()]
    t = process.training_times(run.diffusion, len(x0), state.generator, x0.device)
    eps = torch.randn(x0.shape, generator=state.generator, device=x0.device)
    with machine.autocast(device, run.optim.precision):
        loss = process.loss(coefs, run.diffusion, model, x0, t, eps)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    marks.append(since())
    optimiser.step()
    state.step += 1
    return np.diff([*marks, since()])


def _in_memory(images: Tensor, device: str) -> loop.GetBatch:
    """Batches in [-1, 1] from one uint8 tensor on the device: our loop, and report B's for its combined run."""
    kept = images.to(device)
    return lambda idx: ranges.uint8_to_signed(kept[idx])


def _decoding(images: Tensor, device: str) -> loop.GetBatch:
    """The same batches from PNG files in memory: each decoded by PIL, turned into a tensor and scaled in Python, then stacked.

    No worker processes, as on a machine with two cores; reading from a disk, which comes on top, is left out.
    """
    from PIL import Image
    from torchvision.transforms import functional

    def encoded(image: Tensor) -> bytes:
        file = io.BytesIO()
        functional.to_pil_image(image).save(file, "PNG")
        return file.getvalue()

    def item(i: int) -> Tensor:
        with Image.open(io.BytesIO(stored[i])) as picture:
            return functional.to_tensor(picture).sub(0.5).div(0.5)

    stored = [encoded(image) for image in images]
    return lambda idx: torch.stack([item(i) for i in idx.tolist()]).to(device)
