"""What a claim is tested by: a lab's records -> a Finding, an effect with its interval, seed by seed. Report A's claims.

Distances are compared as logarithms: they have no unit in common with the published FID, and a share of an FD means the same
in both. Each test measures its effect in the corrected runs and again in those as published. It takes the lab last, so that
claims_list.py can fix all that comes before it (`partial`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.judging.stats import ALPHA
from dipddpm_utils.page.compare import Paired, judged_alike, paired
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import effect
from dipddpm_utils.reports.printed import VARIANTS

Test = Callable[[Any], "Finding | None"]
Statistic = Callable[[Any], float]  # of one record, in logarithms
# a row a seed, a column a variant -> a column for each that a claim is made of
Combine = Callable[[pd.DataFrame], pd.DataFrame]
OfCurve = Callable[[np.ndarray], float]  # log FD at each evaluation during training -> a statistic


@dataclass(frozen=True)
class Finding:
    """What a test measured. Positive speaks for the claim, unless `equal`, where an interval within +-margin does.

    effect: in the corrected runs. published: the same in the runs as published (None: not compared). shift: published minus
    corrected, paired by seed. margin: what an effect has to exceed (equal: stay within). fault: the one that explains an effect
    there as published only ('': not told apart). artefact_of: set if the corrected effect itself is there for another reason.
    each: where a claim is made of several nets, rivals or settings, the effect of every one, alone and not corrected.
    """

    effect: Paired
    unit: str
    why: str
    equal: bool = False
    margin: float = 0.0
    published: Paired | None = None
    shift: Paired | None = None
    fault: str = ""
    artefact_of: str = ""
    each: Mapping[str, Paired] = field(default_factory=dict)

    def side(self) -> tuple[float, bool]:
        """(p-value, whether the effect speaks for the claim), of the corrected effect."""
        return side(self.effect, self.margin, self.equal)


def side(effect: Paired, margin: float = 0.0, equal: bool = False) -> tuple[float, bool]:
    """(p-value, whether it speaks for the claim): above the margin or (equal) within +-margin; the other side speaks against.

    Corrected for what the effect was chosen from, if it was; NaN from one seed.
    """
    if equal:  # within: two one-sided tests, of which the larger counts; outside: the nearer end, whose p is the larger too
        p, within = max(effect.p_against(-margin), effect.p_against(margin)), abs(effect.value) < margin
        return (p / 2 if within else p), within
    return (effect.p if effect.of > 1 and not margin else effect.p_against(margin)), effect.value > margin


def shows(effect: Paired, margin: float = 0.0, equal: bool = False) -> bool:
    """Whether it is shown, taken alone, to speak for the claim. One seed shows nothing."""
    p, speaks_for = side(effect, margin, equal)
    return speaks_for and p < ALPHA


# --- effects by seed, in the corrected runs and as published ---------------------------------------------------------------


def by_seed(lab: Any, names: Sequence[str], statistic: Statistic) -> pd.DataFrame:
    """A statistic of these runs' records: a row a seed, a column a run; seeds that miss one are left out."""
    return pd.DataFrame({name: {record.seed: statistic(record) for record in lab.seeds(name)} for name in names}).dropna()


def decisive(found: Mapping[str, Paired]) -> tuple[str, int]:
    """(net, number it was chosen from): the net, or whatever else there are several of, on which a claim made of each rests.

    It holds if each shows it, so the least sure one decides, and no correction is needed. If one speaks against it, the one
    that does so most surely decides, chosen from all.
    """
    against = {net: gap for net, gap in found.items() if gap.value <= 0}
    pick = min(against or found, key=lambda net: (found[net].p if against else -found[net].p, found[net].value))
    return pick, len(found) if against else 1


def compared(
    corrected: pd.DataFrame,
    published: pd.DataFrame | None = None,
    *,
    why: str,
    way: str = "",
    over: str = "seeds",
    **about: Any,
) -> Finding | None:
    """A Finding from effects by seed, a column for each net (or whatever else) that the claim is made of; None without any.

    way: how the published runs were judged. over: what the rows are, if not seeds.
    """
    if corrected.empty:
        return None
    found = {net: paired(list(values), ratio=True, over=over) for net, values in corrected.items()}
    net, of = decisive(found)
    gap = found[net]
    if len(found) > 1:
        about["each"] = {look(name).label: gap for name, gap in found.items()}
        why += f" The verdict is that of {look(net).label}, {'which speaks against it' if of > 1 else 'the least sure'}."
        gap = replace(gap, p=float(np.minimum(1.0, of * gap.p)), of=of)  # Bonferroni-corrected
    if published is not None and len(gaps := (published[net] - corrected[net]).dropna()):
        before = paired(list(published[net]), ratio=True)
        about |= {"published": before, "shift": paired(list(gaps), ratio=True)}
        why += f" As published{way}: {effect(before)}."
    return Finding(gap, why=why, **about)


