"""Runs of kind `stopping`: up to three fits of the same images, and where each rule of declared.py stops them.

All begin with the same weights and inputs. A finished fit is saved, so a run that is cut off repeats at most one of them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dipddpm_utils import ranges
from dipddpm_utils.config import Stopping
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.dip.fit import Timed
from dipddpm_utils.judging import fidelity, stats
from dipddpm_utils.machine import device, files, progress, streams
from dipddpm_utils.stopping import rules
from dipddpm_utils.stopping.declared import RULES
from dipddpm_utils.store.records import Outcome, Work

Arrays = dict[str, np.ndarray]


def stopping(run: Stopping, work: Work) -> Outcome:
    """Fit every image as often as the rules need, and judge where each rule stops."""
    source = sets.load(run.data)
    clean = ranges.uint8_to_unit(source.held_out[: run.n_images].to(work.device))
    noise = streams.normal(clean, streams.generator(run.seed, "observed noise", work.device))
    observed = clean + run.std * noise  # not clipped: clipping would leave noise that is neither Gaussian nor centred
    fits = {"plain": _fit(run, work, "plain", clean, lambda _: observed, observed)}
    if "halves" in run.rules:
        first, second = rules.halves(observed, run.std, run.tau, streams.generator(run.seed, "halves", work.device))
        fits["halves"] = _fit(run, work, "halves", clean, lambda _: first, second)
    if "staged" in run.rules:
        coefs = schedule.coefficients(run.diffusion, device=work.device)
        levels = rules.levels(run.spacing, run.stages, run.level_high, run.level_low)
        times, generator = [rules.nearest_t(coefs, one) for one in levels], streams.generator(run.seed, "stages", work.device)
        stages = rules.Stages(observed, coefs, times, run.iterations, generator)
        fits["staged"] = _fit(run, work, "staged", clean, stages.target, observed)
    per_rule = {rule: _stopped(run, rule, fits) for rule in run.rules}
    arrays: Arrays = {"rules": np.array(run.rules)}
    for name in ("psnr", "lost", "log2_step", "step", "known", "seconds"):
        arrays[name] = np.stack([values[name] for values in per_rule.values()]).astype(np.float32)  # [rules, images]
    return Outcome(
        metrics={"n": run.n_images, "iterations": run.iterations},
        timings={"train": float(sum(values["seconds"] for values in fits.values()))},
        evals=[_row(run, rule, values) for rule, values in per_rule.items()],
        arrays=arrays,
    )


# --- one fit, watched by its rules ------------------------------------------------------------------------------------


def _fit(run: Stopping, work: Work, name: str, clean: Tensor, target_at: Callable[[int], Tensor], reference: Tensor) -> Arrays:
    """One fit: psnr float32 [iterations, N], seconds, and for each rule that watches it step [N], known [N], seconds."""
    saved = work.folder / f"{name}.npz"
    if (before := files.arrays(saved)) is not None:
        return before
    reference = reference.cpu()  # the rules run on the CPU in float64, which not every device has
    variances = {"wmv": rules.WindowVariance(run.window).score, "emv": rules.ExponentialVariance(run.alpha).score}
    watching = [rule for rule, about in RULES.items() if about.fit == name and rule in run.rules]
    score_of = {rule: variances.get(rule, lambda outputs: rules.mean_square(outputs, reference)) for rule in watching}
    scores: dict[str, list[Tensor]] = {rule: [] for rule in score_of}
    rule_seconds, psnr = dict.fromkeys(score_of, 0.0), []
    fits = Timed(work, run, target_at, streams.generator(run.seed, "fit", work.device))
    with progress.Progress(run.iterations, f"{work.label} {name}") as bar:
        for fit in fits:
            outputs = fit.outputs.cpu()
            psnr.append(fidelity.psnr(fit.outputs, clean).cpu())
            for rule, score in score_of.items():
                since = device.stopwatch(work.device)
                scores[rule].append(score(outputs).double())
                rule_seconds[rule] += since()
            bar.update(1, psnr=float(psnr[-1].mean()))
    result = {"psnr": torch.stack(psnr).numpy(), "seconds": np.array(fits.seconds)}
    for rule, own in scores.items():
        found = torch.stack(own).numpy()
        step, known = rules.below(found, run.std**2) if RULES[rule].below else rules.lowest(found, run.patience)
        result |= {f"{rule}_step": step, f"{rule}_known": known, f"{rule}_seconds": np.array(rule_seconds[rule])}
    files.write_bytes(saved, files.npz_bytes(result))
    return result


# --- what it comes to -------------------------------------------------------------------------------------------------


def _stopped(run: Stopping, rule: str, fits: dict[str, Arrays]) -> Arrays:
    """For each image: where the rule stops, what it returns there, and what that took. All [N]."""
    about = RULES[rule]
    own = fits[about.fit or "plain"]
    returned = own if about.fits == 1 else fits["plain"]
    top = fits["plain"]["psnr"]
    if about.fit:
        step, known = own[f"{rule}_step"], own[f"{rule}_known"]
    else:
        given = {"oracle": top.argmax(0) + 1, "fixed": run.fixed, "end": run.iterations}[rule]
        step = np.broadcast_to(given, run.n_images)
        known = np.full(run.n_images, run.iterations if rule == "oracle" else given)
    psnr = returned["psnr"][step - 1, np.arange(run.n_images)]
    waited = np.where(known == 0, run.iterations, known)
    each = (own["seconds"] * about.fits + own.get(f"{rule}_seconds", 0.0)) / run.n_images / len(own["psnr"])
    octaves = np.log2(step / (returned["psnr"].argmax(0) + 1))  # off the best step of the fit whose output is returned
    return {
        "step": step,
        "known": known,
        "psnr": psnr,
        "lost": top.max(0) - psnr,
        "log2_step": octaves,
        "abs_log2_step": np.abs(octaves),
        "fit_gain": returned["psnr"].max(0) - top.max(0),  # best of the fit it stops over the plain one's
        "seconds": waited * each,
    }


def _row(run: Stopping, rule: str, values: Arrays) -> dict[str, Any]:
    """Means over images with 95% intervals; the share of images for which the rule never stopped, and seconds an image."""
    means = stats.mean_intervals({name: values[name] for name in ("psnr", "lost", "log2_step", "abs_log2_step", "fit_gain")})
    others = {"unfinished": float((values["known"] == 0).mean()), "seconds": float(values["seconds"].mean())}
    return {"rule": rule, "n": run.n_images, **means, **others}
