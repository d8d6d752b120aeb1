"""Stopping rules against closed forms, batched against one by one, and whole runs of kind `stopping`."""

import math

import numpy as np
import pytest
import torch
from draws import rng
from hypothesis import given, settings
from hypothesis import strategies as st
from labs import Records
from priors.runs import DATA, in_slices
from pydantic import ValidationError

from dipddpm_utils import config, ranges
from dipddpm_utils.config import Diffusion, ImageFit, Stopping
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process, schedule
from dipddpm_utils.dip import fit
from dipddpm_utils.judging import fidelity
from dipddpm_utils.machine import streams
from dipddpm_utils.page.names import look
from dipddpm_utils.stopping import figures, findings, rules
from dipddpm_utils.stopping import run as stopping
from dipddpm_utils.stopping.declared import RULES
from dipddpm_utils.store.runs import Store

RUN = Stopping(data=DATA, n_images=3, iterations=30, width=4, fixed=10, window=4, patience=5, stages=6)
COEFS = schedule.coefficients(Diffusion())


# --- choices


SCORES = st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=3), min_size=1, max_size=30).map(torch.tensor)


@given(SCORES, st.integers(0, 9), st.integers(1, 8))
@settings(deadline=None)
def test_patience_stops_at_the_first_minimum_that_stands_so_long(scores, infinite, patience):
    scores = torch.cat([torch.full((infinite, 3), math.inf), scores])  # a window that fills: no scores yet
    step, known = rules.lowest(scores.double().numpy(), patience)
    for column, (at, final) in enumerate(zip(step, known, strict=True)):
        own = scores[:, column].tolist()
        wanted = [i for i in range(len(own)) if own[i] < min([*own[:i], math.inf])]  # where a new minimum is reached
        stands = [i for i in wanted if i + patience < len(own) and min(own[i + 1 : i + patience + 1]) >= own[i]]
        assert (at, final) == ((stands[0] + 1, stands[0] + 1 + patience) if stands else (wanted[-1] + 1, 0))


@given(SCORES, st.floats(-9, 9))
@settings(deadline=None)
def test_below_is_the_first_score_at_or_under_the_limit(scores, limit):
    step, known = rules.below(scores.double().numpy(), limit)
    for column, (at, final) in enumerate(zip(step, known, strict=True)):
        under = [i + 1 for i, value in enumerate(scores[:, column].tolist()) if value <= limit]
        assert (at, final) == ((under[0], under[0]) if under else (len(scores), 0))


# --- scores


