"""The restoration job: a degraded image is given (degraded.py), so a prior may look at it, and all ways get equal seconds.

`degraded.restart` is where DIP and DDPM meet: a chain started at t from any guess at the image (SDEdit: Meng et al. 2022). A
DIP takes many times the seconds of a chain, so its rivals may spend as many. "mean": the mean of p(x | y) has the least squared
error; "ddnm": told y, and begun at pure noise (Wang, Yu and Zhang 2023, eq. 13), by DDIM with
eta 0.85, the number of their code, where it adds more noise: sqrt(1 - alpha_bar_s) eta.

A rival's number of samples, calls or steps is what fits into the seconds that a DIP takes for the first block of images judged
(an image of many at once costs less than one of few). Then all ways take turns, a block of images at a time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dipddpm_utils import ranges
from dipddpm_utils.combined.restored import METHODS
from dipddpm_utils.config import Restore, Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.dip.fit import Timed
from dipddpm_utils.judging import evaluate, fidelity
from dipddpm_utils.machine import device, streams
from dipddpm_utils.priors.degraded import STRENGTHS, Observation, degrade, restart, told
from dipddpm_utils.priors.judge import autocast, trained
from dipddpm_utils.priors.supervised import fill, supervised
from dipddpm_utils.store.records import Outcome, Work

TOGETHER = 20  # images of a block, at most
LOOKS = 50  # of a fit, from which its budget is chosen
PANELS = 2  # images shown, which records keep
FEW = 4  # samples by whose mean the t_start of "mean" is chosen
CHAINS = {  # what a chain starts from, and whether it is told y at every step, which it cannot be where y has noise
    "ddpm": ("degraded", False),
    "smooth_ddpm": ("smooth", False),
    "told_ddpm": ("smooth", True),
    "dip_ddpm": ("dip", False),
    "dip_told_ddpm": ("dip", True),
}
CHEAP, WITH_DIP = ([way for way, (_, own) in METHODS.items() if own == role] for role in ("cheap", "with a DIP"))
DDNM_ETA = 0.85


class Chain(NamedTuple):
    """How images are drawn: from which guess, told y or not, from which t, and the mean of how many samples."""

    start: str
    held: bool
    t: int
    sampler: Sampler
    samples: int = 1


class Fits(NamedTuple):
    """What the networks of some images show on the way [looks, N, C, H, W], and the seconds until then."""

    looks: Tensor
    seconds: list[float]


class Made(NamedTuple):
    """One method's images in [0, 1], on the CPU, and all seconds that they took."""

    images: Tensor
    seconds: float


