"""Images a second and network calls at equal distance: DDIM and DPM-Solver++ against 1000 ancestral steps; bfloat16 or not."""

from __future__ import annotations

import time
from collections.abc import Iterator

from safetensors.torch import load_file

from benchmarks import trainers
from benchmarks.judging import Judge, draw
from benchmarks.pairs import Curve, Row, Setting
from benchmarks.seconds_to_quality import WEIGHTS
from dipddpm_utils.config import Data, Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.judging.stats import Interval

EQUAL = 1.1  # distances within this factor count as one quality


def rows(setting: Setting) -> Iterator[Row | Curve]:
    """Fewest calls whose distance is within the ancestral sampler's interval, the rate there, and what bfloat16 changes."""
    source = sets.load(Data(name=setting.pick("mnist", "digits5k")))
    judge, run, net = Judge.of(source, setting.device), trainers.recipe(), _network(setting, source)
    n, shape = setting.pick(200, 80), tuple(source.train.shape[1:])

    def judged(sampler: Sampler, n: int = n, half: bool = True) -> tuple[Interval, float]:
        began = time.perf_counter()
        images = draw(net, trainers.in_bfloat16(net, half), run.diffusion, sampler, n, shape, setting.device)
        rate = n / (time.perf_counter() - began)
        return judge.distance(images), rate

    whole = setting.pick(1000, 6)
    ancestral, slow = judged(Sampler(name="ancestral", steps=whole))
    found: dict[tuple[str, int], tuple[Interval, float]] = {}
    for name in ("ddim", "dpmpp_2m"):
        for steps in setting.pick((5, 8, 10, 15, 20, 25, 50), (2, 3)):
            found[name, steps] = judged(Sampler(name=name, steps=steps))
        kept = {steps: value for (kind, steps), value in found.items() if kind == name}
        yield _curve(name, kept, n)
    yield _curve("ancestral", {whole: (ancestral, slow)}, n)
    about = f"FD {ancestral.value:.3g} [{ancestral.low:.3g}, {ancestral.high:.3g}] with {whole} ancestral calls"
    for name in ("ddim", "dpmpp_2m"):
        kept = {steps: value for (kind, steps), value in found.items() if kind == name}
        yield from _equal(f"{name} (n = {n})", kept, ancestral, slow, whole, about)
    yield _halves(setting, judged)


def _equal(
    name: str, kept: dict[int, tuple[Interval, float]], ancestral: Interval, slow: float, whole: int, about: str
) -> Iterator[Row]:
    """Two rows: fewer calls, more images a second, at the fewest calls whose distance is not above the interval."""
    within = [steps for steps, (distance, _) in kept.items() if distance.value <= ancestral.high]
    calls = min(within, default=whole)
    distance, rate = kept.get(calls, (ancestral, slow))
    fewer, faster = whole / calls, rate / slow
    alike = distance.value <= EQUAL * ancestral.value  # else the intervals of few images hide a difference
    met = [value >= 20 if alike else None for value in (fewer, faster)]
    note = f"{calls} calls: FD {distance.value:.3g} [{distance.low:.3g}, {distance.high:.3g}]; {about}"
    yield Row(f"network calls at equal FD, {name}", fewer, 20.0, "times fewer", (fewer, fewer), met[0], note)
    note = f"{rate:.3g} against {slow:.3g} images/s; FD {distance.value:.3g} against {ancestral.value:.3g}"
    yield Row(f"images a second at equal FD, {name}", faster, 20.0, "times more", (faster, faster), met[1], note)


def _halves(setting: Setting, judged) -> Row:
    """By how much bfloat16 moves the distance of the same chains, in half-widths of the interval: 1 is its edge."""
    sampler, n = Sampler(name="ddim", steps=setting.pick(20, 2)), setting.pick(1000, 80)
    half, fast = judged(sampler, n)
    full, slow = judged(sampler, n, half=False)
    reach = (full.high - full.low) / 2
    share = abs(half.value - full.value) / reach
    note = (
        f"FD {half.value:.4g} in bfloat16, {full.value:.4g} [{full.low:.4g}, {full.high:.4g}] in float32, n = {n}, same noise, "
        f"DDIM {sampler.steps}; {fast:.3g} against {slow:.3g} images/s"
    )
    return Row("FD moved by sampling in bfloat16", share, 1.0, "half-widths of its interval", (share, share), share <= 1, note)


def _curve(name: str, kept: dict[int, tuple[Interval, float]], n: int) -> Curve:
    columns = zip(*((d.value, d.low, d.high) for d, _ in kept.values()), strict=True)
    y, low, high = (tuple(column) for column in columns)
    unit = f"FD-MNIST of {n} samples (lower is better)"
    return Curve("samplers", name, "network calls", unit, tuple(map(float, kept)), y, low, high)


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
