"""Kernels without the taps that see padding alone: the same function, the same gradients, and whole again afterwards."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dipddpm_utils.dip import nets, taps


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(
    transposed=st.booleans(),
    size=st.integers(1, 5),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
)
def test_a_layer_is_the_same_function_and_what_is_left_out_gets_no_gradient(transposed, size, kernel, stride, padding):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    padding = min(padding, kernel - 1)
    out = (size - 1) * stride - 2 * padding + kernel if transposed else (size + 2 * padding - kernel) // stride + 1
    if out < 1 or (not transposed and size + 2 * padding < kernel):
        return
    layer, x = kind(2, 3, kernel, stride, padding).double(), drawn(2, 2, size, size)
    layer(x).square().sum().backward()
    expected, gradient, whole = layer(x), layer.weight.grad, layer.weight.detach().clone()
    put_back = taps.leave_out(layer, x[:1])
    assert torch.allclose(layer(x), expected)
    layer.weight.grad = None
    layer(x).square().sum().backward()
    kept = layer.weight.grad
    assert torch.isclose(kept.square().sum(), gradient.square().sum())  # what was left out had none
    put_back()
    assert torch.equal(layer.weight, whole) and torch.allclose(layer(x), expected)


def test_resnet18_at_32_pixels_learns_the_same_with_two_fifths_of_its_weights():
    whole, small = (nets.build("resnet18", 3, generator=torch.Generator().manual_seed(0), width=16).double() for _ in "ab")
    before, images = {name: value.clone() for name, value in small.state_dict().items()}, drawn(4, 3, 32, 32)
    put_back = taps.leave_out(small, images[:1])
    weights = [sum(p.numel() for p in net.parameters()) for net in (whole, small)]
    assert weights[1] / weights[0] == pytest.approx(0.39, abs=0.01)
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items() if "running" in name)
    losses = []
    for net in (whole, small):
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
        for _ in range(3):
            loss = (net(images) - images).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert losses[:3] == pytest.approx(losses[3:], rel=1e-12)
    put_back()
    assert list(small.state_dict()) == list(whole.state_dict())
    for name, value in whole.state_dict().items():
        assert torch.allclose(small.state_dict()[name], value, atol=1e-9), name
    assert small.training and torch.equal(
        small.encoder["layer4"][1].conv1.weight[:, :, 0], before["encoder.layer4.1.conv1.weight"][:, :, 0]
    )


@pytest.mark.parametrize(("net", "size"), [("2conv", 32), ("5conv", 28), ("skip", 28)])
def test_nets_that_stay_large_keep_all_taps(net, size):
    module = nets.build(net, 1, generator=torch.Generator().manual_seed(0), width=4)
    shapes = [p.shape for p in module.parameters()]
    taps.leave_out(module, torch.zeros(1, 1, size, size))
    assert [p.shape for p in module.parameters()] == shapes
