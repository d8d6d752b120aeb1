"""The Frechet distance at Inception's 2048 dimensions against pytorch-fid's and torch-fidelity's functions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from benchmarks.pairs import Row, Setting, row, times_faster
from dipddpm_utils.judging.frechet import factor, frechet_distance


def rows(setting: Setting) -> Iterator[Row]:
    """The ratio with nothing known before, and with the reference's factor kept, as it is in use; how far the values differ."""
    dim, pairs = setting.pick(2048, 128), setting.pick(7, 1)
    rng = np.random.default_rng(0)
    moments = []
    for shift in (0.0, 0.1):
        features = rng.standard_normal((3 * dim, dim)) * np.geomspace(2, 0.05, dim) + shift
        moments += [features.mean(0), np.cov(features, rowvar=False)]
    ours, theirs = frechet_distance(*moments), calculate_frechet_distance(*moments)
    root = factor(torch.from_numpy(moments[3]))
    kept = frechet_distance(*moments, root2=root)
    name, apart = f"Frechet distance, {dim} dimensions", max(abs(ours / theirs - 1), abs(kept / theirs - 1))
    for known, action in (
        ("", lambda: frechet_distance(*moments)),
        (", reference kept", lambda: frechet_distance(*moments, root2=root)),
    ):
        yield times_faster(
            f"{name}{known}, against pytorch-fid", action, lambda: calculate_frechet_distance(*moments), 15.0, pairs
        )
    yield row(f"{name}, value against pytorch-fid's", [apart], "relative", at_most=1e-6)
    stats = [{"mu": mu, "sigma": sigma} for mu, sigma in (moments[:2], moments[2:])]
    newer = fid_statistics_to_metric(*stats, verbose=False)[KEY_METRIC_FID]
    note = f"eigenvalues of the unsymmetric product; values differ by {abs(ours / newer - 1):.1e} (relative)"
    yield times_faster(
        f"{name}, against torch-fidelity",
        lambda: frechet_distance(*moments),
        lambda: fid_statistics_to_metric(*stats, verbose=False),
        None,
        setting.pick(3, 1),
        note,
    )
