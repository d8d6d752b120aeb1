"""What the mechanisms found (notebooks 04 and 07), as sentences and tables computed from records."""

import math
from itertools import pairwise
from typing import Any

import pandas as pd

from dipddpm_utils.dip import findings as dip_findings
from dipddpm_utils.page import names
from dipddpm_utils.page.compare import Paired, copies, summary
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import NOT_MEASURED, bullets, comparison, copying, images_back, verdict
from dipddpm_utils.page.words import count, factor, number, shown_by, span
from dipddpm_utils.priors import mechanisms
from dipddpm_utils.priors.mechanisms import SMALL, THRESHOLDS, in_words

Found = list[tuple[str, Paired | None]]
SAME = 0.05  # seconds that differ by less are the same: machines are no more even than that


def mechanism(lab: Any, label: str) -> str:
    """One mechanism: its best setting, beside the baseline and its rivals, with copies and seconds."""
    frame = mechanisms.table_of(lab) if lab.has(SMALL) else pd.DataFrame(columns=["label"])
    if label not in set(frame["label"]):
        return f"{look(label).label}: this profile has no run of it; `standard` has."
    value, rows = mechanisms.best_setting(frame, label)
    tried = len(mechanisms.settings(frame, label))
    several = f", best of {tried} settings" if tried > 1 else ""
    open_ = " (own images not recorded)" if unjudged(label, value, rows) else ""
    found = copies(rows)
    own = f"{rows['features'].iloc[0]} {span(summary(rows, 'fd'))}, {copying(found)}{open_}"
    lines = [
        f"{in_words(frame, rival, mechanisms.best_setting(frame, rival)[0])}: {in_brief(gap, by_copies=found.many)}"
        for rival, gap in mechanisms.against(mechanisms.found(lab), label, value)
    ]
    back = "\n\nTraining images given back, and no gain." if found.many else ""
    return (
        f"**{in_words(frame, label, value)}**{several} ([figure](#fig-04_pareto)): {own}, {number(rows['cost'].mean())} s in "
        f"all. Its FD over that of\n\n{bullets(lines)}{back}"
    )


def in_brief(gap: Paired, *, by_copies: bool = False) -> str:
    """'1.31 [1.12, 1.53], **worse** (p = 0.012, Holm over 8)'. by_copies: by images given back nobody wins."""
    why = f" ({shown_by(gap)})" if shown_by(gap) else ""
    words = ("higher", "lower") if by_copies else ("worse", "better")
    return f"{factor(gap)}, {verdict(gap, *words).partition(' (')[0]}{why}"


def headcount(lab: Any) -> str:
    """How many mechanisms beat the baseline by new images, how many of these every control in their place as well, and which
    have a lower distance by images given back.
    """
    frame = mechanisms.table_of(lab)
    tried = [label for label in names.mechanisms() if label in set(frame["label"])]
    found, better, best, back = mechanisms.found(lab), [], [], []
    for label in tried:
        value, rows = mechanisms.best_setting(frame, label)
        won = [gap.decided and gap.images and gap.value < 0 for _, gap in mechanisms.against(found, label, value)]
        name, own = in_words(frame, label), copies(rows)
        if won and won[0] and own.many:
            back.append(f"{name} ({images_back(own).rpartition('(')[2]}")
        elif won and won[0]:
            better.append(name)
            best += [name] if all(won) and len(won) == 1 + len(names.mechanisms()[label].controls) else []
    controls = f", and {_named(best)} shown to be better than every control in its place as well" if better else ""
    base = in_words(frame, "baseline")
    found = f"{_named(better)} shown to be better than the {base}{controls}"
    which = "models that draw digits" if mechanisms.on_larger(lab) else "small models"
    copied = f" Lower only by training images given back: {', '.join(back)}." if back else ""
    return f"Of {len(tried)} mechanisms measured on {which}, {found}.{copied}"


def useful(lab: Any) -> str:
    """The same, and what the cheapest controls do to the small models."""
    if not lab.has(SMALL):
        return NOT_MEASURED
    frame, lines = mechanisms.small(lab), [headcount(lab)]
    found = mechanisms.screened(lab)
    base = frame[frame["label"] == "baseline"]
    for label in mechanisms.controls():
        own = mechanisms.best_setting(frame, label)
        if own is not None:
            gap = found[label, own[0], "baseline"]
            cost = number(own[1]["cost"].mean() / base["cost"].mean(), 2)
            name = f"{in_words(frame, label)}, at {cost} times the seconds"
            lines.append(comparison(f"{name}: FD over that of the {in_words(frame, 'baseline')}", gap))
    return bullets(lines)


def weights(lab: Any) -> list[str]:
    """Each weight of a mechanism whose weight is varied against a weight of zero, the DDPM alone (small models)."""
    frame, lines = mechanisms.small(lab), []
    found = mechanisms.screened(lab)
    for label, own in mechanisms.over_weight(frame).items():
        for value in own.loc[~own["anchor"].astype(bool), "value"].unique():
            name = f"{mechanisms.weights()[label]}: FD at {value:g} over FD at 0"
            lines.append(comparison(name, found[label, value, "baseline"]))
    return lines


def _named(labels: list[str]) -> str:
    if not labels:
        return "none was"
    return f"{count(len(labels))} ({', '.join(labels)}) {'was' if len(labels) == 1 else 'were'}"


