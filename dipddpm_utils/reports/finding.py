"""What a claim is tested by: a lab's records -> a Finding, an effect with its interval, seed by seed; for both reports.

Distances are compared as logarithms: they have no unit in common with the published FID, and a share of an FD means the same
in both. Each test measures its effect in the corrected runs and again in those as published. It takes the lab last, so that
claims_list.py can fix all that comes before it (`partial`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.judging.stats import ALPHA
from dipddpm_utils.page.compare import Paired, paired
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import effect

Test = Callable[[Any], "Finding | None"]
Statistic = Callable[[Any], float]  # of one record, in logarithms


@dataclass(frozen=True)
class Finding:
    """What a test measured. Positive speaks for the claim, unless `equal`, where an interval within +-margin does.

    effect: in the corrected runs. published: the same in the runs as published (None: not compared). shift: published minus
    corrected, paired by seed. margin: what an effect has to exceed (equal: stay within). fault: the one that explains an effect
    there as published only ('': not told apart). artefact_of: set if the corrected effect itself is there for another reason.
    each: where a claim is made of several nets, rivals or settings, the effect of every one, alone and not corrected.
    aside: what has to be known beside the verdict, in a few words. certain: it speaks for the claim by construction.
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
    aside: str = ""
    certain: bool = False

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
    p = effect.p if effect.of > 1 and not margin else float(np.minimum(1.0, effect.of * effect.p_against(margin)))  # NaN stays
    return p, effect.value > margin


def shows(effect: Paired, margin: float = 0.0, equal: bool = False) -> bool:
    """Whether it is shown, taken alone, to speak for the claim. One seed shows nothing."""
    p, speaks_for = side(effect, margin, equal)
    return speaks_for and p < ALPHA


# --- effects by seed, in the corrected runs and as published ---------------------------------------------------------------


def by_seed(lab: Any, names: Sequence[str], statistic: Statistic) -> pd.DataFrame:
    """A statistic of these runs' records: a row per seed, a column per run; seeds that miss one are left out."""
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