def late_change(logs: np.ndarray) -> float:
    """From half of the training to its end."""
    return logs[-1] - logs[(len(logs) - 1) // 2]


def of_curve(statistic: OfCurve, column: str, record: Any) -> float:
    """The statistic of a record's curve; NaN with one evaluation, from which nothing is seen to change."""
    logs = np.log(judged_alike(record.evals)[column].to_numpy(float))
    return float(statistic(logs)) if len(logs) > 1 else np.nan


def of_distance(statistic: OfCurve, combine: Combine, why: str, lab: Any, **limits: Any) -> Finding | None:
    """Report A's three variants, tested on a statistic of the distance over training.

    Runs as published that do not show the effect when judged on all samples are judged on 30 as well, as they were there: what
    is seen only then is an artefact of the measure (FA3).
    """

    def measured(ending: str, column: str = "fd") -> pd.DataFrame:
        own = by_seed(lab, [name + ending for name in VARIANTS], partial(of_curve, statistic, column))
        return combine(own.set_axis(VARIANTS, axis=1))

    about = {"unit": "FD", "why": why, **limits}
    corrected, published = measured(""), measured("-published")
    if len(published) and all(shows(paired(list(own)), **limits) for _, own in published.items()):
        return compared(corrected, published, **about)
    published = measured("-published", "fd_published")
    return compared(corrected, published, way=" (judged on 30 samples, as there)", fault="FA3", **about)


def rise_is_noise(names: Sequence[str], lab: Any) -> Finding | None:
    """A7: is most of the rise that one set of 30 samples shows not there in other sets of the same models?

    By seed or, of one seed, by set. None where a record does not hold the many sets.
    """
    records = {name: lab.seeds(f"{name}-published") for name in names}
    rises = {name: [_drawn_rises(record) for record in own] for name, own in records.items()}
    if any(rise is None for own in rises.values() for rise in own):
        return None
    seeds = min(map(len, rises.values()))
    effects = {name: [float(rise.mean()) for rise in own] if seeds > 1 else list(own[0]) for name, own in rises.items()}
    late = {name: [of_curve(late_change, "fd", record) for record in own] for name, own in records.items()}
    longer = [f"{look(name).label} {effect(paired(own, ratio=True))}" for name, own in late.items() if np.isfinite(own).any()]
    why = (
        "Rise of one set of 30 samples over its lowest earlier value, as a factor, over the square of its rise over where the "
        "other sets are lowest: above 1, most of it is drawn. Longer training: FD of all samples changes from its half to its "
        f"end by {'; '.join(longer)}."
    )
    least = min(map(len, effects.values()))
    values = pd.DataFrame({name: own[:least] for name, own in effects.items()})
    return compared(values, over="seeds" if seeds > 1 else "sets of 30", unit="FD", why=why)


def _drawn_rises(record: Any) -> np.ndarray | None:
    """Of each set of 30: log of its rise over its lowest earlier value, less twice that over where the other sets are lowest.

    The first is above zero by choice alone; the second is a change that other samples of the same models show too. None where
    the sets do not rise, and there is nothing to explain.
    """
    rows = judged_alike(record.evals)
    if "fd_published_draws" not in rows or rows["fd_published_draws"].isna().any() or len(rows) < 2:
        return None
    drawn = [[float(value) for value in str(text).split()] for text in rows["fd_published_draws"]]
    if (sets := min(map(len, drawn))) < 2:
        return None
    logs = np.log(np.array([own[:sets] for own in drawn]))
    last, earlier = logs[-1], logs[:-1]
    lowest = (earlier.sum(axis=1, keepdims=True) - earlier).argmin(axis=0)  # for all sets but each
    own, others = last - earlier.min(axis=0), last - earlier[lowest, np.arange(sets)]
    return own - 2 * others if own.mean() > 0 else None
