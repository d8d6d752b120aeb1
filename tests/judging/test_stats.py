import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dipddpm_utils.judging import stats


def test_without_an_error_a_mean_is_the_hypothesis_or_is_not():  # with one: page/test_compare.py, against SciPy
    assert (stats.t_test(0.0, 0.0, 3), stats.t_test(1.0, 0.0, 3)) == (1.0, 0.0)


HOLM = [  # p-values, adjusted as R's p.adjust(p, "holm") does
    ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
    ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),  # ties
    ([0.6, 0.9], [1.0, 1.0]),
    ([0.04], [0.04]),
    ([], []),
    ([float("nan"), 0.02, 0.03], [float("nan"), 0.04, 0.04]),  # what could not be tested does not count
]


@pytest.mark.parametrize(("p", "adjusted"), HOLM)
def test_holm(p, adjusted):
    given_p = np.array(p)
    assert stats.holm(given_p) == pytest.approx(adjusted, nan_ok=True)
    assert given_p == pytest.approx(p, nan_ok=True)  # what was given is left as it is


@given(st.floats(0.3, 5), st.sampled_from([0.05, 0.05 / 17]), st.sampled_from([None, 3]))
@example(2.1, 0.05, None)  # 5 by a hair: with other degrees of freedom 4
@example(12.0, 0.05, None)  # 2, the fewest that there are
@settings(max_examples=25, deadline=None)
def test_pairs_needed_is_the_first_number_with_80_percent_power(effect, level, planned):
    def power(n):
        looks = 1 if planned is None else max(1, n - planned + 1)
        edge, shift = scipy.stats.t.ppf(1 - level / looks / 2, n - 1), effect * np.sqrt(n)
        return scipy.stats.nct.sf(edge, n - 1, shift)

    n = stats.pairs_needed(-effect, 1.0, level, planned)
    assert power(n) >= 0.8 and (n == 2 or power(n - 1) < 0.8)
    assert stats.pairs_needed(3 * effect, 3.0, level, planned) == n  # the ratio to the spread counts


def test_pairs_needed_is_that_of_the_tables_and_none_beyond_a_thousand():
    assert stats.pairs_needed(0.5, 1.0) == 34 and stats.pairs_needed(1.0, 1.0) == 10  # G*Power, paired t-test, two-sided
    assert stats.pairs_needed(0.01, 1.0) is None and stats.pairs_needed(0.0, 0.0) is None and stats.pairs_needed(1.0, 0.0) == 2


def test_bad_values_are_named():
    with pytest.raises(ValueError, match="values has 1 value"):
        stats.mean_interval([1.0])
    with pytest.raises(ValueError, match="not finite"):
        stats.mean_interval([1.0, float("inf")])
