"""What each notebook found, as sentences computed from its records (prose.py has the parts they are made of)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from .comparisons import difference, frame_of, judged_alike, over_seeds, paired, summary
from .figures import look
from .gaussian import Cost
from .prose import bullets, comparison, percent
from .stats import Interval
from .wording import count, number, signed, span


def checks(record: Any) -> str:
    """How far each closed form of the Gaussian run is from its measurement."""
    m, lines = record.metrics, []
    for name in dict.fromkeys(record.evals["check"]):
        cases = int((record.evals["check"] == name).sum())
        label = f"`{name}`"
        if name.endswith("_bound"):
            broken = int(m.get(f"{name}_violations", 0))
            lines.append(f"{label}: the bound holds in {cases - broken} of {cases} cases.")
        else:
            worst, covered = m.get(f"{name}_max_relative_error"), m.get(f"{name}_covered")
            if worst is not None and worst < 1e-9:  # measured on pairs with the same noise, which cancels
                lines.append(f"{label}: {cases} cases, equal to the closed form up to rounding.")
                continue
            inside = f"closed form inside the 95% interval in {percent(covered)}"
            lines.append(f"{label}: {cases} cases, largest deviation {percent(worst)}, {inside}.")
    return bullets(lines)


def mismatch(record: Any) -> str:
    """What is left of a wrong start, and how tight the bound is."""
    rows = record.evals[(record.evals["check"] == "start_bound") & (record.evals["mismatch"] > 0)]
    worst = rows[rows["mismatch"] == rows["mismatch"].max()].sort_values("x")
    early, late = worst.iloc[0], worst.iloc[-1]
    share = (rows["measured"] / rows["expected"]).median()
    cases = []
    for row in (early, late):
        cases.append(f"{number(row['measured'], 2)} at t = {row['x']:.0f} (bound {number(row['expected'], 2)})")
    return (
        f"A start whose mean is off by {number(worst['mismatch'].iloc[0], 2)} data std leaves the output at a total "
        f"variation of {cases[0]}, where little noise hides the error, and of {cases[1]}, where much does. "
        f"In the median case the chain realises {percent(share)} of what the bound allows."
    )


def few_steps(record: Any) -> str:
    """What the fewest and the most steps make of the data's variance, with a perfect network."""
    evals = record.evals
    real = evals[evals["check"] == "q_variance"].sort_values("x")["expected"].iloc[0]
    parts = []
    for name, label in (("ddim_variance", "DDIM"), ("ancestral_variance", "the ancestral sampler")):
        rows = evals[evals["check"] == name].sort_values("x")
        reached = [f"{percent(row['expected'] / real, 3)} in {row['x']:.0f} steps" for _, row in rows.iloc[[0, -1]].iterrows()]
        parts.append(f"{label} reaches {' and '.join(reached)}")
    return f"Of the data's variance {'; '.join(parts)}."


def spectrum(record: Any) -> str:
    """What is missing of the lowest and the highest band, for images and for noise: when an image's lowest one is there, and
    at the end."""
    evals, ends = record.evals, (record.evals["band"].min(), record.evals["band"].max())
    lowest = evals[(evals["target"] == "image") & (evals["band"] == ends[0])].sort_values("iteration")
    there = lowest[lowest["relative_error"] <= 0.1]["iteration"]
    last = int(evals["iteration"].max())
    early = int(there.iloc[0]) if len(there) else last
    parts = []
    for iteration in dict.fromkeys((early, last)):
        missing = []
        for target, name in (("image", "a clean image"), ("noise", "pure noise")):
            rows = evals[(evals["target"] == target) & (evals["iteration"] == iteration)].set_index("band")["relative_error"]
            missing.append(f"of {name} {percent(rows[ends[0]])} of the lowest band and {percent(rows[ends[1]])} of the highest")
        parts.append(f"after {iteration} iterations are missing {' and '.join(missing)}")
    return f"Of the {look(record.run.net).label} net, {'; '.join(parts)}."


def break_even(cost: Cost) -> str:
    """Images beyond which the prior pays, from measured seconds."""
    chain = f"{number(1000 * cost.chain_seconds)} ms an image for the whole chain"
    start = f"With {number(cost.prior_seconds)} s for the prior and {chain}, "
    if math.isinf(cost.break_even_images):
        return start + f"a start at t = {cost.t_start} never pays: the prior costs more per image than it saves."
    return (
        start + f"a start at t = {cost.t_start} saves time once more than **{count(cost.break_even_images)} images** are drawn."
    )


