"""The two reports rebuilt, in figures: corrected beside as published, fault by fault, the published numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from . import factorial, published_curves
from .comparisons import floor_at, judged_alike, over_seeds, summary
from .faults import DIP_REPORTED_OVER, FAULTS, reported_loss
from .figures import (
    FAR,
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
from .published_curves import VARIANTS

SIDES = {"only on": Look("the only fault on", "#0072B2", "o"), "only off": Look("the only fault off", "#D55E00", "s")}
PARTS = {  # of an epoch's seconds
    "data": Look("reading and scaling images", "#E69F00", ""),
    "forward_backward": Look("forward and backward pass", "#0072B2", ""),
    "optimiser": Look("optimiser", "#CC79A7", ""),
}
PATHS = {"decode": "decoded one by one\n(the baseline's path)", "memory": "tensors in memory\n(the combined run's)"}


@styled
def corrected_and_published(lab: Any, names: Sequence[str], floor: Any, title: str) -> Figure:
    """Distance over steps of these runs: left as published, right corrected, on one axis, each with intervals and the floor."""
    figure, (left, right) = new(2, width=8.6, height=3.6, sharey=True)
    for ax, ending, head in ((left, "-published", "as published"), (right, "", "corrected")):
        note = training_lines(ax, {name: lab.seeds(name + ending) for name in names}, floor, "step", "fd")
        ax.set(xlabel="training steps", title=head)
        log_y(ax)
    left.set_ylabel(distance_label(lab.seeds(names[0])[0].metrics["features"]))
    legend_beside(right)
    return finish(figure, title, f"{note} Both judged in the same way, against real held-out images.")


@styled
def published_beside_ours(lab: Any) -> Figure:
    """Three panels: report A's FID as printed, our runs as published judged as there, our corrected runs judged on all."""
    columns = 3 if lab.has(*(f"{name}-published" for name in VARIANTS)) else 1
    figure, panels = new(columns, width=3.2 + 2.3 * columns, height=3.5)
    for name in VARIANTS:
        printed, style = published_curves.fid(name), look(name)
        panels[0].plot(printed["step"], printed["fid"], color=style.colour, marker=style.marker, label=style.label)
    panels[0].set(xlabel="training steps", ylabel="FID (Inception, 30 images)", title="report A, as printed")
    note = "Left: read off report A's figure; Inception features of 30 images, one run. "
    if columns == 3:
        note += _ours(panels[1], lab, "-published", "fd_published", "our runs as published,\njudged on 30 samples as there")
        note += _ours(panels[2], lab, "", "fd", "our corrected runs,\njudged on all samples")
    legend_beside(panels[-1])
    text = "Each panel has its own axis: three measures in two feature spaces, of which only the shape can be compared."
    return finish(figure, "Published curves beside ours", note + text)


def _ours(ax: Any, lab: Any, ending: str, column: str, title: str) -> str:
    for name in VARIANTS:
        rows = pd.concat(
            [judged_alike(record.evals.assign(seed=record.seed)) for record in lab.seeds(name + ending)], ignore_index=True
        )
        shown = column if column in rows else "fd"
        summed = over_seeds(rows, "step", shown)
        points(ax, summed, look(name))
    features, n = lab.seeds(VARIANTS[0])[0].metrics["features"], rows["n"].iloc[0]
    how = "30 samples" if shown == "fd_published" else f"n = {n:.0f}"
    ax.set(xlabel="training steps", ylabel=f"{features}, {how}", title=title)
    return f"{'Middle' if ending else 'Right'}: {features}, {how}; {what_interval(summed)}. "


