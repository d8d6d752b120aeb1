"""Faults that change no training: what each changed in what was read, measured on the runs that are there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dipddpm_utils.faults import DIP_REPORTED_OVER, reported_loss
from dipddpm_utils.page.compare import Paired, best_start, difference, frame_of, paired
from dipddpm_utils.page.words import in_unit

FACTOR = "log ratio"
WINDOW = 2000  # steps in the shortest window whose loss report A divides by 3000


def table(lab: Any) -> pd.DataFrame:
    """One row a measured effect: fault, what was measured and on which runs, effect with its 95% interval, seeds. Runs that a
    profile does not hold leave their rows out.
    """
    rows = []
    for fault, measured, unit, groups, measure in MEASURED:
        if lab.has(*groups) and (effect := measure(lab)) is not None:
            about = {"fault": fault, "measured": measured, "on": ", ".join(groups)}
            rows.append({**about, "effect": in_unit(effect, unit), "seeds": effect.n})
    return pd.DataFrame(rows, columns=["fault", "measured", "on", "effect", "seeds"])


def thirty_samples(lab: Any) -> Paired | None:
    """FA3: log(FD as published, of 30 samples / FD of all samples), the same models."""
    return _log_ratio(lab.seeds("a-ddpm"), "fd_published", "fd")


def spread_of_thirty(lab: Any) -> Paired | None:
    """FA3: how far the FD of 30 samples scatters about its own straight line over training, as a share of it."""
    shares = []
    for record in lab.seeds("a-ddpm"):
        if "fd_published" in record.evals and len(record.evals) > 3:
            values, x = np.log(record.evals["fd_published"].to_numpy(float)), np.arange(len(record.evals))
            shares.append(float((values - np.polyval(np.polyfit(x, values, 1), x)).std(ddof=2)))
    return paired(shares) if shares else None


def loss_scale(lab: Any) -> Paired | None:
    """FA6: log(loss as report A printed it / mean loss) of the DDPM at the end, in a window of 2000 of 3000 steps."""
    means = [float(record.curve["loss"].tail(10).mean()) for record in lab.seeds("a-ddpm")]
    return paired([math.log(reported_loss([mean] * WINDOW) / mean) for mean in means])


def dip_loss_scale(lab: Any) -> Paired | None:
    """FA6: log(loss as report A printed it / mean squared error) of the DIP at the end."""
    means = [float(record.curve["loss"].tail(10).mean()) for record in lab.seeds("a-dip-2conv")]
    return paired([math.log(reported_loss([mean], DIP_REPORTED_OVER) / mean) for mean in means])


def start_used(lab: Any) -> Paired | None:
    """FA8: log(FD from a DIP start / FD from noise at equal calls) where it is lowest: what using the DIP would have given."""
    best = best_start(lab.frame("a-starts"), "dip")
    return None if best is None else best[1]


def per_image(lab: Any) -> Paired | None:
    """FA9: log(FD trained on per-image DIP outputs / on the autoencoder's), on the same few images."""
    frame = lab.frame("a-bank")
    return difference(frame[frame["label"] == "per_image"], frame[frame["label"] == "dae"], "fd", ratio=True)


def path(lab: Any) -> Paired | None:
    """FB1: seconds an epoch that the data path alone saves, with the interval of its repeats where there is one record."""
    frame = frame_of(lab.seeds("b-timing"))
    if len(frame) > 1:
        return paired(list(frame["data_saved_seconds"]))
    row = frame.iloc[0]
    return Paired(*(float(row[f"data_saved_seconds{end}"]) for end in ("", "_low", "_high")), 1, None)


def left_out(name: str) -> Callable[[Any], Paired | None]:
    """FA9, FB4: seconds of the DIP, which the reports did not count, as a share of the DDPM's training seconds."""

    def measure(lab: Any) -> Paired | None:
        frame = frame_of(lab.seeds(name))
        return paired(list(frame["dip_seconds"] / frame["train_seconds"]))

    return measure


def unrelated_psnr(lab: Any) -> Paired | None:
    """FB5: PSNR of samples to real images that have nothing to do with them, minus that of one real image to the next (dB).

    Near zero: the measure does not tell a sample from a real image, whatever the sample looks like.
    """
    clean, gaps = lab.seeds("b-dip")[0].arrays["panels_clean"], []
    between = _psnr(clean[1:], clean[:-1])
    for record in lab.seeds("b-combined"):
        grid = record.arrays["grid"]
        if len(grid) and grid.shape[1:] == clean.shape[1:]:
            gaps.append(_psnr(grid[:, None], clean[None]) - between)
    return paired(gaps) if gaps else None


def _psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean PSNR (dB) of pairs of uint8 images [..., C, H, W]; computed in float64, so that nothing wraps around."""
    error = (((a.astype(float) - b.astype(float)) / 255) ** 2).mean(axis=(-3, -2, -1))
    return float((-10 * np.log10(np.maximum(error, 1e-10))).mean())


def _log_ratio(records: Sequence[Any], over: str, under: str) -> Paired | None:
    frame = frame_of(records)
    if over not in frame:
        return None
    values = np.log(frame[over].astype(float) / frame[under].astype(float)).dropna()
    return paired(list(values)) if len(values) else None


Measure = Callable[[Any], "Paired | None"]
MEASURED: tuple[tuple[str, str, str, tuple[str, ...], Measure], ...] = (
    ("FA3", "FD of 30 samples, features in training mode, over FD of all", FACTOR, ("a-ddpm",), thirty_samples),
    ("FA3", "scatter of that FD about its line over training", "of its value", ("a-ddpm",), spread_of_thirty),
    ("FA6", "printed over true loss of the DDPM, window of 2000 steps", FACTOR, ("a-ddpm",), loss_scale),
    ("FA6", "printed over true loss of the DIP", FACTOR, ("a-dip-2conv",), dip_loss_scale),
    ("FA8", "FD from a DIP start over FD from noise, equal calls, best t_start", FACTOR, ("a-starts",), start_used),
    ("FA9", "FD on per-image DIP outputs over FD on the autoencoder's", FACTOR, ("a-bank",), per_image),
    ("FA9", "DIP seconds left out (2conv)", "of the training", ("a-2conv",), left_out("a-2conv")),
    ("FA9", "DIP seconds left out (ResNet-18)", "of the training", ("a-resnet18",), left_out("a-resnet18")),
    ("FB1", "seconds that the data path alone saves (interval over repeats)", "s an epoch", ("b-timing",), path),
    ("FB4", "DIP seconds left out", "of the training", ("b-combined",), left_out("b-combined")),
    ("FB5", "PSNR of samples to unrelated digits, minus real to unrelated", "dB", ("b-combined", "b-dip"), unrelated_psnr),
)
