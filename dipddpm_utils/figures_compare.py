"""Methods beside one another: samplers, seconds spent, starts of the chain, copies, and one setting changed at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from .comparisons import over_seeds
from .figures import (
    GREY,
    METHODS,
    Look,
    distance_label,
    draw_floor,
    finish,
    legend_beside,
    log_y,
    look,
    new,
    points,
    styled,
    training_lines,
    what_interval,
)


@styled
def fd_vs_nfe(frame: pd.DataFrame, floor: Any, *, metric: str = "fd") -> Figure:
    """Distance over network calls per image, one line a sampler (group 'samplers')."""
    figure, (ax,) = new(width=7.6)
    for label, part in frame.groupby("label", sort=False):
        points(ax, over_seeds(part, "nfe", metric), look(str(label)))
    draw_floor(ax, floor, metric, frame["n"].iloc[0])
    ax.set(xlabel="network calls an image (NFE)", ylabel=distance_label(frame["features"].iloc[0], metric), xscale="log")
    log_y(ax)
    ticks = sorted(frame["nfe"].unique())
    ax.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks], minor=False)
    ax.xaxis.set_minor_locator(NullLocator())
    note = f"n = {frame['n'].iloc[0]:.0f} images a point; {what_interval(over_seeds(_first(frame), 'nfe', metric))}."
    legend_beside(ax)
    return finish(figure, "What a sampler makes of the same network and the same number of calls", note)


@styled
def fd_vs_total_seconds(
    baseline: Sequence[Any], on_dip: Sequence[Any], starts: pd.DataFrame, floor: Any, *, metric: str = "fd"
) -> Figure:
    """Quality over every second spent. Left: training, DIP included. Right: drawing the images, with the DIP fit it needs."""
    figure, (left, right) = new(2, width=8.4, height=3.6, sharey=True)
    note = training_lines(left, {"baseline": baseline, "on-dip": on_dip}, floor, "seconds", metric)
    left.set(
        xlabel="training seconds, DIP fit included", ylabel=distance_label(starts["features"].iloc[0], metric), title="training"
    )
    log_y(left)
    left.legend()
    for label in ("noise", "dip"):
        part = starts[starts["label"] == label]
        total = part["sampling_seconds"].fillna(0) + part["prior_seconds"].fillna(0)
        if len(part):
            points(right, _with_x(part, total, metric), look(label))
    draw_floor(right, floor, metric, starts["n"].iloc[0])
    right.set(
        xlabel=f"seconds to draw {starts['n'].iloc[0]:.0f} images, DIP fit included",
        title="drawing: start from noise or from DIP outputs",
    )
    right.legend()
    return finish(figure, "Quality for every second spent", note)


def _first(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["label"] == frame["label"].iloc[0]]


def _with_x(part: pd.DataFrame, x: pd.Series, metric: str) -> pd.DataFrame:
    summary = over_seeds(part, "value", metric)
    summary["x"] = summary["x"].map(x.groupby(part["value"]).mean())
    return summary


@styled
def fd_vs_t_start(frame: pd.DataFrame, floor: Any, *, metric: str = "fd", title: str | None = None) -> Figure:
    """Distance over the step at which the reverse chain starts, one line a start (group 'starts')."""
    figure, (ax,) = new(width=8.2)
    for label, part in frame.groupby("label", sort=False):
        name = "noise, whole chain with as few calls" if label == "noise" else None
        points(ax, over_seeds(part, "value", metric), look(str(label)), label=name)
    if metric in ("fd", "kid"):
        draw_floor(ax, floor, metric, frame["n"].iloc[0])
    calls = frame.groupby("value")["nfe"].mean()
    ax.set_xticks(calls.index, [f"{t:.0f}\n({nfe:.0f} calls)" for t, nfe in calls.items()])
    ax.set(xlabel="first step of the reverse chain, t_start")
    log_y(ax)
    features = frame["features"].iloc[0]
    ax.set_ylabel(distance_label(features, metric) if metric in ("fd", "kid") else metric.replace("_", " "))
    note = f"n = {frame['n'].iloc[0]:.0f} images a point; {what_interval(over_seeds(_first(frame), 'value', metric))}."
    legend_beside(ax)
    return finish(figure, title or "Where the chain starts, and what it starts from, at equal network calls", note)


@styled
def copies(frame: pd.DataFrame) -> Figure:
    """Share of samples nearer to a training image than almost any held-out image is, over t_start, one line a start."""
    figure, (ax,) = new(width=8.2)
    percent = frame.assign(copy_rate=100 * frame["copy_rate"])
    for label, part in percent.groupby("label", sort=False):
        points(ax, over_seeds(part, "value", "copy_rate"), look(str(label)))
    ax.axhline(100 * frame["copy_rate_floor"].mean(), color=GREY, linestyle="--", label="held-out images", zorder=1)
    ax.set(xlabel="first step of the reverse chain, t_start", ylabel="samples that look copied (%)")
    legend_beside(ax)
    note = f"n = {frame['n'].iloc[0]:.0f} images a point; {what_interval(over_seeds(_first(percent), 'value', 'copy_rate'))}."
    return finish(
        figure, "How many samples are copies of training images", f"{note} Grey: held-out images, by definition of the rate."
    )


@styled
def ablations(
    frames: Mapping[str, pd.DataFrame],
    metric: str,
    label: str,
    *,
    title: str,
    floor: Any = None,
    axes: Mapping[str, str] | None = None,
) -> Figure:
    """Small multiples, one panel a sweep, all on one scale. The star is the run that all sweeps have in common."""
    figure, panels = new(len(frames), width=max(4.6, 1.4 + 2.0 * len(frames)), height=2.8, sharey=True)
    for ax, (group, frame) in zip(panels, frames.items(), strict=True):
        words = not pd.api.types.is_numeric_dtype(frame["value"])
        places = {value: i for i, value in enumerate(dict.fromkeys(frame["value"]))}
        placed = frame.assign(value=frame["value"].map(places)) if words else frame
        summary = over_seeds(placed, "value", metric)
        points(ax, summary, Look(label, METHODS["baseline"].colour, "o"), line=not words)
        anchor = summary[summary["x"].isin(placed.loc[placed["anchor"].astype(bool), "value"])]
        ax.plot(anchor["x"], anchor["mean"], linestyle="", marker="*", markersize=12, color=METHODS["on-dip"].colour, zorder=5)
        if words:
            ax.set_xticks(list(places.values()), [look(str(v)).label for v in places], rotation=30, ha="right")
            ax.margins(x=0.15)
        elif frame["value"].min() > 0 and frame["value"].max() >= 4 * frame["value"].min():
            ax.set_xscale("log")
            ax.set_xticks(sorted(places), [f"{v:g}" for v in sorted(places)], rotation=30)
            ax.xaxis.set_minor_locator(NullLocator())
        if metric == "fd":
            draw_floor(ax, floor, metric, frame["n"].iloc[0])
        ax.set_xlabel((axes or {}).get(group, group.replace("_", " ")))
    panels[0].set_ylabel(label)
    return finish(
        figure,
        title,
        f"{what_interval(summary).capitalize()}; star: the run all panels share."
        + (" Grey: real against real." if floor else ""),
    )
