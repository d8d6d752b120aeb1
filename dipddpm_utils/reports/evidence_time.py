"""What the claims about seconds are tested by: both reports' trainings, timed in turn or taken from their runs."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page.compare import Paired, difference, frame_of, paired
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import effect as told
from dipddpm_utils.page.prose import factor, hardware, number, percent, span
from dipddpm_utils.reports import one_fault
from dipddpm_utils.reports.evidence_a import Finding, Test, compared, over
from dipddpm_utils.reports.evidence_b import OF_SECONDS, REPORTED, SAME, TRAINING, apart, slope_over
from dipddpm_utils.study.reports import B_STD

TIMED = "Extrapolated from a few steps of each, in turn ({})."


def in_turn(record: Any) -> pd.DataFrame:
    """Seconds of whole trainings, kind turns: a row a round; columns (net, std, part), net "alone" without a DIP."""
    return record.evals.pivot(index="repeat", columns=["net", "std", "part"], values="seconds").sort_index(axis=1)


def with_dips(rounds: pd.DataFrame) -> pd.DataFrame:
    """Log of the seconds of model and DIP over those of the model: a row a round, a column (net, std).

    The model's steps are the same work on whatever images, so a round has one estimate of them, the mean of all its trainings.
    """
    dips = rounds.drop(columns="train", level="part").T.groupby(["net", "std"]).sum().T
    return np.log1p(dips.div(rounds.xs("train", axis=1, level="part").mean(axis=1), axis=0))


def dearer(lab: Any) -> Finding | None:
    """A9: seconds of report A's trainings on DIP outputs over seconds alone, timed in turn."""
    record = lab.seeds("a-turns")[0]
    rounds = in_turn(record)
    more = with_dips(rounds).droplevel("std", axis=1)
    trained = rounds.xs("train", axis=1, level="part").droplevel("std", axis=1)
    rest = np.log(trained.drop(columns="alone").div(trained["alone"], axis=0))
    how = f". The model's seconds, the same steps, are the mean of all three. {TIMED.format(hardware(record.provenance))}"
    return _dearer(more, rest, how, over="rounds")


def costs_more(*pairs: tuple[str, str]) -> Test:
    """The same of runs, each by itself, for each (alone, with)."""

    def trained(record: Any) -> float:
        return math.log(record.metrics["train_seconds"])

    def whole(record: Any) -> float:
        return math.log(record.metrics["train_seconds"] + (record.metrics.get("dip_seconds") or 0.0))

    def test(lab: Any) -> Finding | None:
        more, rest = (pd.DataFrame({on: over(lab, on, alone, of) for alone, on in pairs}).dropna() for of in (whole, trained))
        return _dearer(more, rest, "; these are the same steps, so that part is the day's pace.", over="seeds")

    return test


def _dearer(more: pd.DataFrame, rest: pd.DataFrame, how: str, over: str) -> Finding | None:
    """From logarithms of seconds with a DIP over those alone: all of the DIP's included, and without them."""
    left = "; ".join(f"{look(net).label} {told(paired(list(own), ratio=True))}" for net, own in rest.items())
    why = "Seconds of training on DIP outputs, those of the DIP included, over seconds alone; equal steps. "
    why += f"Without the DIP's, as published (FA9, FB4): {left}{how}"
    return compared(more, unit="seconds", why=why, over=over)


def shorter(alone: str, combined: str) -> Test:
    """Training seconds alone over combined, both from memory; as published: an epoch decoded over one from memory."""

    def test(lab: Any) -> Finding | None:
        gap = difference(frame_of(lab.seeds(alone)), frame_of(lab.seeds(combined)), "train_seconds")
        return None if gap is None else _shorter(lab, gap, "")

    return test


