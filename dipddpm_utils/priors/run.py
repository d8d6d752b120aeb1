"""DDPM runs: training on real images or DIP outputs, and sampling from any start; both judged in the same way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Ddpm, Sample, Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process as diffusion
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.dip.run import fitted
from dipddpm_utils.judging import evaluate, frechet, shapes
from dipddpm_utils.machine import device, streams
from dipddpm_utils.priors import at_work as joining
from dipddpm_utils.priors import process as priors_process
from dipddpm_utils.priors import starts
from dipddpm_utils.priors.training_images import training_images
from dipddpm_utils.reports import mistakes
from dipddpm_utils.store.records import Outcome
from dipddpm_utils.theory import gaussian
from dipddpm_utils.training import loop
from dipddpm_utils.training.resumable import seeded, train_resumably

if TYPE_CHECKING:
    from dipddpm_utils.store.work import Work

SAMPLED_TOGETHER = {"cpu": 250, "cuda": 1000, "mps": 500}  # images a batch of a reverse chain
PAIRED = ("dip", "blur", "mean")  # starts each of which stands for a training image
STRIP = 12  # frames of the forward and reverse strips
TRAINED_ON = 2000  # images a model was trained on, at most, to which its samples are compared


def build(run: Ddpm) -> UNet:
    """The denoiser with its initial weights."""
    return seeded(lambda: _unet(run), run)


def _unet(run: Ddpm) -> UNet:
    told = run.prior is not None and run.prior.condition  # an image of its own for each x_t
    return UNet(run.unet, run.data.channels, run.data.size, given=run.data.channels if told else 0)


def ddpm(run: Ddpm, work: Work) -> Outcome:
    """Train a denoiser and judge its samples at several steps, against real held-out images, whatever it was trained on."""
    source = sets.load(run.data)
    items, dip_seconds, strength = training_images(run, source, work)
    coefs = schedule.coefficients(run.diffusion, device=work.device)
    optim = mistakes.halved_lr(run.optim) if "FB3" in run.faults else run.optim
    prior, model = joining.at_work(run, source, work), build(run)
    if prior is not None:
        model = joining.warmed(model, run, source, work, prior)
        dip_seconds += prior.seconds
    state = loop.new_state(model, optim, len(items), run.seed, work.device)
    if "FA4" in run.faults:
        mistakes.lose_gradients(state)
    if "FB1" in run.faults:
        mistakes.unshuffle(state)
    in_range = diffusion.loss if not {"FA1", "FB2"} & set(run.faults) else diffusion.loss_in_any_range

    def batch(indices: Tensor) -> Any:
        x0 = _signed(items[indices])
        return x0 if prior is None else prior.batch(x0, indices, state.step, run.optim.steps)

    def loss(model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
        x0, x_dip = batch if isinstance(batch, tuple) else (batch, None)
        t = diffusion.training_times(run.diffusion, len(x0), generator, x0.device)
        eps = torch.randn(x0.shape, generator=generator, device=x0.device)
        if x_dip is None:
            return in_range(coefs, run.diffusion, model, x0, t, eps)
        ways = {"shift": run.prior.shift, "condition": run.prior.condition}
        return priors_process.loss(coefs, run.diffusion, model, x0, x_dip, t, eps, **ways)

    def sampled_from() -> nn.Module:
        return mistakes.raw_weights(state) if "FA5" in run.faults else state.sampler_model()

    def judged(sampler: Sampler, n: int, purpose: str) -> tuple[dict[str, Any], Tensor]:
        chain = None if prior is None else prior.chain(run, sampler, n, purpose)
        return _judged(run, work, source, sampled_from(), sampler, n, purpose, chain=chain)

    def look(state: loop.State, log: dict[str, Any]) -> None:
        row, images = judged(run.evaluate.sampler, run.evaluate.n, f"step {state.step}")
        log.setdefault("evals", []).append({"step": state.step, "images": state.images, "seconds": state.seconds, **row})
        if run.evaluate.keep_all and run.seed == 0:  # one seed is shown, and records are kept in version control
            log.setdefault("grids", []).append(images[:16].numpy())

    steps = tuple(range(run.evaluate.every, run.optim.steps + 1, run.evaluate.every))
    log = train_resumably(state, loss, batch, work, steps, look)
    model = sampled_from()
    purposes = ["final", *(f"final {i}" for i in range(1, run.evaluate.final_draws))]
    draws = [judged(run.evaluate.final_sampler, run.evaluate.final_n, purpose) for purpose in purposes]
    final, images = averaged([row for row, _ in draws]), draws[0][1]
    evals = log.get("evals", []) + [{"step": state.step, "images": state.images, "seconds": state.seconds, **final}]
    metrics = {
        **final,
        "draws": len(draws),
        "steps": state.step,
        "images_seen": state.images,
        "train_seconds": state.seconds,
        "dip_seconds": dip_seconds,
        "total_seconds": state.seconds + dip_seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss_last": float(np.mean([row["loss"] for row in log["curve"][-10:]])),
        **joining.ddpm_flops(run, model, final, prior, work),
    }
    if run.data.channels == 1:
        metrics |= {"contrast": shapes.contrast(images.numpy()), "raggedness": shapes.raggedness(images.numpy())}
    if strength is not None:
        metrics["control_strength"] = strength
    arrays = {"grid": images[: _shown(run, run.seed)].numpy()}
    if run.dip is not None or run.per_image is not None or run.train_on is not None:
        shown = ranges.signed_to_uint8(items[:TRAINED_ON]).cpu()
        arrays["trained_on"] = shown[:3].numpy()
        metrics["fd_trained"] = _distance(run, work, images, shown)
    if run.evaluate.keep_all and run.seed == 0 and prior is None:  # a prior's chains are not drawn as plainly
        arrays |= _strips(run, work, source, model)
    if log.get("grids"):
        arrays |= {"grids_by_step": np.stack(log["grids"]), "grid_steps": np.array(log["visited"])}
    return Outcome(
        metrics=metrics,
        timings={"train": state.seconds, "dip": dip_seconds, "evaluate": sum(row["evaluation_seconds"] for row in evals)},
        curve=log["curve"],
        evals=evals,
        arrays=arrays,
        weights={key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()},
        notes=log["notes"],
    )


def averaged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean scores of several sets of n images; an interval about the mean of k sets is sqrt(k) times narrower.

    Sets drawn from one model with other noise were seen to differ by more than a set's own bootstrap interval.
    """
    mean = {key: float(np.mean([row[key] for row in rows])) if isinstance(of, float) else of for key, of in rows[0].items()}
    for key in [key for key in mean if f"{key}_low" in mean and mean[f"{key}_low"] is not None]:
        for end in ("_low", "_high"):
            mean[key + end] = mean[key] + (mean[key + end] - mean[key]) / math.sqrt(len(rows))
    return mean | {"evaluation_seconds": sum(row["evaluation_seconds"] for row in rows)}


