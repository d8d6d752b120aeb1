"""The two reports rebuilt, in figures: corrected beside as published, fault by fault, the published numbers beside ours."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dipddpm_utils.faults import DIP_REPORTED_OVER, FAULTS, reported_loss
from dipddpm_utils.page.compare import floor_at, floor_n, judged_alike, summary
from dipddpm_utils.page.style import (
    DARK,
    FAR,
    GREY,
    LIGHT,
    METHODS,
    STAR,
    VIRIDIS,
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
from dipddpm_utils.reports import one_fault
from dipddpm_utils.reports import printed as published_curves
from dipddpm_utils.reports.printed import VARIANTS

SIDES = {"only on": Look("the only fault on", DARK, "o"), "only off": Look("the only fault off", LIGHT, "s")}
PARTS = {  # of an epoch's seconds
    "data": Look("reading and scaling images", LIGHT, ""),
    "forward_backward": Look("forward and backward pass", "#CCCCCC", ""),
    "optimiser": Look("optimiser", DARK, ""),
}
PATHS = {"decode": "decoded one by one\n(the baseline's path)", "memory": "tensors in memory\n(the combined run's)"}


@styled
def corrected_and_published(lab: Any, names: Sequence[str], floor: Any, title: str) -> Figure:
    """Distance over steps of these runs: left as published, right corrected, on one axis, each with intervals and the floor."""
    figure, (left, right) = new(2, width=8.6, height=3.6, sharey=True)
    for ax, ending, head in ((left, "-published", "as published"), (right, "", "corrected")):
        note = training_lines(ax, {name: lab.seeds(name + ending) for name in names}, floor, "step", "fd")
        ax.set(xlabel="training steps", title=head)
    log_y(left, right)
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
        note += _floor_of_ours(lab)
    legend_beside(panels[-1])
    text = "Each panel has its own axis: three measures in two feature spaces, of which only the shape can be compared."
    return finish(figure, "Published curves beside ours", note + text)


def _ours(ax: Any, lab: Any, ending: str, column: str, title: str) -> str:
    for name in VARIANTS:
        rows = pd.concat(
            [judged_alike(record.evals.assign(seed=record.seed)) for record in lab.seeds(name + ending)], ignore_index=True
        )
        shown = column if column in rows else "fd"
        summed = summarised(rows, "step", shown)
        points(ax, summed, look(name))
    features, n = lab.seeds(VARIANTS[0])[0].metrics["features"], rows["n"].iloc[0]
    how = "30 samples" if shown == "fd_published" else f"n = {n:.0f}"
    ax.set(xlabel="training steps", ylabel=f"{features}, {how}", title=title)
    return f"{'Middle' if ending else 'Right'}: {features}, {how}; {what_interval(summed, shown)}. "


def _floor_of_ours(lab: Any) -> str:
    """What real images score against real ones, in words: far below the panels, and nobody's 30 samples were judged so."""
    if not lab.has("a-floor"):
        return ""
    floor = lab.seeds("a-floor")[0]
    value, n = floor_at(floor), floor_n(floor)
    return f"{METHODS['floor'].label.capitalize()}: {value.value:.2g} at n = {n:.0f}, not measured on 30 samples. "


@styled
def fault_effects(effects: pd.DataFrame, title: str, images: float) -> Figure:
    """What each fault adds (tidy, from factorial.effects): one panel a measure, a row a fault, only on and only off.

    images: how many were judged in each run.
    """
    measures = [name for name in one_fault.MEASURES if (effects["measure"] == name).any()]
    faults = list(dict.fromkeys(effects["fault"]))[::-1]
    figure, panels = new(len(measures), width=3.6 + 1.7 * len(measures), height=1.6 + 0.55 * len(faults), sharey=True)
    for ax, name in zip(panels, measures, strict=True):
        ax.axvline(0, color=GREY, linewidth=1)
        for shift, (side, style) in zip((0.13, -0.13), SIDES.items(), strict=True):
            part = effects[(effects["measure"] == name) & (effects["side"] == side)]
            y = np.array([faults.index(fault) for fault in part["fault"]]) + shift
            ends = np.nan_to_num([part["value"] - part["low"], part["high"] - part["value"]])
            ax.errorbar(part["value"], y, xerr=ends, fmt=style.marker, color=style.colour, capsize=2, label=style.label)
        ax.set(xlabel=f"adds to {one_fault.MEASURES[name]}")
        ax.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))
    panels[0].set_yticks(range(len(faults)), [_in_words(fault) for fault in faults], fontsize=8)
    panels[0].set_ylim(-0.6, len(faults) - 0.4)
    legend_beside(panels[-1])
    n = int(effects["n"].max())
    how = f"95% t-interval of differences paired over {n} seeds" if n > 1 else "one seed, no interval"
    note = f"{how.capitalize()}. Only on: that fault alone minus corrected. Only off: as published minus the same without it."
    note += f" In brackets: the DDPM it was measured on, alone or trained on outputs. FD, KID: n = {images:.0f} images a run."
    return finish(figure, title, note)


