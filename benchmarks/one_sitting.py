"""Seconds of a DIP way beside those of its rival, measured in turn in one sitting, the DIP's fit as well.

Records of one comparison come from several days, whose clocks differ; these rows say what a comparison at one pace is worth.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import torch

from benchmarks import trainers
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
BLOCK = 10  # steps of one model before it is the other's turn


def rows(setting: Setting) -> Iterator[Row]:
    """Training on DIP outputs, then guidance by a DIP, of the models that draw digits."""
    yield from _training(setting)
    yield from _guidance(setting)


def _training(setting: Setting) -> Iterator[Row]:
    """A step on DIP outputs over one on real images; and all steps with the DIP over all steps without."""
    alone, on_dip = (profile.load("standard").entry(f"{name}-s0").run for name in ("main", "main-on-dip"))
    source, dip = _source(setting, alone.data), setting.pick(on_dip.dip, _brief(on_dip.dip))
    real = source.train.to(setting.device)
    net, fitted = _fit(dip, source, setting.device)
    made: list[torch.Tensor] = []
    applied = seconds(lambda: made.append(fit.dip_outputs(net.eval(), ranges.uint8_to_unit(real))))
    loops = [trainers.our_steps(run, images, setting.device)[1] for run, images in ((on_dip, made[0]), (alone, real))]

    def block(steps: Iterator[loop.Step]) -> float:
        return seconds(lambda: [next(steps) for _ in range(setting.pick(BLOCK, 1))])

    for steps in loops:
        block(steps)
    measured = [[block(steps) for steps in loops] for _ in range(setting.pick(15, 2))]
    ratios = [own / rival for own, rival in measured]
    about = f"{len(measured)} times {setting.pick(BLOCK, 1)} steps of each, in turn"
    yield Row("a step on DIP outputs over one on real images", median(ratios), None, "times", quartiles(ratios), None, about)
    added = (fitted + applied) / alone.optim.steps / (median(rival for _, rival in measured) / setting.pick(BLOCK, 1))
    note = f"all {alone.optim.steps} steps; fit {fitted:.3g} s, outputs {applied:.3g} s"
    whole = [ratio + added for ratio in ratios]
    yield Row("the same with the DIP's fit and outputs", median(whole), None, "times", quartiles(whole), None, note)


def _guidance(setting: Setting) -> Iterator[Row]:
    """Calls of the DDPM alone in the seconds of guidance: of images beyond number, and of as many as a record judges.

    Seconds do not depend on what the weights are: the denoiser is as it is before training.
    """
    run = next(e.run for e in profile.load("standard").entries.values() if e.name.startswith("main-guidance-drawn"))
    n, pairs, device = setting.pick(DRAWN, 4), setting.pick(7, 1), setting.device
    source = _source(setting, run.model.data)
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
    _, fitted = _fit(setting.pick(run.advice.dip, _brief(run.advice.dip)), source, device)
    charged = [count + fitted / run.n / (alone / run.sampler.steps) for count, (_, alone) in zip(calls, measured, strict=True)]
    note = f"its DIP's fit, {fitted:.3g} s, charged to {run.n} images"
    yield Row("DIP guidance with the DIP's fit", median(charged), None, "calls", quartiles(charged), None, note)


def _source(setting: Setting, data: sets.Data) -> sets.DataSet:
    return sets.load(setting.pick(data, changed(data, name="digits5k", n_train=256)))


def _brief(dip: Dip) -> Dip:
    return changed(dip, optim=changed(dip.optim, steps=2))


def _fit(about: Dip, source: sets.DataSet, device: torch.device) -> tuple[torch.nn.Module, float]:
    """(network, seconds) of training a data set's DIP."""
    images = ranges.uint8_to_unit(source.train.to(device))
    state = loop.new_state(dips.build(about), about.optim, len(images), about.seed, device)

    def loss(model: torch.nn.Module, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return fit.dip_loss(model, batch, about.std, about.clip_input, generator)

    for _ in loop.train(state, loss, lambda rows: images[rows], steady=True):
        pass
    return state.model, state.seconds
