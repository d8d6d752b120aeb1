"""Samplers: whole chains against diffusers in float64, and against closed forms.

Largest differences allowed, images near 1, same noise: 1e-10 for whole chains of every objective, clipped and not, since
the arithmetic is the same, except
- ancestral with skipped steps against diffusers: 1e-8. Its last step, at t > 0 then, adds noise of variance 1e-20 (it
  clamps the variance to take its logarithm); ours adds none. With fixed_large it even adds noise of variance beta
  there, so that case is compared on the chain that takes every step.
- DPM-Solver++(2M) against diffusers' `step`: 1e-4, since that casts x to float32 in every step and its sigmas to float32
  beforehand. Its update formulas themselves, called with float64 sigmas, agree to 1e-10.
"""

import gaussian_chains
import numpy as np
import oracles
import pytest
import torch
from draws import rng
from hypothesis import given, settings
from hypothesis import strategies as st

from dipddpm_utils import config
from dipddpm_utils.ddpm import sampling
from dipddpm_utils.ddpm.process import diffuse
from dipddpm_utils.ddpm.schedule import coefficients
from dipddpm_utils.theory import gaussian

OBJECTIVES = ["eps", "x0", "v"]


def _case(T=1000, **kwargs):
    diffusion = config.Diffusion(num_train_timesteps=T, **kwargs)
    return coefficients(diffusion, torch.float64), diffusion, torch.randn(2, 3, 4, 4, generator=rng(7), dtype=torch.float64)


def _chain(name, model, coefs, diffusion, x_t, *, steps=None, t_start=None, eta=0.0, generator=None, clip=True):
    """A sampler by its name; steps None: every t."""
    sampler = config.Sampler(name=name, steps=coefs.num_train_timesteps if steps is None else steps, eta=eta)
    return sampling.chain(model, coefs, diffusion, sampler, x_t, t_start, generator, clip)


def _last(chain):
    return list(chain)[-1]


# --- against other libraries ------------------------------------------------------------------------------------------


def _follow(scheduler, times, x, **kwargs):
    """diffusers' loop: x after each step."""
    for t in times:
        x = scheduler.step(oracles.affine_model(x, torch.full((len(x),), t)), t, x, **kwargs).prev_sample
        yield x


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_ddpm_equals_diffusers(objective, clip):
    coefs, diffusion, x_t = _case(T=200, objective=objective)
    for variance, steps, tolerance in [("fixed_small", 200, 1e-10), ("fixed_large", 200, 1e-10), ("fixed_small", 40, 1e-8)]:
        chosen = diffusion.model_copy(update={"variance": variance})
        kwargs = {"prediction_type": oracles.PREDICTION_TYPES[objective], "clip_sample": clip, "variance_type": variance}
        oracle = oracles.scheduler("DDPMScheduler", coefs, timestep_spacing="trailing", **kwargs)
        oracle.set_timesteps(steps)
        ours = list(_chain("ancestral", oracles.affine_model, coefs, chosen, x_t, steps=steps, generator=rng(), clip=clip))
        assert [step.t for step in ours] == oracle.timesteps.tolist()
        for step, theirs in zip(ours, _follow(oracle, oracle.timesteps.tolist(), x_t, generator=rng()), strict=True):
            assert (step.x - theirs).abs().max() < tolerance * max(1.0, theirs.abs().max().item())


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_ddim_equals_diffusers(objective, eta, clip):
    coefs, diffusion, x_t = _case(objective=objective)
    kwargs = {"prediction_type": oracles.PREDICTION_TYPES[objective], "clip_sample": clip, "timestep_spacing": "trailing"}
    oracle = oracles.scheduler("DDIMScheduler", coefs, **kwargs)
    oracle.set_timesteps(50)
    ours = list(_chain("ddim", oracles.affine_model, coefs, diffusion, x_t, steps=50, eta=eta, generator=rng(), clip=clip))
    assert [step.t for step in ours] == oracle.timesteps.tolist()
    options = {"eta": eta, "use_clipped_model_output": clip, "generator": rng()}
    for step, theirs in zip(ours, _follow(oracle, oracle.timesteps.tolist(), x_t, **options), strict=True):
        assert (step.x - theirs).abs().max() < 1e-10 * max(1.0, theirs.abs().max().item())


