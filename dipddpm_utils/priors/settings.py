"""What one setting does (notebook 05), as sentences computed from records."""

from collections.abc import Sequence

import pandas as pd

from dipddpm_utils.page import compare
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import DIFFERS, bullets, comparison, span


def sweep(group: str, frame: pd.DataFrame, metric: str, unit: str, *, higher_is_better: bool = False) -> str:
    """The best and the worst setting of a sweep, and whether they differ, corrected for every pair of settings."""
    means = compare.over_seeds(frame, "value", metric).set_index("x")["mean"]
    if len(means) < 2:
        return f"{group}: one setting only."
    best, worst = (means.idxmax(), means.idxmin()) if higher_is_better else (means.idxmin(), means.idxmax())
    ends = [(x, look(x).label if isinstance(x, str) else f"{x:g}") for x in (best, worst)]
    said = [f"{name} ({span(compare.summary(frame[frame['value'] == x], metric))})" for x, name in ends]
    gap = compare.among(frame, "value", metric)[worst, best]
    name = f"{group}: best {said[0]}, worst {said[1]}; worst {'over' if gap.ratio else 'minus'} best"
    return comparison(name, gap, unit, **DIFFERS)


def told_apart(lines: Sequence[str]) -> str:
    """Those of these comparisons that are decided, after how many there are."""
    head, own = f"Of {len(lines)} comparisons {len(decided(lines))} are decided at this number of seeds", decided(lines)
    return f"{head}:\n\n{bullets(own)}" if own else f"{head}."


def counted(lines: Sequence[str], name: str) -> str:
    """'2 of 4 in the distance (DIP learning rate, DIP training steps)': how many sweeps are decided, and which."""
    own = [line.partition(":")[0] for line in decided(lines)]
    return f"{len(own)} of {len(lines)} in {name}" + (f" ({', '.join(own)})" if own else "")


def decided(lines: Sequence[str]) -> list[str]:
    """Those that have a verdict, and not that nothing can be decided."""
    return [line for line in lines if "**" in line and "not decidable" not in line]
