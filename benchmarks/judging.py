"""Distances of samples from the held-out images, away from the training clocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Diffusion, Sampler
from dipddpm_utils.data.sets import DataSet
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.judging import spaces
from dipddpm_utils.judging.frechet import frechet_distance, frechet_interval, mean_cov, symmetric_root
from dipddpm_utils.judging.stats import Interval

TOGETHER = 250  # images a batch of a reverse chain


@dataclass(frozen=True)
class Judge:
    """A feature space and the held-out images' moments in it."""

    source: DataSet
    features: spaces.Features
    mean: Tensor
    cov: Tensor
    root: Tensor

    @classmethod
    def of(cls, source: DataSet, device: torch.device) -> Judge:
        features = spaces.extractor(source.name, str(device))
        mean, cov = mean_cov(features(source.held_out))
        return cls(source, features, mean, cov, symmetric_root(cov))

    def distance(self, images: Tensor) -> Interval:
        """FD of uint8 images [n,C,H,W] from all held-out images, with its interval at this n."""
        return frechet_interval(self.features(images), self.mean, self.cov, root2=self.root)

    def floor(self, n: int, repeats: int = 3) -> float:
        """The mean distance of n real training images, over as many draws."""
        rng = np.random.default_rng(0)
        found = []
        for _ in range(repeats):
            chosen = torch.from_numpy(rng.permutation(len(self.source.train))[:n])
            moments = mean_cov(self.features(self.source.train[chosen]))
            found.append(frechet_distance(*moments, self.mean, self.cov, root2=self.root))
        return float(np.mean(found))


def draw(
    net: nn.Module, call: Model, diffusion: Diffusion, sampler: Sampler, n: int, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """n samples, uint8 [n,C,H,W]; the same starting noise for every model. The network is left in the mode it was in."""
    generator = torch.Generator().manual_seed(0)
    noise, coefs = torch.randn(n, *shape, generator=generator), schedule.coefficients(diffusion)
    was_training = net.training
    net.eval()
    made = []
    for x in noise.split(TOGETHER):
        x0, _ = sampling.sample(call, coefs, diffusion, sampler, x.to(device), generator=generator)
        made.append(ranges.signed_to_uint8(x0).cpu())
    net.train(was_training)
    return torch.cat(made)
