"""Restoration runs: what a DIP, a DDPM and both make of the same degraded images, judged image by image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dipddpm_utils import ranges
from dipddpm_utils.config import Restore
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.dip import fit as dips
from dipddpm_utils.judging import fidelity, stats
from dipddpm_utils.machine import device, streams
from dipddpm_utils.priors import restore as job
from dipddpm_utils.priors.run import _autocast, trained
from dipddpm_utils.store.records import Outcome

if TYPE_CHECKING:
    from dipddpm_utils.store.work import Work

TOGETHER = 60  # images whose networks are fitted at once
LOOKS = 50  # of a fit, from which its budget is chosen
PANELS = 6  # images shown
CHAINS = {"ddpm": "degraded", "smooth_ddpm": "smooth", "dip_ddpm": "dip"}  # method -> what its chain starts from
TOLD = {"told_ddpm": "smooth", "dip_told_ddpm": "dip"}  # chains that are held to y at every step, where y has no noise
PAIRS = (
    *(("dip_ddpm", other) for other in ("ddpm", "smooth_ddpm", "told_ddpm", "dip")),
    *(("dip_told_ddpm", other) for other in ("told_ddpm", "dip")),
    *((one, "dip") for one in ("ddpm", "told_ddpm")),
    ("dip", "smooth"),
)


@dataclass
class Method:
    """One method's images for all that is restored, tuning images first, and what was chosen for it."""

    images: Tensor
    seconds: float = 0.0
    chosen: dict[str, int] = field(default_factory=dict)


def restore(run: Restore, work: Work) -> Outcome:
    """Every method on the same images. metrics: <method>_psnr, _ssim (with bootstrap ends), _seconds; <a>_minus_<b> of PSNR."""
    source = sets.load(run.model.data)
    if run.n_tune + run.n > len(source.held_out):
        raise ValueError(f"n_tune + n is {run.n_tune + run.n}, but there are {len(source.held_out)} held-out images")
    clean = ranges.uint8_to_unit(source.held_out[: run.n_tune + run.n].to(work.device))
    seen = job.degrade(run.task, clean, streams.generator(run.seed, f"degrade {run.task}", work.device))
    methods = {"degraded": Method(seen.picture), "smooth": Method(seen.smooth), **_dips(run, clean, seen, work)}
    methods |= _chains(run, clean, seen, methods, work)
    return _outcome(run, clean, methods)


def _dips(run: Restore, clean: Tensor, seen: job.Observation, work: Work) -> dict[str, Method]:
    """One untrained network an image; its budget chosen on the tuning images, or (oracle) for each image by its clean one."""
    every, outputs, seconds = max(1, run.iterations // LOOKS), [], 0.0
    now = device.clock(work.device)
    for first in range(0, len(clean), TOGETHER):
        rows = slice(first, first + TOGETHER)
        part = seen.rows(rows)
        looks, began = [], now()
        fits = dips.fit_images(
            run.net,
            part.target,
            iterations=run.iterations,
            lr=run.lr,
            z_std=run.z_std,
            width=run.width,
            generator=streams.generator(run.seed, f"fit {first}", work.device),
            observe=part.observe,
        )
        for fit in fits:
            work.budget.check()
            if fit.iteration % every == 0:
                looks.append(part.keep(fit.outputs))
        seconds += now() - began
        outputs.append(torch.stack(looks))
    looks = torch.cat(outputs, 1)  # [looks, images, C, H, W]
    psnr = torch.stack([fidelity.psnr(images, clean, 1.0) for images in looks])
    best = int(psnr[:, : run.n_tune].mean(1).argmax())
    oracle = looks[psnr.argmax(0), torch.arange(len(clean), device=looks.device)]
    budget = every * (best + 1)
    return {
        "dip": Method(looks[best], seconds * budget / run.iterations, {"iterations": budget}),
        "dip_oracle": Method(oracle, seconds, {"iterations": int(every * (psnr.argmax(0).double().mean().item() + 1))}),
    }


def _chains(run: Restore, clean: Tensor, seen: job.Observation, guesses: dict[str, Method], work: Work) -> dict[str, Method]:
    """The DDPM from three guesses, and told y from two; for each, the t_start that is best on the tuning images."""
    model, about = trained(run.model, work), run.model.diffusion
    plain, coefs = _autocast(model, run.model), schedule.coefficients(about, device=work.device)
    found, now = {}, device.clock(work.device)
    for name, guess in (CHAINS if run.task == "denoise" else CHAINS | TOLD).items():
        network, tried = job.told(plain, coefs, about, seen) if name in TOLD else plain, []
        for t_start in run.t_starts:
            work.budget.check()
            generator = streams.generator(run.seed, f"restart {t_start}")  # the same noise for every guess
            began = now()
            images, calls = job.restart(network, coefs, about, run.sampler, guesses[guess].images, t_start, generator)
            seconds = now() - began + guesses[guess].seconds
            tried.append(Method(seen.keep(images), seconds, {"t_start": t_start, "nfe": calls}))
        found[name] = max(tried, key=lambda m: fidelity.psnr(m.images[: run.n_tune], clean[: run.n_tune], 1.0).mean().item())
    return found


def _outcome(run: Restore, clean: Tensor, methods: dict[str, Method]) -> Outcome:
    truth, rng = clean[run.n_tune :], streams.numpy_rng(run.seed, "bootstrap")
    metrics: dict[str, Any] = {"task": run.task, "n": run.n, "n_tune": run.n_tune, "net": run.net}
    rows, scores = [], {}
    for name, method in methods.items():
        images = method.images[run.n_tune :]
        scores[name] = fidelity.psnr(images, truth, 1.0).cpu().double().numpy()
        similar = fidelity.ssim(images, truth, 1.0).cpu().double().numpy()
        metrics |= _interval(f"{name}_psnr", scores[name], rng) | _interval(f"{name}_ssim", similar, rng)
        metrics |= {f"{name}_seconds": method.seconds, **{f"{name}_{key}": value for key, value in method.chosen.items()}}
        rows += [
            {"method": name, "image": i, "psnr": round(float(p), 4), "ssim": round(float(s), 4)}
            for i, (p, s) in enumerate(zip(scores[name], similar, strict=True))
        ]
    for one, other in (pair for pair in PAIRS if scores.keys() >= set(pair)):
        metrics |= _interval(f"{one}_minus_{other}", scores[one] - scores[other], rng)
    shown = {"clean": truth, **{name: method.images[run.n_tune :] for name, method in methods.items()}}
    arrays = {f"panels_{name}": ranges.unit_to_uint8(x[:PANELS].clamp(0, 1)).cpu().numpy() for name, x in shown.items()}
    spent = {"dip": methods["dip_oracle"].seconds, "sample": methods["ddpm"].seconds}
    return Outcome(metrics=metrics, timings=spent, evals=rows, arrays=arrays)


def _interval(name: str, values: Any, rng: Any) -> dict[str, float]:
    """Mean over images and its 95% bootstrap interval, images resampled with all that belongs to them."""
    interval = stats.bootstrap(values, rng=rng)
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
