import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from dipddpm_utils.judging import stats


@given(st.floats(-30, 30), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_t_cdf_is_scipys(t, df):
    assert stats.t_cdf(t, df) == pytest.approx(scipy.stats.t.cdf(t, df), abs=1e-12)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 1999])
@pytest.mark.parametrize("p", [0.025, 0.5, 0.9, 0.975, 0.995])
def test_t_quantile_is_scipys(p, df):
    assert stats.t_quantile(p, df) == pytest.approx(scipy.stats.t.ppf(p, df), abs=1e-9)


def test_mean_interval_is_scipys_t_interval():
    values = np.random.default_rng(0).normal(size=7)
    ours = stats.seeds_interval(values)
    low, high = scipy.stats.t.interval(0.95, 6, loc=values.mean(), scale=scipy.stats.sem(values))
    assert (ours.low, ours.value, ours.high, ours.n) == pytest.approx((low, values.mean(), high, 7))
    assert type(ours.low) is float


@pytest.mark.parametrize("method", ["basic", "percentile"])
@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_bootstrap_agrees_with_scipys(method, statistic):
    values = np.random.default_rng(1).exponential(size=80)
    ours = stats.bootstrap(values, statistic, rng=np.random.default_rng(2), n_resamples=6000, method=method)
    theirs = scipy.stats.bootstrap((values,), statistic, n_resamples=6000, method=method, rng=np.random.default_rng(3))
    width = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)


def test_basic_and_percentile_mirror_each_other():
    values = np.random.default_rng(1).exponential(size=50)
    basic, percentile = (stats.bootstrap(values, rng=np.random.default_rng(2), method=m) for m in ("basic", "percentile"))
    assert basic.low + percentile.high == pytest.approx(2 * values.mean())


def test_paired_difference_is_scipys_ttest_rel_and_permutation_test():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.4, 1, 8), rng.normal(size=8)
    ours = stats.paired_difference(a, b)
    theirs = scipy.stats.ttest_rel(a, b)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.interval.low, ours.interval.high) == pytest.approx(tuple(theirs.confidence_interval()))
    exact = scipy.stats.permutation_test((a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf)
    assert ours.p_sign_flip == pytest.approx(exact.pvalue)


def test_many_pairs_are_permuted_at_random():
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.3, 1, 40), rng.normal(size=40)
    ours = stats.paired_difference(a, b, n_permutations=4000)
    assert ours.p_sign_flip == pytest.approx(ours.p, abs=0.03)
    assert stats.paired_difference(a, a).p == 1 == stats.paired_difference(a, a).p_sign_flip
    assert stats.paired_difference(a, b, rng=np.random.default_rng(0), n_permutations=200).p_sign_flip >= 1 / 201


def test_three_seeds_that_agree_cannot_reach_a_small_sign_flip_p():
    assert stats.paired_difference([3, 4, 5], [1, 1, 1]).p_sign_flip == pytest.approx(2 / 8)


def test_interval_is_shown_with_the_digits_that_it_supports():
    assert str(stats.Interval(11.8, 12.3, 12.9, 2000)) == "12.3 [11.8, 12.9] (n=2000)"
    assert str(stats.Interval(0.01234, 0.0125, 0.0127, 5)) == "0.01250 [0.01234, 0.01270] (n=5)"
    assert str(stats.Interval(1.0, 1.0, 1.0, 3)).startswith("1.0")
    assert str(stats.Interval(0.0, 0.0, 0.0, 3)) == "0.00 [0.00, 0.00] (n=3)"


def test_bad_values_are_named():
    with pytest.raises(ValueError, match="values has 1 value"):
        stats.seeds_interval([1.0])
    with pytest.raises(ValueError, match="not finite"):
        stats.mean_interval([1.0, float("inf")])
    with pytest.raises(ValueError, match="same shape"):
        stats.paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="method"):
        stats.bootstrap(np.arange(4.0), rng=np.random.default_rng(0), method="bca")


def test_stats_needs_neither_torch_nor_scipy():
    code = "import sys, dipddpm_utils.stats as s; s.seeds_interval([1, 2, 3]); print({'torch', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