@styled
def fault_effects(effects: pd.DataFrame, title: str) -> Figure:
    """What each fault adds (tidy, from factorial.effects): one panel a measure, a row a fault, only on and only off."""
    measures = [name for name in factorial.MEASURES if (effects["measure"] == name).any()]
    faults = list(dict.fromkeys(effects["fault"]))[::-1]
    figure, panels = new(len(measures), width=2.2 + 1.9 * len(measures), height=1.6 + 0.42 * len(faults), sharey=True)
    for ax, name in zip(panels, measures, strict=True):
        ax.axvline(0, color=GREY, linewidth=1)
        for shift, (side, style) in zip((0.13, -0.13), SIDES.items(), strict=True):
            part = effects[(effects["measure"] == name) & (effects["side"] == side)]
            y = np.array([faults.index(fault) for fault in part["fault"]]) + shift
            ends = np.nan_to_num([part["value"] - part["low"], part["high"] - part["value"]])
            ax.errorbar(part["value"], y, xerr=ends, fmt=style.marker, color=style.colour, capsize=2, label=style.label)
        ax.set(xlabel=f"adds to {factorial.MEASURES[name]}")
        ax.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))
    panels[0].set_yticks(range(len(faults)), [f"{fault} ({FAULTS[fault].variant})" for fault in faults])
    panels[0].set_ylim(-0.6, len(faults) - 0.4)
    legend_beside(panels[-1])
    n = int(effects["n"].max())
    how = f"95% t-interval of differences paired over {n} seeds" if n > 1 else "one seed, no interval"
    note = f"{how.capitalize()}. Only on: that fault alone minus corrected. Only off: as published minus the same without it."
    return finish(figure, title, f"{note} In brackets: the run it was measured on.")


@styled
def epoch_seconds(records: Sequence[Any]) -> Figure:
    """Seconds of an epoch by part, on both data paths, the same model (kind epoch_timing); right: without the model's own."""
    rows = pd.concat([record.evals.assign(seed=record.seed) for record in records], ignore_index=True)
    figure, (whole, rest) = new(2, width=8.8, height=2.9, sharey=True)
    repeats = _stacked(whole, rows, list(PARTS))
    _stacked(rest, rows, [part for part in PARTS if part != "forward_backward"])
    images, batch = (records[0].metrics.get(key) for key in ("images", "batch"))
    whole.set_xlabel(f"seconds an epoch of {images:.0f} images" if images else "seconds an epoch")
    rest.set_xlabel("without forward and backward pass")
    whole.set_yticks(range(len(PATHS)), [*PATHS.values()][::-1])
    handles = [Patch(color=style.colour, label=style.label) for style in PARTS.values()]
    rest.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))
    note = f"Means; bar: 95% t-interval of the sum over {repeats} repeats. Extrapolated from the steps measured"
    return finish(figure, "Where an epoch's time goes, same model", f"{note}{f', batches of {batch:.0f}' if batch else ''}.")


def _stacked(ax: Any, rows: pd.DataFrame, parts: Sequence[str]) -> int:
    """One bar a data path, these parts one after the other, with the interval of their sum; returns the number of repeats."""
    for place, path in enumerate([*PATHS][::-1]):
        own, left = rows[(rows["path"] == path) & rows["part"].isin(parts)], 0.0
        for part in parts:
            width = float(own[own["part"] == part]["seconds"].mean())
            ax.barh(place, width, left=left, color=PARTS[part].colour, height=0.6)
            left += width
        totals = own.groupby(["seed", "repeat"])["seconds"].sum().reset_index()
        whole = summary(totals, "seconds")
        ends = np.nan_to_num([[whole.value - whole.low], [whole.high - whole.value]])
        ax.errorbar([whole.value], [place], xerr=ends, color="black", capsize=3, fmt="none")
    return len(totals)


