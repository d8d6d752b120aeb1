"""When a fit to one noisy image should be stopped (notebook 05): tables and sentences computed from records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.judging.stats import Interval
from dipddpm_utils.page.compare import paired
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import bullets, comparison, percent
from dipddpm_utils.page.words import number, span

RULES: dict[str, str] = {  # as they are called, in the order in which they are shown
    "end": "no stop",
    "fixed": "fixed budget",
    "wmv": "ES-WMV",
    "emv": "ES-EMV",
    "discrepancy": "discrepancy",
    "halves": "two halves",
    "staged": "staged levels",
    "oracle": "oracle",
}
KNOWS_STD = ("discrepancy", "halves", "staged")


def rows(records: Sequence[Any]) -> pd.DataFrame:
    """One row a record and rule: net, std, stages, spacing, and all that the record's evals hold."""
    about = [
        r.evals.assign(name=r.name, net=r.run.net, std=r.run.std, stages=r.run.stages, spacing=r.run.spacing) for r in records
    ]
    return pd.concat(about, ignore_index=True)


def table(records: Sequence[Any]) -> pd.DataFrame:
    """A row a net, noise level and rule: PSNR, PSNR lost against the oracle, error of the step, seconds."""
    made = []
    for _, row in rows(records).iterrows():
        made.append(
            {
                "net": look(row["net"]).label,
                "std": f"{row['std']:g}",
                "rule": RULES.get(row["rule"], row["rule"]),
                "knows std": "yes" if row["rule"] in KNOWS_STD else "no" if row["rule"] != "oracle" else "knows x",
                "PSNR (dB)": _span(row, "psnr"),
                "lost against the oracle (dB)": _span(row, "lost"),
                "log2(step / best)": _span(row, "log2_step"),
                "its size": _span(row, "abs_log2_step"),
                "never stopped": percent(row["unfinished"]),
                "s an image": number(row["seconds"], 2),
            }
        )
    return pd.DataFrame(made)


def _span(row: Mapping[str, Any], key: str) -> str:
    return span(Interval(low=row[f"{key}_low"], value=row[key], high=row[f"{key}_high"], n=int(row["n"])))


def per_image(records: Sequence[Any], name: str, change: Callable[[Any], Any] = np.asarray) -> pd.DataFrame:
    """A column a rule (those that all records have), a row an image: its mean over the records, which all fit the same images.

    So an interval over rows rests on independent images, not on one image's fits by several nets and at several noise levels.
    change: what is done to the values before that (np.abs: sizes).
    """
    common = [rule for rule in RULES if all(rule in list(map(str, r.arrays["rules"])) for r in records)]
    values = []
    for record in records:
        held = list(map(str, record.arrays["rules"]))
        values.append(change(np.stack([record.arrays[name][held.index(rule)] for rule in common]).astype(float)))
    return pd.DataFrame(np.mean(values, axis=0).T, columns=common)


def per_net(records: Sequence[Any]) -> dict[str, list[Any]]:
    """The records by the label of their net."""
    nets = dict.fromkeys(r.run.net for r in records)
    return {look(net).label: [r for r in records if r.run.net == net] for net in nets}


def best_rules(records: Sequence[Any]) -> str:
    """The best rule of those that know the noise and of those that do not, over all images; are they apart?

    Both are chosen after the fact, so the interval between them is widened by the number of pairs (Bonferroni).
    """
    lost = per_image(records, "lost").drop(columns=["oracle", "end"], errors="ignore")
    groups = {
        "of the rules that know the noise level": [rule for rule in lost if rule in KNOWS_STD],
        "of those that do not": [rule for rule in lost if rule not in KNOWS_STD],
    }
    lines, best = [], []
    for which, own in groups.items():
        if own:
            rule = min(own, key=lambda name: lost[name].mean())
            best.append(rule)
            gap = paired(list(lost[rule]))
            lines.append(f"Best {which}: {RULES[rule]}, PSNR lost {span(gap)} dB (n = {gap.n} images).")
    if len(best) == 2:
        pairs = math.prod(len(own) for own in groups.values())
        apart = paired(list(lost[best[0]] - lost[best[1]]), level=1 - 0.05 / pairs)
        lines.append(_over_images(f"PSNR lost by {RULES[best[0]]} minus {RULES[best[1]]}", apart))
    if "end" in (everything := per_image(records, "lost")):
        lines.append(f"Not stopping at all loses {span(paired(list(everything['end'])))} dB.")
    return bullets(lines)


