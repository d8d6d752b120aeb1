"""How many calls of the DDPM alone take the seconds of DIP guidance: drawn in turn, its DIP fitted in the same sitting."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import torch

from benchmarks.pairs import Row, Setting, quartiles, seconds
from dipddpm_utils import ranges
from dipddpm_utils.config import Dip
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.dip import fit
from dipddpm_utils.dip import run as dips
from dipddpm_utils.priors import judge, process
from dipddpm_utils.priors.images import Given
from dipddpm_utils.study import profile
from dipddpm_utils.study.recipes import changed
from dipddpm_utils.training import loop

DRAWN = 250  # images a measured chain, as many as a record draws together


def rows(setting: Setting) -> Iterator[Row]:
    """Two rows: for images beyond number, and for as many as a record judges, to which the DIP's own fit is charged.

    Seconds do not depend on what the weights are: the denoiser is as it is before training.
    """
    run = next(e.run for e in profile.load("standard").entries.values() if e.name.startswith("main-guidance-drawn"))
    n, pairs, device = setting.pick(DRAWN, 4), setting.pick(7, 1), setting.device
    source = sets.load(setting.pick(run.model.data, run.model.data.model_copy(update={"name": "digits5k", "n_train": 256})))
    network = judge.autocast(judge.build(run.model).to(device).eval(), run.model)
    net, coefs = dips.build(run.advice.dip).to(device).eval(), schedule.coefficients(run.model.diffusion, device=device)
    given = Given(source.train.to(device), coefs, net)
    guided = process.advised(network, coefs, run.model.diffusion, run.advice, given.dip)
    x = torch.randn(n, *source.train.shape[1:], generator=torch.Generator().manual_seed(0)).to(device)

    def drawn(model: judge.Model) -> float:
        return seconds(lambda: sampling.sample(model, coefs, run.model.diffusion, run.sampler, x, None, None)) / n

    drawn(network), drawn(guided)
    measured = [(drawn(guided), drawn(network)) for _ in range(pairs)]
    calls = [run.sampler.steps * own / alone for own, alone in measured]
    own, alone = (median(column) for column in zip(*measured, strict=True))
    about = f"{run.sampler.steps} calls each; {own:.3g} s an image, alone {alone:.3g} s"
    yield Row("DIP guidance, in calls of the DDPM alone", median(calls), None, "calls", quartiles(calls), None, about)
    dip = run.advice.dip
    fitted = _fit(setting.pick(dip, changed(dip, optim=changed(dip.optim, steps=2))), source, device)
    charged = [count + fitted / run.n / (alone / run.sampler.steps) for count, (_, alone) in zip(calls, measured, strict=True)]
    note = f"its DIP's fit, {fitted:.3g} s, charged to {run.n} images"
    yield Row("the same with the DIP's fit", median(charged), None, "calls", quartiles(charged), None, note)


def _fit(about: Dip, source: sets.DataSet, device: torch.device) -> float:
    """Seconds of training the DIP that advises."""
    images = ranges.uint8_to_unit(source.train.to(device))
    state = loop.new_state(dips.build(about), about.optim, len(images), about.seed, device)

    def loss(model: torch.nn.Module, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return fit.dip_loss(model, batch, about.std, about.clip_input, generator)

    for _ in loop.train(state, loss, lambda rows: images[rows], steady=True):
        pass
    return state.seconds