def shorter_in_turn(lab: Any) -> Finding:
    """The same of report B's trainings, timed in turn."""
    record = lab.seeds("b-turns")[0]
    trained = in_turn(record).xs("train", axis=1, level="part")
    gap = paired(list(np.log(trained["alone", 0.0] / trained["5conv", B_STD])), ratio=True, over="rounds")
    return _shorter(lab, gap, f" {TIMED.format(hardware(record.provenance))}")


def _shorter(lab: Any, gap: Paired, timed: str) -> Finding:
    why = f"Equal steps, both from memory; a saving counts beyond {SAME:.0%}. DIP seconds left out, as in the report.{timed}"
    about: dict[str, Any] = {"unit": "seconds, alone over combined", "margin": math.log(1 + SAME)}
    if lab.has("b-timing"):
        before = paths(lab.seeds("b-timing")[0])
        why += f" Same model, an epoch decoded image by image over one from memory: {told(before)}. {path_share(lab)}"
        about |= {"published": before, "shift": apart(before, gap), "fault": "FB1"}
    return Finding(gap, why=why, **about)


def paths(record: Any) -> Paired:
    """Seconds of an epoch decoded image by image over from memory, kind epoch_timing: over its repeats."""
    whole = record.evals.pivot_table("seconds", "repeat", "path", aggfunc="sum")
    return paired(list(np.log(whole["decode"] / whole["memory"])), ratio=True, over="repeats")


def path_share(lab: Any) -> str:
    """What the data path saves in an epoch on the machine that timed it, beside the published saving, as a sentence."""
    record, saved = lab.seeds("b-timing")[0], one_fault.path(lab)
    row, machine = record.metrics, hardware(record.provenance)
    return (
        f"Decoding one by one, timed by itself, costs {span(saved)} s an epoch more ({machine}), "
        f"{percent(saved.value / row['decode_seconds'])} of an epoch there; the published saving, on another machine: "
        f"{row['published_saved_seconds']:g} s an epoch."
    )


def same_seconds(lab: Any) -> Finding:
    """B5: report B's combined trainings by std, the DIP's seconds included, timed in turn."""
    record = lab.seeds("b-turns")[0]
    by_std = in_turn(record).drop(columns="alone").T.groupby("std").sum()
    frame = by_std.unstack().rename("train_seconds").rename_axis(["seed", "std"]).reset_index()
    effect = slope_over(frame[frame["std"].between(*REPORTED["std"])], "std", "train_seconds", whole=True)
    why = f"{TRAINING}, the DIP's included. {TIMED.format(hardware(record.provenance))}"
    return Finding(replace(effect, over="rounds"), OF_SECONDS, why, equal=True, margin=math.log(1 + SAME))


def turns_table(lab: Any) -> pd.DataFrame:
    """A row a training: hours of its DIP and of its model, and `with_dips` over the rounds."""
    rows = []
    for report in ("A", "B"):
        rounds = in_turn(lab.seeds(f"{report.lower()}-turns")[0])
        dearer_by = with_dips(rounds)
        for net, std in sorted({way[:2] for way in rounds}, key=lambda way: (way[0] != "alone", *way)):
            hours = rounds[net, std].mean() / 3600
            alone = net == "alone"
            on = "real images" if alone else f"outputs of {look(net).label}, std {std:g}"
            row = {"training": f"report {report}, {on}"}
            row |= {"the DIP (h)": "" if alone else number(hours["fit"] + hours["apply"])}
            row |= {"the model (h)": number(hours["train"])}
            row |= {"over the model's": "" if alone else factor(paired(list(dearer_by[net, std])))}
            rows.append(row)
    return pd.DataFrame(rows)


def timed(lab: Any) -> str:
    """How the table of `turns_table` was measured."""
    record = lab.seeds("a-turns")[0]
    return (
        f"Whole trainings as they are declared, profile {lab.profile.name}: {record.run.rounds} rounds, in each a few steps of "
        f"every one, extrapolated ({hardware(record.provenance)}). Over the model's: both over the mean of all models in a "
        "round, whose steps are the same work; 95% intervals."
    )
