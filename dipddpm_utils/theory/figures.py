"""The pictures of the theory: the schedule, what a net fits first, closed forms beside measurements, bound and break-even."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dipddpm_utils.page.compare import Paired
from dipddpm_utils.page.names import GREY, METHODS, Look, look
from dipddpm_utils.page.prose import factor, number
from dipddpm_utils.page.style import VIRIDIS, bars, finish, legend_beside, new, styled
from dipddpm_utils.theory.findings import CHECKS
from dipddpm_utils.theory.gaussian import WIDEST, Cost

EXPECTED, MEASURED = METHODS["baseline"].colour, METHODS["on-dip"].colour


@styled
def forward_process(alphas_cumprod: Mapping[str, Sequence[float]]) -> Figure:
    """Left: how much of the image is left at step t. Right: signal-to-noise ratio. One line per schedule."""
    figure, (left, right) = new(2, width=7.2, height=2.8)
    for (name, values), colour in zip(alphas_cumprod.items(), (EXPECTED, MEASURED, look("dip").colour), strict=False):
        alpha_bars = np.asarray(values, dtype=float)
        left.plot(np.sqrt(alpha_bars), color=colour, label=name)
        right.plot(10 * np.log10(alpha_bars / (1 - alpha_bars)), color=colour, label=name)
    left.set(xlabel="step t", ylabel=r"$\sqrt{\bar\alpha_t}$ (share of the image)")
    right.set(xlabel="step t", ylabel="signal-to-noise ratio (dB)")
    right.axhline(0, color=GREY, linestyle="--", linewidth=1)
    left.legend()
    note = "No randomness: computed from the schedules. Grey: as much signal as noise."
    return finish(figure, "The forward process trades the image for noise", note)


@styled
def spectral_bias(record: Any) -> Figure:
    """Error left in each band of spatial frequency while an untrained net is fitted; one panel per target."""
    import seaborn as sns

    evals = record.evals
    titles = {"image": "target: clean image", "noisy": "target: noisy image", "noise": "target: noise alone"}
    figure, panels = new(len(titles), width=7.8, height=2.9, sharey=True)
    bands = sorted(evals["band"].unique())
    for ax, (target, title) in zip(panels, titles.items(), strict=True):
        sns.lineplot(evals[evals["target"] == target], x="iteration", y="relative_error", hue="band", hue_order=bands,
                     palette=sns.color_palette("viridis", len(bands)), errorbar=None, legend=False, ax=ax)  # fmt: skip
        ax.axhline(1, color=GREY, linestyle="--", linewidth=1)
        ax.set(xlabel="iteration", title=title, xscale="log", yscale="log")
    for line, name in zip((panels[0].lines[0], panels[0].lines[len(bands) - 1]), ("lowest", "highest"), strict=True):
        line.set_label(name)
    errors = evals["relative_error"]
    panels[0].set_ylim(max(1e-4, errors.min() / 1.5), min(10, errors.max() * 1.5))
    panels[0].set_ylabel("error left, over the band's energy\n(1: nothing fitted yet)")
    panels[0].legend(title="frequency band", loc="lower left")
    note = f"Error and energy summed over {record.run.n_images} images; {len(bands)} bands of radial frequency, dark (low) "
    note += f"to light (high). Net: {look(record.run.net).label}."
    return finish(figure, "What is still missing while a net is fitted, by spatial frequency", note)


@styled
def gaussian_checks(record: Any, names: Sequence[str]) -> Figure:
    """Closed form (square) beside measurement (dots with 95% bars), one panel per check."""
    evals = record.evals
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, panels = new(columns, rows, count=len(names), width=1.0 + 2.4 * columns, height=0.7 + 2.0 * rows)
    data = record.metrics["data_variance"]
    for ax, name in zip(panels, names, strict=True):
        part, (title, x, y) = evals[evals["check"] == name].sort_values("x"), CHECKS[name]
        ax.plot(part["x"], part["expected"], "s", color=EXPECTED, markersize=8, markerfacecolor="none", label="closed form")
        bars(ax, *(part[key] for key in ("x", "measured", "low", "high")), Look("measured", MEASURED, "o"), markersize=3.5)
        if x == "network calls":
            ax.axhline(data, color=GREY, linestyle="--", linewidth=1, label="variance of the data")
        ax.set(title=title, xlabel=x, ylabel=y)
    legend_beside(panels[columns - 1], *panels)
    note = f"{_data(record.run)}, n = {record.run.n} draws a point; bars: 95% interval."
    return finish(figure, "Every formula, beside what the code does", note)


def _data(run: Any) -> str:
    about = run.diffusion
    return f"Gaussian data in {run.dim} dimensions, {about.schedule} schedule, T = {about.num_train_timesteps}"


@styled
def mismatch(record: Any) -> Figure:
    """What a start with a wrong mean leaves in the output, over t_start, one colour a mismatch (in data std).

    Left: the shift that remains, closed form and measured. Right: total variation distance, which stays below its bound.
    """
    evals, run = record.evals, record.run
    figure, panels = new(2, width=7.6, height=3.2)
    sizes = sorted(size for size in evals.loc[evals["check"] == "start_bound", "mismatch"].unique() if size > 0)
    for ax, name in zip(panels, ("output_shift", "start_bound"), strict=True):
        title, x, y = CHECKS[name]
        for size, colour in zip(sizes, VIRIDIS, strict=False):
            part = evals[(evals["check"] == name) & (evals["mismatch"] == size)].sort_values("x")
            ax.plot(part["x"], part["expected"], color=colour, label=f"{size:g} data std")
            ends = (part[key] for key in ("x", "measured", "low", "high"))
            bars(ax, *ends, Look("", colour, "o"), label=None, markersize=3.5)
        ax.set(title=title, xlabel=x, ylabel=y)
    panels[0].legend(title="start's mean is off by")
    note = f"{_data(run)}; a data std: {number(math.sqrt(WIDEST), 2)}. Dots: the mean shift of n = {run.n} pairs with the same "
    note += "noise, which cancels, so without an interval; right, as total variation. Lines: left, the closed form; right, the "
    note += "bound."
    return finish(figure, "What a wrong start leaves in the output, over where the chain starts", note)


@styled
def break_even(cost: Cost, limit: Paired | None = None, *, unit: str = "seconds") -> Figure:
    """Total cost over the number of images drawn, of the whole chain and from a prior. cost: in any unit of cost.

    limit: the logarithm of the number of images beyond which the prior pays, over seeds, where it was measured.
    """
    figure, (ax,) = new(width=5.6, height=3.1)
    crossing = cost.break_even_images
    pays = math.isfinite(crossing)
    spread = pays and limit is not None and math.isfinite(limit.high)
    images = np.linspace(0, 2.5 * crossing if pays else 10_000, 50)
    ax.plot(images, [cost.whole_chain(n) for n in images], color=METHODS["baseline"].colour, label="whole chain from noise")
    ax.plot(images, [cost.from_prior(n) for n in images], color=look("dip").colour, label="prior once, then part of it")
    if pays:
        at, said = (math.exp(limit.value), factor(limit)) if spread else (crossing, number(crossing))
        ax.axvline(at, color=GREY, linestyle="--", linewidth=1, zorder=1)
        ax.annotate(f"{said} images", (at, ax.get_ylim()[1]), xytext=(4, -12), textcoords="offset points", fontsize=8)
    if spread:
        ax.axvspan(math.exp(limit.low), math.exp(limit.high), color=GREY, alpha=0.2, linewidth=0, zorder=0)
        ax.set_xlim(0, images[-1])
    ax.set(xlabel="images drawn", ylabel=f"total cost ({unit})")
    ax.legend(loc="upper left" if not pays else "lower right")
    note = f"Chain from t_start = {cost.t_start}; prior: {number(cost.prior_seconds)} {unit} once"
    note += f"; whole chain: {cost.chain_seconds:.3g} {unit} an image. " if unit == "seconds" else ". "
    if spread:
        note += f"Grey: 95% t-interval over {limit.n} seeds. "
    if not pays:
        note += f"From t_start = {cost.t_start} the prior never pays: an image costs no less with it. "
    return finish(figure, "When a prior pays for itself", note + "Cost only: that the images are equally good is not implied.")
