"""Samples and their distances from the held-out images, away from the training clocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.pairs import Setting
from dipddpm_utils import ranges
from dipddpm_utils.config import Data, Diffusion, Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.judging import evaluate
from dipddpm_utils.judging.spaces import Features
from dipddpm_utils.judging.stats import Interval

TOGETHER = 250  # images a batch of a reverse chain
FLOORS = 3  # draws of real training images


@dataclass(frozen=True)
class Judge:
    """A data set and the feature space in which records judge samples of it, on the device that draws them."""

    source: sets.DataSet
    features: Features

    @classmethod
    def of(cls, setting: Setting) -> Judge:
        """Of handwritten digits."""
        data = Data(name=setting.pick("mnist", "digits5k"))
        return cls(sets.load(data), evaluate.space(data, str(setting.device)))

    def draw(self, net: nn.Module, call: Model, diffusion: Diffusion, sampler: Sampler, n: int) -> Tensor:
        """n samples, uint8 [n,C,H,W]; the same starting noise for every model. The network is left in the mode it was in."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(n, *self.source.train.shape[1:], generator=generator)
        coefs, was_training = schedule.coefficients(diffusion), net.training
        net.eval()
        made = []
        for x in noise.split(TOGETHER):
            x0, _ = sampling.sample(call, coefs, diffusion, sampler, x.to(self.features.device), generator=generator)
            made.append(ranges.signed_to_uint8(x0).cpu())
        net.train(was_training)
        return torch.cat(made)

    def distance(self, images: Tensor) -> Interval:
        """FD of uint8 images [n,C,H,W] from all held-out images, with its interval at this n."""
        scores = evaluate.evaluate(images, self.source, self.features, np.random.default_rng(0))
        return Interval(scores["fd_low"], scores["fd"], scores["fd_high"], scores["n"])

    def floor(self, n: int) -> float:
        """The mean distance of n real training images, over FLOORS draws."""
        rng = np.random.default_rng(0)
        return float(np.mean([evaluate.floor(self.source, n, self.features, rng)["fd"] for _ in range(FLOORS)]))
