"""What the rebuilt reports show, as sentences computed from records."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.faults import DIP_REPORTED_OVER, EARLY, FAULTS
from dipddpm_utils.judging.stats import ALPHA
from dipddpm_utils.machine.provenance import hardware
from dipddpm_utils.page import prose
from dipddpm_utils.page.compare import difference, family, frame_of, own_interval, summary
from dipddpm_utils.page.names import look, starts
from dipddpm_utils.page.prose import bullets, comparison, effect, ends, factor, number, percent, span
from dipddpm_utils.reports import gate, one_fault, printed, tables
from dipddpm_utils.reports.evidence_a import of_curve
from dipddpm_utils.reports.evidence_b import PAIR, slope_over
from dipddpm_utils.reports.finding import side
from dipddpm_utils.reports.printed import VARIANTS
from dipddpm_utils.reports.tables import at_own_size, begun_from_dip

LIBRARY = """## Is our network a confound?

Report A trained denoising-diffusion-pytorch's Unet; `full` trains ours, as large. Theirs begins with a 7 x 7 convolution, hands
two skips a level to the way up and concatenates them, and has linear attention on the three finer levels and full attention
on the coarsest and in the middle. Ours begins with 3 x 3, hands on one skip a level and adds it, and has one full attention, in
the middle. All other models of report A here use ours."""
REPORTS = {"A": VARIANTS, "B": PAIR}  # the DDPM alone, and with a DIP
BATCH_MARGIN = 0.5  # dB, either way
AS = dict(zip(one_fault.SIDES, ("as the only fault", "on top of all others"), strict=True))


def library(lab: Any) -> str:
    """Report A's network and ours in words, and what both were trained with."""
    records = tables.libraries(lab)
    theirs, ours = (float(at["fd"]) for at in tables.after_as_many(*records))
    apart = "higher than" if ours > theirs else "lower than" if ours < theirs else "the same as"
    steps = prose.count(min(record.run.optim.steps for record in records))
    answer = f"After {steps} steps our FD is {number(ours / theirs, 2)} times theirs: so far report A's distances here "
    answer += f"are {apart} its own network would give (one seed each; later steps are not known)."
    if tables.on_one_machine(*records):
        return f"{LIBRARY} Both were trained on the same batches, times and noise. {answer}"
    theirs, ours = (hardware(record.provenance) for record in records)
    apart = f"but two machines, and so different noise (theirs: {theirs}; ours: {ours})"
    return f"{LIBRARY} Both use one seed and one recipe, {apart}. {answer}"


def arms(report: str) -> list[str]:
    """A report's variants, corrected and as published: groups of every profile that rebuilds it."""
    return [f"{name}{way}" for name in REPORTS[report] for way in ("", "-published")]


def both_ways(lab: Any, report: str) -> tuple[str, ...]:
    """A report's variants that there are as published and corrected, with a floor: its DDPM alone and others, or none."""
    floor = f"{report.lower()}-floor"
    names = tuple(name for name in REPORTS[report] if lab.has(floor, name, f"{name}-published"))
    return names if REPORTS[report][0] in names[:-1] else ()


def against_alone(lab: Any, report: str, *, published: bool = False) -> list[str]:
    """A report's DIP variants over its DDPM alone, corrected: FD; whether they draw images. published: as published, too.

    Nothing is tested while runs are missing: more seeds would follow, and more variants into the family.
    """
    names, gaps = both_ways(lab, report), {}
    if not names:
        return []
    for ending, way in (("-published", "As published"), ("", "Corrected")):
        for name in names[1:]:
            pair = (name + ending, names[0] + ending)
            gap = difference(*(frame_of(lab.seeds(one)) for one in pair), "fd")
            able = not gate.passed(lab, pair).why
            gaps[way, name] = gap and replace(gap, images=gap.images and able)  # else higher or lower, and no verdict
    tested, lines = lab.unfinished.isdisjoint(arms(report)), []
    for (way, name), gap in family(f"report {report}", gaps).items():
        if published or way == "Corrected":
            about, of = f"{way}, {look(name).label}", f"{gap.n} seed{'s' * (gap.n > 1)}"
            untested = f"{about}: {factor(gap)}, {of}: not tested, runs are missing."
            lines.append(comparison(about, gap) if tested else untested)
    drawn = no_images({name: lab.seeds(name) for name in names}).strip()
    failed = "" if drawn else gate.passed(lab, names).why
    alone = "" if gate.passed(lab, names[:1]).why else " The DDPM alone passes it."
    return [*lines, *filter(None, [drawn, f"No verdict, since models fail the gate: {failed}.{alone}" if failed else ""])]