@styled
def trained_on(frames: Mapping[str, pd.DataFrame], floor: Any) -> Figure:
    """Distance of samples to clean images and to what the model was trained on, a row a kind of training data."""
    figure, (ax,) = new(width=7.6, height=1.4 + 0.4 * len(frames))
    names = list(frames)[::-1]
    shown = (
        ("fd", "to held-out real images", METHODS["baseline"]),
        ("fd_trained", "to the data trained on", METHODS["on-dip"]),
    )
    for shift, (metric, label, style) in zip((0.12, -0.12), shown, strict=True):
        found = {name: one for name in names if (one := summary(frames[name], metric)) is not None}
        y = [names.index(name) + shift for name in found]
        ends = np.nan_to_num([[one.value - one.low, one.high - one.value] for one in found.values()]).T
        if found:
            values = [one.value for one in found.values()]
            ax.errorbar(values, y, xerr=ends, fmt=style.marker, color=style.colour, capsize=2, label=label)
    n = next(iter(frames.values()))["n"].iloc[0]
    nearest = min(float(frame["fd"].min()) for frame in frames.values())
    if (least := floor_at(floor, "fd", n)) is not None and FAR * least.value > nearest:
        ax.axvline(least.value, color=GREY, linestyle="--", label=METHODS["floor"].label)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel=distance_label(next(iter(frames.values()))["features"].iloc[0]))
    if ax.get_xlim()[1] > 4 * max(ax.get_xlim()[0], 1e-9):
        ax.set_xscale("log")
    legend_beside(ax)
    seeds = max(frame["seed"].nunique() for frame in frames.values())
    how = f"mean and 95% t-interval over {seeds} seeds" if seeds > 1 else "one seed"
    far = (
        f" {METHODS['floor'].label.capitalize()}: {least.value:.2g}, far below."
        if least and FAR * least.value <= nearest
        else ""
    )
    return finish(figure, "What the model is trained on, and how far its samples are from it", f"n = {n:.0f}; {how}.{far}")


@styled
def reported_scale(runs: Mapping[str, Sequence[Any]]) -> Figure:
    """FA6: the loss of report A's DIP networks as it was, and as report A printed it; dotted: what it printed, corrected."""
    figure, (ax,) = new(width=7.8)
    for name, records in runs.items():
        style = look(name)
        for i, record in enumerate(records):
            curve, label = record.curve, style.label if i == 0 else None
            printed = [reported_loss([loss], DIP_REPORTED_OVER) for loss in curve["loss"]]
            ax.plot(curve["step"], curve["loss"], color=style.colour, label=label and f"{label}, mean squared error")
            ax.plot(curve["step"], printed, color=style.colour, linestyle=":", label=label and f"{label}, as printed")
        value = published_curves.dip_loss(name)
        ax.axhline(value, color=style.colour, linestyle="--", linewidth=0.8, label=f"{style.label}, report A's last")
    ax.set(xlabel="training step", ylabel="loss")
    log_y(ax)
    legend_beside(ax)
    seeds = max(len(records) for records in runs.values())
    note = f"One line a seed ({seeds}); runs as published. Report A's last loss is corrected to a mean squared error."
    return finish(figure, "The DIP's loss, and the loss as it was printed", note)


@styled
def grid_of_settings(frame: pd.DataFrame, floor: Any, metric: str = "fd") -> Figure:
    """The full grid: one panel a DDPM learning rate, x: std, one line a DIP learning rate (columns of claims_tests_b)."""
    rates = sorted(frame["ddpm_lr"].unique())
    figure, panels = new(len(rates), width=2.6 + 2.5 * len(rates), height=3.3, sharey=True)
    colours = [METHODS[name] for name in ("baseline", "on-dip", "start-dip", "resnet18", "2conv")]
    for ax, rate in zip(panels, rates, strict=True):
        part = frame[frame["ddpm_lr"] == rate]
        for style, (dip_lr, own) in zip(colours, part.groupby("dip_lr"), strict=False):
            points(ax, summed := over_seeds(own, "std", metric), style, label=f"DIP lr {dip_lr:g}")
        common = frame[frame["anchor"].astype(bool) & (frame["ddpm_lr"] == rate)]
        if len(common):
            star = over_seeds(common, "std", metric)
            ax.plot(star["x"], star["mean"], linestyle="", marker="*", markersize=13, color="black", label="common anchor")
        if floor is not None:
            draw_floor(ax, floor, metric, frame["n"].iloc[0])
        ax.set(xlabel="std of the DIP's input noise", title=f"DDPM lr {rate:g}")
        log_y(ax)
    seconds = metric == "train_seconds"
    panels[0].set_ylabel("training seconds" if seconds else distance_label(frame["features"].iloc[0], metric))
    handles = {label: handle for ax in panels for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    panels[-1].legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.01, 0.5))
    n = "" if seconds else f"n = {frame['n'].iloc[0]:.0f} images; "
    note = f"{n}{what_interval(summed)}. Star: the run that all settings share."
    title = "Report B's three settings, every combination" + (": seconds of training" if seconds else "")
    return finish(figure, title, note)
