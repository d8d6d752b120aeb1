"""Distance over training seconds on MNIST: ours, report B's way, and two libraries, each under its own usual loop.

The peers would need hours, so each gets a fixed number of seconds, and the ratio is taken at the lowest distance that both
reach, an easier quality than the target's. Looks are cheap ones, the same for all (500 samples, DPM-Solver++
with 10 calls); the target itself is judged as it is stated (2 000 samples, DDIM 50, with eta 1). Judging is not on any clock.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from safetensors.torch import save_file

from benchmarks import trainers
from benchmarks.curves import common_level, times_sooner
from benchmarks.judging import Judge, draw
from benchmarks.pairs import Curve, Row, Setting
from benchmarks.trainers import Trainer
from dipddpm_utils.config import Data, Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.judging.stats import Interval
from dipddpm_utils.machine.errors import TrainingError

TIMES_FLOOR = 11.0
WEIGHTS = "ours.safetensors"  # in the scratch folder, for the program `sampling`
Looks = list[tuple[float, Interval]]


def rows(setting: Setting) -> Iterator[Row | Curve]:
    """How close ours comes to the floor, how much sooner it is than each peer, and all curves."""
    source = sets.load(Data(name=setting.pick("mnist", "digits5k")))
    judge, device = Judge.of(source, setting.device), setting.device
    shape = tuple(source.train.shape[1:])
    n, sampler = setting.pick(500, 80), Sampler(name="dpmpp_2m", steps=setting.pick(10, 3))
    budget = setting.pick(150.0, 4.0)

    def follow(trainer: Trainer, until: float, fractions: tuple[float, ...]) -> Looks:
        looks, due = [], [until * fraction for fraction in fractions]
        for spent in trainer.steps:
            if due and spent >= due[0]:
                try:
                    net, call = trainer.model()
                except TrainingError:  # its average is still too young: look again after the next step
                    continue
                due = [time for time in due if time > spent]
                images = draw(net, call, trainer.diffusion, sampler, n, shape, device)
                looks.append((spent, judge.distance(images)))
                print(f"  {trainer.name}: FD {looks[-1][1].value:.3g} after {spent:.0f} s", flush=True)
            last = spent
            if spent >= until:
                break
        if due:  # its steps were done a little before the time was
            net, call = trainer.model()
            looks.append((last, judge.distance(draw(net, call, trainer.diffusion, sampler, n, shape, device))))
        return looks

    own = trainers.ours(source.train, device, budget)
    curve = follow(own, budget, (1 / 60, 1 / 30, 1 / 12, 1 / 6, 1 / 3, 2 / 3, 1))
    net, call = own.model()
    save_file({key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}, setting.scratch / WEIGHTS)
    yield _against_the_floor(setting, judge, own, curve[-1][0], shape)
    yield _plot(own, curve, n)
    peers = ((trainers.report_b, 10.0, 180.0), (trainers.diffusers, 5.0, 60.0), (trainers.lucidrains, 5.0, 60.0))
    for make, target, given in peers:
        torch.manual_seed(0)
        peer = make(source.train, device)
        theirs = follow(peer, setting.pick(given, 3.0), (1 / 4, 1 / 2, 1))
        yield _plot(peer, theirs, n)
        yield sooner(own, curve, peer, theirs, target, f"FD by {n} samples, {sampler.steps} calls of DPM-Solver++")


def _against_the_floor(setting: Setting, judge: Judge, own: Trainer, spent: float, shape: tuple[int, ...]) -> Row:
    n, steps = setting.pick(2000, 100), setting.pick(50, 4)
    net, call = own.model()
    found = judge.distance(draw(net, call, own.diffusion, Sampler(name="ddim", steps=steps, eta=1.0), n, shape, setting.device))
    floor = judge.floor(n)
    value, spread = found.value / floor, (found.low / floor, found.high / floor)
    note = f"FD-MNIST {found.value:.3g} of {n} samples (DDIM {steps}, eta 1), floor {floor:.3g}; spread: 95% interval"
    name = f"distance after {spent:.0f} s of training"
    return Row(name, value, TIMES_FLOOR, "times the floor", spread, value <= TIMES_FLOOR, note)


def sooner(own: Trainer, curve: Looks, peer: Trainer, theirs: Looks, target: float, judged: str) -> Row:
    """The ratio of seconds at the lowest common distance; its spread from the interval of that distance."""
    ours, others = ([(spent, found.value) for spent, found in looks] for looks in (curve, theirs))
    level = common_level(ours, others)
    value = times_sooner(ours, others)
    reached = min((found for _, found in (*curve, *theirs)), key=lambda found: abs(found.value - level))
    ends = [_in_reach(ours, bound) for bound in (reached.low, reached.high)]
    at = value * _seconds(ours, level)  # the peer's seconds at the level
    spread = tuple(sorted(at / _seconds(ours, bound) for bound in ends))
    note = (
        f"at FD {level:.3g}, the lowest that both reach: after {at:.0f} s and {_seconds(ours, level):.3g} s; an easier quality "
        f"than {TIMES_FLOOR:g} times the floor; {judged}; spread: from the 95% interval of that FD; "
        f"{peer.parameters / 1e6:.2f} M parameters against {own.parameters / 1e6:.2f} M, batch {peer.batch} against {own.batch}"
    )
    met = None  # at that distance no digit is drawn
    return Row(f"seconds to quality against {peer.name}", value, target, "times sooner", spread, met, note)


def _seconds(curve: list[tuple[float, float]], level: float) -> float:
    from benchmarks.curves import seconds_at

    found = seconds_at(curve, level)
    return curve[-1][0] if found is None else found


def _in_reach(curve: list[tuple[float, float]], level: float) -> float:
    return max(level, min(distance for _, distance in curve))


def _plot(trainer: Trainer, looks: Looks, n: int) -> Curve:
    return Curve(
        "quality",
        trainer.name,
        "training seconds",
        f"FD-MNIST of {n} samples (lower is better)",
        tuple(spent for spent, _ in looks),
        tuple(found.value for _, found in looks),
        tuple(found.low for _, found in looks),
        tuple(found.high for _, found in looks),
    )
