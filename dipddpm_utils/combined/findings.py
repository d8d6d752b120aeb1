"""What all mechanisms together found (notebooks 04 and 05): the front of the best, speed, tables; from records."""

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.combined import mechanisms
from dipddpm_utils.combined.mechanisms import in_words, rival_in_words
from dipddpm_utils.page import names
from dipddpm_utils.page.compare import Paired, copies, judged_alike, paired, summary
from dipddpm_utils.page.prose import comparison, factor, means, number
from dipddpm_utils.page.tables import SCORES

THRESHOLDS = (1.5, 1.1)  # times the baseline's mean FD at the end of its training: seconds to a worse one say nothing
SAME = 1.05  # times the seconds are the same: machines are no more even than that


def weights(lab: Any) -> list[str]:
    """Each weight of a mechanism whose weight is varied against a weight of zero, the DDPM alone (small models)."""
    return [comparison(f"{name}: FD at {weight:g} over FD at 0", gap) for name, weight, gap in _weighted(lab)]


def lowest_weight(lab: Any) -> str:
    """Which of these settings has the lowest FD over the DDPM alone, decided or not."""
    name, weight, gap = min(_weighted(lab), key=lambda one: one[2].value)
    return f"Lowest FD over that of the DDPM alone: {name} {weight:g}, {factor(gap)}."


def _weighted(lab: Any) -> list[tuple[str, float, Paired]]:
    """(what is weighted, weight, log FD ratio to the DDPM alone); a setting that is not a mere weight is left out."""
    varied, gaps = mechanisms.weights(), mechanisms.screened(lab)
    own = [(label, value, gap) for (label, value, rival), gap in gaps.items() if label in varied and rival == "baseline"]
    return [(varied[label], value, gap) for label, value, gap in own if isinstance(value, float)]


def front(frame: pd.DataFrame) -> list[tuple[str, Any, pd.DataFrame]]:
    """The settings that no other beats in the same seconds, of which up to SAME times as many are the same; cheapest first.

    Oracles and copiers are left out, and who may be one: whose own images were not recorded.
    """
    own = [one for one in mechanisms.settings(frame) if one[0] not in mechanisms.oracles() and not copies(one[2]).many]
    own = [one for one in own if not mechanisms.unjudged(one[2])]
    points = [(float(rows["cost"].mean()), summary(rows, "fd").value) for *_, rows in own]
    best = [i for i, (cost, fd) in enumerate(points) if not any(c <= SAME * cost and d < fd for c, d in points)]
    return [own[i] for i in sorted(best, key=points.__getitem__)]


def on_the_front(frame: pd.DataFrame) -> str:
    """Which settings no other beats at their cost, cheapest first, how many have a DIP, and how many copiers were left out."""
    best, parts = front(frame), []
    for label, value, rows in best:
        cost, fd = number(rows["cost"].mean(), 2), number(summary(rows, "fd").value)
        parts.append(f"{in_words(frame, label, value)} ({cost} s, FD {fd})")
    said = (
        f"No way has a lower mean FD than {'these' if len(best) > 1 else 'this one'} in the same seconds "
        f"({SAME - 1:.0%} more count as the same; not tested): "
    )
    said += f"{'; '.join(parts)}. "
    dips = sum(label in names.mechanisms() for label, _, _ in best)
    said += f"With a DIP: {dips or 'none'} of these {len(best)}." if len(best) > 1 else f"It has {'a' if dips else 'no'} DIP."
    out = sum(copies(rows).many for *_, rows in mechanisms.settings(frame))
    return f"{said} Left out: {out} setting{'s' * (out != 1)} that give training images back ([table](#tab-04_mechanisms))."


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
    around = slice(max(below[0] - 1, 0), below[0] + 1)
    steps, seconds = (float(np.interp(-math.log(fd), -values[around], rows[name].iloc[around])) for name in ("step", "seconds"))
    return steps, seconds + record.metrics["dip_seconds"]


