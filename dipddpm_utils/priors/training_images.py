"""What a DDPM is trained on: real images, a DIP's outputs for them, or a control that changes them without a DIP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dipddpm_utils import ranges
from dipddpm_utils.config import Ddpm
from dipddpm_utils.data import sets
from dipddpm_utils.dip import fit
from dipddpm_utils.dip import fit as dips
from dipddpm_utils.dip.run import build, fitted
from dipddpm_utils.machine import device, files, streams
from dipddpm_utils.priors import controls
from dipddpm_utils.reports import mistakes

if TYPE_CHECKING:
    from dipddpm_utils.store.work import Work

FITTED_TOGETHER = 64  # images whose networks are fitted side by side; what a cut-off costs at most


def training_images(run: Ddpm, source: sets.DataSet, work: Work) -> tuple[Tensor, float, float | None]:
    """(images on the device, seconds a DIP took, strength of the control or None).

    The images are uint8 [N, C, H, W], or floats where something made them: in [-1, 1], but for the faults FA1 and FB2.
    """
    real = source.train.to(work.device)
    if run.per_image is not None:
        return *_per_image(run, ranges.uint8_to_unit(real), work), None
    if run.train_on is not None:
        return _control(run, real, work)
    if run.dip is None:
        return mistakes.double_scaled(ranges.uint8_to_signed(real)) if "FA1" in run.faults else real, 0.0, None
    net, now = fitted(run.dip, work), device.clock(work.device)
    began = now()
    outputs = mistakes.unclipped_outputs if "FB2" in run.faults else fit.dip_outputs
    images = outputs(net, ranges.uint8_to_unit(real))
    return images, work.record(run.dip).metrics["train_seconds"] + now() - began, None


def _control(run: Ddpm, real: Tensor, work: Work) -> tuple[Tensor, float, float | None]:
    """A control needs no DIP; one that has its strength from `run.dip` is not charged that DIP's seconds."""
    signed, unit = ranges.uint8_to_signed(real), ranges.uint8_to_unit(real)
    if run.train_on == "untrained":
        return fit.dip_outputs(build(run.dip).to(work.device), unit), 0.0, None
    outputs = signed if run.dip is None else fit.dip_outputs(fitted(run.dip, work), unit)
    images, strength = controls.CONTROLS[run.train_on](signed, outputs)
    return images, 0.0, strength


def _per_image(run: Ddpm, targets: Tensor, work: Work) -> tuple[Tensor, float]:
    """One untrained network fitted to each image and stopped: (its outputs in [-1, 1], seconds).

    Done in parts, each kept in the run's folder, so that a run that is cut off fits no part twice.
    """
    fit, outputs, seconds, now = run.per_image, [], 0.0, device.clock(work.device)
    for i, part in enumerate(targets.split(FITTED_TOGETHER)):
        path = work.folder / f"per-image-{i}.npz"
        if not path.exists():
            began = now()
            generator = streams.generator(run.seed, f"fit of part {i}", work.device)
            for shown in dips.fit_images(
                fit.net,
                part,
                iterations=fit.iterations,
                lr=fit.lr,
                z_std=fit.z_std,
                width=fit.width,
                generator=generator,
            ):
                work.budget.check()
                images = shown.outputs
            content = files.npz_bytes({"images": images.cpu().numpy(), "seconds": np.array(now() - began)})
            files.write_bytes(path, content)
        with np.load(path) as stored:
            outputs.append(torch.from_numpy(stored["images"]))
            seconds += float(stored["seconds"])
    return ranges.unit_to_signed(torch.cat(outputs).to(targets)), seconds
