"""Records -> tables: a row per setting, every number with its interval and its n."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd

from dipddpm_utils.page import names
from dipddpm_utils.page.compare import copies, difference, floor_at, frame_of, start_gaps, summary
from dipddpm_utils.page.names import METHODS, look
from dipddpm_utils.page.prose import count, effect, factor, means, number, over_floor, over_rows, shown_by, span
from dipddpm_utils.parts import PUBLISHED

SCORES = {"KID": "kid", "precision": "precision", "recall": "recall", "copied": "copy_rate"}

Say = Callable[[Any, Mapping[str, Any], Sequence[str]], str]  # of a run, its metrics and its notes
MEASURED = ("parameters", "fit (s)", "training (s)")  # rows of settings that nobody sets
OPTIMISERS = {"adam": "Adam", "adamw": "AdamW", "muon": "Muon"}
TARGETS = {"eps": "the noise", "x0": "the image", "v": "v"}
_TRAINING: dict[str, Say] = {
    "optimiser": lambda run, m, notes: OPTIMISERS[run.optim.name],
    "rate": lambda run, m, notes: f"{run.optim.lr:g}, {run.optim.decay}",
    "warm-up": lambda run, m, notes: f"{run.optim.warmup_steps} steps" if run.optim.warmup_steps else "none",
    "batch, steps": lambda run, m, notes: f"{run.optim.batch_size}, {count(run.optim.steps)}",
}
DDPM_SETTINGS: dict[str, Say] = {
    "U-Net": lambda run, m, notes: f"width {run.unet.width} x ({', '.join(map(str, run.unet.mults))}), patch {run.unet.patch}",
    "parameters": lambda run, m, notes: count(m["parameters"]),
    "data": lambda run, m, notes: _images(run.data),
    **_TRAINING,
    "average of weights": lambda run, m, notes: f"EMA {run.optim.ema_decay:g}" if run.optim.ema_decay else "none",
    "schedule, T": lambda run, m, notes: f"{run.diffusion.schedule}, {run.diffusion.num_train_timesteps}",
    "predicts": lambda run, m, notes: TARGETS[run.diffusion.objective],
    "t in training": lambda run, m, notes: _times(run.diffusion),
    "sampler": lambda run, m, notes: f"{look(m['sampler']).label}, {m['nfe']:.0f} calls",
    "training (s)": lambda run, m, notes: number(m["train_seconds"]),
}
DIP_SETTINGS: dict[str, Say] = {
    "parameters": lambda run, m, notes: count(m["parameters"]),
    "first weights": lambda run, m, notes: next(note for note in notes if "weights" in note).partition(":")[0],
    "data": lambda run, m, notes: _images(run.data) + (", its first batch only" if run.one_batch else ""),
    "noise on the input": lambda run, m, notes: f"std {run.std:g}{', clipped' if run.clip_input else ''}",
    **_TRAINING,
    "fit (s)": lambda run, m, notes: number(m["train_seconds"]),
}
IMAGE_SETTINGS: dict[str, Say] = {  # of fits to single images
    "width, one image": lambda run, m, notes: str(run.width),
    "rate of Adam, one image": lambda run, m, notes: f"{run.lr:g}",
    "iterations, one image": lambda run, m, notes: count(run.iterations),
    "noise on z, one image": lambda run, m, notes: f"std {run.z_std:g}",
    "fit of one image (s)": lambda run, m, notes: number(m["seconds"] / run.n_images),
}


def settings(run: Any, rows: Mapping[str, Say], metrics: Mapping[str, Any], notes: Sequence[str] = ()) -> dict[str, str]:
    """What a model was set up with, as text by the name of its row; a row of which the run knows nothing is left out."""
    found = {}
    for name, say in rows.items():
        with suppress(AttributeError, KeyError, StopIteration):
            found[name] = say(run, metrics, notes)
    return found


def settings_of(records: Sequence[Any], rows: Mapping[str, Say]) -> dict[str, str]:
    """`settings` of a model with these records, one a seed; the numbers measured are those of the first."""
    first = records[0]
    return settings(first.run, rows, first.metrics, first.notes)


def settings_table(columns: Mapping[str, Mapping[str, str]], rows: Mapping[str, Say]) -> pd.DataFrame:
    """One row per setting, one column per model."""
    table = [{"setting": name, **{title: own.get(name, "") for title, own in columns.items()}} for name in rows]
    return pd.DataFrame([row for row in table if any(list(row.values())[1:])])


def marked(columns: Mapping[str, Mapping[str, str]]) -> str:
    """In how many settings ours differ from theirs, of a table whose differences are marked."""
    ours: list[str] = []
    for title, own in columns.items():
        if title.endswith(": ours"):
            theirs = columns[title.replace(": ours", ": theirs")]
            ours += [value for row, value in own.items() if row not in MEASURED and not theirs[row].startswith("not ")]
    differ = sum(value.startswith("\u2260") for value in ours)
    return f"{differ} of {len(ours)} settings of ours differ (\u2260), parameters and seconds not counted." if ours else ""


def leads(frame: pd.DataFrame, column: str, of: str, *, most: bool = False, what: str = "") -> str:
    """'Lowest FD-MNIST among 4 nets: 2conv (8.17 [6.85, 9.74]).', for a caption; real images do not count.

    column: how its title begins. what: in its place. most: whether the highest leads. '' if there is nothing to compare.
    """
    name = next(title for title in frame if title.startswith(column))
    own = frame[frame.iloc[:, 0] != METHODS["floor"].label]
    values = pd.to_numeric(own[name].astype(str).str.replace("\u202f", "").str.split(" ").str[0], errors="coerce").dropna()
    if values.empty:
        return ""
    best = own.loc[values.idxmax() if most else values.idxmin()]
    at = best.iloc[1].partition(" (")[0] if frame.columns[1].startswith("t_start") else ""
    where = f", {'t_start ' * at.isdigit()}{at}" if at else ""
    low, high = pd.to_numeric(pd.Series(best[name]).str.extract(r"\[(.+), (.+)\]").iloc[0], errors="coerce")
    others = values.drop(best.name)
    near = ", the next inside its interval" if len(others) and low <= (others.max() if most else others.min()) <= high else ""
    lead = f"{'Highest' if most else 'Lowest'} {what or name} among {len(values)} {of}"
    return f"{lead}: {best.iloc[0]}{where} ({best[name]}){near}."


def _times(diffusion: Any) -> str:
    return diffusion.times.replace("_", "-") + (f", mean {diffusion.times_mean:g}" if diffusion.times_mean else "")


def _images(data: Any) -> str:
    title = PUBLISHED[data.name].title if data.name in PUBLISHED else data.name
    return title + (f", {count(data.n_train)} images" if data.n_train else "")


def dip_table(records: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """One row per DIP net: size, time, restoration of held-out noisy images, and what it does to clean ones."""
    rows = []
    for net, own in records.items():
        frame = frame_of(own)
        row = {"net": look(net).label, "parameters": int(frame["parameters"].iloc[0]), "seeds": len(frame)}
        columns = {"fit (s)": "train_seconds", "PSNR restored (dB)": "psnr", "SSIM restored": "ssim"}
        columns |= {f"{frame['features'].iloc[0]} of its outputs": "fd", "recall": "recall"}
        rows.append(row | means(frame, columns))
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """A table of text as Markdown, for README and for what a page opens with."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (table.columns, ["---"] * len(table.columns), *table.to_numpy()))


