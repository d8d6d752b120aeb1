"""What the comparisons found (notebooks 04 and 07), as sentences and tables computed from records."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.combined import mechanisms
from dipddpm_utils.page import compare, names, speed, tables
from dipddpm_utils.page.compare import Paired, difference, family, frame_of
from dipddpm_utils.page.lab import once
from dipddpm_utils.page.names import begun_from, fitted_once, look
from dipddpm_utils.page.prose import NOT_MEASURED, comparison, copying, count, direction, factor, number, percent, span, word
from dipddpm_utils.reports import gate
from dipddpm_utils.reports.evidence_starts import outputs_alone
from dipddpm_utils.theory.findings import break_even
from dipddpm_utils.theory.gaussian import Cost


def compared(lab: Any) -> tuple[str, str]:
    """The groups that stand for the DDPM alone and for training on DIP outputs: of models that draw digits, where there are."""
    return ("main", "main-on-dip") if mechanisms.on_larger(lab) else ("ddpm", "ddpm-on-dip")


@once
def untestable(lab: Any) -> str:
    """Why this profile's models decide nothing about quality, by the gate of the claims: they draw no images; '' if they do."""
    name = compared(lab)[0]
    if not (why := gate.passed(lab, (name,)).why):
        return ""
    recall = float(frame_of(lab.seeds(name))["recall"].mean())
    if recall >= gate.LEAST_RECALL:
        return f"the {alone(lab)} does not pass the gate of notebook 06 ({why})"
    said = f"recall {number(recall, 2)}, asked for: {gate.LEAST_RECALL:g}"
    return f"the samples of the {alone(lab)} are no images yet ({said})"


def longer(lab: Any) -> str | None:
    """The DDPM alone with as many seconds more as the DIP takes; None where those are next to none, or it was not measured."""
    return "ddpm-more" if not mechanisms.on_larger(lab) and lab.has("ddpm-more") else None


def started(lab: Any) -> str:
    """The group of chains that begin elsewhere: from models that draw digits, where there are such."""
    return "main-starts" if mechanisms.on_larger(lab) else "starts"


def outputs(lab: Any) -> dict[str, Paired]:
    """Trained on DIP outputs against trained on real images: fd and recall at equal steps, fd at equal seconds ('seconds').

    At equal seconds the DDPM alone has more steps; its curve is read, in log FD, at the other's seconds (`_seconds`), or at its
    own end if that comes first (which helps the DIP).
    """
    base, on_dip = (lab.seeds(group) for group in compared(lab))
    gaps = {metric: difference(frame_of(on_dip), frame_of(base), metric) for metric in ("fd", "recall")}
    if (more := longer(lab)) is not None:
        ratios = []
        for alone, other in zip(lab.seeds(more), on_dip, strict=True):
            curve, judged = compare.judged_alike(alone.evals), compare.judged_alike(other.evals)
            there = np.interp(_seconds(alone, other), curve["seconds"], np.log(curve["fd"].astype(float)))
            ratios.append(math.log(judged["fd"].iloc[-1]) - float(there))
        drawn = compare.draws_images(frame_of(lab.seeds(more)), frame_of(on_dip))
        gaps["seconds"] = replace(compare.paired(ratios, ratio=True), images=drawn)
    return family("outputs", gaps)


def dip_share(lab: Any) -> float:
    """Seconds of the DIP over those of the training on its outputs, seed by seed, since machines may differ; their mean."""
    on_dip = frame_of(lab.seeds(compared(lab)[1]))
    return float((on_dip["dip_seconds"] / on_dip["train_seconds"]).mean())


def combined(lab: Any) -> str:
    """Trained on DIP outputs against trained on real images, at equal steps; how near the first is to what it learned from."""
    gaps, words = outputs(lab), {"worse": "more diverse", "better": "less diverse"}
    said = comparison(f"FD trained on DIP outputs over FD of the {alone(lab)}", gaps["fd"])
    own = frame_of(lab.seeds(compared(lab)[1]))
    ends = [
        f"{where} {span(compare.summary(own, of))}" for where, of in (("these outputs", "fd_trained"), ("real images", "fd"))
    ]
    learned = f"FD of the model trained on DIP outputs: to {', to '.join(ends)}."
    return f"{said} {comparison('Difference in recall (diversity)', gaps['recall'], **words)} {learned}"


