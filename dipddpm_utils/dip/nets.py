"""The four networks used as deep image priors: [B, in_channels, H, W] -> [B, channels, H, W].

A network fitted to one image must not see the others that happen to be fitted beside it, so it uses group normalisation,
whose statistics never cross images. With one channel a group, as in the skip network, that is exactly what batch
normalisation computes on the published batch of one image; the ResNet, whose last maps are single pixels, needs several.
"""

import math
import os
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dipddpm_utils.data import weights
from dipddpm_utils.machine.errors import DataError

DEFAULT_WIDTH = {"2conv": 64, "5conv": 64, "resnet18": 64, "skip": 32}  # the two reports' own; skip: 128 at 512 px
IMAGENET_SHA256 = "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"  # of torchvision's ResNet-18 weights
Z_CHANNELS = 32  # of the fixed input z of a fit to one image: Ulyanov et al. 2018, supplementary material
Norm = Callable[[int], nn.Module]


def build(
    net: str, channels: int, *, generator: torch.Generator, width: int | None = None, per_image: bool = False
) -> nn.Module:
    """A network with weights drawn from `generator` (PyTorch's default distributions), on the generator's device.

    net: a key of DEFAULT_WIDTH. channels: of the images. width: channels of the first layer (None: the usual). per_image: for
    a fit to one image, so with Z_CHANNELS channels of input and with group in place of batch normalisation.
    Raises ValueError for another net, and a width below 1.
    """
    if net not in DEFAULT_WIDTH:
        raise ValueError(f"net is {net!r}, expected one of {', '.join(DEFAULT_WIDTH)}")
    if width is not None and width < 1:
        raise ValueError(f"width is {width}, expected at least 1 channel")
    usual, inputs = DEFAULT_WIDTH[net], Z_CHANNELS if per_image else channels
    width = usual if width is None else width
    with torch.device("meta"):  # no memory and, above all, no draw from the global random state
        if net == "2conv":
            module = _two_conv(inputs, width, channels)
        elif net == "5conv":
            module = _five_conv(inputs, width, channels)
        elif net == "skip":
            norm = (lambda n: nn.GroupNorm(n, n)) if per_image else nn.BatchNorm2d
            module = Skip(inputs, width, channels, norm)
        elif net == "resnet18":
            norm = (lambda n: nn.GroupNorm(math.gcd(8, n), n)) if per_image else nn.BatchNorm2d
            module = ResNet18(inputs, width, channels, norm, per_image)
        else:
            raise NotImplementedError(f"nothing builds net {net!r}")
    module = module.to_empty(device=generator.device)
    initialise(module, generator)
    return module


@torch.no_grad()
def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Redraw every convolution as PyTorch does by default, U(-b, b) with b = 1 / sqrt(fan_in), but from `generator`."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())  # fan_in as PyTorch counts it, transposed ones included
            for parameter in layer.parameters(recurse=False):
                parameter.uniform_(-bound, bound, generator=generator)
        elif hasattr(layer, "reset_parameters"):
            layer.reset_parameters()  # normalisation: ones, zeros and running statistics; nothing random


# --- networks ---------------------------------------------------------------------------------------------------------


def _two_conv(inputs: int, width: int, channels: int) -> nn.Module:
    """Report A: conv, ReLU, conv, sigmoid. 9 w (in + out) + w + out parameters; each output pixel sees 5 x 5."""
    return nn.Sequential(_conv3(inputs, width), nn.ReLU(), _conv3(width, channels), nn.Sigmoid())