def last_losses(lab: Any, names: Mapping[str, str]) -> str:
    """FA6: the last loss of report A's DIP networks, ours and theirs once it is a mean squared error. names: net -> run."""
    said = []
    for net, name in names.items():
        own = frame_of(lab.seeds(name))["loss_last"].mean()
        said.append(f"{look(net).label} {number(own)} (report A: {number(printed.dip_loss(f'a-dip-{net}'))})")
    printed_as = f"report A printed one {DIP_REPORTED_OVER}th of its own (fault FA6)"
    return f"Mean squared error at the end: {', '.join(said)}; {printed_as}."


def timing(lab: Any) -> str:
    """Seconds of an epoch on both data paths, and the share of the published saving that the path explains."""
    record = lab.seeds("b-timing")[0]
    decode, memory = (number(record.metrics[f"{path}_seconds"]) for path in ("decode", "memory"))
    how = f"extrapolated from {record.run.steps} steps, {record.run.repeats} times each"
    saved, printed_as = one_fault.path(lab), record.metrics["published_saved_seconds"]
    return (
        f"A whole epoch takes {decode} s decoded image by image and {memory} s from memory ({how}). Decoding one by one, timed "
        f"by itself, costs {span(saved)} s an epoch more ({hardware(record.provenance)}), "
        f"{percent(saved.value / record.metrics['decode_seconds'])} of an epoch there; the published saving, on another "
        f"machine: {printed_as:g} s an epoch."
    )


def restored(lab: Any, name: str, of: str = "") -> str:
    """Restoration by a DIP run: PSNR, its gain over the noisy input, and the distance of its outputs (of: its name)."""
    frame = frame_of(lab.seeds(name))
    more = float((frame["psnr"] - frame["psnr_input"]).mean())
    gain = f"{number(abs(more))} dB {'above' if more > 0 else 'below'} its input"
    what = f"{frame['features'].iloc[0]} of its outputs for {frame['n'].iloc[0]:.0f} clean images"
    return f"{span(summary(frame, 'psnr'))} dB, {gain}; {of or what} {span(summary(frame, 'fd'))}."


def batch(lab: Any) -> str:
    """Whether report A's batch of 4 may be replaced by the larger one used here, at equal images: within BATCH_MARGIN?"""
    a, b = tables.by_label(lab, "a-batch").values()
    gap = difference(b, a, "psnr")
    p, within = side(gap, BATCH_MARGIN, equal=True)
    verdict = "not decidable" if not p < ALPHA else "it does not matter" if within else "it matters"
    of_outputs = comparison("FD of their outputs, larger over published", difference(b, a, "fd"))
    allowed = f"{BATCH_MARGIN:g} dB either way are allowed"
    return f"{of_outputs} Restoration: {effect(gap, 'dB')} over {gap.n} seeds, {allowed}: **{verdict}**."


def grid_slopes(lab: Any) -> str:
    """What FD does over report B's full grid, all other settings balanced; the verdicts are those of the claims."""
    grid, said = tables.grid_frame(lab, "b-grid"), []
    for setting in ("std", "dip_lr", "ddpm_lr"):
        values, over = grid[setting], slope_over(grid, setting, "fd")
        said.append(
            f"FD at {tables.SETTINGS[setting]} {values.max():g} over FD at {values.min():g}: {factor(over) if over else ''}."
        )
    return " ".join([*said, "Verdicts on such slopes: [table](#tab-claims)."])


def faults(lab: Any, report: str) -> str:
    """The fault of a report with the largest effect on the distance, and those whose effect is not told from none."""
    found = {(id, side): gap for (name, id, side), gap in one_fault.effects(lab, report).items() if name == "fd"}
    shown = {id for (id, _), gap in found.items() if gap.decided}
    drawn = no_images({side: lab.frame(f"{report.lower()}-{side}") for side in ("only", "without")})
    published = f"{report.lower()}-dip-2conv-published"
    late = f" FA7 acts in `full` alone: no fit here reaches iteration {EARLY}."
    late = late if lab.has(published) and "FA7" not in lab.seeds(published)[0].run.faults else ""
    if not shown:
        return f"Report {report}: no fault's effect on FD is shown (Holm over {len(found)}).{late}{drawn}"
    top = max(found, key=lambda key: (found[key].decided, abs(found[key].value)))[0]
    sides = [
        f"{factor(gap)} {AS[side]}{' (not decidable)' * (not gap.decided)}" for (id, side), gap in found.items() if id == top
    ]
    said = f"Report {report}: {top} ({FAULTS[top].what}) changes FD most, by a factor of {', '.join(sides)}."
    if weak := [id for id in dict.fromkeys(id for id, _ in found) if id not in shown]:
        said += f" No effect on FD is shown for {', '.join(weak)} (Holm over {len(found)})."
    return said + late + drawn


