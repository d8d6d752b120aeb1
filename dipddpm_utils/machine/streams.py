"""Named random streams: each purpose of a run draws from a generator of its own, seeded by the run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import torch


def derived_seed(seed: int, purpose: str) -> int:
    """63 bits of SHA-256 of (seed, purpose): one independent stream per purpose, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on `device` for one purpose of a run, e.g. generator(0, 'noise'). Global state is not touched."""
    import torch

    return torch.Generator(device=device).manual_seed(derived_seed(seed, purpose))


def normal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """N(0, I) as large as `like`, drawn where the generator lives: one on the CPU gives the same noise for every device."""
    import torch

    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def numpy_rng(seed: int, purpose: str) -> numpy.random.Generator:
    """A numpy generator for one purpose of a run."""
    import numpy as np

    return np.random.default_rng(derived_seed(seed, purpose))