def _dpm_oracle(coefs, objective, times):
    oracle = oracles.scheduler("DPMSolverMultistepScheduler", coefs, prediction_type=oracles.PREDICTION_TYPES[objective])
    oracle.set_timesteps(timesteps=times)
    return oracle


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers', of NumPy 2
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_dpmpp_2m_equals_diffusers(objective):
    coefs, diffusion, x_t = _case(objective=objective)
    for steps in (15, 20, 6):
        times = sampling.timesteps(1000, steps)
        ours = list(_chain("dpmpp_2m", oracles.affine_model, coefs, diffusion, x_t, steps=steps, clip=False))

        oracle = _dpm_oracle(coefs, objective, times)
        for step, theirs in zip(ours, _follow(oracle, times, x_t), strict=True):
            assert (step.x - theirs).abs().max() < 1e-4 * max(1.0, theirs.abs().max().item())

        oracle = _dpm_oracle(coefs, objective, times)
        bars = torch.tensor([coefs.alpha_bars[t] for t in times] + [1.0], dtype=torch.float64)
        oracle.sigmas = ((1 - bars) / bars).sqrt()
        x, outputs = x_t, []
        for index, step in enumerate(ours):
            oracle._step_index = index
            out = oracles.affine_model(x, torch.full((len(x),), step.t))
            outputs.append(oracle.convert_model_output(out, sample=x))
            if 0 < index < steps - 1:
                x = oracle.multistep_dpm_solver_second_order_update(outputs, sample=x)
            else:
                x = oracle.dpm_solver_first_order_update(outputs[-1], sample=x)
            assert (step.x - x).abs().max() < 1e-10 * max(1.0, x.abs().max().item())


# --- against closed forms: Gaussian data, for which the optimal denoiser is known -------------------------------------

SAMPLERS = [
    ("ancestral", {}, "fixed_small"),
    ("ancestral", {}, "fixed_large"),
    ("ddim", {"eta": 0.0}, "fixed_small"),
    ("ddim", {"eta": 0.5}, "fixed_small"),
    ("dpmpp_2m", {}, "fixed_small"),
]


def _gaussian_case(name, kwargs, variance, objective):
    """(the closed form of a chain through given times, the sampler's own last x [n, 4]) for one Gaussian."""
    coefs, diffusion, _ = _case(T=100, variance=variance, objective=objective)
    numbers = np.random.default_rng(0)
    root = numbers.normal(size=(4, 4)) * 0.4
    mean, cov = numbers.normal(size=4) * 0.3, root @ root.T
    model = gaussian.optimal_model(mean, cov, coefs.alpha_bars, objective)
    made = gaussian.ddim_chain if name == "ddim" else getattr(gaussian_chains, f"{name}_chain")
    about = {"variance": variance} if name == "ancestral" else kwargs

    def draw(x_t, **options):
        return _last(_chain(name, model, coefs, diffusion, x_t, clip=False, **kwargs, **options)).x.flatten(1)

    return lambda times: made(mean, cov, coefs.alpha_bars, times, **about), draw


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("name", "kwargs", "variance"), SAMPLERS)
def test_every_chain_has_exactly_the_gain_offset_and_noise_of_theory(monkeypatch, name, kwargs, variance, objective):
    """No statistics: the start's part is read off with noise 0, the noise's with a unit of noise in one step at a time."""
    exact, draw = _gaussian_case(name, kwargs, variance, objective)
    for steps, t_start in [(100, 99), (20, 99), (20, 46)]:
        times = sampling.timesteps(100, steps, t_start)
        expected = exact(times)
        options = {"steps": steps, "t_start": t_start, "generator": rng()}

        monkeypatch.setattr(sampling.streams, "normal", lambda like, _: torch.zeros_like(like))
        start = torch.cat([torch.zeros(1, 4), torch.eye(4)]).double()
        out = draw(start.view(5, 1, 2, 2), **options)
        mean, _ = expected.apply(np.zeros(4), np.eye(4))
        np.testing.assert_allclose(out[0], mean, atol=1e-10)
        linear = (out[1:] - out[0]).T.numpy()
        np.testing.assert_allclose(linear, expected.basis * expected.gain @ expected.basis.T, atol=1e-10)

        calls = []

        def one_step_each(like, _, calls=calls):  # items 4k..4k+3 get the four unit vectors in noisy step k
            noise, k = torch.zeros_like(like), len(calls)
            calls.append(k)
            noise.view(-1, 4, 4)[k] = torch.eye(4, dtype=like.dtype)
            return noise

        monkeypatch.setattr(sampling.streams, "normal", one_step_each)
        effects = draw(torch.zeros(4 * len(times), 1, 2, 2, dtype=torch.float64), **options) - out[0]
        assert len(calls) == (0 if not expected.noise.any() else len(times) - 1)  # none in the last step
        np.testing.assert_allclose(effects.T @ effects, expected.basis * expected.noise @ expected.basis.T, atol=1e-10)


