"""The only place that converts between pixel ranges.

Three ranges are in use: `uint8` 0..255 (files, metrics), `unit` floats in [0, 1] (DIP networks), and `signed` floats in
[-1, 1] (the diffusion model). Shapes are free; images are [B, C, H, W] by convention. Converting an image to floats and
back gives the same bytes.
"""

import torch
from torch import Tensor

TOLERANCE = 1e-4  # how far outside its range a float image may lie: round-off, a thirtieth of a grey level


def uint8_to_unit(x: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [0, 1] (x / 255)."""
    return _floats(x) / 255


def uint8_to_signed(x: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [-1, 1] (x / 127.5 - 1)."""
    return _floats(x) / 127.5 - 1


def signed_to_unit(x: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1]; values outside are mapped by the same line, not clamped."""
    return (x + 1) / 2


def unit_to_signed(x: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1]; values outside are mapped by the same line, not clamped."""
    return x * 2 - 1


def signed_to_uint8(x: Tensor) -> Tensor:
    """Floats, nominally in [-1, 1], -> uint8: clamped, then rounded to the nearest level. ValueError if NaN."""
    return _to_uint8((x + 1) * 127.5, x)


def unit_to_uint8(x: Tensor) -> Tensor:
    """Floats, nominally in [0, 1], -> uint8: clamped, then rounded to the nearest level. ValueError if NaN."""
    return _to_uint8(x * 255, x)


def check_signed(x: Tensor, name: str) -> None:
    """ValueError naming the argument `name` unless x is a float tensor in [-1, 1] (within TOLERANCE). Reads x's values."""
    _check_range(x, name, -1.0, "expected [-1, 1]; convert it with ranges.uint8_to_signed or unit_to_signed")


def check_unit(x: Tensor, name: str) -> None:
    """ValueError naming the argument `name` unless x is a float tensor in [0, 1] (within TOLERANCE). Reads x's values."""
    _check_range(x, name, 0.0, "expected [0, 1]; convert it with ranges.uint8_to_unit or signed_to_unit")


def _check_range(x: Tensor, name: str, low: float, remedy: str) -> None:
    if not x.is_floating_point():
        raise ValueError(f"{name} is {x.dtype} and no floats, {remedy}")
    smallest, largest = (v.item() for v in x.detach().aminmax()) if x.numel() else (0.0, 0.0)
    if not (smallest >= low - TOLERANCE and largest <= 1 + TOLERANCE):  # written so that NaN fails
        raise ValueError(f"{name} has values from {smallest:.4g} to {largest:.4g}, {remedy}")


def _floats(x: Tensor) -> Tensor:
    if x.dtype != torch.uint8:
        raise ValueError(f"x is {x.dtype}, expected torch.uint8 in 0..255; float images need no conversion from bytes")
    return x.float()


def _to_uint8(levels: Tensor, x: Tensor) -> Tensor:
    if not x.is_floating_point():
        raise ValueError(f"x is {x.dtype}, expected floats; uint8 images need no conversion to bytes")
    if levels.isnan().any():  # NaN has no byte: casting it would give some number or other
        raise ValueError("x holds NaN, expected numbers; look for the step that made them")
    return levels.clamp(0, 255).round().to(torch.uint8)
