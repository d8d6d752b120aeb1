"""The denoiser: a small U-Net with a space-to-depth stem (Ronneberger et al. 2015; Ho et al. 2020; Dhariwal & Nichol 2021).

What makes it cheap on a CPU: `patch` folds p x p pixels into channels, so that no layer works at full resolution; levels are
joined by pooling and nearest-neighbour copying, which cost nothing; and each level has one skip connection, added rather
than concatenated, so that no convolution is widened by it.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dipddpm_utils import config as cfg
from dipddpm_utils.machine.errors import ConfigError

HEAD_WIDTH = 64  # channels of one attention head


def _norm(groups: int, channels: int) -> nn.GroupNorm:
    if channels % groups:
        raise ValueError(f"groups is {groups}, but a level has {channels} channels; choose a divisor of width * mults")
    return nn.GroupNorm(groups, channels)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """A residual branch that begins at zero leaves the signal alone until it has learned something."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def time_features(t: Tensor, width: int) -> Tensor:
    """Sines and cosines of t [B], in steps, with periods from 2 pi to 20 000 pi -> [B, width] (Vaswani et al. 2017)."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=t.device, dtype=torch.float32) * (-math.log(10_000) / max(half - 1, 1)))
    angles = t.float()[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Block(nn.Module):
    """Residual block: x [B,c_in,H,W], time [B,time_width] -> [B,c_out,H,W].

    Time enters as a bias per channel before the second norm (Ho et al. 2020), or with `config.scale_shift` as a factor and
    a bias per channel after it, where no norm takes it out again (Dhariwal & Nichol 2021, "adaptive group normalization").
    """

    def __init__(self, c_in: int, c_out: int, config: cfg.Unet, time_width: int):
        super().__init__()
        self.scale_shift = config.scale_shift
        self.norm1, self.conv1 = _norm(config.groups, c_in), nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time = nn.Linear(time_width, 2 * c_out if config.scale_shift else c_out)
        self.norm2, self.conv2 = _norm(config.groups, c_out), _zero(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        told = self.time(time)[:, :, None, None]
        if self.scale_shift:
            scale, shift = told.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + told)
        return self.skip(x) + self.conv2(F.silu(h))


class Attention(nn.Module):
    """Self-attention over all positions, residual: [B,C,H,W] -> [B,C,H,W]; heads of 64 channels, or one if C is no multiple."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.heads = max(channels // HEAD_WIDTH, 1) if channels % HEAD_WIDTH == 0 else 1
        self.norm, self.qkv = _norm(groups, channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w).unbind(1)
        # written out: in bfloat16 a CPU takes three times as long for torch's fused attention
        looked_at = torch.softmax((q * (c // self.heads) ** -0.5).transpose(2, 3) @ k, dim=3)  # [B, heads, HW, HW]
        return x + self.out((v @ looked_at.transpose(2, 3)).reshape(b, c, h, w))


class Level(nn.Module):
    """`blocks` residual blocks at one resolution."""

    def __init__(self, c_in: int, c_out: int, config: cfg.Unet, time_width: int):
        super().__init__()
        widths = [c_in] + [c_out] * config.blocks
        self.blocks = nn.ModuleList(Block(a, b, config, time_width) for a, b in pairwise(widths))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, time)
        return x


class UNet(nn.Module):
    """Predicts eps, x0 or v (the caller's choice) from a noisy image.

    `channels` and `size` are those of the images; `size` must be a multiple of `config.patch` and leave at least one pixel on
    each level. Sizes need not be even: a level of 7 pixels is followed by one of 4. The untrained network returns zeros.
    `given`: further channels of the input, images that the network is told; the output has `channels` all the same.
    """

    def __init__(self, config: cfg.Unet, channels: int, size: int, given: int = 0):
        super().__init__()
        if size % config.patch:
            raise ValueError(f"size is {size}, not a multiple of patch {config.patch}; choose a patch that divides it")
        if size // config.patch < 2 ** (len(config.mults) - 1):
            raise ValueError(f"mults has {len(config.mults)} levels, too many for {size} pixels in patches of {config.patch}")
        if config.width % 2:
            raise ValueError(f"width is {config.width}; it must be even, for the sine and cosine of the time")
        self.config, self.inputs, self.size = config, channels + given, size
        time_width = 4 * config.width
        widths = [config.width * m for m in config.mults]
        folded = channels * config.patch**2

        self.time = nn.Sequential(nn.Linear(config.width, time_width), nn.SiLU(), nn.Linear(time_width, time_width), nn.SiLU())
        self.stem = nn.Conv2d(self.inputs * config.patch**2, config.width, 3, padding=1)
        self.down = nn.ModuleList(Level(a, b, config, time_width) for a, b in pairwise([config.width, *widths]))
        self.up, self.narrow = nn.ModuleList(), nn.ModuleList()
        deepest = widths[-1]
        self.middle_in = Block(deepest, deepest, config, time_width)
        self.middle_attention = Attention(deepest, config.groups) if config.middle_attention else nn.Identity()
        self.middle_out = Block(deepest, deepest, config, time_width)
        for here, below in zip(reversed(widths), reversed([*widths[1:], deepest]), strict=True):
            # Narrowed before it is upsampled, at a quarter of the cost.
            self.narrow.append(nn.Conv2d(below, here, 1) if below != here else nn.Identity())
            self.up.append(Level(here, here, config, time_width))
        self.head_norm = _norm(config.groups, widths[0])
        self.head = _zero(nn.Conv2d(widths[0], folded, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x float [B, channels + given, size, size], t int64 [B] in steps -> [B, channels, size, size]."""
        self._check(x, t)
        time = self.time(time_features(t, self.config.width))
        h = self.stem(F.pixel_unshuffle(x, self.config.patch))
        skips: list[Tensor] = []
        for level in self.down:
            if skips:
                h = F.avg_pool2d(h, 2, ceil_mode=True)
            h = level(h, time)
            skips.append(h)
        h = self.middle_out(self.middle_attention(self.middle_in(h, time)), time)
        for narrow, level in zip(self.narrow, self.up, strict=True):
            skip, h = skips.pop(), narrow(h)
            if h.shape[-2:] != skip.shape[-2:]:
                h = F.interpolate(h, size=skip.shape[-2:], mode="nearest")
            h = level(h + skip, time)
        return F.pixel_shuffle(self.head(F.silu(self.head_norm(h))), self.config.patch)

    def _check(self, x: Tensor, t: Tensor) -> None:
        if x.ndim != 4 or tuple(x.shape[1:]) != (self.inputs, self.size, self.size):
            raise ValueError(f"x has shape {tuple(x.shape)}; expected [B, {self.inputs}, {self.size}, {self.size}]")
        if t.shape != x.shape[:1]:
            raise ValueError(f"t has shape {tuple(t.shape)}; expected [{x.shape[0]}], one step for each image")


def library_unet(config: cfg.Unet, channels: int) -> nn.Module:
    """denoising-diffusion-pytorch's own Unet with its defaults: what report A trained, at width 64 and mults 1, 2, 4, 8.

    Called as `UNet` is. ConfigError where the package is not installed.
    """
    try:
        from denoising_diffusion_pytorch import Unet
    except ImportError as error:
        advice = "install it: pip install denoising-diffusion-pytorch"
        raise ConfigError(f"{config.library} is not installed, and this run's network is its Unet; {advice}") from error
    return Unet(dim=config.width, dim_mults=config.mults, channels=channels)