# --- starting, stopping, noise ----------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 1500).flatmap(lambda T: st.tuples(st.just(T), st.integers(1, T), st.integers(0, T - 1))))
def test_times_fall_from_t_start_and_cost_their_share(case):
    T, steps, t_start = case
    whole, part = sampling.timesteps(T, steps), sampling.timesteps(T, steps, t_start)
    assert len(whole) == steps and whole[0] == T - 1
    assert part[0] == t_start and all(a > b for a, b in zip(part, part[1:], strict=False)) and part[-1] >= 0
    assert len(part) == 1 or part[1:] == whole[-len(part) + 1 :]  # the tail of the whole chain
    assert abs(len(part) - steps * (t_start + 1) / T) <= 1
    if steps == T:
        assert part == list(range(t_start, -1, -1))


@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpmpp_2m"])
def test_a_chain_can_be_stopped_and_taken_up_again(name):
    coefs, diffusion, x_t = _case()
    draws = rng()
    options = {"steps": 20, "generator": draws}
    chain = _chain(name, oracles.affine_model, coefs, diffusion, x_t, **options)
    first = [next(chain) for _ in range(8)]
    assert [step.index for step in first] == list(range(8))
    assert all(a.t_next == b.t for a, b in zip(first, first[1:], strict=False))
    noise = draws.get_state()
    whole = _last(chain)
    assert whole.t_next == -1 and whole.index == 19 and (whole.x == whole.x0_hat).all()
    draws.set_state(noise)
    again = _last(_chain(name, oracles.affine_model, coefs, diffusion, first[-1].x, t_start=first[-1].t_next, **options))
    assert again.index == 11
    # DPM-Solver++(2M) has lost its memory of the step before, so it begins again at first order
    assert torch.equal(again.x, whole.x) if name != "dpmpp_2m" else (again.x - whole.x).abs().max() < 0.05


