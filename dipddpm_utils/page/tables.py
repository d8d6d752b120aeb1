"""Records -> tables: a row a setting, every number with its interval and its n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dipddpm_utils.page.compare import difference, floor_at, frame_of, summary
from dipddpm_utils.page.words import factor, signed, span


def dip_table(records: Mapping[str, Sequence[Any]], labels: Mapping[str, str]) -> pd.DataFrame:
    """One row a DIP net: size, time, restoration of held-out noisy images, and what it does to clean ones."""
    rows = []
    for net, own in records.items():
        frame = frame_of(own)
        rows.append(
            {
                "net": labels.get(net, net),
                "parameters": int(frame["parameters"].iloc[0]),
                "seeds": len(frame),
                "fit (s)": span(summary(frame, "train_seconds")),
                "PSNR restored (dB)": span(summary(frame, "psnr")),
                "SSIM restored": span(summary(frame, "ssim")),
                f"{frame['features'].iloc[0]} of its outputs": span(summary(frame, "fd")),
            }
        )
    return pd.DataFrame(rows)


def quality_table(frames: Mapping[str, pd.DataFrame], floor: Any) -> pd.DataFrame:
    """One row a method: distances with intervals beside the floor at the same n, precision, recall, copies, cost."""
    rows = []
    for name, frame in frames.items():
        n = float(frame["n"].iloc[0])
        least = floor_at(floor, "fd", n)
        row = {
            "": name,
            "seeds": frame["seed"].nunique(),
            "n": int(n),
            "calls": int(frame["nfe"].iloc[0]),
            frame["features"].iloc[0]: span(summary(frame, "fd")),
            "times the floor": f"{frame['fd'].mean() / least.value:.3g}" if least else "",
            "KID": span(summary(frame, "kid")),
            "precision": span(summary(frame, "precision")),
            "recall": span(summary(frame, "recall")),
            "copied": span(summary(frame, "copy_rate")),
        }
        rows.append(row)
    if least := floor_at(floor, "fd"):
        own = {key: span(floor_at(floor, key)) for key in ("kid", "precision", "recall", "copy_rate")}
        rows.append(
            {
                "": "real against real",
                "seeds": "",
                "n": int(floor.metrics["n"]),
                "calls": "",
                floor.metrics["features"]: span(least),
                "times the floor": "1",
                "KID": own["kid"],
                "precision": own["precision"],
                "recall": own["recall"],
                "copied": own["copy_rate"],
            }
        )
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
                    row[f"{label}, from the anchor"] = "anchor" if same else signed(gap) if gap else ""
            rows.append(row)
    return pd.DataFrame(rows).fillna("")


def start_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a start and t_start: distance, paired ratio to the whole chain with as many calls, copies, seconds."""
    rows = []
    for (label, value), part in frame.groupby(["label", "value"], sort=False):
        noise = frame[(frame["label"] == "noise") & (frame["value"] == value)]
        ratio = difference(part, noise, "fd", ratio=True) if len(noise) and label != "noise" else None
        rows.append(
            {
                "start": label,
                "t_start": int(value),
                "calls": int(part["nfe"].iloc[0]),
                part["features"].iloc[0]: span(summary(part, "fd")),
                "ratio to noise": factor(ratio) if ratio else "",
                "copied": span(summary(part, "copy_rate")),
                "prior (s)": f"{part['prior_seconds'].mean():.3g}",
                "drawing (s)": f"{part['sampling_seconds'].mean():.3g}",
            }
        )
    return pd.DataFrame(rows)
