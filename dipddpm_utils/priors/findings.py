"""What all mechanisms together found (notebooks 04, 05 and 07): the front of the best, speed, tables; from records."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page import names
from dipddpm_utils.page.compare import Paired, copies, family, judged_alike, paired, summary
from dipddpm_utils.page.prose import NOT_MEASURED, bullets, comparison, count, factor, number, shown_by, span, word
from dipddpm_utils.page.tables import SCORES
from dipddpm_utils.priors import mechanisms
from dipddpm_utils.priors.mechanisms import SMALL, in_words

Found = list[tuple[str, Paired | None]]
THRESHOLDS = (1.5, 1.1)  # times the baseline's mean FD at the end of its training: seconds to a worse one say nothing
SAME = 0.05  # seconds that differ by less are the same: machines are no more even than that


def useful(lab: Any) -> str:
    """How many mechanisms helped, and what the cheapest controls do to the small models."""
    if not lab.has(SMALL):
        return NOT_MEASURED
    frame, lines = mechanisms.small(lab), [mechanisms.headcount(lab)]
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
    own = [one for one in own if not mechanisms.unjudged(*one)]
    return [own[i] for i in undominated([(cost[one[:2]], summary(one[2], "fd").value) for one in own])]


def undominated(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (cost, distance) that no other is better than in one and as good in the other, by cost."""
    kept, least = [], math.inf
    for index in sorted(range(len(points)), key=lambda i: points[i]):
        if points[index][1] < least:
            kept.append(index)
            least = points[index][1]
    return kept


def on_the_front(lab: Any) -> str:
    """Which settings no other beats at their cost, cheapest first, how many have a DIP, and how many copiers were left out."""
    if not lab.has(SMALL):
        return NOT_MEASURED
    frame = mechanisms.table_of(lab)
    best = front(frame)
    parts = [
        f"{in_words(frame, *one[:2])} ({number(one[2]['cost'].mean(), 2)} s, FD {number(summary(one[2], 'fd').value)})"
        for one in best
    ]
    said = f"Lowest FD for their seconds (gaps no wider than between seeds ignored): {'; '.join(parts)}. "
    said += f"With a DIP: {count(sum(label in names.mechanisms() for label, _, _ in best))} of {len(parts)}."
    out = sum(copies(rows).many for *_, rows in mechanisms.settings(frame))
    return f"{said} Left out, since they give training images back ([table](#tab-04_mechanisms)): {count(out)}."


def no_gain(lab: Any) -> Found:
    """Every comparison of a mechanism, for the table of what did not help: FD of each setting, and time to each threshold."""
    if not lab.has(SMALL):
        return []
    found, frame, times_to = [], mechanisms.small(lab), speeds(mechanisms.small(lab), 1)
    for label, value, rows in mechanisms.settings(frame):
        name, alone = in_words(frame, label, value), in_words(frame, "baseline")
        for times in THRESHOLDS if label in names.mechanisms() and has_curve(rows) else ():
            goal = f"seconds to {times:g} times the FD of the {alone}: {name} / {alone}"
            found.append((goal, times_to.get((label, value, times))))
    sizes = [(frame, mechanisms.screened(lab))]
    sizes += [(mechanisms.larger(lab), mechanisms.found(lab))] if mechanisms.on_larger(lab) else []
    for frame, gaps in sizes:
        steps = in_words(frame, "baseline").partition(", ")[2]
        for label, value, rows in mechanisms.settings(frame):
            for rival, gap in mechanisms.against(gaps, label, value) if label in names.mechanisms() else ():
                other = mechanisms.rival_in_words(frame, rival, rows)
                sized = other if other.endswith("steps") else f"{other}, {steps}"
                found.append((f"FD, {in_words(frame, label, value)} / {sized}", gap))
    return found


def gains(lab: Any) -> str:
    """What a mechanism was shown to be better than, by images that are new; '' if it was nothing."""
    frame, said = mechanisms.table_of(lab), []
    for label, value, rows in mechanisms.settings(frame):
        if label not in names.mechanisms() or copies(rows).many or mechanisms.unjudged(label, value, rows):
            continue
        for rival, gap in mechanisms.against(mechanisms.found(lab), label, value):
            if gap.decided and gap.images and gap.value < 0:
                other = mechanisms.rival_in_words(frame, rival, rows)
                said.append(f"{in_words(frame, label, value)} than {other} ({factor(gap)})")
    return f"A DIP was shown to be better in {count(len(said))}: {'; '.join(said)}." if said else ""


def rows_of(found: Found) -> list[dict[str, Any]]:
    """Of these comparisons (ratios; lower is better for the DIP) the ones in which it was not shown to be better."""
    rows = []
    for name, gap in found:
        if gap is None:
            rows.append({"comparison": name, "ratio": "", "n": "", "verdict": "not reached", "it would take": ""})
        elif not (gap.decided and gap.value < 0):
            said = f"{word(gap).strip('*')} ({shown_by(gap)})"
            needed = "" if gap.decided or gap.n == 1 else f"{gap.needed() or 'over 1000'} {gap.over}"
            row = {"comparison": name, "ratio": factor(gap), "n": f"{gap.n} {gap.over}", "verdict": said}
            rows.append(row | {"it would take": needed})
    return rows


