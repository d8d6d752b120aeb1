"""The two reports rebuilt, in tables: what a model is trained on, and report B's ablation rows and grid."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dipddpm_utils.machine.provenance import hardware
from dipddpm_utils.page.compare import Paired, difference, family, frame_of, grouped, judged_alike, summary
from dipddpm_utils.page.lab import once
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import count, factor, means, number, over_rows, short_verdict, span
from dipddpm_utils.page.tables import Say, quality_table, settings, settings_of
from dipddpm_utils.reports import printed
from dipddpm_utils.reports.gate import floor_of, trivial, without_learning
from dipddpm_utils.reports.printed import row_seconds
from dipddpm_utils.study import profile as profiles

SETTINGS = {"dip_lr": "DIP lr", "ddpm_lr": "DDPM lr", "std": "std"}
LEARNED = {"real": "real images", "dae": "one autoencoder's outputs", "per_image": "per-image DIP outputs"}
# A group of models: the training data that its others are compared with.
OTHERS = {"bank": LEARNED["dae"], "a-bank": LEARNED["dae"], "a-controls": "2conv outputs"}


def by_label(lab: Any, group: str) -> dict[str, pd.DataFrame]:
    """The frame of a group, split by label, in order."""
    return {str(label): part for label, part in lab.frame(group).groupby("label", sort=False)}


def theirs_and_ours(lab: Any, names: Mapping[str, str], rows: Mapping[str, Say]) -> dict[str, dict[str, str]]:
    """Two columns of `page.tables.settings_table` for each report's model; names: its title -> its run. Differences are marked.

    Theirs are the settings of that run in the profile at the reports' own size, but for what printed.SETTINGS says.
    """
    columns: dict[str, dict[str, str]] = {}
    for title, name in names.items():
        theirs = settings(profiles.load("full").entry(f"{name}-s0").run, rows, {}) | printed.SETTINGS[name]
        ours = settings_of(lab.seeds(name), rows)
        columns[f"{title}: theirs"] = theirs
        differ = {row for row in ours if theirs.get(row, ours[row]) != ours[row] and not theirs[row].startswith("not ")}
        columns[f"{title}: ours"] = {row: f"\u2260 {value}" if row in differ else value for row, value in ours.items()}
    return columns


def grid_frame(lab: Any, group: str) -> pd.DataFrame:
    """`lab.frame` of a group of combined runs, with columns dip_lr, ddpm_lr and std read off each record's configuration."""
    return lab.frame(group).join(pd.DataFrame([_settings(member.entry.run) for member in lab.profile.group(group)]))


def _settings(run: Any) -> dict[str, float]:
    return {"dip_lr": run.dip.optim.lr, "ddpm_lr": run.optim.lr, "std": run.dip.std}


def trained_on(lab: Any, group: str) -> dict[str, pd.DataFrame]:
    """The frames of a group of OTHERS by what its models are trained on."""
    parts = by_label(lab, group)
    if group != "a-controls":
        return {LEARNED[label]: part for label, part in parts.items()}
    on = {"real images": frame_of(lab.seeds("a-ddpm")), OTHERS[group]: frame_of(lab.seeds("a-2conv"))}
    return on | {f"control: {label}": part for label, part in parts.items()}


@once
def other_images(lab: Any) -> dict[tuple[str, str], Paired]:
    """(group, what is trained on) -> log(its FD / that of training on the DIP's outputs), of all of OTHERS: a family."""
    gaps = {}
    for group, against in OTHERS.items():
        if lab.has(group, *(("a-ddpm", "a-2conv") if group == "a-controls" else ())):
            frames = trained_on(lab, group)
            apart = (against, "real images") if group == "a-controls" else (against,)  # those are of family "report A"
            gaps |= {(group, on): difference(own, frames[against], "fd") for on, own in frames.items() if on not in apart}
    return family("other images", gaps)


def trained_on_table(lab: Any, group: str) -> pd.DataFrame:
    """One row per kind of training data: distances to clean images and to the data trained on, ratio to the DIP's outputs."""
    rows = []
    for name, frame in trained_on(lab, group).items():
        columns = {f"{frame['features'].iloc[0]} to real images": "fd", "to the data trained on": "fd_trained"}
        row = {"trained on": name, "seeds": frame["seed"].nunique(), "n": int(frame["n"].iloc[0])}
        gap = other_images(lab).get((group, name))
        over = "" if gap is None else f"{factor(gap)}, {short_verdict(gap).replace('**', '')}"
        row |= means(frame, columns) | {f"over that of {OTHERS[group]}": over}
        rows.append(row | means(frame, {"precision": "precision", "recall": "recall"}))
    return pd.DataFrame(rows)


