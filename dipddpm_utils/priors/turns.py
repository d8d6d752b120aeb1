"""What training costs with and without a DIP: the steps of several trainings, timed in turn."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Ddpm, Dip, Turns
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.dip import run as dips
from dipddpm_utils.dip.fit import dip_loss, dip_outputs
from dipddpm_utils.judging import stats
from dipddpm_utils.machine import device as machine
from dipddpm_utils.priors import judge, train
from dipddpm_utils.priors.images import Given
from dipddpm_utils.store.records import Outcome, Work
from dipddpm_utils.training import loop
from dipddpm_utils.training.launched import WARM

APPLIED = 250  # images that a DIP is applied to at once
ALONE = "alone"  # in the place of a net
ENDLESS = 10**9  # steps: timing goes on for as long as it has to


class Part(NamedTuple):
    """A part of a training: `some(n)` does n of its equal pieces and returns the seconds; a whole training has `pieces`."""

    pieces: float
    some: Callable[[int], float]


def begun(run: Ddpm | Dip, images: Tensor, device: str) -> tuple[loop.State, Iterator[Tensor]]:
    """(state, the losses of its steps) of a training at its first step, on uint8 images [N, C, H, W] or floats in [-1, 1]."""
    if isinstance(run, Dip):
        model, images = dips.build(run), ranges.uint8_to_unit(images)
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
    part is warmed up, which says how often it has to be repeated. Every other round goes backwards.
    """
    images = sets.load(run.data).train.to(work.device)
    parts = {(own, name): part for own in run.runs for name, part in _parts(own, images, work.device).items()}
    times = {key: max(1, math.ceil(run.least / _warm(part, work))) for key, part in parts.items()}
    rows: list[dict[str, Any]] = []
    for repeat in range(run.rounds):
        for own, name in parts if repeat % 2 else reversed(parts):
            work.budget.check()
            part, n = parts[own, name], times[own, name]
            about = {"net": own.dip.net, "std": own.dip.std} if own.dip else {"net": ALONE, "std": 0.0}
            rows.append({**about, "part": name, "repeat": repeat, "seconds": part.some(n) / n * part.pieces})
    wholes = pd.DataFrame(rows).groupby(["net", "std", "repeat"])["seconds"].sum().groupby(["net", "std"])
    spent = {f"{net} {std:g} seconds": own.to_numpy() for (net, std), own in wholes}
    return Outcome(metrics={"rounds": run.rounds, **stats.mean_intervals(spent)}, evals=rows)


def _warm(part: Part, work: Work) -> float:
    """Seconds of one piece, once all that happens only at first is over: on a GPU, both halves of a step are recorded."""
    work.budget.check()
    part.some(1 if torch.device(work.device).type == "cpu" else 2 * (WARM + 1))
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