def at_equal_cost(frame: pd.DataFrame) -> dict[tuple[str, Any], float]:
    """(label, value) -> all its seconds; those that only noise tells apart are one number, their mean.

    The same computation takes now more, now less: up to as much as seeds of the DDPM alone differ by, and at least SAME.
    """
    costs = {(label, value): float(rows["cost"].mean()) for label, value, rows in mechanisms.settings(frame)}
    own, alike = frame.loc[frame["label"] == "baseline", "cost"], []
    for key in sorted(costs, key=lambda key: costs[key]):
        if alike and costs[key] <= max(1 + SAME, own.max() / own.min()) * costs[alike[-1][0]]:
            alike[-1].append(key)
        else:
            alike.append([key])
    return {key: sum(costs[one] for one in keys) / len(keys) for keys in alike for key in keys}


def front(frame: pd.DataFrame) -> list[tuple[str, Any, pd.DataFrame]]:
    """The settings that no other beats at the same or fewer seconds, cheapest first.

    Oracles and copiers are left out, and who may be one: whose own images were not recorded.
    """
    cost = at_equal_cost(frame)
    own = [one for one in mechanisms.settings(frame) if one[0] not in mechanisms.oracles() and not copies(one[2]).many]
    own = [one for one in own if not unjudged(*one)]
    return [own[i] for i in mechanisms.front([(cost[one[:2]], summary(one[2], "fd").value) for one in own])]


def unjudged(label: str, value: Any, rows: pd.DataFrame) -> bool:
    """Whether it is not known how many samples of a model that is given images when it draws lie nearest to their own."""
    kind = names.kinds().get(label.removesuffix(" blur"))
    return kind is not None and kind.place == "learned" and math.isnan(copies(rows).source)


def on_the_front(lab: Any) -> str:
    """Which settings no other beats at their cost, cheapest first, whether they differ, and how many copiers were left out."""
    if not lab.has(SMALL):
        return NOT_MEASURED
    frame = mechanisms.table_of(lab)
    best, over = front(frame), mechanisms.found(lab)
    parts = [
        f"{in_words(frame, *one[:2])} ({number(one[2]['cost'].mean(), 2)} s, FD {number(summary(one[2], 'fd').value)})"
        for one in best
    ]
    with_dip = sum(label in names.mechanisms() for label, _, _ in best)
    said = f"Best for their seconds: {'; '.join(parts)}. A DIP is in {count(with_dip)} of these {len(parts)}."
    for (label, *_), (own, value, _) in pairwise(best):
        if (gap := over.get((own, value, label))) and {own, label} & set(names.mechanisms()):  # the others are in the CSV
            said += f" {comparison(f'FD of {in_words(frame, own)} over that of {in_words(frame, label)}', gap)}"
    out = sum(copies(rows).many for *_, rows in mechanisms.settings(frame))
    said += f" Left out, since they give training images back ([table](#tab-04_mechanisms)): {count(out)}." if out else ""
    open_ = [in_words(frame, *at) for *at, rows in mechanisms.settings(frame) if unjudged(*at, rows) and not copies(rows).many]
    said += f" Not judged, since their samples' own images were not recorded: {', '.join(open_)}." if open_ else ""
    runs = [getattr(record.run, "model", record.run) for record in frame.loc[frame["label"] == "curriculum", "record"]]
    dips = [run.prior.source if run.prior else run.dip for run in runs]
    return said + (f" The mechanisms' DIP: {dip_findings.in_words(dips[0])}." if dips else "")


def no_gain(lab: Any) -> Found:
    """Every comparison of a mechanism, for the table of what did not help: FD of each setting, and time to each threshold."""
    if not lab.has(SMALL):
        return []
    found, frame, times_to = [], mechanisms.small(lab), mechanisms.speeds(mechanisms.small(lab), 1)
    for label, value, rows in mechanisms.settings(frame):
        name, alone = in_words(frame, label, value), in_words(frame, "baseline")
        for times in THRESHOLDS if label in names.mechanisms() and mechanisms.has_curve(rows) else ():
            goal = f"seconds to {times:g} times the FD of the {alone}: {name} / {alone}"
            found.append((goal, times_to.get((label, value, times))))
    sizes = [(frame, mechanisms.screened(lab))]
    sizes += [(mechanisms.larger(lab), mechanisms.found(lab))] if mechanisms.on_larger(lab) else []
    for frame, gaps in sizes:
        steps = in_words(frame, "baseline").partition(", ")[2]
        for (label, value, rival), gap in gaps.items():
            if label in names.mechanisms():
                other = in_words(frame, rival)
                sized = other if other.endswith("steps") else f"{other}, {steps}"
                found.append((f"FD, {in_words(frame, label, value)} / {sized}", gap))
    return found


def rows_of(found: Found) -> list[dict[str, Any]]:
    """Of these comparisons (ratios; lower is better for the DIP) the ones in which it was not shown to be better."""
    rows = []
    for name, gap in found:
        if gap is None:
            rows.append({"comparison": name, "ratio": "", "n": "", "verdict": "not reached", "it would take": ""})
        elif not (gap.decided and gap.value < 0):
            said = f"{verdict(gap).partition(' (')[0].strip('*')} ({shown_by(gap)})"
            needed = "" if gap.decided or gap.n == 1 else f"{gap.needed() or 'over 1000'} {gap.over}"
            row = {"comparison": name, "ratio": factor(gap), "n": f"{gap.n} {gap.over}", "verdict": said}
            rows.append(row | {"it would take": needed})
    return rows