LIBRARIES = ("a-library-unet-s0", "a-ddpm-s0")


def library(lab: Any) -> pd.DataFrame:
    """The Unet of the library that report A used beside ours, after the same steps: loss, FD; seconds if of one machine."""
    theirs, ours = libraries(lab)
    last, rows = theirs.run.optim.steps, []
    logged = [step for step in ours.curve["step"] if last / 2 < step <= last and step in set(theirs.curve["step"])]
    named = (("ours", ours), ("denoising-diffusion-pytorch's own", theirs))
    for (name, record), at in zip(named, after_as_many(ours, theirs), strict=True):
        loss = float(record.curve.set_index("step").loc[logged, "loss"].mean())
        row = {"network": name, "parameters": count(record.metrics["parameters"]), "steps": count(last)}
        row |= {"loss, second half": number(loss), f"{at['features']}, n = {at['n']:.0f}": span(summary(at.to_frame().T, "fd"))}
        rows.append(row | {"recall": number(float(at["recall"]), 2), "training (s)": number(float(at["seconds"]))})
    return pd.DataFrame(rows).drop(columns=[] if on_one_machine(theirs, ours) else ["training (s)"])


def libraries(lab: Any) -> tuple[Any, ...]:
    """Records of report A's DDPM, seed 0: with its library's Unet, and with ours; nothing where one is not there."""
    there = {record.name: record for record in lab.all()}
    return tuple(there[name] for name in LIBRARIES) if set(LIBRARIES) <= set(there) else ()


def after_as_many(*records: Any) -> list[pd.Series]:
    """What each scored after the most steps that all of them made."""
    last = min(record.run.optim.steps for record in records)
    return [judged_alike(record.evals).set_index("step").loc[last] for record in records]


def on_one_machine(*records: Any) -> bool:
    """Whether they were computed on machines of one name: else neither their seconds nor their noise are the same."""
    return len({hardware(record.provenance) for record in records}) == 1


def rows_table(lab: Any) -> pd.DataFrame:
    """Report B's six ablation rows: its settings (profile full's) and ours, the time it printed, our seconds and distances."""
    rows, published = [], {member.value: member.entry.run for member in profiles.load("full").group("b-rows")}
    for place, part in grid_frame(lab, "b-rows").groupby("value", sort=True):
        first, seconds = part.iloc[0], row_seconds(int(place))
        row = {"row": first["label"]}
        for head, own in ((f"report B: {', '.join(SETTINGS.values())}", _settings(published[place])), ("here", first)):
            row[head] = ", ".join(f"{own[name]:g}" for name in SETTINGS)
        row |= {"printed time": f"{seconds // 60:.0f}:{seconds % 60:02.0f}"}
        row |= means(part, {"training (s)": "train_seconds", first["features"]: "fd"})
        rows.append(row | {"seeds": part["seed"].nunique(), "n": int(first["n"])})
    return pd.DataFrame(rows)


def its_outputs(lab: Any) -> pd.DataFrame:
    """What report B's DIP makes of digits, fitted for all of its steps: a row per setting, all others as its rows have them."""
    rows = []
    frames = (lab.frame(group).assign(setting=setting) for group, setting in (("b-dip-std", "std"), ("b-dip-lr", "dip_lr")))
    each = pd.concat(frames).drop_duplicates("name")  # the groups share a setting
    for (setting, value), part in each.groupby(["setting", "value"], sort=False):
        row = {"setting": f"{SETTINGS[setting]} {value:g}", "seeds": part["seed"].nunique(), "n": int(part["n"].iloc[0])}
        rows.append(row | means(part, {part["features"].iloc[0]: "fd", "recall": "recall", "PSNR (dB)": "psnr"}))
    return pd.DataFrame(rows)


def short_sweeps(every: pd.DataFrame) -> pd.DataFrame:
    """`page.tables.sweep_table` for a page: a row per sweep, with its settings and their means, in order."""
    means = every.drop(columns=["value", "seeds"]).set_index("sweep").filter(regex="(?<!against the anchor)$")
    shown = means.apply(lambda own: own.str.partition(" ")[0])
    shown.insert(0, "settings", [look(value).label for value in every["value"]])
    return shown.groupby(level="sweep", sort=False).agg(lambda own: ", ".join(filter(None, own))).reset_index()


