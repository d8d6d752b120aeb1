"""Ours and the peers as trainers that are driven step by step, each under its own usual loop and with a clock of its own."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.pairs import seconds
from dipddpm_utils import ranges
from dipddpm_utils.config import Ddpm, Diffusion
from dipddpm_utils.ddpm import process as diffusion
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.machine.device import autocast, number_format, settle
from dipddpm_utils.priors.images import Given
from dipddpm_utils.priors.train import AtWork, Batch
from dipddpm_utils.study import profile
from dipddpm_utils.study.sizes import changed
from dipddpm_utils.training import loop
from dipddpm_utils.training.launched import calls_before_steady


@dataclass(frozen=True)
class Trainer:
    """`steps` yields training seconds so far, after each step; `model` is the network to sample from, by `diffusion`."""

    name: str
    diffusion: Diffusion
    parameters: int
    batch: int
    steps: Iterator[float]
    model: Callable[[], tuple[nn.Module, Model]]  # (module to put into evaluation mode, how it is called)


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def recipe() -> Ddpm:
    """The run whose recipe is measured: the longest training of the standard profile."""
    return profile.load("standard").entry("ddpm-long-s0").run


def endless(batch: int, width: int | None = None) -> Ddpm:
    """The same with another batch and, if asked for, another width, and more steps than anyone measures."""
    run = recipe()
    unet = run.unet if width is None else changed(run.unet, width=width)
    return changed(run, optim=changed(run.optim, batch_size=batch, steps=100_000), unet=unet)


def our_parts(run: Ddpm, images: Tensor, device: torch.device) -> tuple[loop.State, loop.LossFn, loop.GetBatch]:
    """A fresh state, the loss that runs are trained by, and how it gets its batches; images uint8, or floats in [-1,1]."""
    torch.manual_seed(run.seed)
    state = loop.new_state(UNet(run.unet, *images.shape[1:3]), run.optim, len(images), run.seed, device)
    given = Given(images.to(device), schedule.coefficients(run.diffusion, device=device))
    training = AtWork(run, given)

    def loss(model: nn.Module, x0: Tensor, generator: torch.Generator) -> Tensor:
        return training.loss(model, Batch(x0), generator)

    return state, loss, lambda rows: given.signed(given.train[rows])


def our_steps(run: Ddpm, images: Tensor, device: torch.device) -> tuple[loop.State, Iterator[Tensor]]:
    """A fresh state and its training loop."""
    state, loss, batch = our_parts(run, images, device)
    return state, loop.train(state, loss, batch, steady=True)


def our_step(run: Ddpm, images: Tensor, device: torch.device) -> tuple[nn.Module, Callable[[], None]]:
    """(our network, a step of its training, which a GPU has done when it returns), after all that happens only at first."""
    state, steps = our_steps(run, images, device)

    def step() -> None:
        next(steps)
        state.synchronise()

    for _ in range(calls_before_steady(device)):
        step()
    return state.model, step


def ours(images: Tensor, device: torch.device, budget: float) -> Trainer:
    """The recipe on all images, with as many steps as are likely to fit into `budget` seconds (its decay ends with them)."""
    run = recipe()
    trial = our_step(run, images, device)[1]
    each = sorted(seconds(trial) for _ in range(7))[3]
    count = max(run.optim.ema_warmup + 2, run.optim.warmup_steps + 1, int(0.98 * budget / each))
    run = changed(run, optim=changed(run.optim, steps=count))
    state, steps = our_steps(run, images, device)

    def model() -> tuple[nn.Module, Model]:
        net = state.sampler_model()
        return net, in_bfloat16(net, run.optim.precision == "bfloat16")

    ticks, size = clocked(steps, device), count_parameters(state.model)
    return Trainer("ours", run.diffusion, size, run.optim.batch_size, ticks, model)


def in_bfloat16(net: nn.Module, enabled: bool = True, call: Callable[..., Tensor] | None = None) -> Model:
    """The network as a sampler calls it, under autocast if `enabled`. call: how, if not net(x, t)."""
    call = call or net

    def network(x: Tensor, t: Tensor) -> Tensor:
        with autocast(x.device, "bfloat16" if enabled else "float32"):
            return call(x, t).to(x.dtype)

    return network


def report_b(images: Tensor, device: torch.device) -> Trainer:
    """Report B: float32, batch 128, Adam 1e-3, no average, each digit through PIL and Python."""
    from benchmarks.report_b import ReportBUNet, batches

    net = ReportBUNet().to(device)
    config = Diffusion()
    coefs = schedule.coefficients(config, device=device)
    optimiser, data = torch.optim.Adam(net.parameters(), 1e-3), batches(images, 128)

    def step() -> None:
        x0 = next(data).to(device)
        eps, t = torch.randn_like(x0), torch.randint(0, 1000, (len(x0),), device=device)
        loss = nn.functional.mse_loss(net(diffusion.diffuse(coefs, x0, t, eps), t), eps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()  # shown in its progress bar

    size = sum(p.numel() for p in net.parameters())  # as it counts: its table of sines included
    return Trainer("report B", config, size, 128, clocked(endlessly(step), device), lambda: (net, net))


def diffusers(images: Tensor, device: torch.device) -> Trainer:
    """diffusers' training example for unconditional images, data in memory: AdamW 1e-4, 500 steps of warm-up, batch 16, EMA."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    net = diffusers_net(images.shape[-1]).to(device)
    scheduler, items = DDPMScheduler(1000), ranges.uint8_to_signed(images).to(device)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / 500))
    average = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def loss() -> Tensor:
        return diffusers_loss(net, scheduler, items[torch.randint(0, len(items), (16,), device=device)])

    def after() -> None:
        warmup.step()
        average.step(net.parameters())

    step, half = better_precision(net, optimiser, loss, after)
    averaged = copy.deepcopy(net)

    def model() -> tuple[nn.Module, Model]:
        average.copy_to(averaged.parameters())
        return averaged, in_bfloat16(averaged, half, lambda x, t: averaged(x, t).sample)

    return Trainer("diffusers", Diffusion(), count_parameters(net), 16, clocked(endlessly(step), device), model)


