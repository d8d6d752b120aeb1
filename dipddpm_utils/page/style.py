"""Records -> curves and points. One style, one colour and marker a method, the real-vs-real floor in grey in each figure.

Functions take records or the tables of `Lab.frame` and return a matplotlib Figure made without pyplot, so nothing is drawn
twice and no global state is left behind. Comparisons between methods are in
figures_compare.py, pictures of images in pictures.py, those of the theory in figures_theory.py.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from dipddpm_utils.page.compare import floor_at, floor_n, judged_alike, over_seeds
from dipddpm_utils.page.names import GREY, METHODS, Look, look

DARK, LIGHT = "#333333", "#999999"  # two sides of a comparison that is not one of methods
VIRIDIS = ("#440154", "#3B528B", "#21918C", "#5EC962")  # steps of a setting, dark to light
FLOOR = "floor"  # the mark of the lines that `draw_floor` draws
FAR = 30  # times
STAR = {"linestyle": "", "marker": "*", "markersize": 12, "color": "white", "markeredgecolor": "black", "zorder": 5}
ABOVE = {"markersize": 7, "markeredgecolor": "white", "zorder": 4}  # points that others must not hide
STYLE = {
    "font.size": 9, "axes.titlesize": 9, "figure.titlesize": 10.5, "figure.titleweight": "bold", "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#E5E5E5", "grid.linewidth": 0.7, "axes.axisbelow": True,
    "lines.linewidth": 1.5, "lines.markersize": 5, "legend.frameon": False, "legend.fontsize": 8, "figure.facecolor": "white",
    "image.cmap": "gray", "image.interpolation": "nearest",
}  # fmt: skip


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw within the house style, whatever the reader's own matplotlib settings are."""

    @wraps(draw)
    def inner(*args: Any, **options: Any) -> Figure:
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "backend": matplotlib.rcParams["backend"]}):
            return draw(*args, **options)

    return inner