def sample(run: Sample, work: Work) -> Outcome:
    """Draw images from a trained model, with the chain begun where `run.start` says, and judge them."""
    source = sets.load(run.model.data)
    model = trained(run.model, work)
    prior_seconds = 0.0
    context = starts.Context(
        train=source.train.to(work.device), net=None, coefs=schedule.coefficients(run.model.diffusion, device=work.device)
    )
    used = run.start.dip if run.start.name == "dip" else run.advice.dip if run.advice is not None else None
    if used is not None:
        context.net = fitted(used, work)
        prior_seconds = work.record(used).metrics["train_seconds"]
    now = device.clock(work.device)
    began = now()
    generator = streams.generator(run.seed, f"start {run.start.name}")
    x_start = starts.STARTS[run.start.name](context, run.n, generator)
    last = run.model.diffusion.num_train_timesteps - 1
    t_start = last if run.start.t_start is None else run.start.t_start
    x_t = starts.start_chain(context.coefs, x_start, t_start, generator)
    chain = joining.advised_chain(run, context, t_start, work)
    start_seconds = now() - began
    row, images = _judged(run.model, work, source, model, run.sampler, run.n, f"sample {run.seed}", x_t, t_start, chain)
    metrics = {
        **row,
        "nfe_full": run.sampler.steps,
        "t_start": t_start,
        "prior_seconds": prior_seconds,
        "start_seconds": start_seconds,
        "sampling_seconds": row["sampling_seconds"] + start_seconds,
        "model_seconds": work.record(run.model).metrics["total_seconds"],
        **joining.sample_flops(run, used, context.net, model, row["nfe"], work),
        **(_bound_on(run, context, x_start, t_start) if run.start.name in PAIRED else {}),
    }
    grid = _shown(run.model, run.seed)
    begun = ranges.signed_to_uint8(x_start[: max(grid // 4, 1)].cpu().clamp(-1, 1))
    arrays = {"grid": images[:grid].numpy(), "starts": begun.numpy()}
    return Outcome(metrics=metrics, timings={"sample": metrics["sampling_seconds"], "dip": prior_seconds}, arrays=arrays)


def _bound_on(run: Sample, context: starts.Context, x_start: Tensor, t_start: int) -> dict[str, float]:
    """How far the starts are from the training images they stand for, and how much their chains may differ for it, at most."""
    again = streams.generator(run.seed, f"start {run.start.name}")  # draws the same images
    moved = (x_start - starts.STARTS["real"](context, run.n, again)).square().sum(dim=(1, 2, 3)).double().mean()
    mismatch = gaussian.paired_mismatch(float(moved), context.coefs.alpha_bar(t_start))
    return {"start_moved": float(moved), "start_kl_bound": mismatch.kl, "start_tv_bound": mismatch.total_variation}


def _shown(run: Ddpm, seed: int) -> int:
    """How many samples a record keeps. Pages show the first seed's; records are under version control, and noise is large."""
    return 4 if seed else 64 if run.evaluate.keep_all else 16


def trained(run: Ddpm, work: Work) -> UNet:
    """A trained denoiser (its weight average where it has one), in evaluation mode on the device."""
    model = _unet(run)
    model.load_state_dict(work.weights(run))
    return model.to(work.device, memory_format=loop.layout(run.optim, work.device)).eval()


def draw(
    run: Ddpm,
    model: nn.Module,
    sampler: Sampler,
    x_t: Tensor,
    t_start: int | None,
    generator: torch.Generator,
    work: Work,
    chain: joining.Chain | None = None,
) -> tuple[Tensor, int, float]:
    """Whole reverse chains from x_t, in batches: (uint8 [n, C, H, W] on the CPU, network calls, seconds).

    `chain`: how a batch is drawn; None: by the sampler, and nothing else.
    """
    coefs = schedule.coefficients(run.diffusion)
    network = _autocast(model, run)
    done, nfe, size = [], 0, SAMPLED_TOGETHER[torch.device(work.device).type]
    now = device.clock(work.device)
    began = now()
    for first in range(0, len(x_t), size):
        work.budget.check()
        rows = slice(first, first + size)
        chunk = x_t[rows].to(work.device)
        if chain is None:
            x0, nfe = sampling.sample(network, coefs, run.diffusion, sampler, chunk, t_start, generator)
        else:
            x0, nfe = chain(network, chunk, rows, generator)
        done.append(ranges.signed_to_uint8(x0).cpu())
    return torch.cat(done), nfe, now() - began


def _judged(
    run: Ddpm,
    work: Work,
    source: sets.DataSet,
    model: nn.Module,
    sampler: Sampler,
    n: int,
    purpose: str,
    x_t: Tensor | None = None,
    t_start: int | None = None,
    chain: joining.Chain | None = None,
) -> tuple[dict[str, Any], Tensor]:
    """n samples and what they are worth. Draws come from streams named by `purpose`, so training is not disturbed."""
    generator = streams.generator(run.seed, f"samples, {purpose}")
    if x_t is None:
        x_t = torch.randn(n, run.data.channels, run.data.size, run.data.size, generator=generator)
    images, nfe, seconds = draw(run, model, sampler, x_t, t_start, generator, work, chain)
    now = device.clock(work.device)
    began = now()
    rng = streams.numpy_rng(run.seed, f"evaluation, {purpose}")
    space = evaluate.extractor(run.data.name, work.device)
    judged = evaluate.evaluate(images, source, space, rng)
    if (few := run.evaluate.published_n) is not None:
        reals = source.train[torch.from_numpy(rng.permutation(len(source.train))[:few])]
        judged["fd_published"] = mistakes.distance_of_few(space.module, images[:few], reals)
        judged["psnr_unrelated"] = mistakes.psnr_unrelated(images[:few], reals)
    about = {"sampler": sampler.title, "nfe": nfe, "sampling_seconds": seconds}
    return {**about, **judged, "evaluation_seconds": seconds + now() - began}, images


def _distance(run: Ddpm, work: Work, samples: Tensor, others: Tensor) -> float:
    """Frechet distance between two sets of uint8 images in the data set's own feature space."""
    space = evaluate.extractor(run.data.name, work.device)
    return frechet.frechet_distance(*frechet.mean_cov(space(samples)), *frechet.mean_cov(space(others)))


def _signed(batch: Tensor) -> Tensor:
    return ranges.uint8_to_signed(batch) if batch.dtype == torch.uint8 else batch


def _autocast(model: nn.Module, run: Ddpm) -> Any:
    def network(x: Tensor, t: Tensor) -> Tensor:
        with device.autocast(x.device, run.optim.precision):
            return model(x, t).to(x.dtype)

    return network


def _strips(run: Ddpm, work: Work, source: sets.DataSet, model: nn.Module) -> dict[str, np.ndarray]:
    """Frames of the forward process on real images and of a reverse chain, evenly spaced in t, as uint8."""
    T, generator = run.diffusion.num_train_timesteps, streams.generator(run.seed, "strips")
    coefs = schedule.coefficients(run.diffusion)
    x0 = ranges.uint8_to_signed(source.held_out[:4])
    eps = torch.randn(x0.shape, generator=generator)
    forward_t = np.linspace(0, T - 1, STRIP).round().astype(int)
    forward = [diffusion.q_sample(coefs, x0, torch.full((len(x0),), int(t)), eps) for t in forward_t]
    x = torch.randn(16, *x0.shape[1:], generator=generator).to(work.device)
    frames, times = [x.cpu()], [T - 1]
    for step in sampling.ddim(_autocast(model, run), coefs, run.diffusion, x, steps=min(48, T)):
        if step.index % 2:
            frames.append(step.x.cpu())
            times.append(step.t_next)
    return {
        "forward": np.stack([ranges.signed_to_uint8(frame).numpy() for frame in forward]),
        "forward_t": forward_t,
        "reverse": np.stack([ranges.signed_to_uint8(frame).numpy() for frame in frames]),
        "reverse_t": np.array(times),
    }
