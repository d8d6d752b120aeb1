"""Closed forms for Gaussian data: against other derivations of the same thing, in float64."""

import math

import gaussian_chains
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dipddpm_utils import config
from dipddpm_utils.ddpm.sampling import timesteps
from dipddpm_utils.ddpm.schedule import coefficients
from dipddpm_utils.theory import gaussian

BARS = coefficients(config.Diffusion(), torch.float64).alpha_bars
D = 4
CHAINS = (gaussian_chains.ancestral_chain, gaussian.ddim_chain, gaussian_chains.dpmpp_2m_chain)


def _data(seed=0, scale=0.4):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(D, D)) * scale
    return rng.normal(size=D) * scale, root @ root.T + 1e-3 * np.eye(D)


def test_optimal_denoiser_is_conditioning_the_joint_gaussian():
    """E[x0 | x_t] from the precision matrix of (x0, x_t), which the code does not use."""
    mean, cov = _data()
    for bar in (BARS[0], BARS[300], BARS[999]):
        noise = (1 - bar) * np.eye(D)
        joint = np.block([[cov, math.sqrt(bar) * cov], [math.sqrt(bar) * cov, bar * cov + noise]])
        precision = np.linalg.inv(joint)
        gain, offset = gaussian_chains.optimal_x0(mean, cov, bar)
        x_t = np.arange(D) - 1.0
        expected = mean - np.linalg.solve(precision[:D, :D], precision[:D, D:] @ (x_t - math.sqrt(bar) * mean))
        np.testing.assert_allclose(gain @ x_t + offset, expected, atol=1e-9)


@pytest.mark.parametrize("bar", [BARS[0], BARS[500], BARS[999]])
def test_models_predict_one_thing_in_three_ways(bar):
    mean, cov = _data()
    step = BARS.index(bar)
    x, t = torch.linspace(-2, 2, 2 * D, dtype=torch.float64).view(2, 1, 2, 2), torch.tensor([step, step])
    eps, x0, v = (gaussian.optimal_model(mean, cov, BARS, objective)(x, t) for objective in ("eps", "x0", "v"))
    gain, offset = gaussian_chains.optimal_x0(mean, cov, bar)
    np.testing.assert_allclose(x0.flatten(1), x.flatten(1).numpy() @ gain.T + offset, atol=1e-12)
    torch.testing.assert_close(math.sqrt(bar) * x0 + math.sqrt(1 - bar) * eps, x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(math.sqrt(bar) * x - math.sqrt(1 - bar) * v, x0, rtol=1e-12, atol=1e-12)
    assert gaussian.optimal_model(mean, cov, BARS)(x.float(), t).dtype == torch.float32


def test_optimal_error_is_the_residual_of_the_regression():
    _, cov = _data()
    for bar in (BARS[10], BARS[500]):
        _, cov_t = gaussian.marginal(np.zeros(D), cov, bar)
        explained = (1 - bar) * np.linalg.inv(cov_t)  # of eps by x_t
        assert gaussian.optimal_eps_error(cov, bar) == pytest.approx(1 - np.trace(explained) / D, rel=1e-10)


def test_chains_reach_the_data():
    """From the exact q(x_t), the ancestral chain's error falls with the step (first order), and so does DDIM's."""
    mean, cov = _data()
    for make in CHAINS:
        errors = []
        for steps in (50, 100, 1000):
            times = timesteps(1000, steps)
            out_mean, out_cov = make(mean, cov, BARS, times).apply(*gaussian.marginal(mean, cov, BARS[times[0]]))
            np.testing.assert_allclose(out_mean, mean, atol=1e-10)  # the mean is followed exactly, whatever the step
            errors.append(np.abs(out_cov - cov).max() / np.abs(cov).max())
        assert errors[0] > errors[1] > errors[2] and errors[2] < 0.01, (make, errors)


def test_eta_one_is_the_ancestral_chain_and_single_values_are_the_data():
    mean, cov = _data()
    times = timesteps(1000, 40, 620)
    one, other = gaussian.ddim_chain(mean, cov, BARS, times, eta=1.0), gaussian_chains.ancestral_chain(mean, cov, BARS, times)
    for field in ("gain", "offset", "noise"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), atol=1e-12)
    for make in CHAINS:  # data of variance 0 are a point
        out_mean, out_cov = make(mean, np.zeros((D, D)), BARS, times).apply(np.ones(D), np.eye(D))
        np.testing.assert_allclose(out_mean, mean, atol=1e-12)
        np.testing.assert_allclose(out_cov, 0, atol=1e-12)


def test_a_chain_is_its_steps_multiplied_out_in_full_matrices():
    """The eigenbasis and the composition, against D x D matrices stepped one by one from a start of any covariance."""
    mean, cov = _data()
    times, start = timesteps(1000, 25, 700), _data(seed=5, scale=1.0)
    m, c = start
    for t, s in zip(times, [*times[1:], -1], strict=True):
        bar_t, bar_s = BARS[t], BARS[s] if s >= 0 else 1.0
        gain, offset = gaussian_chains.optimal_x0(mean, cov, bar_t)
        beta = 1 - bar_t / bar_s
        a, b = math.sqrt(bar_s) * beta / (1 - bar_t), math.sqrt(1 - beta) * (1 - bar_s) / (1 - bar_t)
        linear = a * gain + b * np.eye(D)
        m, c = linear @ m + a * offset, linear @ c @ linear.T + beta * (1 - bar_s) / (1 - bar_t) * np.eye(D)
    out_mean, out_cov = gaussian.ddim_chain(mean, cov, BARS, times, eta=1.0).apply(*start)
    np.testing.assert_allclose(out_mean, m, atol=1e-10)
    np.testing.assert_allclose(out_cov, c, atol=1e-10)


