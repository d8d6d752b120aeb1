"""One untrained network per image: 64 images fitted together against one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.pairs import Row, Setting, at_most, times_faster
from dipddpm_utils.dip import fit as dip
from dipddpm_utils.study import profile

N, SIZE = 64, 28


def rows(setting: Setting) -> Iterator[Row]:
    """For each net, as the reports' runs fit it: how many times faster an iteration is, and how far the losses are apart."""
    device, n = setting.device, setting.pick(N, 4)
    target = {"cuda": 8.0}.get(device.type, 1.5)
    images = torch.rand(n, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(device)

    def fits(run, batched: bool, dtype: torch.dtype = torch.float32):
        options = {"iterations": 10_000, "lr": run.lr, "z_std": run.z_std, "width": run.width, "batched": batched}
        return dip.fit_images(run.net, images.to(dtype), generator=torch.Generator().manual_seed(1), **options)

    def apart(run, dtype: torch.dtype) -> float:
        """The largest relative difference between the losses of any image, over three iterations."""
        both = zip(fits(run, True, dtype), fits(run, False, dtype), range(3), strict=False)
        return max(float(((a.losses - b.losses).abs() / b.losses).max()) for a, b, _ in both)

    for net in ("skip", "resnet18", "5conv", "2conv"):
        run = profile.load("standard").entry(f"dip-images-{net}-s0").run
        together, alone = fits(run, True), fits(run, False)
        counted = net == "skip"  # the net of the published method; the others are shown beside it
        exact, rounded = apart(run, torch.float64), apart(run, torch.float32)
        yield times_faster(
            f"{n} images fitted together, {net}",
            lambda it=together: _wait(next(it), device),
            lambda it=alone: _wait(next(it), device),
            target if counted else None,
            setting.pick(7, 1),
            f"an iteration, width {run.width}, {SIZE} px",
        )
        note = f"largest of all images, 3 iterations, float64; in float32, where Adam enlarges rounding, {rounded:.1e}"
        yield at_most(f"losses of {n} images, together against one by one, {net}", [exact], 1e-4, "relative difference", note)


def _wait(fit: dip.Fit, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
