import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dipddpm_utils.judging import fidelity


def _normal(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_mmd2_is_the_double_loop():
    a, b = _normal(0, 6, 3), _normal(1, 5, 3) + 0.3

    def k(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    aa = [k(a[i], a[j]) for i in range(6) for j in range(6) if i != j]
    bb = [k(b[i], b[j]) for i in range(5) for j in range(5) if i != j]
    ab = [k(x, y) for x in a for y in b]
    want = np.mean(aa) + np.mean(bb) - 2 * np.mean(ab)
    assert fidelity.mmd2(a, b).item() == pytest.approx(want)


def test_kid_is_unbiased_so_zero_on_average_for_equal_distributions():
    values = fidelity.kid_blocks(_normal(2, 4000, 8), _normal(3, 4000, 8), blocks=100, rng=np.random.default_rng(0))
    assert values.shape == (100,)
    assert abs(values.mean()) < 3 * values.std(ddof=1) / 10
    assert values.min() < 0 < values.max()
    apart = fidelity.kid_blocks(_normal(2, 900, 8), _normal(3, 900, 8) + 0.5, blocks=3, rng=np.random.default_rng(0))
    assert apart.mean() > 5 * apart.std()
    with pytest.raises(ValueError, match="KID of 10 blocks takes at least 20 images of each kind, got 30 and 19"):
        fidelity.kid_blocks(_normal(2, 30, 8), _normal(3, 19, 8), blocks=10, rng=np.random.default_rng(0))


def test_precision_and_recall_on_known_geometry():
    real = torch.tensor([[0.0, 0], [1, 0], [2, 0], [3, 0], [100, 0], [101, 0], [102, 0], [103, 0]])
    near, far = torch.tensor([[0.5, 0], [1.5, 0], [2.5, 0], [0.2, 0.1]]), torch.tensor([[50.0, 0], [50, 1], [50, 2], [50, 3]])
    assert fidelity.precision_recall(real, near) == (1.0, pytest.approx(4 / 8))  # one of two modes, nothing false
    assert fidelity.precision_recall(real, torch.cat([near, far])) == (pytest.approx(4 / 8), pytest.approx(4 / 8))
    assert fidelity.precision_recall(real, real) == (1.0, 1.0)
    edge = torch.tensor([[-2.5, 0], [-3.5, 0]]).repeat(2, 1)
    assert fidelity.precision_recall(real, edge)[0] == 0.5  # an end's third neighbour is 3 away, its second only 2


def test_nearest_is_cdists():
    a, b = _normal(6, 300, 7).float(), _normal(7, 40, 7).float()
    (distances, rows), expected = fidelity.nearest_rows(a, b), torch.cdist(a, b)
    torch.testing.assert_close(distances, expected.amin(1), rtol=1e-4, atol=1e-4)
    assert torch.equal(rows, expected.argmin(1))


def test_copies_are_counted_and_the_floor_is_the_quantile():
    train, held_out, fresh = (_normal(seed, 1000, 5) for seed in (8, 9, 10))
    samples = torch.cat([train[:300] + 1e-4, fresh[:700]])
    usual = fidelity.nearest_rows(held_out, train)[0]
    rate, floor = fidelity.copied_share(fidelity.nearest_rows(samples, train)[0], usual)
    assert rate == pytest.approx(0.3, abs=0.03) and floor == pytest.approx(0.01, abs=0.01)
    assert fidelity.copied_share(fidelity.nearest_rows(fresh, train)[0], usual)[0] == pytest.approx(0.01, abs=0.012)


def test_a_copy_is_nearer_than_99_percent_of_held_out_images():
    held_out = torch.arange(1000.0)
    assert fidelity.copied_share(torch.tensor([9.9, 10.1]), held_out)[0] == 0.5
    assert fidelity.copied_share(held_out, held_out)[0] == pytest.approx(0.01)


@pytest.mark.parametrize(("channels", "kind"), [(1, "float32"), (3, "float32"), (3, "float64")])
def test_psnr_and_ssim_are_skimages(channels, kind):
    rng = np.random.default_rng(11)
    a = rng.uniform(0, 1, (4, channels, 28, 32))
    a = (a + np.roll(a, 1, -1) + np.roll(a, 1, -2)) / 3
    b = np.clip(a + rng.normal(0, 0.1, a.shape), 0, 1)
    a, b = a.astype(kind), b.astype(kind)
    psnr, ssim = (f(torch.from_numpy(a), torch.from_numpy(b)) for f in (fidelity.psnr, fidelity.ssim))
    settings_ = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    for i in range(4):
        assert psnr[i].item() == pytest.approx(peak_signal_noise_ratio(a[i], b[i], data_range=1), abs=1e-4)
        assert ssim[i].item() == pytest.approx(structural_similarity(a[i], b[i], data_range=1, **settings_), abs=2e-5)


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_ssim_and_psnr_of_equal_images(seed):
    a = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(fidelity.ssim(a, a), torch.ones(2))
    assert torch.isinf(fidelity.psnr(a, a)).all()


def test_bad_pairs_are_named():
    a = torch.zeros(1, 1, 12, 12)
    with pytest.raises(ValueError, match="images have 8 x 8 pixels, expected at least 11 x 11"):
        fidelity.ssim(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="same"):
        fidelity.psnr(a, a[..., :5])
    for one, other in ((a, a.to(torch.uint8)), (a.to(torch.uint8), a.to(torch.uint8)), (a, a.double())):
        with pytest.raises(ValueError, match="a is torch.*expected both the same floating point"):
            fidelity.psnr(one, other)
