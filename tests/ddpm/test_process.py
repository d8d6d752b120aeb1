"""The forward process, its posterior, predictions and losses: against denoising_diffusion_pytorch and closed forms.

Agreement is 1e-12 (absolute, values near 1) with denoising_diffusion_pytorch in float64, whose arithmetic is the same, but
for one thing: x0 from eps. There it computes sqrt(1 / alpha_bar) x_t - sqrt(1 / alpha_bar - 1) eps and we the fraction of
equation 15; both lose digits as 1 / sqrt(alpha_bar) grows (to 157 for the linear schedule, 2e4 for cosine), so the
tolerance there is 1e-10. Its plain losses for x0 and v are weighted by the SNR, ours are plain; with min-SNR they agree.
"""

import math

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from dipddpm_utils import config
from dipddpm_utils.ddpm import process as core
from dipddpm_utils.ddpm.schedule import coefficients

T = 1000
OBJECTIVES = ["eps", "x0", "v"]


def _case(diffusion, batch=16, dtype=torch.float64):
    coefs = coefficients(diffusion, dtype)
    rng = torch.Generator().manual_seed(1)
    x0 = torch.rand(batch, 3, 4, 4, generator=rng, dtype=dtype) * 2 - 1
    t = torch.randint(0, diffusion.num_train_timesteps, (batch,), generator=rng)
    t[:2] = torch.tensor([0, diffusion.num_train_timesteps - 1])
    return coefs, x0, t, torch.randn(x0.shape, generator=rng, dtype=dtype)


def _x0_hat(coefs, objective, out, x_t, t):
    signal, noise = (core.at(of, t, x_t) for of in (coefs.sqrt_alphas_cumprod, coefs.sqrt_one_minus_alphas_cumprod))
    return core.predicted_x0(objective, out, x_t, signal, noise)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid"])
def test_forward_posterior_and_predictions_equal_the_oracle(monkeypatch, schedule):
    diffusion = config.Diffusion(schedule=schedule)
    coefs, x0, t, eps = _case(diffusion)
    oracle = oracles.gaussian_diffusion(monkeypatch, diffusion)
    x_t = core.diffuse(coefs, x0, t, eps)
    v = core.target(coefs, "v", x0, t, eps)
    mean, variance = core.q_posterior_mean_variance(coefs, x0, x_t, t)
    their_mean, their_variance, _ = oracle.q_posterior(x0, x_t, t)
    for ours, theirs, tolerance in [
        (x_t, oracle.q_sample(x0, t, eps), 1e-12),
        (v, oracle.predict_v(x0, t, eps), 1e-12),
        (_x0_hat(coefs, "v", v, x_t, t), oracle.predict_start_from_v(x_t, t, v), 1e-12),
        (core.predict_eps_from_x0(coefs, x_t, t, x0), oracle.predict_noise_from_start(x_t, t, x0), 1e-12),
        (_x0_hat(coefs, "eps", eps, x_t, t), oracle.predict_start_from_noise(x_t, t, eps), 1e-10),
        (mean, their_mean, 1e-12),
        (variance, their_variance, 1e-12),
    ]:
        assert (ours - theirs).abs().max() < tolerance


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(OBJECTIVES), st.sampled_from(["linear", "cosine", "sigmoid"]), st.integers(0, T - 1))
def test_whatever_is_predicted_x0_and_eps_come_back(objective, schedule, step):
    coefs, x0, t, eps = _case(config.Diffusion(schedule=schedule), batch=2)
    t = torch.full_like(t, step)
    x_t = core.diffuse(coefs, x0, t, eps)
    out = {"eps": eps, "x0": x0, "v": core.target(coefs, "v", x0, t, eps)}[objective]
    x0_hat = _x0_hat(coefs, objective, out, x_t, t)
    eps_hat = core.predict_eps_from_x0(coefs, x_t, t, x0_hat)
    loss_of_digits = 1e-15 / math.sqrt(coefs.alpha_bars[step]) + 1e-15 / math.sqrt(1 - coefs.alpha_bars[step])
    assert (x0_hat - x0).abs().max() < 1e-13 + 10 * loss_of_digits
    assert (eps_hat - eps).abs().max() < 1e-13 + 10 * loss_of_digits


def test_one_t_for_all_is_that_t_for_each():
    coefs, x0, t, eps = _case(config.Diffusion())
    each = torch.full_like(t, 417)
    assert torch.equal(core.diffuse(coefs, x0, 417, eps), core.diffuse(coefs, x0, each, eps))
    assert torch.equal(core.target(coefs, "v", x0, 417, eps), core.target(coefs, "v", x0, each, eps))
    for one, many in zip(*(core.q_posterior_mean_variance(coefs, x0, eps, at) for at in (417, each)), strict=True):
        assert torch.equal(one.expand_as(many), many)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("gamma", [5.0, 1.0])
