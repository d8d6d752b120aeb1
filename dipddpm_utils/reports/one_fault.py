"""What each fault does, measured: the run with only that fault on, and the run with only that fault off, seed by seed.

only on  = (the corrected run with that one fault) over (the corrected run)
only off = (the run as published) over (the same without that one fault)
Both are factors, what the fault multiplies a measure by; where they differ, it depends on the other faults. Faults that
change no training are measured on the runs that are there (effects.py).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.faults import FAULTS, Fault
from dipddpm_utils.page.compare import Paired, family, paired
from dipddpm_utils.page.prose import factor

Statistic = Callable[[Any], float]  # of one record, in logarithms
MEASURES = {"fd": "FD", "loss_last": "loss at the end", "train_seconds": "training seconds"}  # what a fault may change
SIDES = ("only on", "only off")


def trained(report: str = "") -> list[Fault]:
    """The faults (of one report) that change a training, in order."""
    return [fault for fault in FAULTS.values() if fault.trained_in and report in ("", fault.report)]


def sides(lab: Any, fault: Fault, statistic: Statistic) -> dict[str, Paired]:
    """What a fault adds to a statistic of a record of its variant, by side; a side without runs is left out."""
    letter, corrected, published = fault.report.lower(), (fault.variant, None), (f"{fault.variant}-published", None)
    pairs = ((f"{letter}-only", fault.id), corrected), (published, (f"{letter}-without", fault.id))
    found = {}
    for side, places in zip(SIDES, pairs, strict=True):
        first, second = (_values(lab, group, label, statistic) for group, label in places)
        if len(gaps := (first - second).dropna()):
            found[side] = paired(list(gaps), ratio=True)
    return found


def largest(lab: Any, suspects: Mapping[str, int], statistic: Statistic) -> str:
    """The suspect that moves a contrast most towards what was published; '' if the runs are missing or none does.

    suspects: fault -> +1 if a larger statistic of the fault's variant speaks for the claim, -1 if against.
    """
    found = {name: [gap.value for gap in sides(lab, FAULTS[name], statistic).values()] for name in suspects}
    sizes = {name: suspects[name] * float(np.mean(values)) for name, values in found.items() if values}
    best = max(sizes, key=lambda name: sizes[name], default="")
    return best if best and sizes[best] > 0 else ""


def _values(lab: Any, group: str, label: str | None, statistic: Statistic) -> pd.Series:
    """The statistic of each record of a group (or of those with a label), by seed; empty if there is no such run."""
    members = zip(lab.profile.group(group), lab.seeds(group), strict=True) if lab.has(group) else ()
    return pd.Series({own.seed: statistic(own) for member, own in members if label in (None, member.label)}, dtype=float)


def metric(name: str) -> Statistic:
    """The statistic that reads the logarithm of a metric; NaN where a record has none."""
    return lambda record: math.log(record.metrics[name]) if record.metrics.get(name) else math.nan


def effects(lab: Any, report: str) -> dict[tuple[str, str, str], Paired]:
    """(measure, fault, side) -> what one report's trained faults do, a family a measure."""
    found: dict[tuple[str, str, str], Paired] = {}
    for name in MEASURES:
        own = {fault.id: sides(lab, fault, metric(name)) for fault in trained(report)}
        found |= family("faults", {(name, id, side): gap for id, both in own.items() for side, gap in both.items()})
    return found


def table(lab: Any) -> pd.DataFrame:
    """Two rows a trained fault, only on and only off: what it multiplies each measure by. A star: shown, after Holm."""
    rows = []
    for report in ("A", "B"):
        found = effects(lab, report)
        for fault in trained(report):
            for side in SIDES:
                own = {label: found.get((name, fault.id, side)) for name, label in MEASURES.items()}
                told = {label: f"{factor(gap)}{' *' * gap.decided}" if gap else "" for label, gap in own.items()}
                seeds = max((gap.n for gap in own.values() if gap), default="")
                rows.append({"fault": fault.id, "switch": side, **told, "seeds": seeds})
    return pd.DataFrame(rows)


def listing() -> pd.DataFrame:
    """All faults: id, what, where it acts, the run that shows it, and whether it is trained or judged."""
    columns = ("fault", "what", "acts on", "shown on", "by")
    rows = [(f.id, f.what, f.where, f.variant, "runs" if f.trained_in else "judging") for f in FAULTS.values()]
    return pd.DataFrame(rows, columns=columns)