# --- 02 DIP -----------------------------------------------------------------------------------------------------------


def dip_nets(nets: Mapping[str, Sequence[Any]]) -> str:
    """Restoration by each net, the best first, and whether the best is better than the second."""
    frames = sorted(((net, frame_of(own)) for net, own in nets.items()), key=lambda pair: -pair[1]["psnr"].mean())
    lines = []
    for net, frame in frames:
        gain = (
            f", {number((frame['psnr'] - frame['psnr_input']).mean())} dB above its noisy input"
            if "psnr_input" in frame
            else ""
        )
        lines.append(f"{look(net).label}: {span(summary(frame, 'psnr'))} dB over {len(frame)} seeds{gain}.")
    (first, best), (second, next_best) = frames[:2]
    gap = difference(best, next_best, "psnr")
    lines.append(
        comparison(
            f"{look(first).label} minus {look(second).label}", gap, "dB", worse="a real difference", better="a real difference"
        )
    )
    return bullets(lines)


def peaks(records: Mapping[str, Any]) -> str:
    """When each per-image fit is best, and what going on costs."""
    lines = []
    for net, record in records.items():
        curve = over_seeds(record.evals, "iteration", "psnr").sort_values("x")
        best, last = curve.loc[curve["mean"].idxmax()], curve.iloc[-1]
        lost = paired(_lost(record, best["x"], last["x"]))
        top = f"{number(best['mean'])} dB [{number(best['low'])}, {number(best['high'])}] at iteration {best['x']:.0f}"
        end = f"going on to {last['x']:.0f} changes it by {signed(lost)} dB"
        lines.append(f"{look(net).label}: best mean {top} (n = {best['n']:.0f} images); {end}.")
    return bullets(lines)


def _lost(record: Any, best: float, last: float) -> list[float]:
    table = record.evals.pivot_table(index="image", columns="iteration", values="psnr")
    return list(table[last] - table[best])


# --- 03 baseline ------------------------------------------------------------------------------------------------------


def training(record: Any) -> str:
    """Size, steps, seconds of a ddpm run."""
    m, last = record.metrics, record.evals.iloc[-1]
    seen = f"{count(last['step'])} steps ({count(last['images'])} images)"
    return f"A U-Net of {count(m['parameters'])} parameters, {seen}, {number(m['train_seconds'])} s of training."


def progress(record: Any) -> str:
    """First and last evaluation during training with the same sampler and n."""
    rows = judged_alike(record.evals)
    rows = rows[rows["n"] == rows["n"].iloc[0]]
    first, last = rows.iloc[0], rows.iloc[-1]
    steps = f"From step {first['step']:.0f} to step {last['step']:.0f}"
    how = f"n = {last['n']:.0f}, {look(last['sampler']).label}, {last['nfe']:.0f} calls"
    return f"{steps}, {first['features']} goes from {_row(first)} to {_row(last)} ({how})."


def _row(row: pd.Series) -> str:
    return span(Interval(low=row["fd_low"], value=row["fd"], high=row["fd_high"], n=int(row["n"])))


