"""What the fits of DIPs found (notebook 02), and which DIP was picked (05), as sentences and tables computed from records."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dipddpm_utils.page.compare import among, frame_of, over_seeds, own_interval, paired, summary
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import bullets, count, effect, number, percent, span


def sizes(nets: Mapping[str, Sequence[Any]]) -> str:
    """How large the smallest and the largest net are."""
    parameters = [own[0].metrics["parameters"] for own in nets.values()]
    return f"{len(nets)} nets, of {count(min(parameters))} to {count(max(parameters))} parameters."


def pick_table(records: Sequence[Any]) -> pd.DataFrame:
    """The fits that the compared DIP is picked from (records of `dip_pick`), the nearest to validation images first."""
    best = sorted(records, key=lambda record: record.metrics["fd"])
    return pd.DataFrame(
        {
            "network": look(record.run.net).label,
            "std": record.run.std,
            "steps": record.run.optim.steps,
            record.metrics["features"]: span(own_interval(record.metrics, "fd")),
            "recall": number(record.metrics["recall"], 2),
            "look copied": percent(record.metrics["copy_rate"]),
            "seconds, fit + use": f"{number(record.metrics['train_seconds'])} + {number(record.metrics['apply_seconds'])}",
        }
        for record in best
    )


def in_words(dip: Any) -> str:
    """'2conv, std 0.4, 300 steps'."""
    return f"{look(dip.net).label}, std {dip.std:g}, {count(dip.optim.steps)} steps"


def picked(records: Sequence[Any]) -> str:
    """Which fit is compared in notebook 04, by which rule."""
    best = min(records, key=lambda record: record.metrics["fd"])
    about, made = best.run, best.metrics
    return (
        f"Picked by the lowest distance on {count(made['n_held_out'])} validation images, of one fit each, intervals over "
        f"outputs: {in_words(about)}. Use: applying it to {count(about.data.n_train)} images. Of held-out images "
        f"{percent(made['copy_rate_floor'])} look copied."
    )


def headline(lab: Any) -> str:
    """The DIP of the headline comparisons beside the four nets of notebook 02, whose noise may be another."""
    if not lab.has("main", "main-on-dip"):
        return ""
    if (entry := lab.profile.find(lab.profile.group("main-on-dip")[0].entry.run.dip)) is None:
        return ""
    fits = [lab.profile.find(model.run.dip) for model in lab.seeds("main-on-dip")]
    made = frame_of([lab.record(fit.name) for fit in fits if fit is not None])
    own, alone = summary(made, "fd"), summary(frame_of(lab.seeds("main")), "fd")
    nearer = f" The DDPM alone has {span(alone)}. These outputs are nearer to real images, so they do not limit it yet."
    far = nearer if own.value < alone.value else ""
    said = f"{in_words(entry.run)}, {made['features'].iloc[0]} {span(own)} ({len(made)} seeds)"
    return f"The headline comparisons have another DIP, picked in notebook 05: {said}.{far}"


def peaks(records: Mapping[str, Any]) -> str:
    """When each per-image fit is best, and what going on costs."""
    lines = []
    for net, record in records.items():
        curve = over_seeds(record.evals, "iteration", "psnr").sort_values("x")
        best, last = curve.loc[curve["mean"].idxmax()], curve.iloc[-1]
        images = record.evals.pivot_table(index="image", columns="iteration", values="psnr")
        lost = paired(list(images[last["x"]] - images[best["x"]]))
        top = f"{number(best['mean'])} dB [{number(best['low'])}, {number(best['high'])}] at iteration {best['x']:.0f}"
        end = f"by {last['x']:.0f}: {effect(lost, 'dB')}"
        lines.append(f"{look(net).label}: {top} (n = {best['n']:.0f} images); {end}.")
    return bullets(lines)


def best_net(nets: Mapping[str, Sequence[Any]]) -> str:
    """One sentence: the net that restores best, the one whose outputs are nearest to real images, and who is not told apart."""
    frames = {net: frame_of(own) for net, own in nets.items()}
    sharp = max(frames, key=lambda net: frames[net]["psnr"].mean())
    near = min(frames, key=lambda net: summary(frames[net], "fd").value)
    restored = f"{look(sharp).label} has the highest mean PSNR ({span(summary(frames[sharp], 'psnr'))} dB"
    features = frames[near]["features"].iloc[0]
    nearest = f"the outputs of {look(near).label} have the lowest mean {features} ({span(summary(frames[near], 'fd'))}"
    said = f"{restored}{_like(frames, sharp, 'psnr')}); {nearest}{_like(frames, near, 'fd')})"
    return f"{said}. Paired by seed, Holm over all pairs."


def _like(frames: Mapping[str, pd.DataFrame], best: str, metric: str) -> str:
    """The rivals of the best one that are not shown to be different from it."""
    gaps = among(pd.concat([frame.assign(net=net) for net, frame in frames.items()]), "net", metric)
    same = [look(net).label for net in frames if net != best and not gaps[best, net].decided]
    others = ", ".join(same) if len(same) < len(frames) - 1 else "the others"
    return f"; not told apart from {others}" if same else ""


def losses(nets: Mapping[str, Sequence[Any]]) -> str:
    """The loss each net ends with, mean of the last logged ones over the seeds."""
    last = {net: frame_of(own)["loss_last"].mean() for net, own in nets.items()}
    return f"Mean squared error at the end: {', '.join(f'{look(net).label} {number(loss)}' for net, loss in last.items())}."


def first_weights(records: Sequence[Any]) -> str:
    """What the ResNet-18s among these records began with, a sentence; '' without one."""
    notes = [note for record in records if record.run.net == "resnet18" for note in record.notes if "weights" in note]
    said = dict.fromkeys(re.sub(r" \(.*\)$", "", note) for note in notes)  # what a download failed with tells a reader nothing
    return f"ResNet-18 began with {'; '.join(said)}." if notes else ""


def best_peak(records: Mapping[str, Any]) -> str:
    """One sentence: the net with the highest mean PSNR, when it has it, and how much the worst overfit loses."""
    curves = {net: record.evals.groupby("iteration")["psnr"].mean() for net, record in records.items()}
    lost = {net: curve.max() - curve.iloc[-1] for net, curve in curves.items()}
    best, worst = max(curves, key=lambda net: curves[net].max()), max(lost, key=lambda net: lost[net])
    where = f"at iteration {curves[best].idxmax()} (n = {records[best].metrics['n']:.0f} images)"
    peak = f"the highest mean PSNR is {number(curves[best].max())} dB by {look(best).label} {where}"
    return f"{peak}; going on costs {look(worst).label} most, {number(lost[worst])} dB."
