"""One mechanism beside its controls: which records, which setting, its distance over theirs, and that in words.

Works on a frame of either group: of small models (SMALL), by which settings were chosen, or of models that draw digits
(LARGER). A label is the mechanism, or the control in its place ("shift blur"), its value the setting.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page import names, speed
from dipddpm_utils.page.compare import Paired, copies, difference, family, summary
from dipddpm_utils.page.lab import once
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import LOWER, bullets, copying, count, factor, number, percent, shown_by, span, word
from dipddpm_utils.study.entries import By

SMALL, LARGER = "mechanisms", "main-drawn"
GUIDANCE = "DIP guidance with the DIP's fit"  # in calls of the DDPM alone, timed in turn (benchmarks/one_sitting.py)


def table_of(lab: Any) -> pd.DataFrame:
    """The mechanisms that count: of models that draw digits where there are such, else of the small ones."""
    return larger(lab) if on_larger(lab) else small(lab)


def on_larger(lab: Any) -> bool:
    """Whether the answer rests on models that draw digits: where all that is asked of them is here, else on the small ones."""
    return lab.has("main", "main-on-dip", "main-starts", LARGER)


@once
def small(lab: Any) -> pd.DataFrame:
    """A row per record of the small models, with `cost`, all seconds that its judged images took: training, prior, drawing.

    The model that images are drawn from is charged as in the baseline's record: lost weights were trained again, later.
    """
    frame = lab.frame(SMALL)
    frame["record"] = lab.seeds(SMALL)
    alone = frame[frame["label"] == "baseline"].set_index("seed")["total_seconds"]
    drawn = frame["seed"].map(alone) + frame["prior_seconds"]
    frame["cost"] = frame["total_seconds"].where(frame["kind"] == "ddpm", drawn) + frame["sampling_seconds"]
    return frame


@once
def larger(lab: Any) -> pd.DataFrame:
    """The same of models that draw digits, in chains of equally many calls, those of `main` that begin elsewhere among them.

    cost: at the DDPM alone's mean pace of training, since models were trained on different days, and some twice: the pace is
    that of the very training that a record's images were drawn from, and drawing, a twentieth of all, is taken at it, too. A
    prior that the model learned with is paid there. as_long: network calls of the DDPM alone that take as long, where that was
    timed in turn.
    """
    frames = [lab.frame(group).assign(record=lab.seeds(group)) for group in (LARGER, "main-starts")]
    drawn, starts = frames[0], frames[1][frames[1]["nfe"] == frames[0]["nfe"].iloc[0]]
    starts = starts.assign(label=("start " + starts["label"]).replace({"start noise": "baseline", "start dip": "start"}))
    frame = pd.concat([starts, drawn], ignore_index=True)
    frame = frame.sort_values("label", key=lambda label: label != "baseline", kind="stable")
    frame.loc[frame["label"] == "baseline", "value"] = 0
    frame = frame.drop_duplicates(["label", "value", "seed"])  # a chain from noise may be a member of both
    models = [lab.record(lab.profile.find(record.run.model).name).metrics for record in frame["record"]]
    kept = np.array([own["train_seconds"] / own["steps"] / own["total_seconds"] for own in models])
    paces = kept * frame["model_seconds"]
    usual = np.mean([record.metrics["train_seconds"] / record.metrics["steps"] for record in lab.seeds("main")])
    beside = frame["prior_seconds"].where([record.run.model.prior is None for record in frame["record"]], 0.0)
    frame = frame.assign(cost=(frame["model_seconds"] + beside + frame["sampling_seconds"]) * usual / paces)
    timed = speed.sitting(lab.store.source.parent, GUIDANCE)
    known = {"guidance": timed["value"] if timed else math.nan}
    return frame.assign(as_long=frame["nfe"].where(frame["label"] == "more calls", frame["label"].map(known)))


def settings(frame: pd.DataFrame, label: str | None = None) -> list[tuple[str, Any, pd.DataFrame]]:
    """(label, value, rows of all seeds) for each setting, in the order of the profile."""
    found = frame if label is None else frame[frame["label"] == label]
    return [(name, value, rows) for (name, value), rows in found.groupby(["label", "value"], sort=False)]


def best_setting(frame: pd.DataFrame, label: str, near: tuple[str, float] | None = None) -> tuple[Any, pd.DataFrame] | None:
    """(value, rows) of the setting with the lowest FD; chosen after the fact, which a family of all settings pays for.

    near: (column, value) of the one whose mean is nearest to this instead.
    """

    def order(one: tuple[str, Any, pd.DataFrame]) -> float:
        return float(one[2]["fd"].mean() if near is None else abs(one[2][near[0]].mean() - near[1]))

    best = min(settings(frame, label), key=order, default=None)
    return best and best[1:]


def gaps(frame: pd.DataFrame) -> dict[tuple[str, Any, str], Paired]:
    """(label, value, rival) -> log FD ratio of every setting to the baseline, by its own sampler where that was measured, and
    of a mechanism's to the best setting of each of its controls: the families 'mechanisms', 'without' and 'controls'.
    """
    with_dip = names.mechanisms()
    found: dict[str, dict[tuple[str, Any, str], Paired | None]] = {"mechanisms": {}, "without": {}, "controls": {}}
    for label, value, rows in settings(frame):
        if label in ("baseline", *oracles()):
            continue
        controls = with_dip[label].controls if label in with_dip else ()
        for rival in ("baseline", *controls):
            name = "controls" if rival != "baseline" else "mechanisms" if label in with_dip else "without"
            if (other := rival_rows(frame, rival, rows)) is not None:
                found[name][label, value, rival] = difference(rows, other, "fd")
    return {key: gap for name, gaps in found.items() for key, gap in family(name, gaps).items()}


def rival_rows(frame: pd.DataFrame, rival: str, rows: pd.DataFrame) -> pd.DataFrame | None:
    """What a setting (rows) is compared with: a control's best setting, of those drawn by the same sampler if there are any,
    None where it was not measured; ("more calls") the DDPM alone in about as many seconds; or ("baseline") in as many calls,
    drawn by the same sampler where it was, else as it is.
    """
    if rival != "baseline":
        alike = frame[frame["sampler"] == rows["sampler"].iloc[0]]
        by = "as_long" if "as_long" in rows and rows["as_long"].notna().all() else "cost"
        near = (by, float(rows[by].mean())) if rival == "more calls" else None
        best = best_setting(alike, rival, near) or best_setting(frame, rival, near)
        return best[1] if best else None
    at = ["sampler", "nfe"]
    same = frame[(frame["label"] == "more calls") & (frame[at] == rows[at].iloc[0]).all(axis=1)]
    return frame[frame["label"] == "baseline"] if rows["label"].iloc[0] == "more calls" or same.empty else same


@once
def found(lab: Any) -> dict[tuple[str, Any, str], Paired]:
    """The `gaps` of the mechanisms that count."""
    return gaps(table_of(lab))


@once
def screened(lab: Any) -> dict[tuple[str, Any, str], Paired]:
    """The `gaps` of the small models' mechanisms."""
    return gaps(small(lab))


