"""Floating-point operations of networks, by torch's own counter: matrix products and convolutions, a multiply-add as two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def counted(work: Callable[[], Any]) -> int:
    """FLOPs of all that `work()` does, the backward passes that it makes included."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def forward(network: Callable[..., Tensor], *inputs: Tensor) -> int:
    """FLOPs of one call. Give it one image, and multiply by images and calls."""
    return counted(lambda: network(*inputs))


def training(network: nn.Module, *inputs: Tensor) -> int:
    """FLOPs of one call and its backward pass to all weights, whose gradients are left alone; the optimiser is not in it."""
    weights = [p for p in network.parameters() if p.requires_grad]
    return counted(lambda: torch.autograd.grad(network(*inputs).float().sum(), weights, allow_unused=True))
