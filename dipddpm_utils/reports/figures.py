"""The two reports rebuilt, in figures: corrected beside as published, fault by fault, the published numbers beside ours."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dipddpm_utils.faults import FAULTS
from dipddpm_utils.page import style
from dipddpm_utils.page.compare import Paired, floor_at, floor_n, judged_alike, over_seeds, summary
from dipddpm_utils.page.figures import floors, training_lines
from dipddpm_utils.page.images import Images, rows_of_images
from dipddpm_utils.page.names import GREY, METHODS, Look, look
from dipddpm_utils.page.prose import number
from dipddpm_utils.reports import one_fault, printed
from dipddpm_utils.reports.printed import VARIANTS
from dipddpm_utils.reports.tables import at_own_size, begun_from_dip, own_label

SIDES = {"only on": Look("the only fault on", style.DARK, "o"), "only off": Look("the only fault off", style.LIGHT, "s")}
PARTS = {  # of an epoch's seconds
    "data": Look("reading and scaling images", style.LIGHT, ""),
    "forward_backward": Look("forward and backward pass", "#CCCCCC", ""),
    "optimiser": Look("optimiser", style.DARK, ""),
}
PATHS = {"memory": "tensors in memory\n(the combined run's)", "decode": "decoded one by one\n(the baseline's path)"}


@style.styled
def corrected_and_published(lab: Any, names: Sequence[str], floor: Any, title: str) -> Figure:
    """Distance over steps of these runs: left as published, right corrected, on one axis, each with intervals and the floor."""
    figure, (left, right) = style.new(2, width=8.6, height=3.6, sharey=True)
    notes, drawn = {}, {}
    for ax, ending, head in ((left, "-published", "as published"), (right, "", "corrected")):
        notes[head], drawn[ax] = training_lines(ax, {name: lab.seeds(name + ending) for name in names}, "step")
        ax.set(xlabel="training steps", title=head)
    real = max(floors(ax, floor, ns) for ax, ns in drawn.items())  # the same of both, which share an axis
    style.log_y(left, right)
    left.set_ylabel(style.distance_label(lab.seeds(names[0])[0].metrics["features"]))
    style.legend_beside(right)
    alike = len(set(notes.values())) == 1
    note = notes["corrected"] if alike else " ".join(f"{head.capitalize()}: {own}" for head, own in notes.items())
    return style.finish(figure, title, f"{note}{real} Both judged in the same way, against real held-out images.")


def own_rows(full: Any, report: str) -> dict[str, Images]:
    """The first 12 samples of each model that was trained at a report's own size, of seed 0; of report A's also those begun
    from DIP outputs: what it is -> uint8 [12, C, H, W]. full: the lab of that profile.
    """
    own = {group: records[0] for group, records in at_own_size(full, report).items()}
    first = {group: record for group, record in own.items() if record.seed == 0}  # others kept 4
    rows = {own_label(group): record.arrays["grid"][:12] for group, record in first.items()}
    for record in begun_from_dip(full) if report == "A" else ():
        rows[f"from DIP outputs, t = {record.metrics['t_start']}"] = record.arrays["grid"][:12]
    return rows


def own_samples(full: Any, report: str) -> Figure | None:
    """`own_rows` as a figure; None where there is none."""
    rows = own_rows(full, report)
    if not rows:
        return None
    title = f"Samples at report {report}'s own size"
    named = {name.removeprefix("DDPM ").replace(", as", ",\nas"): images for name, images in rows.items()}
    return rows_of_images(named, title, "Seed 0, the first ones drawn, not selected.", width=7.6)


@style.styled
def published_beside_ours(lab: Any) -> Figure:
    """Three panels: report A's FID as printed, our runs as published judged as there, our corrected runs judged on all."""
    columns = 3 if lab.has(*VARIANTS, *(f"{name}-published" for name in VARIANTS)) else 1
    figure, panels = style.new(columns, width=3.2 + 2.3 * columns, height=3.5)
    for name in VARIANTS:
        curve, own = printed.fid(name), look(name)
        panels[0].plot(curve.index, curve, color=own.colour, marker=own.marker, label=own.label)
    panels[0].set(xlabel="training steps", ylabel="FID (Inception, 30 images)", title="report A, as printed")
    note = "Left: read off report A's figure; Inception features of 30 images, one run. "
    if columns == 3:
        note += _ours(panels[1], lab, "-published", "fd_published", "our runs as published,\njudged on 30 samples as there")
        note += _ours(panels[2], lab, "", "fd", "our corrected runs,\njudged on all samples")
        note += "Middle and right differ in faults and in judging: notebook 04 judges the published runs on all samples, too. "
        if lab.has("a-floor"):
            floor = lab.seeds("a-floor")[0]
            least = f"{floor_at(floor).value:.2g} at n = {floor_n(floor):.0f}"
            note += f"{METHODS['floor'].label.capitalize()}: {least}, not measured on 30 samples. "
    style.legend_beside(panels[-1])
    text = "Each panel has its own axis: three measures in two feature spaces, of which only the shape can be compared."
    return style.finish(figure, "Published curves beside ours", note + text)


