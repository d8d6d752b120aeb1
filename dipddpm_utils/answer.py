"""The question answered from the records: what notebook 07 and the README say first, and from which profile they say it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dipddpm_utils.page import names
from dipddpm_utils.page.compare import best_rival, best_start, copies
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import NOT_MEASURED, bullets, comparison, copying, direction, distance, percent
from dipddpm_utils.page.words import count, number
from dipddpm_utils.priors import comparisons, mechanisms, restored
from dipddpm_utils.reports import findings as findings_reports
from dipddpm_utils.stopping import findings as stopping_findings
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study import profile as profiles
from dipddpm_utils.theory import findings as theory_findings

HEADLINE = ("floor", "ddpm-long", "samplers", "ddpm", "ddpm-on-dip", "starts")  # what an answer takes


def answer(lab: Any) -> str:
    """The question answered so far, job by job, from whatever this profile has measured."""
    floor = lab.record("floor") if lab.has("floor") else None
    alone = []
    if lab.has("ddpm-long"):
        alone.append(f"**A DDPM alone, trained longest** {_at('03_samples')}: {distance([lab.record('ddpm-long')], floor)}.")
    generated = _trained_on_outputs(lab, floor) if lab.has(*comparisons.compared(lab)) else []
    if lab.has(comparisons.started(lab)):
        generated += _started_from_outputs(lab)
    generated += _reports(lab)
    if lab.has("mechanisms"):
        generated.append(f"**Any other way in?** {_at('04_pareto')} {mechanisms.headcount(lab)}")
    mended = [f"{of}. {restored.restored_short(lab, of)}" for of in restored.sets_of(lab)] if lab.has("restore") else []
    if why := comparisons.untestable(lab):
        generated = [f"**No answer at this size**: {why}. What the comparisons gave stands in notebook 04."]
    stops = lab.seeds("stopping") if lab.has("stopping") else []
    stopped = [stopping_findings.answer(stops)] if stops else []
    parts = {"*Generation*": alone + generated, "*Restoration*": mended}
    parts |= {"*When to stop a fit to one image* ([figure](#fig-05_stopping))": stopped}
    said = [f"{job}\n\n{bullets(lines)}" for job, lines in parts.items() if lines]
    return "\n\n".join(said) if said else NOT_MEASURED


def _at(name: str) -> str:
    """A link to a figure of the page."""
    return f"([figure](#fig-{name}))"


def _trained_on_outputs(lab: Any, floor: Any) -> list[str]:
    alone = lab.seeds(comparisons.compared(lab)[0])
    gaps, added = comparisons.outputs(lab), percent(comparisons.dip_share(lab))
    gap = comparison("FD trained on DIP outputs over FD alone, equal steps", gaps["fd"])
    lines = [
        f"**The comparisons' baseline** ([table](#tab-04_quality)), {_smaller(lab)}: {distance(alone, floor)}.",
        f"**Better by training on DIP outputs?** {gap} {_at('04_fd_over_steps')}",
        f"**Faster by training on DIP outputs?** Fitting and applying the DIP adds {added} to the training time.",
    ]
    if "seconds" in gaps:
        lines[-1] += f" {comparisons.equal_seconds(lab)}"
    if lab.has(comparisons.started(lab)):
        lines[-1] += f" {_at('04_fd_vs_total_seconds')}"
    return lines


def _smaller(lab: Any) -> str:
    """How it differs from the model that was trained longest."""
    own = lab.seeds(comparisons.compared(lab)[0])[0].metrics
    size = f"{count(own['parameters'])} parameters, {count(own['steps'])} steps"
    if not lab.has("ddpm-long"):
        return size
    longest = lab.record("ddpm-long").metrics
    same = "" if longest["parameters"] == own["parameters"] else f", {count(longest['parameters'])} parameters"
    return f"{size} (the longest training: {count(longest['steps'])} steps{same})"


def _started_from_outputs(lab: Any) -> list[str]:
    frame = lab.frame(comparisons.started(lab))
    best = best_start(frame, *names.starts(dip=True))
    if best is None:
        return []
    t_start, gap, rows = best
    start = rows["label"].iloc[0]
    outputs = "DIP outputs" if start == "dip" else look(start).label
    name = f"FD over that of noise with as many calls, at the best t_start ({t_start:.0f})"
    own, words = copies(rows), direction(copies(rows))
    lines = [
        f"**Fewer steps by starting from {outputs}?** {comparison(name, gap, **words)} Of those samples {copying(own)}; "
        f"of held-out images {percent(own.usual)} look copied."
        f"{' So these are training images given back, and no gain.' if own.many else ''} {_at('04_fd_vs_t_start')}"
    ]
    if (rival := best_rival(frame, rows)) is not None:
        name = f"FD over that from the {look(rival[0]).label}, same t_start"
        same = " No gain, for the same reason." if own.many and rival[1].decided and rival[1].value < 0 else ""
        said = comparison(name, rival[1], **words)
        lines.append(f"**Better than a start without a DIP?** {said}{same} ([table](#tab-04_starts))")
    if lab.has("ddpm") and not own.many:
        cost = comparisons.measured_cost(frame, lab.seeds("ddpm")[0])
        pays = f" {_at('04_break_even')}" if lab.has(*comparisons.compared(lab)) else ""
        lines.append(f"**Does that start save seconds?** {theory_findings.break_even(*cost)}{pays}")
    return lines


def _reports(lab: Any) -> list[str]:
    """The reports' own comparisons, corrected, with the age of report B's models."""
    said = []
    if lab.has("a-ddpm", "a-2conv", "a-resnet18"):
        at = f" {_at('04_a_fd_over_steps')}" if lab.has("a-ddpm-published") else ""
        said.append(f"**Report A's comparison, corrected**{at}. {findings_reports.corrected_a(lab)}")
    if lab.has("b-ddpm", "b-combined", "b-floor"):
        at = f" {_at('04_b_fd_over_steps')}" if lab.has("b-ddpm-published", "b-combined-published") else ""
        own, where = findings_reports.corrected_b(lab), distance(lab.seeds("b-ddpm"), lab.seeds("b-floor")[0])
        said.append(f"**Report B's comparison, corrected**{at}. {own} Its DDPM alone: {where}.")
    return said


def clocks(lab: Any) -> str:
    """How far seconds may be compared: what a step of one network took on different days, where it was trained twice."""
    runs = [record for group in ("ddpm-long", "main") if lab.has(group) for record in lab.seeds(group)]
    paces = [record.metrics["train_seconds"] / record.metrics["steps"] for record in runs]
    alike = {(record.run.unet, record.run.optim.batch_size) for record in runs}
    more = max(paces) / min(paces) if len(alike) == 1 else 1.0
    apart = f"; a step of one network took up to {number(more, 2)} times as many on another day" if more > 1.5 else ""
    made = sorted({_machine(record.provenance) for record in runs if record.provenance})
    where = f" on {' and '.join(made)}" if made else ""
    return f"- Times are seconds of this code{where}{apart}: compare them within a table or figure only."


def strongest(results: Path) -> str:
    """The one rule for which profile speaks: the largest with a record of every run that an answer takes, else quick.

    StoreError: a larger profile has a damaged record, or lost some; a smaller one does not take its place unnoticed.
    """
    larger = profiles.names()
    for name in reversed(larger[larger.index("quick") + 1 :]):
        store = Store(results, name)
        store.refuse_losses()
        groups = [store.profile.groups.get(group, []) for group in HEADLINE]  # `full` has the two reports alone
        if all(groups) and all(store.state(member.entry.run) == "complete" for group in groups for member in group):
            return name
    return "quick"


def times(lab: Any) -> str:
    """What it took to compute the records of this profile, by kind of run, on the machines that they name."""
    records, declared = lab.all(), len(lab.profile.entries)
    spent = [(r.kind, r.seconds / 60) for r in records]
    minutes = pd.DataFrame(spent, columns=["kind", "minutes"])
    lines = ["| kind of run | runs | minutes |", "|---|---|---|"]
    lines += [f"| {kind} | {len(own)} | {own.sum():.1f} |" for kind, own in minutes.groupby("kind", sort=False)["minutes"]]
    machines = sorted({_machine(r.provenance) for r in records if r.provenance})
    of = f" of the {declared} declared" if declared > len(records) else ""
    lines.append(f"| **all, computed anew** | {len(records)}{of} | {minutes['minutes'].sum():.1f} |")
    return "\n".join(lines) + f"\n\nMeasured on: {'; '.join(machines)}."


def _machine(made: Mapping[str, Any]) -> str:
    """'AMD EPYC, 2 threads', and how a single thread was timed."""
    threads = made["threads"]
    by = " of processor time" if made.get("clock") == "processor" else ""
    return f"{made['device_name']}, {threads} thread{'s' if threads != 1 else ''}{by}"
