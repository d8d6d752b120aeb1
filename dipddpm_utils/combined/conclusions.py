"""What was found (notebook 04), and what to use instead (notebook 07), computed from records."""

from collections import Counter
from typing import Any

from dipddpm_utils.combined import comparisons, mechanisms, restored
from dipddpm_utils.combined.comparisons import alone, compared, outputs, started, untestable
from dipddpm_utils.machine.provenance import hardware
from dipddpm_utils.page import compare
from dipddpm_utils.page.compare import difference, frame_of
from dipddpm_utils.page.names import begun_from
from dipddpm_utils.page.prose import NOT_MEASURED, bullets, comparison, direction, number
from dipddpm_utils.page.training import best_by_calls
from dipddpm_utils.reports.findings import REPORTS, against_alone, both_ways


def found(lab: Any) -> list[str]:
    """What notebook 04 found, a line per question, each with the figure that it rests on."""
    lines = [f"**No verdict at this size**: {why}."] if (why := untestable(lab)) else []
    if lab.has(*compared(lab)):
        name = f"**Trained on DIP outputs** ([figure](#fig-04_fd_over_steps)): FD over that of the {alone(lab)}"
        lines.append(comparison(name, outputs(lab)["fd"]))
    if lab.has(started(lab)) and (best := compare.best_start(lab.frame(started(lab)))) is not None:
        t_start, gap, own = best
        name = f"**The DIP start that does best against noise** ([table](#tab-04_starts)), {begun_from(own['label'].iloc[0])}"
        over = f"{name} at t = {t_start:.0f}: FD over FD from noise, equal calls"
        said = comparison(over, gap, **direction(compare.copies(own)))
        lines.append(said + comparisons.given_back(own))
    if lab.has("mechanisms"):
        lines.append(f"**Any other way in** ([table](#tab-04_mechanisms)): {mechanisms.headcount(lab)}")
    if lab.has("restore"):
        even, cheap = (restored.restored_count(lab, role) for role in ("equal seconds", "cheap"))
        told = f"At equal seconds a DIP {even}. Against one chain it {cheap}."
        lines.append(f"**Restoration** ([table](#tab-04_restore_pairs)). {told}")
    own = lab.so_far()
    for report in REPORTS:
        if both_ways(own, report):
            at = f"04_{report.lower()}_fd_over_steps"
            told = " ".join(against_alone(own, report))
            lines.append(f"**Report {report}** ([figure](#fig-{at})), FD over that of its DDPM alone. {told}")
    return lines


def instead(lab: Any) -> str:
    """What does the same job without a DIP: a better sampler, which costs nothing, longer training, which costs steps; for a
    degraded image what else there is for a DIP's seconds.
    """
    lines = []
    if mechanisms.on_larger(lab):
        lines += _better_sampler(lab)
    elif lab.has("samplers"):
        lines.append(f"**A better sampler** ([figure](#fig-03_samplers)). {best_by_calls(lab.frame('samplers'))}")
    if lab.has("ddpm", "ddpm-more"):
        base, more = frame_of(lab.seeds("ddpm")), frame_of(lab.seeds("ddpm-more"))
        times = number(more["steps"].mean() / base["steps"].mean(), 2)  # their seconds are those of different days
        over = f"for {times} times the steps: FD over the {alone(lab, 'ddpm')}"
        name = f"**More training** ([table](#tab-07_more_training)), {over}"
        lines.append(f"{comparison(name, difference(more, base, 'fd'))} One comparison, in no family: p is not corrected.")
    if lab.has("restore"):
        ways = Counter(restored.METHODS[restored.best(own, "equal seconds")][0] for own in restored.settings(lab).values())
        told = ", ".join(f"{way} in {n}" for way, n in ways.most_common())
        best = f"The best rival in a DIP's seconds: {told} of {ways.total()} settings"
        lines.append(f"**Restoration** ([table](#tab-04_restore_pairs)). {best}.")
    return bullets(lines) or NOT_MEASURED


