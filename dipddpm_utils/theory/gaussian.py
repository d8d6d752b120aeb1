"""Closed forms for Gaussian data x_0 ~ N(mean, cov): the theory's checks. Pure NumPy, float64, no torch.

For such data the best possible denoiser is affine in x_t, every sampler's step is then affine too, and all of it commutes
with cov: in cov's eigenbasis a whole chain is one gain, one offset and one added variance per direction, known exactly.

Throughout: D is the dimension, mean is [D], cov is [D, D] symmetric positive semidefinite, alpha_bars is [T] (from
`schedule.Coefficients.alpha_bars`), alpha_bar is one of them, times is a falling list as from `sampling.timesteps`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Moments = tuple[Array, Array]  # a mean [D] and a covariance [D, D]
WIDEST = 0.5  # variance of the example's data where they vary most


def marginal(mean: Array, cov: Array, alpha_bar: float) -> Moments:
    """Mean and covariance of q(x_t): sqrt(alpha_bar) mean, alpha_bar cov + (1 - alpha_bar) I."""
    return math.sqrt(alpha_bar) * mean, alpha_bar * cov + (1 - alpha_bar) * np.eye(len(mean))


def optimal_in_basis(mean: Array, cov: Array) -> tuple[Array, Callable[[float], Array]]:
    """The affine map that minimises the squared error of x0_hat, (4) of notebook 01, linear regression, in cov's eigenbasis.

    The basis [D, D] (columns), and alpha_bar -> [2, D]: gain and offset with E[x_0 | x_t] = gain x_t + offset along each of its
    directions, where the inverse in (4) is a division by alpha_bar times the eigenvalue plus 1 - alpha_bar.
    """
    eigenvalues, basis = np.linalg.eigh(cov)
    eigenvalues, centre = np.clip(eigenvalues, 0, None), basis.T @ mean

    def lift(alpha_bar: float) -> Array:
        gain = math.sqrt(alpha_bar) * eigenvalues / (alpha_bar * eigenvalues + 1 - alpha_bar)
        return np.stack([gain, centre * (1 - math.sqrt(alpha_bar) * gain)])

    return basis, lift


def optimal_eps_error(cov: Array, alpha_bar: float) -> float:
    """The least mean squared error of eps_hat per dimension: what a perfect network's loss is at this noise level.

    trace(alpha_bar cov (alpha_bar cov + (1 - alpha_bar) I)^-1) / D. It is not 0: x_t does not reveal its noise.
    """
    signal = alpha_bar * np.clip(np.linalg.eigvalsh(cov), 0, None)
    return float(np.mean(signal / (signal + 1 - alpha_bar)))


def optimal_model(mean: Array, cov: Array, alpha_bars: Sequence[float], objective: str = "eps") -> Callable[[Any, Any], Any]:
    """The best denoiser as a model(x_t, t) that the samplers and the loss accept, predicting "eps", "x0" or "v".

    x_t is a torch float tensor [B, ...] with D values an item, and t a tensor [B] of one repeated value, as samplers pass it.
    """
    if objective not in ("eps", "x0", "v"):
        raise ValueError(f"objective is {objective!r}, expected 'eps', 'x0' or 'v'")
    basis, lift = optimal_in_basis(mean, cov)

    def model(x_t: Any, t: Any) -> Any:
        if (t != t[0]).any():
            raise ValueError("t holds different values, expected one for the whole batch; call the model once for each")
        bar = alpha_bars[int(t[0])]
        gain, offset = lift(bar)
        x = x_t.flatten(1)
        x0 = x @ x.new_tensor(basis * gain @ basis.T) + x.new_tensor(basis @ offset)
        if objective == "x0":
            return x0.view_as(x_t)
        eps = (x - math.sqrt(bar) * x0) / math.sqrt(1 - bar)
        return (eps if objective == "eps" else math.sqrt(bar) * eps - math.sqrt(1 - bar) * x0).view_as(x_t)

    return model


# --- whole chains -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Chain:
    """A whole chain as an affine map with noise, per direction of `basis` (columns, cov's eigenvectors).

    x_0 = basis (gain * basis^T x_t + offset + N(0, diag(noise))).
    """

    basis: Array  # [D, D]
    gain: Array  # [D]
    offset: Array  # [D]
    noise: Array  # [D], variances

    def apply(self, mean: Array, cov: Array) -> Moments:
        """Exact mean and covariance of the chain's output for a start x_t ~ N(mean, cov), cov any covariance."""
        linear = self.basis * self.gain @ self.basis.T
        return linear @ mean + self.basis @ self.offset, linear @ cov @ linear.T + self.basis * self.noise @ self.basis.T


def ddim_chain(mean: Array, cov: Array, alpha_bars: Sequence[float], times: Sequence[int], eta: float = 0.0) -> Chain:
    """DDIM with the optimal denoiser, (4) of notebook 01, from times[0] to x_0; eta in [0, 1]."""

    def step(x0: Array, bar_t: float, bar_s: float) -> tuple[Array, Array, float]:
        sigma2 = eta**2 * (1 - bar_s) * (1 - bar_t / bar_s) / (1 - bar_t)
        # eps_hat = (x_t - sqrt(bar_t) x0_hat) / sqrt(1 - bar_t)
        x_weight = math.sqrt(max(1 - bar_s - sigma2, 0.0) / (1 - bar_t))
        x0_weight = math.sqrt(bar_s) - x_weight * math.sqrt(bar_t)
        return x_weight + x0_weight * x0[0], x0_weight * x0[1], sigma2

    return _compose(mean, cov, alpha_bars, times, step)


# --- what a start nearer the data can gain ----------------------------------------------------------------------------


def kl(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array) -> float:
    """KL(N(mean_p, cov_p) || N(mean_q, cov_q)) in nats; both covariances positive definite (LinAlgError otherwise)."""
    root_p, root_q = np.linalg.cholesky(cov_p), np.linalg.cholesky(cov_q)
    ratio = np.linalg.solve(root_q, root_p)
    shift = np.linalg.solve(root_q, mean_q - mean_p)
    log_det = 2 * np.log(np.diag(root_q) / np.diag(root_p)).sum()
    return max(0.0, float(0.5 * ((ratio**2).sum() - len(mean_p) + shift @ shift + log_det)))


def most_variation(kl: float) -> float:
    """A bound on the outputs' total variation distance, in [0, 1], by the KL of the starts' x_t in nats.

    By data processing no reverse chain can raise the KL, so it bounds that of the outputs too. The lesser of Pinsker's
    sqrt(kl / 2) and Bretagnolle and Huber's sqrt(1 - exp(-kl)).
    """
    return min(math.sqrt(kl / 2), math.sqrt(-math.expm1(-kl)))


def start_mismatch(mean: Array, cov: Array, start_mean: Array, start_cov: Array, alpha_bar: float) -> float:
    """KL(start's x_t || q(x_t)) in nats, where x_start ~ N(start_mean, start_cov) is noised as x_0 is.

    With equal covariances kl = alpha_bar / 2 * d^T (alpha_bar cov + (1 - alpha_bar) I)^-1 d for d = start_mean - mean, (9) of
    notebook 01: at a late t noise hides any error of the start, at an early t little is undone. alpha_bar must be below 1.
    """
    return kl(*marginal(start_mean, start_cov, alpha_bar), *marginal(mean, cov, alpha_bar))


def paired_mismatch(moved: float, alpha_bar: float) -> float:
    """(9a) of notebook 01, for any data where starts and images come in pairs: kl <= alpha_bar / (2 (1 - alpha_bar)) moved.

    moved: mean of |x_start - x_0|^2 over the pairs, summed over pixels of images in [-1, 1]. Given its pair each x_t is
    Gaussian with covariance (1 - alpha_bar) I, and KL is jointly convex (Cover & Thomas 2006, theorem 2.7.2), so the KL of the
    mixtures is at most the mean KL of the pairs.
    """
    return alpha_bar / (2 * (1 - alpha_bar)) * moved


def total_variation_equal_cov(mean_p: Array, mean_q: Array, cov: Array) -> float:
    """Exact total variation distance of two Gaussians with one covariance: erf(d / sqrt(8)), d the Mahalanobis distance."""
    shift = mean_p - mean_q
    return math.erf(math.sqrt(shift @ np.linalg.solve(cov, shift) / 8))


@dataclass(frozen=True)
class Cost:
    """Seconds of two ways to make images, (10) of notebook 01: a whole chain, or a prior and then the chain from t_start.

    prior_seconds: once (fitting the DIP). prior_seconds_per_image: per image (applying or fitting it). chain_seconds: the
    whole chain, per image. fraction: the chain's share that is still run, (t_start + 1) / T.
    """

    prior_seconds: float
    prior_seconds_per_image: float
    chain_seconds: float
    t_start: int
    T: int

    @property
    def fraction(self) -> float:
        return (self.t_start + 1) / self.T

    def whole_chain(self, n: float) -> float:
        """Seconds for n images from noise."""
        return n * self.chain_seconds

    def from_prior(self, n: float) -> float:
        """Seconds for n images: the prior once, its share per image, and the rest of the chain."""
        return self.prior_seconds + n * (self.prior_seconds_per_image + self.fraction * self.chain_seconds)

    @property
    def break_even_images(self) -> float:
        """(11) of notebook 01, the images beyond which the prior saves time: infinite if it saves nothing per image."""
        saved = (1 - self.fraction) * self.chain_seconds - self.prior_seconds_per_image
        return self.prior_seconds / saved if saved > 0 else math.inf


# --- details ----------------------------------------------------------------------------------------------------------

# (x0 gain and offset as functions of x_t, alpha_bar_t, alpha_bar_s) -> gain [D], offset [D] and added variance
_Step = Callable[[Array, float, float], tuple[Array, Array, float]]


def _compose(mean: Array, cov: Array, alpha_bars: Sequence[float], times: Sequence[int], step: _Step) -> Chain:
    basis, lift = optimal_in_basis(mean, cov)
    gain, offset, noise = np.ones(len(basis)), np.zeros(len(basis)), np.zeros(len(basis))
    for t, s in zip(times, [*times[1:], -1], strict=True):
        x0 = lift(alpha_bars[t])
        # the last step returns x0_hat and adds no noise; the general step would divide by 1 - alpha_bar_s = 0
        g, o, added = (x0[0], x0[1], 0.0) if s < 0 else step(x0, alpha_bars[t], alpha_bars[s])
        gain, offset, noise = g * gain, g * offset + o, g**2 * noise + added
    return Chain(basis, gain, offset, noise)