def quality_table(frames: Mapping[str, pd.DataFrame], floor: Any) -> pd.DataFrame:
    """One row per method: distances with intervals beside the floor at the same n, precision, recall, copies, cost."""
    rows = []
    for name, frame in frames.items():
        n = float(frame["n"].iloc[0])
        least = floor_at(floor, "fd", n)
        row = {"": name, "seeds": frame["seed"].nunique(), "n": int(n), "calls": int(frame["nfe"].iloc[0])}
        times = over_floor(summary(frame, "fd"), least) if least else ""
        row |= {frame["features"].iloc[0]: over_rows(frame, "fd"), "times the floor": times}
        rows.append(row | means(frame, SCORES))
    if floor is not None:
        row = {"": METHODS["floor"].label, "seeds": "", "n": int(floor.metrics["n"]), "calls": ""}
        row |= {floor.metrics["features"]: span(floor_at(floor)), "times the floor": "1"}
        rows.append(row | {label: span(floor_at(floor, metric)) for label, metric in SCORES.items()})
    return pd.DataFrame(rows)


def sweep_table(frames: Mapping[str, pd.DataFrame], metrics: Mapping[str, str]) -> pd.DataFrame:
    """One row per setting of each sweep: every metric with its interval, and its paired difference from the anchor."""
    rows = []
    for group, frame in frames.items():
        anchor = frame[frame["anchor"].astype(bool)]
        for value, part in frame.groupby("value", sort=False):
            shown = value if isinstance(value, str) else f"{value:g}"
            row: dict[str, Any] = {"sweep": group, "value": shown, "seeds": part["seed"].nunique()}
            same = bool(part["anchor"].astype(bool).any())
            for metric, label in metrics.items():
                if metric in frame:
                    row[label] = span(summary(part, metric))
                    row[f"{label}, against the anchor"] = "anchor" if same else effect(difference(part, anchor, metric))
            rows.append(row)
    return pd.DataFrame(rows).fillna("")


