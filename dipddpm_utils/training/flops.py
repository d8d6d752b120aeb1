"""Floating-point operations of networks, by torch's own counter: matrix products and convolutions, a multiply-add as two."""

import copy

from torch import Tensor, nn


def counted(network: nn.Module, *inputs: Tensor) -> tuple[int, int]:
    """FLOPs of (one call, one training step), counted on a copy of the network, e.g. for one image.

    A training step is a call and its backward pass to all weights; the optimiser's own operations are not in it.
    """
    from torch.utils.flop_counter import FlopCounterMode

    network = copy.deepcopy(network).requires_grad_(True)
    with FlopCounterMode(display=False) as counter:
        loss = network(*inputs).float().sum()
        once = counter.get_total_flops()
        loss.backward()
    return once, counter.get_total_flops()
