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
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Moments = tuple[Array, Array]  # a mean [D] and a covariance [D, D]


def marginal(mean: ArrayLike, cov: ArrayLike, alpha_bar: float) -> Moments:
    """Mean and covariance of q(x_t): sqrt(alpha_bar) mean, alpha_bar cov + (1 - alpha_bar) I."""
    mean, cov = _moments(mean, cov)
    return math.sqrt(alpha_bar) * mean, alpha_bar * cov + (1 - alpha_bar) * np.eye(len(mean))


def optimal_x0(mean: ArrayLike, cov: ArrayLike, alpha_bar: float) -> tuple[Array, Array]:
    """(A [D, D], b [D]) with E[x_0 | x_t] = A x_t + b: the affine map that minimises the squared error of x0_hat.

    (4) of notebook 01, linear regression: A = sqrt(alpha_bar) cov (alpha_bar cov + (1 - alpha_bar) I)^-1,
    b = mean - sqrt(alpha_bar) A mean.
    """
    mean, cov = _moments(mean, cov)
    _, cov_t = marginal(mean, cov, alpha_bar)
    gain = math.sqrt(alpha_bar) * np.linalg.solve(cov_t, cov).T
    return gain, mean - math.sqrt(alpha_bar) * gain @ mean


def optimal_eps_error(cov: ArrayLike, alpha_bar: float) -> float:
    """The least mean squared error of eps_hat per dimension: what a perfect network's loss is at this noise level.

    trace(alpha_bar cov (alpha_bar cov + (1 - alpha_bar) I)^-1) / D. It is not 0: x_t does not reveal its noise.
    """
    signal = alpha_bar * np.clip(np.linalg.eigvalsh(np.asarray(cov, dtype=np.float64)), 0, None)
    return float(np.mean(signal / (signal + 1 - alpha_bar)))


def optimal_model(
    mean: ArrayLike, cov: ArrayLike, alpha_bars: Sequence[float], objective: str = "eps"
) -> Callable[[Any, Any], Any]:
    """The best denoiser as a model(x_t, t) that the samplers and the loss accept.

    x_t is a torch float tensor [B, ...] with D values an item, and t a tensor [B] of one repeated value, as samplers pass
    it (ValueError otherwise). Predicts "eps", "x0" or "v".
    """
    if objective not in ("eps", "x0", "v"):
        raise ValueError(f"objective is {objective!r}, expected 'eps', 'x0' or 'v'")
    basis, lift = _in_basis(mean, cov)

    def model(x_t: Any, t: Any) -> Any:
        step = int(t[0])
        if not bool((t == step).all()):
            raise ValueError("t holds different values, expected one for the whole batch; call the model once for each")
        bar = alpha_bars[step]
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

    def apply(self, mean: ArrayLike, cov: ArrayLike) -> Moments:
        """Exact mean and covariance of the chain's output for a start x_t ~ N(mean, cov), cov any covariance."""
        mean, cov = _moments(mean, cov)
        linear = self.basis * self.gain @ self.basis.T
        return linear @ mean + self.basis @ self.offset, linear @ cov @ linear.T + self.basis * self.noise @ self.basis.T


def ancestral_chain(
    mean: ArrayLike, cov: ArrayLike, alpha_bars: Sequence[float], times: Sequence[int], variance: str = "fixed_small"
) -> Chain:
    """The ancestral sampler with the optimal denoiser, from times[0] to x_0. `variance`: "fixed_small", "fixed_large", "exact".

    The step is Bayes' rule: x_s given x_t and x_0 has precision 1 / (1 - alpha_bar_s) + alpha / beta, alpha = 1 - beta. "exact"
    adds what the others leave out, that x_0 is not known from x_t: x0_weight^2 Var[x_0 | x_t]. Such a chain loses nothing.
    """
    if variance not in ("fixed_small", "fixed_large", "exact"):
        raise ValueError(f"variance is {variance!r}, expected 'fixed_small', 'fixed_large' or 'exact'")
    spread = np.clip(np.linalg.eigvalsh(_moments(mean, cov)[1]), 0, None)

    def step(x0: Array, bar_t: float, bar_s: float) -> tuple[Array, Array, Array]:
        alpha = bar_t / bar_s
        beta = 1 - alpha
        posterior = 1 / (1 / (1 - bar_s) + alpha / beta)
        x_weight, x0_weight = posterior * math.sqrt(alpha) / beta, posterior * math.sqrt(bar_s) / (1 - bar_s)
        noise = np.full(len(spread), beta if variance == "fixed_large" else posterior)
        if variance == "exact":
            noise += x0_weight**2 * spread * (1 - bar_t) / (bar_t * spread + 1 - bar_t)
        return x_weight + x0_weight * x0[0], x0_weight * x0[1], noise

    return _compose(mean, cov, alpha_bars, times, step)