def test_min_snr_losses_equal_the_oracle(monkeypatch, objective, gamma):
    diffusion = config.Diffusion(objective=objective, min_snr_gamma=gamma)
    coefs, x0, t, eps = _case(diffusion)
    oracle = oracles.gaussian_diffusion(monkeypatch, diffusion, model=oracles.affine_model)
    ours = core.loss(coefs, diffusion, oracles.affine_model, x0, t, eps)
    assert ours.item() == pytest.approx(oracle.p_losses(x0, t, noise=eps).item(), rel=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_plain_loss_is_the_mean_squared_error_of_what_is_predicted(objective):
    diffusion = config.Diffusion(objective=objective)
    coefs, x0, t, eps = _case(diffusion)
    target = {"eps": eps, "x0": x0, "v": core.target(coefs, "v", x0, t, eps)}[objective]
    assert core.loss(coefs, diffusion, lambda x, t: target, x0, t, eps) == 0
    assert core.loss(coefs, diffusion, lambda x, t: target + 0.5, x0, t, eps).item() == pytest.approx(0.25, rel=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_results_have_the_dtype_of_the_images_whatever_the_network_or_tables_use(objective):
    diffusion = config.Diffusion(objective=objective, min_snr_gamma=5.0)
    for tables in (torch.float32, torch.float64):
        for dtype in (torch.float32, torch.float64):
            _, x0, t, eps = _case(diffusion, dtype=dtype)
            coefs = coefficients(diffusion, tables)
            assert core.loss(coefs, diffusion, lambda x, t: x.bfloat16(), x0, t, eps).dtype == dtype
            assert _x0_hat(coefs, objective, x0.bfloat16(), x0, t).dtype == dtype


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x0": lambda x: x[0]}, r"x0 has shape \[3, 4, 4\], expected \[B, C, H, W\]"),
        ({"x0": lambda x: x * 3}, r"x0 has values from .* expected \[-1, 1\]"),
        ({"x0": lambda x: x.where(x < 0.9, torch.nan)}, r"x0 has values from nan"),
        ({"x0": lambda x: (x * 127).to(torch.uint8)}, r"x0 is torch.uint8, expected floats"),
        ({"eps": lambda x: x[:, :1]}, r"eps has shape \[16, 1, 4, 4\], expected that of x0"),
        ({"t": lambda t: t + 1}, r"t has values from 1 to 1000, expected 0..999"),
        ({"t": lambda t: t - 1}, r"t has values from -1 to 998, expected 0..999"),
        ({"t": lambda t: t[:3]}, r"t is torch.int64 \[3\], expected torch.int64 \[16\]"),
        ({"t": lambda t: t.float()}, r"t is torch.float32 \[16\], expected torch.int64"),
    ],
)
def test_errors_name_the_argument(change, message):
    diffusion = config.Diffusion()
    coefs, x0, t, eps = _case(diffusion)
    arguments = {"x0": x0, "t": t, "eps": eps}
    arguments.update({name: f(arguments[name]) for name, f in change.items()})
    with pytest.raises(ValueError, match="^" + message + "[^\n]*$"):
        core.loss(coefs, diffusion, oracles.affine_model, **arguments)


def test_a_network_with_the_wrong_output_is_named():
    diffusion = config.Diffusion()
    coefs, x0, t, eps = _case(diffusion)
    with pytest.raises(ValueError, match="the model's output has shape"):
        core.loss(coefs, diffusion, lambda x, t: x[:, :1], x0, t, eps)


def test_training_never_waits_for_a_device_to_give_up_its_values():
    """On the meta device, as on a GPU, values cannot be read for free (there, not at all: .item() would raise)."""
    diffusion = config.Diffusion(objective="v", min_snr_gamma=5.0)
    coefs, x0 = coefficients(diffusion, device="meta"), torch.empty(4, 1, 8, 8, device="meta")
    t = torch.empty(4, dtype=torch.int64, device="meta")
    assert core.loss(coefs, diffusion, lambda x, t: x, x0, t, torch.empty_like(x0)).shape == ()


# --- training times ---


def test_uniform_times_are_as_they_were_and_even():
    plan = config.Diffusion(num_train_timesteps=50)
    drawn = core.training_times(plan, 20_000, torch.Generator().manual_seed(1), "cpu")
    assert torch.equal(drawn, torch.randint(0, 50, (20_000,), generator=torch.Generator().manual_seed(1)))
    assert drawn.dtype == torch.int64 and drawn.bincount(minlength=50).float().std() < 40  # binomial: 20


@pytest.mark.parametrize("mean", [0.0, 0.4, -1.0])
def test_logit_normal_times_follow_their_closed_form(mean):
    plan = config.Diffusion(num_train_timesteps=1000, times="logit_normal", times_mean=mean)
    drawn = core.training_times(plan, 50_000, torch.Generator().manual_seed(2), "cpu")
    assert drawn.dtype == torch.int64 and 0 <= drawn.min() and drawn.max() <= 999
    share = (drawn.double() + 0.5) / 1000
    for bound in (0.1, 0.25, 0.5, 0.9):
        expected = scipy_stats.norm.cdf(math.log(bound / (1 - bound)) - mean)
        assert abs((share < bound).double().mean().item() - expected) < 4 * math.sqrt(expected * (1 - expected) / 50_000)


def test_an_objective_that_is_not_there_is_no_other_one():
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="objective is 'score', expected"):
        core.predicted_x0("score", x, x, 0.5, 0.5)
    with pytest.raises(ValueError, match="objective is 'score', expected"):
        core.target(coefficients(config.Diffusion()), "score", x, 0, x)


def test_a_step_below_zero_and_noise_of_another_shape_are_refused():
    x = torch.zeros(2, 1, 4, 4)
    with pytest.raises(ValueError, match=r"t is -1, expected a step in 0\.\."):
        core.diffuse(coefficients(config.Diffusion()), x, -1, x)
    with pytest.raises(ValueError, match="eps has shape .*, expected that of x0"):
        core.diffuse(coefficients(config.Diffusion()), x, 0, x[:1])


@pytest.mark.parametrize("times", ["uniform", "logit_normal"])
def test_the_last_level_that_is_to_be_learned_is_learned(times):
    plan = config.Diffusion(num_train_timesteps=50, times=times)
    drawn = core.training_times(plan, 2000, torch.Generator().manual_seed(1), "cpu", last=3)
    assert drawn.unique().tolist() == [0, 1, 2, 3]