def against(found: Mapping[tuple[str, Any, str], Paired], label: str, value: Any) -> list[tuple[str, Paired]]:
    """(rival, log FD ratio) of a setting to the baseline and, for a mechanism's, to the best one of each of its controls.

    found: the `gaps` of all.
    """
    return [(rival, gap) for (own, at, rival), gap in found.items() if (own, at) == (label, value)]


def at_its_best(
    frame: pd.DataFrame, found: Mapping[tuple[str, Any, str], Paired], label: str
) -> tuple[Any, pd.DataFrame] | None:
    """(value, rows) of the setting that does best against the rival it does worst against, of equals that of lowest FD."""

    def order(one: tuple[str, Any, pd.DataFrame]) -> tuple[float, float]:
        return max((gap.value for _, gap in against(found, *one[:2])), default=math.inf), float(one[2]["fd"].mean())

    best = min(settings(frame, label), key=order, default=None)
    return best and best[1:]


def oracles() -> tuple[str, ...]:
    """Not methods: training images given away."""
    return tuple(f"start {name}" for name, kind in names.kinds().items() if kind.oracle)


def weights() -> dict[str, str]:
    """The mechanisms whose weight is varied, and what it is; a weight of 0 is the DDPM alone."""
    return {name: kind.varied for name, kind in names.mechanisms().items() if kind.varied}


