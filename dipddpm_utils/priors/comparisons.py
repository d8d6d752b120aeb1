"""What the comparisons found (notebooks 04, 05 and 07), as sentences and tables computed from records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page import names
from dipddpm_utils.page.compare import (
    Paired,
    best_start,
    copies,
    difference,
    frame_of,
    judged_alike,
    paired,
    scaled,
    slope,
    summary,
)  # fmt: skip
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import NOT_MEASURED, bullets, comparison, percent, ratio
from dipddpm_utils.page.training import best_sampler, fewest_calls
from dipddpm_utils.page.words import number, signed, span
from dipddpm_utils.priors import findings
from dipddpm_utils.theory.gaussian import Cost

DIVERSITY = {"worse": "more diverse", "better": "less diverse"}
SAYS_LITTLE = 0.9  # a bound on a total variation, which is at most 1 anyway


def combined(lab: Any) -> str:
    """Trained on DIP outputs against trained on real images: at equal steps, and at equal seconds."""
    if not lab.has("ddpm", "ddpm-on-dip"):
        return NOT_MEASURED
    base, on_dip = frame_of(lab.seeds("ddpm")), frame_of(lab.seeds("ddpm-on-dip"))
    unit = base["features"].iloc[0]
    lines = [
        comparison("Trained on DIP outputs minus trained on real images, equal steps", difference(on_dip, base, "fd"), unit),
        comparison("Same, recall (diversity)", difference(on_dip, base, "recall"), "", **DIVERSITY),
        f"The DIP adds {number(on_dip['dip_seconds'].mean())} s to {number(base['train_seconds'].mean())} s of training.",
    ]
    return bullets(lines)


def starts(frame: pd.DataFrame) -> str:
    """Each start against the whole chain from noise with as many calls, at the t_start where it does best, and its copies."""
    lines = []
    for label in dict.fromkeys(frame["label"]):
        if label == "noise":
            continue
        best = best_start(frame, label)
        if best is None:
            continue
        t_start, gap, rows = best
        name = f"{look(label).label}, best at t_start = {t_start:.0f} ({rows['nfe'].iloc[0]:.0f} calls), over noise"
        copied, usual, many = copies(rows)
        said = f"{ratio(name, gap)} Copied: {percent(copied)} (held-out images: {percent(usual)})."
        if gap.decided and gap.value < 0 and many:
            said += " What looks better here is copies of training images."
        lines.append(said)
    return bullets(lines)


EVENTS = {"precision": "among real images", "copy_rate": "copied"}  # of a sample, and so with a probability


def start_bounds(starts: pd.DataFrame) -> pd.DataFrame:
    """The bound of notebook 01 on measured chains: a row a start and t_start, what may differ at most and what is seen to.

    Two laws differ in total variation by at least the difference of any event's probability. Seen: that of one of EVENTS
    against the start from real images, each interval at level 1 - 0.05 / 2 for the choice; least: its end nearer to zero (0 if
    it holds zero), the larger of both events. Cases with fewer than two seeds, or without the bound in every record, are out.
    """
    rows = []
    real = starts[starts["label"] == "real"]
    for (label, t_start), own in starts.groupby(["label", "value"], sort=False):
        if "start_tv_bound" not in own or own["start_tv_bound"].isna().any():
            continue
        found = []
        for event, said in EVENTS.items():
            gap = difference(own, real[real["value"] == t_start], event, level=1 - 0.05 / len(EVENTS))
            if gap is not None and gap.low is not None and gap.high is not None:
                least = min(abs(gap.low), abs(gap.high)) if gap.decided else 0.0
                found.append((least, abs(gap.value), said, span(scaled(gap, -1 if gap.value < 0 else 1)), gap.n))
        if found:
            least, _, said, seen, seeds = max(found)
            moved, bound = (float(own[name].mean()) for name in ("start_moved", "start_tv_bound"))
            about = {"start": label, "t_start": int(t_start), "moved": moved, "bound": bound}
            rows.append({**about, "event": said, "seen": seen, "least": least, "seeds": seeds})
    return pd.DataFrame(rows)


def start_bound(bounds: pd.DataFrame) -> str:
    """Whether the bound of notebook 01 held on the measured chains, and for each start from which step on it says anything."""
    if bounds.empty:
        return NOT_MEASURED
    broken, tight = bounds[bounds["least"] > bounds["bound"]], bounds[bounds["bound"] < SAYS_LITTLE]
    lines = [f"The bound was broken in {len(broken)} of {len(bounds)} measured cases."]
    for label in dict.fromkeys(bounds["start"]):
        said = tight[tight["start"] == label].sort_values("t_start")
        if said.empty:
            lines.append(f"{look(label).label}: above {SAYS_LITTLE:g} at every step measured, so it says next to nothing.")
            continue
        first = said.iloc[0]
        lines.append(
            f"{look(label).label}: below {SAYS_LITTLE:g} from t_start = {first['t_start']} on, there at most "
            f"{number(first['bound'], 2)}; seen is {first['seen']} ({first['event']})."
        )
    return bullets(lines)


# --- 05 ablations -----------------------------------------------------------------------------------------------------


def sweep(group: str, frame: pd.DataFrame, metric: str, unit: str, *, higher_is_better: bool = False) -> str:
    """The best and the worst setting of a sweep, and whether they differ over the seeds.

    Two of k settings are chosen after the fact, so the interval is widened to level 1 - 0.05 / (k (k - 1) / 2).
    """
    means = frame.groupby("value", sort=False)[metric].mean().dropna()
    if len(means) < 2:
        return f"`{group}`: one setting only."
    best, worst = (means.idxmax(), means.idxmin()) if higher_is_better else (means.idxmin(), means.idxmax())
    a, b = frame[frame["value"] == worst], frame[frame["value"] == best]
    words = {"worse": "a real difference", "better": "a real difference"}
    settings = [f"{_setting(value)} ({span(summary(rows, metric))})" for value, rows in ((best, b), (worst, a))]
    name = f"`{group}`: best {settings[0]}, worst {settings[1]}; worst minus best"
    return comparison(name, difference(a, b, metric, level=1 - 0.1 / (len(means) * (len(means) - 1))), unit, **words)


def trend(group: str, frame: pd.DataFrame, metric: str, unit: str, *, log: bool = False) -> str:
    """Change of a metric over the tested range of a setting, by one line a seed (log: on a logarithmic axis of the setting).

    A metric that is shown to rise between two neighbouring settings and to fall between two others has no trend, and is said
    to have none.
    """
    settings = sorted(frame["value"].unique())
    first, last = settings[0], settings[-1]
    gap = slope(frame, metric, log=log)
    name = f"`{group}` from {first:g} to {last:g}"
    if gap is None:
        return f"{name}: one setting only."
    steps = [difference(frame[frame["value"] == b], frame[frame["value"] == a], metric) for a, b in pairwise(settings)]
    if len({step.value > 0 for step in steps if step is not None and step.decided}) == 2:
        parts = [f"{signed(step)} from {a:g} to {b:g}" for step, (a, b) in zip(steps, pairwise(settings), strict=True)]
        return f"{name}: **not one way**: {', then '.join(parts)} {unit}, paired over {gap.n} seeds."
    whole = scaled(gap, math.log10(last / first) if log else last - first)
    words = {"worse": "it rises", "better": "it falls"}
    return comparison(f"{name}, fitted by a line{' in its logarithm' if log else ''}", whole, unit, **words)


def _setting(value: Any) -> str:
    return look(value).label if isinstance(value, str) else f"{value:g}"


def equal_seconds(longer: Sequence[Any], on_dip: Sequence[Any]) -> str:
    """The model trained on DIP outputs against the DDPM alone that was trained on for the DIP's seconds, too.

    longer: the DDPM alone with more steps; its curve is read, in log FD, at the other's total seconds, or at its own end if
    that comes first (which helps the DIP).
    """
    ratios = []
    for alone, other in zip(longer, on_dip, strict=True):
        curve, judged = judged_alike(alone.evals), judged_alike(other.evals)
        there = np.interp(other.metrics["total_seconds"], curve["seconds"], np.log(curve["fd"].astype(float)))
        ratios.append(math.log(judged["fd"].iloc[-1]) - float(there))
    share = np.mean([o.metrics["total_seconds"] / a.metrics["total_seconds"] for a, o in zip(longer, on_dip, strict=True)])
    when = "At equal total seconds" if share <= 1.02 else f"With {percent(1 - 1 / share)} fewer seconds for the DDPM alone"
    return ratio(f"**{when}**, FD of the model trained on DIP outputs over FD of the DDPM alone", paired(ratios))


def measured_cost(starts: pd.DataFrame, record: Any) -> tuple[Cost, pd.DataFrame]:
    """(seconds of the DIP start at its best t_start; images to break even at each t_start) as measured. record: its model.

    A call of the network takes what it takes in chains from noise; a DIP start has the seconds of applying the DIP on top. A
    t_start at which an image takes longer than by the whole chain has no row: it never breaks even.
    """
    T, best = record.run.diffusion.num_train_timesteps, best_start(starts, *names.starts(dip=True))
    own = best[2]["label"].iloc[0] if best else "dip"
    dip, noise = (starts[starts["label"] == label] for label in (own, "noise"))
    whole = float((noise["sampling_seconds"] / noise["n"] / noise["nfe"]).mean() * dip["nfe_full"].mean())
    prior, applied = float(dip["prior_seconds"].mean()), float((dip["start_seconds"] / dip["n"]).mean())
    rows = [
        {"fraction": (value + 1) / T, "images": prior / (whole - seconds)}
        for value, seconds in (dip["sampling_seconds"] / dip["n"]).groupby(dip["value"]).mean().items()
        if seconds < whole
    ]
    t_start = int(best[0]) if best else int(dip["value"].min())
    return Cost(prior, applied, whole, t_start, T), pd.DataFrame(rows, columns=["fraction", "images"])


# --- 07 conclusions ---------------------------------------------------------------------------------------------------


def negative_results(lab: Any) -> pd.DataFrame:
    """Every comparison in which the DIP was not shown to be better: name, effect, n, verdict."""
    found = _on_digits(lab) if lab.has("ddpm", "ddpm-on-dip", "starts") else []
    rows = findings.rows_of(found + findings.no_gain(lab))
    return pd.DataFrame(rows, columns=["comparison", "ratio", "seeds", "verdict", "seeds it would take"])


def _on_digits(lab: Any) -> list[tuple[str, Paired | None]]:
    """The DIP as training data and as a start, against the same without one."""
    found: list[tuple[str, Paired | None]] = []
    base, on_dip = frame_of(lab.seeds("ddpm")), frame_of(lab.seeds("ddpm-on-dip"))
    for metric in ("fd", "kid"):
        name = f"{metric.upper()}, trained on DIP outputs / DDPM alone, equal steps"
        found.append((name, difference(on_dip, base, metric, ratio=True)))
    starts = dict(list(lab.frame("starts").groupby(["label", "value"])))
    for own, rival in product(names.starts(dip=True), ("noise", *names.starts(dip=False))):
        for label, value in starts:
            if label == own and (rival, value) in starts:
                name = f"FD, {look(own).label} / from {rival}, t_start = {value:.0f}, equal calls"
                found.append((name, difference(starts[own, value], starts[rival, value], "fd", ratio=True)))
    return found


def instead(lab: Any) -> str:
    """What costs nothing and does the same job: a better sampler, a longer training."""
    lines = []
    if lab.has("samplers"):
        lines = [f"**A better sampler.** {fewest_calls(lab.frame('samplers'))} {best_sampler(lab.frame('samplers'))}"]
    if lab.has("ddpm", "ddpm-more"):
        base, more = frame_of(lab.seeds("ddpm")), frame_of(lab.seeds("ddpm-more"))
        cost = number(more["train_seconds"].mean() / base["train_seconds"].mean(), 2)
        gap = difference(more, base, "fd", ratio=True)
        lines.append(ratio(f"**More training.** {cost} times the seconds: FD over the baseline's", gap))
    return bullets(lines) or NOT_MEASURED
