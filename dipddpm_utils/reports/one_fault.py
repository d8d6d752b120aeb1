"""What each fault does, measured: the run with only that fault on, and the run with only that fault off, seed by seed.

only on  = (the corrected run with that one fault) - (the corrected run)
only off = (the run as published) - (the same without that one fault)
Both are what the fault adds; where they differ, it depends on the other faults. Faults that change no training are measured
on the runs that are there (`judged`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dipddpm_utils.faults import FAULTS, Fault
from dipddpm_utils.page.compare import Paired, paired
from dipddpm_utils.page.words import signed

Statistic = Callable[[Any], float]  # of one record
MEASURES = {  # what a fault may change: column of the metrics, and how it is called
    "fd": "FD",
    "kid": "KID",
    "loss_last": "loss at the end",
    "train_seconds": "training (s)",
}
SIDES = ("only on", "only off")  # of a fault


class Effect(NamedTuple):
    """What one fault adds, when it is the only one on and when it is the only one off; None: no such runs."""

    only: Paired | None
    off: Paired | None

    def size(self) -> float:
        """Mean of the two; NaN without either."""
        values = [one.value for one in self if one is not None]
        return float(np.mean(values)) if values else math.nan


def trained() -> list[Fault]:
    """The faults that change a training, in order."""
    return [fault for fault in FAULTS.values() if fault.trained_in]


def effect(lab: Any, fault: Fault, statistic: Statistic) -> Effect:
    """What a fault adds to a statistic of a record of its variant."""
    side = fault.report.lower()
    corrected, published = fault.variant, f"{fault.variant}-published"
    only = _difference(lab, (f"{side}-only", fault.id), (corrected, None), statistic)
    return Effect(only, _difference(lab, (published, None), (f"{side}-without", fault.id), statistic))


def largest(lab: Any, suspects: Mapping[str, int], statistic: Statistic) -> str:
    """The suspect that moves a contrast most towards what was published; '' if the runs are missing or none does.

    suspects: fault -> +1 if a larger statistic of the fault's variant speaks for the claim, -1 if against.
    """
    sizes = {name: sign * effect(lab, FAULTS[name], statistic).size() for name, sign in suspects.items()}
    sizes = {name: size for name, size in sizes.items() if size > 0}  # NaN is not above zero
    return max(sizes, key=lambda name: sizes[name], default="")


def _difference(lab: Any, a: tuple[str, str | None], b: tuple[str, str | None], statistic: Statistic) -> Paired | None:
    first, second = (_values(lab, group, label, statistic) for group, label in (a, b))
    if first is None or second is None:
        return None
    gaps = (first - second).dropna()
    return paired(list(gaps)) if len(gaps) else None


def _values(lab: Any, group: str, label: str | None, statistic: Statistic) -> pd.Series | None:
    """The statistic of each record of a group (or of those with a label), by seed; None if there is no such run."""
    if not lab.has(group):
        return None
    own = lab.seeds(group) if label is None else lab.labelled(group).get(label, [])
    return pd.Series({record.seed: statistic(record) for record in own}, dtype=float) if own else None


def metric(name: str) -> Statistic:
    """The statistic that reads a metric; NaN where a record has none."""
    return lambda record: float(record.metrics[name]) if record.metrics.get(name) is not None else math.nan


def listing() -> pd.DataFrame:
    """All faults: id, what, where it acts, the run that shows it, and whether it is trained or judged."""
    return pd.DataFrame(
        [
            {
                "fault": f.id,
                "what": f.what,
                "acts on": f.where,
                "shown on": f.variant,
                "by": "runs" if f.trained_in else "judging",
            }
            for f in FAULTS.values()
        ]
    )


def effects(lab: Any, report: str) -> pd.DataFrame:
    """Tidy: fault, measure, side ('only on' or 'only off'), value, low, high, n; one report's trained faults."""
    rows = []
    for fault in trained():
        if fault.report != report:
            continue
        for name in MEASURES:
            for side, one in zip(SIDES, effect(lab, fault, metric(name)), strict=True):
                if one is not None:
                    low, high = (math.nan if end is None else end for end in (one.low, one.high))
                    rows.append((fault.id, name, side, one.value, low, high, one.n))
    return pd.DataFrame(rows, columns=["fault", "measure", "side", "value", "low", "high", "n"])


def table(lab: Any) -> pd.DataFrame:
    """Two rows a fault that is trained: what it adds when only on and when only off, with 95% intervals paired by seed."""
    rows = []
    for fault in trained():
        found = {name: effect(lab, fault, metric(name)) for name in MEASURES}
        for place, side in enumerate(SIDES):
            own = {MEASURES[name]: pair[place] for name, pair in found.items()}
            seeds = max((one.n for one in own.values() if one is not None), default="")
            told = {label: signed(one) if one is not None else "" for label, one in own.items()}
            rows.append({"fault": fault.id, "switch": side, **told, "seeds": seeds})
    return pd.DataFrame(rows)
