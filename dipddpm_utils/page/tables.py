"""Records -> tables: a row a setting, every number with its interval and its n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dipddpm_utils.page.compare import difference, floor_at, frame_of, start_gaps, summary
from dipddpm_utils.page.names import METHODS, look
from dipddpm_utils.page.words import effect, factor, number, shown_by, span

SCORES = {"kid": "KID", "precision": "precision", "recall": "recall", "copy_rate": "copied"}


def dip_table(records: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """One row a DIP net: size, time, restoration of held-out noisy images, and what it does to clean ones."""
    rows = []
    for net, own in records.items():
        frame = frame_of(own)
        row = {"net": look(net).label, "parameters": int(frame["parameters"].iloc[0]), "seeds": len(frame)}
        columns = {"fit (s)": "train_seconds", "PSNR restored (dB)": "psnr", "SSIM restored": "ssim"}
        columns[f"{frame['features'].iloc[0]} of its outputs"] = "fd"
        rows.append(row | {name: span(summary(frame, metric)) for name, metric in columns.items()})
    return pd.DataFrame(rows)


def quality_table(frames: Mapping[str, pd.DataFrame], floor: Any) -> pd.DataFrame:
    """One row a method: distances with intervals beside the floor at the same n, precision, recall, copies, cost."""
    rows = []
    for name, frame in frames.items():
        n = float(frame["n"].iloc[0])
        fd, least = summary(frame, "fd"), floor_at(floor, "fd", n)
        row = {"": name, "seeds": frame["seed"].nunique(), "n": int(n), "calls": int(frame["nfe"].iloc[0])}
        row |= {frame["features"].iloc[0]: span(fd), "times the floor": number(fd.value / least.value) if least else ""}
        rows.append(row | {label: span(summary(frame, metric)) for metric, label in SCORES.items()})
    if floor is not None:
        row = {"": METHODS["floor"].label, "seeds": "", "n": int(floor.metrics["n"]), "calls": ""}
        row |= {floor.metrics["features"]: span(floor_at(floor)), "times the floor": "1"}
        rows.append(row | {label: span(floor_at(floor, metric)) for metric, label in SCORES.items()})
    return pd.DataFrame(rows)


def sweep_table(frames: Mapping[str, pd.DataFrame], metrics: Mapping[str, str]) -> pd.DataFrame:
    """One row a setting of each sweep: every metric with its interval, and its paired difference from the anchor."""
    rows = []
    for group, frame in frames.items():
        anchor = frame[frame["anchor"].astype(bool)]
        for value, part in frame.groupby("value", sort=False):
            row: dict[str, Any] = {
                "sweep": group,
                "value": value if isinstance(value, str) else f"{value:g}",
                "seeds": part["seed"].nunique(),
            }
            same = bool(part["anchor"].astype(bool).any())
            for metric, label in metrics.items():
                if metric in frame:
                    row[label] = span(summary(part, metric))
                    gap = None if same or anchor.empty else difference(part, anchor, metric)
                    row[f"{label}, against the anchor"] = "anchor" if same else effect(gap)
            rows.append(row)
    return pd.DataFrame(rows).fillna("")


def start_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a start and t_start: distance, paired ratio to the whole chain with as many calls, recall, copies, seconds."""
    rows = []
    gaps = {}
    for label in frame["label"].unique():
        gaps |= start_gaps(frame, [label], ["noise"])
    for (label, value), part in frame.groupby(["label", "value"], sort=False):
        gap = gaps.get((label, "noise", value)) if label != "noise" else None
        rows.append(
            {
                "start": look(label).label,
                "t_start (calls)": f"{value:.0f} ({part['nfe'].iloc[0]:.0f})",
                part["features"].iloc[0]: span(summary(part, "fd")),
                "over noise": f"{factor(gap)} ({shown_by(gap)})" if gap else "",
                "recall": span(summary(part, "recall")),
                "copied": span(summary(part, "copy_rate")),
                "seconds, prior + drawing": f"{part['prior_seconds'].mean():.3g} + {part['sampling_seconds'].mean():.3g}",
            }
        )
    return pd.DataFrame(rows)