@dataclass(frozen=True)
class Bench:
    """What every way of restoring is given: the clean images (to judge by), what is seen of them, and the DDPM."""

    run: Restore
    work: Work
    clean: Tensor
    seen: Observation
    model: Model | None  # None: the run has no chains

    def fit(self, rows: slice) -> Fits:
        """One untrained network an image, looked at LOOKS times or more, less than twice as often."""
        run, seen = self.run, self.seen.rows(rows)
        every, looks, seconds = max(1, run.iterations // LOOKS), [], []
        generator = streams.generator(run.seed, f"fit {rows.start}", self.work.device)
        fits = Timed(self.work, run, seen.target, generator, seen.observe, lambda iteration: iteration % every == 0)
        for fit in fits:
            looks.append(seen.keep(fit.outputs).cpu())
            seconds.append(fits.seconds)
        return Fits(torch.stack(looks), seconds)

    def draw(self, chain: Chain, rows: slice, guess: Tensor) -> tuple[Tensor, int, float]:
        """(the mean of a chain's samples with what y says put back, network calls an image, seconds)."""
        about, seen = self.run.model.diffusion, self.seen.rows(rows)
        coefs = schedule.coefficients(about, device=self.work.device)
        model = told(self.model, coefs, about, seen) if chain.held else self.model
        generator = streams.generator(self.run.seed, f"restart {chain.t} {rows.start}")  # the same noise for every guess
        since = device.stopwatch(self.work.device)
        total, calls = torch.zeros_like(seen.picture), 0
        for _ in range(chain.samples):
            self.work.budget.check()
            images, nfe = restart(model, coefs, about, chain.sampler, guess.to(total), chain.t, generator)
            total, calls = total + images, calls + nfe
        mean = seen.keep(total / chain.samples).cpu()
        return mean, calls, since()

    def psnr(self, images: Tensor) -> float:
        """Mean PSNR of the tuning images."""
        return fidelity.psnr(images, self.clean[: len(images)]).mean().item()


class Plan(NamedTuple):
    """All that was chosen on the tuning images: which look at a fit, the chains, and the supervised network."""

    look: int
    chains: dict[str, Chain]
    supervised: Callable[[Observation], Tensor]
    training_seconds: float  # of that network, for all images judged
    steps: int  # of that training


class Tried(NamedTuple):
    """A chain on the tuning images: mean PSNR, the chain, network calls an image, seconds."""

    psnr: float
    chain: Chain
    calls: int
    seconds: float


BEST = attrgetter("psnr")


def restore(run: Restore, work: Work) -> Outcome:
    """Every method on the same images. metrics: <method>_psnr, _ssim, _features, _seconds; _tuned: PSNR where all is chosen.

    Of colour images also _imagenet, where the second space can be had; notes say why it cannot.
    """
    source, wanted = sets.load(run.model.data), run.n_tune + run.n
    if wanted > len(source.held_out):
        raise ValueError(f"n_tune + n is {wanted}, but there are {len(source.held_out)} held-out images: ask for fewer")
    pool = sets.load(run.model.data.model_copy(update={"validation": True})).held_out if run.validation else source.held_out
    own = run.seed * wanted + torch.arange(wanted)  # each seed has images of its own
    tune, rest = own[: run.n_tune] % len(pool), own[run.n_tune :] % len(source.held_out)
    clean = ranges.uint8_to_unit(torch.cat([pool[tune], source.held_out[rest]]))
    generator = streams.generator(run.seed, f"degrade {run.task}", work.device)
    seen = degrade(run.task, clean.to(work.device), generator, run.strength)
    bench = Bench(run, work, clean, seen, autocast(trained(run.model, work), run.model) if run.t_starts else None)
    tuning, (first, *others) = slice(0, run.n_tune), blocks(run.n_tune, run.n)
    fits, early = bench.fit(tuning), bench.fit(first)
    plan = _plan(bench, fits, [second / (first.stop - first.start) for second in early.seconds], source.train)
    tuned, parts = _block(bench, plan, tuning, fits), [_block(bench, plan, first, early)]
    parts += [_block(bench, plan, rows, bench.fit(rows)) for rows in others]
    made = {n: Made(torch.cat([part[n].images for part in parts]), sum(part[n].seconds for part in parts)) for n in tuned}
    return _outcome(bench, plan, {name: bench.psnr(one.images) for name, one in tuned.items()}, made, rest.tolist())


def blocks(start: int, n: int) -> list[slice]:
    """The rows of n images from `start` on, in blocks of TOGETHER at most, as alike in size as can be."""
    size = math.ceil(n / math.ceil(n / TOGETHER))
    return [slice(at, min(at + size, start + n)) for at in range(start, start + n, size)]


def _block(bench: Bench, plan: Plan, rows: slice, fits: Fits) -> dict[str, Made]:
    """What every method makes of some images, one method after the other."""
    seen, share = bench.seen.rows(rows), (rows.stop - rows.start) / bench.run.n
    psnr = torch.stack([fidelity.psnr(look, bench.clean[rows]) for look in fits.looks])
    made = {
        "degraded": Made(seen.picture.cpu(), 0.0),
        "smooth": Made(seen.smooth.cpu(), 0.0),
        "dip": Made(fits.looks[plan.look], fits.seconds[plan.look]),
        "dip_oracle": Made(fits.looks[psnr.argmax(0), torch.arange(psnr.shape[1])], fits.seconds[-1]),
    }
    for name, chain in plan.chains.items():
        before = made.get(chain.start, Made(torch.full_like(seen.picture, 0.5), 0.0))  # of pure noise no image is left
        images, _, seconds = bench.draw(chain, rows, before.images)
        made[name] = Made(images, before.seconds + seconds)
    bench.work.budget.check()
    since = device.stopwatch(bench.work.device)
    images = seen.keep(plan.supervised(seen)).cpu()
    return made | {"unet": Made(images, share * plan.training_seconds + since())}


def _plan(bench: Bench, fits: Fits, an_image: list[float], train: Tensor) -> Plan:
    """Choose on the tuning images; then give each rival the seconds of the best way with a DIP.

    an_image: seconds that a fit takes for an image of a block, until each look.
    """
    run, rows, T = bench.run, slice(0, bench.run.n_tune), bench.run.model.diffusion.num_train_timesteps
    look = max(range(len(fits.looks)), key=lambda i: bench.psnr(fits.looks[i]))
    if not run.t_starts:
        return Plan(look, {}, *supervised(run, train, an_image[look] * run.n, bench.work))
    guesses = {"degraded": bench.seen.picture[rows], "smooth": bench.seen.smooth[rows], "dip": fits.looks[look]}

    def tried(chain: Chain) -> list[Tried]:
        drawn = [(at, *bench.draw(at, rows, guesses[at.start])) for at in (chain._replace(t=t) for t in run.t_starts)]
        return [Tried(bench.psnr(images), at, calls, seconds) for at, images, calls, seconds in drawn]

    able = {name: about for name, about in CHAINS.items() if run.task != "denoise" or not about[1]}
    found = {name: tried(Chain(start, held, 0, run.sampler)) for name, (start, held) in able.items()}
    best = {name: max(ones, key=BEST) for name, ones in found.items()}
    cheap = max((best[name] for name in CHEAP if name in best), key=BEST)
    several = tried(cheap.chain._replace(samples=FEW))
    every = [one for ones in (*found.values(), several) for one in ones]
    call = sum(one.seconds for one in every) / sum(one.calls for one in every) / run.n_tune
    with_dip = [(bench.psnr(fits.looks[look]), 0.0)]
    with_dip += [(best[name].psnr, best[name].seconds) for name in WITH_DIP if name in best]
    seconds = an_image[look] + max(with_dip)[1] / run.n_tune

    def longer(chain: Chain, eta: float) -> Chain:
        steps = min(T, max(1, round(fill(seconds, call) * T / (chain.t + 1))))
        return chain._replace(sampler=Sampler(name="ddim", steps=steps, eta=eta))

    mean = max(several, key=BEST)
    rivals = {
        "mean": mean.chain._replace(samples=fill(seconds, call * mean.calls / FEW)),
        "calls": longer(cheap.chain, run.sampler.eta),
        "eta": longer(cheap.chain, 1.0),
    }
    if run.task != "denoise":
        rivals["ddnm"] = longer(Chain("grey", True, T - 1, run.sampler), DDNM_ETA)
    network, training_seconds, steps = supervised(run, train, seconds * run.n, bench.work)
    return Plan(look, {name: one.chain for name, one in best.items()} | rivals, network, training_seconds, steps)


def _outcome(bench: Bench, plan: Plan, tuned: dict[str, float], made: dict[str, Made], rows: list[int]) -> Outcome:
    """Each image judged by PSNR, SSIM, and its distance from the clean one in features: those that samples are judged by, and,
    of colour images and where they can be had, those of the second space, named "imagenet"."""
    run, truth = bench.run, bench.clean[bench.run.n_tune :]
    data, where = run.model.data, bench.work.device
    space, (second, why) = evaluate.space(data, where, bench.work.budget), evaluate.second_space(data.channels, where)
    spaces = {"features": space} | ({"imagenet": second} if second else {})
    whole = {name: one(ranges.unit_to_uint8(truth)) for name, one in spaces.items()}
    metrics: dict[str, Any] = {"task": run.task, "strength": run.strength or STRENGTHS[run.task], "features": space.name}
    metrics |= {"n": run.n, "n_tune": run.n_tune, "net": run.net, "unet_steps": plan.steps}
    metrics["dip_iterations"] = (plan.look + 1) * max(1, run.iterations // LOOKS)
    for name, chain in plan.chains.items():
        calls = len(sampling.timesteps(run.model.diffusion.num_train_timesteps, chain.sampler.steps, chain.t))
        metrics |= {f"{name}_t_start": chain.t, f"{name}_nfe": calls * chain.samples, f"{name}_samples": chain.samples}
    evals = []
    for name, (images, seconds) in made.items():
        shades = ranges.unit_to_uint8(images.clamp(0, 1))
        scores = {"psnr": fidelity.psnr(images, truth), "ssim": fidelity.ssim(images, truth)}
        scores |= {of: (one(shades) - whole[of]).norm(dim=1) for of, one in spaces.items()}
        metrics |= {f"{name}_{score}": values.double().mean().item() for score, values in scores.items()}
        metrics |= {f"{name}_seconds": seconds, f"{name}_tuned": tuned[name]}
        for i, row in enumerate(rows):
            evals.append({"method": name, "image": row, **{key: round(values[i].item(), 4) for key, values in scores.items()}})
    shown = {"clean": truth, **{name: one.images for name, one in made.items()}} if run.seed == 0 else {}
    arrays = {f"panels_{name}": ranges.unit_to_uint8(x[:PANELS].clamp(0, 1)).numpy() for name, x in shown.items()}
    spent = {"dip": made["dip_oracle"].seconds} | ({"sample": made["ddpm"].seconds} if run.t_starts else {})
    return Outcome(metrics=metrics, timings=spent, evals=evals, arrays=arrays, notes=[why] if why else [])
