"""DIP runs: a network fitted to many images at once (as both reports did), or one network per image (as published)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dipddpm_utils import faults, ranges
from dipddpm_utils.config import Bank, Data, Dip, DipImages
from dipddpm_utils.data import sets
from dipddpm_utils.dip import fit as dips
from dipddpm_utils.dip import nets, taps
from dipddpm_utils.judging import evaluate, fidelity, stats
from dipddpm_utils.machine import device, files, progress, streams
from dipddpm_utils.machine.errors import DataError
from dipddpm_utils.parts import PerImage
from dipddpm_utils.store.records import Outcome, Work
from dipddpm_utils.training import flops, loop, mistakes

PANELS = {1: 8, 3: 3}  # images shown, by channels: a colour image has four times the bytes
JUDGED = 500  # held-out images on which the restoration is judged
FITTED_TOGETHER = 64  # images whose networks are fitted side by side; what a cut-off costs at most


def build(run: Dip) -> nn.Module:
    """The network of a dataset-fitted DIP, with random initial weights."""
    generator = streams.generator(run.seed, "initial weights")
    net = nets.build(run.net, run.data.channels, generator=generator, width=run.width)
    return mistakes.SignedTargets(net) if "FA2" in run.faults else net


def ready_to_fit(run: Dip, net: nn.Module) -> Callable[[], None]:
    """Leave out of `net` what the run's images cannot reach (taps.py); returns what puts it back, fitted or not.

    Only where the optimiser, plain Adam, would not touch it.
    """
    if run.optim.name != "adam" or run.optim.weight_decay:
        return lambda: None
    return taps.leave_out(net, torch.zeros(1, run.data.channels, run.data.size, run.data.size))


def fitted(run: Dip, work: Work) -> nn.Module:
    """The trained network of a DIP run, in evaluation mode on the device."""
    net = build(run)
    net.load_state_dict(work.store.weights(run))
    return net.to(work.device).eval()


def operations(run: Dip, net: nn.Module, applied: int) -> int:
    """FLOPs of fitting a data set's DIP, and of applying it to `applied` images."""
    x = torch.zeros(1, run.data.channels, run.data.size, run.data.size, device=next(net.parameters()).device)
    once, step = flops.counted(net, x)
    return step * run.optim.steps * run.optim.batch_size + once * applied