def dips(lab: Any) -> pd.DataFrame:
    """How the DIPs that are compared here were set up and fitted: a column per use, those of seed 0."""
    large = mechanisms.on_larger(lab)
    uses = {
        f"trained on, started from{', other mechanisms' if large else ''}": compared(lab)[1],
        "mechanisms of small models" if large else "other mechanisms": "mech-dip",
        "started from and trained on, one a digit": "start-fits",
        "restoration, one an image": "restore",
    }
    first: dict[str, tables.Say] = {"network": lambda run, m, notes: look(run.net).label}
    sets, images, columns = first | tables.DIP_SETTINGS, first | tables.IMAGE_SETTINGS, {}
    for use, group in uses.items():
        if lab.has(group):
            record = lab.seeds(group)[0]
            if entry := lab.profile.find(getattr(record.run, "dip", record.run)):
                record = lab.record(entry.name)
            run = getattr(record.run, "fit", record.run)
            columns[use] = tables.settings(run, sets if record.kind == "dip" else images, record.metrics, record.notes)
    return tables.settings_table(columns, {name: say for name, say in (sets | images).items() if "(s)" not in name})


def alone(lab: Any, group: str | None = None) -> str:
    """'DDPM alone, 800 steps': by what it is, since there are several. None: the one that is compared."""
    return f"{look('baseline').label}, {count(lab.seeds(group or compared(lab)[0])[0].evals['step'].max())} steps"


def starts(frame: pd.DataFrame) -> str:
    """DIP starts, each at its best step: over noise with as many calls, and over the best start without a DIP."""
    said = []
    for label in names.starts(dip=True):
        if (best := compare.best_start(frame, label)) is None:
            continue
        t_start, gap, own = best
        start, name = f"Started from {begun_from(label)}, t_start = {t_start:.0f}", "FD over FD from noise, equal calls"
        back = given_back(own)  # first, since it makes the distance worthless
        said += [f"{start}.{back}"] if back else []
        said.append(comparison(name if back else f"{start}, {name}", gap, **direction(compare.copies(own))))
        if (rival := compare.best_rival(frame, own)) is not None:
            said.append(f"FD over FD from the {look(rival[0]).label}: {factor(rival[1])}.")
        said.append("" if back else _beside(frame, label, own))
    return " ".join(filter(None, said))


def _beside(frame: pd.DataFrame, label: str, best: pd.DataFrame) -> str:
    """Of a start that does not look copied: whether its own images were looked for, and what was left out for copies."""
    own, said = compare.copies(best), ""
    if own.has_source and math.isnan(own.source):
        said = "How many of these samples lie nearest to their own image was not recorded."
    others = frame[(frame["label"] == label) & (frame["value"] != best["value"].iloc[0])].groupby("value", sort=True)
    left = [f"t_start = {t:.0f} ({copying(found)})" for t, rows in others if (found := compare.copies(rows)).many]
    return f"{said} No gain: {', '.join(left)}.".strip() if left else said


def given_back(rows: pd.DataFrame) -> str:
    """What is said of a start whose samples are no new images; '' of others."""
    own = compare.copies(rows)
    return f" Of these samples {copying(own)}: training images given back, and no gain." if own.many else ""


def gives_back(frame: pd.DataFrame, *labels: str) -> bool:
    """Whether the samples of the best of these starts (none: of all with a DIP) are no new images."""
    best = compare.best_start(frame, *labels)
    return best is not None and compare.copies(best[2]).many


def without_a_chain(lab: Any) -> str:
    """What the DIP outputs that chains start from are worth themselves, at no network call."""
    chains, said = lab.frame(started(lab)), []
    for start, own in outputs_alone(lab, started(lab)).items():
        distance, recall = span(compare.summary(own, "fd")), span(compare.summary(own, "recall"))
        begun, n = chains[chains["label"] == start], own["n"].iloc[0]
        best = begun[begun["n"] == n].groupby("value")["fd"].mean().min()  # NaN of none judged on as many images
        than = ", and no chain from them has a lower mean FD" if own["fd"].mean() <= best else ""
        what = "seeds" if names.kinds()[start].bank else "DIPs"
        said.append(f"{begun_from(start)} have {own['features'].iloc[0]} {distance}, recall {recall} ({len(own)} {what}){than}")
    if not said:
        return ""
    others = [f"{what} {number(fd)}" for fd, what in gate.without_learning(gate.floor_of(lab, compared(lab)[0]))]
    beside = f" FD without a network: {'; '.join(others)}." if others else ""
    return f"Without a chain, {'; '.join(said)}.{beside}"


def of_small_models(lab: Any) -> str:
    """The same start of the small models, whose DIP is another one: how many images it gives back depends on the DIP."""
    frame = mechanisms.small(lab) if lab.has(mechanisms.SMALL) and mechanisms.on_larger(lab) else None
    if frame is None or "start" not in set(frame["label"]):
        return ""
    value, rows = mechanisms.best_setting(frame, "start")
    own, gap = compare.copies(rows), mechanisms.screened(lab)["start", value, "baseline"]
    said = f" How much is given back depends on the DIP: with the small models' DIP, {copying(own)}; FD over the DDPM alone"
    return f"{said} {factor(gap)}, {word(gap, **direction(own))}."


