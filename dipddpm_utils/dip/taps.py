"""Convolutions without the taps of their kernels that see padding alone.

Made for large images, report A's ResNet-18 shrinks 32 pixels to one, and there eight taps of nine of a 3 x 3 kernel only ever
meet zeros. Their gradient is zero, so Adam leaves them as they are; but reading, deriving and updating them took half a step.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def leave_out(net: nn.Module, x: Tensor) -> Callable[[], None]:
    """Shrink each kernel of `net`, in place, to the taps that see a pixel of inputs as large as x [B, C, H, W].

    Returns what puts the whole kernels back, the other taps as they were. In between the network is the same function of such
    inputs, and the same gradients reach the same weights.
    """
    before: list[tuple[nn.Module, Tensor, tuple[slice, slice]]] = []

    def shrink(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen = _seen(layer, inputs[0].shape[2:], output.shape[2:])
        if all(taps == slice(0, size) for taps, size in zip(seen, layer.kernel_size, strict=True)):
            return
        before.append((layer, layer.weight.detach(), seen))
        layer.padding = tuple(pad - taps.start for pad, taps in zip(layer.padding, seen, strict=True))
        layer.kernel_size = tuple(taps.stop - taps.start for taps in seen)
        layer.weight = nn.Parameter(layer.weight[:, :, *seen].clone(memory_format=torch.contiguous_format))

    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    hooks = [layer.register_forward_hook(shrink) for layer in net.modules() if isinstance(layer, kinds)]
    training = net.training
    net.eval()(x)  # in training mode it would move running statistics
    net.train(training)
    for hook in hooks:
        hook.remove()

    @torch.no_grad()
    def put_back() -> None:
        for layer, weight, seen in before:
            whole = weight.to(layer.weight)
            whole[:, :, *seen] = layer.weight
            layer.padding = tuple(pad + taps.start for pad, taps in zip(layer.padding, seen, strict=True))
            layer.kernel_size, layer.weight = tuple(whole.shape[2:]), nn.Parameter(whole)

    return put_back


def _seen(layer: Any, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[slice, slice]:
    """The taps of each side that meet a pixel: tap i of a window at step w is at w * stride - padding + i of the finer side."""
    coarse, fine = (inputs, outputs) if layer.transposed else (outputs, inputs)
    sides = []
    for steps, pixels, size, stride, padding in zip(coarse, fine, layer.kernel_size, layer.stride, layer.padding, strict=True):
        met = [tap for tap in range(size) if any(0 <= step * stride - padding + tap < pixels for step in range(steps))]
        sides.append(slice(met[0], met[-1] + 1))
    return tuple(sides)
