"""The curves of results/bench/<device>.json -> plots: distance over seconds, samplers, share of the machine, growth."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dipddpm_utils.page.names import Look, look
from dipddpm_utils.page.prose import hardware
from dipddpm_utils.page.style import bars, finish, new, round_ticks, styled

TITLES = {
    "quality": "Distance over training seconds, ours and the peers, each under its own usual loop",
    "samplers": "Distance over network calls",
    "machine": "How much of the machine a training step uses",
    "growth": "How time and memory grow",
}
TRAINERS = {
    "ours": look("baseline")._replace(label="ours"),
    "report B": Look("report B's way", "#D55E00", "s"),
    "diffusers": Look("diffusers", "#E69F00", "v"),
    "denoising-diffusion-pytorch": Look("denoising-diffusion-pytorch", "#CC79A7", "P"),
}


@styled
def curves(content: dict[str, Any], name: str) -> Figure | None:
    """All curves of one figure, a panel for each pair of axes, log-log; None if nothing was measured for it."""
    own = [curve for curve in content.get("curves", []) if curve["figure"] == name]
    if not own:
        return None
    panels = list(dict.fromkeys((curve["x_label"], curve["y_label"]) for curve in own))
    columns = min(3, len(panels))
    count = math.ceil(len(panels) / columns)
    figure, axes = new(columns, count, width=max(7.0, 3.2 * columns), height=1.0 + 2.5 * count)
    for ax, panel in zip(axes, panels, strict=False):
        for index, curve in enumerate(c for c in own if (c["x_label"], c["y_label"]) == panel):
            _draw(ax, curve, index)
        ax.set(xlabel=panel[0], ylabel=panel[1], xscale="log", yscale="log")
        round_ticks(ax.xaxis, *ax.get_xlim())
        round_ticks(ax.yaxis, *ax.get_ylim())
        ax.legend()
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    spread = "95% bootstrap intervals over the images judged" if name in ("quality", "samplers") else "quartiles over repeats"
    note = f"Bars: {spread}. {hardware(content['machine'])}; log axes."
    return finish(figure, TITLES.get(name, name), note)


def _draw(ax: Axes, curve: dict[str, Any], index: int) -> None:
    style = TRAINERS.get(curve["label"]) or look(curve["label"])
    if style.colour == "#000000" and curve["label"] != "ancestral":  # it has no look of its own
        style = list(TRAINERS.values())[index % len(TRAINERS)]._replace(label=curve["label"])
    nothing = [math.nan] * len(curve["y"])
    bars(ax, curve["x"], curve["y"], curve["low"] or nothing, curve["high"] or nothing, style, linestyle="-")
