"""The Frechet distance between two Gaussians, in float64, by symmetric eigendecompositions.

pytorch-fid takes the square root of the unsymmetric product cov1 @ cov2, which is slow and whose SciPy call was removed in
SciPy 1.18. Its trace is also that of the square root of the symmetric matrix root2.T @ cov1 @ root2, for any root2 with
root2 @ root2.T = cov2.
"""

import math

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from dipddpm_utils.judging import stats
from dipddpm_utils.judging.stats import Interval

Array = Tensor | np.ndarray
EPSILON, TINY = torch.finfo(torch.float64).eps, torch.finfo(torch.float64).tiny


def mean_cov(features: Array) -> tuple[Tensor, Tensor]:
    """(mean [D], covariance [D, D]) of features [n, D] in float64, as np.mean and np.cov(rowvar=False) give them."""
    features = _float64(features)
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def symmetric_root(cov: Array) -> Tensor:
    """The positive semidefinite square root of a covariance [D, D]; eigenvalues below zero by rounding count as zero."""
    values, vectors = torch.linalg.eigh(_float64(cov))
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_distance(mu1: Array, cov1: Array, mu2: Array, cov2: Array, *, root2: Tensor | None = None) -> float:
    """|mu1 - mu2|^2 + tr(cov1 + cov2 - 2 (cov1 cov2)^(1/2)) (Heusel et al. 2017): (1) of notebook 03.

    Means [D], covariances [D, D]. `root2` = factor(cov2) or symmetric_root(cov2) saves the first of two decompositions where a
    reference is used again. ValueError if values are not finite, or of features of two widths.
    """
    mu1, cov1, mu2, cov2 = moments = [_float64(value) for value in (mu1, cov1, mu2, cov2)]
    if len(mu1) != len(mu2):
        raise ValueError(f"features have widths {len(mu1)} and {len(mu2)}; expected those of one feature space")
    if not all(value.sum().isfinite() for value in moments):  # one bad value makes the sum bad, at a tenth of the time
        raise ValueError("means or covariances hold values that are not finite: look at the images they were made from")
    root = factor(cov2) if root2 is None else root2
    cross = _eigenvalues_between(cov1, root).clamp(min=0).sqrt().sum()
    distance = (mu1 - mu2).square().sum() + cov1.trace() + cov2.trace() - 2 * cross
    return max(0.0, distance.item())


def frechet_interval(features: Array, mu2: Tensor, cov2: Tensor, *, root2: Tensor | None = None) -> Interval:
    """Distance of features [n, D] from a fixed Gaussian, with a 95% interval over the n images (infinitesimal jackknife).

    How much each image moves the distance is its derivative at the sample's own law (Efron 1982, ch. 6): with T the linear map
    that carries N(mu1, cov1) to N(mu2, cov2) (Takatsu 2011), 2 (mu1 - mu2).d + d (I - T) d less its mean, d = x - mu1. The
    interval is for this distance *at this n*, comparable with the real-vs-real floor at the same n, and not for the limit of
    many images.
    """
    features = _float64(features)
    root2, (mu1, cov1), n = symmetric_root(cov2) if root2 is None else root2, mean_cov(features), len(features)
    value = frechet_distance(mu1, cov1, mu2, cov2, root2=root2)
    squares, axes = torch.linalg.eigh(root2.T @ cov1 @ root2)
    scaled = root2 @ axes * squares.clamp(min=max(float(squares[-1]) * EPSILON, TINY)).pow(-0.25)  # T = scaled scaled^T
    d = features - mu1
    moves = 2 * d @ (mu1 - _float64(mu2)) + d.square().sum(1) - (d @ scaled).square().sum(1)
    half = stats.Z * float(moves.std()) / math.sqrt(n)
    return Interval(max(0.0, value - half), value, value + half, n)


def factor(cov: Tensor) -> Tensor:
    """An F with F F^T = cov [D, D]: Cholesky's, lower triangular and the cheapest, or the symmetric root if cov is singular.

    Any such F gives the same eigenvalues of F^T cov1 F.
    """
    lower, failed = torch.linalg.cholesky_ex(_float64(cov))
    return symmetric_root(cov) if failed else lower


def _eigenvalues_between(cov1: Tensor, root: Tensor) -> Tensor:
    """Of root^T cov1 root, by SciPy in two thirds of torch's time; for a lower root LAPACK's sygst does a third of the work."""
    if linalg.bandwidth(root.numpy())[1] == 0:
        inner, _ = linalg.lapack.dsygst(cov1.numpy().T, root.numpy(), itype=2, lower=1)  # it wants columns; cov1 is symmetric
    else:
        full = root.T @ cov1 @ root
        inner = ((full + full.T) / 2).numpy()
    return torch.from_numpy(linalg.eigvalsh(inner, driver="evd", overwrite_a=True, check_finite=False))


def _float64(value: Array) -> Tensor:
    """On the CPU, where the features of a space are, too."""
    return torch.as_tensor(value).to("cpu", torch.float64)