def new(
    columns: int = 1, rows: int = 1, *, width: float = 7.0, height: float = 3.3, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` by `height` inches and its panels, row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def finish(figure: Figure, title: str, note: str) -> Figure:
    """The title above; below, what one must know to judge the figure: n, what the interval is, units that are not obvious."""
    inches = figure.get_size_inches()[0]
    figure.suptitle(textwrap.fill(title, int(12.5 * inches)), x=0.01, ha="left")
    figure.supxlabel(textwrap.fill(note, int(18.5 * inches)), x=0.01, ha="left", fontsize=7.5, color="#555555")
    return figure


def draw_floor(ax: Axes, floor: Any, metric: str = "fd", n: float | None = None) -> None:
    """Grey line and band: what real images score against other real ones, `n` of them (None: the record's own n).

    Dashed; dotted where the figure has one at another n already; nothing where this panel has the same one.
    """
    held = None if floor is None else floor_n(floor, n)
    if (interval := floor_at(floor, metric, held)) is None:
        return
    label = f"{METHODS['floor'].label}, n = {held:.0f}"
    drawn = [line for panel in ax.figure.axes for line in panel.lines if line.get_gid() == FLOOR]
    if any(line.axes is ax and line.get_label() == label for line in drawn):
        return
    style = {line.get_label(): line.get_linestyle() for line in drawn}.get(label, ":" if drawn else "--")
    ax.axhline(interval.value, color=GREY, linestyle=style, linewidth=1.2, label=label, zorder=1, gid=FLOOR)
    ax.axhspan(interval.low, interval.high, color=GREY, alpha=0.2, linewidth=0)


def floor_note(floor: Any, n: float) -> str:
    """A sentence where the floor could only be given at another n than that of the points, else nothing."""
    if floor is None or floor_n(floor, n) == n:
        return ""
    return f" {METHODS['floor'].label.capitalize()}: n = {floor_n(floor, n):.0f}, not measured at {n:.0f}."


def log_y(*panels: Axes) -> None:
    """A logarithmic y-axis for panels that share it, with a few round numbers at its ticks, once all is drawn.

    Left linear if a line is at or below zero, or if its limits are within a factor of three.
    """
    if (_heights(panels) <= 0).any():
        return
    panels[0].set_yscale("log")  # that of all that share it
    _leave_out_a_far_floor(panels)
    low, high = panels[0].get_ylim()
    if high < 3 * low:
        panels[0].set_yscale("linear")
        panels[0].set_ylim(low, high)
        return
    round_ticks(panels[0].yaxis, low, high)


def round_ticks(axis: Any, low: float, high: float) -> None:
    """Ticks of a logarithmic axis from `low` to `high`: 1, 2, 5 times powers of ten, or within one decade evenly spaced."""
    axis.set_major_locator(MaxNLocator(5) if high < 10 * low else LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _heights(panels: Sequence[Axes], floor: bool | None = None) -> np.ndarray:
    """All finite y of the lines of these panels, ends of bars included; floor: only the floor's (True) or all others'."""
    lines = [line for ax in panels for line in ax.lines if floor is None or (line.get_gid() == FLOOR) == floor]
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in lines] or [np.empty(0)])
    return values[np.isfinite(values)]


def _leave_out_a_far_floor(panels: Sequence[Axes]) -> None:
    """A floor more than FAR times below everything else is written at the lower edge, so as not to flatten the curves."""
    own, values = _heights(panels, floor=True), _heights(panels, floor=False)
    if not len(own) or not len(values) or own.max() * FAR > values.min():
        return
    low, high = values.min(), values.max()
    panels[0].set_ylim(0.97 * low * (low / high) ** 0.15, 1.03 * high * (high / low) ** 0.05)  # below: a strip for the text
    for ax in panels:
        for line in ax.lines:
            if line.get_gid() == FLOOR:
                line.set_label("_")  # not to be seen, so no name in a legend
        text = f"{METHODS['floor'].label}: {own.max():.2g}, far below"
        ax.annotate(text, (0.02, 0.02), xycoords="axes fraction", fontsize=7.5, color="#555555")


def legend_beside(ax: Axes, *others: Axes) -> None:
    """A legend right of the panel, where it hides nothing, with what it and the other panels hold, each name once."""
    held = {label: handle for one in (*others, ax) for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
    names = sorted(held, key=lambda label: label.startswith(METHODS["floor"].label))  # the floor below the methods
    ax.legend([held[name] for name in names], names, loc="center left", bbox_to_anchor=(1.01, 0.5))


def distance_label(features: str, metric: str = "fd") -> str:
    return f"{features} (lower is better)" if metric == "fd" else f"KID on {features}'s features\n(lower is better)"


def summarised(frame: pd.DataFrame, by: str, metric: str) -> pd.DataFrame:
    """`over_seeds`; Frechet distances, which are drawn on a logarithmic axis, as geometric means with t-intervals of log FD.

    A t-interval of the distances themselves may reach below zero, where no distance is and no such axis goes.
    """
    if not metric.startswith("fd"):
        return over_seeds(frame, by, metric)
    parts = [metric, *(name for name in (f"{metric}_low", f"{metric}_high") if name in frame)]
    values = frame[parts].astype(float)
    logs = np.log(values.where(values > 0)).add_prefix("log_")
    summed = over_seeds(frame.assign(**logs), by, f"log_{metric}")
    return summed.assign(**{name: np.exp(summed[name]) for name in ("mean", "low", "high")})


def what_interval(summed: pd.DataFrame, metric: str = "") -> str:
    """What the bars of a summary by `summarised` (or, without a metric, by `over_seeds`) are."""
    count = int(summed["n"].max())
    if count == 1:
        return "one seed, 95% bootstrap interval over its images"
    if metric.startswith("fd"):
        return f"geometric mean and 95% t-interval of log FD over {count} seeds"
    return f"mean and 95% t-interval over {count} seeds"


def points(
    ax: Axes,
    frame: pd.DataFrame,
    style: Look,
    *,
    line: bool = True,
    band: bool = False,
    label: str | None = None,
    **options: Any,
) -> None:
    """A summary (x, mean, low, high) as points with bars, or as a line in a band; options are those of `Axes.plot`."""
    frame = frame.sort_values("x")
    x, mean = frame["x"].to_numpy(float), frame["mean"].to_numpy(float)
    low, high = frame["low"].to_numpy(float), frame["high"].to_numpy(float)
    marker = {"linestyle": "-" if line else "", "marker": "" if band else style.marker}
    ax.plot(x, mean, color=style.colour, label=label or style.label, **marker, **options)
    if band:
        ax.fill_between(x, low, high, color=style.colour, alpha=0.2, linewidth=0)
    else:
        ends = np.nan_to_num([np.clip(mean - low, 0, None), np.clip(high - mean, 0, None)])
        ax.errorbar(x, mean, yerr=ends, fmt="none", ecolor=style.colour, elinewidth=1, capsize=2)


def dodged(frame: pd.DataFrame, place: int, count: int, values: Sequence[float]) -> pd.DataFrame:
    """A summary moved sideways, as the `place`-th of `count` over the same `values`, so that no marker hides another's."""
    step = 0.012 * (max(values) - min(values))
    return frame.assign(x=frame["x"] + step * (place - (count - 1) / 2))


@styled
def loss_curves(runs: Mapping[str, Sequence[Any]], *, title: str = "Training loss", unit: str = "mean squared error") -> Figure:
    """Loss over steps. runs: method -> records of its seeds; thin lines: each logged loss; thick: its running median."""
    figure, (ax,) = new()
    for method, records in runs.items():
        style = look(method)
        for i, record in enumerate(records):
            curve = record.curve
            smooth = curve["loss"].rolling(max(1, len(curve) // 30), center=True, min_periods=1).median()
            ax.plot(curve["step"], curve["loss"], color=style.colour, alpha=0.18, linewidth=0.6)
            ax.plot(curve["step"], smooth, color=style.colour, label=style.label if i == 0 else None)
    ax.set(xlabel="training step", ylabel=f"loss ({unit})")
    log_y(ax)
    ax.legend()
    seeds = max(len(records) for records in runs.values())
    return finish(
        figure, title, f"One thick line a seed ({seeds} at most): running median of the logged loss; thin: the loss as logged."
    )


@styled
def psnr_over_iterations(records: Mapping[str, Any]) -> Figure:
    """PSNR to the clean image while a net is fitted to its noisy copy; one panel a net (records of kind dip_images)."""
    figure, panels = new(len(records), width=2.4 + 2.0 * len(records), height=2.9, sharey=True)
    for ax, (net, record) in zip(panels, records.items(), strict=True):
        evals, style = record.evals, look(net)
        summary = over_seeds(evals, "iteration", "psnr")
        points(ax, summary, style, band=True, label="to the clean image")
        to_noisy = evals.groupby("iteration")["psnr_noisy"].mean()
        ax.plot(to_noisy.index, to_noisy, color=GREY, linestyle=":", label="to the noisy image")
        peak = summary.loc[summary["mean"].idxmax()]
        ax.plot(peak["x"], peak["mean"], marker="*", markersize=11, color=style.colour, markeredgecolor="white", linestyle="")
        title = f"{style.label}\npeak {peak['mean']:.1f} dB at {peak['x']:.0f}"
        ax.set(xscale="log", xlabel="iteration", title=title)
        ax.margins(y=0.15)
    tops = [over_seeds(record.evals, "iteration", "psnr")["mean"] for record in records.values()]
    panels[0].set_ylim(bottom=max(min(top.min() for top in tops), max(top.max() for top in tops) - 20) - 1)
    panels[0].set_ylabel("PSNR (dB, higher is better)")
    legend_beside(panels[-1])
    n, std = max(r.run.n_images for r in records.values()), next(iter(records.values())).run.std
    note = f"{n} images a net, noise of std {std:g} on images in [0, 1]. "
    note += "Line and band: mean and 95% t-interval over images; star: peak of the mean."
    return finish(figure, "PSNR while a net is fitted to one noisy image", note)


@styled
def fd_over_training(
    runs: Mapping[str, Sequence[Any]], floor: Any, *, x: str = "step", metric: str = "fd", title: str = ""
) -> Figure:
    """Distance to held-out images over training. x: 'step', 'images' or 'seconds' (DIP seconds included)."""
    figure, (ax,) = new(width=7.6)
    note = training_lines(ax, runs, floor, x, metric)
    axis = {"step": "training steps", "images": "training images seen", "seconds": "training seconds"}[x]
    if x == "seconds" and any(record.metrics.get("dip_seconds") for records in runs.values() for record in records):
        axis += ", DIP fit included"
    ax.set(xlabel=axis, ylabel=distance_label(next(iter(runs.values()))[0].metrics["features"], metric))
    log_y(ax)
    legend_beside(ax)
    return finish(figure, title or f"Sample quality over {axis}", note)


def training_lines(ax: Axes, runs: Mapping[str, Sequence[Any]], floor: Any, x: str, metric: str) -> str:
    """Distances over training for each method, with the floor at the same n; returns the note that goes below."""
    for method, records in runs.items():
        rows = [
            record.evals.assign(seed=record.seed, seconds=record.evals["seconds"] + (record.metrics.get("dip_seconds") or 0))
            for record in records
        ]
        rows = pd.concat(rows, ignore_index=True)
        main = judged_alike(rows)
        for part, line in ((main, True), (rows.drop(main.index), False)):
            if len(part):
                summary = summarised(part, "step", metric)
                summary["x"] = summary["x"].map(part.groupby("step")[x].mean())
                style = look(method)
                if line:
                    points(ax, summary, style)
                else:
                    points(ax, summary, style._replace(marker="X"), line=False, label="_", **ABOVE)
    first = main.iloc[0]
    interval = what_interval(summarised(main, "step", metric), metric)
    note = f"Lines: n = {first['n']:.0f} images, {look(first['sampler']).label}, {first['nfe']:.0f} calls; {interval}."
    last = rows.iloc[-1]
    draw_floor(ax, floor, metric, first["n"])
    if last["sampler"] != first["sampler"] or last["n"] != first["n"]:
        note += f" Crosses: n = {last['n']:.0f}, {look(last['sampler']).label}, {last['nfe']:.0f} calls."
        draw_floor(ax, floor, metric, last["n"])
    return note + floor_note(floor, first["n"])
