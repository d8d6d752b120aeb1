"""Seconds of a DIP way beside those of its rival, timed in turn in one sitting, and the fit of its DIP in the same one.

Records of one comparison come from several days, whose clocks differ; these rows say what a comparison at one pace is worth.
Seconds do not depend on what the weights are: denoisers are as they are before training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.pairs import Row, Setting, one_thread, row
from dipddpm_utils.config import Ddpm, Dip, Sample
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.machine import device as machine
from dipddpm_utils.priors import judge, process, turns
from dipddpm_utils.priors.images import Given
from dipddpm_utils.study import profile
from dipddpm_utils.study.sizes import changed

DRAWN = 250  # images a measured chain, as many as a record draws together
BLOCK = 10  # steps of one model before it is the other's turn


@dataclass(frozen=True)
class Ready:
    """The DIP of the headline, fitted, and the images and process of the models that it is compared with."""

    setting: Setting
    given: Given
    fitted: float  # seconds of its fit


def rows(setting: Setting) -> Iterator[Row]:
    """Training on DIP outputs, chains that begin at them, and guidance, of the models that draw digits; one thread of a CPU."""
    if setting.device.type != "cpu":
        return
    with one_thread():
        yield from _rows(setting)


def _rows(setting: Setting) -> Iterator[Row]:
    runs = [profile.load("standard").entry(name).run for name in ("main-s0", "main-on-dip-s0", "main-starts-dip-150-s0")]
    alone, on_dip, start = runs
    advised = next(e.run for e in profile.load("standard").entries.values() if e.name.startswith("main-guidance-drawn"))
    data = setting.pick(alone.data, changed(alone.data, name="digits5k", n_train=256))
    net, fitted = _fit(setting.pick(on_dip.dip, changed(on_dip.dip, optim=changed(on_dip.dip.optim, steps=2))), data, setting)
    coefs = schedule.coefficients(alone.diffusion, device=setting.device)
    ready = Ready(setting, Given(sets.load(data).train.to(setting.device), coefs, net), fitted)
    yield from _training(ready, alone, on_dip)
    yield _start(ready, start)
    yield from _guidance(ready, advised)


def _training(ready: Ready, alone: Ddpm, on_dip: Ddpm) -> Iterator[Row]:
    """A step on DIP outputs over one on real images; and all steps with the DIP over all steps without."""
    setting, real, made = ready.setting, ready.given.train, []
    applied = _seconds(ready, lambda: made.append(ready.given.dip(real)))
    loops = [turns.begun(run, images, setting.device)[1] for run, images in ((on_dip, made[0]), (alone, real))]
    size = setting.pick(BLOCK, 1)

    def block(steps: Iterator[Tensor]) -> float:
        return _seconds(ready, lambda: [next(steps) for _ in range(size)]) / size

    measured = _in_turn([lambda steps=steps: block(steps) for steps in loops], setting.pick(9, 2))
    ratios = [own / rival for own, rival in measured]
    about = f"{len(measured)} turns; {size} steps of each, one thread"
    yield row("a step on DIP outputs over one on real images", ratios, "times", about)
    added = (ready.fitted + applied) / alone.optim.steps / median(rival for _, rival in measured)
    note = f"{len(measured)} turns; all {alone.optim.steps} steps; fit {ready.fitted:.3g} s, outputs {applied:.3g} s"
    yield row("the same with the DIP's fit and outputs", [ratio + added for ratio in ratios], "times", note)


def _start(ready: Ready, run: Sample) -> Row:
    """The number of images beyond which chains that begin at DIP outputs save the seconds of the DIP's fit."""
    network, x, t = _network(ready, run), _noise(ready), run.start.t_start
    given, images = ready.given, ready.given.train[: len(x)]

    def begun() -> None:
        x_t = process.start_chain(given.coefs, given.dip(images), t, torch.Generator().manual_seed(0))
        sampling.sample(network, given.coefs, run.model.diffusion, run.sampler, x_t, t, None)

    def whole() -> None:
        sampling.sample(network, given.coefs, run.model.diffusion, run.sampler, x, None, None)

    ways = [lambda: _seconds(ready, begun) / len(x), lambda: _seconds(ready, whole) / len(x)]
    measured = _in_turn(ways, ready.setting.pick(5, 1))
    beyond = [ready.fitted / (alone - own) if alone > own else math.inf for own, alone in measured]
    own, alone = (median(column) for column in zip(*measured, strict=True))
    note = (
        f"{len(measured)} turns; fit {ready.fitted:.3g} s; {own:.3g} s an image begun at t = {t}, {alone:.3g} s begun at noise"
    )
    return row(f"images beyond which a DIP start at t = {t} saves time", beyond, "images", note)


def _guidance(ready: Ready, run: Sample) -> Iterator[Row]:
    """Calls of the DDPM alone in the seconds of guidance: of images beyond number, and of as many as a record judges."""
    network, x, about, coefs = _network(ready, run), _noise(ready), run.model.diffusion, ready.given.coefs
    guided = process.advised(network, coefs, about, run.advice, ready.given.dip)

    def drawn(model: judge.Model) -> float:
        return _seconds(ready, lambda: sampling.sample(model, coefs, about, run.sampler, x, None, None)) / len(x)

    measured = _in_turn([lambda: drawn(guided), lambda: drawn(network)], ready.setting.pick(5, 1))
    calls = [run.sampler.steps * own / alone for own, alone in measured]
    own, alone = (median(column) for column in zip(*measured, strict=True))
    note = f"{len(measured)} turns; {run.sampler.steps} calls each; {own:.3g} s an image, alone {alone:.3g} s"
    yield row("DIP guidance, in calls of the DDPM alone", calls, "calls", note)
    fit_calls = ready.fitted / run.n / (alone / run.sampler.steps)
    note = f"{len(measured)} turns; its fit, {ready.fitted:.3g} s, charged to {run.n} images"
    yield row("DIP guidance with the DIP's fit", [count + fit_calls for count in calls], "calls", note)


def _seconds(ready: Ready, action: Callable[[], Any]) -> float:
    """Of one call, by the clock that records of one thread have, their DIP's fit among them."""
    now = machine.clock(ready.setting.device)
    began = now()
    action()
    return now() - began


def _in_turn(ways: Sequence[Callable[[], float]], times: int) -> list[list[float]]:
    """What each way measures, one after the other, so many times; a first time does not count."""
    return [[way() for way in ways] for _ in range(times + 1)][1:]


def _network(ready: Ready, run: Sample) -> judge.Model:
    return judge.autocast(judge.build(run.model).to(ready.setting.device).eval(), run.model)


def _noise(ready: Ready) -> Tensor:
    images = ready.given.train[: ready.setting.pick(DRAWN, 4)]
    return torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(images.device)


def _fit(about: Dip, data: sets.Data, setting: Setting) -> tuple[torch.nn.Module, float]:
    """(network, seconds) of training a data set's DIP."""
    state, losses = turns.begun(about, sets.load(data).train.to(setting.device), setting.device)
    for _ in islice(losses, about.optim.steps):
        pass
    return state.model.eval(), state.synchronise()
