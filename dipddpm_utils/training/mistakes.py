"""What the two reports computed wrongly, each fault as one small function that `faults.FAULTS` names.

A configuration switches a fault on by its id in `faults`; the code of the run then calls the function here instead of
doing the right thing. Faults that only misstate what was computed (FA6, FA9, FB4) have numbers in faults.py, no code.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Optim
from dipddpm_utils.judging import frechet

# --- report A ---------------------------------------------------------------------------------------------------------


def double_scaled(x_signed: Tensor) -> Tensor:
    """FA1: [-1, 1] taken for [0, 1] and scaled once more, x -> 2 x - 1: real images in [-3, 1], any shape."""
    return ranges.unit_to_signed(x_signed)


class SignedTargets(nn.Module):
    """FA2: a network that is given images in [-1, 1]. Takes [0, 1], as every DIP here does, so that only the range differs."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images_unit: Tensor) -> Tensor:
        return self.net(ranges.unit_to_signed(images_unit))


def signed_targets(images_unit: Tensor) -> Tensor:
    """FA2: targets in [-1, 1] for a sigmoid's output, in (0, 1), which cannot reach them.

    The least squares for an image p in [0, 1] are at max(0, 2 p - 1), which the DDPM then takes for an image in [0, 1].
    """
    return ranges.unit_to_signed(images_unit)


def distance_of_few(features: nn.Module, samples: Tensor, reals: Tensor) -> float:
    """FA3: a Frechet distance of few samples (report A: 30), judged as report A did.

    samples, reals: uint8 [n, C, H, W], reals a shuffled batch of *training* images. They are scaled twice, and the network
    is in training mode, so that batch statistics stand for those it was trained with. `features` has a method of that name
    (spaces.Classifier); it is copied, not changed. With n images in D > n dimensions both covariances are singular.
    """
    network, where = copy.deepcopy(features).train(), next(features.parameters()).device
    samples, reals = samples.to(where), reals.to(where)
    with torch.no_grad():
        levels = (double_scaled(ranges.uint8_to_signed(reals)) + 1) * 127.5  # what the network takes for 0..255
        real, fake = network.features(levels).cpu(), network.features(samples).cpu()
    return frechet.frechet_distance(*frechet.mean_cov(fake), *frechet.mean_cov(real))


def lose_gradients(state: Any) -> None:
    """FA4: of a training `State`, every second step's gradient is dropped: steps // 2 updates in as many forward passes."""
    state.update_every = 2


def raw_weights(state: Any) -> nn.Module:
    """FA5: the network of a training `State` as it was trained last, in evaluation mode, not the average that is kept of it."""
    return state.model.eval()


# --- report B ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def unclipped_outputs(net: nn.Module, images_unit: Tensor) -> Tensor:
    """FB2: what a DIP makes of clean images, as it comes, about [0, 1]; the DDPM takes it for [-1, 1]: a grey ground."""
    return torch.cat([net(part).to(images_unit.dtype) for part in images_unit.split(250)])


def unshuffle(state: Any) -> None:
    """FB1: a training `State` that sees the images in the same order in every epoch, whatever its seed."""
    state.order.shuffled = False


def halved_lr(optim: Optim) -> Optim:
    """FB3: the combined run's recipe: half the baseline's learning rate."""
    return optim.model_copy(update={"lr": optim.lr / 2})


def wrapped_uint8(x_unit: Tensor) -> np.ndarray:
    """FB5: floats, nominally in [0, 1], cast to bytes without clamping: what leaves the range comes back at its other end."""
    return (x_unit.detach().cpu().double().numpy() * 255).astype(np.int64).astype(np.uint8)