def at_own_size(full: Any, report: str) -> dict[str, list[Any]]:
    """What has been trained of a report at its own size, on all of its data: group -> its records that are there.

    full: the lab of that profile.
    """
    prefix = f"{report.lower()}-"
    data = profiles.load("full").entry(f"{prefix}ddpm-s0").run.data  # others are judged elsewhere: FashionMNIST, few images
    models = (record for record in full.all() if record.run.kind == "ddpm" and record.name.startswith(prefix))
    own = (record for record in models if record.run.data == data and not record.run.unet.library)
    return grouped(own, lambda record: record.name.rpartition("-s")[0])


def drawn_by(full: Any, report: str) -> str:
    """How the samples of these models were drawn, and how many, in words."""
    made = next(iter(at_own_size(full, report).values()))[0].metrics
    return f"{made['nfe']:.0f} calls of {look(made['sampler']).label}, n = {made['n']:.0f}"


def begun_from_dip(full: Any) -> list[Any]:
    """Records of report A's chains that begin at DIP outputs, at its own size, by t_start; none where they are not there."""
    begun = full.frame("a-starts").query("label == 'dip'").sort_values("value") if full.has("a-starts") else {"name": ()}
    return [full.record(name) for name in begun["name"]]


def own_label(group: str) -> str:
    """How a group of `at_own_size` is called."""
    if group.startswith("b-rows-"):  # of its ablation, with its faults
        row = group.removeprefix("b-rows-").replace("-", " ", 1)
        return f"{own_label('b-combined-published')}, row {row}"
    if group.startswith("a-controls-"):
        return f"DDPM trained on control: {group.removeprefix('a-controls-')}"
    name = group.removesuffix("-published")
    label = look(name).label
    label = f"DDPM trained on {label} outputs" if name in printed.VARIANTS[1:] else label  # "2conv" is the DIP's name
    return label + ", as published" * group.endswith("-published")


def own_size(full: Any, report: str) -> pd.DataFrame:
    """`page.tables.quality_table` of `at_own_size`, a row per model; beside them what takes no learning, and real images.
    FD / alone: over that of the corrected DDPM alone, by seed. FD to its training images: where those are not real ones.
    """
    groups = at_own_size(full, report)
    models = {own_label(group): frame_of(own) for group, own in groups.items()}
    if not models:
        return pd.DataFrame()
    floor = floor_of(full, f"{report.lower()}-ddpm")
    table = quality_table(models, floor)
    alone, rest = {one.seed: one.metrics["fd"] for one in groups.get(f"{report.lower()}-ddpm", [])}, len(table) - len(models)
    over = [frame.assign(fd_over=frame["fd"] / frame["seed"].map(alone)) for frame in models.values()]  # nan: no such seed
    table["FD / alone"] = ["1" if (own["fd_over"] == 1).all() else over_rows(own, "fd_over") for own in over] + [""] * rest
    learned = [over_rows(own, "fd_trained") if "fd_trained" in own else "" for own in over]
    table["FD to its training images"] = learned + [""] * rest
    if report == "B":  # of claim B3
        real = next(iter(models.values()))["contrast_real"].mean()
        table["contrast"] = [*(number(own["contrast"].mean()) for own in models.values()), number(real)][: len(table)]
    trivial = [
        {"": f"no learning: {what}", "n": int(floor.metrics["n"]), floor.metrics["features"]: number(fd)}
        for fd, what in without_learning(floor)
    ]
    return pd.concat([table, pd.DataFrame(trivial)], ignore_index=True).fillna("")


def own_size_in_short(full: Any, report: str) -> pd.DataFrame:
    """`own_size` with what README has room for, as text, of what takes no learning the best; its first heading says of what."""
    table, (_, best) = own_size(full, report), trivial(floor_of(full, f"{report.lower()}-ddpm"))
    table = table[(table[""] == f"no learning: {best}") | ~table[""].str.startswith("no learning: ")]
    table = table.assign(**{"": table[""].str.removeprefix("DDPM ").str.replace("no learning:", "best without learning:")})
    about = f"report {report}'s DDPM, n = {table['n'].iloc[0]}"
    features = table.columns[list(table.columns).index("calls") + 1]
    columns = ["", "seeds", features, "FD / alone", "FD to its training images", "recall"]
    return table[columns].rename(columns={"": about}).astype(str)
