"""What goes beside the Frechet distance: KID, precision and recall, the share of copies, PSNR and SSIM."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

BLUR = 1.5  # pixels, the standard deviation of the blur that stands for a DIP


def mmd2(a: Tensor, b: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy of features [.., n, D] and [.., m, D]; kernel (x.y / D + 1)^3 -> [..].

    Binkowski et al. 2018, sec. 3 (the kernel) and Gretton et al. 2012, eq. 3 (the estimate, which can be below zero).
    """
    n, m, d = a.shape[-2], b.shape[-2], a.shape[-1]

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.mT / d + 1) ** 3

    def off_diagonal_mean(k: Tensor, size: int) -> Tensor:
        return (k.sum((-2, -1)) - k.diagonal(dim1=-2, dim2=-1).sum(-1)) / (size * (size - 1))

    return off_diagonal_mean(kernel(a, a), n) + off_diagonal_mean(kernel(b, b), m) - 2 * kernel(a, b).mean((-2, -1))


def kid_blocks(a: Tensor, b: Tensor, *, blocks: int, rng: np.random.Generator) -> np.ndarray:
    """`mmd2` of `blocks` pairs of disjoint parts of features [n, D] and [m, D]: independent values, whose mean is the KID.

    ValueError: fewer than two images a block.
    """
    if (size := min(len(a), len(b)) // blocks) < 2:
        raise ValueError(f"KID of {blocks} blocks takes at least {2 * blocks} images of each kind, got {len(a)} and {len(b)}")
    a, b = (x.double()[rng.permutation(len(x))[: blocks * size]].unflatten(0, (blocks, size)) for x in (a, b))
    return mmd2(a, b).cpu().numpy()


def precision_recall(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """(precision, recall) of features [n, D] and [m, D] (Kynkaanniemi et al. 2019, eq. 1 and 2).

    Precision: share of fake images within a ball around a real one, the balls reaching each real image's third nearest real
    neighbour; recall: the same with real and fake exchanged. Use equal n and m: both depend on them.
    """

    def covered(points: Tensor, centres: Tensor) -> float:
        # of a centre the nearest one is itself, and so the fourth its third neighbour
        r = torch.cat([torch.cdist(part, centres).kthvalue(4, dim=1).values for part in centres.split(1000)])
        return torch.cat([(torch.cdist(part, centres) <= r).any(1) for part in points.split(1000)]).double().mean().item()

    real, fake = real.double(), fake.double()
    return covered(fake, real), covered(real, fake)


def nearest_rows(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(distance to the nearest row of b [m, D], which row that is) for each row of a [n, D]: float32 [n], int64 [n]."""
    a, b = a.float(), b.float()
    squares = b.square().sum(1)
    parts = [(squares - 2 * (part @ b.T)).min(1) for part in a.split(250)]
    distances = torch.cat([part.values for part in parts]) + a.square().sum(1)
    return distances.clamp(min=0).sqrt(), torch.cat([part.indices for part in parts])


def copied_share(distances: Tensor, held_out_distances: Tensor) -> tuple[float, float]:
    """(rate, floor) from distances to the nearest training image, of samples [n] and of held-out images [m].

    An image counts as copied if it is nearer than 99% of the held-out ones. The floor is that share among held-out images
    themselves, each half judged by the other half's quantile, so that chance is in it.
    """
    held_out = held_out_distances.double()

    def share(x: Tensor, judges: Tensor) -> float:
        return (x.double() < judges.quantile(0.01)).double().mean().item()

    halves = held_out[::2], held_out[1::2]
    return share(distances, held_out), (share(halves[0], halves[1]) + share(halves[1], halves[0])) / 2


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """10 log10(1 / mean squared error) in dB, per image in [0, 1]: [B,C,H,W] -> [B]. Equal images give infinity."""
    _check_pair(a, b)
    return -10 * (a - b).square().flatten(1).mean(1).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity per image in [0, 1]: [B,C,H,W] -> [B], at most 1 (Wang et al. 2004: Gaussian 11 x 11, sigma 1.5).

    Mean over channels and over the places where the window fits; K1 = 0.01, K2 = 0.03. ValueError if it fits nowhere.
    """
    _check_pair(a, b)
    if min(a.shape[-2:]) < 11:
        raise ValueError(f"images have {a.shape[-2]} x {a.shape[-1]} pixels, expected at least 11 x 11, the window")
    x = torch.arange(-5, 6, device=a.device, dtype=a.dtype)
    window = torch.exp(-x.square() / (2 * 1.5**2))
    window = window / window.sum()
    stack = torch.cat([a, b, a * a, b * b, a * b], 1).flatten(0, 1)[:, None]
    smooth = F.conv2d(F.conv2d(stack, window.view(1, 1, 1, 11)), window.view(1, 1, 11, 1))
    mu_a, mu_b, aa, bb, ab = smooth.view(len(a), 5, a.shape[1], *smooth.shape[-2:]).unbind(1)
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mu_a * mu_b + c1) * (2 * (ab - mu_a * mu_b) + c2)
    bottom = (mu_a**2 + mu_b**2 + c1) * (aa - mu_a**2 + bb - mu_b**2 + c2)
    return (top / bottom).flatten(1).mean(1)


def emphasis(images: Tensor, outputs: Tensor) -> float:
    """How much more outputs set strokes off than images do, both [N, C, H, W]: 0 equally, 0.1 a tenth more, -1 not at all.

    Mean of the outputs where images > 0.5 minus their mean elsewhere, over the same for the images, minus 1; all in
    [0, 1]. NaN if no pixel, or every one, is above 0.5.
    """
    images, outputs = images.cpu().double(), outputs.cpu().double()  # on the CPU, because MPS has no float64
    inside = images > 0.5

    def contrast(x: Tensor) -> Tensor:
        return x[inside].mean() - x[~inside].mean()

    return float(contrast(outputs) / contrast(images) - 1)


def _check_pair(a: Tensor, b: Tensor) -> None:
    """ValueError unless both are floats of one kind and shape [B,C,H,W]. Values are not read."""
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(f"a and b have shapes {tuple(a.shape)} and {tuple(b.shape)}; expected the same [B,C,H,W]")
    if a.dtype != b.dtype or not a.is_floating_point():
        raise ValueError(f"a is {a.dtype} and b is {b.dtype}; expected both the same floating point, see ranges.py")


def gaussian_blur(images: Tensor, std: float = BLUR) -> Tensor:
    """k * x: images [N, C, H, W], in any range, convolved with a Gaussian of `std` pixels (0: as they are).

    Borders are repeated outwards. What a DIP does, without a DIP.
    """
    if std == 0:
        return images.clone()
    reach = math.ceil(3 * std)
    offsets = torch.arange(-reach, reach + 1).to(images)
    kernel = torch.softmax(-(offsets**2) / (2 * std**2), 0)  # sums to 1: a flat image stays as it is
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1).expand(images.shape[1], -1, -1, -1), groups=images.shape[1])
    return F.conv2d(rows, kernel.view(1, 1, 1, -1).expand(images.shape[1], -1, -1, -1), groups=images.shape[1])


