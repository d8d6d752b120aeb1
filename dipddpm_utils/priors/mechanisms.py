"""Mechanisms and their controls beside one another: full cost, steps and seconds to a quality, the front of the best ones.

Works on a frame of either group: of small models (SMALL), by which settings were chosen, or of models that draw digits
(LARGER). A label is the mechanism, or the control in its place ("shift blur"), its value the setting.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page import names
from dipddpm_utils.page.compare import Paired, difference, family, judged_alike, paired, summary
from dipddpm_utils.page.lab import once
from dipddpm_utils.page.names import look
from dipddpm_utils.page.tables import SCORES
from dipddpm_utils.page.words import count, factor, number, span

SMALL, LARGER = "mechanisms", "main-drawn"
THRESHOLDS = (1.5, 1.1)  # times the baseline's mean FD at the end of its training: seconds to a worse one say nothing
CONTROLS = ("more training", "more calls", "min-snr", "ddim sampler")  # what one would try without any of it


def table_of(lab: Any) -> pd.DataFrame:
    """The mechanisms that count: of models that draw digits where there are such, else of the small ones."""
    return larger(lab) if on_larger(lab) else small(lab)


def on_larger(lab: Any) -> bool:
    return lab.has("main", "main-starts", LARGER)


@once
def small(lab: Any) -> pd.DataFrame:
    """A row a record of the small models, with `cost`, all seconds that its judged images took: training, prior, drawing."""
    frame = lab.frame(SMALL).copy()
    frame["record"] = lab.seeds(SMALL)
    for column in ("total_seconds", "model_seconds", "prior_seconds"):
        if column not in frame:
            frame[column] = math.nan
    drawn = frame["model_seconds"] + frame["prior_seconds"]
    frame["cost"] = frame["total_seconds"].where(frame["kind"] == "ddpm", drawn) + frame["sampling_seconds"]
    return frame


@once
def larger(lab: Any) -> pd.DataFrame:
    """The same of models that draw digits, in chains of equally many calls, those of `main` that begin elsewhere among them.

    cost: at the DDPM alone's mean pace of training, since the models were trained on different days.
    """
    frames = [lab.frame(group).assign(record=lab.seeds(group)) for group in (LARGER, "main-starts")]
    drawn, starts = frames[0], frames[1][frames[1]["nfe"] == frames[0]["nfe"].iloc[0]]
    names_of = {"noise": "baseline", "dip": "start"}
    starts = starts.assign(label=[names_of.get(label, f"start {label}") for label in starts["label"]])
    frame = pd.concat([starts, drawn], ignore_index=True).sort_values(
        "label", key=lambda label: label != "baseline", kind="stable"
    )
    frame.loc[frame["label"] == "baseline", "value"] = 0
    models = [lab.record(lab.profile.find(record.run.model).name).metrics for record in frame["record"]]
    paces = np.array([own["train_seconds"] / own["steps"] for own in models])
    usual = np.mean([record.metrics["train_seconds"] / record.metrics["steps"] for record in lab.seeds("main")])
    return frame.assign(cost=(frame["model_seconds"] + frame["prior_seconds"] + frame["sampling_seconds"]) * usual / paces)


def settings(frame: pd.DataFrame, label: str | None = None) -> list[tuple[str, Any, pd.DataFrame]]:
    """(label, value, rows of all seeds) for each setting, in the order of the profile."""
    found = frame.groupby(["label", "value"], sort=False)
    return [(name, value, rows) for (name, value), rows in found if label in (None, name)]


def best_setting(frame: pd.DataFrame, label: str) -> tuple[Any, pd.DataFrame] | None:
    """(value, rows) of the setting with the lowest FD; chosen after the fact, which a family of all settings pays for."""
    own = settings(frame, label)
    if not own:
        return None
    _, value, rows = min(own, key=lambda item: item[2]["fd"].mean())
    return value, rows


def gaps(frame: pd.DataFrame) -> dict[tuple[str, Any, str], Paired]:
    """(label, value, rival) -> log FD ratio of every setting to the baseline, and of a mechanism's to the best setting of each
    of its controls: the families 'mechanisms', 'without' and 'controls'.
    """
    base, own = frame[frame["label"] == "baseline"], [one for one in settings(frame) if one[0] not in ("baseline", *oracles())]
    with_dip, found = names.mechanisms(), {}
    for name, kept in (("mechanisms", True), ("without", False)):
        mine = [one for one in own if (one[0] in with_dip) == kept]
        found |= family(name, {(label, value, "baseline"): difference(rows, base, "fd") for label, value, rows in mine})
    others = {}
    for label, value, rows in own:
        for rival in with_dip[label].controls if label in with_dip else ():
            if (best := best_setting(frame, rival)) is not None:
                others[label, value, rival] = difference(rows, best[1], "fd")
    return found | family("controls", others)


@once
def found(lab: Any) -> dict[tuple[str, Any, str], Paired]:
    """The `gaps` of the mechanisms that count."""
    return gaps(table_of(lab))


@once
def screened(lab: Any) -> dict[tuple[str, Any, str], Paired]:
    """The `gaps` of the small models' mechanisms."""
    return gaps(small(lab))


