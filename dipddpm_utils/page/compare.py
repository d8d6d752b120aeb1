"""Settings beside one another: summaries over seeds with intervals, differences paired by seed, the floor at the same n.

One rule for all: a difference is shown if its p-value, times the looks at it (`Paired.looks`) and Holm-corrected in a family
(FAMILIES), is below 0.05. The interval beside it is the plain 95% one. Distances and seconds are compared as logarithms.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from dipddpm_utils.judging import stats
from dipddpm_utils.judging.stats import ALPHA, Interval
from dipddpm_utils.page import names

Key = TypeVar("Key", bound=Hashable)

FAMILIES = {  # what is looked at together, whatever comes out; written after the first records
    "outputs": "training on DIP outputs against the DDPM alone: quality and diversity at equal steps, and, where a longer "
    "DDPM alone was trained, quality at equal seconds",
    "start": "every start with a DIP against noise, at every t_start (each other start by itself)",
    "rivals": "every start with a DIP against each without one, at every t_start",
    "mechanisms": "every setting of every mechanism against the DDPM alone (small models by themselves)",
    "without": "everything that needs no DIP against the DDPM alone",
    "controls": "every setting of every mechanism against each control in its place",
    "restoration": "the best way with a DIP against the best and the best single chain without, every setting and score",
    "more images": "one setting of restoration with more images: the best way with a DIP against the best without, every score",
    "settings": "every pair of settings of one sweep, or of DIP networks",
    "rules": "every stopping rule that knows the noise level against every one that does not (no stop is none)",
    "staged": "staged levels against discrepancy, for every network: PSNR and stopping step",
    "report A": "both networks against the DDPM alone, as published and corrected",
    "other images": "training on other images against training on the DIP's outputs: report A's controls, a DIP for each image",
    "report B": "the combined model against the DDPM alone, as published and corrected",
    "faults": "every fault of one report, alone and alone left out",
    "claims": "the claims that could be measured, those included that the gate closes",
}
LIMITS = {"fd": (0.0, math.inf)}
LIMITS |= dict.fromkeys(("precision", "recall", "copy_rate", "copy_rate_floor", "own_source_rate"), (0.0, 1.0))


def as_ratio(metric: str) -> bool:
    """Whether a measure is averaged and compared as its logarithm: distances and seconds, which have no natural unit."""
    return metric.startswith("fd") or metric.endswith("seconds") or metric in ("features", "imagenet")


# --- one setting ------------------------------------------------------------------------------------------------------


def judged_alike(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that were judged as the first one was: same sampler, calls and number of images. A run's last row may differ.

    Where it does not, it is the second one of its step, and left out too.
    """
    way = ["sampler", "nfe", "n"]
    alike = rows[np.logical_and.reduce([rows[name] == rows[name].iloc[0] for name in way])]  # faster than a frame at once
    return alike.drop_duplicates([name for name in ("seed", "step") if name in alike]) if "step" in alike else alike


def own_interval(row: Mapping[str, Any], metric: str) -> Interval:
    """A measure with the interval that was recorded beside it."""
    return Interval(row[f"{metric}_low"], row[metric], row[f"{metric}_high"], int(row["n"]))


def over_seeds(frame: pd.DataFrame, by: str, metric: str) -> pd.DataFrame:
    """`summary` of `metric` for each value of column `by`: columns x, mean, low, high, n."""
    found = [(value, summary(part, metric)) for value, part in frame.groupby(by, sort=False)]
    rows = [(value, own.value, own.low, own.high, own.n) for value, own in found if own is not None]
    return pd.DataFrame(rows, columns=["x", "mean", "low", "high", "n"])


def summary(frame: pd.DataFrame, metric: str, *, geometric: bool = True) -> Interval | None:
    """Mean of all rows with a 95% t-interval, (geometric:) of logarithms where `as_ratio`; None if nothing was measured.

    A single row keeps the interval that it came with (columns `<metric>_low`, `<metric>_high`), or none (NaN). An interval
    that holds all that the measure can reach says nothing, nor does one from two rows; both are NaN too.
    """
    if metric not in frame:
        return None
    frame = frame[np.isfinite(frame[metric].to_numpy(float))]
    numbers = frame[metric].to_numpy(float)
    if len(numbers) == 0:
        return None
    if len(numbers) == 1:
        low, high = frame.reindex(columns=[f"{metric}_low", f"{metric}_high"]).apply(pd.to_numeric, errors="coerce").iloc[0]
        return Interval(low, float(numbers[0]), high, 1)
    geometric = geometric and as_ratio(metric) and bool((numbers > 0).all())
    mean = stats.mean_interval(np.log(numbers) if geometric else numbers)
    low, value, high = (math.exp(end) if geometric else end for end in (mean.low, mean.value, mean.high))
    least, most = LIMITS.get(metric, (-math.inf, math.inf))
    if mean.n == 2 or (low <= least and high >= most):
        return Interval(math.nan, value, math.nan, mean.n)
    return Interval(max(least, low), value, min(most, high), mean.n)


