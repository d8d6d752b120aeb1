"""Scores by which rules stop a fit to y = x + std n, n ~ N(0, I), and the choices among them; no image sees another.

f_i is the output at iteration i = 1, 2, ... Only y is ever given noise; x is used by the oracle alone, and to judge.
"""

import math
from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dipddpm_utils.ddpm import process
from dipddpm_utils.ddpm.schedule import Coefficients
from dipddpm_utils.machine import streams

Array = NDArray[Any]

# --- choices among scores ---------------------------------------------------------------------------------------------


def lowest(scores: Array, patience: int) -> tuple[Array, Array]:
    """(step, known), both int64 [N], of scores [I, N]: the iteration with the lowest score, and when it was known.

    It is final, and later scores do not count, once `patience` iterations brought none lower; known is 0 if that never came.
    Infinite scores (a window that is not full) are no scores.
    """
    if patience < 1:
        raise ValueError(f"patience is {patience}, expected at least 1 iteration")
    iteration, so_far = np.arange(1, len(scores) + 1)[:, None], np.minimum.accumulate(scores)
    before = np.concatenate([np.full_like(scores[:1], np.inf), so_far[:-1]])
    at = np.maximum.accumulate(np.where(scores < before, iteration, 0))  # of the lowest score so far
    known = _first((at > 0) & (iteration - at >= patience))
    step = at[known - 1, np.arange(scores.shape[1])]  # known is 0: the last row
    return np.maximum(step, 1), known


def below(scores: Array, limit: float) -> tuple[Array, Array]:
    """The same of the first iteration with a score at or below `limit` (Morozov's discrepancy principle), else the last one."""
    known = _first(scores <= limit)
    return np.where(known > 0, known, len(scores)), known


def _first(met: NDArray[np.bool_]) -> Array:
    """The first iteration, counted from 1, at which a column of [I, N] is true; 0 where none is."""
    return np.where(met.any(0), met.argmax(0) + 1, 0)


# --- scores -----------------------------------------------------------------------------------------------------------


def mean_square(outputs: Tensor, reference: Tensor | float) -> Tensor:
    """mean over pixels of (f - reference)^2: [N, ...] -> [N]."""
    return (outputs - reference).square().flatten(1).mean(1)


class WindowVariance:
    """ES-WMV (Wang et al. 2023, arXiv 2112.06074, algorithm 1): variance of the last W outputs, per pixel,

        VAR_i = 1/W sum_{j = i-W+1..i} mean (f_j - m_i)^2,    m_i = 1/W sum_{j = i-W+1..i} f_j.

    While the image is learnt the outputs move less and less; learning the noise moves them again. The paper sums over
    pixels, which changes no minimum. Infinite until W outputs were seen.
    """

    def __init__(self, window: int) -> None:
        if window < 2:
            raise ValueError(f"window is {window}, expected at least 2 outputs: one has no variance")
        self.window = window
        self.outputs: deque[Tensor] = deque()
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def score(self, outputs: Tensor) -> Tensor:
        """Take the outputs [N, ...] of one iteration, give the scores [N]. Costs the same for every W: running sums."""
        new = outputs.to(torch.float64)  # sums of squares cancel: what is left needs more digits than float32 has
        old = self.outputs.popleft() if len(self.outputs) == self.window else torch.zeros_like(new)
        self.outputs.append(new)
        self.total = self.total + new - old
        self.squares = self.squares + (new.square() - old.square()).flatten(1).mean(1)
        if len(self.outputs) < self.window:
            return torch.full((len(new),), math.inf, dtype=torch.float64)
        return self.squares / self.window - (self.total / self.window).square().flatten(1).mean(1)


class ExponentialVariance:
    """ES-EMV (Wang et al. 2023, algorithm 2): the same with exponential forgetting, which keeps one image and not W,

        EMV_i = (1 - a) (EMV_{i-1} + a mean (f_i - EMA_{i-1})^2),    EMA_i = (1 - a) EMA_{i-1} + a f_i.

    from EMA_0 = 0, EMV_0 = 0. Infinite before the 1/a-th output, while the start at 0 weighs on it most.
    """

    def __init__(self, alpha: float) -> None:
        if not 0 < alpha < 1:
            raise ValueError(f"alpha is {alpha}, expected above 0 and below 1; it is the weight of the newest output")
        self.alpha, self.seen = alpha, 0
        self.mean: Tensor | float = 0.0
        self.variance: Tensor | float = 0.0

    def score(self, outputs: Tensor) -> Tensor:
        """Take the outputs [N, ...] of one iteration, give the scores [N]."""
        new = outputs.to(torch.float64)
        self.variance = (1 - self.alpha) * (self.variance + self.alpha * mean_square(new, self.mean))
        self.mean = self.mean + self.alpha * (new - self.mean)
        self.seen += 1
        return self.variance if self.seen >= 1 / self.alpha else torch.full_like(self.variance, math.inf)


