"""One training step, ours and the peers, at equal parameter count and batch, each in its better precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from benchmarks.pairs import Row, times_faster
from dipddpm_utils import diffusion, schedule, train
from dipddpm_utils.config import Diffusion, Optim, Unet
from dipddpm_utils.unet import UNet, count_parameters

BATCH, SIZE = 128, 32


def rows() -> Iterator[Row]:
    """Two ratios of images a second."""
    images = torch.rand(BATCH, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    net, ours = _ours(images)
    for name, target, make in (("diffusers", 4.0, _diffusers), ("denoising-diffusion-pytorch", 10.0, _lucidrains)):
        peer, step = make(images)
        sizes = (
            f"{count_parameters(net) / 1e6:.2f} M and {count_parameters(peer) / 1e6:.2f} M parameters, {SIZE} px, batch {BATCH}"
        )
        yield times_faster(f"training step against {name}", ours, step, target, note=sizes)


def _ours(images: torch.Tensor) -> tuple[torch.nn.Module, Callable[[], None]]:
    config = Diffusion(schedule="cosine", objective="v")
    coefs = schedule.coefficients(config)
    net = UNet(Unet(width=48, mults=(1, 2, 2), blocks=1, patch=2), 1, SIZE)
    optim = Optim(name="muon", lr=5e-3, batch_size=BATCH, steps=10_000, precision="bfloat16", ema_decay=0.99, grad_clip=1.0)
    state = train.new_state(net, optim, len(images), 0)

    def loss(model: torch.nn.Module, x0: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        t = torch.randint(0, 1000, x0.shape[:1], generator=generator)
        return diffusion.loss(coefs, config, model, x0, t, torch.randn(x0.shape, generator=generator))

    steps = train.train(state, loss, lambda idx: images[idx])
    return net, lambda: next(steps)


def _peer_step(net: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """The peer's usual loop with our EMA rule left out: forward, backward, Adam, in the faster of float32 and bfloat16."""
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)

    def step(half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    from benchmarks.pairs import seconds

    step(False), step(True)
    half = seconds(lambda: step(True)) < seconds(lambda: step(False))
    return lambda: step(half)


def _diffusers(images: torch.Tensor) -> tuple[torch.nn.Module, Callable[[], None]]:
    from diffusers import DDPMScheduler, UNet2DModel

    net = UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
    )
    scheduler = DDPMScheduler(1000)

    def loss() -> torch.Tensor:
        noise, t = torch.randn_like(images), torch.randint(0, 1000, (BATCH,))
        return torch.nn.functional.mse_loss(net(scheduler.add_noise(images, noise, t), t).sample, noise)

    return net, _peer_step(net, loss)


def _lucidrains(images: torch.Tensor) -> tuple[torch.nn.Module, Callable[[], None]]:
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    net = Unet(dim=12, dim_mults=(1, 2, 4, 8), channels=1)
    process = GaussianDiffusion(net, image_size=SIZE, timesteps=1000)
    return net, _peer_step(net, lambda: process((images + 1) / 2))