def _ours(ax: Axes, lab: Any, ending: str, column: str, title: str) -> str:
    for name in VARIANTS:
        rows = pd.concat([judged_alike(r.evals.assign(seed=r.seed)) for r in lab.seeds(name + ending)], ignore_index=True)
        style.points(ax, summed := over_seeds(rows, "step", column), look(name))
    features = lab.seeds(VARIANTS[0])[0].metrics["features"]
    how = "30 samples" if ending else f"n = {rows['n'].iloc[0]:.0f}"
    ax.set(xlabel="training steps", ylabel=f"{features}, {how}", title=title)
    return f"{'Middle' if ending else 'Right'}: {features}, {how}; {style.what_interval(summed, column)}. "


@style.styled
def fault_effects(effects: Mapping[tuple[str, str, str], Paired], title: str, images: float) -> Figure:
    """What each fault does (`one_fault.effects`): one panel per measure, a row per fault, only on and only off, as factors.

    images: how many were judged in each run.
    """
    faults = list(dict.fromkeys(fault for _, fault, _ in effects))[::-1]
    figure, panels = style.new(len(one_fault.MEASURES), width=9.6, height=1.6 + 0.55 * len(faults), sharey=True)
    for ax, (measure, label) in zip(panels, one_fault.MEASURES.items(), strict=True):
        ax.axvline(1, color=GREY, linewidth=1)
        for shift, (side, shown) in zip((0.13, -0.13), SIDES.items(), strict=True):
            own = {fault: gap for (name, fault, at), gap in effects.items() if (name, at) == (measure, side)}
            ends = (np.exp([getattr(gap, end) for gap in own.values()]) for end in ("value", "low", "high"))
            style.bars(ax, [faults.index(fault) + shift for fault in own], *ends, shown, sideways=True)
        ax.set_xlabel(f"{label}, times")
        style.log_x(ax)
    panels[0].set_yticks(range(len(faults)), [_in_words(fault) for fault in faults], fontsize=8)
    panels[0].set_ylim(-0.6, len(faults) - 0.4)
    style.legend_beside(panels[-1])
    n = max(gap.n for gap in effects.values())
    how = f"95% t-interval of ratios paired over {n} seeds" if n > 1 else "one seed, no interval"
    note = f"{how.capitalize()}. Only on: that fault alone over corrected. Only off: as published over the same without it."
    note += f" In brackets: the DDPM it was measured on, alone or trained on outputs. FD: n = {images:.0f} images a run."
    return style.finish(figure, title, note)


def _in_words(fault: str) -> str:
    """A fault by its id, the first clause of what it is, and the model on which its effect was measured."""
    what = re.sub(r"(\[\S+), ", "\\1,\u00a0", FAULTS[fault].what.split(": ")[0])  # a range stays on one line
    return textwrap.fill(f"{fault}: {what} ({look(FAULTS[fault].variant).label})", 42)