# --- two noisy halves -------------------------------------------------------------------------------------------------


def halves(y: Tensor, std: float, tau: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two copies of y whose noises are independent (Pang et al. 2021, "Recorrupted-to-Recorrupted"):

        y1 = y + tau std m,    y2 = y - std m / tau,    m ~ N(0, I).

    Covariance of the noises: std^2 - tau std * std / tau = 0, and being Gaussian they are independent; variances
    std^2 (1 + tau^2) and std^2 (1 + 1 / tau^2). So for f fitted to y1, E mean (f - y2)^2 = E mean (f - x)^2 + a constant:
    y2 judges f without bias. Held-out pixels would too, but a net that never saw them has to guess them. Sound for additive
    Gaussian noise of known std only: no clipping.
    """
    if std <= 0 or tau <= 0:
        raise ValueError(f"std, tau are {std}, {tau}, expected above 0")
    m = streams.normal(y, generator)
    return y + tau * std * m, y - std / tau * m


# --- staged noise levels, as a DDPM has them --------------------------------------------------------------------------


def levels(spacing: str, stages: int, high: float, low: float) -> list[float]:
    """Noise levels from `high` down to `low`, one a stage, images in [0, 1]: evenly spaced ("linear"), with a cosine's slow
    ends ("cosine"), or by a constant factor ("log").
    """
    if spacing not in ("linear", "cosine", "log") or stages < 2 or not 0 < low < high:
        said = f"spacing, stages, low, high are {spacing!r}, {stages}, {low}, {high}"
        raise ValueError(f"{said}, expected 'linear', 'cosine' or 'log', at least 2, and 0 < low < high")
    done = [k / (stages - 1) for k in range(stages)]
    if spacing == "log":
        return [high * (low / high) ** u for u in done]
    shares = done if spacing == "linear" else [(1 - math.cos(math.pi * u)) / 2 for u in done]
    return [high + (low - high) * u for u in shares]


def nearest_t(coefs: Coefficients, level: float) -> int:
    """The DDPM's step whose noise is nearest to `level`, by the logarithm, for images in [0, 1].

    q(x_t | x) / sqrt(alpha_bar) is x + sqrt(1 / alpha_bar - 1) eps for x in [-1, 1], so the level in [0, 1] is half of it.
    """
    gaps = [abs(math.log(math.sqrt(1 / bar - 1) / 2 / level)) for bar in coefs.alpha_bars]
    return gaps.index(min(gaps))


class Stages:
    """The targets y_k in (1) of notebook 05: a DDPM's noise levels, high to low, supervise a fit, for iterations / K each,

        min over w of mean (f_w(z) - y_k)^2,    y_k = (diffuse(2 y - 1, t_k) / sqrt(alpha_bar_k) + 1) / 2.

    The net stands for x0_hat. Were the noise new at every iteration, 4 alpha_bar / (1 - alpha_bar) times this would be, in the
    mean, the DDPM's loss of eps at t_k plus a constant; it is drawn once a stage, so f can fit it. Loud noise hides that of y,
    so early stages teach the image's large parts only. As the levels fall f comes nearer to y, and the fit stops at the
    iteration whose residual is what the noise of y explains,

        i* = min { i : mean (f_i - y)^2 <= std^2 },    k* = the stage of i*.

    y [N, C, H, W]: the observed images, nominally in [0, 1]; noise is added to them only.
    """

    def __init__(self, y: Tensor, coefs: Coefficients, times: list[int], iterations: int, generator: torch.Generator) -> None:
        self.y, self.coefs, self.times, self.iterations, self.generator = y, coefs, times, iterations, generator
        self.at, self.current = -1, y

    def stage(self, iteration: int) -> int:
        """The stage, 0..K-1, of an iteration 1..iterations."""
        return min((iteration - 1) * len(self.times) // self.iterations, len(self.times) - 1)

    def target(self, iteration: int) -> Tensor:
        """The target at an iteration; to be asked for in order, since each stage draws its noise once."""
        while self.at < self.stage(iteration):
            self.at += 1
            t = self.times[self.at]
            x_t = process.diffuse(self.coefs, 2 * self.y - 1, t, streams.normal(self.y, self.generator))
            self.current = (x_t / math.sqrt(self.coefs.alpha_bar(t)) + 1) / 2
        return self.current
