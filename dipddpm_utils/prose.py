"""Records -> sentences. Every number that a notebook or the README says comes from here, with its n and its interval.

Functions return Markdown. A difference is called one only if its 95% interval, paired over seeds, leaves out zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from . import speed
from .comparisons import Paired, best_control, best_start, difference, floor_at, floor_n, frame_of, summary
from .figures import look
from .wording import factor, number, signed, span

HEADLINE = ("floor", "ddpm-long", "samplers", "ddpm", "ddpm-on-dip", "starts")  # what an answer takes
NOT_MEASURED = "Not yet measured: this profile has no records of it."


def distance(metrics: Mapping[str, Any], floor: Any = None, metric: str = "fd") -> str:
    """'FD-MNIST 14.2 [13.1, 15.0] (n = 2000, DDIM, 50 calls), 6.3 times the real-vs-real floor of 2.26'."""
    row = pd.DataFrame([dict(metrics)])
    return _distance(row, floor, metric)


def over_seeds_distance(records: Sequence[Any], floor: Any = None, metric: str = "fd") -> str:
    """The same for the mean over the seeds of a run, with their t-interval."""
    return _distance(frame_of(records), floor, metric)


def _distance(frame: pd.DataFrame, floor: Any, metric: str) -> str:
    features, n = frame["features"].iloc[0], float(frame["n"].iloc[0])
    name = features if metric == "fd" else f"KID ({features.removeprefix('FD-')} features)"
    value = summary(frame, metric)
    seeds = f", {len(frame)} seeds" if len(frame) > 1 else ""
    how = f", {look(frame['sampler'].iloc[0]).label}, {frame['nfe'].iloc[0]:.0f} calls" if "sampler" in frame else ""
    text = f"{name} {span(value)} (n = {n:.0f}{how}{seeds})"
    least = floor_at(floor, metric, n)
    if least is None and metric == "fd" and "fd_floor" in frame:
        least = summary(frame, "fd_floor")
    if least is None:
        return text
    if least.value <= 0:  # KID is unbiased, so its floor may be on either side of zero
        return f"{text}; the real-vs-real floor is {span(least)}"
    other_n = f" at n = {floor_n(floor, n):.0f}" if floor is not None and floor_n(floor, n) != n else ""
    return f"{text}, {number(value.value / least.value, 2)} times the real-vs-real floor of {number(least.value)}{other_n}"


def verdict(gap: Paired, worse: str = "worse", better: str = "better") -> str:
    """'worse', 'better' (for a measure where lower is better), or 'not decidable' and how many seeds it might take."""
    if gap.n == 1:
        return "**not decidable** from one seed"
    if gap.decided:
        return f"**{worse if gap.value > 0 else better}**"
    more = f"; at this spread it would take about {gap.needed} seeds" if gap.needed and gap.needed > gap.n else ""
    return f"**not decidable** with {gap.n} seeds, the interval holds zero{more}"


def comparison(name: str, gap: Paired | None, unit: str, *, worse: str = "worse", better: str = "better") -> str:
    """'DIP minus baseline: +6.3 [+2.1, +10.4] FD-MNIST, paired over 3 seeds: worse.'"""
    if gap is None:
        return f"{name}: no seed in common."
    seeds = f", paired over {gap.n} seeds" if gap.n > 1 else ""
    return f"{name}: {f'{signed(gap)} {unit}'.strip()}{seeds}: {verdict(gap, worse, better)}."


def ratio(name: str, log_ratio: Paired | None, *, worse: str = "worse", better: str = "better") -> str:
    """'DIP over noise: a factor of 1.31 [1.12, 1.53], paired over 3 seeds: worse.'"""
    if log_ratio is None:
        return f"{name}: no seed in common."
    seeds = f", paired over {log_ratio.n} seeds" if log_ratio.n > 1 else ""
    return f"{name}: a factor of {factor(log_ratio)}{seeds}: {verdict(log_ratio, worse, better)}."


def bullets(lines: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines if line)


def caution(lab: Any) -> str:
    """What the numbers of this profile are worth; the smoke profile's are worth nothing."""
    name = lab.profile.name
    about = getattr(lab.profile, "about", "")
    if name == "smoke":
        return "> **These are the numbers of the smoke profile: they show that everything runs, and mean nothing else.**"
    return f"> Numbers of the **{name}** profile" + (f" ({about})." if about else ".")


def seconds(lab: Any, records: Sequence[Any]) -> str:
    """What it took to compute these records: 'Computing the 12 runs of this notebook took 3.4 minutes (cpu).'"""
    total = sum(float(record.timings.get("total", sum(record.timings.values()))) for record in records)
    device = ", ".join(sorted({str(record.provenance.get("device", "")) for record in records} - {""}))
    took = f"{number(total / 60, 2)} minutes" if total >= 60 else f"{number(total, 2)} seconds"
    return f"Computing the {len(records)} runs drawn here took {took}" + (f" ({device})." if device else ".")


