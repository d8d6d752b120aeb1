"""What the claims about seconds are tested by: both reports' trainings, timed in turn."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.faults import PUBLISHED_SECONDS
from dipddpm_utils.machine.provenance import hardware
from dipddpm_utils.page.compare import Paired, paired
from dipddpm_utils.page.names import ALIASES, look
from dipddpm_utils.page.prose import effect, factor, number
from dipddpm_utils.page.training import Sitting
from dipddpm_utils.reports.evidence_b import REPORTED, apart, slope_over
from dipddpm_utils.reports.finding import Finding, compared
from dipddpm_utils.study.reports import B_STD

SAME = 0.05  # relative change of a time that still counts as none, fixed before any run


def in_turn(record: Any) -> pd.DataFrame:
    """Seconds of whole trainings, kind turns: a row per round; columns (net, std, part), net "alone" without a DIP."""
    return record.evals.pivot(index="repeat", columns=["net", "std", "part"], values="seconds").sort_index(axis=1)


def timed_on(record: Any) -> str:
    """How such a record was made, and on what."""
    return f"Extrapolated from a few steps of each, in turn ({hardware(record.provenance)})."


def with_dips(rounds: pd.DataFrame) -> pd.DataFrame:
    """Log of the seconds of model and DIP over those of the model: a row per round, a column (net, std).

    The model's steps are the same work on whatever images, so a round has one estimate of them, the mean of all its trainings.
    """
    dips = rounds.drop(columns="train", level="part").T.groupby(["net", "std"]).sum().T
    return np.log1p(dips.div(rounds.xs("train", axis=1, level="part").mean(axis=1), axis=0))


def dearer(lab: Any) -> Finding | None:
    """A9: seconds of report A's trainings on DIP outputs over seconds alone."""
    record = lab.seeds("a-turns")[0]
    rounds = in_turn(record)
    trained = rounds.xs("train", axis=1, level="part").droplevel("std", axis=1)
    rest = np.log(trained.drop(columns="alone").div(trained["alone"], axis=0))
    left = "; ".join(f"{look(net).label} {effect(paired(list(own), ratio=True))}" for net, own in rest.items())
    whole = np.log(rounds.drop(columns="alone").T.groupby("net").sum().T.div(rounds["alone"].sum(axis=1), axis=0))
    apart = "; ".join(f"{look(net).label} {effect(paired(list(own), ratio=True))}" for net, own in whole.items())
    why = "Seconds of training on DIP outputs, the DIP's included, divided by seconds alone; equal steps. "
    why += f"Without the DIP's, as published (FA9, FB4): {left}. All models' steps are the same work and count once, so this "
    why += "is 1 plus the DIP's share. It cannot be below 1; only its size is measured. "
    why += f"Each training with its own steps: {apart}. {timed_on(record)}"
    about: dict[str, Any] = {"aside": "above 1 by construction; only its size is measured", "certain": True}
    return compared(with_dips(rounds).droplevel("std", axis=1), unit="seconds", why=why, over="rounds", **about)


def shorter(lab: Any) -> Finding:
    """B1: report B's training seconds alone over combined, both from memory; as published: an epoch decoded over one from
    memory.
    """
    record = lab.seeds("b-turns")[0]
    rounds = in_turn(record)
    alone, with_dip = rounds["alone", 0.0, "train"], rounds["5conv", B_STD]
    gap, whole = (
        paired(list(np.log(alone / other)), ratio=True, over="rounds") for other in (with_dip["train"], with_dip.sum(axis=1))
    )
    why = f"Equal steps, both from memory; a saving counts beyond {SAME:.0%}. DIP seconds left out, as in the report; "
    why += f"with them: {effect(whole)}. {timed_on(record)}"
    if others := sorted({std for net, std, _ in rounds if net == "5conv"} - {B_STD}):  # the same work, in the same rounds
        steps = (np.log(alone / rounds["5conv", std, "train"]) for std in others)
        same = [f"{std:g} {effect(paired(list(own), ratio=True))}" for std, own in zip(others, steps, strict=True)]
        why += f" The same steps after a DIP of other stds, not tested: {'; '.join(same)}."
    as_printed = math.log(PUBLISHED_SECONDS[0] / PUBLISHED_SECONDS[1])
    where = "above" if gap.high < as_printed else "below" if gap.low > as_printed else "inside"
    why += f" A factor as printed, {number(math.exp(as_printed))}, lies {where} the interval."
    printed = f"the printed {number(math.exp(as_printed))} lies {where} the interval"
    aside = f"{printed}; with the DIP's seconds the factor is {number(math.exp(whole.value))}"
    about: dict[str, Any] = {"unit": "seconds, alone over combined", "margin": math.log(1 + SAME), "aside": aside}
    if lab.has("b-timing"):
        before = paths(lab.seeds("b-timing")[0])
        why += f" Same model, an epoch decoded image by image over one from memory: {effect(before)}."
        about |= {"published": before, "shift": apart(before, gap), "fault": "FB1"}
    return Finding(gap, why=why, **about)