def against(found: Mapping[tuple[str, Any, str], Paired], label: str, value: Any) -> list[tuple[str, Paired]]:
    """(rival, log FD ratio) of a setting to the baseline and, for a mechanism's, to the best one of each of its controls.

    found: the `gaps` of all.
    """
    return [(rival, gap) for (own, at, rival), gap in found.items() if (own, at) == (label, value)]


def controls() -> tuple[str, ...]:
    """What one would try without a mechanism: CONTROLS, and what is declared for every profile and has nothing to beat."""
    declared = names.kinds().items()
    return (*CONTROLS, *(name for name, own in declared if own.everywhere and not own.controls and own.place != "start"))


def oracles() -> tuple[str, ...]:
    """Not methods: training images given away."""
    return tuple(f"start {name}" for name, kind in names.kinds().items() if kind.oracle)


def weights() -> dict[str, str]:
    """The mechanisms whose weight is varied, and what it is; a weight of 0 is the DDPM alone."""
    return {name: kind.varied for name, kind in names.mechanisms().items() if kind.varied}


def over_weight(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A sweep a mechanism of `weights` that the profile has: its rows over the weight, the DDPM alone as its anchor at 0.

    Settings that are not a mere weight ("0.5 late") are left out.
    """
    base = frame[frame["label"] == "baseline"].assign(value=0.0, anchor=True)
    found = {}
    for label in weights():
        own = frame[(frame["label"] == label) & frame["value"].map(lambda value: isinstance(value, float))]
        if len(own):
            found[label] = pd.concat([base, own.assign(value=own["value"].astype(float), anchor=False)], ignore_index=True)
    return found


def in_words(frame: pd.DataFrame, label: str, value: Any = None) -> str:
    """'DIP guidance (weight 0.5)'; without a value the method alone. One that is a mere training by its steps: it has several
    namesakes in other notebooks.
    """
    unit = getattr(names.kinds().get(label, names.kinds().get(label.split()[0])), "setting", "")
    base = look(label).label.removesuffix(f" ({unit})")
    if label in ("baseline", "more training"):
        run = frame.loc[frame["label"] == label, "record"].iloc[0].run
        return f"{base}, {count(getattr(run, 'model', run).optim.steps)} steps"
    if value is None:
        return base
    if label == "more calls":
        return f"{look('baseline').label}, {value} calls"
    several = len(settings(frame, label)) > 1
    return f"{base} ({unit} {text(value)})" if unit else f"{base}: {text(value)}" if several else base


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
    own = [one for one in settings(frame) if one[0] != "baseline" and has_curve(one[2])]
    goals = list(zip(THRESHOLDS, thresholds(frame), strict=True))
    return family("speed", {(*at, times): speed(frame, rows, fd, what) for *at, rows in own for times, fd in goals})


def has_curve(rows: pd.DataFrame) -> bool:
    """Whether a setting was trained, and judged during training at least twice in the same way."""
    return bool((rows["kind"] == "ddpm").all()) and all(len(judged_alike(record.evals)) > 1 for record in rows["record"])


# --- tables -----------------------------------------------------------------------------------------------------------


def quality_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a setting: FD beside the baseline's, KID, precision, recall, copies, calls, all seconds, all operations."""
    rows, over = [], gaps(frame)
    for label, value, own in settings(frame):
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
    for label, value, own in settings(frame):
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


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (cost, distance) that no other is better than in one and as good in the other, by cost."""
    kept, least = [], math.inf
    for index in sorted(range(len(points)), key=lambda i: points[i]):
        if points[index][1] < least:
            kept.append(index)
            least = points[index][1]
    return kept


def text(value: Any) -> str:
    """A setting in words."""
    return value if isinstance(value, str) else f"{value:g}"
