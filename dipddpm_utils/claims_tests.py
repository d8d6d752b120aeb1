"""What each claim is tested by: a lab's records -> a Finding, an effect with its interval, seed by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .comparisons import Paired, best_control, best_start, difference, frame_of, judged_alike, paired, slope
from .prose import percent
from .wording import signed

SAME = 0.05  # relative change that still counts as "does not change", fixed before any run
Test = Callable[[Any], "Finding | None"]


@dataclass(frozen=True)
class Finding:
    """What a test measured. effect: positive speaks for the claim unless `equal`, where an interval within +-SAME does."""

    effect: Paired
    unit: str
    why: str
    equal: bool = False
    artefact_of: str = ""  # set if the effect is there, but for another reason


def _flipped(effect: Paired) -> Paired:
    """The same effect counted the other way round."""
    low, high = (None if end is None else -end for end in (effect.high, effect.low))
    return Paired(-effect.value, low, high, effect.n, effect.needed)


def _at_eval(lab: Any, name: str, which: int) -> pd.DataFrame:
    """fd of the evaluation number `which` during training, a row a seed."""
    return pd.DataFrame([{"seed": r.seed, **_during(r).iloc[which]} for r in lab.seeds(name)])


def _during(record: Any) -> pd.DataFrame:
    rows = record.evals
    return judged_alike(rows)


def first_lower(first: str, second: str) -> Callable[[Any], Finding | None]:
    def test(lab: Any) -> Finding | None:
        gap = difference(_at_eval(lab, second, 0), _at_eval(lab, first, 0), "fd")
        return (
            None if gap is None else Finding(gap, "FD lower", f"First evaluation of {first} against {second}, paired by seed.")
        )

    return test


def falls_faster(first: str, second: str) -> Callable[[Any], Finding | None]:
    def test(lab: Any) -> Finding | None:
        falls = {
            name: _at_eval(lab, name, 0).set_index("seed")["fd"] - _at_eval(lab, name, -1).set_index("seed")["fd"]
            for name in (first, second)
        }
        gaps = (falls[first] - falls[second]).dropna()
        return (
            Finding(paired(list(gaps)), "FD more fallen", "Fall from the first evaluation to the last, paired by seed.")
            if len(gaps)
            else None
        )

    return test


def rises(name: str) -> Callable[[Any], Finding | None]:
    def test(lab: Any) -> Finding | None:
        rises = [float(_during(r)["fd"].iloc[-1] - _during(r)["fd"].min()) for r in lab.seeds(name)]
        return Finding(paired(rises), "FD above its minimum", "Last evaluation minus the lowest one before, a seed at a time.")

    return test


def fewer_steps(lab: Any) -> Finding | None:
    frame = lab.frame("starts")
    best = best_start(frame, "dip")
    if best is None:
        return None
    t_start, gap, rows = best
    effect = _flipped(gap)
    copied, usual = float(rows["copy_rate"].mean()), float(rows["copy_rate_floor"].mean())
    why = "Logarithm of FD of noise over FD of the DIP start, at equal network calls, at the best t_start "
    why += f"({t_start:.0f}), interval widened for that choice."
    why += f" Copied: {percent(copied)} (held-out: {percent(usual)})."
    artefact = "training images that are copied" if copied > 2 * usual else ""
    if (rival := best_control(frame)) is not None and not artefact:
        label, at, against = rival
        why += f" Against the {label} start at {at:.0f}: log ratio {signed(against)}."
        artefact = f"any start near the data (the {label} does as well)" if against.high is None or against.high > 0 else ""
    return Finding(
        effect,
        "log FD",
        why + (f" Artefact of {artefact}." if artefact and effect.decided and effect.value > 0 else ""),
        artefact_of=artefact,
    )


def costs_more(lab: Any) -> Finding | None:
    frame = frame_of(lab.seeds("ddpm-on-dip"))
    shares = frame["dip_seconds"] / frame["train_seconds"]
    return Finding(
        paired(list(shares)), "of the training time", "Seconds of the DIP over seconds of the DDPM's own training, equal steps."
    )


def trains_shorter(lab: Any) -> Finding | None:
    gap = difference(frame_of(lab.seeds("ddpm")), frame_of(lab.seeds("ddpm-on-dip")), "train_seconds", ratio=True)
    return (
        None
        if gap is None
        else Finding(gap, "log seconds saved", "Both from memory, equal steps, DIP seconds left out as in the report.")
    )


def greyer(lab: Any) -> Finding | None:
    contrast = {
        name: pd.DataFrame([{"seed": r.seed, "contrast": _contrast(r.arrays["grid"])} for r in lab.seeds(name)])
        for name in ("ddpm", "ddpm-on-dip")
    }
    gap = difference(contrast["ddpm"], contrast["ddpm-on-dip"], "contrast", ratio=True)
    return (
        None
        if gap is None
        else Finding(gap, "log contrast lost", "Standard deviation of the pixels of an image, mean over the sample grid.")
    )


def _contrast(images: Any) -> float:
    """uint8 [N, C, H, W] -> mean over images of the standard deviation of their pixels in [0, 1]."""
    return float((np.asarray(images, dtype=float) / 255).std(axis=(1, 2, 3)).mean())


def slope_of(
    group: str, metric: str, unit: str, why: str, *, log: bool = False, relative: bool = False
) -> Callable[[Any], Finding | None]:
    def test(lab: Any) -> Finding | None:
        frame = lab.frame(group)
        if relative:  # change over the whole sweep, as a share of the mean
            frame = frame.assign(
                **{metric: frame[metric] / frame[metric].mean() * (frame["value"].max() - frame["value"].min())}
            )
        effect = slope(frame, metric, log=log)
        return None if effect is None else Finding(effect, unit, why, equal=relative)

    return test
