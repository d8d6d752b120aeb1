"""What both reports' claims on starts of the chain are tested by."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dipddpm_utils.page.compare import Paired, copies, frame_of, grouped, scaled, start_gaps, summary
from dipddpm_utils.page.names import begun_from, fitted_once, look, starts
from dipddpm_utils.page.prose import copying, effect, number, percent, span
from dipddpm_utils.reports.finding import Finding


def fewer_steps(group: str, lab: Any) -> Finding:
    """FD from a DIP start against FD from noise with as many calls and from every start without a DIP, at every t_start.

    The t_start that decides is the best of those where the start is shown to beat noise and nothing else explains it, else the
    best of all. A DIP of each image's own, which no report had, is told beside it and decides nothing.
    """
    frame, dips = lab.frame(group), starts(dip=True)
    found, rivals = start_gaps(frame, dips, ["noise"]), start_gaps(frame, dips, starts(dip=False))
    shares = {at: copies(frame[(frame["label"] == at[0]) & (frame["value"] == at[2])]) for at in found}
    here = {at: {rival: gap for (own, rival, t), gap in rivals.items() if (own, t) == at[::2]} for at in found}
    cause = {at: "copying of training images" if shares[at].many else _as_well(here[at]) for at in found}
    asked = [at for at in found if at[0] in fitted_once()]
    best = min(asked, key=lambda at: (not found[at].decided or found[at].value >= 0 or bool(cause[at]), found[at].value))
    gap, own = found[best], shares[best]
    why = f"FD of noise over FD from {begun_from(best[0])}, equal calls; decided at t_start {best[2]:g}, "
    why += f"one of {gap.of} pairs of a DIP start and a t_start. "
    why += f"Of its samples {copying(own)} (of held-out images {percent(own.usual)} look copied). "
    over = "; ".join(f"{look(rival).label} {effect(one)}" for rival, one in here[best].items())
    why += f"FD over that of each start without a DIP, same t_start: {over}. " if over else ""
    each = {
        f"{look(rival).label} over {look(start).label}, t {t:g}": scaled(one, -1)
        for (start, rival, t), one in (found | rivals).items()
    }
    return Finding(scaled(gap, -1), "FD", why + _at_no_calls(lab, group), artefact_of=cause[best], each=each)


def _as_well(here: Mapping[str, Paired]) -> str:
    """Whether a start without a DIP explains a gain over noise as well, '' if not. here: the gap to each, at one t_start."""
    if not here:
        return "any start near the data (none without a DIP was measured)"
    best = max(here, key=lambda rival: here[rival].value)
    if here[best].decided and here[best].value < 0:
        return ""
    as_well = "does as well" if here[best].value >= 0 else "is not told apart from it"
    return f"any start near the data (the {look(best).label} {as_well})"


def outputs_alone(lab: Any, group: str) -> dict[str, pd.DataFrame]:
    """What the DIPs that chains of this group begin from show, at no call: start -> their scores, as far as they are here."""
    begun = (member.entry.run.start for member in lab.profile.group(group))
    used = dict.fromkeys((start.name, start.bank or start.dip) for start in begun if start.name in starts(dip=True))
    here = [(name, dip) for name, dip in used if dip is not None and lab.store.state(dip) == "complete"]
    by_name = grouped(here, lambda one: one[0])
    return {name: frame_of([lab.store.load(dip) for _, dip in own]) for name, own in by_name.items()}


def _at_no_calls(lab: Any, group: str) -> str:
    """How good the starts themselves are, without a single call: what each DIP shows."""
    said = [
        f"FD {span(summary(frame, 'fd'))}, recall {number(float(frame['recall'].mean()), 2)} ({begun_from(name)})"
        for name, frame in outputs_alone(lab, group).items()
    ]
    return f"The starts themselves, at no calls: {'; '.join(said)}." if said else ""
