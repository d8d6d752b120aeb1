"""Records -> plots: loss, PSNR and distance while something is trained or fitted; then methods and settings side by side."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dipddpm_utils.page import names, style
from dipddpm_utils.page.compare import copies, judged_alike, over_seeds, summary
from dipddpm_utils.page.images import img, png, tile
from dipddpm_utils.page.names import GREY, METHODS, Look, look
from dipddpm_utils.page.prose import copying, number
from dipddpm_utils.page.training import Sitting

# --- while something is trained or fitted -----------------------------------------------------------------------------


@style.styled
def loss_curves(runs: Mapping[str, Sequence[Any]], *, title: str) -> Figure:
    """Loss over steps. runs: method -> records of its seeds; thin lines: each logged loss; thick: its running median."""
    figure, (ax,) = style.new()
    for method, records in runs.items():
        own = look(method)
        for i, record in enumerate(records):
            curve = record.curve
            smooth = curve["loss"].rolling(max(1, len(curve) // 30), center=True, min_periods=1).median()
            ax.plot(curve["step"], curve["loss"], color=own.colour, alpha=0.18, linewidth=0.6)
            ax.plot(curve["step"], smooth, color=own.colour, label=own.label if i == 0 else None)
    ax.set(xlabel="training step", ylabel="loss (mean squared error)")
    style.log_y(ax)
    ax.legend()
    return style.finish(figure, title, "Thick, a line per seed: running median of the logged loss; thin: the loss as logged.")


@style.styled
def psnr_over_iterations(records: Mapping[str, Any]) -> Figure:
    """PSNR to the clean image while a net is fitted to its noisy copy; one panel per net (records of kind dip_images)."""
    figure, panels = style.new(len(records), width=2.4 + 2.0 * len(records), height=2.9, sharey=True)
    curves = {net: over_seeds(record.evals, "iteration", "psnr") for net, record in records.items()}
    for ax, (net, curve) in zip(panels, curves.items(), strict=True):
        own, noisy = look(net), records[net].evals.groupby("iteration")["psnr_noisy"].mean()
        ax.plot(curve["x"], curve["mean"], color=own.colour, label="to the clean image")
        ax.fill_between(curve["x"], curve["low"], curve["high"], color=own.colour, alpha=0.2, linewidth=0)
        ax.plot(noisy, color=GREY, linestyle=":", label="to the noisy image")
        at, peak = curve.loc[curve["mean"].idxmax(), ["x", "mean"]]
        ax.plot(at, peak, marker="*", markersize=11, color=own.colour, markeredgecolor="white")
        ax.set(xlabel="iteration", title=f"{own.label}\npeak {peak:.1f} dB at {at:.0f}")
        style.log_x(ax, [t for t in (1, 3, 10, 30, 100, 300, 1000, 3000, 10000) if noisy.index[0] <= t <= noisy.index[-1]])
        ax.margins(y=0.15)
    means = pd.concat(curves.values())["mean"]
    panels[0].set(ylim=(max(means.min(), means.max() - 20) - 1, None), ylabel="PSNR (dB, higher is better)")
    style.legend_beside(panels[-1])
    n, std = max(r.run.n_images for r in records.values()), next(iter(records.values())).run.std
    note = f"{n} images a net, noise of std {std:g} on images in [0, 1]. "
    note += "Line and band: mean and 95% t-interval over images; star: peak of the mean."
    return style.finish(figure, "PSNR while a net is fitted to one noisy image", note)


@style.styled
def fd_over_training(
    runs: Mapping[str, Sequence[Any]], floor: Any, *, x: str = "step", sitting: Sitting | None = None
) -> Figure:
    """Distance to held-out images over training. x: 'step' or 'seconds' (DIP seconds included; sitting: timed in turn)."""
    figure, (ax,) = style.new(width=7.6)
    note, ns = training_lines(ax, runs, x, sitting)
    note += floors(ax, floor, ns)
    axis = {"step": "training steps", "seconds": "training seconds"}[x]
    if x == "seconds" and any(record.metrics["dip_seconds"] for records in runs.values() for record in records):
        axis += ", DIP fit included"
    ax.set(xlabel=axis, ylabel=style.distance_label(next(iter(runs.values()))[0].metrics["features"]))
    style.log_y(ax)
    style.legend_beside(ax)
    return style.finish(figure, f"Sample quality over {axis}", note)


def training_lines(
    ax: Axes, runs: Mapping[str, Sequence[Any]], x: str, sitting: Sitting | None = None
) -> tuple[str, list[float]]:
    """Distances over training for each method; returns the note that goes below, and of how many images they are.

    Seconds are those of the first method's steps, and of each one's DIP; of a sitting, where there is one.
    """
    alone = [record.metrics for record in next(iter(runs.values()))]
    pace = sitting.pace if sitting else sum(own["train_seconds"] / own["steps"] for own in alone) / len(alone)
    lines = []
    for method, records in runs.items():
        dips = [sitting.dips[look(method).label] if sitting else record.metrics["dip_seconds"] for record in records]
        timed = (
            r.evals.assign(seed=r.seed, seconds=r.evals["step"] * pace + dip) for r, dip in zip(records, dips, strict=True)
        )
        rows = pd.concat(timed, ignore_index=True)  # at one pace, since clocks differ by the day
        main, own = judged_alike(rows), look(method)
        crosses = {"marker": "X", "label": "_", "linestyle": "", "markersize": 7, "markeredgecolor": "white", "zorder": 4}
        for part, options in ((main, {}), (rows.drop(main.index), crosses)):
            summed = over_seeds(part, "step", "fd")
            style.points(ax, summed.assign(x=summed["x"].map(part.groupby("step")[x].mean())), own, **options)
            lines += [summed] if part is main else []
    first, last = main.iloc[0], rows.iloc[-1]
    interval = style.what_interval(pd.concat(lines), "fd")
    note = f"Lines: n = {first['n']:.0f} images, {look(first['sampler']).label}, {first['nfe']:.0f} calls; {interval}."
    paced = "timed in turn, on one machine" if sitting else f"steps at the mean pace of the {look(next(iter(runs))).label}"
    note += f" Seconds: {paced}." * (x == "seconds")
    nets = [look(name).label for name in runs if names.ALIASES.get(name) in ("2conv", "resnet18")]
    note += f" {', '.join(nets)}: trained on its outputs." * bool(nets)
    if last["sampler"] == first["sampler"] and last["n"] == first["n"]:
        return note, [first["n"]]
    note += f" Crosses: n = {last['n']:.0f}, {look(last['sampler']).label}, {last['nfe']:.0f} calls."
    return note, [first["n"], last["n"]]


def floors(ax: Axes, floor: Any, ns: Sequence[float]) -> str:
    """The floor at each n, once the points are drawn; returns what the note has to say of it."""
    for n in ns:
        style.draw_floor(ax, floor, "fd", n)
    return style.floor_note(ax)


# --- side by side ------------------------------------------------------------------------------------------------------


@style.styled
def fd_vs_nfe(frame: pd.DataFrame, floor: Any) -> Figure:
    """Distance over network calls per image, one line per sampler (group 'samplers')."""
    figure, (ax,) = style.new(width=7.6)
    lines = {label: over_seeds(part, "nfe", "fd") for label, part in frame.groupby("label", sort=False)}
    for label, summed in lines.items():
        style.points(ax, summed, look(str(label)))
    style.draw_floor(ax, floor, "fd", n := frame["n"].iloc[0])
    ax.set(xlabel="network calls an image (NFE)", ylabel=style.distance_label(frame["features"].iloc[0]))
    style.log_y(ax)
    style.log_x(ax, frame["nfe"].unique())
    note = f"n = {n:.0f} images a point; {style.what_interval(pd.concat(lines), 'fd')}.{style.floor_note(ax)}"
    note += " Ancestral: the same as DDIM with eta 1." * ("ancestral" in lines)
    style.legend_beside(ax)
    return style.finish(figure, "What a sampler makes of the same network and the same number of calls", note)


@style.styled
def fd_vs_total_seconds(baseline: Sequence[Any], on_dip: Sequence[Any], starts: pd.DataFrame, floor: Any) -> Figure:
    """Quality over every second spent. Left: training, DIP included. Right: drawing the images, with the DIP fit it needs."""
    figure, (left, right) = style.new(2, width=9.2, height=3.6, sharey=True)
    note, ns = training_lines(left, {"baseline": baseline, "on-dip": on_dip}, "seconds")
    left.set(xlabel="training seconds at one pace, DIP fit included", title="training")
    left.set_ylabel(style.distance_label(starts["features"].iloc[0]))
    total = starts["sampling_seconds"] + starts["prior_seconds"]
    lines = []
    for label, part in starts.assign(total=total).groupby("label", sort=False):
        if label in ("noise", *names.starts(dip=True)):
            lines.append(summed := over_seeds(part, "value", "fd"))
            style.points(right, summed.assign(x=summed["x"].map(part.groupby("value")["total"].mean())), look(str(label)))
    note += floors(left, floor, ns)
    style.draw_floor(right, floor, "fd", n := starts["n"].iloc[0])
    right.set(xlabel=f"seconds to draw {n:.0f} images, DIP fit included", title="drawing: from noise or from DIP outputs")
    style.log_x(right)
    style.log_y(left, right)
    style.legend_beside(right, left)
    calls = f"{starts['nfe'].min():.0f} to {starts['nfe'].max():.0f} calls"
    note = f"Left: {note} Right: n = {n:.0f} images, {calls}; {style.what_interval(pd.concat(lines), 'fd')}."
    return style.finish(figure, "Quality for every second spent", note)


@style.styled
def fd_vs_t_start(frame: pd.DataFrame, floor: Any, *, title: str | None = None) -> Figure:
    """Distance over the step at which the reverse chain starts, one line per start, side by side (group 'starts')."""
    known = frame.get("own_source_rate", pd.Series(dtype=float)).notna().any()
    figure, axes = style.new(1 + known, width=8.2)
    starts, calls = list(frame.groupby("label", sort=False)), frame.groupby("value")["nfe"].mean()
    step = 0.012 * (calls.index.max() - calls.index.min())
    for ax, metric in zip(axes, ("fd", "own_source_rate"), strict=False):
        for place, (label, part) in enumerate(starts):
            summed, name = over_seeds(part, "value", metric), _start_in_words(str(label))
            aside = step * (place - (len(starts) - 1) / 2)  # so that no marker hides another's
            style.points(ax, summed.assign(x=summed["x"] + aside), look(str(label)), label=name)
        ax.set_xticks(calls.index, [f"{t:.0f}\n({nfe:.0f})" for t, nfe in calls.items()])
        ax.set_xlabel("first step of the chain, t_start (calls)")
    style.draw_floor(axes[0], floor, "fd", n := frame["n"].iloc[0])
    style.log_y(axes[0])
    axes[0].set_ylabel(style.distance_label(frame["features"].iloc[0]))
    if known:
        axes[1].set(ylabel="share of samples nearest\nto the image begun from", ylim=(-0.03, 1.03))
    style.legend_beside(axes[-1], *axes[:-1])
    summed = over_seeds(frame[frame["label"] == "noise"], "value", "fd")
    note = f"n = {n:.0f} images a point; {style.what_interval(summed, 'fd')}{' (shares: mean)' if known else ''}."
    note += style.floor_note(axes[0])
    return style.finish(figure, title or "Where the chain starts, and what it starts from, at equal network calls", note)


@style.styled
def ablations(
    frames: Mapping[str, pd.DataFrame], metric: str, label: str, *, title: str, axes: Mapping[str, str], floor: Any = None
) -> Figure:
    """Small multiples, one panel per sweep, all on one scale. The star is the run that all sweeps have in common.

    axes: sweep -> what its axis is called.
    """
    figure, panels = style.new(len(frames), width=max(5.4, 1.4 + 2.0 * len(frames)), height=3.0, sharey=True)
    lines = []
    for ax, (group, frame) in zip(panels, frames.items(), strict=True):
        lines.append(_sweep(ax, frame, metric, label))
        ax.set_xlabel(axes[group])
    better = "higher" if metric in ("psnr", "precision", "recall") else "lower"
    panels[0].set_ylabel(f"{label}\n({better} is better)")
    first = next(iter(frames.values()))
    n, shared = first["n_restored" if metric == "psnr" else "n"].iloc[0], first[first["anchor"].astype(bool)]
    long = f", {shared['steps'].iloc[0]:.0f} steps" if "steps" in shared and shared["steps"].notna().any() else ""
    interval = style.what_interval(pd.concat(lines), metric)
    note = f"n = {n:.0f} images a point; {interval}; star: the run that all panels share{long}."
    if metric == "fd":
        for ax in panels:
            style.draw_floor(ax, floor, metric, n)
        style.log_y(*panels)
        note += f" Grey, or written where it is far below: {METHODS['floor'].label}."
    return style.finish(figure, title, note)


def _sweep(ax: Axes, frame: pd.DataFrame, metric: str, label: str) -> pd.DataFrame:
    """One sweep, over numbers or over names, with a star at the common run; returns its summary."""
    words = not pd.api.types.is_numeric_dtype(frame["value"])
    places = {value: i for i, value in enumerate(dict.fromkeys(frame["value"]))}
    placed = frame.assign(value=frame["value"].map(places)) if words else frame
    summed = over_seeds(placed, "value", metric)
    style.points(ax, summed, Look(label, style.DARK, "o"), linestyle="" if words else "-")
    anchor = summed[summed["x"].isin(placed.loc[placed["anchor"].astype(bool), "value"])]
    ax.plot(anchor["x"], anchor["mean"], **style.STAR | {"zorder": 1.5})  # behind its own interval
    if words:
        ax.set_xticks(list(places.values()), [look(str(v)).label for v in places], rotation=30, ha="right")
        ax.margins(x=0.15)
    elif frame["value"].min() > 0 and frame["value"].max() >= 4 * frame["value"].min():
        style.log_x(ax, list(places))
        ax.tick_params(axis="x", rotation=30)
    return summed


def _start_in_words(start: str) -> str:
    """Its label; of the control how it is drawn, too."""
    return look(start).label + ": from noise, as many calls" * (start == "noise")


# --- to play with -----------------------------------------------------------------------------------------------------


def starts_to_play_with(frame: pd.DataFrame, records: Sequence[Any], name: str, caption: str) -> str:
    """HTML: a choice of start and a slider over t_start show samples, distance, copies and calls of each.

    frame: a group of starts, a row per record; records: those of the first seed, whose samples are shown. Distances are means
    over all seeds. All panels are in the page; without its script (in a notebook) they stand side by side.
    """
    named = {label: _start_in_words(label) for label in frame["label"].unique()}
    grids, panels = {record.name: record.arrays["grid"][:8] for record in records}, []
    for (label, t_start), rows in frame.groupby(["label", "value"], sort=False):
        images = next(grids[run] for run in rows["name"] if run in grids)
        said = f"{named[label]}, t_start = {t_start:.0f}: {rows['features'].iloc[0]} {number(summary(rows, 'fd').value)} "
        said += f"(mean of {len(rows)} seeds), {rows['nfe'].iloc[0]:.0f} network calls, {copying(copies(rows))}"
        shown = img(png(tile(images, columns=4)), f"{len(images)} samples, not selected. {said}", 'width="130"')
        panels.append(
            f'<div data-prior="{escape(label)}" data-t="{t_start:.0f}" style="display:inline-block;vertical-align:top;'
            f'max-width:16rem;margin:.3rem">{shown}<p aria-live="polite">{escape(said)}.</p></div>'
        )
    options = "".join(f'<option value="{escape(label)}">{escape(named[label])}</option>' for label in frame["label"].unique())
    return (
        f'<figure id="fig-{name}" class="play"><div><label>Start <select>{options}</select></label>'
        f'<label>t_start <input type="range" min="0" max="1" value="0" step="1"></label></div>{"".join(panels)}'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
