"""Schedules: published numbers, an independent library, and what must hold of any schedule.

Agreement is 1e-11 (relative) with denoising_diffusion_pytorch, whose arithmetic is the same once its casts to float32 are
lifted; not 1e-15, since betas near 4e-5 are a difference from 1 and the posterior divides by them.
"""

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dipddpm_utils import config
from dipddpm_utils.ddpm.schedule import MAX_BETA, betas, coefficients

SCHEDULES = ["linear", "cosine", "sigmoid"]


def test_published_numbers_of_the_linear_schedule():
    coefs = coefficients(config.Diffusion(), torch.float64)
    assert coefs.posterior_variance[487].item() == pytest.approx(0.009792, abs=5e-7)
    assert coefs.alphas_cumprod[999].item() == pytest.approx(4.0358e-5, abs=5e-10)
    assert coefs.alpha_bars[999] == coefs.alphas_cumprod[999].item()
    assert coefs.betas[[0, 999]].tolist() == [1e-4, 0.02]


@pytest.mark.parametrize("T", [1000, 250])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_tables_equal_denoising_diffusion_pytorch(monkeypatch, schedule, T):
    diffusion = config.Diffusion(schedule=schedule, num_train_timesteps=T)
    coefs, oracle = coefficients(diffusion, torch.float64), oracles.gaussian_diffusion(monkeypatch, diffusion)
    names = [name for name, _ in oracle.named_buffers() if hasattr(coefs, name)]
    assert len(names) >= 7
    for name in names:
        assert getattr(oracle, name).dtype == torch.float64
        torch.testing.assert_close(getattr(coefs, name), getattr(oracle, name), rtol=1e-11, atol=1e-15, msg=name)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SCHEDULES), st.integers(1, 1200))
def test_any_schedule_is_a_forward_process(schedule, T):
    coefs = coefficients(config.Diffusion(schedule=schedule, num_train_timesteps=T), torch.float64)
    assert coefs.betas.shape == (T,) and coefs.num_train_timesteps == len(coefs.alpha_bars) == T
    assert (coefs.betas > 0).all() and (coefs.betas <= MAX_BETA).all()
    assert (coefs.alphas_cumprod.diff() < 0).all() and coefs.alphas_cumprod[-1] > 0
    assert coefs.posterior_variance[0] == 0 and (coefs.posterior_variance <= coefs.betas).all()
    assert coefs.alpha_bar(-1) == 1
    # x_t = x0 (noise-free) has to lead to x_{t-1} on the same ray: the posterior's two weights are tied
    before = torch.cat([torch.ones(1, dtype=torch.float64), coefs.alphas_cumprod[:-1]])
    tied = coefs.posterior_mean_coef1 + coefs.posterior_mean_coef2 * coefs.sqrt_alphas_cumprod
    torch.testing.assert_close(tied, before.sqrt(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_tables_are_cast_only_at_the_end(schedule):
    """A float32 table is its float64 table rounded; float32 arithmetic would be off by many roundings (shown below)."""
    diffusion = config.Diffusion(schedule=schedule)
    exact, cast = coefficients(diffusion, torch.float64), coefficients(diffusion)
    for name, table in vars(cast).items():
        if isinstance(table, torch.Tensor):
            assert table.dtype == torch.float32 and torch.equal(table, getattr(exact, name).float()), name
    assert cast.alpha_bars == exact.alpha_bars
    assert not torch.equal((1 - exact.betas.float()).cumprod(0), cast.alphas_cumprod)


@pytest.mark.parametrize("T", [100, 250, 4000])
def test_linear_schedule_ends_in_noise_for_any_length(T):
    assert 1e-5 < coefficients(config.Diffusion(num_train_timesteps=T)).alpha_bars[-1] < 1e-4


@pytest.mark.parametrize(("name", "T"), [("square", 10), ("linear", 0)])
def test_a_schedule_that_is_not_there_is_no_other_one(name, T):
    with pytest.raises(ValueError, match=f"name, T are {name!r}, {T}, expected 'linear'"):
        betas(name, T)