def floor_n(floor: Any, n: float | None = None) -> float:
    """The n at which the floor can be given: the one asked for if the record has it, else the record's own."""
    return float(n if (floor.evals["n"] == n).any() else floor.metrics["n"])


def floor_at(floor: Any, metric: str = "fd", n: float | None = None) -> Interval | None:
    """What real images score at the same n (see `floor_n`), its plain mean over draws. None without a floor."""
    if floor is None:
        return None
    draws = floor.evals[floor.evals["n"] == n]
    return summary(pd.DataFrame([floor.metrics]), metric) if draws.empty else summary(draws, metric, geometric=False)


def frame_of(records: Sequence[Any]) -> pd.DataFrame:
    """The metrics of records, a row each, with name and seed."""
    return pd.DataFrame([{"name": record.name, "seed": record.seed, **record.metrics} for record in records])


def grouped(records: Iterable[Any], by: Callable[[Any], Key]) -> dict[Key, list[Any]]:
    """Records by what `by` says of each, all in order."""
    found: dict[Key, list[Any]] = {}
    for record in records:
        found.setdefault(by(record), []).append(record)
    return found


# --- two settings, pair by pair ---------------------------------------------------------------------------------------


LEAST_RECALL = 0.05  # below it a model draws no images, and nothing is judged by it
PLANNED, ADDED = 3, ("seeds", "models")  # of a comparison; more of these were added after looking, where it stayed undecided
ROUNDS = 12  # of a sitting; where that decided nothing, one of more took its place


@dataclass(frozen=True)
class Paired(Interval):
    """Mean difference of two settings over pairs, with its plain 95% t-interval (NaN with one pair).

    ratio: of logarithms, so that it is shown as a factor. over: what is paired. p: two-sided, Holm-corrected among the `of`
    comparisons of its family (NaN with one pair). images: False where the models of a side draw no images, or
    fail the gate of the claims: then a difference has a direction, and is no verdict. looked: whether p has been multiplied
    by the looks.
    """

    ratio: bool = False
    over: str = "seeds"
    p: float = math.nan
    of: int = 1
    images: bool = True
    looked: bool = False

    @property
    def decided(self) -> bool:
        """Whether there is a difference, after the correction."""
        return self.p < ALPHA

    @property
    def looks(self) -> int:
        """How often it may have been looked at: with PLANNED seeds or models and after each added one, or in two sittings."""
        return 1 + (max(0, self.n - PLANNED) if self.over in ADDED else self.over == "rounds" and self.n > ROUNDS)

    @property
    def error(self) -> float:
        """Standard error of the mean, read back from the interval; NaN with one pair."""
        return (self.high - self.low) / 2 / stats.t_quantile(1 - ALPHA / 2, self.n - 1) if self.n > 1 else math.nan

    def p_against(self, bound: float) -> float:
        """Uncorrected two-sided p-value of the difference being `bound`; NaN with one pair."""
        return stats.t_test(self.value - bound, self.error, self.n - 1) if math.isfinite(self.low) else math.nan

    def needed(self, bound: float = 0.0) -> int | None:
        """About how many pairs would show it to be off `bound` with 80% power, were mean and spread those seen.

        At 0.05 over the size of the family, which Holm's correction never exceeds, and over the looks that there are with so
        many. None: one pair only, or over 1000.
        """
        if not math.isfinite(self.low):
            return None
        planned = PLANNED if self.over in ADDED else None
        level = ALPHA / self.of / (self.looks if planned is None else 1)  # of planned ones each pair that is added is a look
        return stats.pairs_needed(self.value - bound, self.error * math.sqrt(self.n), level, planned)


