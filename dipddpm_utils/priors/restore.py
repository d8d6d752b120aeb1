"""The restoration job: a degraded image y = A x + noise is given, so a prior may look at it. Images in [0, 1], [N, C, H, W].

- "denoise": y = clip(x + STD n, 0, 1); - "inpaint": half of the pixels are not seen; - "super_resolve": means of 2 x 2 pixels.

What a DIP, a DDPM and both make of the same images, judged image by image. `restart` is where they meet: a chain started at t
from any guess at the image (SDEdit: Meng et al. 2022). A DIP is told A, a chain that is only started from y is not: `told`
tells it, at every step (DDNM: Wang, Yu and Zhang 2023, eq. 13).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dipddpm_utils import ranges
from dipddpm_utils.config import Diffusion, Restore, Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.dip import fit as dips
from dipddpm_utils.judging import fidelity, stats
from dipddpm_utils.judging.fidelity import gaussian_blur
from dipddpm_utils.machine import device, streams
from dipddpm_utils.priors.judge import autocast, trained
from dipddpm_utils.priors.process import corrected, start_chain
from dipddpm_utils.store.records import Outcome

if TYPE_CHECKING:
    from dipddpm_utils.store.work import Work

STD = 0.4  # of the noise of "denoise"
SEEN = 0.5  # share of the pixels that "inpaint" leaves
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


@dataclass(frozen=True)
class Observation:
    """What is given. All tensors are images of the full size."""

    task: str
    target: Tensor  # y = A x + noise: what A of a fit is compared with
    picture: Tensor  # the degraded image as one would show it: missing pixels grey, coarse pixels copied
    smooth: Tensor  # a guess without any network: the control
    known: Tensor  # [N, 1, H, W]: 1 where y gives the pixel itself, 0 elsewhere

    def observe(self, images: Tensor) -> Tensor:
        """A, as a map from images to images."""
        if self.task == "inpaint":
            return self.known * images
        return coarse(images) if self.task == "super_resolve" else images

    def keep(self, guess: Tensor) -> Tensor:
        """A guess with the known pixels put back."""
        return self.known * self.target + (1 - self.known) * guess

    def agree(self, images: Tensor) -> Tensor:
        """The nearest images x with A x = y: x + (y - A x), since A is a projection. ValueError if y has noise of its own."""
        if self.task == "denoise":
            raise ValueError("task is 'denoise', whose y has noise, expected inpaint or super_resolve")
        return images + self.target - self.observe(images)

    def rows(self, rows: slice) -> Observation:
        """The same for some of the images."""
        parts = (x[rows] for x in (self.target, self.picture, self.smooth, self.known))
        return Observation(self.task, *parts)


def degrade(task: str, clean: Tensor, generator: torch.Generator) -> Observation:
    """Degrade clean images. ValueError if the task is none of denoise, inpaint, super_resolve."""
    ranges.check_unit(clean, "clean")
    known = torch.zeros_like(clean[:, :1])
    if task == "denoise":
        noise = torch.randn(clean.shape, generator=generator, device=generator.device).to(clean)
        noisy = (clean + STD * noise).clamp(0, 1)
        return Observation(task, noisy, noisy, gaussian_blur(noisy), known)
    if task == "inpaint":
        known = (torch.rand(known.shape, generator=generator, device=generator.device) < SEEN).to(clean)
        around = gaussian_blur(known * clean) / gaussian_blur(known).clamp(min=1e-6)  # the mean of what is seen nearby
        grey, guess = (known * clean + (1 - known) * fill for fill in (0.5, around))
        return Observation(task, known * clean, grey, guess, known)
    if task == "super_resolve":
        wide = F.interpolate(F.avg_pool2d(clean, 2), scale_factor=2, mode="bilinear", align_corners=False)
        return Observation(task, coarse(clean), coarse(clean), wide, known)
    raise ValueError(f"task is {task!r}, expected denoise, inpaint or super_resolve")


def coarse(images: Tensor) -> Tensor:
    """Means of 2 x 2 pixels, each copied to its four places."""
    return F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")


def restart(
    model: Model, coefs: Coefficients, about: Diffusion, sampler: Sampler, guess: Tensor, t: int, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Noise a guess in [0, 1] to t and run the rest of the chain: (images in [0, 1], network calls)."""
    x_t = start_chain(coefs, ranges.unit_to_signed(guess.clamp(0, 1)), t, generator)
    x_0, calls = sampling.sample(model, coefs, about, sampler, x_t, t, generator)
    return ranges.signed_to_unit(x_0).clamp(0, 1), calls


def told(model: Model, coefs: Coefficients, about: Diffusion, seen: Observation) -> Model:
    """The network whose x0_hat agrees with y at every step: x0_hat <- x0_hat + (y - A x0_hat)."""

    def agreeing(x0_hat: Tensor, t: int) -> Tensor:
        return ranges.unit_to_signed(seen.agree(ranges.signed_to_unit(x0_hat.clamp(-1, 1))).clamp(0, 1))

    return corrected(model, coefs, about, agreeing)


# --- restoration runs -------------------------------------------------------------------------------------------------


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
    seen = degrade(run.task, clean, streams.generator(run.seed, f"degrade {run.task}", work.device))
    methods = {"degraded": Method(seen.picture), "smooth": Method(seen.smooth), **_dips(run, clean, seen, work)}
    methods |= _chains(run, clean, seen, methods, work)
    return _outcome(run, clean, methods)


def _dips(run: Restore, clean: Tensor, seen: Observation, work: Work) -> dict[str, Method]:
    """One untrained network an image; its budget chosen on the tuning images, or (oracle) for each image by its clean one."""
    every, outputs, seconds = max(1, run.iterations // LOOKS), [], 0.0
    options, now = run.model_dump(include={"iterations", "lr", "z_std", "width"}), device.clock(work.device)
    for first in range(0, len(clean), TOGETHER):
        rows = slice(first, first + TOGETHER)
        part = seen.rows(rows)
        looks, began = [], now()
        generator = streams.generator(run.seed, f"fit {first}", work.device)
        for fit in dips.fit_images(run.net, part.target, generator=generator, observe=part.observe, **options):
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


def _chains(run: Restore, clean: Tensor, seen: Observation, guesses: dict[str, Method], work: Work) -> dict[str, Method]:
    """The DDPM from three guesses, and told y from two; for each, the t_start that is best on the tuning images."""
    model, about = trained(run.model, work), run.model.diffusion
    plain, coefs = autocast(model, run.model), schedule.coefficients(about, device=work.device)
    found, now = {}, device.clock(work.device)
    for name, guess in (CHAINS if run.task == "denoise" else CHAINS | TOLD).items():
        network, tried = told(plain, coefs, about, seen) if name in TOLD else plain, []
        for t_start in run.t_starts:
            work.budget.check()
            generator = streams.generator(run.seed, f"restart {t_start}")  # the same noise for every guess
            began = now()
            images, calls = restart(network, coefs, about, run.sampler, guesses[guess].images, t_start, generator)
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