def test_a_perfect_network_brings_back_the_image_from_any_start():
    coefs, diffusion, _ = _case(objective="x0")
    x0 = torch.rand(2, 3, 4, 4, generator=rng(), dtype=torch.float64) * 2 - 1
    for t_start in (0, 1, 37, 999):
        x_t = diffuse(coefs, x0, torch.full((2,), t_start), torch.randn(x0.shape, generator=rng(), dtype=x0.dtype))
        for name in ("ancestral", "ddim", "dpmpp_2m"):
            chosen = config.Sampler(name=name, steps=50)
            out, nfe = sampling.sample(lambda x, t: x0, coefs, diffusion, chosen, x_t, t_start, rng())
            assert torch.equal(out, x0) and nfe == max(1, (t_start + 1) // 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpmpp_2m"])
def test_noise_comes_from_the_generator_alone_and_results_keep_the_dtype(name, dtype):
    coefs, diffusion, x_t = _case()
    before, x_t = torch.random.get_rng_state(), x_t.to(dtype)
    chosen = config.Sampler(name=name, steps=10, eta=0.5)
    once, again, other = (
        sampling.sample(lambda x, t: x.bfloat16(), coefs, diffusion, chosen, x_t, generator=rng(seed))[0] for seed in (1, 1, 2)
    )
    assert once.dtype == dtype and torch.equal(once, again)
    assert torch.equal(once, other) == (name == "dpmpp_2m")
    assert torch.equal(before, torch.random.get_rng_state())


def test_float32_chains_follow_float64_ones():
    coefs, diffusion, x_t = _case()
    for name in ("ddim", "dpmpp_2m"):
        chosen = config.Sampler(name=name, steps=50)
        exact, _ = sampling.sample(oracles.affine_model, coefs, diffusion, chosen, x_t)
        single, _ = sampling.sample(oracles.affine_model, coefficients(diffusion), diffusion, chosen, x_t.float())
        assert (exact - single).abs().max() < 1e-4


def test_no_gradients_are_kept_and_the_callers_mode_is_left_alone():
    coefs, diffusion, x_t = _case()
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    for step in _chain("ddim", lambda x, t: weight * x, coefs, diffusion, x_t, steps=3):
        assert not step.x.requires_grad and torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"steps": 1001}, "steps is 1001, expected 1..1000"),
        ({"t_start": 1000}, "t_start is 1000, expected 0..999"),
        ({"t_start": -1}, "t_start is -1, expected 0..999"),
        ({"eta": 0.5}, "generator is None, expected a torch.Generator"),
        ({"x_t": torch.zeros(2, 2)}, r"x_t has shape \[2, 2\], expected \[B, C, H, W\]"),
        ({"x_t": torch.zeros(1, 1, 2, 2, dtype=torch.int64)}, "x_t is torch.int64, expected floats"),
    ],
)
def test_errors_name_the_argument_before_the_first_step(kwargs, message):
    coefs, diffusion, x_t = _case()
    arguments = {"x_t": x_t, **kwargs}
    with pytest.raises(ValueError, match="^" + message + "[^\n]*$"):
        _chain("ddim", oracles.affine_model, coefs, diffusion, **arguments)


def test_a_network_with_the_wrong_output_is_named():
    coefs, diffusion, x_t = _case()
    with pytest.raises(ValueError, match="the model's output has shape"):
        next(_chain("dpmpp_2m", lambda x, t: x[:, :1], coefs, diffusion, x_t))
    with pytest.raises(ValueError, match="generator is None"):
        sampling.sample(oracles.affine_model, coefs, diffusion, config.Sampler(name="ancestral"), x_t)


@pytest.mark.parametrize(("T", "steps"), [(1000, 15), (1000, 12), (1000, 7), (100, 7)])
def test_times_that_do_not_divide_are_diffusers_trailing_ones(T, steps):
    coefs = coefficients(config.Diffusion(num_train_timesteps=T), torch.float64)
    oracle = oracles.scheduler("DDIMScheduler", coefs, timestep_spacing="trailing")
    oracle.set_timesteps(steps)
    assert sampling.timesteps(T, steps) == oracle.timesteps.tolist()


def test_a_sampler_without_a_step_draws_nothing_under_its_name():
    coefs, diffusion, x_t = _case(10)
    unknown = config.Sampler.model_construct(name="heun", steps=4, eta=0.0)
    with pytest.raises(NotImplementedError, match="'heun'"):
        sampling.sample(oracles.affine_model, coefs, diffusion, unknown, x_t)