def ddim_chain(mean: ArrayLike, cov: ArrayLike, alpha_bars: Sequence[float], times: Sequence[int], eta: float = 0.0) -> Chain:
    """DDIM with the optimal denoiser, (4) of notebook 01, from times[0] to x_0; eta in [0, 1]."""

    def step(x0: Array, bar_t: float, bar_s: float) -> tuple[Array, Array, float]:
        sigma2 = eta**2 * (1 - bar_s) * (1 - bar_t / bar_s) / (1 - bar_t)
        # eps_hat = (x_t - sqrt(bar_t) x0_hat) / sqrt(1 - bar_t)
        x_weight = math.sqrt(max(1 - bar_s - sigma2, 0.0) / (1 - bar_t))
        x0_weight = math.sqrt(bar_s) - x_weight * math.sqrt(bar_t)
        return x_weight + x0_weight * x0[0], x0_weight * x0[1], sigma2

    return _compose(mean, cov, alpha_bars, times, step)


# --- what a start nearer the data can gain ----------------------------------------------------------------------------


def kl(mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike) -> float:
    """KL(N(mean_p, cov_p) || N(mean_q, cov_q)) in nats; both covariances positive definite (LinAlgError otherwise)."""
    mean_p, cov_p = _moments(mean_p, cov_p)
    mean_q, cov_q = _moments(mean_q, cov_q)
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


def start_mismatch(mean: ArrayLike, cov: ArrayLike, start_mean: ArrayLike, start_cov: ArrayLike, alpha_bar: float) -> float:
    """KL(start's x_t || q(x_t)) in nats, where x_start ~ N(start_mean, start_cov) is noised as x_0 is.

    With equal covariances kl = alpha_bar / 2 * d^T (alpha_bar cov + (1 - alpha_bar) I)^-1 d for d = start_mean - mean, (9) of
    notebook 01: at a late t noise hides any error of the start, at an early t little is undone. alpha_bar must be below 1.
    """
    return kl(*marginal(start_mean, start_cov, alpha_bar), *marginal(mean, cov, alpha_bar))


def paired_mismatch(moved: float, alpha_bar: float) -> float:
    """(9a) of notebook 01, for any data where starts and images come in pairs: kl <= alpha_bar / (2 (1 - alpha_bar)) moved.

    moved: mean of |x_start - x_0|^2 over the pairs, summed over pixels of images in [-1, 1]. Given its pair each x_t is
    Gaussian with covariance (1 - alpha_bar) I, and KL is jointly convex (Cover & Thomas 2006, theorem 2.7.2), so the KL of the
    mixtures is at most the mean KL of the pairs. ValueError if moved is negative or alpha_bar is not in [0, 1).
    """
    if not (moved >= 0 and 0 <= alpha_bar < 1):
        raise ValueError(f"moved, alpha_bar are {moved}, {alpha_bar}, expected at least 0, and 0 <= alpha_bar < 1")
    return alpha_bar / (2 * (1 - alpha_bar)) * moved


def total_variation_equal_cov(mean_p: ArrayLike, mean_q: ArrayLike, cov: ArrayLike) -> float:
    """Exact total variation distance of two Gaussians with one covariance: erf(d / sqrt(8)), d the Mahalanobis distance."""
    shift = np.asarray(mean_p, dtype=np.float64) - np.asarray(mean_q, dtype=np.float64)
    return math.erf(math.sqrt(shift @ np.linalg.solve(np.asarray(cov, dtype=np.float64), shift) / 8))


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
_Step = Callable[[Array, float, float], tuple[Array, Array, Array | float]]


def _compose(mean: ArrayLike, cov: ArrayLike, alpha_bars: Sequence[float], times: Sequence[int], step: _Step) -> Chain:
    basis, lift = _in_basis(mean, cov)
    if not times:
        raise ValueError("times is empty, expected at least one t, as from sampling.timesteps")
    gain, offset, noise = np.ones(len(basis)), np.zeros(len(basis)), np.zeros(len(basis))
    for t, s in zip(times, [*times[1:], -1], strict=True):
        x0 = lift(alpha_bars[t])
        # the last step returns x0_hat and adds no noise; the general step would divide by 1 - alpha_bar_s = 0
        g, o, added = (x0[0], x0[1], 0.0) if s < 0 else step(x0, alpha_bars[t], alpha_bars[s])
        gain, offset, noise = g * gain, g * offset + o, g**2 * noise + added
    return Chain(basis, gain, offset, noise)


def _in_basis(mean: ArrayLike, cov: ArrayLike) -> tuple[Array, Callable[[float], Array]]:
    """cov's eigenbasis, and the optimal denoiser in it: alpha_bar -> [2, D], gain and offset of x0_hat."""
    mean, cov = _moments(mean, cov)
    eigenvalues, basis = np.linalg.eigh(cov)
    eigenvalues, centre = np.clip(eigenvalues, 0, None), basis.T @ mean

    def lift(alpha_bar: float) -> Array:
        gain = math.sqrt(alpha_bar) * eigenvalues / (alpha_bar * eigenvalues + 1 - alpha_bar)
        return np.stack([gain, centre * (1 - math.sqrt(alpha_bar) * gain)])

    return basis, lift


def _moments(mean: ArrayLike, cov: ArrayLike) -> Moments:
    mean, cov = np.asarray(mean, dtype=np.float64), np.asarray(cov, dtype=np.float64)
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
        raise ValueError(f"cov has shape {list(cov.shape)} and mean {list(mean.shape)}, expected [D, D] and [D]")
    return mean, cov