def start_bound(starts: pd.DataFrame) -> str:
    """What the bound of notebook 01 leaves open for chains from each start and t_start, where it was recorded."""
    if (bounds := starts.groupby(["label", "value"])["start_tv_bound"].mean().dropna()).empty:
        return NOT_MEASURED
    least = f"{bounds.min():.2g} or more in all {len(bounds)} cases"
    return f"The bound on the total variation is {least}; a bound of 1 excludes nothing."


def _seconds(alone: Any, other: Any) -> float:
    """All that `other` takes: its steps at the pace of the DDPM alone, since clocks differ from day to day, and its DIP."""
    return other.metrics["steps"] * alone.metrics["train_seconds"] / alone.metrics["steps"] + other.metrics["dip_seconds"]


def equal_seconds(lab: Any) -> str:
    """The model trained on DIP outputs against the DDPM alone that was trained on for the DIP's seconds, too."""
    more, on_dip = longer(lab), compared(lab)[1]
    if more is None:
        said = f"Fitting and applying the DIP adds {percent(dip_share(lab))} to the seconds of training."
        step = in_turn(lab, "a step on DIP outputs over one on real images")
        timed = f" Timed in turn, a step on its outputs takes {step} as long as one on real images."
        return said + timed * bool(step)
    pairs = zip(lab.seeds(more), lab.seeds(on_dip), strict=True)
    share = np.mean([_seconds(alone, other) / alone.metrics["total_seconds"] for alone, other in pairs])
    when = "At equal total seconds" if share <= 1.02 else f"With {percent(1 - 1 / share)} fewer seconds for the DDPM alone"
    name = f"FD of the model trained on DIP outputs over FD of the {alone(lab, more)}"
    return comparison(f"**{when}**, {name}", outputs(lab)["seconds"])


def measured_cost(starts: pd.DataFrame, record: Any, *labels: str) -> tuple[Cost, Paired | None]:
    """Seconds of the best of these starts at its best t_start, as measured, and the images beyond which it saves time.

    record: its model. labels: of starts; none: `fitted_once`. A call of the network takes what it takes in chains from noise;
    a DIP start has the seconds of applying the DIP on top. The images: their logarithm, from each seed's own seconds; None if
    with one of them it never saves any.
    """
    T, best = record.run.diffusion.num_train_timesteps, compare.best_start(starts, *(labels or fitted_once()))
    where = (best[2]["label"].iloc[0], int(best[0])) if best else ("dip", int(starts["value"].min()))
    limits = [_cost(own, *where, T).break_even_images for _, own in starts.groupby("seed")]
    pays = all(map(math.isfinite, limits))
    return _cost(starts, *where, T), compare.paired(np.log(np.maximum(limits, 1)), ratio=True) if pays else None


def in_turn(lab: Any, row: str) -> str:
    """What benchmarks/one_sitting.py measured, of the models of `standard` and so said on its page alone; else ''."""
    return speed.in_turn(lab.store.source.parent, row) if lab.profile.name == "standard" else ""


def pays(lab: Any, starts: pd.DataFrame, record: Any) -> str:
    """What `measured_cost` found, the same timed in one sitting, what is given back, and what a fit to each image takes."""
    cost, limit = measured_cost(starts, record)
    beyond = in_turn(lab, f"images beyond which a DIP start at t = {cost.t_start} saves time")
    said = f"Timed in turn in one sitting, beyond {beyond}. By the records' seconds, of other days: " if beyond else ""
    said += break_even(cost, limit)
    said += (
        " Images drawn from that start are given back ([figure](#fig-04_fd_vs_t_start))."
        if gives_back(starts, *fitted_once())
        else ""
    )
    for label in names.starts(dip=True):
        if label not in fitted_once() and not (own := starts[starts["label"] == label]).empty:
            cost = _cost(starts, label, int(own["value"].min()), record.run.diffusion.num_train_timesteps)
            fit, chain = number(cost.prior_seconds_per_image), number(cost.chain_seconds)
            ever = "never pays" if math.isinf(cost.break_even_images) else "pays from the first image on"
            said += f" A fit to each image takes {fit} s, where a whole chain takes {chain} s: it {ever}."
    return said


def _cost(starts: pd.DataFrame, label: str, t_start: int, T: int) -> Cost:
    dip, noise = (starts[starts["label"] == own] for own in (label, "noise"))
    whole = float((noise["sampling_seconds"] / noise["n"] / noise["nfe"]).mean() * dip["nfe_full"].mean())
    prior, applied = float(dip["prior_seconds"].mean()), float((dip["start_seconds"] / dip["n"]).mean())
    return Cost(prior, applied, whole, t_start, T)
