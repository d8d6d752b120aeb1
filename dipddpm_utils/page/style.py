"""What all figures share: the theme, points with their intervals, the real-vs-real floor in grey, axes, titles and notes.

Figures are made without pyplot, so nothing is drawn twice and no global state is left behind. Labels and colours: names.py.
"""

import math
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from dipddpm_utils.page.compare import as_ratio, floor_at, floor_n
from dipddpm_utils.page.names import GREY, METHODS, Look

DARK, LIGHT = "#333333", "#999999"  # of what is no method; two sides of a comparison that is not one of methods
VIRIDIS = ("#440154", "#3B528B", "#21918C", "#5EC962")  # steps of a setting, dark to light
FLOOR = "floor"  # the mark of the lines that `draw_floor` draws
FAR = 20  # times
STAR = {"linestyle": "", "marker": "*", "markersize": 12, "color": "white", "markeredgecolor": "black", "zorder": 5}
STYLE = {  # beside seaborn's
    "figure.titlesize": 10.5, "figure.titleweight": "bold", "figure.facecolor": "white", "axes.titlesize": 9,
    "axes.labelsize": 9, "axes.spines.top": False, "axes.spines.right": False, "grid.color": "#E5E5E5", "lines.linewidth": 1.5,
    "lines.markersize": 5, "legend.frameon": False, "legend.fontsize": 8, "image.cmap": "gray",
    "image.interpolation": "nearest",
}  # fmt: skip


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw within the house style, whatever the reader's own matplotlib settings are."""

    @wraps(draw)
    def inner(*args: Any, **options: Any) -> Figure:
        import seaborn as sns  # takes a second, which pages without figures need not wait

        theme = {**sns.plotting_context("paper"), **sns.axes_style("whitegrid"), **STYLE}
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **theme, "backend": matplotlib.rcParams["backend"]}):
            return draw(*args, **options)

    return inner


