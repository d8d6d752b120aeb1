"""Runs that check rather than train: theory on Gaussian data, real against real, and what an untrained net prefers."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dipddpm_utils import ranges
from dipddpm_utils.config import Floor, Gaussian, Sampler, Spectrum
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process, sampling, schedule
from dipddpm_utils.dip.fit import Timed
from dipddpm_utils.judging import evaluate, fidelity, stats
from dipddpm_utils.judging.frechet import frechet_distance, mean_cov
from dipddpm_utils.machine import streams
from dipddpm_utils.store.records import Outcome, Work
from dipddpm_utils.theory import gaussian as closed

MOMENTS = 10_000  # training images, at most, from which the Gaussian takes its mean and covariance
SPLITS = 10  # parts of the samples whose spread gives the Monte Carlo interval
Row = dict[str, Any]


# --- theory on Gaussian data ------------------------------------------------------------------------------------------


def gaussian(run: Gaussian, work: Work) -> Outcome:
    """Every statement of the theory notebook, measured on samples and beside its closed form.

    evals rows: check, x (what it is drawn over), mismatch (of the start's mean, in data std), expected, measured, low, high.
    For the checks named *_bound `expected` is an upper bound; for all others it is the value itself.
    """
    toy = _Toy(run)
    rows: list[Row] = []
    for check in (_single_steps, _chain_variances, _mismatched_starts):
        work.budget.check()
        rows += check(toy)
    metrics: Row = {"n": run.n, "dim": run.dim, "data_variance": float(np.trace(toy.cov)) / run.dim}
    for name in dict.fromkeys(row["check"] for row in rows):
        own = [row for row in rows if row["check"] == name]
        if name.endswith("_bound"):
            metrics[f"{name}_violations"] = sum(row["low"] > row["expected"] + 1e-9 for row in own)
        else:
            metrics[f"{name}_max_relative_error"] = max(abs(r["measured"] / r["expected"] - 1) for r in own if r["expected"])
            metrics[f"{name}_covered"] = float(np.mean([row["low"] <= row["expected"] <= row["high"] for row in own]))
    return Outcome(metrics=metrics, evals=rows)


class _Toy:
    """Gaussian data in [D] dimensions with a wide spread of variances, as tensors [n, 1, 1, D] in float64."""

    def __init__(self, run: Gaussian) -> None:
        self.run, rng = run, streams.numpy_rng(run.seed, "data")
        basis = np.linalg.qr(rng.standard_normal((run.dim, run.dim)))[0]
        self.cov = basis * np.geomspace(closed.WIDEST, 0.005, run.dim) @ basis.T
        self.mean = rng.uniform(-0.4, 0.4, run.dim)
        self.coefs = schedule.coefficients(run.diffusion, torch.float64)
        self.T = run.diffusion.num_train_timesteps
        self.model = closed.optimal_model(self.mean, self.cov, self.coefs.alpha_bars, run.diffusion.objective)
        self.direction = np.linalg.eigh(self.cov)[1][:, -1] * np.sqrt(closed.WIDEST)  # one data std, along the widest direction

    def normal(self, purpose: str) -> Tensor:
        generator = streams.generator(self.run.seed, purpose)
        return torch.randn(self.run.n, 1, 1, self.run.dim, generator=generator, dtype=torch.float64)

    def x0(self, purpose: str, shift: float = 0.0) -> Tensor:
        root = torch.from_numpy(np.linalg.cholesky(self.cov))
        return self.normal(purpose) @ root.T + torch.from_numpy(self.mean + shift * self.direction)

    def chain(self, sampler: str, x_t: Tensor, steps: int, t_start: int | None = None) -> Tensor:
        generator = streams.generator(self.run.seed, f"chain {sampler} {steps}")
        how = Sampler(name=sampler, steps=steps)
        return sampling.sample(self.model, self.coefs, self.run.diffusion, how, x_t, t_start, generator, clip=False)[0]


def _row(check: str, x: float, expected: float, samples: Tensor, statistic: Callable[[np.ndarray], float], **more: Any) -> Row:
    """One comparison; the interval is a t interval over SPLITS parts of the samples."""
    flat = samples.flatten(1).numpy()
    parts = stats.mean_interval([statistic(part) for part in np.array_split(flat, SPLITS)])
    whole, half = statistic(flat), (parts.high - parts.low) / 2
    row = {"check": check, "x": x, "mismatch": 0.0, "expected": expected}
    return row | {"measured": whole, "low": whole - half, "high": whole + half} | more


def _mean_variance(values: np.ndarray) -> float:
    return float(values.var(axis=0, ddof=1).mean())


def _single_steps(toy: _Toy) -> Iterator[Row]:
    """q(x_t), its posterior (x_{t-1} - posterior mean has variance beta_tilde_t), and the least error of eps, over t."""
    x0, eps, more = toy.x0("x0"), toy.normal("eps"), toy.normal("more eps")
    for t in map(round, np.linspace(1, toy.T - 1, 8)):
        x_t, bar = process.diffuse(toy.coefs, x0, t, eps), toy.coefs.alpha_bar(t)
        _, cov = closed.marginal(toy.mean, toy.cov, bar)
        yield _row("q_variance", t, float(np.trace(cov)) / toy.run.dim, x_t, _mean_variance)
        before = process.diffuse(toy.coefs, x0, t - 1, eps)
        after = toy.coefs.alphas[t].sqrt() * before + toy.coefs.betas[t].sqrt() * more
        mean, _ = process.q_posterior_mean_variance(toy.coefs, x0, after, t)
        yield _row("posterior_variance", t, float(toy.coefs.posterior_variance[t]), before - mean, _mean_variance)
        error, expected = toy.model(x_t, torch.full((len(x0),), t)) - eps, closed.optimal_eps_error(toy.cov, bar)
        yield _row("optimal_eps_error", t, expected, error, lambda values: float((values**2).mean()))


def _chain_variances(toy: _Toy) -> Iterator[Row]:
    """Whole chains from noise; the ancestral one is DDIM's with eta = 1 (Song et al. 2021, section 4.1)."""
    x_T = toy.normal("x_T")
    start = np.zeros(toy.run.dim), np.eye(toy.run.dim)
    for sampler, eta in (("ddim", 0.0), ("ancestral", 1.0)):
        for steps in toy.run.steps:
            times = sampling.timesteps(toy.T, steps)
            _, cov = closed.ddim_chain(toy.mean, toy.cov, toy.coefs.alpha_bars, times, eta).apply(*start)
            x0 = toy.chain(sampler, x_T, steps)
            yield _row(f"{sampler}_variance", steps, float(np.trace(cov)) / toy.run.dim, x0, _mean_variance)


def _mismatched_starts(toy: _Toy) -> Iterator[Row]:
    """Starts whose mean is off: the gap they leave in the output, and the bound on it from q(x_t) alone.

    Each wrong start is paired with the right one, same noise throughout, so that only the mismatch is left in the difference.
    """
    eps, steps = toy.normal("start eps"), max(toy.run.steps)
    along = toy.direction / np.linalg.norm(toy.direction)
    for t in toy.run.t_starts:
        bar = toy.coefs.alpha_bar(t)
        chain = closed.ddim_chain(toy.mean, toy.cov, toy.coefs.alpha_bars, sampling.timesteps(toy.T, steps, t))
        right, cov = chain.apply(*closed.marginal(toy.mean, toy.cov, bar))
        outputs = {}
        for mismatch in dict.fromkeys((0.0, *toy.run.mismatches)):
            x_t = process.diffuse(toy.coefs, toy.x0("x_start", mismatch), t, eps)
            outputs[mismatch] = toy.chain("ddim", x_t, steps, t)
        for mismatch in toy.run.mismatches:
            shifted_mean = toy.mean + mismatch * toy.direction
            wrong, _ = chain.apply(*closed.marginal(shifted_mean, toy.cov, bar))
            bound = closed.start_mismatch(toy.mean, toy.cov, shifted_mean, toy.cov, bar)
            apart = outputs[mismatch] - outputs[0.0]

            def distance(values: np.ndarray, right: np.ndarray = right, cov: np.ndarray = cov) -> float:
                return closed.total_variation_equal_cov(right, right + values.mean(0), cov)

            expected = float((wrong - right) @ along)
            yield _row("output_shift", t, expected, apart, lambda values: float(values.mean(0) @ along), mismatch=mismatch)
            yield _row("start_bound", t, closed.most_variation(bound), apart, distance, mismatch=mismatch, kl=bound)


# --- real against real ------------------------------------------------------------------------------------------------


def floor(run: Floor, work: Work) -> Outcome:
    """What the distances are when the 'samples' are real training images: nothing can be expected to be below."""
    source, space = sets.load(run.data), evaluate.space(run.data, work.device, work.budget)
    rows = []
    for n in run.ns:
        for repeat in range(run.repeats):
            work.budget.check()
            rng = streams.numpy_rng(run.seed, f"floor {n} {repeat}")
            rows.append({"repeat": repeat, **evaluate.floor(source, n, space, rng)})
    metrics: Row = {key: value for key, value in rows[-1].items() if isinstance(value, str)} | {"n": run.ns[-1]}
    last = [row for row in rows if row["n"] == run.ns[-1]]
    scores = ("fd", "kid", "precision", "recall", "copy_rate")
    metrics |= stats.mean_intervals({name: [row[name] for row in last] for name in scores})
    return Outcome(metrics=metrics | _trivial(run, source, space), evals=rows)


def _trivial(run: Floor, source: sets.DataSet, space: evaluate.Features) -> Row:
    """Distance of what takes no learning, at the record's n: what a model has to beat to be judged (reports/gate.py).

    A Gaussian with the mean and covariance of the training images' pixels, training images blurred by BLUR pixels, and their
    mean n times. Drawn from streams of their own. In the second space of colour images also real training images, its floor.
    """
    n, shape = run.ns[-1], source.train.shape[1:]
    rng = {name: streams.numpy_rng(run.seed, f"floor {name}") for name in ("gaussian", "blur")}
    some = source.train[rng["gaussian"].permutation(len(source.train))[:MOMENTS]].flatten(1).double()
    mean, spread = some.mean(0), (some - some.mean(0)) / (len(some) - 1) ** 0.5
    weights = torch.from_numpy(rng["gaussian"].standard_normal((n, len(some))))
    drawn = source.train[rng["blur"].permutation(len(source.train))[:n]]
    made = {
        "gaussian": (mean + weights @ spread).reshape(-1, *shape).round().clamp(0, 255).to(torch.uint8),
        "blur": ranges.signed_to_uint8(fidelity.gaussian_blur(ranges.uint8_to_signed(drawn))),
        "mean": mean.reshape(1, *shape).round().to(torch.uint8).expand(n, *shape),
    }
    real = mean_cov(space(source.held_out))
    found = {f"trivial_{name}_fd": frechet_distance(*mean_cov(space(images)), *real) for name, images in made.items()}
    where, made["real"] = str(space.device), source.train[rng["blur"].permutation(len(source.train))[:n]]
    for name, images in made.items():
        found |= {f"trivial_{name}_{key}": value for key, value in evaluate.second(images, source, where).items()}
    return found


# --- what an untrained net prefers ------------------------------------------------------------------------------------


def spectrum(run: Spectrum, work: Work) -> Outcome:
    """Fit untrained nets to images, to noise, and to noisy images, and follow the error in each band of frequencies."""
    source = sets.load(run.data)
    clean = ranges.uint8_to_unit(source.held_out[: run.n_images].to(work.device))
    noise = 0.2 * streams.normal(clean, streams.generator(run.seed, "noise", work.device))
    rows, every = [], max(1, run.iterations // 40)
    for target_name, target in (("image", clean), ("noise", (0.5 + noise).clamp(0, 1)), ("noisy", (clean + noise).clamp(0, 1))):
        generator = streams.generator(run.seed, f"fit {target_name}", work.device)
        for fit in Timed(work, run, target, generator, looks=lambda iteration: iteration % every == 0 or iteration == 1):
            rows += [
                {"iteration": fit.iteration, "target": target_name, "band": band, "relative_error": float(error)}
                for band, error in enumerate(band_errors(target, fit.outputs, run.bands).cpu())
            ]
    return Outcome({"n": run.n_images, "bands": run.bands, "iterations": run.iterations, "net": run.net}, evals=rows)


def band_errors(target: Tensor, output: Tensor, bands: int) -> Tensor:
    """Relative squared error in each of `bands` rings of spatial frequency: float32 [bands], the lowest first.

    target, output: [N, C, H, W] in any range. Ring k holds the frequencies (cycles a pixel, up to 0.5 along an axis) between
    k and k + 1 bands-ths of the highest one; corners belong to the last. The constant is left out. An entry is
    sum |FFT(output - target)|^2 / sum |FFT(target)|^2 over the ring and all images: 1 means nothing is fitted, 0 everything
    (the measure of Rahaman et al. 2019, arXiv 1806.08734, section 3). ValueError if there are so many bands that a ring holds
    no frequency.
    """
    height, width = target.shape[-2:]
    if not 1 <= bands <= min(height, width) // 2:
        raise ValueError(f"bands is {bands}, expected 1..{min(height, width) // 2} for images of {height} x {width} pixels")
    rows, columns = (torch.fft.fftfreq(side, device=target.device) for side in (height, width))
    radius = (rows[:, None] ** 2 + columns[None] ** 2).sqrt()
    ring = (radius / 0.5 * bands).long().clamp(max=bands - 1)

    def energy(x: Tensor) -> Tensor:
        power = torch.fft.fft2(x.float()).abs().square().sum(dim=(0, 1))
        power[0, 0] = 0.0
        return torch.zeros(bands, device=x.device).index_add_(0, ring.flatten(), power.flatten())

    return energy(output - target) / energy(target).clamp(min=1e-12)
