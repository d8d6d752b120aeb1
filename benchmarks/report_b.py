"""Report B's way of training, written anew: its U-Net of 606 852 numbers, and a PIL image and a Python transform a digit."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

T, TIME = 1000, 100


class Layer(nn.Module):
    """Layer normalisation over the whole map, two convolutions, two SiLUs; the last level leaves the norm out of use."""

    def __init__(self, size: int, c_in: int, c_out: int, normalise: bool = True):
        super().__init__()
        self.norm, self.normalise = nn.LayerNorm((c_in, size, size)), normalise
        self.convolve = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, padding=1), nn.SiLU(), nn.Conv2d(c_out, c_out, 3, padding=1), nn.SiLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(self.norm(x) if self.normalise else x)


def _level(size: int, *widths: int, last: bool = False) -> nn.Sequential:
    pairs = list(zip(widths, widths[1:], strict=False))
    return nn.Sequential(*(Layer(size, a, b, not (last and i == len(pairs) - 1)) for i, (a, b) in enumerate(pairs)))


def _time(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(TIME, width), nn.SiLU(), nn.Linear(width, width))


class ReportBUNet(nn.Module):
    """28 x 28 grey images; levels of 10, 20 and 40 channels at 28, 14 and 7 pixels, and a middle at 3."""

    def __init__(self) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(0, TIME, 2) * (-math.log(10_000) / TIME))
        angles = torch.arange(T)[:, None] * rates
        table = torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
        self.embedding = nn.Embedding.from_pretrained(table, freeze=True)
        self.levels = nn.ModuleList(
            [
                _level(28, 1, 10, 10, 10),
                _level(14, 10, 20, 20, 20),
                _level(7, 20, 40, 40, 40),
                _level(3, 40, 20, 20, 40),
                _level(7, 80, 40, 20, 20),
                _level(14, 40, 20, 10, 10),
                _level(28, 20, 10, 10, 10, last=True),
            ]
        )
        self.times = nn.ModuleList(_time(width) for width in (1, 10, 20, 40, 80, 40, 20))
        self.down = nn.ModuleList(
            [
                nn.Conv2d(10, 10, 4, 2, 1),
                nn.Conv2d(20, 20, 4, 2, 1),
                nn.Sequential(nn.Conv2d(40, 40, 2), nn.SiLU(), nn.Conv2d(40, 40, 4, 2, 1)),
            ]
        )
        self.up = nn.ModuleList(
            [
                nn.Sequential(nn.ConvTranspose2d(40, 40, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(40, 40, 2)),
                nn.ConvTranspose2d(20, 20, 4, 2, 1),
                nn.ConvTranspose2d(10, 10, 4, 2, 1),
            ]
        )
        self.head = nn.Conv2d(10, 1, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedded = self.embedding(t)
        biases = [time(embedded)[:, :, None, None] for time in self.times]
        skips: list[Tensor] = []
        for level, bias, down in zip(self.levels[:3], biases[:3], self.down, strict=True):
            skips.append(level(x + bias))
            x = down(skips[-1])
        x = self.levels[3](x + biases[3])
        for level, bias, up in zip(self.levels[4:], biases[4:], self.up, strict=True):
            x = level(torch.cat([skips.pop(), up(x)], 1) + bias)
        return self.head(x)


class Digits(Dataset):
    """One PIL image and two Python transforms an item, as torchvision's MNIST with ToTensor and a lambda gives them."""

    def __init__(self, images: Tensor) -> None:
        from torchvision.transforms import Compose, Lambda, ToTensor

        self.images = images[:, 0].numpy()
        self.transform = Compose([ToTensor(), Lambda(lambda x: (x - 0.5) * 2)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        return self.transform(Image.fromarray(np.asarray(self.images[i])))


def batches(images: Tensor, size: int) -> Iterator[Tensor]:
    """Shuffled batches without end."""
    loader = DataLoader(Digits(images), batch_size=size, shuffle=True)
    while True:
        yield from loader
