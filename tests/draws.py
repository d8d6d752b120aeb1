"""Random numbers for tests."""

import torch


def rng(seed=0):
    return torch.Generator().manual_seed(seed)