def dip(run: Dip, work: Work) -> Outcome:
    """Fit a denoising autoencoder to a data set; judge what it restores, and what it makes of clean images."""
    source = sets.load(run.data)
    images = ranges.uint8_to_unit(source.train[: run.optim.batch_size if run.one_batch else None].to(work.device))
    net = build(run)
    note = nets.load_imagenet(net.net if "FA2" in run.faults else net) if run.net == "resnet18" else "random weights"
    put_back = ready_to_fit(run, net)
    state = loop.new_state(net, run.optim, len(images), run.seed, work.device)

    def loss(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        target = mistakes.signed_targets(batch) if "FA2" in run.faults else None
        return dips.dip_loss(model, batch, run.std, run.clip_input, generator, target)

    def keep(state: loop.State, log: dict[str, Any]) -> None:
        log["kept"] = {name: value.detach().cpu().clone() for name, value in state.model.state_dict().items()}

    early = (faults.EARLY,) if "FA7" in run.faults else ()
    log = loop.train_resumably(state, loss, lambda idx: images[idx], work, early, keep, steady=True)
    net = state.model.eval()
    if early:
        net.load_state_dict(log["kept"])
    put_back()
    shown = images if run.judged is None else ranges.uint8_to_unit(source.train[: run.judged].to(work.device))
    since = device.stopwatch(work.device)
    applied = ranges.signed_to_uint8(dips.dip_outputs(net, shown))
    apply_seconds = since()
    metrics, panels = _restoration(run, net, source, work)
    rng = streams.numpy_rng(run.seed, "evaluation")
    metrics |= evaluate.evaluate(
        applied[: run.judged or 2000].cpu(), source, evaluate.space(run.data, work.device, work.budget), rng
    )
    metrics |= {
        "train_seconds": state.seconds,
        "apply_seconds": apply_seconds,
        "parameters": sum(p.numel() for p in net.parameters()),
        "loss_last": float(np.mean([row["loss"] for row in log["curve"][-10:]])),
    }
    few = PANELS[run.data.channels]
    panels["panels_applied"] = applied[:few].cpu().numpy()
    panels["panels_train"] = source.train[:few].numpy()
    return Outcome(
        metrics=metrics,
        timings={"train": state.seconds, "apply": apply_seconds},
        curve=log["curve"],
        arrays=panels if run.seed == 0 else {},  # one seed is shown, and records are kept in version control
        weights={key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()},
        notes=[*log["notes"], note],
    )


@torch.no_grad()
def _restoration(run: Dip, net: nn.Module, source: sets.DataSet, work: Work) -> tuple[dict, dict]:
    """PSNR and SSIM of held-out images restored from their noisy copies, with 95% intervals over images."""
    clean = ranges.uint8_to_unit(source.held_out[:JUDGED].to(work.device))
    generator = streams.generator(run.seed, "held-out noise", work.device)
    noisy = dips.noisy_input(clean, run.std, run.clip_input, generator)
    raw = torch.cat([net(chunk) for chunk in noisy.split(100)])
    restored = raw.clamp(0, 1)
    scores = {
        "psnr": fidelity.psnr(restored, clean),
        "psnr_input": fidelity.psnr(noisy.clamp(0, 1), clean),
        "ssim": fidelity.ssim(restored, clean),
    }
    metrics = stats.mean_intervals({name: values.cpu().numpy() for name, values in scores.items()})
    metrics["n_restored"] = len(clean)
    metrics["emphasis"] = fidelity.emphasis(clean, ranges.signed_to_unit(dips.dip_outputs(net, clean)))
    metrics["emphasis_blur"] = fidelity.emphasis(clean, fidelity.gaussian_blur(clean, fidelity.BLUR))
    panels = _panels(run, panels_clean=clean, panels_noisy=noisy, panels_restored=restored)
    if run.net == "5conv":  # the only network whose output may leave [0, 1]: what report B's panels show of it
        panels["panels_wrapped"] = mistakes.wrapped_uint8(raw[: PANELS[run.data.channels]])
    return metrics, panels


def dip_images(run: DipImages, work: Work) -> Outcome:
    """Fit one untrained network to each noisy image and follow PSNR against the clean one, which the fit never sees."""
    source = sets.load(run.data)
    clean = ranges.uint8_to_unit(source.held_out[: run.n_images].to(work.device))
    generator = streams.generator(run.seed, "observed noise", work.device)
    noisy = dips.noisy_input(clean, run.std, True, generator)  # what is observed: pixels cannot leave [0, 1]
    rows, snapshots = [], {}
    best = torch.full((len(clean),), -torch.inf)
    best_output, every = torch.zeros_like(clean), max(1, run.iterations // 100)

    def looks(iteration: int) -> bool:
        return iteration % every == 0 or iteration in run.snapshots

    fits = dips.Timed(work, run, noisy, streams.generator(run.seed, "fit", work.device), looks=looks)
    with progress.Progress(run.iterations, work.label) as bar:
        for fit in fits:
            psnr, to_noisy = (fidelity.psnr(fit.outputs, target).cpu() for target in (clean, noisy))
            better = (psnr > best).to(clean.device)
            best_output[better] = fit.outputs[better]
            best = torch.maximum(best, psnr)
            rows += [
                {"iteration": fit.iteration, "image": i, "psnr": float(p), "psnr_noisy": float(q), "loss": float(loss)}
                for i, (p, q, loss) in enumerate(zip(psnr, to_noisy, fit.losses, strict=True))
            ]
            if fit.iteration in run.snapshots:
                snapshots[fit.iteration] = _panels(run, shown=fit.outputs)["shown"]
            bar.update(fit.iteration - bar.done, psnr=float(best.mean()))
    arrays = _panels(run, clean=clean, noisy=noisy, outputs_best=best_output)
    arrays |= {"snapshots": np.stack(list(snapshots.values())), "snapshot_iterations": np.array(list(snapshots))}
    return Outcome({"n": len(clean), "seconds": fits.seconds}, {"train": fits.seconds}, evals=rows, arrays=arrays)


def bank(run: Bank, work: Work) -> Outcome:
    """Fit an untrained network to each of n training images by (1) of notebook 02, and judge what they show when stopped.

    In place of weights it keeps these outputs, `images`, floats [n, C, H, W] in [0, 1], and whose they are, `rows`, int64 [n].
    Done in parts, each kept in the run's folder, so that a run that is cut off fits no part twice.
    """
    source, outputs, seconds = sets.load(run.data), [], 0.0
    rows = banked_rows(run, len(source.train))
    clean = ranges.uint8_to_unit(source.train[rows].to(work.device))
    with progress.Progress(len(rows), work.label) as bar:
        for i, part in enumerate(clean.split(FITTED_TOGETHER)):
            path = work.folder / f"part-{i}.npz"
            if (fitted := files.arrays(path)) is None:
                generator, last = streams.generator(run.seed, f"fit of part {i}", work.device), run.fit.iterations
                fits = dips.Timed(work, run.fit, part, generator, looks=lambda iteration, last=last: iteration == last)
                (images,) = (fit.outputs for fit in fits)
                fitted = {"images": images.cpu().numpy(), "seconds": np.array(fits.seconds)}
                files.write_bytes(path, files.npz_bytes(fitted))
            outputs.append(torch.from_numpy(fitted["images"]))
            seconds += float(fitted["seconds"])
            bar.update(len(part))
    images = torch.cat(outputs)
    metrics = stats.mean_intervals({"psnr": fidelity.psnr(images, clean.cpu()).numpy()})
    shown, rng = ranges.unit_to_uint8(images), streams.numpy_rng(run.seed, "evaluation")
    metrics |= evaluate.evaluate(shown[:2000], source, evaluate.space(run.data, work.device, work.budget), rng)
    metrics |= {"n": len(rows), "train_seconds": seconds, "flops": fits_operations(run.fit, run.data, len(rows))}
    arrays = {} if run.seed else _panels(run, panels_train=clean, panels_applied=images)
    return Outcome(metrics, {"train": seconds}, arrays=arrays, weights={"images": images.contiguous(), "rows": rows})


def banked_rows(run: Bank, total: int) -> Tensor:
    """The training images of a bank: int64 [n]. DataError if there are fewer."""
    if run.n is None:
        return torch.arange(total)
    if run.n > total:
        raise DataError(
            f"a bank of {run.n} images is asked for, but {run.data.name} has {total} training images: ask for fewer"
        )
    return torch.randperm(total, generator=streams.generator(run.seed, "bank"))[: run.n]


def fits_operations(about: PerImage, data: Data, n: int) -> int:
    """FLOPs of fitting a network to each of n images."""
    net = nets.build(about.net, data.channels, generator=streams.generator(0, "counting"), width=about.width, per_image=True)
    return n * about.iterations * flops.counted(net, torch.zeros(1, nets.Z_CHANNELS, data.size, data.size))[1]


def _panels(run: Bank | Dip | DipImages, **images: Tensor) -> dict[str, np.ndarray]:
    """The first images of each kind, as uint8."""
    n = PANELS[run.data.channels]
    return {name: ranges.unit_to_uint8(part[:n]).cpu().numpy() for name, part in images.items()}
