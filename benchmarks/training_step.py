"""One training step, ours and the peers, at equal parameter count and batch, each in its better precision; our loop's share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks import trainers
from benchmarks.pairs import Row, Setting, row, times_faster
from benchmarks.trainers import count_parameters
from dipddpm_utils.machine.device import settle
from dipddpm_utils.training import loop

SIZE = 32
Step = tuple[nn.Module, Callable[[], None]]


def rows(setting: Setting) -> Iterator[Row]:
    """Ratios of steps against two libraries, at batch 128 and at report A's 8; then what the loop adds to a step."""
    pairs, device = setting.pick(7, 1), setting.device
    for batch, peers in (
        (setting.pick(128, 16), (("diffusers", 4.0, _diffusers), ("denoising-diffusion-pytorch", 10.0, _lucidrains))),
        (8, (("denoising-diffusion-pytorch", 3.0, _lucidrains),)),
    ):
        images = (torch.rand(batch, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1).to(device)
        for name, target, make in peers:
            net, ours = trainers.our_step(trainers.endless(batch), images, device)
            peer, step = make(images)
            note = f"{count_parameters(net) / 1e6:.2f} M and {count_parameters(peer) / 1e6:.2f} M parameters, {SIZE} px"
            yield times_faster(f"training step, batch {batch}, against {name}", ours, step, target, pairs, note)
    yield from _parts(setting)


def _diffusers(images: Tensor) -> Step:
    from diffusers import DDPMScheduler

    net = trainers.diffusers_net(SIZE).to(images.device)
    loss = partial(trainers.diffusers_loss, net, DDPMScheduler(1000), images)
    return net, trainers.better_precision(net, torch.optim.AdamW(net.parameters(), lr=1e-4), loss)[0]


def _lucidrains(images: Tensor) -> Step:
    process = trainers.lucidrains_process(SIZE, dim=12, mults=(1, 2, 4, 8)).to(images.device)
    optimiser = torch.optim.Adam(process.model.parameters(), lr=1e-4)
    return process.model, trainers.better_precision(process.model, optimiser, lambda: process((images + 1) / 2))[0]


# --- what the loop adds -----------------------------------------------------------------------------------------------


def _parts(setting: Setting) -> Iterator[Row]:
    """Shares of a step, part by part, in one process: whatever is not forward, backward or optimiser is the loop's."""
    batch, count = setting.pick(128, 8), setting.pick(30, 3)
    items = torch.randint(0, 256, (setting.pick(10_000, 256), 1, 28, 28), dtype=torch.uint8)
    spent = dict.fromkeys(("data", "forward", "backward", "optimiser", "clip", "average"), 0.0)

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*args: Any, **kwargs: Any) -> Any:
            began = _now(setting.device)
            result = call(*args, **kwargs)
            spent[part] += _now(setting.device) - began
            return result

        return inner

    state, loss, get = trainers.our_parts(trainers.endless(batch), items, setting.device)
    state.order.next = timed("data", state.order.next)
    for each in state.optimisers:
        each.step, each.zero_grad = timed("optimiser", each.step), timed("optimiser", each.zero_grad)
    if state.ema is not None:
        state.ema.update_parameters = timed("average", state.ema.update_parameters)
    shares: dict[str, list[float]] = {"loop": [], **{part: [] for part in spent}}
    with (
        mock.patch.object(Tensor, "backward", timed("backward", Tensor.backward)),
        mock.patch.object(nn.utils, "clip_grad_norm_", timed("clip", nn.utils.clip_grad_norm_)),
    ):
        steps = loop.train(state, timed("forward", loss), timed("data", get))
        for index in range(count + 3):
            spent.update(dict.fromkeys(spent, 0.0))
            began = _now(setting.device)
            next(steps)
            whole = _now(setting.device) - began
            if index >= 3:  # the first steps set things up
                shares["loop"].append(1 - (spent["forward"] + spent["backward"] + spent["optimiser"]) / whole)
                for part, value in spent.items():
                    shares[part].append(value / whole)
    note = "; ".join(f"{part} {100 * median(values):.2g}%" for part, values in shares.items() if part != "loop")
    percent = {part: [100 * value for value in values] for part, values in shares.items()}
    yield row("loop around forward, backward and optimiser", percent["loop"], "% of a step", note, at_most=3.0)
    yield row("data path", percent["data"], "% of a step", f"batch {batch}, uint8 in memory", at_most=1.0)


def _now(device: torch.device) -> float:
    settle(device)
    return time.perf_counter()
