"""Where rules stop a fit to one noisy image, and what that costs (records of kind `stopping`)."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dipddpm_utils.page.names import GREY, Look, look
from dipddpm_utils.page.style import VIRIDIS, bars, finish, legend_beside, new, styled
from dipddpm_utils.stopping.declared import RULES
from dipddpm_utils.stopping.findings import rows

MEASURES = {"lost": "PSNR lost against\nthe oracle (dB)", "log2_step": "stop, octaves after\nthe best step"}
SPACINGS = {name: Look(name, *own) for name, *own in zip(("linear", "cosine", "log"), VIRIDIS[:0:-1], "osD", strict=True)}


@styled
def rules(records: Sequence[Any]) -> Figure:
    """Above: PSNR lost against the oracle, below: error of the stopping step; a column per noise level, a colour a net."""
    frame = rows(records)
    levels, shown = sorted(frame["std"].unique()), [r for r in RULES if r in set(frame["rule"]) and r != "oracle"]
    figure, panels = new(len(levels), 2, width=max(6.0, 2.8 + 2.4 * len(levels)), height=5.4, sharex=True, sharey="row")
    for (metric, std), ax in zip(product(MEASURES, levels), panels, strict=True):
        _dots(ax, frame[frame["std"] == std], metric, shown)
    for std, upper, lower in zip(levels, panels, panels[len(levels) :], strict=False):
        upper.set_title(f"noise of std {std:g}")
        lower.set_xticks(range(len(shown)), [RULES[rule].title for rule in shown], rotation=40, ha="right")
    for ax, label in zip(panels[:: len(levels)], MEASURES.values(), strict=True):
        ax.set_ylabel(label)
    legend_beside(panels[len(levels) - 1])
    note = f"n = {frame['n'].max():.0f} images a point; mean and 95% t-interval over images. "
    note += "Oracle: best output of the plain fit, found by "
    note += "looking at the clean image; below zero: better than that. Octave: a factor of two; best step: of the fit whose "
    note += "output is returned. ES-WMV and ES-EMV stop where the variance of the outputs is least: over a window of the last "
    note += "ones (windowed moving variance), or with older ones forgotten exponentially (exponential moving variance)."
    return finish(figure, "What a stopping rule costs, and where it stops", note)


def _dots(ax: Axes, part: pd.DataFrame, metric: str, shown: Sequence[str]) -> None:
    nets = list(dict.fromkeys(part["net"]))
    for place, net in enumerate(nets):
        own = part[part["net"] == net].set_index("rule").reindex(shown)
        x = np.arange(len(shown)) + 0.16 * (place - (len(nets) - 1) / 2)
        bars(ax, x, own[metric], own[f"{metric}_low"], own[f"{metric}_high"], look(net))
    ax.axhline(0, color=GREY, linestyle="--", linewidth=1, zorder=1)


@styled
def stages(records: Sequence[Any]) -> Figure:
    """PSNR lost and error of the step over the number of stages, one line per spacing of the noise levels."""
    frame = rows(records)
    figure, panels = new(2, width=9.2, height=3.2)
    staged, counts = frame[frame["rule"] == "staged"], sorted(frame["stages"].unique())
    for ax, (metric, label) in zip(panels, MEASURES.items(), strict=True):
        for place, (spacing, part) in enumerate(staged.groupby("spacing", sort=False)):
            part = part.sort_values("stages")
            x, ends = part["stages"] * 1.04 ** (place - 1), (part[f"{metric}{end}"] for end in ("", "_low", "_high"))
            bars(ax, x, *ends, SPACINGS[str(spacing)], linestyle="-")  # lines side by side
        plain = frame[frame["rule"] == "discrepancy"].iloc[0]  # the same fits in each record
        ax.axhline(plain[metric], color=GREY, linestyle="--", linewidth=1.2, label="discrepancy,\nno added noise", zorder=1)
        ax.axhspan(plain[f"{metric}_low"], plain[f"{metric}_high"], color=GREY, alpha=0.2, linewidth=0)
        ax.set(xscale="log", xlabel="stages", ylabel=label)
        ax.set_xticks(counts, [f"{count:.0f}" for count in counts])
        ax.xaxis.set_minor_locator(NullLocator())
    legend_beside(panels[1])
    record = records[0]
    note = f"n = {frame['n'].max():.0f} images a point, {look(record.run.net).label}, noise of std {record.run.std:g}; "
    note += "mean and 95% t-interval over images, as bars and as a grey band. PSNR lost below zero: better than the oracle, "
    note += "which is the best output of the plain fit. Stops below zero are early ones. "
    note += f"Levels from {record.run.level_high:g} to {record.run.level_low:g}, images in [0, 1]."
    return finish(figure, "How many noise levels, and how they are spaced", note)