# --- steps and seconds to a quality -----------------------------------------------------------------------------------


def thresholds(frame: pd.DataFrame) -> list[float]:
    """The FDs to be reached: THRESHOLDS times the baseline's last FD in training, mean over its seeds."""
    ends = [judged_alike(record.evals)["fd"].iloc[-1] for record in frame.loc[frame["label"] == "baseline", "record"]]
    return [times * float(np.mean(ends)) for times in THRESHOLDS]


def reached(record: Any, fd: float) -> tuple[float, float] | None:
    """(steps, seconds) of training until `fd`, the seconds of the DIP before it included; None if it was not reached.

    Between two evaluations log FD is taken to be linear; a run that is there at its first one gets that one's step.
    """
    rows = judged_alike(record.evals)
    values = np.log(rows["fd"].to_numpy(float))
    below = np.flatnonzero(values <= math.log(fd))
    if len(below) == 0:
        return None
    last, first = int(below[0]), max(int(below[0]) - 1, 0)
    share = 1.0 if last == first else (values[first] - math.log(fd)) / (values[first] - values[last])
    steps, seconds = (float(np.interp(share, (0, 1), rows[column].iloc[[first, last]])) for column in ("step", "seconds"))
    return steps, seconds + float(record.metrics.get("dip_seconds") or 0.0)


def speed(frame: pd.DataFrame, rows: pd.DataFrame, fd: float, what: int) -> Paired | None:
    """Log ratio of a setting's steps (what = 0) or seconds (1) to `fd` to the baseline's; None unless all seeds of both
    reached it: the slow ones would be left out.
    """
    base = {record.seed: reached(record, fd) for record in frame.loc[frame["label"] == "baseline", "record"]}
    own = {record.seed: reached(record, fd) for record in rows["record"]}
    ratios = [math.log(own[seed][what] / base[seed][what]) for seed in own if own[seed] and base.get(seed)]
    return paired(ratios, ratio=True) if len(ratios) == len(own) else None


def speeds(frame: pd.DataFrame, what: int) -> dict[tuple[str, Any, float], Paired]:
    """(label, value, times) -> `speed` of every trained setting to each of THRESHOLDS that any seed reached: a family."""
    own = [one for one in mechanisms.settings(frame) if one[0] != "baseline" and has_curve(one[2])]
    goals = list(zip(THRESHOLDS, thresholds(frame), strict=True))
    return family("speed", {(*at, times): speed(frame, rows, fd, what) for *at, rows in own for times, fd in goals})


def has_curve(rows: pd.DataFrame) -> bool:
    """Whether a setting was trained, and judged during training at least twice in the same way."""
    return bool((rows["kind"] == "ddpm").all()) and all(len(judged_alike(record.evals)) > 1 for record in rows["record"])


# --- tables -----------------------------------------------------------------------------------------------------------


def quality_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a setting: FD beside the baseline's, KID, precision, recall, copies, calls, all seconds, all operations."""
    rows, over = [], mechanisms.gaps(frame)
    for label, value, own in mechanisms.settings(frame):
        gap = over.get((label, value, "baseline"))
        flops = own["total_flops"].mean() if "total_flops" in own else math.nan
        row = {"method": in_words(frame, label, value), "seeds": own["seed"].nunique()}
        row |= {own["features"].iloc[0]: span(summary(own, "fd")), "over the baseline": factor(gap) if gap else ""}
        row |= {name: span(summary(own, score)) for score, name in SCORES.items()}
        row["own image"] = span(summary(own, "own_source_rate")) if "own_source_rate" in own else ""
        row |= {"calls": f"{own['nfe'].iloc[0]:.0f}", "seconds, all": number(own["cost"].mean())}
        rows.append(row | {"TFLOP, all": number(flops / 1e12) if math.isfinite(flops) else ""})
    return pd.DataFrame(rows)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a `quality_table` that fit a page; the CSV has the others, and all ends."""
    fits = table.drop(columns=["seeds", "KID", "precision", "calls", "TFLOP, all"])
    return fits.assign(**{name: fits[name].str.partition(" [")[0] for name in ("recall", "copied", "own image")})


def speed_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a trained setting and threshold: mean steps and seconds to it, their ratios to the baseline, seeds there."""
    rows, times_to = [], [speeds(frame, what) for what in (0, 1)]
    for label, value, own in mechanisms.settings(frame):
        if not has_curve(own):
            continue
        for times, fd in zip(THRESHOLDS, thresholds(frame), strict=True):
            points = [point for record in own["record"] if (point := reached(record, fd)) is not None]
            mean = [number(float(part)) for part in np.mean(points, 0)] if points else ["not reached"] * 2
            over = [factor(found[label, value, times]) if (label, value, times) in found else "" for found in times_to]
            goal = f"{number(fd)} ({times:g} times the baseline's last)"
            row = {"method": in_words(frame, label, value), "FD to reach": goal, "seeds there": f"{len(points)} of {len(own)}"}
            row |= {"steps": mean[0], "over the baseline": over[0]}
            rows.append(row | {"seconds, DIP included": mean[1], "over the baseline's": over[1]})
    return pd.DataFrame(rows)
