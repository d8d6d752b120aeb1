import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dipddpm_utils.judging import frechet


def calculate_frechet_distance(*moments):
    """pytorch-fid's; imported here since it brings torchvision along: seconds, only where it is needed."""
    from pytorch_fid import fid_score

    return fid_score.calculate_frechet_distance(*moments)


def _gaussian(rng, d, n=None):
    x = rng.normal(size=(n or 3 * d, d)) @ rng.normal(size=(d, d)) / np.sqrt(d)
    return x.mean(0), np.cov(x, rowvar=False)


@pytest.mark.parametrize("d", [2, 5, 64, 256])
def test_is_pytorch_fids(d):
    rng = np.random.default_rng(d)
    (m1, c1), (m2, c2) = _gaussian(rng, d), _gaussian(rng, d)
    want = calculate_frechet_distance(m1, c1, m2, c2)
    assert frechet.frechet_distance(m1, c1, m2, c2) == pytest.approx(want, rel=1e-6)
    assert frechet.frechet_distance(m1, c1, m2, c2, root2=frechet.symmetric_root(c2)) == pytest.approx(want, rel=1e-6)
    assert frechet.frechet_distance(m1, c1, m1, c1) == pytest.approx(0, abs=1e-6)


def test_is_pytorch_fids_with_fewer_images_than_features():
    rng = np.random.default_rng(0)
    (m1, c1), (m2, c2) = _gaussian(rng, 64, n=30), _gaussian(rng, 64, n=200)
    assert frechet.frechet_distance(m1, c1, m2, c2) == pytest.approx(calculate_frechet_distance(m1, c1, m2, c2), rel=1e-5)


def test_a_kept_factor_gives_the_same_distance_and_is_triangular_unless_singular():
    rng = np.random.default_rng(4)
    (m1, c1), (m2, c2) = _gaussian(rng, 20), _gaussian(rng, 20)
    want = calculate_frechet_distance(m1, c1, m2, c2)
    lower = frechet.factor(torch.from_numpy(c2))
    assert torch.equal(lower, lower.tril()) and not torch.equal(lower, torch.diag(lower.diag()))
    torch.testing.assert_close(lower @ lower.T, torch.from_numpy(c2))
    assert frechet.frechet_distance(m1, c1, m2, c2, root2=lower) == pytest.approx(want, rel=1e-9)
    flat = np.array([[0.0, 0.0, 0.0], [0.0, 2.0, 1.0], [0.0, 1.0, 2.0]])  # Cholesky's ends at the first row
    singular = frechet.factor(torch.from_numpy(flat))
    np.testing.assert_allclose(singular @ singular.T, flat, atol=1e-12)


diagonals = st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.floats(-5, 5)), min_size=1, max_size=8)


@given(diagonals)
@settings(max_examples=60, deadline=None)
def test_diagonal_gaussians_have_a_closed_form(values):
    a, b, m = (np.array(column) for column in zip(*values, strict=True))
    want = (m**2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet.frechet_distance(m, np.diag(a), 0 * m, np.diag(b)) == pytest.approx(want, rel=1e-9, abs=1e-9)


@given(st.integers(2, 50), st.floats(-1e6, 1e6))
@settings(max_examples=30, deadline=None)
def test_mean_and_covariance_are_numpys(n, offset):
    whole = np.random.default_rng(n).normal(size=(n, 3)) + offset
    mean, cov = frechet.mean_cov(whole)
    np.testing.assert_allclose(mean, whole.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(cov, np.cov(whole, rowvar=False), rtol=1e-6, atol=1e-7)


def test_interval_covers_the_distance_at_this_n():
    """Of 200 samples of n, about 95% of the intervals should hold the mean distance of samples of that n."""
    d, n = 6, 400
    mean, cov = torch.full((d,), 0.3), torch.eye(d)
    rng = np.random.default_rng(3)
    found = [frechet.frechet_interval(torch.from_numpy(rng.normal(size=(n, d))), mean, cov) for _ in range(200)]
    typical = np.mean([i.value for i in found])
    assert 0.9 < np.mean([i.low <= typical <= i.high for i in found]) < 0.99
    assert all(i.low <= i.value <= i.high and i.n == n for i in found)


def test_the_interval_is_made_of_what_each_image_moves_the_distance_by():
    """The derivative of the distance when an image counts for a little more, by finite differences."""
    x = torch.from_numpy(np.random.default_rng(1).exponential(size=(60, 3)) @ np.diag([1.0, 2.0, 0.5]))  # skewed: signs count
    mean, cov, step = torch.tensor([0.5, -1.0, 0.2]), torch.diag(torch.tensor([1.0, 1.0, 2.0])), 1e-5

    def distance(weights):
        weights = weights / weights.sum()
        mu = weights @ x
        scatter = ((x - mu) * weights[:, None]).T @ (x - mu) * 60 / 59
        return frechet.frechet_distance(mu, scatter, mean, cov)

    even = torch.full((60,), 1 / 60, dtype=torch.float64)
    moves = torch.tensor([(distance(even + step * (torch.arange(60) == i)) - distance(even)) / step for i in range(60)])
    found = frechet.frechet_interval(x, mean, cov)
    assert (found.high - found.value) / 1.96 == pytest.approx(float(moves.std()) / 60**0.5, rel=0.03)


def test_images_that_are_all_alike_have_an_interval_of_no_width():
    found = frechet.frechet_interval(np.ones((9, 3)), torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    assert found.low == found.value == found.high == pytest.approx(6)  # 3 of the means, 3 of the covariance


def test_values_that_are_not_finite_are_refused():
    mean, cov = torch.zeros(3), torch.eye(3)
    with pytest.raises(ValueError, match="features have widths 3 and 2"):
        frechet.frechet_distance(torch.zeros(3), torch.eye(3), torch.zeros(2), torch.eye(2))
    with pytest.raises(ValueError, match="not finite: look at the images"):
        frechet.frechet_distance(mean, cov, mean * float("nan"), cov)


def test_no_distance_is_below_zero():
    x = np.random.default_rng(0).normal(size=(50, 3))
    found = frechet.frechet_interval(x, *frechet.mean_cov(x + [0.1, 0, 0]))
    assert found.low == 0 < found.value < found.high
