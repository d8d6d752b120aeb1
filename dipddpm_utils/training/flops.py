"""Floating-point operations of networks, by torch's own counter: matrix products and convolutions, a multiply-add as two."""

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def counted(work: Callable[[], Any]) -> int:
    """FLOPs of all that `work()` does, e.g. one call of a network for one image, and of the backward passes in it."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def training(network: nn.Module, *inputs: Tensor) -> int:
    """FLOPs of one call and its backward pass to all weights, on a copy of the network. The optimiser's own are not in it."""
    network = copy.deepcopy(network).requires_grad_(True)
    return counted(lambda: network(*inputs).float().sum().backward())
