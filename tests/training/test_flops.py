"""FLOPs against counts by hand."""

import torch
from torch import nn

from dipddpm_utils.training import flops


def test_a_convolution_and_its_training_step():
    net = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    x = torch.zeros(2, 3, 8, 8)
    once = 2 * (2 * 8 * 8) * 5 * 3 * 9  # a multiply-add as two
    assert flops.counted(net, x) == (once, 2 * once)  # the input needs no gradient: forward, and the gradient of the weights
    assert net.weight.grad is None


def test_a_chain_of_two_linear_layers():
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    x = torch.zeros(10, 4)
    first, second = 2 * 10 * 4 * 6, 2 * 10 * 6 * 2
    assert flops.counted(net, x) == (first + second, 2 * first + 3 * second)
