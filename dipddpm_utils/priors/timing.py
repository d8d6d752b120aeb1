"""Report B's two ways to feed a model, timed: each image decoded in Python (its baseline), and tensors in memory (its DIP)."""

import io
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dipddpm_utils import faults, ranges
from dipddpm_utils.config import EpochTiming
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process, schedule
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.judging import stats
from dipddpm_utils.machine import device as machine_device
from dipddpm_utils.store.records import Outcome, Work
from dipddpm_utils.training import loop

PARTS = ("data", "forward_backward", "optimiser")
WAYS = ("decode", "memory")


def epoch_timing(run: EpochTiming, work: Work) -> Outcome:
    """Seconds an epoch by way and part: a few steps of each way in turn, so that a busy machine slows both alike.

    evals rows: path, part, repeat, seconds, for an epoch of `run.images`. Intervals are over repeats; what the data path saves
    is the paired difference of the data parts, as the rest is the same work.
    """
    source = sets.load(run.data)
    get = {"decode": _decoding(source.train, work.device), "memory": _in_memory(source.train, work.device)}
    net = partial(UNet, run.unet, run.data.channels, run.data.size)
    states = {way: loop.new_state(loop.seeded(net, run), run.optim, len(source.train), run.seed, work.device) for way in WAYS}
    coefs = schedule.coefficients(run.diffusion, device=work.device)
    rows: list[dict[str, Any]] = []
    for repeat in range(-1, run.repeats):  # the first round warms both up and is not kept
        for way in WAYS if repeat % 2 else reversed(WAYS):
            work.budget.check()
            spent = sum(_timed_step(run, states[way], coefs, get[way]) for _ in range(run.steps))
            per_epoch = spent * (run.images / run.optim.batch_size / run.steps)
            if repeat >= 0:
                rows += [
                    {"path": way, "part": part, "repeat": repeat, "seconds": s}
                    for part, s in zip(PARTS, per_epoch.tolist(), strict=True)
                ]
    return Outcome(metrics=_metrics(run, rows), evals=rows)


def _metrics(run: EpochTiming, rows: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = pd.DataFrame(rows).pivot(index="repeat", columns=["path", "part"], values="seconds")
    quantities = {f"{way}_seconds": seconds[way].sum(axis=1) for way in WAYS}
    quantities |= {f"{way}_{part}_seconds": seconds[way, part] for way in WAYS for part in PARTS}
    quantities["data_saved_seconds"] = seconds["decode", "data"] - seconds["memory", "data"]
    about = {"batch": run.optim.batch_size, "images": run.images, "repeats": run.repeats}
    return about | stats.mean_intervals(quantities) | {"published_saved_seconds": faults.PUBLISHED_SAVED_SECONDS}


def _timed_step(run: EpochTiming, state: loop.State, coefs: schedule.Coefficients, get: loop.GetBatch) -> np.ndarray:
    """Seconds of one training step by part (PARTS); a GPU's queue is emptied between them."""
    model, (optimiser,), device = state.model.train(), state.optimisers, state.device
    since = machine_device.stopwatch(device)
    x0 = get(state.order.next(run.optim.batch_size))
    marks = [0.0, since()]
    t = process.training_times(run.diffusion, len(x0), state.generator, x0.device)
    eps = torch.randn(x0.shape, generator=state.generator, device=x0.device)
    with machine_device.autocast(device, run.optim.precision):
        loss = process.loss(coefs, run.diffusion, model, x0, t, eps)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    marks.append(since())
    optimiser.step()
    state.step += 1
    return np.diff([*marks, since()])


def _in_memory(images: Tensor, device: str) -> loop.GetBatch:
    """Batches in [-1, 1] from one uint8 tensor on the device: our loop, and report B's for its combined run."""
    kept = images.to(device)
    return lambda idx: ranges.uint8_to_signed(kept[idx])


def _decoding(images: Tensor, device: str) -> loop.GetBatch:
    """The same batches from PNG files in memory: each decoded by PIL, turned into a tensor and scaled in Python, then stacked.

    No worker processes, as on a machine with two cores; reading from a disk, which comes on top, is left out.
    """
    from PIL import Image
    from torchvision.transforms import functional

    def encoded(image: Tensor) -> bytes:
        file = io.BytesIO()
        functional.to_pil_image(image).save(file, "PNG")
        return file.getvalue()

    def item(i: int) -> Tensor:
        with Image.open(io.BytesIO(stored[i])) as picture:
            return functional.to_tensor(picture).sub(0.5).div(0.5)

    stored = [encoded(image) for image in images]
    return lambda idx: torch.stack([item(i) for i in idx.tolist()]).to(device)
