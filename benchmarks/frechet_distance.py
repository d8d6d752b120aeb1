"""The Frechet distance at Inception's 2048 dimensions: two symmetric eigendecompositions against pytorch-fid's matrix root."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pytorch_fid.fid_score import calculate_frechet_distance

from benchmarks.pairs import Row, times_faster
from dipddpm_utils.frechet import frechet_distance

DIM = 2048


def rows() -> Iterator[Row]:
    """One ratio, with how far the two values are apart."""
    rng = np.random.default_rng(0)
    moments = []
    for shift in (0.0, 0.1):
        features = rng.standard_normal((3 * DIM, DIM)) * np.geomspace(2, 0.05, DIM) + shift
        moments += [features.mean(0), np.cov(features, rowvar=False)]
    ours, theirs = frechet_distance(*moments), calculate_frechet_distance(*moments)
    apart = f"values differ by {abs(ours / theirs - 1):.1e} relative"
    yield times_faster(
        "Frechet distance, 2048 dimensions, against pytorch-fid",
        lambda: frechet_distance(*moments),
        lambda: calculate_frechet_distance(*moments),
        15.0,
        note=apart,
    )
