"""Methods beside one another: samplers, seconds spent, starts of the chain, copies, and one setting changed at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dipddpm_utils.page import names
from dipddpm_utils.page.style import (
    GREY,
    METHODS,
    STAR,
    Look,
    distance_label,
    dodged,
    draw_floor,
    finish,
    floor_note,
    legend_beside,
    log_y,
    look,
    new,
    points,
    round_ticks,
    styled,
    summarised,
    training_lines,
    what_interval,
)

HIGHER_IS_BETTER = ("psnr", "ssim", "precision", "recall")
SHARES = (0, 1, 2, 5, 10, 20, 50, 100)  # percent


@styled
def fd_vs_nfe(frame: pd.DataFrame, floor: Any, *, metric: str = "fd") -> Figure:
    """Distance over network calls per image, one line a sampler (group 'samplers')."""
    figure, (ax,) = new(width=7.6)
    for label, part in frame.groupby("label", sort=False):
        points(ax, summed := summarised(part, "nfe", metric), look(str(label)))
    draw_floor(ax, floor, metric, n := frame["n"].iloc[0])
    ax.set(xlabel="network calls an image (NFE)", ylabel=distance_label(frame["features"].iloc[0], metric), xscale="log")
    log_y(ax)
    ticks = sorted(frame["nfe"].unique())
    ax.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks], minor=False)
    ax.xaxis.set_minor_locator(NullLocator())
    note = f"n = {n:.0f} images a point; {what_interval(summed, metric)}.{floor_note(floor, n)}"
    legend_beside(ax)
    return finish(figure, "What a sampler makes of the same network and the same number of calls", note)


@styled
def fd_vs_total_seconds(
    baseline: Sequence[Any], on_dip: Sequence[Any], starts: pd.DataFrame, floor: Any, *, metric: str = "fd"
) -> Figure:
    """Quality over every second spent. Left: training, DIP included. Right: drawing the images, with the DIP fit it needs."""
    figure, (left, right) = new(2, width=9.2, height=3.6, sharey=True)
    note = training_lines(left, {"baseline": baseline, "on-dip": on_dip}, floor, "seconds", metric)
    left.set(
        xlabel="training seconds, DIP fit included", ylabel=distance_label(starts["features"].iloc[0], metric), title="training"
    )
    for label in ("noise", *names.starts(dip=True)):
        part = starts[starts["label"] == label]
        total = part["sampling_seconds"].fillna(0) + part["prior_seconds"].fillna(0)
        if len(part):
            points(right, summed := _with_x(part, total, metric), look(label))
    draw_floor(right, floor, metric, n := starts["n"].iloc[0])
    right.set(
        xlabel=f"seconds to draw {n:.0f} images, DIP fit included",
        title="drawing: start from noise or from DIP outputs",
        xscale="log",
    )
    round_ticks(right.xaxis, *right.get_xlim())
    log_y(left, right)
    legend_beside(right, left)
    calls = f"{starts['nfe'].min():.0f} to {starts['nfe'].max():.0f} calls"
    note = f"Left: {note} Right: n = {n:.0f} images, {calls}; {what_interval(summed, metric)}.{floor_note(floor, n)}"
    return finish(figure, "Quality for every second spent", note)


def _with_x(part: pd.DataFrame, x: pd.Series, metric: str) -> pd.DataFrame:
    summary = summarised(part, "value", metric)
    summary["x"] = summary["x"].map(x.groupby(part["value"]).mean())
    return summary


def _over_t_start(ax: Axes, frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One line a start over the step at which the chain starts, side by side; returns the last one's summary."""
    starts = list(frame.groupby("label", sort=False))
    calls = frame.groupby("value")["nfe"].mean()
    for place, (label, part) in enumerate(starts):
        summed = summarised(part, "value", metric)
        name = f"{look('noise').label}: whole chain, as few calls" if label == "noise" else None
        points(ax, dodged(summed, place, len(starts), list(calls.index)), look(str(label)), label=name)
    ax.set_xticks(calls.index, [f"{t:.0f}\n({nfe:.0f} calls)" for t, nfe in calls.items()])
    ax.set(xlabel="first step of the reverse chain, t_start (lines of one step side by side)")
    return summed