def _better_sampler(lab: Any) -> list[str]:
    """The best other sampler at the DDPM alone's own number of calls, a line; [] where none was drawn."""
    frame = mechanisms.table_of(lab)
    calls = frame.loc[frame["label"] == "baseline", "nfe"].iloc[0]
    if (best := mechanisms.best_setting(frame[frame["nfe"] == calls], "more calls")) is None:
        return []
    ways = [mechanisms.in_words(frame, *way) for way in (("more calls", best[0]), ("baseline",))]
    over = f"FD of the {ways[0]} / FD of the {ways[1]}"
    gap = mechanisms.found(lab)["more calls", best[0], "baseline"]
    return [comparison(f"**A better sampler** ([table](#tab-04_mechanisms)). {over} of DDIM", gap)]


def rivals(lab: Any, of: str = "") -> str:
    """Which the best rivals in restoration are, and how the DDPM itself does, without a test: it is in no family."""
    trained, below = rivals_counted(lab, of)
    spent, of_all = restored.given(lab, "equal seconds", of, restored.SUPERVISED), len(restored.settings(lab, of))
    return (
        f"In {trained or 'none'} of {of_all} the best rival is a U-Net trained on clean images for that degradation. The DDPM "
        f"itself ({spent} times the DIP's seconds) is below the DIP's mean PSNR in {below or 'none'} (not tested)."
    )


def rivals_counted(lab: Any, of: str = "") -> tuple[int, int]:
    """In how many settings the best rival was trained for the degradation; in how many the DDPM itself stays below the DIP."""
    trained, below = 0, 0
    for own in restored.settings(lab, of).values():
        way, rival = (restored.best(own, role) for role in ("with a DIP", "equal seconds"))
        ddpm = restored.best(own, "equal seconds", restored.SUPERVISED)
        trained += rival in restored.SUPERVISED
        below += restored.over_records(own, f"{ddpm}_psnr") < restored.over_records(own, f"{way}_psnr")
    return trained, below


def trained_again(lab: Any) -> str:
    """How many of the samples drawn here are of another training of their model than the one whose record is; '' if none."""
    drawn = [one for one in lab.used.values() if one.kind == "sample" and lab.profile.find(one.run) is not None]
    there = {one.run: one for one in lab.used.values() if one.kind == "ddpm"}
    pairs = [(one.metrics, there[one.run.model]) for one in drawn if one.run.model in there]
    other = sum(not _same_training(metrics, model) for metrics, model in pairs)
    said = f"- {other} of {len(pairs)} sets of samples shown here are of an earlier training of their model, with the same "
    said += "configuration and seed (weights are not under version control). On another machine, or by other threads, such a "
    said += "training ends at other weights: in a pair that mixes both, trainings differ by more than what is compared."
    return said if other else ""


def _same_training(metrics: Any, model: Any) -> bool:
    """By the weights, of records that hold them, else by the seconds that it took."""
    if metrics.get("model_weights"):
        return bool(metrics["model_weights"] == model.weights_sha256)
    return bool(metrics["model_seconds"] == model.metrics["total_seconds"])


def clocks(lab: Any) -> str:
    """How far seconds may be compared: what a step of one network took on different days, where it was trained again."""
    groups = ("ddpm-long", "main", "ddpm", "ddpm-more", "dip-2conv", "dip-skip", "dip_pick", "mech-dip")
    runs = [record for group in groups if lab.has(group) for record in lab.seeds(group)]
    paces: dict[tuple[Any, ...], list[float]] = {}
    for run, took in ((record.run, record.metrics["train_seconds"]) for record in runs):
        network = run.unet if run.kind == "ddpm" else (run.net, run.width)
        paces.setdefault((run.kind, network, run.optim.batch_size), []).append(took / run.optim.steps)
    most = {"ddpm": 1.0, "dip": 1.0}
    for (kind, *_), own in paces.items():
        most[kind] = max(most[kind], max(own) / min(own))
    said = [f"{number(most[kind], 2)} ({kind.upper()})" for kind in most if most[kind] > 1.5]
    apart = f"; on another day a step of one network took up to {' and '.join(said)} times as long" if said else ""
    known = [record.provenance for record in runs]
    made = sorted({hardware(own) + " of processor time" * (own.get("clock") == "processor") for own in known})
    where = f" on {' and '.join(made)}" if made else ""
    return f"- Compare times only within a table or figure. They are seconds of this code{where}{apart}."