def loss_and_distance(record: Any) -> str:
    """How much the loss and the distance still change in the second half of training."""
    rows = judged_alike(record.evals)
    rows = rows[rows["n"] == rows["n"].iloc[0]]
    middle, last = rows.iloc[(len(rows) - 1) // 2], rows.iloc[-1]
    curve, width = record.curve, max(1, len(record.curve) // 20)
    near = [curve[curve["step"] <= row["step"]]["loss"].tail(width).mean() for row in (middle, last)]
    changes = [near[1] / near[0] - 1, float(last["fd"]) / float(middle["fd"]) - 1]
    steps = f"From step {middle['step']:.0f} to step {last['step']:.0f}"
    return f"{steps} the loss changes by {changes[0]:+.1%} and {last['features']} by {changes[1]:+.1%}."


def samplers(frame: pd.DataFrame) -> str:
    """The best sampler at the fewest and at the most calls, with what the others reach."""
    lines = []
    for nfe in sorted(frame["nfe"].unique())[:: max(1, frame["nfe"].nunique() - 1)]:
        rows = frame[frame["nfe"] == nfe].sort_values("fd")
        lines.append(
            f"{nfe:.0f} calls: " + ", ".join(f"{look(row['label']).label} {_row(row)}" for _, row in rows.iterrows()) + "."
        )
    return bullets(lines)


def best_net(nets: Mapping[str, Sequence[Any]]) -> str:
    """One sentence: the net that restores best, the one whose outputs are nearest to real images, and who is not told apart."""
    frames = {net: frame_of(own) for net, own in nets.items()}
    sharp = max(frames, key=lambda net: frames[net]["psnr"].mean())
    near = min(frames, key=lambda net: frames[net]["fd"].mean())
    restored = f"{look(sharp).label} has the highest mean PSNR ({span(summary(frames[sharp], 'psnr'))} dB"
    features = frames[near]["features"].iloc[0]
    nearest = f"the outputs of {look(near).label} have the lowest mean {features} ({span(summary(frames[near], 'fd'))}"
    return f"{restored}{_like(frames, sharp, 'psnr')}); {nearest}{_like(frames, near, 'fd')})."


def _like(frames: Mapping[str, pd.DataFrame], best: str, metric: str) -> str:
    """The rivals of the best one that are not shown to be different from it."""
    gaps = {net: difference(frames[best], frame, metric) for net, frame in frames.items() if net != best}
    same = [look(net).label for net, gap in gaps.items() if gap is None or not gap.decided]
    return f"; not told apart from {', '.join(same)}" if same else ""


def best_peak(records: Mapping[str, Any]) -> str:
    """One sentence: the net with the highest mean PSNR, when it has it, and how much the worst overfit loses."""
    curves = {net: over_seeds(record.evals, "iteration", "psnr").sort_values("x") for net, record in records.items()}
    best = max(curves, key=lambda net: curves[net]["mean"].max())
    top = curves[best].loc[curves[best]["mean"].idxmax()]
    lost = {net: curve["mean"].max() - curve["mean"].iloc[-1] for net, curve in curves.items()}
    worst = max(lost, key=lambda net: lost[net])
    where = f"by {look(best).label} at iteration {top['x']:.0f} (n = {top['n']:.0f} images)"
    peak = f"the highest mean PSNR is {number(top['mean'])} dB {where}"
    return f"{peak}; going on to the end costs {look(worst).label} most, {number(lost[worst])} dB."


def fit_seconds(nets: Mapping[str, Sequence[Any]], images: Mapping[str, Any]) -> str:
    """One sentence: seconds of a fit to the data set, and seconds an image of fits to single images."""
    fits = [frame_of(own)["train_seconds"].mean() for own in nets.values()]
    each = [record.metrics["seconds"] / record.run.n_images for record in images.values()]
    many = f"a fit to the data set took {number(min(fits))} to {number(max(fits))} s once"
    return f"{many}, a fit to one image {number(min(each))} to {number(max(each))} s for every image."


def coverage(metrics: Mapping[str, Any], floor: Any) -> str:
    """Precision, recall and copies beside those of real images."""
    parts = []
    for key, name in (("precision", "precision"), ("recall", "recall"), ("copy_rate", "copy rate")):
        real = floor.metrics.get(key)
        parts.append(f"{name} {number(metrics[key])}" + (f" (real images: {number(real)})" if real is not None else ""))
    return f"{', '.join(parts)}.".capitalize()


def fewest_calls(frame: pd.DataFrame, slack: float = 1.1) -> str:
    """For each sampler, the fewest calls that come within 10% of the best distance of all."""
    limit = slack * frame["fd"].min()
    parts = []
    for label, rows in frame.groupby("label", sort=False):
        enough = rows[rows["fd"] <= limit]["nfe"]
        needs = f"needs {enough.min():.0f}" if len(enough) else f"does not in {rows['nfe'].max():.0f}"
        parts.append(f"{look(str(label)).label} {needs}")
    return f"Network calls to come within {percent(slack - 1)} of the lowest distance of all: {', '.join(parts)}."


def best_sampler(frame: pd.DataFrame) -> str:
    """The lowest distance of all samplers and calls, and its interval."""
    best = frame.loc[frame["fd"].idxmin()]
    return f"The lowest: {look(str(best['label'])).label} with {best['nfe']:.0f} calls, {best['features']} {_row(best)}."
