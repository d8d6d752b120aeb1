"""What the page and the README open with: the question, an answer in a sentence for each job, one table, one picture.

Every word follows from records by rule: a row has its effect, interval and corrected verdict; the sentences count rows.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dipddpm_utils.answer import times
from dipddpm_utils.page import names, speed
from dipddpm_utils.page.compare import Paired, best_rival, best_start, frame_of
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import percent, verdict
from dipddpm_utils.page.words import effect, number
from dipddpm_utils.priors import comparisons, findings, mechanisms

MECHANISM = "mechanism"
PICTURE = "00_front.png"


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


def _row(job: str, question: str, gap: Paired, cost: str, figure: str, unit: str = "", more_is_better: bool = False) -> Row:
    words = ("better", "worse") if more_is_better else ("worse", "better")
    better = None if not gap.decided else (gap.value > 0) == more_is_better
    return Row(job, question, effect(gap, unit), verdict(gap, *words), cost, figure, better, gap.value)


def rows(lab: Any) -> list[Row]:
    """Everything that the answer rests on, as far as this profile has its records."""
    return [*_outputs(lab), *_starts(lab), *_ways(lab), *_restored(lab)]


def _outputs(lab: Any) -> Iterator[Row]:
    if not lab.has("ddpm", "ddpm-on-dip"):
        return
    gaps = comparisons.outputs(lab)
    base, on_dip = frame_of(lab.seeds("ddpm")), frame_of(lab.seeds("ddpm-on-dip"))
    added = f"{percent(float(on_dip['dip_seconds'].mean() / base['train_seconds'].mean()))} more training time"
    at = "04_fd_over_steps"
    yield _row("generation", "Trained on DIP outputs, equal steps: FD over the DDPM alone", gaps["fd"], added, at)
    if "seconds" in gaps:
        yield _row("generation", "The same, equal seconds", gaps["seconds"], "none", at)


def _starts(lab: Any) -> Iterator[Row]:
    if not lab.has("starts"):
        return
    frame = lab.frame("starts")
    best = best_start(frame, *names.starts(dip=True))
    if best is None:
        return
    t_start, gap, chosen = best
    cost = ""
    if lab.has("ddpm"):
        pays = comparisons.measured_cost(frame, lab.seeds("ddpm")[0]).break_even_images
        cost = "never saves time" if math.isinf(pays) else f"saves time beyond {number(pays)} images"
    copied = percent(float(chosen["copy_rate"].mean()))
    question = f"Started from DIP outputs at t = {t_start:.0f}: FD over noise, equal calls ({copied} look copied)"
    yield _row("generation", question, gap, cost, "04_fd_vs_t_start")
    if (rival := best_rival(frame, chosen)) is not None:
        yield _row(
            "generation", f"The same over starts without a DIP ({look(rival[0]).label})", rival[1], cost, "04_fd_vs_t_start"
        )


def _ways(lab: Any) -> Iterator[Row]:
    """Every other mechanism, each against the rival that it does worst against."""
    if not lab.has(mechanisms.GROUP):
        return
    frame = mechanisms.table_of(lab)
    base = float(frame.loc[frame["label"] == "baseline", "cost"].mean())
    for label in names.mechanisms():
        best = mechanisms.best_setting(frame, label)
        if label == "start" or best is None or not (gaps := mechanisms.against(frame, label, best[0])):
            continue
        rival, gap = max(gaps, key=lambda one: one[1].value)
        over = "the DDPM alone" if rival == "baseline" else look(rival).label
        cost = f"{number(float(best[1]['cost'].mean()) / base, 2)} times the seconds"
        yield _row(MECHANISM, f"{look(label).label}: FD over {over}", gap, cost, "04_pareto")


def _restored(lab: Any) -> Iterator[Row]:
    if not lab.has("restore"):
        return
    gaps = findings.restored(lab)
    for record in lab.seeds("restore"):
        m = record.metrics
        own, rival = findings.contestants(m)
        times = m[f"{own}_seconds"] / m[f"{rival}_seconds"]
        question = f"{findings.TASKS[m['task']][0]}: PSNR from a DIP's output minus without a DIP"
        cost = f"{number(times, 2)} times the seconds"
        yield _row("restoration", question, gaps[m["task"], own, rival], cost, f"04_restore_{m['task']}", "dB", True)


def generation(found: list[Row]) -> str:
    """The answer for drawing new images, in a sentence."""
    own = [row for row in found if row.job in ("generation", MECHANISM)]
    if not own:
        return "**Drawing new images:** not measured in this profile."
    won, lost = (sum(row.better is side for row in own) for side in (True, False))
    said = f"of {len(own)} comparisons {won} went to the DIP, {lost} against it, and {len(own) - won - lost} were not decidable"
    answer = "yes" if won == len(own) else "in part" if won else "no" if lost else "not shown"
    return f"**Drawing new images: {answer}.** Does a DIP make the diffusion model better or faster? By the rule, {said}."


def restoration(found: list[Row]) -> str:
    """The answer for mending a degraded image, in a sentence."""
    own = [row for row in found if row.job == "restoration"]
    if not own:
        return "**Mending a degraded image:** not measured in this profile."
    won = [row for row in own if row.better]
    answer = "yes" if len(won) == len(own) else "in part" if won else "no"
    costs = sorted((row.cost.split()[0] for row in own), key=float)
    return (
        f"**Mending a degraded image: {answer}.** A chain that begins at a DIP's output came out ahead in {len(won)} of "
        f"{len(own)} tasks, at {costs[0]} to {costs[-1]} times the seconds of its rival."
    )


def table(found: list[Row], target: str = "#fig-{}") -> str:
    """The table as Markdown; each question links to its figure. Of the mechanisms only the one nearest to a gain is shown."""
    ways = [row for row in found if row.job == MECHANISM]
    nearest = min(ways, key=lambda row: row.value, default=None)
    lines = ["| question | effect [95%] | for the DIP | cost |", "|---|---|---|---|"]
    for row in found:
        if row.job == MECHANISM and row is not nearest:
            continue
        name = row.question if row is not nearest else f"Best of {len(ways)} other mechanisms, {row.question}"
        lines.append(f"| {name} ([figure]({target.format(row.figure)})) | {row.effect} | {row.verdict} | {row.cost} |")
    return "\n".join(lines)


def picture(lab: Any) -> bytes | None:
    """A strip of samples as PNG: real digits, the DDPM alone, trained on DIP outputs, started from them; not selected."""
    import numpy as np
    from PIL import Image

    from dipddpm_utils.page.images import tile

    if not lab.has("ddpm", "ddpm-on-dip"):
        return None
    sets = [lab.seeds(name)[0].arrays["grid"][:12] for name in ("ddpm", "ddpm-on-dip")]
    if lab.has("starts") and (best := best_start(lab.frame("starts"), *names.starts(dip=True))) is not None:
        sets.append(lab.record(best[2]["name"].iloc[0]).arrays["grid"][:12])
    strip = np.concatenate([tile(images, columns=12) for images in sets])
    data = io.BytesIO()
    Image.fromarray(strip).quantize(32).save(data, "PNG", optimize=True)
    return data.getvalue()


ALT = "Rows of samples, not selected: the DDPM alone; trained on DIP outputs; started from DIP outputs."


def markdown(lab: Any) -> str:
    """The first screen of the page."""
    found, png = rows(lab), picture(lab)
    said = "\n\n".join(f'<p class="answer">{_html(text)}</p>' for text in (generation(found), restoration(found)))
    links = "[Read on](#01_theory) · [Run it, copy it](#about-run-it-copy-it) · [Words used](#about-words-used-here)"
    shown = f"![{ALT}](data:image/png;base64,{base64.b64encode(png).decode()})\n\n*{ALT}*" if png else ""
    return "\n\n".join([said, f"Computed from the records of profile **{lab.profile.name}**. {links}", table(found), shown])


def readme_block(lab: Any) -> str:
    """The same screen for the README, with paths into results/; then what the records took to compute, and speed."""
    found, folder = rows(lab), f"results/{lab.profile.folder}"
    page = f"From the records of profile **{lab.profile.name}**; the page is `{folder}/report.html`."
    shown = f"![{ALT}]({folder}/figures/{PICTURE})"
    screen = [generation(found), restoration(found), page, table(found, folder + "/figures/{}.png"), shown]
    return "\n\n".join([*screen, times(lab), speed.summary(lab.store.source.parent)]) + "\n"


def _html(text: str) -> str:
    """Bold in a paragraph that is HTML already."""
    first, bold, rest = text.split("**", 2)
    return f"{first}<b>{bold}</b>{rest}"