def paired(differences: Sequence[float], *, ratio: bool = False, over: str = "seeds") -> Paired:
    """Summarise differences (ratio: of logarithms), one a pair. ValueError if there is none."""
    values = np.asarray(differences, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        raise ValueError("differences is empty, expected one a seed")
    mean = stats.mean_interval(values) if len(values) > 1 else Interval(math.nan, float(values[0]), math.nan, 1)
    found = Paired(mean.low, mean.value, mean.high, mean.n, ratio, over)
    return replace(found, p=found.p_against(0.0))


def difference(first: pd.DataFrame, second: pd.DataFrame, metric: str, by: str = "seed") -> Paired | None:
    """first - second of `metric`, paired by seed (by: or "image"); log(first / second) where `as_ratio`.

    None if no seed has both.
    """
    a, b = first.groupby(by)[metric].mean(), second.groupby(by)[metric].mean()
    values = (np.log(a.astype(float) / b) if as_ratio(metric) else a - b).dropna()
    if values.empty:
        return None
    quality = metric.startswith("fd") or metric in ("kid", "precision", "recall")
    found = paired(list(values), ratio=as_ratio(metric), over=f"{by}s")
    return replace(found, images=not quality or draws_images(first, second))


def draws_images(*frames: pd.DataFrame) -> bool:
    """Whether all of these models that have a recall have the one that the gate of the claims asks for."""
    return all("recall" not in frame or frame["recall"].mean() >= LEAST_RECALL for frame in frames)


def family(name: str, gaps: Mapping[Key, Paired | None]) -> dict[Key, Paired]:
    """Those comparisons that could be made, with p corrected for looks, once, and for all. name: one of FAMILIES (KeyError)."""
    if name not in FAMILIES:
        raise KeyError(f"no family {name!r}: expected one of {', '.join(FAMILIES)}")
    made = {key: gap for key, gap in gaps.items() if gap is not None}
    corrected = stats.holm([gap.p if gap.looked else gap.looks * gap.p for gap in made.values()])
    of = max(1, int(np.isfinite(corrected).sum()))
    return {key: replace(gap, p=float(p), of=of, looked=True) for (key, gap), p in zip(made.items(), corrected, strict=True)}


def among(frame: pd.DataFrame, setting: str, metric: str, by: str = "seed") -> dict[tuple[Any, Any], Paired]:
    """Every value of column `setting` minus every other one, both ways round: a family, in which a pair counts once."""
    parts = dict(list(frame.groupby(setting, sort=False)))
    found = family("settings", {(a, b): difference(parts[a], parts[b], metric, by) for a, b in combinations(parts, 2)})
    return found | {(b, a): scaled(gap, -1) for (a, b), gap in found.items()}


def scaled(effect: Paired, by: float) -> Paired:
    """The same effect in another unit, or (-1) counted the other way round."""
    low, high = sorted((by * effect.low, by * effect.high))
    return replace(effect, value=by * effect.value, low=low, high=high)


# --- starts of the chain ----------------------------------------------------------------------------------------------


KEPT = 0.05  # of a start's samples; where more stay nearest to their own image, they are not new ones


class Copies(NamedTuple):
    """Shares of samples that give training images back; `source` is NaN where it was not measured."""

    looks: float  # of samples that look copied
    usual: float  # of held-out images that do
    source: float  # of samples whose nearest training image is the one that they were begun from
    has_source: bool = True  # False: they were begun from no training image, and `source` is chance

    @property
    def many(self) -> bool:
        """More than twice as many look copied as held-out images do, or more than KEPT lie nearest to their own source."""
        return self.looks > 2 * self.usual or (self.has_source and self.source > KEPT)

    @property
    def share(self) -> float:
        """What shows it: `source`, where these are many, else `looks`."""
        return self.source if self.has_source and self.source > KEPT else self.looks


def copies(rows: pd.DataFrame) -> Copies:
    """The mean over rows (records of one setting)."""
    columns, kinds = ("copy_rate", "copy_rate_floor", "own_source_rate"), names.kinds()
    shares = (float(rows[name].mean()) if name in rows else math.nan for name in columns)
    ways = [name.removeprefix("start ").removesuffix(" blur") for name in rows.get("label", ())]
    return Copies(*shares, has_source="label" not in rows or any(way in kinds and kinds[way].of_image for way in ways))


def start_gaps(frame: pd.DataFrame, labels: Sequence[str], rivals: Sequence[str]) -> dict[tuple[str, str, Any], Paired]:
    """(start, rival, t_start) -> log(FD of the start / FD of the rival), wherever both are (group 'starts'): a family."""
    groups = dict(list(frame.groupby(["label", "value"], sort=False)))
    pairs = [(start, rival, t) for start, t in groups if start in labels for rival in rivals if (rival, t) in groups]
    found = {(start, rival, t): difference(groups[start, t], groups[rival, t], "fd") for start, rival, t in pairs}
    return family("start" if list(rivals) == ["noise"] else "rivals", found)


def best_start(frame: pd.DataFrame, *labels: str) -> tuple[float, Paired, pd.DataFrame] | None:
    """(t_start, log FD ratio to noise with as many calls, rows) where DIP starts have their lowest ratio; None without both.

    labels: of these alone; none: of all. Where some give training images back (`copies`), among the others if there are any.
    Chosen after the fact, which the correction for all DIP starts and t_starts pays for.
    """
    found = start_gaps(frame, names.starts(dip=True), ["noise"])
    found = {at: gap for at, gap in found.items() if not labels or at[0] in labels}
    if not found:
        return None
    rows = {at: frame[(frame["label"] == at[0]) & (frame["value"] == at[2])] for at in found}
    new = [at for at in found if not copies(rows[at]).many] or list(found)
    best = min(new, key=lambda at: found[at].value)
    return float(best[2]), found[best], rows[best]


def best_rival(frame: pd.DataFrame, rows: pd.DataFrame) -> tuple[str, Paired] | None:
    """The start without a DIP that does best at the t_start of these rows, and log(their FD / its FD) there.

    Corrected for every DIP start, every such rival and every t_start. None without a rival.
    """
    start, t_start = rows["label"].iloc[0], rows["value"].iloc[0]
    found = start_gaps(frame, names.starts(dip=True), names.starts(dip=False))
    here = {rival: gap for (own, rival, at), gap in found.items() if (own, at) == (start, t_start)}
    return max(here.items(), key=lambda item: item[1].value, default=None)