def lucidrains(images: Tensor, device: torch.device) -> Trainer:
    """denoising-diffusion-pytorch's Trainer, data in memory: Adam 1e-4 (0.9, 0.99), batch 16, clip 1, EMA 0.995 every 10."""
    from ema_pytorch import EMA

    process = lucidrains_process(images.shape[-1], dim=22, mults=(1, 2, 4)).to(device)
    net, items = process.model, ranges.uint8_to_unit(images).to(device)
    optimiser = torch.optim.Adam(net.parameters(), 1e-4, betas=(0.9, 0.99))
    average = EMA(net, beta=0.995, update_every=10)

    def loss() -> Tensor:
        return process(items[torch.randint(0, len(items), (16,), device=device)])

    step, half = better_precision(net, optimiser, loss, average.update)
    config = Diffusion(schedule="sigmoid", objective="v")

    def model() -> tuple[nn.Module, Model]:
        return average.ema_model, in_bfloat16(average.ema_model, half)

    ticks, size = clocked(endlessly(step), device), count_parameters(net)
    return Trainer("denoising-diffusion-pytorch", config, size, 16, ticks, model)


def diffusers_net(size: int) -> nn.Module:
    """UNet2DModel without attention, of about as many parameters as ours, for grey images."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=size,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 64, 56),
        layers_per_block=2,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        norm_num_groups=8,
    )


def diffusers_loss(net: nn.Module, scheduler: Any, x0: Tensor) -> Tensor:
    """The loss of diffusers' example, at a time and noise drawn for each image."""
    noise, t = torch.randn_like(x0), torch.randint(0, 1000, (len(x0),), device=x0.device)
    return nn.functional.mse_loss(net(scheduler.add_noise(x0, noise, t), t).sample.float(), noise)


def lucidrains_process(size: int, dim: int, mults: tuple[int, ...], channels: int = 1) -> nn.Module:
    """The library's diffusion around its Unet, with its defaults (v, sigmoid schedule)."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    return GaussianDiffusion(Unet(dim=dim, dim_mults=mults, channels=channels), image_size=size, timesteps=1000)


def better_precision(
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Callable[[], Tensor],
    after: Callable[[], object] = lambda: None,
) -> tuple[Callable[[], None], bool]:
    """(a peer's step: forward, backward, clip, optimiser; whether in 16 bits): in whichever precision is faster here.

    The trial leaves weights and optimiser as they were.
    """
    kind = next(net.parameters()).device.type
    scaler = torch.amp.GradScaler(kind, enabled=number_format(kind, "bfloat16") == "float16")  # as ours has there

    def step(half: bool, trial: bool = False) -> None:
        with autocast(kind, "bfloat16" if half else "float32"):
            value = loss()
        optimiser.zero_grad()
        scaler.scale(value).backward()
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        if not trial:
            scaler.step(optimiser)
            after()
        scaler.update()
        settle(kind)

    def best_of_two(half: bool) -> float:
        step(half, trial=True)
        return min(seconds(lambda: step(half, trial=True)) for _ in range(2))

    half = best_of_two(True) < best_of_two(False)
    return lambda: step(half), half


def clocked(steps: Iterator[object], device: torch.device) -> Iterator[float]:
    """The seconds spent in `steps` so far, after each of them, by the wall's clock."""
    spent, began = 0.0, time.perf_counter()
    for _ in steps:
        settle(device)
        spent += time.perf_counter() - began
        yield spent
        began = time.perf_counter()


def endlessly(step: Callable[[], None]) -> Iterator[None]:
    """A peer's steps."""
    while True:
        yield step()
