"""The U-Net: shapes at odd sizes, the presets' sizes, a zero start, conditioning, and refusals that name the argument."""

import pytest
import torch
from draws import rng
from hypothesis import given, settings
from hypothesis import strategies as st

from dipddpm_utils.config import Unet
from dipddpm_utils.ddpm.unet import Attention, Block, UNet, library_unet, time_features
from dipddpm_utils.machine.errors import ConfigError
from dipddpm_utils.study.sizes import UNET_REPORT_A


def awake(net: UNet, seed: int = 0) -> UNet:
    """Replace the zero-initialised convolutions, so that what goes in can be seen in what comes out."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            if not p.any():
                p.copy_(0.05 * torch.randn(p.shape, generator=generator))
    return net.eval()


@settings(deadline=None, max_examples=12)
@given(
    st.sampled_from([28, 32]),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 2, 4]),
    st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=3),
)
def test_keeps_the_shape_of_the_image(size, channels, patch, mults):
    config = Unet(width=8, mults=tuple(mults), blocks=1, patch=patch, groups=4)
    x = torch.randn(2, channels, size, size)
    assert UNet(config, channels, size)(x, torch.tensor([0, 999])).shape == x.shape


@pytest.mark.parametrize("scale_shift", [False, True])
def test_begins_at_zero_and_every_parameter_learns(scale_shift):
    torch.manual_seed(0)
    net = UNet(Unet(width=8, mults=(1, 2), blocks=1, groups=4, patch=2, scale_shift=scale_shift), 1, 28)
    x, t = torch.randn(3, 1, 28, 28), torch.tensor([0, 10, 999])
    assert torch.equal(net(x, t), torch.zeros_like(x))
    awake(net)(x, t).square().mean().backward()
    dead = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


@pytest.mark.parametrize("scale_shift", [False, True])
def test_each_image_is_treated_alone_and_knows_its_time(scale_shift):
    net = awake(UNet(Unet(width=8, mults=(1, 2), blocks=1, groups=4, patch=2, scale_shift=scale_shift), 1, 28))
    x, t = torch.randn(4, 1, 28, 28), torch.tensor([0, 300, 600, 999])
    together = net(x, t)
    alone = torch.cat([net(x[i : i + 1], t[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert (net(x, t.flip(0)) - together).abs().amax() > 1e-4


@pytest.mark.parametrize("scale_shift", [False, True])
def test_a_norm_of_single_channels_takes_a_bias_out_but_not_a_scale_and_shift(scale_shift):
    torch.manual_seed(1)
    block = Block(4, 4, Unet(width=4, groups=4, scale_shift=scale_shift), time_width=6)
    torch.nn.init.normal_(block.conv2.weight)
    x, early, late = torch.randn(2, 4, 5, 5), torch.randn(2, 6), torch.randn(2, 6)
    assert torch.allclose(block(x, early), block(x, late), atol=1e-3) is not scale_shift


def test_scale_and_shift_are_those_of_the_linear_layer():
    torch.manual_seed(2)
    block, time = Block(4, 4, Unet(width=4, groups=2, scale_shift=True), time_width=6), torch.zeros(1, 6)
    torch.nn.init.dirac_(block.conv2.weight)  # the branch shows what the second norm gave, through the nonlinearity
    with torch.no_grad():
        block.time.bias.copy_(torch.tensor([1.0, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]))  # scale 1 for four channels, shift 0.5
    x = torch.randn(1, 4, 5, 5)
    normed = block.norm2(block.conv1(torch.nn.functional.silu(block.norm1(x))))
    torch.testing.assert_close(block(x, time) - x, torch.nn.functional.silu(2 * normed + 0.5))


def test_a_pixel_reaches_the_whole_image():
    net = awake(UNet(Unet(width=8, mults=(1, 2, 2), blocks=1, groups=4, patch=2), 1, 28))
    x = torch.zeros(1, 1, 28, 28, requires_grad=True)
    net(x, torch.tensor([500]))[0, 0, 0, 0].backward()
    assert x.grad[0, 0, 27, 27] != 0


def count_parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("config", "channels", "size", "low", "high"),
    [
        (Unet(width=32, mults=(1, 2), blocks=2), 1, 28, 0.60e6, 0.61e6),  # report B: 606 852
        (Unet(width=64, mults=(1, 2, 4, 8), blocks=2), 3, 32, 35.5e6, 35.9e6),  # report A: about 35.7 M
    ],
)
def test_presets_are_as_large_as_the_reports_say(config, channels, size, low, high):
    with torch.device("meta"):
        assert low < count_parameters(UNet(config, channels, size)) < high


def test_time_features_separate_neighbouring_steps():
    f = time_features(torch.arange(1000), 32)
    assert f.shape == (1000, 32)
    torch.testing.assert_close(f.square().sum(1), torch.full((1000,), 16.0))  # sin^2 + cos^2, 16 times
    assert torch.cdist(f, f).fill_diagonal_(9).min() > 0.1


@pytest.mark.parametrize(
    ("fields", "size", "word"),
    [
        ({"patch": 4}, 30, "patch"),
        ({"mults": (1, 1, 1, 1), "patch": 4}, 28, "mults"),
        ({"groups": 6}, 28, "groups"),
        ({"width": 9, "groups": 3}, 28, "width"),
    ],
)
def test_a_wrong_configuration_names_the_field(fields, size, word):
    with pytest.raises(ValueError, match=word):
        UNet(Unet(**{"width": 8, **fields}), 1, size)


def test_wrong_inputs_are_named():
    net = UNet(Unet(width=8, patch=2), 1, 28)
    with pytest.raises(ValueError, match="x has shape"):
        net(torch.zeros(2, 3, 28, 28), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="t has shape"):
        net(torch.zeros(2, 1, 28, 28), torch.zeros(1, dtype=torch.int64))


def test_the_librarys_own_unet_has_the_size_of_report_as_and_its_lack_is_said_in_a_line(monkeypatch):
    theirs = UNET_REPORT_A.model_copy(update={"library": "denoising-diffusion-pytorch"})
    with torch.device("meta"):
        ours, own = UNet(UNET_REPORT_A, 3, 32), library_unet(theirs, 3)
    assert count_parameters(own) == 35_711_491 and abs(count_parameters(ours) / count_parameters(own) - 1) < 1e-3
    tiny = library_unet(theirs.model_copy(update={"width": 8, "mults": (1, 2)}), 1)
    assert tiny(torch.zeros(2, 1, 28, 28), torch.tensor([0, 9])).shape == (2, 1, 28, 28)
    monkeypatch.setitem(__import__("sys").modules, "denoising_diffusion_pytorch", None)
    with pytest.raises(ConfigError, match="is not installed.*pip install"):
        library_unet(theirs, 3)


def test_what_came_down_is_added_where_nothing_comes_up():
    net = awake(UNet(Unet(width=8, mults=(1, 2), blocks=1, groups=4), 1, 8))
    torch.nn.init.zeros_(net.narrow[-1].weight)  # of all below the first level
    torch.nn.init.zeros_(net.narrow[-1].bias)
    one, other = net(torch.randn(2, 1, 8, 8, generator=rng()), torch.tensor([5, 5]))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("channels", [8, 128])
def test_attention_is_torchs_over_all_positions_and_is_added(channels):
    ours = Attention(channels, groups=4)
    theirs = torch.nn.MultiheadAttention(channels, ours.heads, batch_first=True)
    with torch.no_grad():
        ours.out.weight.copy_(torch.randn(ours.out.weight.shape, generator=rng()))
        for own, other in ((ours.qkv, (theirs.in_proj_weight, theirs.in_proj_bias)), (ours.out, theirs.out_proj.parameters())):
            for mine, copied in zip((own.weight.flatten(1), own.bias), other, strict=True):
                copied.copy_(mine)
    x = torch.randn(2, channels, 3, 5, generator=rng(1))
    rows = ours.norm(x).flatten(2).mT
    expected = x + theirs(rows, rows, rows)[0].mT.reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)
    assert ours.heads == max(1, channels // 64)


def test_periods_of_time_features_go_from_2_pi_to_20_000_pi():
    f = time_features(torch.tensor([1]), 32)[0]
    torch.testing.assert_close(f[[0, 15]], torch.tensor([1.0, 1e-4]).sin())