def percent(share: float | None, digits: int = 2) -> str:
    """A share as a percentage."""
    if share is None:
        return "not known"
    return "less than 0.01%" if 0 < share < 1e-4 else f"{number(100 * share, digits) if share else 0}%"


def answer(lab: Any) -> str:
    """The question answered so far, from whatever this profile has measured: a list of sentences."""
    floor = lab.record("floor") if lab.has("floor") else None
    lines = []
    if lab.has("ddpm-long"):
        lines.append(f"**A DDPM alone, trained longest**: {distance(lab.record('ddpm-long').metrics, floor)}.")
    if lab.has("ddpm") and lab.has("ddpm-on-dip"):
        lines += _trained_on_outputs(lab, floor)
    if lab.has("starts"):
        lines += _started_from_outputs(lab.frame("starts"))
    return bullets(lines) if lines else NOT_MEASURED


def _trained_on_outputs(lab: Any, floor: Any) -> list[str]:
    base, on_dip = frame_of(lab.seeds("ddpm")), frame_of(lab.seeds("ddpm-on-dip"))
    gap = comparison("DIP minus alone, equal steps", difference(on_dip, base, "fd"), base["features"].iloc[0])
    added = percent(float(on_dip["dip_seconds"].mean() / base["train_seconds"].mean()))
    return [
        f"**The comparisons' baseline**: {over_seeds_distance(lab.seeds('ddpm'), floor)}.",
        f"**Better by training on DIP outputs?** {gap}",
        f"**Faster by training on DIP outputs?** The DIP adds {added} to the training time and takes away no step.",
    ]


def _started_from_outputs(frame: pd.DataFrame) -> list[str]:
    best = best_start(frame, "dip")
    if best is None:
        return []
    t_start, gap, rows = best
    name = f"FD over that of noise with as many calls, at the best t_start ({t_start:.0f})"
    copied, usual = (percent(float(rows[column].mean())) for column in ("copy_rate", "copy_rate_floor"))
    lines = [
        f"**Fewer steps by starting from DIP outputs?** {ratio(name, gap)}",
        f"**At the price of copying?** {copied} of those samples look copied; {usual} of held-out images do.",
    ]
    if (rival := best_control(frame)) is not None:
        label, t_start, gap = rival
        name = f"DIP over {look(label).label} at t_start = {t_start:.0f}"
        lines.append(f"**Better than a start without a DIP?** {ratio(name, gap)}")
    return lines


def strongest_lab(lab: Any, open_lab: Callable[[str], Any]) -> Any:
    """The lab of the strongest profile whose headline records are all there; the given one if none is stronger.

    open_lab: profile name -> Lab. The smoke profile is never replaced, so that tests do not depend on other records.
    """
    for name in ("full", "standard", "quick"):
        if lab.profile.name in (name, "smoke"):
            return lab
        other = open_lab(name)
        runs = [member.entry.run for group in HEADLINE for member in other.profile.group(group)]
        if all(other.store.state(run) == "complete" for run in runs):
            other.store.records_only = True  # another profile is shown as far as it got, never computed from here
            return other
    return lab


def readme_block(lab: Any) -> str:
    """The generated block of the README: the answer so far, from the strongest profile that has records."""
    measured = speed.summary(lab.store.root.parent)
    return f"Profile **{lab.profile.name}**.\n\n{answer(lab)}\n\n{times(lab)}\n\n{measured}\n"


def times(lab: Any) -> str:
    """What it took to compute the records of this profile, by kind of run, on the machines that they name."""
    records = lab.all()
    kinds = {
        kind: [r.timings.get("total", 0.0) for r in records if r.kind == kind]
        for kind in dict.fromkeys(r.kind for r in records)
    }
    lines = ["| kind of run | runs | minutes |", "|---|---|---|"]
    lines += [f"| {kind} | {len(spent)} | {sum(spent) / 60:.1f} |" for kind, spent in kinds.items()]
    total = sum(sum(spent) for spent in kinds.values())
    machines = sorted({_machine(r.provenance) for r in records if r.provenance})
    declared = len(getattr(lab.profile, "entries", records))
    of = f" of the {declared} declared" if declared > len(records) else ""
    lines.append(f"| **all, computed anew** | {len(records)}{of} | {total / 60:.1f} |")
    return "\n".join(lines) + f"\n\nMeasured on: {'; '.join(machines)}."


def _machine(made: Mapping[str, Any]) -> str:
    """'AMD EPYC, 2 threads', and how a single thread was timed."""
    threads = made["threads"]
    by = " of processor time" if made.get("clock") == "processor" else ""
    return f"{made['device_name']}, {threads} thread{'s' if threads != 1 else ''}{by}"
