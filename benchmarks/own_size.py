"""A training step of the two reports' DDPMs at their own size, as the runs of `full` take it: one thread of a CPU.

Beside the library's Unet that report A trained, and beside the same step in plain bfloat16: attention by torch's own function.
And a step of report A's ResNet-18, beside the same with all taps of its kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import trainers
from benchmarks.pairs import Row, Setting, one_thread, row, times_faster
from benchmarks.trainers import count_parameters
from dipddpm_utils.config import Ddpm
from dipddpm_utils.ddpm import unet
from dipddpm_utils.dip import run as dips
from dipddpm_utils.machine import device as machine
from dipddpm_utils.priors import turns
from dipddpm_utils.study import profile
from dipddpm_utils.study.sizes import changed
from dipddpm_utils.training import loop

REPORTS = {"A": ("a-ddpm-s0", (3, 32, 32), 1.3), "B": ("b-ddpm-s0", (1, 28, 28), 1.35)}  # run, images, target over plain


def rows(setting: Setting) -> Iterator[Row]:
    """Report A's step against denoising-diffusion-pytorch's; of both, what is gained over plain bfloat16, and its gradients."""
    if setting.device.type != "cpu":
        return
    with one_thread():
        machine.keep_memory()
        yield from _rows(setting)


def _rows(setting: Setting) -> Iterator[Row]:
    for report, (name, shape, target) in REPORTS.items():
        run = profile.load("full").entry(name).run
        run = setting.pick(run, changed(run, unet=changed(run.unet, width=16), optim=changed(run.optim, batch_size=2)))
        images = torch.rand(run.optim.batch_size, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        net, ours = trainers.our_step(run, images, setting.device)
        size, label = f"{count_parameters(net) / 1e6:.3g} M", f"report {report}'s training step, batch {run.optim.batch_size}"
        if report == "A":
            process = trainers.lucidrains_process(shape[-1], run.unet.width, run.unet.mults, channels=shape[0])
            optimiser = torch.optim.Adam(process.model.parameters(), lr=run.optim.lr)
            peer = trainers.better_precision(process.model, optimiser, lambda of=process, x=images: of((x + 1) / 2))[0]
            note = f"{size} and {count_parameters(process.model) / 1e6:.3g} M parameters"
            yield times_faster(f"{label}, against denoising-diffusion-pytorch", ours, peer, 3.0, setting.pick(5, 1), note)
        with mock.patch.object(unet.Attention, "forward", _fused):  # as a GPU records it
            plain = trainers.our_step(run, images, setting.device)[1]

        def as_it_comes(step=plain) -> None:
            with mock.patch.object(unet.Attention, "forward", _fused):
                step()

        note, short = "attention by torch's function", machine.number_format(setting.device, "bfloat16")
        aim = target if short == "bfloat16" else None  # which is what the targets are of
        yield times_faster(f"{label}, against plain {short}", ours, as_it_comes, aim, setting.pick(7, 1), note)
        if aim:
            note = "most after 1, 5, 10 and 20 steps of training"
            most = [1 - min(_cosines(run, images, setting))]
            yield row(
                f"report {report}'s gradient, in bfloat16 beside float32", most, "below a cosine of 1", note, at_most=1e-4
            )
    yield _resnet(setting)


def _resnet(setting: Setting) -> Row:
    run = profile.load("full").entry("a-dip-resnet18-s0").run
    run = setting.pick(run, changed(run, width=8))
    images = torch.randint(256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ours = partial(next, turns.begun(run, images, setting.device.type)[1])
    with mock.patch.object(dips, "ready_to_fit"):
        whole = partial(next, turns.begun(run, images, setting.device.type)[1])
    label = f"report A's DIP step, ResNet-18, batch {run.optim.batch_size}, against the same with taps that see padding alone"
    return times_faster(label, ours, whole, None, setting.pick(21, 1), "losses are the same in float64")


def _fused(self: unet.Attention, x: Tensor) -> Tensor:
    """unet.Attention.forward by torch's own function."""
    b, c, h, w = x.shape
    q, k, v = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w).transpose(3, 4).unbind(1)
    return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(b, c, h, w))


def _cosines(run: Ddpm, images: Tensor, setting: Setting) -> list[float]:
    """Of the gradient in bfloat16 with that in float32, of one loss, again after every few steps of training."""
    state, loss, get = trainers.our_parts(run, images, setting.device)
    steps = loop.train(state, loss, get)
    everything = torch.arange(len(images))

    def gradient(precision: str) -> Tensor:
        state.model.zero_grad()
        with machine.autocast(setting.device, precision):
            value = loss(state.model, get(everything), torch.Generator().manual_seed(state.step))
        value.backward()
        return torch.cat([weight.grad.flatten().double() for weight in state.model.parameters()])

    found = []
    for count in setting.pick((1, 4, 5, 10), (1,)):
        for _ in islice(steps, count):
            pass
        found.append(nn.functional.cosine_similarity(gradient("bfloat16"), gradient("float32"), dim=0).item())
    return found
