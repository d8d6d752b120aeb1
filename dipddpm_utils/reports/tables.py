"""The two reports rebuilt, in tables: what a model is trained on, report B's ablation rows, report A's batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dipddpm_utils.page.compare import difference, grid_frame, summary
from dipddpm_utils.page.words import factor, signed, span
from dipddpm_utils.reports.printed import row_seconds


def by_label(lab: Any, group: str) -> dict[str, pd.DataFrame]:
    """The frame of a group, split by label, in order."""
    return {str(label): part for label, part in lab.frame(group).groupby("label", sort=False)}


def trained_on_table(frames: Mapping[str, pd.DataFrame], against: str) -> pd.DataFrame:
    """One row a kind of training data: distances to clean images and to the data trained on, ratio to row `against`."""
    rows = []
    for name, frame in frames.items():
        ratio = difference(frame, frames[against], "fd", ratio=True) if name != against else None
        rows.append(
            {
                "trained on": name,
                "seeds": frame["seed"].nunique(),
                "n": int(frame["n"].iloc[0]),
                f"{frame['features'].iloc[0]} to real images": span(summary(frame, "fd")),
                f"over that of {against}": factor(ratio) if ratio else "",
                "to the data trained on": span(summary(frame, "fd_trained")),
                "KID": span(summary(frame, "kid")),
                "precision": span(summary(frame, "precision")),
                "recall": span(summary(frame, "recall")),
            }
        )
    return pd.DataFrame(rows)


def rows_table(lab: Any) -> pd.DataFrame:
    """Report B's six ablation rows: settings, the time it printed, our seconds and distances."""
    frame, rows = grid_frame(lab, "b-rows"), []
    for number, part in frame.groupby("value", sort=True):
        first = part.iloc[0]
        printed = row_seconds(int(number))
        rows.append(
            {
                "row": first["label"],
                "DIP lr": f"{first['dip_lr']:g}",
                "DDPM lr": f"{first['ddpm_lr']:g}",
                "std": f"{first['std']:g}",
                "printed time": f"{printed // 60:.0f}:{printed % 60:02.0f}",
                "training (s)": span(summary(part, "train_seconds")),
                first["features"]: span(summary(part, "fd")),
                "KID": span(summary(part, "kid")),
                "seeds": part["seed"].nunique(),
                "n": int(first["n"]),
            }
        )
    return pd.DataFrame(rows)


def batch_table(lab: Any) -> pd.DataFrame:
    """Report A's batch of 4 beside the larger one used here, at equal images: loss, restoration, distance of the outputs."""
    frames = by_label(lab, "a-batch")
    (small, a), (_, b) = frames.items()
    rows = []
    for metric, label in (("psnr", "PSNR restored (dB)"), ("fd", f"{a['features'].iloc[0]} of its outputs")):
        gap = difference(b, a, metric)
        own = {name: span(summary(frame, metric)) for name, frame in frames.items()}
        rows.append({"measure": label, **own, f"minus {small}": signed(gap) if gap else "", "seeds": a["seed"].nunique()})
    return pd.DataFrame(rows)