def test_kl_equals_torchs_and_is_zero_only_for_equals():
    (m1, c1), (m2, c2) = _data(1), _data(2)
    ours = gaussian.kl(m1, c1, m2, c2)
    p, q = (torch.distributions.MultivariateNormal(torch.tensor(m), torch.tensor(c)) for m, c in ((m1, c1), (m2, c2)))
    assert ours == pytest.approx(torch.distributions.kl_divergence(p, q).item(), rel=1e-9)
    assert gaussian.kl(m1, c1, m1, c1) == pytest.approx(0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.floats(0, 3), st.floats(0.3, 3), st.sampled_from(CHAINS))
def test_no_chain_raises_the_mismatch_of_its_start(t, shift, stretch, make):
    """Data processing: the outputs of one chain, from the right start and from a wrong one, differ by less than the starts."""
    mean, cov = _data()
    start = mean + shift * np.sqrt(np.diag(cov)), stretch * cov
    mismatch = gaussian.start_mismatch(mean, cov, *start, BARS[t])
    chain = make(mean, cov, BARS, timesteps(1000, 50, t))
    wrong, right = (chain.apply(*gaussian.marginal(m, c, BARS[t])) for m, c in (start, (mean, cov)))
    assert gaussian.kl(*wrong, *right) <= mismatch * (1 + 1e-6) + 1e-6
    if stretch == 1:
        assert gaussian.total_variation_equal_cov(wrong[0], right[0], right[1]) <= gaussian.most_variation(mismatch) + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 5), st.integers(0, 999))
def test_the_bound_holds_for_a_shifted_mean_where_the_distance_is_known(shift, t):
    mean, cov = _data()
    start = mean + shift * np.linalg.eigh(cov)[1][:, -1]
    mismatch = gaussian.start_mismatch(mean, cov, start, cov, BARS[t])
    (right, cov_t), (wrong, _) = gaussian.marginal(mean, cov, BARS[t]), gaussian.marginal(start, cov, BARS[t])
    largest = np.linalg.eigvalsh(cov)[-1]
    assert mismatch == pytest.approx(BARS[t] / 2 * shift**2 / (BARS[t] * largest + 1 - BARS[t]), rel=1e-6, abs=1e-9)
    exact = gaussian.total_variation_equal_cov(wrong, right, cov_t)
    assert exact <= gaussian.most_variation(mismatch) + 1e-7 <= 1 + 1e-6
    normal = torch.distributions.Normal(0.0, 1.0)
    assert exact == pytest.approx(2 * normal.cdf(torch.tensor(math.sqrt(2 * mismatch) / 2)).item() - 1, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 5), st.integers(0, 999))  # less, and mean + shift is rounded
def test_the_bound_for_pairs_holds_without_a_gaussian_and_is_met_where_the_data_are_one_point(shift, t):
    mean, cov = _data()
    start = mean + shift
    bound = gaussian.paired_mismatch(len(mean) * shift**2, BARS[t])
    assert gaussian.start_mismatch(mean, cov, start, cov, BARS[t]) <= bound * (1 + 1e-9)
    point = gaussian.start_mismatch(mean, 0 * cov, start, 0 * cov, BARS[t])
    assert point == pytest.approx(bound, rel=1e-9)
    # two images in one dimension and what was made of them: total variation by quadrature
    images, moved, bar = np.array([-1.0, 1.0]), np.array([-1.0 + shift / 5, 1.0 - shift / 10]), BARS[t]
    x = np.linspace(-12, 12, 40_001)
    q, p = (_mixture(x, np.sqrt(bar) * points, np.sqrt(1 - bar)) for points in (images, moved))
    most = gaussian.most_variation(gaussian.paired_mismatch(float(((images - moved) ** 2).mean()), bar))
    assert np.trapezoid(np.abs(p - q), x) / 2 <= most + 1e-3


def _mixture(x, points, std):
    return np.mean([np.exp(-(((x - point) / std) ** 2) / 2) / std / math.sqrt(2 * math.pi) for point in points], axis=0)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1e4), st.floats(0, 2), st.floats(1e-3, 10), st.integers(0, 999))
def test_break_even_is_where_the_two_costs_meet(prior, per_image, chain, t_start):
    cost = gaussian.Cost(prior, per_image, chain, t_start, 1000)
    n = cost.break_even_images
    if math.isinf(n):
        assert cost.from_prior(1e6) >= cost.whole_chain(1e6) * (1 - 1e-9)
    else:
        assert cost.from_prior(n) == pytest.approx(cost.whole_chain(n), rel=1e-6, abs=1e-9)
        assert cost.from_prior(2 * n + 1) < cost.whole_chain(2 * n + 1)


def test_cost_of_a_worked_example():
    """60 s of fitting, 1 s an image for the chain, started at half: 120 images pay for it."""
    cost = gaussian.Cost(prior_seconds=60, prior_seconds_per_image=0, chain_seconds=1, t_start=499, T=1000)
    assert (cost.fraction, cost.break_even_images) == (0.5, 120)
    assert gaussian.Cost(60, 0.6, 1, 499, 1000).break_even_images == math.inf


def test_what_has_no_closed_form_here_is_refused():
    mean, cov, bars = np.zeros(2), np.eye(2), [0.9, 0.5]
    with pytest.raises(ValueError, match="objective is 'score'"):
        gaussian.optimal_model(mean, cov, bars, "score")
    with pytest.raises(ValueError, match="t holds different values"):
        gaussian.optimal_model(mean, cov, bars)(torch.zeros(2, 2), torch.tensor([0, 1]))
