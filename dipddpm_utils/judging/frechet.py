"""The Frechet distance between two Gaussians, in float64, by symmetric eigendecompositions.

pytorch-fid takes the square root of the unsymmetric product cov1 @ cov2, which is slow and whose SciPy call was removed in
SciPy 1.18. Its trace is also that of the square root of the symmetric matrix root2.T @ cov1 @ root2, for any root2 with
root2 @ root2.T = cov2.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dipddpm_utils.judging.stats import Interval


class Moments:
    """Mean and covariance of features that come in pieces, merged without cancellation (Chan et al. 1983)."""

    def __init__(self) -> None:
        self.n, self.mean, self.scatter = 0, torch.zeros(()), torch.zeros(())

    def update(self, features: Tensor | np.ndarray) -> Moments:
        """Add features [n, D]; returns itself."""
        features = _float64(features)
        if features.ndim != 2:
            raise ValueError(f"features have shape {tuple(features.shape)}; expected [n, D]")
        n = len(features)
        if n == 0:
            return self
        mean = features.mean(0)
        centred = features - mean
        if self.n == 0:
            self.mean, self.scatter = torch.zeros_like(mean), features.new_zeros(len(mean), len(mean))
        shift, total = mean - self.mean, self.n + n
        self.scatter = self.scatter + centred.T @ centred + torch.outer(shift, shift) * (self.n * n / total)
        self.mean = self.mean + shift * (n / total)
        self.n = total
        return self

    def mean_cov(self) -> tuple[Tensor, Tensor]:
        """(mean [D], covariance [D, D] with n - 1 below), float64. ValueError with fewer than two images."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 images, got {self.n}")
        return self.mean, self.scatter / (self.n - 1)


def mean_cov(features: Tensor | np.ndarray) -> tuple[Tensor, Tensor]:
    """(mean [D], covariance [D, D]) of features [n, D] in float64, as np.mean and np.cov(rowvar=False) give them."""
    return Moments().update(features).mean_cov()


def symmetric_root(cov: Tensor | np.ndarray) -> Tensor:
    """The positive semidefinite square root of a covariance [D, D]; eigenvalues below zero by rounding count as zero."""
    values, vectors = torch.linalg.eigh(_float64(cov))
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_distance(
    mu1: Tensor | np.ndarray,
    cov1: Tensor | np.ndarray,
    mu2: Tensor | np.ndarray,
    cov2: Tensor | np.ndarray,
    *,
    root2: Tensor | None = None,
) -> float:
    """|mu1 - mu2|^2 + tr(cov1 + cov2 - 2 (cov1 cov2)^(1/2)) (Heusel et al. 2017, eq. 6): the squared Wasserstein-2 distance.

    Means [D], covariances [D, D]. `root2` = factor(cov2) or symmetric_root(cov2) saves the first of two decompositions where a
    reference is used again. Raises ValueError naming the argument for wrong shapes or values that are not finite.
    """
    mu1, cov1, mu2, cov2 = (_float64(value) for value in (mu1, cov1, mu2, cov2))
    d = mu1.shape[-1]
    for name, value, shape in (("mu1", mu1, (d,)), ("cov1", cov1, (d, d)), ("mu2", mu2, (d,)), ("cov2", cov2, (d, d))):
        if tuple(value.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; expected {shape}, from mu1")
        if not torch.isfinite(value.sum()):  # one bad value makes the sum bad, at a tenth of the time of looking at each
            raise ValueError(f"{name} holds values that are not finite: look at the images it was made from")
    root = factor(cov2) if root2 is None else root2
    cross = _eigenvalues(_between(cov1, root)).clamp(min=0).sqrt().sum()
    distance = (mu1 - mu2).square().sum() + cov1.trace() + cov2.trace() - 2 * cross
    return max(0.0, distance.item())


def frechet_interval(
    features: Tensor | np.ndarray,
    mu2: Tensor,
    cov2: Tensor,
    *,
    rng: np.random.Generator,
    root2: Tensor | None = None,
    n_resamples: int = 200,
) -> Interval:
    """Distance of features [n, D] from a fixed Gaussian, with a 95% bootstrap interval over the n images.

    The distance of a resample is larger than that of its sample by about as much as a sample's is larger than the
    population's, so quantiles are taken about the resamples' own mean: the interval is for this distance *at this n*,
    comparable with the real-vs-real floor at the same n, and not for the limit of many images.
    """
    features = _float64(features)
    root2 = symmetric_root(cov2) if root2 is None else root2
    value, n = frechet_distance(*mean_cov(features), mu2, cov2, root2=root2), len(features)
    draws = np.empty(n_resamples)
    for i in range(n_resamples):
        counts = torch.from_numpy(rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64)).to(features.device)
        mean = counts @ features / n
        cov = ((features * counts[:, None]).T @ features - n * torch.outer(mean, mean)) / (n - 1)
        draws[i] = frechet_distance(mean, cov, mu2, cov2, root2=root2)
    low, high = (np.quantile(draws, [0.025, 0.975]) - draws.mean()).tolist()
    return Interval(max(0.0, value - high), value, value - low, n)


def factor(cov: Tensor) -> Tensor:
    """An F with F F^T = cov [D, D]: Cholesky's, lower triangular and the cheapest, or the symmetric root if cov is singular.

    Any such F gives the same eigenvalues of F^T cov1 F.
    """
    lower, failed = torch.linalg.cholesky_ex(_float64(cov))
    return symmetric_root(cov) if failed else lower


def _between(cov1: Tensor, root: Tensor) -> Tensor:
    """root^T cov1 root, of which the lower triangle counts; for a triangular root LAPACK's sygst does a third of the work."""
    if root.device.type == "cpu" and _is_lower(root):
        from scipy.linalg import lapack

        inner, _ = lapack.dsygst(cov1.numpy().T, root.numpy(), itype=2, lower=1)  # it wants columns; cov1 is symmetric
        return torch.from_numpy(inner)
    inner = root.T @ cov1 @ root
    return (inner + inner.T) / 2


def _is_lower(root: Tensor, part: int = 256) -> bool:
    """Whether all above the diagonal is zero; in parts, so that most of a root that is not lower is never looked at."""
    for i in range(0, len(root), part):
        rows = root[i : i + part]
        if rows[:, i + part :].any() or rows[:, i : i + part].triu(1).any():
            return False
    return True


def _eigenvalues(symmetric: Tensor) -> Tensor:
    """Of a matrix whose lower triangle counts, and which is overwritten. On a CPU SciPy takes two thirds of torch's time."""
    if symmetric.device.type != "cpu":
        return torch.linalg.eigvalsh(symmetric)
    from scipy.linalg import eigvalsh

    return torch.from_numpy(eigvalsh(symmetric.numpy(), driver="evd", overwrite_a=True, check_finite=False))


def _float64(value: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(value).to(torch.float64)
