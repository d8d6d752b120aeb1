"""Mechanisms in pictures: quality over all seconds with every method on it, and restoration by every method."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from . import pictures
from .comparisons import over_seeds
from .figures import MECHANISMS, distance_label, draw_floor, finish, legend_beside, log_y, look, new, styled, what_interval
from .mechanisms import ORACLES, front, settings

RESTORERS = {  # restoration: the methods of a restore record, in short
    "degraded": "degraded",
    "smooth": "smoothed",
    "dip": "DIP",
    "dip_oracle": "DIP, oracle",
    "ddpm": "DDPM",
    "smooth_ddpm": "smoothed, DDPM",
    "dip_ddpm": "DIP, DDPM",
}


@styled
def pareto(frame: pd.DataFrame, floor: Any, *, metric: str = "fd") -> Figure:
    """Distance over all seconds, a point a setting; hollow: no DIP in it. Grey line: the front of what can be had."""
    figure, (ax,) = new(width=9.0, height=5.0)
    places, named = [], set()
    for label, value, rows in settings(frame):
        point = over_seeds(rows.assign(all="all"), "all", metric).iloc[0]
        cost, style = float(rows["cost"].mean()), look(label)
        ax.errorbar(
            cost,
            point["mean"],
            yerr=[[max(point["mean"] - point["low"], 0)], [max(point["high"] - point["mean"], 0)]],
            marker=style.marker,
            color=style.colour,
            markerfacecolor=style.colour if label in MECHANISMS else "white",
            elinewidth=0.8,
            markersize=6,
            linestyle="",
            label=None if label in named else style.label,
        )
        named.add(label)
        if len(settings(frame, label)) > 1:
            text = value if isinstance(value, str) else f"{value:g}"
            ax.annotate(text, (cost, point["mean"]), xytext=(5, 3), textcoords="offset points", fontsize=7)
        if label not in ORACLES:
            places.append((cost, float(point["mean"])))
    best = [places[i] for i in front(places)]
    ax.step(*zip(*best, strict=True), where="post", color="#8C8C8C", linewidth=1.0, zorder=1, label="best to be had")
    draw_floor(ax, floor, metric, frame["n"].iloc[0])
    ax.set(
        xlabel="seconds in all: training, DIP, and drawing the images judged",
        ylabel=distance_label(frame["features"].iloc[0], metric),
        xscale="log",
    )
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("{x:g}")
    log_y(ax)
    legend_beside(ax)
    interval = what_interval(over_seeds(frame[frame["label"] == "baseline"], "label", metric))
    note = f"n = {frame['n'].iloc[0]:.0f} images a point; {interval}. "
    return finish(figure, "Quality for all that it costs: every mechanism and every control", note + "Hollow: no DIP in it.")


def restored(record: Any) -> Figure:
    """The first images that were judged: clean, degraded, and what each method makes of them (a restore record)."""
    m = record.metrics
    rows = {f"{label}\n{m[f'{name}_psnr']:.1f} dB": record.arrays[f"panels_{name}"] for name, label in RESTORERS.items()}
    title = f"{m['task'].replace('_', ' ').capitalize()}: the same images, restored by each method"
    note = f"The first ones judged, not selected; mean PSNR over n = {m['n']} images."
    return pictures.rows_of_images({"clean": record.arrays["panels_clean"], **rows}, title, note)