def published_shape(lab: Any) -> str:
    """What each of report A's curves does from its first evaluation to its last, as printed and in both of our rebuilds."""
    lines = []
    for name in VARIANTS:
        fid = printed.fid(name)
        told = [f"printed {number(float(fid.iloc[-1] / fid.iloc[0]))}"]
        for ending, column, way in (("-published", "fd_published", "as published (30 samples)"), ("", "fd", "corrected")):
            if lab.has(name + ending):
                own = np.array([of_curve(lambda logs: logs[-1] - logs[0], column, one) for one in lab.seeds(name + ending)])
                own = own[np.isfinite(own)]  # a run of a single evaluation has no shape
                told += [f"{way} {number(float(np.exp(own.mean())))}"] if len(own) else []
        lines.append(f"{look(name).label}: {'; '.join(told)}.")
    return "The last distance over the first, by model and way of judging:\n\n" + bullets(lines)


def so_far(full: Any, report: str) -> str:
    """', so far' while runs of a report's variants are missing."""
    return ", so far" * bool(full.lacking(*arms(report)))


def of_own_size(full: Any, report: str) -> list[str]:
    """What is said of a report's models at its own size, a paragraph each."""
    lines = against_alone(full.so_far(), report)
    over = f"FD over that of the DDPM alone. {' '.join(lines)}" if lines else ""
    return list(filter(None, [over, learned(full, report), begun_at_own_size(full, report)]))


def begun_at_own_size(full: Any, report: str) -> str:
    """How far chains that begin at report A's DIP outputs are from real images, beside the others with as many calls, and what
    they give back; '' of report B.
    """
    begun, told = begun_from_dip(full) if report == "A" else [], []
    if not begun:
        return ""
    frame, rivals = full.frame("a-starts"), ["noise", *starts(dip=False)]
    for one in begun:
        back = f"{percent(one.metrics['own_source_rate'])} of them nearest to their own training image"
        fds = frame[(frame["nfe"] == one.metrics["nfe"]) & frame["label"].isin(rivals)].set_index("label")["fd"]
        beside = f"from noise {number(fds['noise'])}"
        if len(fds := fds.drop("noise")):
            beside += f", from the {look(fds.idxmin()).label}, the best start without a DIP, {number(fds.min())}"
        at = f"at t = {one.metrics['t_start']} ({one.metrics['nfe']:.0f} calls)"
        told.append(f"{at} FD {span(own_interval(one.metrics, 'fd'))}, {back} ({beside})")
    dip, made = full.record("a-dip-2conv-s0").metrics, begun[0].metrics  # what those chains begin with, at no call
    alone = f"The DIP outputs alone: FD {span(own_interval(dip, 'fd'))} (n = {dip['n']:.0f})"
    about = f"{look(made['sampler']).label}, one model, n = {made['n']:.0f}"
    return f"Chains begun from DIP outputs ({about}): {'; '.join(told)}. {alone}."


def learned(full: Any, report: str) -> str:
    """How far the samples of models trained on DIP outputs are from real images, over how far from those; '' without any."""
    made = [record for records in at_own_size(full, report).values() for record in records if record.run.train_on is None]
    times = [one.metrics["fd"] / one.metrics["fd_trained"] for one in made if "fd_trained" in one.metrics]
    if not times:
        return ""
    said = f"Models trained on DIP outputs are {ends(times)} times as far from real images as from their own training images"
    learnt = ": they learned what they were given" * (min(times) > 1)
    return f"{said} (FD, {len(times)} model{'s' * (len(times) > 1)}, not tested){learnt}."


def no_images(sets: Mapping[str, pd.DataFrame | Sequence[Any]]) -> str:
    """Said of models (records, or a frame of them) of which under half have the recall that the gate asks for; else ''."""
    recall = pd.concat([own if isinstance(own, pd.DataFrame) else frame_of(own) for own in sets.values()])["recall"]
    able, most = int((recall >= gate.LEAST_RECALL).sum()), float(recall.max())
    if able:
        few = f" Only {able} of {len(recall)} runs here draw images (recall of {gate.LEAST_RECALL:g} or more)."
        return few if 2 * able < len(recall) else ""
    return f" No model here draws images: recall is {f'at most {number(most, 2)}' if most else '0 for all'}."


def age(lab: Any) -> str:
    """How good the models are on which the claims were judged: a verdict holds for models of that age."""
    lines = []
    for report, name in (("A", "a-ddpm"), ("B", "b-ddpm")):
        if lab.has(name, f"{name[0]}-floor"):
            records = lab.seeds(name)
            where = prose.distance(records, lab.seeds(f"{name[0]}-floor")[0])
            steps = prose.count(records[0].evals["step"].max())
            lines += [f"Report {report}'s corrected DDPM alone, after {steps} steps: {where}.", prose.other_spaces(records)]
    return bullets([*lines, "A verdict holds only for models trained that long."]) if lines else ""
