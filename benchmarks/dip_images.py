"""One untrained network per image: 64 images fitted together against one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.pairs import Row, Setting, row, times_faster
from dipddpm_utils.config import DipImages
from dipddpm_utils.dip import fit as dip
from dipddpm_utils.dip.nets import build
from dipddpm_utils.machine import streams
from dipddpm_utils.machine.device import settle
from dipddpm_utils.study import profile

N, SIZE = 64, 28


def rows(setting: Setting) -> Iterator[Row]:
    """For each net, as standard's runs fit it: how many times faster an iteration is, and how far the losses are apart."""
    device, n = setting.device, setting.pick(N, 4)
    target = {"cuda": 8.0}.get(device.type, 1.5)
    images = torch.rand(n, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(device)

    def iteration(losses: Iterator[Tensor]) -> None:
        next(losses)
        settle(device)

    for net in ("skip", "resnet18", "5conv", "2conv"):
        run = profile.load("standard").entry(f"dip-images-{net}-s0").run
        fitted, alone = together(run, images), one_by_one(run, images)
        counted = net == "skip"  # the net of the published method; the others are shown beside it
        exact = apart(run, (images.cpu() if device.type == "mps" else images).double())  # which has no float64
        rounded = apart(run, images)
        yield times_faster(
            f"{n} images fitted together, {net}",
            partial(iteration, fitted),
            partial(iteration, alone),
            target if counted else None,
            setting.pick(7, 1),
            f"an iteration, width {run.width}, {SIZE} px",
        )
        note = f"largest of all images, 3 iterations, float64; in float32, where Adam enlarges rounding, {rounded:.1e}"
        name = f"losses of {n} images, together against one by one, {net}"
        yield row(name, [exact], "relative difference", note, at_most=1e-4)


def together(run: DipImages, images: Tensor) -> Iterator[Tensor]:
    """The losses of each iteration of fits to images [N, 1, SIZE, SIZE], as standard's runs make them."""
    endless = run.model_copy(update={"iterations": 10_000})
    for fit in dip.fit_images(endless, images, torch.Generator(images.device).manual_seed(1)):
        yield fit.losses


def one_by_one(run: DipImages, images: Tensor) -> Iterator[Tensor]:
    """The same fits as a user would write them: a network, an optimiser and a step an image. The losses of each iteration."""
    generator = torch.Generator(images.device).manual_seed(1)
    nets = [build(run.net, 1, width=run.width, generator=generator, per_image=True).to(images) for _ in images]
    shape = (len(images), dip.Z_CHANNELS, SIZE, SIZE)
    z = (dip.Z_HIGH[run.net] * torch.rand(shape, generator=generator, device=generator.device)).to(images)
    optimisers = [torch.optim.Adam(net.parameters(), lr=run.lr, fused=True) for net in nets]
    while True:
        seen = z + run.z_std * streams.normal(z, generator)
        losses = [(net(row[None]) - image).square().mean() for net, row, image in zip(nets, seen, images, strict=True)]
        for loss, optimiser in zip(losses, optimisers, strict=True):
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
        yield torch.stack(losses).detach()


def apart(run: DipImages, images: Tensor) -> float:
    """The largest relative difference between the losses of any image, over three iterations."""
    both = zip(together(run, images), one_by_one(run, images), range(3), strict=False)
    return max(float(((a - b).abs() / b).max()) for a, b, _ in both)