@style.styled
def epoch_seconds(records: Sequence[Any]) -> Figure:
    """Seconds of an epoch by part, on both data paths, the same model (kind epoch_timing); right: without the model's own."""
    rows = pd.concat([record.evals.assign(seed=record.seed) for record in records], ignore_index=True)
    images, batch = (records[0].metrics[key] for key in ("images", "batch"))
    figure, panels = style.new(2, width=9.2, height=2.9, sharey=True)
    heads = (f"seconds an epoch of {images:.0f} images", "seconds, without forward and backward pass")
    for ax, head, parts in zip(panels, heads, (list(PARTS), ["data", "optimiser"]), strict=True):
        own = rows[rows["part"].isin(parts)]
        means = own.pivot_table("seconds", "path", "part").loc[list(PATHS), parts]
        means.plot.barh(stacked=True, ax=ax, width=0.6, color=[PARTS[part].colour for part in parts], legend=False)
        totals = own.groupby(["path", "seed", "repeat"])["seconds"].sum().reset_index()
        summed = over_seeds(totals, "path", "seconds")
        summed["x"] = summed["x"].map(list(PATHS).index)
        style.points(ax, summed, Look("", "black", ""), linestyle="", sideways=True)
        ax.set(xlabel=head, ylabel="")
    panels[0].set_yticks(range(len(PATHS)), PATHS.values())
    names = [part.label for part in PARTS.values()]
    panels[1].legend(panels[0].containers[: len(PARTS)], names, loc="center left", bbox_to_anchor=(1.01, 0.5))
    note = f"Means; bar: 95% t-interval of the sum over {summed['n'].max()} repeats. Extrapolated from the steps measured"
    return style.finish(figure, "Where an epoch's time goes, same model", f"{note}, batches of {batch:.0f}.")


@style.styled
def grid_of_settings(frame: pd.DataFrame) -> Figure:
    """The full grid (`tables.grid_frame`): a panel per DDPM learning rate, a column per std, a row per DIP learning rate."""
    import seaborn as sns

    rates = sorted(frame["ddpm_lr"].unique())
    figure, panels = style.new(len(rates), width=2.4 + 2.6 * len(rates), height=3.0, sharey=True)
    cells = frame.groupby(["ddpm_lr", "dip_lr", "std"])
    means = cells["fd"].apply(lambda values: np.exp(np.log(values).mean()))
    said = cells.apply(_cell)
    low, high = np.log10([means.min(), means.max()])
    room = max(0.0, math.log10(2) - (high - low)) / 2  # the colours span a factor of two, so that no difference looks like none
    for ax, rate in zip(panels, rates, strict=True):
        sns.heatmap(np.log10(means[rate].unstack()), annot=said[rate].unstack(), fmt="", cmap="viridis_r", cbar=False, ax=ax,
                    vmin=low - room, vmax=high + room, linewidths=1, annot_kws={"size": 8})  # fmt: skip
        ax.set(xlabel="std of the DIP's input noise", ylabel="", title=f"DDPM lr {rate:g}")
        ax.invert_yaxis()
    panels[0].set_ylabel("DIP learning rate")
    first, seeds = frame.iloc[0], frame["seed"].nunique()
    over = f" and 95% t-interval over {seeds} seeds" if seeds > 1 else ", one seed"
    note = f"{first['features']}, n = {first['n']:.0f} images: geometric mean{over}; dark: large. "
    note += "Star: the run that all settings share."
    return style.finish(figure, "Report B's three settings, every combination", note)


def _cell(part: pd.DataFrame) -> str:
    found = summary(part, "fd")
    star = " *" if part["anchor"].any() else ""
    ends = f"\n[{number(found.low)}, {number(found.high)}]" if np.isfinite(found.low) else ""
    return f"{number(found.value)}{star}{ends}"
