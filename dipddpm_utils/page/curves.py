"""What happens while something is trained or fitted: loss, PSNR, distance of samples, over steps, iterations or seconds."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dipddpm_utils.judging import stats
from dipddpm_utils.page import style
from dipddpm_utils.page.compare import judged_alike, over_seeds
from dipddpm_utils.page.names import GREY, look


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
    return style.finish(figure, title, "Thick, a line a seed: running median of the logged loss; thin: the loss as logged.")


@style.styled
def psnr_over_iterations(records: Mapping[str, Any]) -> Figure:
    """PSNR to the clean image while a net is fitted to its noisy copy; one panel a net (records of kind dip_images)."""
    import seaborn as sns

    def interval(values: pd.Series) -> tuple[float, float]:
        found = stats.mean_interval(values.to_numpy())
        return found.low, found.high

    figure, panels = style.new(len(records), width=2.4 + 2.0 * len(records), height=2.9, sharey=True)
    every = pd.DataFrame({net: record.evals.groupby("iteration")["psnr"].mean() for net, record in records.items()})
    for ax, (net, record) in zip(panels, records.items(), strict=True):
        own, means = look(net), every[net].dropna()
        sns.lineplot(record.evals, x="iteration", y="psnr", errorbar=interval, color=own.colour, label="to the clean image",
                     legend=False, ax=ax)  # fmt: skip
        sns.lineplot(record.evals, x="iteration", y="psnr_noisy", errorbar=None, color=GREY, linestyle=":",
                     label="to the noisy image", legend=False, ax=ax)  # fmt: skip
        ax.plot(means.idxmax(), means.max(), marker="*", markersize=11, color=own.colour, markeredgecolor="white")
        title = f"{own.label}\npeak {means.max():.1f} dB at {means.idxmax():.0f}"
        ax.set(xlabel="iteration", title=title, ylabel="PSNR (dB, higher is better)")
        style.log_x(ax, [t for t in (1, 3, 10, 30, 100, 300, 1000, 3000, 10000) if means.index[0] <= t <= means.index[-1]])
        ax.margins(y=0.15)
    panels[0].set_ylim(bottom=max(every.min().min(), every.max().max() - 20) - 1)
    style.legend_beside(panels[-1])
    n, std = max(r.run.n_images for r in records.values()), next(iter(records.values())).run.std
    note = f"{n} images a net, noise of std {std:g} on images in [0, 1]. "
    note += "Line and band: mean and 95% t-interval over images; star: peak of the mean."
    return style.finish(figure, "PSNR while a net is fitted to one noisy image", note)


@style.styled
def fd_over_training(
    runs: Mapping[str, Sequence[Any]], floor: Any, *, x: str = "step", metric: str = "fd", title: str = ""
) -> Figure:
    """Distance to held-out images over training. x: 'step' or 'seconds' (DIP seconds included)."""
    figure, (ax,) = style.new(width=7.6)
    note = training_lines(ax, runs, floor, x, metric)
    axis = {"step": "training steps", "seconds": "training seconds"}[x]
    if x == "seconds" and any(record.metrics["dip_seconds"] for records in runs.values() for record in records):
        axis += ", DIP fit included"
    ax.set(xlabel=axis, ylabel=style.distance_label(next(iter(runs.values()))[0].metrics["features"], metric))
    style.log_y(ax)
    style.legend_beside(ax)
    return style.finish(figure, title or f"Sample quality over {axis}", note)


def training_lines(ax: Axes, runs: Mapping[str, Sequence[Any]], floor: Any, x: str, metric: str) -> str:
    """Distances over training for each method, with the floor at the same n; returns the note that goes below.

    Seconds are those of the first method's steps, and of each one's DIP.
    """
    alone = [record.metrics for record in next(iter(runs.values()))]
    pace = sum(own["train_seconds"] / own["steps"] for own in alone) / len(alone)
    lines = []
    for method, records in runs.items():
        parts = []
        for record in records:  # at one pace, since clocks differ by the day
            seconds = record.evals["step"] * pace + record.metrics["dip_seconds"]
            parts.append(record.evals.assign(seed=record.seed, seconds=seconds))
        rows = pd.concat(parts, ignore_index=True)
        main, own = judged_alike(rows), look(method)
        crosses = {"marker": "X", "label": "_", "linestyle": "", "markersize": 7, "markeredgecolor": "white", "zorder": 4}
        for part, options in ((main, {}), (rows.drop(main.index), crosses)):
            summed = over_seeds(part, "step", metric)
            style.points(ax, summed.assign(x=summed["x"].map(part.groupby("step")[x].mean())), own, **options)
            lines += [summed] if part is main else []
    first, last = main.iloc[0], rows.iloc[-1]
    interval = style.what_interval(pd.concat(lines), metric)
    note = f"Lines: n = {first['n']:.0f} images, {look(first['sampler']).label}, {first['nfe']:.0f} calls; {interval}."
    style.draw_floor(ax, floor, metric, first["n"])
    if last["sampler"] != first["sampler"] or last["n"] != first["n"]:
        note += f" Crosses: n = {last['n']:.0f}, {look(last['sampler']).label}, {last['nfe']:.0f} calls."
        style.draw_floor(ax, floor, metric, last["n"])
    return note + style.floor_note(floor, first["n"])
