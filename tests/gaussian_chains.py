"""More closed forms on Gaussian data, for the tests of samplers and theory (see theory/gaussian.py)."""

import math

import numpy as np

from dipddpm_utils.theory.gaussian import Chain, _compose, marginal, optimal_in_basis


def optimal_x0(mean, cov, alpha_bar):
    """(A [D, D], b [D]) with E[x_0 | x_t] = A x_t + b, by the matrices of (4) in notebook 01 as they stand there."""
    gain = math.sqrt(alpha_bar) * np.linalg.solve(marginal(mean, cov, alpha_bar)[1], cov).T
    return gain, mean - math.sqrt(alpha_bar) * gain @ mean


def ancestral_chain(mean, cov, alpha_bars, times, variance="fixed_small"):
    """The ancestral sampler with the optimal denoiser, from times[0] to x_0. variance: "fixed_small" or "fixed_large".

    The step is Bayes' rule: x_s given x_t and x_0 has precision 1 / (1 - alpha_bar_s) + alpha / beta, alpha = 1 - beta.
    """

    def step(x0, bar_t, bar_s):
        alpha = bar_t / bar_s
        beta = 1 - alpha
        posterior = 1 / (1 / (1 - bar_s) + alpha / beta)
        x_weight, x0_weight = posterior * math.sqrt(alpha) / beta, posterior * math.sqrt(bar_s) / (1 - bar_s)
        return x_weight + x0_weight * x0[0], x0_weight * x0[1], beta if variance == "fixed_large" else posterior

    return _compose(mean, cov, alpha_bars, times, step)


def dpmpp_2m_chain(mean, cov, alpha_bars, times):
    """DPM-Solver++(2M) with the optimal denoiser, from times[0] to x_0: x and the x0_hat before it, both affine in x_t."""
    basis, lift = optimal_in_basis(mean, cov)
    dimension = len(basis)
    x = np.stack([np.ones(dimension), np.zeros(dimension)])  # rows: gain and offset, as functions of the start
    x0_before, lam_before = None, math.nan
    for t, s in zip(times, [*times[1:], -1], strict=True):
        gain, offset = lift(alpha_bars[t])
        x0 = np.stack([gain * x[0], gain * x[1] + offset])
        if s < 0:
            break
        lam, lam_next = (0.5 * math.log(alpha_bars[i] / (1 - alpha_bars[i])) for i in (t, s))
        slope = 0.0 if x0_before is None else (x0 - x0_before) / (lam - lam_before)
        target = x0 + slope * (lam_next - lam) / 2  # x0_hat, extrapolated along lambda to the middle of the step
        shrink = math.sqrt((1 - alpha_bars[s]) / (1 - alpha_bars[t]))
        x0_before, lam_before = x0, lam
        x = shrink * x + (math.sqrt(alpha_bars[s]) - shrink * math.sqrt(alpha_bars[t])) * target
    return Chain(basis, x0[0], x0[1], np.zeros(dimension))  # the last step returns x0_hat
