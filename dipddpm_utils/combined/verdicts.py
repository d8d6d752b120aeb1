"""What the answer rests on: a row per question, with effect, interval, verdict and cost. Every word follows from records."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dipddpm_utils.combined import comparisons, mechanisms, restored
from dipddpm_utils.page import names
from dipddpm_utils.page.compare import Copies, Paired, best_rival, best_start, copies
from dipddpm_utils.page.names import begun_from, look
from dipddpm_utils.page.prose import effect, factor, images_back, number, pairs, short_verdict

MECHANISM = "mechanism"
_NOT_JUDGED = "**lower**, not judged: own images not recorded"


@dataclass(frozen=True)
class Row:
    """One line of the table. better: whether the DIP was shown to be better (False: worse; None: not decidable)."""

    job: str  # "generation", MECHANISM (generation, too) or "restoration"
    question: str
    effect: str
    verdict: str
    cost: str
    figure: str  # where it is shown, a name in figures/
    better: bool | None
    value: float  # the effect alone
    pairs: str  # how many, and of what: '8 seeds'
    given_back: bool = False  # what is lower here are training images given back, which is no gain
    new: bool = True  # whether its samples are known to be no training images given back


def _of_new_images(row: Row, own: Copies, *, known: bool, lower: bool = False) -> Row:
    """The row, but nobody won what is better, or `lower` than the baseline, by images given back, or if that is not known."""
    if own.many and (row.better or lower):
        return replace(row, verdict=f"**no gain**: {images_back(own)}", cost="", better=None, given_back=True)
    return row if known or not row.better else replace(row, verdict=_NOT_JUDGED, better=None)


def _row(job: str, question: str, gap: Paired, cost: str, figure: str, unit: str = "", more_is_better: bool = False) -> Row:
    words = ("better", "worse") if more_is_better else ("worse", "better")
    better = None if not (gap.decided and gap.images) else (gap.value > 0) == more_is_better
    said = f"{factor(gap)} times" if gap.ratio else effect(gap, unit)
    return Row(job, question, said, short_verdict(gap, *words), cost, figure, better, gap.value, pairs(gap))


def rows(lab: Any) -> list[Row]:
    """Everything that the answer rests on, as far as this profile has its records; no verdict from models that draw nothing."""
    drawn = [*_outputs(lab), *_starts(lab), *_ways(lab)]
    if comparisons.untestable(lab):
        drawn = [replace(row, verdict="not testable", cost="", better=None, given_back=False) for row in drawn]
    return [*drawn, *_restored(lab)]


def listed(found: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table without Markdown."""
    made = [(row.question, row.effect, row.pairs, row.verdict.replace("**", ""), row.cost) for row in found]
    return pd.DataFrame(made, columns=["question", "effect", "pairs", "for the DIP", "cost / rival's"])


def _outputs(lab: Any) -> Iterator[Row]:
    if not lab.has(*comparisons.compared(lab)):
        return
    gaps, added = comparisons.outputs(lab), f"{number(1 + comparisons.dip_share(lab))} × time"
    question = "Trained on DIP outputs: FD vs. the DDPM alone"
    if "seconds" in gaps:
        yield _row("generation", f"{question}, equal seconds", gaps["seconds"], "none", "04_fd_vs_total_seconds")
    else:
        yield _row("generation", question, gaps["fd"], added, "04_fd_over_steps")


def _starts(lab: Any) -> Iterator[Row]:
    group = comparisons.started(lab)
    if not lab.has(group):
        return
    frame = lab.frame(group)
    if (best := best_start(frame, *names.fitted_once())) is None:
        return
    t_start, gap, chosen = best
    cost, start = "", chosen["label"].iloc[0]
    if lab.has(model := comparisons.compared(lab)[0]):
        _, pays = comparisons.measured_cost(frame, lab.seeds(model)[0])
        cost = "not shown to save time"
        if pays is not None:
            cost = f"saves time beyond {number(math.exp(pays.high if pays.n > 1 else pays.value))} images"
    rivals = [("noise", gap), *filter(None, [best_rival(frame, chosen)])]
    rival, gap = max(rivals, key=lambda one: one[1].value)
    over = "noise" if rival == "noise" else look(rival).label
    question = f"Started from {begun_from(start)}, t = {t_start:.0f}: FD vs. {over}"
    row = _row("generation", question, gap, cost, "04_fd_vs_t_start")
    yield _of_new_images(row, copies(chosen), known=not math.isnan(copies(chosen).source))


def _ways(lab: Any) -> Iterator[Row]:
    """Every other mechanism at its best, against its hardest rival by the same sampler; whether it copies."""
    if not lab.has(mechanisms.SMALL):
        return
    frame, over, on_dip = mechanisms.table_of(lab), mechanisms.found(lab), comparisons.compared(lab)[1]
    outputs = {record.name for record in lab.seeds(on_dip)} if lab.has(on_dip) else set()
    for label in names.mechanisms():
        best = mechanisms.at_its_best(frame, over, label)
        if label == "start" or best is None or not (gaps := mechanisms.against(over, label, best[0])):
            continue
        if set(best[1]["name"]) <= outputs:  # trained on DIP outputs alone, which has its row
            continue
        own = copies(best[1])
        (_, base), *_ = gaps
        rival, gap = max(gaps, key=lambda one: one[1].value)
        beside = mechanisms.rival_rows(frame, rival, best[1])
        times = best[1].groupby("seed")["cost"].mean() / beside.groupby("seed")["cost"].mean()
        calls = f"{beside['nfe'].iloc[0]:.0f} calls without it"  # by the way's own sampler
        over_what = calls if rival == "more calls" else mechanisms.rival_in_words(frame, rival, best[1])
        question = f"{mechanisms.in_words(frame, label, best[0])}: FD vs. {over_what}"
        known = not mechanisms.unjudged(best[1])
        row = _row(MECHANISM, question, gap, f"{number(float(times.mean()))} × time", "04_pareto")
        row = replace(row, new=known and not own.many)
        yield _of_new_images(row, own, known=known, lower=base.decided and base.value < 0)


def _restored(lab: Any) -> Iterator[Row]:
    if not lab.has("restore"):
        return
    gaps = restored.restored(lab)
    for setting, records in restored.settings(lab).items():
        own, even = (sum(restored.seconds(records, of)) for of in ("with a DIP", "equal seconds"))
        asked = restored.in_short(setting)
        question = f"PSNR, DIP minus rival: {asked[0].lower()}{asked[1:]}"
        cost, gap = f"{number(own / even, 2)} × time", gaps[setting, "psnr", "equal seconds"]
        yield _row("restoration", question, gap, cost, restored.figure_of(setting.of), "dB", True)
