"""What both reports' claims on starts and cost are tested by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page.compare import Paired, copies, frame_of, paired, scaled, start_gaps, summary
from dipddpm_utils.page.names import begun_from, fitted_once, look, starts
from dipddpm_utils.page.prose import copying, number, percent, span
from dipddpm_utils.page.prose import effect as told
from dipddpm_utils.reports.evidence_a import Finding, Test, compared


def fewer_steps(group: str) -> Test:
    """FD from a DIP start against FD from noise with as many calls and from every start without a DIP, at every t_start.

    The t_start that decides is the best of those where the start is shown to beat noise and nothing else explains it, else the
    best of all. A DIP of each image's own, which no report had, is told beside it and decides nothing.
    """

    def test(lab: Any) -> Finding:
        frame, dips = lab.frame(group), starts(dip=True)
        found, rivals = start_gaps(frame, dips, ["noise"]), start_gaps(frame, dips, starts(dip=False))
        cause = {at: _other_cause(frame, rivals, at[0], at[2]) for at in found}
        own = [at for at in found if at[0] in fitted_once()]
        best = min(own, key=lambda at: (not found[at].decided or found[at].value >= 0 or bool(cause[at]), found[at].value))
        t_start, gap, own = best[2], found[best], _rows(frame, best[0], best[2])
        why = f"FD of noise over FD from {begun_from(best[0])}, equal calls; decided at t_start {t_start:g}, of {gap.of}. "
        why += f"Of its samples {copying(copies(own))} (of held-out images {percent(copies(own).usual)} look copied). "
        here = [f"{look(rival).label} {told(one)}" for (start, rival, t), one in rivals.items() if (start, t) == best[::2]]
        why += f"FD over that of each start without a DIP, same t_start: {'; '.join(here)}. " if here else ""
        each = {
            f"{look(rival).label} over {look(start).label}, t {t:g}": scaled(one, -1)
            for (start, rival, t), one in (found | rivals).items()
        }
        return Finding(scaled(gap, -1), "FD", why + _at_no_calls(lab, group), artefact_of=cause[best], each=each)

    return test


def _rows(frame: pd.DataFrame, start: str, t_start: Any) -> pd.DataFrame:
    return frame[(frame["label"] == start) & (frame["value"] == t_start)]


def _other_cause(frame: pd.DataFrame, rivals: Mapping[tuple[str, str, Any], Paired], start: str, t_start: Any) -> str:
    """What else explains a gain of this start at this t_start: it gives images back, or a start without a DIP does as well."""
    if copies(_rows(frame, start, t_start)).many:
        return "copying of training images"
    here = {rival: gap for (own, rival, t), gap in rivals.items() if (own, t) == (start, t_start)}
    as_well = [rival for rival, gap in here.items() if not (gap.decided and gap.value < 0)]
    best = max(as_well, key=lambda rival: here[rival].value, default="")
    return f"any start near the data (the {look(best).label} does as well)" if best else ""


def outputs_alone(lab: Any, group: str) -> dict[str, pd.DataFrame]:
    """What the DIPs that chains of this group begin from show, at no call: start -> their scores, as far as they are here."""
    used: dict[str, dict[Any, None]] = {}
    for member in lab.profile.group(group):
        start = member.entry.run.start
        if start.name in starts(dip=True) and (dip := start.bank or start.dip) is not None:
            used.setdefault(start.name, {})[dip] = None
    here = {name: [dip for dip in dips if lab.store.state(dip) == "complete"] for name, dips in used.items()}
    return {name: frame_of([lab.store.load(dip) for dip in dips]) for name, dips in here.items() if dips}


def _at_no_calls(lab: Any, group: str) -> str:
    """How good the starts themselves are, without a single call: what each DIP shows."""
    said = [
        f"FD {span(summary(frame, 'fd'))}, recall {number(float(frame['recall'].mean()), 2)} ({begun_from(name)})"
        for name, frame in outputs_alone(lab, group).items()
    ]
    return f"The starts themselves, at no calls: {'; '.join(said)}." if said else ""


def costs_more(*pairs: tuple[str, str]) -> Test:
    """Seconds of training on DIP outputs, the DIP's included, over seconds of training alone, for each (alone, with)."""

    def test(lab: Any) -> Finding:
        whole, rest = (
            pd.DataFrame({on: _log_seconds(lab, on, dip) - _log_seconds(lab, alone, False) for alone, on in pairs}).dropna()
            for dip in (True, False)
        )
        why = "Seconds of training on DIP outputs, those of the DIP included, over seconds alone; equal steps. "
        left = "; ".join(f"{look(name).label} {told(paired(list(own), ratio=True))}" for name, own in rest.items())
        why += f"With the DIP's left out, as published (FA9, FB4): {left}, which is slower steps in that sitting, not the DIP."
        whole = whole if len(pairs) > 1 else whole.iloc[:, 0]
        return compared(whole, pd.DataFrame(), "", str, unit="seconds", why=why)

    return test


def _log_seconds(lab: Any, name: str, dip: bool) -> pd.Series:
    """log of the training seconds of a run's seeds, with or without the DIP's."""
    spent = {r.seed: r.metrics["train_seconds"] + dip * (r.metrics.get("dip_seconds") or 0.0) for r in lab.seeds(name)}
    return np.log(pd.Series(spent, dtype=float))