@given(st.integers(2, 9), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_window_variance_is_the_variance_of_the_window(window, seed):
    outputs = torch.randn(20, 2, 1, 4, 4, generator=rng(seed)) + 100  # far from zero, where sums of squares cancel
    variance = rules.WindowVariance(window)
    scores = torch.stack([variance.score(row) for row in outputs])
    assert scores[: window - 1].isinf().all()
    for i in range(window - 1, 20):
        expected = outputs[i - window + 1 : i + 1].double().var(dim=0, correction=0).flatten(1).mean(1)
        torch.testing.assert_close(scores[i], expected, rtol=1e-6, atol=1e-9)


@given(st.floats(0.02, 0.9), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_exponential_variance_is_the_weighted_one(alpha, seed):
    """Weights a (1-a)^(i-j) on f_j and the rest on the 0 it began with: variance about the weighted mean."""
    outputs = torch.randn(60, 2, 3, generator=rng(seed)).double()
    variance = rules.ExponentialVariance(alpha)
    scores = torch.stack([variance.score(row) for row in outputs])
    assert scores[: math.ceil(1 / alpha) - 1].isinf().all() and scores[math.ceil(1 / alpha) - 1 :].isfinite().all()
    weights = alpha * (1 - alpha) ** torch.arange(59, -1, -1, dtype=torch.float64)
    mean = (weights[:, None, None] * outputs).sum(0)
    expected = (weights[:, None, None] * (outputs - mean).square()).sum(0) + (1 - alpha) ** 60 * mean.square()
    torch.testing.assert_close(scores[-1], expected.mean(1))


# --- halves


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_the_halves_have_independent_noise_of_the_stated_variances(tau):
    x, std = torch.rand(1, 1, 500, 500, generator=rng(1)), 0.3
    y = x + std * torch.randn(x.shape, generator=rng(2))
    first, second = (part - x for part in rules.halves(y, std, tau, rng(3)))
    assert float(first.var()) == pytest.approx(std**2 * (1 + tau**2), rel=0.02)
    assert float(second.var()) == pytest.approx(std**2 * (1 + 1 / tau**2), rel=0.02)
    assert abs(float(np.corrcoef(first.flatten(), second.flatten())[0, 1])) < 5 / 500
    torch.testing.assert_close((first + tau**2 * second) / (1 + tau**2), y - x, rtol=1e-4, atol=1e-5)  # nothing is lost


def test_the_second_half_judges_a_fit_to_the_first_without_bias():
    """For any f(y1), here a shrinkage: mean (f - y2)^2 = mean (f - x)^2 + std^2 (1 + 1/tau^2); not so for y itself."""
    x, std, tau = torch.rand(1, 1, 1000, 1000, generator=rng(1)), 0.3, 0.7
    y = x + std * torch.randn(x.shape, generator=rng(2))
    first, second = rules.halves(y, std, tau, rng(3))
    fitted = 0.8 * first + 0.1
    error, judged = float(rules.mean_square(fitted, x)), float(rules.mean_square(fitted, second))
    assert judged - std**2 * (1 + 1 / tau**2) == pytest.approx(error, rel=0.03)
    assert float(rules.mean_square(fitted, y)) - std**2 < 0.5 * error


# --- stages


@given(st.sampled_from(tuple(figures.SPACINGS)), st.integers(2, 100), st.floats(0.001, 0.4), st.floats(0.5, 2))
def test_levels_fall_from_high_to_low(spacing, stages, low, high):
    levels = np.array(rules.levels(spacing, stages, high, low))
    assert len(levels) == stages and (np.diff(levels) < 0).all()
    assert levels[[0, -1]] == pytest.approx([high, low])
    steps = np.diff(np.log(levels)) if spacing == "log" else np.diff(levels)
    if spacing != "cosine":
        assert np.ptp(steps) < 1e-9
    else:
        assert levels + levels[::-1] == pytest.approx(high + low)  # its ends are alike


def test_the_nearest_step_has_the_level():
    for t in (0, 10, 500, 999):
        bar = COEFS.alpha_bar(t)
        assert rules.nearest_t(COEFS, math.sqrt((1 - bar) / bar) / 2) == t


def test_targets_are_the_observed_image_diffused_drawn_once_a_stage():
    y, times = torch.rand(2, 1, 200, 200, generator=rng(1)), [600, 300, 5]
    stages = rules.Stages(y, COEFS, times, 9, rng(4))
    targets = [stages.target(i) for i in range(1, 10)]
    assert [stages.stage(i) for i in range(1, 10)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    draws = rng(4)
    for k, t in enumerate(times):
        eps = torch.randn(y.shape, generator=draws)
        x_t = process.diffuse(COEFS, 2 * y - 1, torch.full((2,), t), eps)
        torch.testing.assert_close((x_t / COEFS.alpha_bar(t) ** 0.5 + 1) / 2, targets[3 * k], rtol=1e-4, atol=1e-4)
        assert all(torch.equal(targets[3 * k], other) for other in targets[3 * k : 3 * k + 3])
        level = math.sqrt(1 / COEFS.alpha_bar(t) - 1) / 2
        assert float((targets[3 * k] - y).std()) == pytest.approx(level, rel=0.02)


def test_fits_follow_targets_that_change_and_may_leave_the_unit_range():
    a, b = torch.full((2, 1, 8, 8), 1.5), torch.full((2, 1, 8, 8), -0.5)
    about = ImageFit(net="5conv", iterations=4, lr=1e-3, z_std=0.0, width=4)
    fits = list(fit.fit_images(about, lambda i: a if i < 3 else b, rng()))
    assert float(fits[1].losses.mean()) > 1.0 and float(fits[2].losses.mean()) < 1.0
    same = list(fit.fit_images(about, a.clamp(0, 1), rng()))
    other = list(fit.fit_images(about, lambda _: a.clamp(0, 1), rng()))
    assert torch.equal(same[-1].losses, other[-1].losses)


# --- runs


@pytest.mark.parametrize(
    "changes",
    [
        *({"rules": ("wmv",)}, {"rules": ("oracle", "oracle")}, {"level_low": 2.0}, {"fixed": 40}, {"stages": 31}),
        *({"n_images": 1}, {"patience": 0}, {"window": 1}, {"alpha": 1.0}, {"std": 0.0}, {"tau": 0.0}),
        *({"spacing": "lin"}, {"stages": 1}, {"level_low": 0.0}),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(changes):
    with pytest.raises(ValidationError, match=next(iter(changes))):
        Stopping(**{**RUN.model_dump(), **changes})


def test_a_configuration_names_the_rules_that_there_are():
    assert set(config.STOPPING_RULES) == set(RULES)


@pytest.fixture(scope="module")
def record(store):
    return store.ensure(RUN)


@pytest.mark.slow
def test_a_record_has_a_row_a_rule_and_the_oracle_loses_nothing(record):
    evals = record.evals.set_index("rule")
    assert list(evals.index) == list(config.STOPPING_RULES) == record.arrays["rules"].tolist()
    assert evals.loc["oracle", ["lost", "log2_step", "fit_gain"]].abs().max() == 0
    plain = evals.drop(index="staged")
    assert (plain["lost"] >= 0).all() and (plain["fit_gain"] == 0).all() and (evals["seconds"] > 0).all()
    stops = dict(zip(evals.index, record.arrays["step"], strict=True))
    assert (stops["end"] == 30).all() and (stops["fixed"] == 10).all()
    assert record.arrays["lost"].shape == (8, 3) and record.arrays["lost"].dtype == np.float32
    for i, rule in enumerate(config.STOPPING_RULES):
        assert evals.loc[rule, "lost"] == pytest.approx(float(record.arrays["lost"][i].mean()), abs=1e-5)
    assert sum(file.stat().st_size for file in record.folder.iterdir()) < 100_000


@pytest.mark.slow
def test_a_run_that_is_cut_off_keeps_its_finished_fits_and_ends_alike(record, tmp_path):
    again, slices = in_slices(tmp_path, RUN, 45)
    assert 1 <= slices < 9
    for name in ("psnr", "lost", "step", "known"):
        assert (again.arrays[name] == record.arrays[name]).all(), name


def test_rules_that_are_not_asked_for_cost_no_fit(tmp_path, monkeypatch):
    fits, fit_images = [], fit.fit_images
    monkeypatch.setattr(fit, "fit_images", lambda *args: fits.append(args) or fit_images(*args))
    few = RUN.model_copy(update={"rules": ("oracle", "wmv")})
    record = Store(tmp_path, "smoke", device="cpu").ensure(few)
    assert record.evals["rule"].tolist() == ["oracle", "wmv"] and len(fits) == 1


# --- what is said and drawn


def test_findings_and_figures_hold_what_the_records_hold():
    lab = Records()
    records, stages = lab.seeds("stopping"), lab.seeds("stopping_stages")
    table, short = findings.table(records), findings.short_table(records)
    assert len(table) == sum(len(r.evals) for r in records) and set(table["std"]) == {"0.1", "0.2", "0.4"}
    assert len(short) == table["rule"].nunique()
    assert short.loc[short["rule"] != "oracle", "lost against the oracle (dB)"].str.contains(r"\[").all()
    said = [
        *(f(records) for f in (findings.best_rules, findings.staged, findings.found)),
        findings.stages(stages), findings.answer(records),
    ]  # fmt: skip
    assert all(text.strip() and "nan" not in text and "seeds" not in text for text in said), said
    means = findings.per_image(records, "lost").mean()
    best = means.drop(["oracle", "end"]).idxmin()
    assert findings.answer(records).startswith(f"On average {RULES[best].title} lost the least PSNR: ")
    for figure in (figures.rules(records), figures.stages(stages)):
        figure.draw_without_rendering()
        assert figure.get_suptitle() and figure.axes[0].get_ylabel() and any(ax.get_legend() for ax in figure.axes)


def test_a_better_rule_changes_the_sentence():
    records = Records().seeds("stopping")
    for record in records:  # staged levels are best of all, and better than discrepancy on one net alone
        known = {rule: record.arrays["lost"][i] for i, rule in enumerate(map(str, record.arrays["rules"]))}
        gain = 3.0 if record.run.net == "skip" else 0.0
        known["staged"][:] = known["discrepancy"] - gain - 1e-3 * np.random.default_rng(0).standard_normal(record.run.n_images)
    assert "on 1 of 3 nets (skip hourglass)" in findings.answer(records)
    for record in records:
        record.arrays["lost"][record.arrays["rules"].tolist().index("wmv")] = -1.0 + 0.01 * np.arange(record.run.n_images)
    assert findings.answer(records).startswith("On average ES-WMV lost the least PSNR: -0.")
    assert "Best rule that is not given the noise level: ES-WMV" in findings.best_rules(records)
    pairs = len([rule for rule in RULES.values() if rule.knows == "std"]) * 3  # fixed, ES-WMV, ES-EMV
    assert f"Holm over {pairs}" in findings.best_rules(records) and "lose more" not in findings.best_rules(records)
    for record in records[:1]:  # of one net: the least that not stopping loses is less than what this rule does
        record.arrays["lost"][record.arrays["rules"].tolist().index("emv")] = 99.0
    said = findings.best_rules(records).partition("ES-EMV loses more than not stopping on ")[2]
    assert look(records[0].run.net).label in said.partition(", over all noise levels")[0]


WRONG = {
    "patience is 0": lambda: rules.lowest(np.ones((3, 1)), 0),
    "window is 1": lambda: rules.WindowVariance(1),
    "alpha is 1": lambda: rules.ExponentialVariance(1),
    "std, tau are 0, 1": lambda: rules.halves(torch.zeros(1, 1, 2, 2), 0, 1, rng()),
    "spacing, stages, low, high are 'even', 3": lambda: rules.levels("even", 3, 1.0, 0.1),
    "spacing, stages, low, high are 'log', 1": lambda: rules.levels("log", 1, 1.0, 0.1),
    "spacing, stages, low, high are 'linear', 3, 1": lambda: rules.levels("linear", 3, 0.1, 1.0),
}


@pytest.mark.parametrize("named", WRONG)
def test_what_a_rule_cannot_be_is_refused(named):
    with pytest.raises(ValueError, match=f"^{named}"):
        WRONG[named]()


@pytest.mark.slow
def test_rules_stop_where_they_do_in_the_same_fits_written_out_again(store):
    run = RUN.model_copy(update={"iterations": 60, "lr": 0.02, "std": 0.4})
    record = store.ensure(run)
    steps = dict(zip(record.arrays["rules"].tolist(), record.arrays["step"].astype(int).tolist(), strict=True))
    clean = ranges.uint8_to_unit(sets.load(DATA).held_out[:3])
    y = clean + run.std * streams.normal(clean, streams.generator(0, "observed noise"))
    first, second = rules.halves(y, run.std, run.tau, streams.generator(0, "halves"))

    def fitted(target):
        fits = fit.fit_images(run, lambda _: target, streams.generator(0, "fit"))
        return [one.outputs for one in fits]

    def errors(outputs, reference):
        return torch.stack([rules.mean_square(one, reference) for one in outputs]).double().numpy()

    plain, half = fitted(y), fitted(first)
    psnr = torch.stack([fidelity.psnr(one, clean) for one in plain])
    expected = {
        "oracle": (psnr.argmax(0) + 1).tolist(),
        "discrepancy": rules.below(errors(plain, y), run.std**2)[0].tolist(),
        "halves": rules.lowest(errors(half, second), run.patience)[0].tolist(),
    }
    assert {name: steps[name] for name in expected} == expected
    assert 1 < min(expected["discrepancy"]) and expected["discrepancy"] != [60] * 3


def test_a_rule_costs_all_its_fits_until_its_stop_is_known():
    """An iteration of an image takes a second; the second image's stop is never known."""
    psnr = np.arange(8.0).reshape(4, 2)
    fits = {name: {"psnr": psnr, "seconds": np.array(8.0)} for name in ("plain", "halves")}
    for name, fit_of in (("wmv", "plain"), ("halves", "halves")):
        fits[fit_of] |= {f"{name}_step": np.array([2, 3]), f"{name}_known": np.array([3, 0]), f"{name}_seconds": np.array(0.0)}
    run = RUN.model_copy(update={"n_images": 2, "iterations": 4, "fixed": 2})
    seconds = {rule: stopping._stopped(run, rule, fits)["seconds"].tolist() for rule in ("wmv", "halves", "fixed")}
    assert seconds == {"wmv": [3, 4], "halves": [6, 8], "fixed": [2, 2]}


def test_staged_levels_are_corrected_for_every_net_and_both_measures():
    gaps = findings._over_discrepancy(Records().seeds("stopping"))
    assert len(gaps) > 1 and {gap.of for gap in gaps.values()} == {len(gaps)}
