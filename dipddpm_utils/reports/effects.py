"""Faults that change no training: what each changed in what was read, measured on the runs that are there."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dipddpm_utils.faults import DIP_REPORTED_OVER, REPORTED_OVER, reported_loss
from dipddpm_utils.page import prose
from dipddpm_utils.page.compare import Paired, best_start, difference, frame_of, own_interval, paired

WINDOW = 2000  # steps in the shortest window whose loss report A divides by 3000


def table(lab: Any) -> pd.DataFrame:
    """One row a measured effect: fault, what was measured and on which runs, effect with its 95% interval, how many pairs.

    Runs that a profile does not hold leave their rows out.
    """
    rows = []
    for fault, measured, unit, groups, measure in MEASURED:
        if lab.has(*groups):
            found = measure(lab)
            timed = f", timed on {lab.seeds(groups[0])[0].provenance.get('device_name', 'an unknown machine')}"
            about = {"fault": fault, "measured": measured, "on": ", ".join(groups) + timed * (fault == "FB1")}
            rows.append({**about, "effect": prose.effect(found, unit), "n": f"{found.n} {found.over}"})
    return pd.DataFrame(rows, columns=["fault", "measured", "on", "effect", "n"])


def thirty_samples(lab: Any) -> Paired:
    """FA3: FD as published, of 30 samples, over FD of all samples, the same models."""
    frame = frame_of(lab.seeds("a-ddpm"))
    return difference(frame.assign(fd=frame["fd_published"]), frame, "fd")


def start_used(lab: Any) -> Paired:
    """FA8: FD from a DIP start over FD from noise at equal calls, at the best t_start, copies left out if they can be."""
    return best_start(lab.frame("a-starts"), "dip")[1]


def path(lab: Any) -> Paired:
    """FB1: seconds an epoch that the data path alone saves, over the repeats of one record."""
    row = lab.seeds("b-timing")[0].metrics
    mean = own_interval(row | {"n": row["repeats"]}, "data_saved_seconds")
    return Paired(mean.low, mean.value, mean.high, mean.n, over="repeats")


def left_out(name: str) -> Callable[[Any], Paired]:
    """FA9, FB4: seconds of the DIP, which the reports did not count, as a share of the DDPM's training seconds."""

    def measure(lab: Any) -> Paired:
        frame = frame_of(lab.seeds(name))
        return paired(list(frame["dip_seconds"] / frame["train_seconds"]))

    return measure


def unrelated_psnr(lab: Any) -> Paired:
    """FB5: PSNR of samples to real images that have nothing to do with them, minus that of one real image to the next (dB).

    Near zero: the measure does not tell a sample from a real image, whatever the sample looks like.
    """
    clean = lab.seeds("b-dip")[0].arrays["panels_clean"]
    between = _psnr(clean[1:], clean[:-1])
    return paired([_psnr(record.arrays["grid"][:, None], clean[None]) - between for record in lab.seeds("b-combined")])


def _psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean PSNR (dB) of pairs of uint8 images [..., C, H, W]; computed in float64, so that nothing wraps around."""
    error = (((a.astype(float) - b.astype(float)) / 255) ** 2).mean(axis=(-3, -2, -1))
    return float((-10 * np.log10(np.maximum(error, 1e-10))).mean())


def _by_definition(printed: float) -> Callable[[Any], Paired]:
    return lambda lab: paired([np.log(printed)], ratio=True, over="definition")


MEASURED: tuple[tuple[str, str, str, tuple[str, ...], Callable[[Any], Paired]], ...] = (
    ("FA3", "FD of 30 samples, features in training mode, over FD of all, in 64 dimensions, not in Inception's 2048", "",
     ("a-ddpm",), thirty_samples),
    ("FA6", "printed over true loss of the DDPM, window of 2000 steps", "", ("a-ddpm",),
     _by_definition(reported_loss([1.0] * WINDOW, REPORTED_OVER))),
    ("FA6", "printed over true loss of the DIP", "", ("a-dip-2conv",), _by_definition(reported_loss([1.0], DIP_REPORTED_OVER))),
    ("FA8", "FD from a DIP start over FD from noise, equal calls, best t_start", "", ("a-starts",), start_used),
    ("FA9", "DIP seconds left out (2conv)", "of the training", ("a-2conv",), left_out("a-2conv")),
    ("FA9", "DIP seconds left out (ResNet-18)", "of the training", ("a-resnet18",), left_out("a-resnet18")),
    ("FB1", "seconds that the data path alone saves", "s an epoch", ("b-timing",), path),
    ("FB4", "DIP seconds left out", "of the training", ("b-combined",), left_out("b-combined")),
    ("FB5", "PSNR of samples to unrelated digits, minus real to unrelated", "dB", ("b-combined", "b-dip"), unrelated_psnr),
)  # fmt: skip
