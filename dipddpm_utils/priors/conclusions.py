"""What was found, what did not help, and what to use instead (notebooks 04 and 07), computed from records."""

from collections.abc import Mapping
from typing import Any

from dipddpm_utils.page import compare
from dipddpm_utils.page.compare import difference, frame_of
from dipddpm_utils.page.prose import NOT_MEASURED, bullets, comparison, hardware, number
from dipddpm_utils.page.training import best_by_calls
from dipddpm_utils.priors import comparisons, mechanisms, restored
from dipddpm_utils.priors.comparisons import alone, compared, outputs, started, untestable
from dipddpm_utils.reports.findings import REPORTS, against_alone
from dipddpm_utils.stopping.findings import answer as stopping


def found(lab: Any) -> list[str]:
    """What notebook 04 found, a line a question, each with the figure that it rests on."""
    lines = [f"**No verdict at this size**: {why}."] if (why := untestable(lab)) else []
    if lab.has(*compared(lab)):
        name = f"**Trained on DIP outputs** ([figure](#fig-04_fd_over_steps)): FD over that of the {alone(lab)}"
        lines.append(comparison(name, outputs(lab)["fd"]))
    if lab.has(started(lab)) and (best := compare.best_start(frame := lab.frame(started(lab)))) is not None:
        said = comparisons.starts(frame, best[2]["label"].iloc[0])
        lines.append(f"**The best DIP start** ([figure](#fig-04_fd_vs_t_start)). {said}")
    if lab.has("mechanisms"):
        lines.append(f"**Any other way in** ([figure](#fig-04_pareto)): {mechanisms.headcount(lab)}")
    if lab.has("restore"):
        at = restored.figure_of(restored.sets_of(lab)[0])
        lines.append(f"**Restoration** ([figure](#fig-{at})). {restored.restored_short(lab)}")
    for report, runs in REPORTS.items():
        if lab.has(*runs, *(f"{name}-published" for name in runs)):
            at = f"04_{report.lower()}_fd_over_steps"
            lines.append(" ".join([f"**Report {report}** ([figure](#fig-{at})).", *against_alone(lab, report)]))
    return lines


def answer(lab: Any) -> list[str]:
    """The question answered, a line a question: what 04 found, and when to stop a fit to one image."""
    lines = found(lab)
    if lab.has("stopping"):
        lines.append(f"**When to stop a fit to one image** ([figure](#fig-05_stopping)): {stopping(lab.seeds('stopping'))}")
    return lines


def instead(lab: Any) -> str:
    """What costs nothing and does the same job: a better sampler, a longer training."""
    lines = []
    if lab.has("samplers"):
        frame = lab.frame("samplers")
        lines.append(f"**A better sampler** ([figure](#fig-03_samplers)). {best_by_calls(frame)}")
    if lab.has("ddpm", "ddpm-more"):
        base, more = frame_of(lab.seeds("ddpm")), frame_of(lab.seeds("ddpm-more"))
        times = number(more["steps"].mean() / base["steps"].mean(), 2)  # their seconds are those of different days
        over = f"{times} times the steps: FD over the {alone(lab, 'ddpm')}"
        name = f"**More training** ([table](#tab-07_more_training)), {over}"
        lines.append(comparison(name, difference(more, base, "fd")))
    return bullets(lines) or NOT_MEASURED


def clocks(lab: Any) -> str:
    """How far seconds may be compared: what a step of one network took on different days, where it was trained twice."""
    runs = [record for group in ("ddpm-long", "main") if lab.has(group) for record in lab.seeds(group)]
    paces = [record.metrics["train_seconds"] / record.metrics["steps"] for record in runs]
    alike = {(record.run.unet, record.run.optim.batch_size) for record in runs}
    more = max(paces) / min(paces) if len(alike) == 1 else 1.0
    apart = f"; a step of one network took up to {number(more, 2)} times as many on another day" if more > 1.5 else ""
    made = sorted({timed_on(record.provenance) for record in runs if record.provenance})
    where = f" on {' and '.join(made)}" if made else ""
    return f"- Times are seconds of this code{where}{apart}: compare them within a table or figure only."


def timed_on(made: Mapping[str, Any]) -> str:
    """The machine of a record, and how a single thread was timed."""
    return hardware(made) + " of processor time" * (made.get("clock") == "processor")