def staged(records: Sequence[Any]) -> str:
    """Do a DDPM's noise levels find the stop, beyond what plain discrepancy finds? And is the staged fit a better fit?"""
    lines = []
    for net, own in per_net(records).items():
        lost, step = per_image(own, "lost"), per_image(own, "log2_step", np.abs)
        if {"staged", "discrepancy"} <= set(lost):
            gap = paired(list(lost["staged"] - lost["discrepancy"]))
            name = f"{net}: PSNR lost by staged levels minus discrepancy, which knows as much and adds no noise"
            lines.append(_over_images(name, gap))
            size = paired(list(step["staged"] - step["discrepancy"]))
            lines.append(_over_images(f"{net}: size of the step's error, staged levels minus discrepancy", size, "octaves"))
    gain = rows(records)
    gain = gain[gain["rule"] == "staged"]
    if len(gain):
        low, high = gain["fit_gain"].min(), gain["fit_gain"].max()
        size = f"{low:+.2f} dB" if len(gain) == 1 else f"{low:+.2f} to {high:+.2f} dB ({len(gain)} settings)"
        lines.append(f"Best PSNR of the staged fit minus best of the plain one, wherever they stop: {size}: {_why(low, high)}")
    return bullets(lines)


def _why(low: float, high: float) -> str:
    if low > 0:
        return "the added noise does not only mark the stop, the fit itself is better with it."
    if high < 0:
        return "the added noise costs quality, whatever the stop."
    return "whether the added noise helps the fit depends on the setting."


def steps(records: Sequence[Any]) -> str:
    """Which rule finds the best iteration most closely, and which rules stop early or late."""
    step, size = (per_image(records, "log2_step", change).drop(columns=["oracle", "end"]) for change in (np.asarray, np.abs))
    near = size.mean().idxmin()
    lines = [f"Nearest to the best step: {RULES[near]}, off by a factor of {number(2 ** size[near].mean(), 3)} on average."]
    sides: dict[str, list[str]] = {"early": [], "late": []}
    for rule in step:
        gap = paired(list(step[rule]))
        if gap.decided:
            sides["late" if gap.value > 0 else "early"].append(f"{RULES[rule]} (a factor of {number(2**gap.value, 2)})")
    lines += [f"Too {side} on average: {', '.join(rules)}." for side, rules in sides.items() if rules]
    return bullets(lines)


def stages(records: Sequence[Any]) -> str:
    """The best and worst setting of stage count and spacing, and whether they differ over the images."""
    lost = {(r.run.spacing, r.run.stages): per_image([r], "lost")["staged"] for r in records}
    means = {setting: values.mean() for setting, values in lost.items()}
    if len(means) < 2:
        return bullets(["One setting only."])
    best, worst = min(means, key=lambda s: means[s]), max(means, key=lambda s: means[s])
    gap = paired(list(lost[worst] - lost[best]), level=1 - 0.1 / (len(means) * (len(means) - 1)))
    said = [f"{spacing}, {count} stages ({number(means[spacing, count])} dB)" for spacing, count in (best, worst)]
    name = f"PSNR lost (negative: gained on the plain fit's oracle): least with {said[0]}, most with {said[1]}; the difference"
    return bullets([_over_images(name, gap, worse="a real difference", better="a real difference")])


def _over_images(name: str, gap: Any, unit: str = "dB", **words: str) -> str:
    """A comparison that is paired by image, not by seed."""
    return comparison(name, gap, unit, **words).replace("seeds", "images").replace("one seed", "one image")


def answer(records: Sequence[Any]) -> str:
    """One sentence for a summary: the best rule of all, and what it loses."""
    lost = per_image(records, "lost").drop(columns=["oracle", "end"], errors="ignore")
    rule = lost.mean().idxmin()
    gap = paired(list(lost[rule]))
    beats = int(np.sum(lost[rule] < 0))
    more = f", and beats the plain fit's oracle on {percent(beats / gap.n)} of them" if beats else ""
    return f"{RULES[rule]} loses {span(gap)} dB against the oracle over {gap.n} images, each in {len(records)} settings{more}."