def speed(frame: pd.DataFrame, rows: pd.DataFrame, fd: float, what: int) -> Paired | None:
    """Log ratio of a setting's steps (what = 0) or seconds (1) to `fd` to the baseline's; None unless all seeds of both
    reached it: the slow ones would be left out.
    """
    base = {record.seed: reached(record, fd) for record in frame.loc[frame["label"] == "baseline", "record"]}
    own = {record.seed: reached(record, fd) for record in rows["record"]}
    ratios = [math.log(own[seed][what] / base[seed][what]) for seed in own if own[seed] and base.get(seed)]
    return paired(ratios, ratio=True) if len(ratios) == len(own) else None


def has_curve(rows: pd.DataFrame) -> bool:
    """Whether a setting was trained, and judged during training at least twice in the same way."""
    return bool((rows["kind"] == "ddpm").all()) and all(len(judged_alike(record.evals)) > 1 for record in rows["record"])


# --- tables -----------------------------------------------------------------------------------------------------------


def quality_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: FD, and that over each rival's with its verdict, KID, precision, recall, copies, calls, all seconds,
    all operations.
    """
    rows, gaps = [], mechanisms.gaps(frame)
    for label, value, own in mechanisms.settings(frame):
        open_ = copies(own).many or mechanisms.unjudged(own)
        found = mechanisms.against(gaps, label, value)
        over = {rival: mechanisms.in_brief(gap, by_copies=open_).replace("*", "") for rival, gap in found}
        row = {"method": in_words(frame, label, value), "seeds": own["seed"].nunique()}
        row |= means(own, {own["features"].iloc[0]: "fd"}) | {"over the baseline": over.pop("baseline", "")}
        row["over its controls"] = "; ".join(f"{rival_in_words(frame, rival, own)}: {said}" for rival, said in over.items())
        row |= means(own, SCORES | {"own image": "own_source_rate"})
        row |= {"calls": f"{own['nfe'].iloc[0]:.0f}", "seconds, all": number(own["cost"].mean())}
        rows.append(row | {"TFLOP, all": number(own["total_flops"].mean() / 1e12)})
    return pd.DataFrame(rows)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """What of a `quality_table` fits a page; the CSV has the rest, and all ends and p-values."""
    fits = table.replace(r"(, \d+ seeds?(?=,)| \(p [^)]*\))", "", regex=True)
    fits["method"] += ", " + fits["seeds"].astype(str) + " seeds"
    recall, copied, own = (fits[name].str.partition(" [")[0] for name in ("recall", "copied", "own image"))
    fits = fits.assign(**{"recall": recall, "copied, own image": (copied + ", " + own).str.removesuffix(", ")})
    return fits.iloc[:, [0, 2, 3, 4]].join(fits[["recall", "copied, own image", "seconds, all"]])


def speed_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per trained setting and threshold: mean steps and seconds to it, over the baseline's; seeds there; copies."""
    trained = [one for one in mechanisms.settings(frame) if has_curve(one[2])]
    goals, table = zip(THRESHOLDS, thresholds(frame), strict=True), []
    for (label, value, rows), (times, fd) in product(trained, goals):
        points = [point for record in rows["record"] if (point := reached(record, fd)) is not None]
        mean = [number(float(part)) for part in np.mean(points, 0)] if points else ["not reached"] * 2
        gaps = [None if label == "baseline" else speed(frame, rows, fd, what) for what in (0, 1)]
        over = ["" if gap is None else factor(gap) for gap in gaps]
        new = "no" if copies(rows).many else "not known" if mechanisms.unjudged(rows) else "yes"
        goal = f"{number(fd)} ({times:g} times the baseline's last)"
        row = {"method": in_words(frame, label, value), "FD to reach": goal, "seeds there": f"{len(points)} of {len(rows)}"}
        row |= {"new images": new, "steps": mean[0], "over the baseline": over[0]}
        table.append(row | {"seconds, DIP included": mean[1], "over the baseline's": over[1]})
    return pd.DataFrame(table)