# --- how drawn digits look -------------------------------------------------------------------------------------------


def raggedness(images: NDArray[np.uint8]) -> float:
    """Outline over root of the area of the ink, mean over images [N, C, H, W]: 4 for a square, more for a ragged shape.

    Ink is what is brighter than midway between an image's darkest and brightest pixel, so that greyer digits are not taken for
    thinner ones. The outline counts the sides of pixels between ink and no ink. An image of one grey has no ink and is left
    out; NaN if all are.
    """
    grey = np.asarray(images).mean(axis=1, dtype=float)
    middle = (grey.min(axis=(1, 2)) + grey.max(axis=(1, 2))) / 2
    ink = np.pad(grey > middle[:, None, None], ((0, 0), (1, 1), (1, 1)))
    outline = (ink[:, 1:] != ink[:, :-1]).sum(axis=(1, 2)) + (ink[:, :, 1:] != ink[:, :, :-1]).sum(axis=(1, 2))
    area = ink.sum(axis=(1, 2))
    some = area > 0
    return float((outline[some] / np.sqrt(area[some])).mean()) if some.any() else math.nan


def contrast(images: NDArray[np.uint8]) -> float:
    """Standard deviation of the pixels of an image in [0, 1], mean over images uint8 [N, C, H, W]."""
    return float((np.asarray(images) / 255.0).std(axis=(1, 2, 3)).mean())