@styled
def fd_vs_t_start(frame: pd.DataFrame, floor: Any, *, metric: str = "fd", title: str | None = None) -> Figure:
    """Distance over the step at which the reverse chain starts, one line a start (group 'starts')."""
    figure, (ax,) = new(width=8.2)
    summed = _over_t_start(ax, frame, metric)
    n, distance = frame["n"].iloc[0], metric in ("fd", "kid")
    if distance:
        draw_floor(ax, floor, metric, n)
    log_y(ax)
    ax.set_ylabel(distance_label(frame["features"].iloc[0], metric) if distance else metric.replace("_", " "))
    note = f"n = {n:.0f} images a point; {what_interval(summed, metric)}."
    legend_beside(ax)
    title = title or "Where the chain starts, and what it starts from, at equal network calls"
    return finish(figure, title, note + (floor_note(floor, n) if distance else ""))


@styled
def copies(frame: pd.DataFrame) -> Figure:
    """Share of samples nearer to a training image than almost any held-out image is, over t_start, one line a start."""
    figure, (ax,) = new(width=8.2)
    summed = _over_t_start(ax, frame.assign(copy_rate=100 * frame["copy_rate"]), "copy_rate")
    ax.axhline(100 * frame["copy_rate_floor"].mean(), color=GREY, linestyle="--", label="held-out images", zorder=1)
    ax.set_yscale("symlog", linthresh=1, linscale=0.6)
    ax.set_ylim(-0.3, 130)
    ax.set_yticks(SHARES, [str(share) for share in SHARES])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set(ylabel="samples that look copied (%)")
    legend_beside(ax)
    note = f"n = {frame['n'].iloc[0]:.0f} images a point; {what_interval(summed)}; the axis is linear below 1% and "
    note += "logarithmic above. Grey: held-out images, by definition of the rate."
    return finish(figure, "How many samples are copies of training images", note)


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
    figure, panels = new(len(frames), width=max(5.4, 1.4 + 2.0 * len(frames)), height=3.0, sharey=True)
    for ax, (group, frame) in zip(panels, frames.items(), strict=True):
        summed = _sweep(ax, frame, metric, label)
        if metric == "fd":
            draw_floor(ax, floor, metric, frame["n"].iloc[0])
        ax.set_xlabel((axes or {}).get(group, group.replace("_", " ")))
    if metric == "fd":
        log_y(*panels)
    better = "higher" if metric in HIGHER_IS_BETTER else "lower"
    panels[0].set_ylabel(f"{label}\n({better} is better)")
    n = next(iter(frames.values()))[_count_of(metric, frames)].iloc[0]
    note = f"n = {n:.0f} images a point; {what_interval(summed, metric)}; star: the run that all panels share."
    if metric == "fd" and floor is not None:
        note += f" Grey, or written where it is far below: {METHODS['floor'].label}.{floor_note(floor, n)}"
    return finish(figure, title, note)


def _sweep(ax: Axes, frame: pd.DataFrame, metric: str, label: str) -> pd.DataFrame:
    """One sweep, over numbers or over names, with a star at the common run; returns its summary."""
    words = not pd.api.types.is_numeric_dtype(frame["value"])
    places = {value: i for i, value in enumerate(dict.fromkeys(frame["value"]))}
    placed = frame.assign(value=frame["value"].map(places)) if words else frame
    summed = summarised(placed, "value", metric)
    points(ax, summed, Look(label, METHODS["baseline"].colour, "o"), line=not words)
    anchor = summed[summed["x"].isin(placed.loc[placed["anchor"].astype(bool), "value"])]
    ax.plot(anchor["x"], anchor["mean"], **STAR)
    if words:
        ax.set_xticks(list(places.values()), [look(str(v)).label for v in places], rotation=30, ha="right")
        ax.margins(x=0.15)
    elif frame["value"].min() > 0 and frame["value"].max() >= 4 * frame["value"].min():
        ax.set_xscale("log")
        ax.set_xticks(sorted(places), [f"{v:g}" for v in sorted(places)], rotation=30)
        ax.xaxis.set_minor_locator(NullLocator())
    return summed


def _count_of(metric: str, frames: Mapping[str, pd.DataFrame]) -> str:
    """The column that says over how many images a metric was taken: restored ones are counted apart."""
    restored = metric in ("psnr", "ssim") and all("n_restored" in frame for frame in frames.values())
    return "n_restored" if restored else "n"