def over_weight(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A sweep a mechanism of `weights` that the profile has: its rows over the weight, the DDPM alone as its anchor at 0.

    Settings that are not a mere weight ("0.5 late") are left out.
    """
    base = frame[frame["label"] == "baseline"].assign(value=0.0, anchor=True)
    own = frame[frame["label"].isin(weights()) & frame["value"].map(lambda value: isinstance(value, float))]
    parts = own.astype({"value": float}).assign(anchor=False).groupby("label", sort=False)
    return {label: pd.concat([base, part], ignore_index=True) for label, part in parts}


def in_words(frame: pd.DataFrame, label: str, value: Any = None) -> str:
    """'DIP guidance (weight 0.5)'; without a value the method alone. The DDPM alone has namesakes: by calls or steps."""
    unit = getattr(names.kinds().get(label, names.kinds().get(label.split()[0])), "setting", "")
    base = look(label).label
    if label in ("baseline", "more training"):
        run = frame.loc[frame["label"] == label, "record"].iloc[0].run
        return f"{base}, {count(run.optim.steps)} steps" if run.kind == "ddpm" else f"{base}, {run.sampler.steps} calls"
    if value is None:
        return base
    if label == "more calls":
        calls, by = (value.value, f" of {look(value.sampler).label}") if isinstance(value, By) else (value, "")
        return f"{look('baseline').label}, {calls} calls{by}"
    several = len(settings(frame, label)) > 1
    return f"{base} ({unit} {text(value)})" if unit else f"{base}: {text(value)}" if several else base


def rival_in_words(frame: pd.DataFrame, rival: str, rows: pd.DataFrame) -> str:
    """The method and setting of `rival_rows`."""
    return in_words(frame, *rival_rows(frame, rival, rows)[["label", "value"]].iloc[0])


def text(value: Any) -> str:
    """A setting in words: '0.5', '0.5 late', or with a sampler '0.1, DDIM with eta 1'."""
    if isinstance(value, By):
        return f"{value.value:g}, {look(value.sampler).label}"
    return value if isinstance(value, str) else f"{value:g}"


# --- in words ----------------------------------------------------------------------------------------------------------


def mechanism(lab: Any, label: str) -> str:
    """One mechanism: its best setting, beside the baseline and its rivals, with copies and seconds."""
    frame = table_of(lab) if lab.has(SMALL) else pd.DataFrame(columns=["label"])
    if label not in set(frame["label"]):
        return f"{look(label).label}: this profile has no run of it; `standard` has."
    value, rows = at_its_best(frame, found(lab), label)
    tried = len(settings(frame, label))
    several = f", best of {tried} settings against its hardest rival" if tried > 1 else ""
    own = copies(rows)
    open_ = " (own images not recorded)" if unjudged(rows) else ""
    said = f"{rows['features'].iloc[0]} {span(summary(rows, 'fd'))}, {copying(own)}{open_}"
    gaps = against(found(lab), label, value)
    lines = [f"{rival_in_words(frame, rival, rows)}: {in_brief(gap, by_copies=own.many, of=False)}" for rival, gap in gaps]
    measured = set(frame["label"])
    controls = (name for name in names.mechanisms()[label].controls if name != "more training")  # of small models alone
    missing = [look(name).label for name in controls if name not in measured]
    back = "\n\nTraining images given back, and no gain." if own.many else ""
    back += f"\n\nNot measured at this size: {', '.join(missing)}." if missing else ""
    return (
        f"**{in_words(frame, label, value)}**{several}: {said}, {number(rows['cost'].mean())} s in all. "
        f"Its FD over\n\n{bullets(lines)}{back}"
    )


def in_brief(gap: Paired, *, by_copies: bool = False, of: bool = True) -> str:
    """'1.31 [1.12, 1.53], 8 seeds, **worse** (p = 0.012, Holm over 8)'. by_copies: by images given back nobody wins. of: False:
    without the size of the family.
    """
    rests, words = shown_by(gap if of else replace(gap, of=1)), LOWER if by_copies else {}
    why = f" ({rests})" if rests else ""
    return f"{factor(gap)}, {gap.n} seed{'s' * (gap.n > 1)}, {word(gap, **words)}{why}"


def headcount(lab: Any) -> str:
    """Which settings beat the baseline by new images, each beside its hardest control, which mechanisms every control in their
    place as well, and which have a lower distance by images given back.
    """
    frame = table_of(lab)
    tried = [label for label in names.mechanisms() if label in set(frame["label"])]
    over, better, best, back = found(lab), [], [], []
    for label in tried:
        value, rows = at_its_best(frame, over, label)
        better += [said for at in settings(frame, label) if (said := _won(frame, over, *at))]
        won = [gap.decided and gap.images and gap.value < 0 for _, gap in against(over, label, value)]
        name, own = in_words(frame, label), copies(rows)
        if won and won[0] and own.many:
            back.append(f"{name} ({percent(own.share)})")
        elif all(won) and len(won) == 1 + len(names.mechanisms()[label].controls) and not unjudged(rows):
            best.append(name)
    base, which = in_words(frame, "baseline"), "models that draw digits" if on_larger(lab) else "small models"
    said = f"Of {len(tried)} mechanisms on {which}, shown to beat the {base} by the same sampler: "
    said += f"{'; '.join(better) or 'none'}."
    said += f" Better than every control, too: {', '.join(best) or 'none'}." if better else ""
    return said + (f" Lower because they give training images back: {', '.join(back)}." if back else "")


def _won(frame: pd.DataFrame, over: Mapping[tuple[str, Any, str], Paired], *setting: Any) -> str:
    """A (label, value, rows) that is shown to beat the baseline by new images, and the control that does best beside it."""
    label, value, rows = setting
    (_, base), *controls = against(over, label, value)
    if not (base.decided and base.images and base.value < 0) or copies(rows).many or unjudged(rows):
        return ""
    said = f"{in_words(frame, label, value)}, {factor(base)}"
    if controls:
        rival, gap = max(controls, key=lambda one: one[1].value)
        said += (
            f" (over its hardest control, {rival_in_words(frame, rival, rows)}: {factor(gap)}, {word(gap).replace('**', '')})"
        )
    return said


def unjudged(rows: pd.DataFrame) -> bool:
    """Whether it is not known how many samples of a model that is given images when it draws lie nearest to their own."""
    kind = names.kinds().get(rows["label"].iloc[0].removesuffix(" blur"))
    return kind is not None and kind.place == "learned" and math.isnan(copies(rows).source)
