"""Images a second and network calls at equal distance: DDIM and DPM-Solver++ against 1000 ancestral steps; bfloat16 or not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from safetensors.torch import load_file

from benchmarks import trainers
from benchmarks.judging import Judge
from benchmarks.pairs import Curve, Row, Setting, row
from benchmarks.seconds_to_quality import WEIGHTS
from dipddpm_utils.config import Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.judging.stats import Interval

EQUAL = 1.1  # distances within this factor count as one quality


def rows(setting: Setting) -> Iterator[Row | Curve]:
    """Fewest calls whose distance is within the ancestral sampler's interval, the rate there, and what bfloat16 changes."""
    judge, run, n = Judge.of(setting), trainers.recipe(), setting.pick(200, 80)
    net = _network(setting, judge.source)

    def judged(sampler: Sampler, n: int = n, half: bool = True) -> tuple[Interval, float]:
        began = time.perf_counter()
        images = judge.draw(net, trainers.in_bfloat16(net, half), run.diffusion, sampler, n)
        rate = n / (time.perf_counter() - began)
        return judge.distance(images), rate

    whole = setting.pick(1000, 6)
    ancestral, slow = judged(Sampler(name="ancestral", steps=whole))
    for name in ("ddim", "dpmpp_2m"):
        found = {steps: judged(Sampler(name=name, steps=steps)) for steps in setting.pick((5, 8, 10, 15, 20, 25, 50), (2, 3))}
        distances = {steps: distance for steps, (distance, _) in found.items()}
        yield Curve.judged("samplers", name, "network calls", n, distances)
        yield from _equal(f"{name} (n = {n})", found, ancestral, slow, whole)
    yield Curve.judged("samplers", "ancestral", "network calls", n, {whole: ancestral})
    yield _halves(setting, judged)


def _equal(name: str, found: dict[int, tuple[Interval, float]], ancestral: Interval, slow: float, whole: int) -> Iterator[Row]:
    """Two rows: fewer calls, more images a second, at the fewest calls whose distance is not above the interval."""
    within = [steps for steps, (distance, _) in found.items() if distance.value <= ancestral.high]
    calls = min(within, default=whole)
    distance, rate = found.get(calls, (ancestral, slow))
    about = f"FD {ancestral.value:.3g} [{ancestral.low:.3g}, {ancestral.high:.3g}] with {whole} ancestral calls"
    note = f"{calls} calls: FD {distance.value:.3g} [{distance.low:.3g}, {distance.high:.3g}]; {about}"
    fewer = row(f"network calls at equal FD, {name}", [whole / calls], "times fewer", note, at_least=20.0)
    note = f"{rate:.3g} against {slow:.3g} images/s; FD {distance.value:.3g} against {ancestral.value:.3g}"
    faster = row(f"images a second at equal FD, {name}", [rate / slow], "times more", note, at_least=20.0)
    alike = distance.value <= EQUAL * ancestral.value  # else the intervals of few images hide a difference
    yield from (fewer, faster) if alike else (replace(fewer, met=None), replace(faster, met=None))


def _halves(setting: Setting, judged) -> Row:
    """By how much bfloat16 moves the distance of the same chains, in half-widths of the interval: 1 is its edge."""
    sampler, n = Sampler(name="ddim", steps=setting.pick(20, 2)), setting.pick(1000, 80)
    half, fast = judged(sampler, n)
    full, slow = judged(sampler, n, half=False)
    share = abs(half.value - full.value) / ((full.high - full.low) / 2)
    note = (
        f"FD {half.value:.4g} in bfloat16, {full.value:.4g} [{full.low:.4g}, {full.high:.4g}] in float32, n = {n}, same noise, "
        f"DDIM {sampler.steps}; {fast:.3g} against {slow:.3g} images/s"
    )
    return row("FD moved by sampling in bfloat16", [share], "half-widths of its interval", note, at_most=1.0)


def _network(setting: Setting, source: sets.DataSet) -> UNet:
    """The model that `seconds_to_quality` left, or one trained here for a minute."""
    path, run = setting.scratch / WEIGHTS, trainers.recipe()
    if not path.exists():
        own = trainers.ours(source.train, setting.device, setting.pick(60.0, 3.0))
        for _ in own.steps:
            pass
        return own.model()[0].eval()
    net = UNet(run.unet, *source.train.shape[1:3])
    net.load_state_dict(load_file(path))
    return net.to(setting.device).eval()