def paths(record: Any) -> Paired:
    """Seconds of an epoch decoded image by image over from memory, kind epoch_timing: over its repeats."""
    whole = record.evals.pivot_table("seconds", "repeat", "path", aggfunc="sum")
    return paired(list(np.log(whole["decode"] / whole["memory"])), ratio=True, over="repeats")


def same_seconds(lab: Any) -> Finding:
    """B5: report B's combined trainings by std, the DIP's seconds included, over the report's range of it; within +-SAME."""
    record = lab.seeds("b-turns")[0]
    by_std = in_turn(record).drop(columns="alone").T.groupby("std").sum()
    frame = by_std.unstack().rename("train_seconds").rename_axis(["seed", "std"]).reset_index()
    gap = slope_over(frame[frame["std"].between(*REPORTED["std"])], "std", "train_seconds")
    why = f"Training seconds of the combined model, the DIP's included. {timed_on(record)}"
    return Finding(replace(gap, over="rounds"), "seconds, over the range", why, equal=True, margin=math.log(1 + SAME))


def sitting(lab: Any, names: Sequence[str]) -> Sitting | None:
    """Seconds of report A's variants by `names`, timed in turn; None without such a record.

    Those of their own records may be of several machines.
    """
    if not lab.has("a-turns"):
        return None
    record = lab.seeds("a-turns")[0]
    means = in_turn(record).mean().groupby(["net", "part"]).mean()
    pace = means.xs("train", level="part").mean() / record.run.runs[0].optim.steps
    dips = means.drop("train", level="part").groupby("net").sum()
    return Sitting(pace, {look(name).label: dips.get(ALIASES[name], 0.0) for name in names})


def turns_table(lab: Any) -> pd.DataFrame:
    """A row per training: hours of its DIP and of its model, and `with_dips` over the rounds."""
    rows = []
    for report in ("A", "B"):
        rounds = in_turn(lab.seeds(f"{report.lower()}-turns")[0])
        dearer_by = with_dips(rounds)
        for net, std in sorted({way[:2] for way in rounds}, key=lambda way: (way[0] != "alone", *way)):
            hours, on, fit, over = rounds[net, std].mean() / 3600, "real images", "", ""
            if net != "alone":
                on, fit = f"outputs of {look(net).label}, std {std:g}", number(hours["fit"] + hours["apply"])
                over = factor(paired(list(dearer_by[net, std])))
            rows.append((f"report {report}, {on}", fit, number(hours["train"]), over))
    return pd.DataFrame(rows, columns=["training", "the DIP (h)", "the model (h)", "over the model's"])


def timed(lab: Any) -> str:
    """How the table of `turns_table` was measured."""
    records = {report: lab.seeds(f"{report.lower()}-turns")[0] for report in ("A", "B")}
    rounds = ", ".join(f"{record.run.rounds} rounds of report {report}'s" for report, record in records.items())
    return (
        f"Whole trainings as they are declared, profile {lab.profile.name}, extrapolated from a few steps of each in every "
        f"round: {rounds} ({hardware(records['A'].provenance)}). Over the model's: 1 plus the DIP's seconds over those of the "
        "mean model of that round, since all models' steps are the same work; 95% intervals. Claims A9, B1 and "
        "B5 rest on these rounds. All begin with random weights, which do not matter for seconds."
    )