def new(
    columns: int = 1, rows: int = 1, *, width: float = 7.0, height: float = 3.3, count: int | None = None, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` by `height` inches and its panels, row by row. count: of these the first ones that are needed."""
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for spare in panels[count or len(panels) :]:
        spare.remove()
    return figure, panels[:count]


def finish(figure: Figure, title: str, note: str) -> Figure:
    """The title above; below, what one must know to judge the figure: n, what the interval is, units that are not obvious."""
    inches = figure.get_size_inches()[0]
    figure.suptitle(textwrap.fill(title, int(12.5 * inches)), x=0.01, ha="left")
    figure.supxlabel(textwrap.fill(note, int(17.3 * inches)), x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


# --- points and their intervals ---------------------------------------------------------------------------------------


def bars(ax: Axes, x: Any, mean: Any, low: Any, high: Any, style: Look, *, sideways: bool = False, **options: Any) -> None:
    """Points with their intervals as bars (none where an end is NaN), joined if a `linestyle` is given; sideways: along x.

    options are those of `Axes.errorbar`; a label is taken from `style` unless one is given.
    """
    mean, low, high = (np.atleast_1d(np.asarray(values, float)) for values in (mean, low, high))
    ends = np.nan_to_num(np.clip([mean - low, high - mean], 0, None))
    at = {"x": mean, "y": x, "xerr": ends} if sideways else {"x": x, "y": mean, "yerr": ends}
    about = {"color": style.colour, "marker": style.marker, "label": style.label, "linestyle": "", "elinewidth": 1}
    ax.errorbar(**at, **{**about, "capsize": 2, **options})


def points(ax: Axes, frame: pd.DataFrame, style: Look, *, linestyle: str = "-", **options: Any) -> None:
    """A summary (columns x, mean, low, high of `over_seeds`) as joined points with bars."""
    frame = frame.sort_values("x")
    bars(ax, *(frame[name] for name in ("x", "mean", "low", "high")), style, linestyle=linestyle, **options)


def what_interval(summed: pd.DataFrame, metric: str = "") -> str:
    """What the bars of a summary by `over_seeds` are."""
    least, most = int(summed["n"].min()), int(summed["n"].max())
    if most == 1:
        return "one seed, 95% interval over its images" if summed["low"].notna().any() else "one seed, no interval"
    seeds = most if least == most else f"{least} to {most}"
    of_one = ", of one over its images" if least == 1 else ""
    return f"{'geometric mean' if as_ratio(metric) else 'mean'} and 95% t-interval over {seeds} seeds{of_one}"


# --- the floor --------------------------------------------------------------------------------------------------------


def floor_note(ax: Axes) -> str:
    """What the grey band of `draw_floor` is, where there is one."""
    return " Grey band: 95% interval over draws of real images." if any(line.get_gid() == FLOOR for line in ax.lines) else ""


def draw_floor(ax: Axes, floor: Any, metric: str, n: float) -> None:
    """Grey line and band: what real images score against other real ones, `n` of them; called once all points are drawn.

    Dashed; dotted where the figure has one at another n already; nothing where this panel has the same one. More than FAR
    times below all points it is only written, in one panel of a scale, so as not to flatten the curves; unless a line of that
    scale is there already.
    """
    held = floor_n(floor, n)
    interval = floor_at(floor, metric, held)
    label = f"{METHODS['floor'].label}, n = {held:.0f}"
    drawn = [line for panel in ax.figure.axes for line in panel.lines if line.get_gid() == FLOOR]
    if any(line.axes is ax and line.get_label() == label for line in drawn):
        return
    alike = ax.get_shared_y_axes().get_siblings(ax)
    if 0 < interval.value * FAR < _lowest(alike) and not any(line.axes in alike for line in drawn):
        said, written = f"{interval.value:.2g} at n = {held:.0f}", [text for panel in alike for text in panel.texts]
        if not written:
            below = f"{METHODS['floor'].label}, far below:\n{said}"
            ax.annotate(below, (0.02, 0.02), xycoords="axes fraction", fontsize=8, color="#555555")
        elif said not in written[0].get_text().partition("\n")[2].split(", "):
            written[0].set_text(f"{written[0].get_text()}, {said}")
        ax.margins(y=0.25)  # room for it
        return
    style = {line.get_label(): line.get_linestyle() for line in drawn}.get(label, ":" if drawn else "--")
    ax.axhline(interval.value, color=GREY, linestyle=style, linewidth=1.2, label=label, zorder=1, gid=FLOOR)
    ax.axhspan(interval.low, interval.high, color=GREY, alpha=0.2, linewidth=0)


# --- axes -------------------------------------------------------------------------------------------------------------


def log_y(*panels: Axes) -> None:
    """A logarithmic y-axis for panels that share it, with a few round numbers at its ticks, once all is drawn.

    Left linear if a line is at or below zero, or if its limits are within a factor of three.
    """
    if _lowest(panels) <= 0:
        return
    panels[0].set_yscale("log")  # that of all that share it
    low, high = panels[0].get_ylim()
    if high < 3 * low:
        panels[0].set_yscale("linear")
    else:
        round_ticks(panels[0].yaxis, low, high)


def _lowest(panels: Sequence[Axes]) -> float:
    """The least finite y of the lines of these panels, ends of bars included, floors not."""
    points = [line for ax in panels for line in ax.lines if line.get_gid() != FLOOR]
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in points])
    return values[np.isfinite(values)].min(initial=math.inf)


def round_ticks(axis: Any, low: float, high: float) -> None:
    """Ticks of a logarithmic axis from `low` to `high`: 1, 2, 5 times powers of ten; more within a decade, fewer over three."""
    wide, narrow = (1,) if high > 1000 * low else (1, 2, 5), (1, 1.5, 2, 3, 5, 7)
    axis.set_major_locator(LogLocator(subs=narrow if high < 10 * low else wide))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def log_x(ax: Axes, ticks: Sequence[float] | None = None) -> None:
    """A logarithmic x-axis with `ticks`, or with round numbers, once all is drawn. Left linear if within a factor of three."""
    low, high = ax.get_xlim()
    if ticks is None and high < 3 * low:
        return
    ax.set_xscale("log")
    round_ticks(ax.xaxis, *ax.get_xlim())
    if ticks is not None:
        ax.set_xticks(sorted(ticks), [f"{tick:g}" for tick in sorted(ticks)])


def legend_beside(ax: Axes, *others: Axes) -> None:
    """A legend right of the panel, where it hides nothing, with what it and the other panels hold, each name once."""
    held = {label: handle for one in (*others, ax) for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
    names = sorted(held, key=lambda label: label.startswith(METHODS["floor"].label))  # the floor below the methods
    ax.legend([held[name] for name in names], names, loc="center left", bbox_to_anchor=(1.01, 0.5))


def distance_label(features: str) -> str:
    return f"{features} (lower is better)"