def start_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per start and t_start: distance, paired ratio to the whole chain with as many calls, the DIP's to it, recall,
    copies, seconds.
    """
    dips, alone = names.starts(dip=True), set(frame["label"]) - {"noise", *names.starts(dip=True)}
    rows, gaps = [], start_gaps(frame, dips, names.starts(dip=False)) | start_gaps(frame, dips, ["noise"])
    for label in alone:
        gaps |= start_gaps(frame, [label], ["noise"])
    over = {at: factor(gap) + (f" ({said})" if (said := shown_by(gap)) else "") for at, gap in gaps.items()}
    scores = {"recall": "recall", "copied": "copy_rate", "own image": "own_source_rate"}
    for (label, value), part in frame.groupby(["label", "value"], sort=False):
        at = "whole chain" if label == "noise" else f"{value:.0f}"
        row = {"start": look(label).label, "t_start (calls)": f"{at} ({part['nfe'].iloc[0]:.0f})"}
        row |= means(part, {part["features"].iloc[0]: "fd"}) | {"over noise": over.get((label, "noise", value), "")}
        row |= {f"{'DIP' if dip == 'dip' else look(dip).label} over it": over.get((dip, label, value), "") for dip in dips}
        row |= means(part, {name: score for name, score in scores.items() if score in part})
        spent = f"{part['prior_seconds'].mean():.3g} + {part['sampling_seconds'].mean():.3g}"
        rows.append(row | {"seconds, prior + drawing": spent})
    return pd.DataFrame(rows)


def new_images(frame: pd.DataFrame) -> list[bool]:
    """For each start and t_start of a group of starts, in order, whether its samples are no copies."""
    return [not copies(rows).many for _, rows in frame.groupby(["label", "value"], sort=False)]


def shown_starts(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a `start_table` that fit a page; the CSV has the others, and all ends."""
    further = [name for name in table if name.endswith(" over it") and name != "DIP over it"]
    fits = table.drop(columns=["copied", "seconds, prior + drawing", *further])
    ends = {"over noise": " (", "DIP over it": " (", "recall": " [", "own image": " ["}
    return fits.assign(**{name: fits[name].str.partition(end)[0] for name, end in ends.items() if name in fits})