def _in_words(fault: str) -> str:
    """A fault by its id, the first clause of what it is, and the model on which its effect was measured."""
    what = re.sub(r"(\[\S+), ", "\\1,\u00a0", FAULTS[fault].what.split(": ")[0])  # a range stays on one line
    return textwrap.fill(f"{fault}: {what} ({look(FAULTS[fault].variant).label})", 42)


@styled
def epoch_seconds(records: Sequence[Any]) -> Figure:
    """Seconds of an epoch by part, on both data paths, the same model (kind epoch_timing); right: without the model's own."""
    rows = pd.concat([record.evals.assign(seed=record.seed) for record in records], ignore_index=True)
    figure, (whole, rest) = new(2, width=9.2, height=2.9, sharey=True)
    repeats = _stacked(whole, rows, list(PARTS))
    _stacked(rest, rows, [part for part in PARTS if part != "forward_backward"])
    images, batch = (records[0].metrics.get(key) for key in ("images", "batch"))
    whole.set_xlabel(f"seconds an epoch of {images:.0f} images" if images else "seconds an epoch")
    rest.set_xlabel("seconds, without forward and backward pass")
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
        ("fd", Look("to held-out real images", DARK, "o")),
        ("fd_trained", Look("to the data trained on", LIGHT, "s")),
    )
    for shift, (metric, style) in zip((0.12, -0.12), shown, strict=True):
        found = {name: one for name in names if (one := summary(frames[name], metric)) is not None}
        y = [names.index(name) + shift for name in found]
        ends = np.nan_to_num([[one.value - one.low, one.high - one.value] for one in found.values()]).T
        if found:
            values = [one.value for one in found.values()]
            ax.errorbar(values, y, xerr=ends, fmt=style.marker, color=style.colour, capsize=2, label=style.label)
    n = next(iter(frames.values()))["n"].iloc[0]
    nearest = min(float(frame["fd"].min()) for frame in frames.values())
    if (least := floor_at(floor, "fd", n)) is not None and FAR * least.value > nearest:
        ax.axvline(least.value, color=GREY, linestyle="--", label=METHODS["floor"].label)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel=distance_label(next(iter(frames.values()))["features"].iloc[0]))
    if ax.get_xlim()[1] > 4 * max(ax.get_xlim()[0], 1e-9):
        ax.set_xscale("log")
        round_ticks(ax.xaxis, *ax.get_xlim())
    legend_beside(ax)
    seeds = max(frame["seed"].nunique() for frame in frames.values())
    how = f"mean and 95% t-interval over {seeds} seeds" if seeds > 1 else "one seed"
    far = (
        f" {METHODS['floor'].label.capitalize()}: {least.value:.2g}, far below."
        if least and FAR * least.value <= nearest
        else ""
    )
    note = f"n = {n:.0f} images; {how}.{far} Real images trained on are of the "
    note += "same kind as those held out, so their second distance was not taken."
    return finish(figure, "What the model is trained on, and how far its samples are from it", note)


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
    looks = [Look("", colour, marker) for colour, marker in zip(VIRIDIS, "osD^", strict=True)]
    at = sorted(frame["std"].unique())
    for ax, rate in zip(panels, rates, strict=True):
        lines = list(frame[frame["ddpm_lr"] == rate].groupby("dip_lr"))
        common = frame[frame["anchor"].astype(bool) & (frame["ddpm_lr"] == rate)]
        for place, (style, (dip_lr, own)) in enumerate(zip(looks, lines, strict=False)):
            summed = dodged(summarised(own, "std", metric), place, len(lines), at)
            points(ax, summed, style, label=f"DIP lr {dip_lr:g}")
            if (star := common[common["dip_lr"] == dip_lr]["std"]).size:
                shared = dodged(summarised(own[own["std"].isin(star)], "std", metric), place, len(lines), at)
                ax.plot(shared["x"], shared["mean"], label="common anchor", **STAR)
        if floor is not None:
            draw_floor(ax, floor, metric, frame["n"].iloc[0])
        ax.set(xlabel="std of the DIP's input noise", title=f"DDPM lr {rate:g}")
    log_y(*panels)
    seconds = metric == "train_seconds"
    panels[0].set_ylabel("training seconds" if seconds else distance_label(frame["features"].iloc[0], metric))
    legend_beside(panels[-1], *panels[:-1])
    n = frame["n"].iloc[0]
    interval = what_interval(summed, metric)
    note = interval[0].upper() + interval[1:] if seconds else f"n = {n:.0f} images; {interval}"
    note += ". Star: the run that all settings share; lines of one std side by side."
    title = "Report B's three settings, every combination" + (": seconds of training" if seconds else "")
    return finish(figure, title, note + ("" if floor is None else floor_note(floor, n)))
