"""What did not help, and what to use instead (notebook 07), computed from records."""

from typing import Any

import pandas as pd

from dipddpm_utils.page import compare, names
from dipddpm_utils.page.compare import difference, frame_of
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import NOT_MEASURED, bullets, comparison
from dipddpm_utils.page.training import best_by_calls
from dipddpm_utils.page.words import number
from dipddpm_utils.priors import comparisons, findings


def negative_results(lab: Any) -> pd.DataFrame:
    """Every comparison in which the DIP was not shown to be better: name, effect, n, verdict."""
    found: findings.Found = []
    if lab.has(*comparisons.compared(lab), comparisons.started(lab)):
        ways = {
            "fd": f"FD, trained on DIP outputs / {comparisons.alone(lab)}, equal steps",
            "seconds": "the same, equal seconds",
        }
        found += [(ways[name], gap) for name, gap in comparisons.outputs(lab).items() if name in ways]
        starts = lab.frame(comparisons.started(lab))
        for rivals in (["noise"], names.starts(dip=False)):
            for (own, rival, t), gap in compare.start_gaps(starts, names.starts(dip=True), rivals).items():
                found.append((f"FD, {look(own).label} / {look(rival).label}, t_start = {t:.0f}, equal calls", gap))
    rows = findings.rows_of(found + findings.no_gain(lab))
    return pd.DataFrame(rows, columns=["comparison", "ratio", "n", "verdict", "it would take"])


def instead(lab: Any) -> str:
    """What costs nothing and does the same job: a better sampler, a longer training."""
    lines = []
    if lab.has("samplers"):
        frame = lab.frame("samplers")
        lines.append(f"**A better sampler** ([figure](#fig-03_samplers)). {best_by_calls(frame)}")
    if lab.has("ddpm", "ddpm-more"):
        base, more = frame_of(lab.seeds("ddpm")), frame_of(lab.seeds("ddpm-more"))
        times = number(more["steps"].mean() / base["steps"].mean(), 2)  # their seconds are those of different days
        over = f"{times} times the steps: FD over the {comparisons.alone(lab, 'ddpm')}"
        name = f"**More training** ([table](#tab-07_more_training)), {over}"
        lines.append(comparison(name, difference(more, base, "fd")))
    return bullets(lines) or NOT_MEASURED


def trained_longer(lab: Any) -> dict[str, pd.DataFrame]:
    """The small DDPM alone after as many steps as in the comparisons, and after more."""
    return {comparisons.alone(lab, group): frame_of(lab.seeds(group)) for group in ("ddpm", "ddpm-more")}