def _five_conv(inputs: int, width: int, channels: int) -> nn.Module:
    """Report B: five convolutions in-w-2w-2w-w-out with ReLU between. 9 w (in + 8w + out) + 6w + out parameters; 11 x 11."""
    widths = [inputs, width, 2 * width, 2 * width, width, channels]
    layers = [layer for a, b in pairwise(widths) for layer in (_conv3(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class Skip(nn.Module):
    """The hourglass of Ulyanov et al. 2018 (arXiv 1711.10925, figure 21), with three scales: 28 -> 14 -> 7 -> 4, 32 -> 4.

    Each scale: a 1 x 1 skip branch of 4 channels beside a strided and a plain 3 x 3 convolution, bilinear upsampling back to
    the skip's own (possibly odd) size, then a 3 x 3 and a 1 x 1 convolution. Differences from the published code: three
    scales for five (images of 28 px, not 512), zero for reflection padding.
    """

    SCALES, SKIP = 3, 4

    def __init__(self, inputs: int, width: int, channels: int, norm: Norm):
        super().__init__()

        def block(a: int, b: int, kernel: int, stride: int = 1) -> nn.Module:
            return nn.Sequential(nn.Conv2d(a, b, kernel, stride, kernel // 2), norm(b), nn.LeakyReLU(0.2))

        firsts = [inputs] + [width] * (self.SCALES - 1)
        self.skips = nn.ModuleList(block(a, self.SKIP, 1) for a in firsts)
        self.downs = nn.ModuleList(nn.Sequential(block(a, width, 3, 2), block(width, width, 3)) for a in firsts)
        self.ups = nn.ModuleList(
            nn.Sequential(norm(width + self.SKIP), block(width + self.SKIP, width, 3), block(width, width, 1)) for _ in firsts
        )
        self.last = nn.Sequential(nn.Conv2d(width, channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for skip, down in zip(self.skips, self.downs, strict=True):
            skips.append(skip(x))
            x = down(x)
        for skip, up in zip(reversed(skips), reversed(self.ups), strict=True):
            x = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = up(torch.cat([skip, x], dim=1))
        return self.last(x)


class ResNet18(nn.Module):
    """Report A: ResNet-18 (He et al. 2016) without its head, pooled to one vector of 8w channels, then six transposed
    convolutions 8w-4w-2w-w-w/2-w/4-out, which make 64 x 64 pixels, a sigmoid, and a bilinear resize to the input's size.

    `encoder` has torchvision's names, so that its weights fit at width 64. Inputs are not standardised (nor does report A).
    For one image (`per_image`) w is small, and two things differ, without which most fits stay at a grey image: the decoder
    keeps at least 16 channels and is normalised.
    """

    def __init__(self, inputs: int, width: int, channels: int, norm: Norm, per_image: bool):
        super().__init__()
        self.encoder = nn.ModuleDict({"conv1": nn.Conv2d(inputs, width, 7, 2, 3, bias=False), "bn1": norm(width)})
        for stage in range(4):
            a, b = width * 2 ** max(stage - 1, 0), width * 2**stage
            self.encoder[f"layer{stage + 1}"] = nn.Sequential(_Residual(a, b, 1 + (stage > 0), norm), _Residual(b, b, 1, norm))
        widths = [8 * width] + [max(4 * width // 2**k, 16 if per_image else 1) for k in range(5)]
        ups: list[nn.Module] = []
        for a, b in pairwise(widths):
            ups += [nn.ConvTranspose2d(a, b, 4, 2, 1), norm(b) if per_image else nn.Identity(), nn.ReLU()]
        self.decoder = nn.Sequential(*ups, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        x = F.relu(self.encoder["bn1"](self.encoder["conv1"](x)))
        x = F.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            x = self.encoder[f"layer{stage}"](x)
        x = self.decoder(x.mean((2, 3), keepdim=True))
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class _Residual(nn.Module):
    """ResNet's basic block: two 3 x 3 convolutions added to their input (1 x 1, where the shape changes)."""

    def __init__(self, a: int, b: int, stride: int, norm: Norm):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), norm(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), norm(b)
        changes = a != b or stride != 1
        self.downsample = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), norm(b)) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


def _conv3(a: int, b: int) -> nn.Module:
    return nn.Conv2d(a, b, 3, padding=1)


def load_imagenet(module: ResNet18) -> str:
    """Load torchvision's ImageNet weights into the encoder of a network for a data set, if they can be had: which it has now.

    DataError where DIPDDPM_RESNET18 names a file that is not torchvision's.
    """
    width, inputs = module.encoder["conv1"].weight.shape[:2]
    if width != 64:
        return "random weights: ImageNet's fit only width 64"
    from torchvision.models import ResNet18_Weights  # 5 s to import: only where it is asked for

    try:
        path = weights.published(ResNet18_Weights.IMAGENET1K_V1.url, IMAGENET_SHA256, "DIPDDPM_RESNET18")
    except DataError as error:  # random weights are a way on, and it is said; but not where the user named a file
        if os.environ.get("DIPDDPM_RESNET18"):
            raise
        return f"random weights: {error}"
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    if inputs == 1:  # a grey image is three equal channels
        state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
    module.encoder.load_state_dict(state)
    return "ImageNet weights (torchvision IMAGENET1K_V1) in the encoder, random ones in the decoder"
