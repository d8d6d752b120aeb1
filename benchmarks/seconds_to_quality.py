"""Distance over training seconds on MNIST: ours, report B's way, and two libraries, each under its own usual loop.

The peers would need hours, so each gets a fixed number of seconds, and the ratio is taken at the lowest distance that both
reach, an easier quality than the target's. Looks are cheap ones, the same for all (500 samples, DPM-Solver++
with 10 calls); the target itself is judged as it is stated (2 000 samples, DDIM 50, with eta 1). Judging is not on any clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress

import torch
from safetensors.torch import save_file

from benchmarks import trainers
from benchmarks.judging import Judge
from benchmarks.pairs import Curve, Row, Setting
from benchmarks.trainers import Trainer
from dipddpm_utils.config import Sampler
from dipddpm_utils.judging.stats import Interval
from dipddpm_utils.machine.errors import TrainingError

TIMES_FLOOR = 11.0
WEIGHTS = "ours.safetensors"  # in the scratch folder, for the program `sampling`
Looks = dict[float, Interval]  # by training seconds


def rows(setting: Setting) -> Iterator[Row | Curve]:
    """How close ours comes to the floor, how much sooner it is than each peer, and all curves."""
    judge, device = Judge.of(setting), setting.device
    images = judge.source.train
    n, sampler = setting.pick(500, 80), Sampler(name="dpmpp_2m", steps=setting.pick(10, 3))
    budget = setting.pick(150.0, 4.0)

    def look(trainer: Trainer) -> Interval:
        net, call = trainer.model()
        return judge.distance(judge.draw(net, call, trainer.diffusion, sampler, n))

    def follow(trainer: Trainer, until: float, fractions: tuple[float, ...]) -> Looks:
        looks, due = {}, [until * fraction for fraction in fractions]
        for spent in trainer.steps:
            if spent < due[0]:
                continue
            with suppress(TrainingError):  # its average is still too young: look again after the next step
                looks[spent] = look(trainer)
                due = [time for time in due if time > spent]
                print(f"  {trainer.name}: FD {looks[spent].value:.3g} after {spent:.0f} s", flush=True)
            if not due:
                break
        if due:  # its steps were done a little before the time was
            looks[spent] = look(trainer)
        return looks

    own = trainers.ours(images, device, budget)
    curve = follow(own, budget, (1 / 60, 1 / 30, 1 / 12, 1 / 6, 1 / 3, 2 / 3, 1))
    net, call = own.model()
    save_file({key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}, setting.scratch / WEIGHTS)
    yield _against_the_floor(setting, judge, own, max(curve))
    yield Curve.judged("quality", own.name, "training seconds", n, curve)
    peers = ((trainers.report_b, 10.0, 180.0), (trainers.diffusers, 5.0, 60.0), (trainers.lucidrains, 5.0, 60.0))
    for make, target, given in peers:
        torch.manual_seed(0)
        peer = make(images, device)
        theirs = follow(peer, setting.pick(given, 3.0), (1 / 4, 1 / 2, 1))
        yield Curve.judged("quality", peer.name, "training seconds", n, theirs)
        yield sooner(own, curve, peer, theirs, target, f"FD by {n} samples, {sampler.steps} calls of DPM-Solver++")


def _against_the_floor(setting: Setting, judge: Judge, own: Trainer, spent: float) -> Row:
    n, steps = setting.pick(2000, 100), setting.pick(50, 4)
    net, call = own.model()
    found = judge.distance(judge.draw(net, call, own.diffusion, Sampler(name="ddim", steps=steps, eta=1.0), n))
    floor = judge.floor(n)
    value, spread = found.value / floor, (found.low / floor, found.high / floor)
    note = f"FD-MNIST {found.value:.3g} of {n} samples (DDIM {steps}, eta 1), floor {floor:.3g}; spread: 95% interval"
    name = f"distance after {spent:.0f} s of training"
    return Row(name, value, TIMES_FLOOR, "times the floor", spread, value <= TIMES_FLOOR, note)


def seconds_at(curve: Sequence[tuple[float, float]], level: float) -> float | None:
    """When a curve of (seconds, distance), seconds rising, first reaches a distance of at most `level`; None if it never does.

    Between two looks log distance is taken as linear in log seconds. At or before the first look the answer is the first
    look's time: the truth is not later than that.
    """
    before: tuple[float, float] | None = None
    for now, distance in curve:
        if distance <= level:
            if before is None or distance == before[1]:
                return now
            share = math.log(before[1] / level) / math.log(before[1] / distance)
            return before[0] * (now / before[0]) ** share
        if before is None or distance < before[1]:  # a worse look after a better one does not count as progress
            before = (now, distance)
    return None


def sooner(own: Trainer, curve: Looks, peer: Trainer, theirs: Looks, target: float, judged: str) -> Row:
    """The ratio of seconds at the lowest common distance; its spread from the interval of that distance."""
    ours, others = ([(spent, found.value) for spent, found in looks.items()] for looks in (curve, theirs))
    lowest = [min(looks.values(), key=lambda found: found.value) for looks in (curve, theirs)]
    level = max(lowest, key=lambda found: found.value)
    at, own_at = (seconds_at(points, level.value) for points in (others, ours))
    ends = [max(bound, lowest[0].value) for bound in (level.low, level.high)]  # what ours does reach
    spread = tuple(sorted(at / seconds_at(ours, bound) for bound in ends))
    note = (
        f"at FD {level.value:.3g}, the lowest that both reach: after {at:.0f} s and {own_at:.3g} s; an easier quality "
        f"than {TIMES_FLOOR:g} times the floor; {judged}; spread: from the 95% interval of that FD; "
        f"{peer.parameters / 1e6:.2f} M parameters against {own.parameters / 1e6:.2f} M, batch {peer.batch} against {own.batch}"
    )
    met = None  # at that distance no digit is drawn
    return Row(f"seconds to quality against {peer.name}", at / own_at, target, "times sooner", spread, met, note)
