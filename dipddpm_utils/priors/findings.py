"""What the mechanisms and the restoration found (notebooks 04 and 07), as sentences and tables computed from records."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pandas as pd

from dipddpm_utils.page import names
from dipddpm_utils.page.compare import Paired, copies, difference, family, own_interval, summary
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import NOT_MEASURED, bullets, comparison, copying, percent, verdict
from dipddpm_utils.page.words import count, effect, factor, number, shown_by, span
from dipddpm_utils.priors import mechanisms
from dipddpm_utils.priors.mechanisms import GROUP, THRESHOLDS, in_words, text

Found = list[tuple[str, Paired | None]]
SAME = 0.05  # seconds that differ by less are the same: machines are no more even than that


def mechanism(lab: Any, label: str) -> str:
    """One mechanism: its best setting, beside the baseline and its rivals, with copies and seconds."""
    frame = mechanisms.table_of(lab) if lab.has(GROUP) else pd.DataFrame(columns=["label"])
    if label not in set(frame["label"]):
        return f"{look(label).label}: this profile has no run of it; `standard` has."
    value, rows = mechanisms.best_setting(frame, label)
    tried = len(mechanisms.settings(frame, label))
    said = (
        f"**{in_words(frame, label, value)}**{f', best of {tried} settings' if tried > 1 else ''} ([figure](#fig-04_pareto)): "
        f"{rows['features'].iloc[0]} {span(summary(rows, 'fd'))}, {percent(float(rows['copy_rate'].mean()))} copied, "
        f"{number(rows['cost'].mean())} s in all."
    )
    rivals = mechanisms.against(frame, label, value)
    parts = [f"of {in_words(frame, rival)}: {factor(gap)}, {verdict(gap)}" for rival, gap in rivals]
    return f"{said} Its FD over that {'; '.join(parts)}."


def headcount(lab: Any) -> str:
    """How many mechanisms beat the baseline, and how many of these every control in their place as well."""
    frame = mechanisms.table_of(lab)
    tried = [label for label in names.mechanisms() if label in set(frame["label"])]
    found, better, best, copied = mechanisms.gaps(frame), [], [], []
    for label in tried:
        value, rows = mechanisms.best_setting(frame, label)
        won = [gap.decided and gap.value < 0 for _, gap in mechanisms.against(frame, label, value, found)]
        name = in_words(frame, label)
        if won and won[0]:
            better.append(name)
            own = copies(rows)
            copied += [f" Of the samples of {name}, {copying(own)}."] if own.many else []
        if all(won) and len(won) == 1 + len(names.mechanisms()[label].controls):
            best.append(name)
    controls = f", and {_named(best)} shown to be better than every control in its place as well" if better else ""
    base = in_words(frame, "baseline")
    return (
        f"Of {len(tried)} mechanisms measured, {_named(better)} shown to be better than the {base}{controls}.{''.join(copied)}"
    )


def useful(lab: Any) -> str:
    """The same, and what the cheapest controls do."""
    if not lab.has(GROUP):
        return NOT_MEASURED
    frame, lines = mechanisms.table_of(lab), [headcount(lab)]
    found = mechanisms.gaps(frame)
    base = frame[frame["label"] == "baseline"]
    for label in mechanisms.controls():
        own = mechanisms.best_setting(frame, label)
        if own is not None:
            gap = found[label, own[0], "baseline"]
            cost = number(own[1]["cost"].mean() / base["cost"].mean(), 2)
            name = f"{in_words(frame, label)}, at {cost} times the seconds"
            lines.append(comparison(f"{name}: FD over that of the {in_words(frame, 'baseline')}", gap))
    return bullets(lines)


def weights(lab: Any) -> list[str]:
    """Each weight of a mechanism whose weight is varied against a weight of zero, the DDPM alone."""
    frame, lines = mechanisms.table_of(lab), []
    found = mechanisms.gaps(frame)
    for label, own in mechanisms.over_weight(frame).items():
        for value in own.loc[~own["anchor"].astype(bool), "value"].unique():
            name = f"{mechanisms.weights()[label]}: FD at {value:g} over FD at 0"
            lines.append(comparison(name, found[label, value, "baseline"]))
    return lines


def _named(labels: list[str]) -> str:
    if not labels:
        return "none was"
    return f"{count(len(labels))} ({', '.join(labels)}) {'was' if len(labels) == 1 else 'were'}"


def at_equal_cost(frame: pd.DataFrame) -> dict[tuple[str, Any], float]:
    """(label, value) -> all its seconds; those that only noise tells apart are one number, their mean.

    The same computation takes now more, now less: up to as much as seeds of the DDPM alone differ by, and at least SAME.
    """
    costs = {(label, value): float(rows["cost"].mean()) for label, value, rows in mechanisms.settings(frame)}
    own, alike = frame.loc[frame["label"] == "baseline", "cost"], []
    for key in sorted(costs, key=lambda key: costs[key]):
        if alike and costs[key] <= max(1 + SAME, own.max() / own.min()) * costs[alike[-1][0]]:
            alike[-1].append(key)
        else:
            alike.append([key])
    return {key: sum(costs[one] for one in keys) / len(keys) for keys in alike for key in keys}


def front(frame: pd.DataFrame) -> list[tuple[str, Any, pd.DataFrame]]:
    """The settings that no other beats at the same or fewer seconds, cheapest first; oracles and copiers are left out."""
    cost = at_equal_cost(frame)
    own = [one for one in mechanisms.settings(frame) if one[0] not in mechanisms.oracles() and not copies(one[2]).many]
    return [own[i] for i in mechanisms.front([(cost[one[:2]], summary(one[2], "fd").value) for one in own])]


def on_the_front(lab: Any) -> str:
    """Which settings no other beats at their cost, cheapest first, whether they differ, and who was left out for copying."""
    if not lab.has(GROUP):
        return NOT_MEASURED
    frame = mechanisms.table_of(lab)
    best, cost, over = front(frame), at_equal_cost(frame), mechanisms.gaps(frame)
    parts = [
        f"{in_words(frame, *one[:2])} ({number(cost[one[:2]], 2)} s, FD {number(summary(one[2], 'fd').value)})" for one in best
    ]
    with_dip = sum(label in names.mechanisms() for label, _, _ in best)
    said = f"Best for their seconds: {'; '.join(parts)}. A DIP is in {count(with_dip)} of these {len(parts)}."
    for (label, *_), (own, value, _) in pairwise(best):
        if gap := over.get((own, value, label)):
            said += f" {comparison(f'FD of {in_words(frame, own)} over that of {in_words(frame, label)}', gap)}"
    out = [(in_words(frame, *at), copying(copies(rows))) for *at, rows in mechanisms.settings(frame) if copies(rows).many]
    copied = "; ".join(f"{name} ({share})" for name, share in out)
    return said + (f" Left out, since they give training images back: {copied}." if out else "")


def no_gain(lab: Any) -> Found:
    """Every comparison of a mechanism, for the table of what did not help: FD of each setting, and time to each threshold."""
    if not lab.has(GROUP):
        return []
    frame, found = mechanisms.table_of(lab), []
    over, times_to = mechanisms.gaps(frame), mechanisms.speeds(frame, 1)
    for label, value, rows in mechanisms.settings(frame):
        if label not in names.mechanisms():
            continue
        name, alone = f"{look(label).label}, {text(value)}", in_words(frame, "baseline")
        own = mechanisms.against(frame, label, value, over)
        found += [(f"FD, {name} / {in_words(frame, rival)}", gap) for rival, gap in own]
        for times in THRESHOLDS if mechanisms.has_curve(rows) else ():
            goal = f"seconds to {times:g} times the baseline's FD, {name} / {alone}"
            found.append((goal, times_to.get((label, value, times))))
    return found


def rows_of(found: Found) -> list[dict[str, Any]]:
    """Of these comparisons (ratios; lower is better for the DIP) the ones in which it was not shown to be better."""
    rows = []
    for name, gap in found:
        if gap is None:
            rows.append({"comparison": name, "ratio": "", "n": "", "verdict": "not reached", "it would take": ""})
        elif not (gap.decided and gap.value < 0):
            said = f"{'worse' if gap.decided else 'not decidable'} ({shown_by(gap)})"
            needed = "" if gap.decided or gap.n == 1 else f"{gap.needed() or 'over 1000'} {gap.over}"
            row = {"comparison": name, "ratio": factor(gap), "n": f"{gap.n} {gap.over}", "verdict": said}
            rows.append(row | {"it would take": needed})
    return rows


# --- restoration ------------------------------------------------------------------------------------------------------

TASKS = {  # what is asked, and how strongly the images are degraded (the constants of restore.py, which needs torch)
    "denoise": ("Denoising", "noise of std 0.4 on images in [0, 1]"),
    "inpaint": ("Inpainting", "half of the pixels unseen, shown in grey"),
    "super_resolve": ("Super-resolution", "means of 2 x 2 pixels"),
}
METHODS = {  # of a restore record: in short, as a row of a figure, and in words
    "degraded": ("degraded", "the degraded image itself"),
    "smooth": ("smoothed", "smoothing, no network"),
    "dip": ("DIP", "DIP alone, budget chosen on other images"),
    "dip_oracle": ("DIP, oracle", "DIP alone, stopped at its best (oracle)"),
    "ddpm": ("DDPM", "DDPM alone (SDEdit from the degraded image)"),
    "smooth_ddpm": ("smoothed, then DDPM", "DDPM from the smoothed image"),
    "dip_ddpm": ("DIP, then DDPM", "DDPM from the DIP's output"),
    "told_ddpm": ("smoothed, DDPM told y", "DDPM told y, from the smoothed image"),
    "dip_told_ddpm": ("DIP, DDPM told y", "DDPM told y, from the DIP's output"),
}
SHOWN = (  # the pairs of methods that are told
    ("dip", "smooth"), ("ddpm", "dip"), ("dip_ddpm", "ddpm"), ("dip_ddpm", "smooth_ddpm"), ("dip_ddpm", "dip"),
    ("told_ddpm", "dip"), ("dip_told_ddpm", "told_ddpm"),
)  # fmt: skip


def restoration_table(lab: Any) -> pd.DataFrame:
    """One row a task and method: PSNR, SSIM with bootstrap intervals over images, what was chosen, seconds."""
    rows = []
    for m in (record.metrics for record in lab.seeds("restore")):
        for method, (label, _) in METHODS.items():
            if f"{method}_psnr" not in m:  # a noisy image is nothing to be held to
                continue
            row = {"task": TASKS[m["task"]][0].lower(), "method": label, "n": int(m["n"])}
            row |= {"PSNR (dB)": span(own_interval(m, f"{method}_psnr")), "SSIM": span(own_interval(m, f"{method}_ssim"))}
            chosen = m.get(f"{method}_t_start"), m.get(f"{method}_iterations")
            row["chosen"] = f"t = {chosen[0]}" if chosen[0] is not None else f"{chosen[1]} iterations" if chosen[1] else ""
            rows.append(row | {"seconds": number(m[f"{method}_seconds"])})
    return pd.DataFrame(rows)


def restored(lab: Any) -> dict[tuple[str, str, str], Paired]:
    """(task, method, other) -> difference in PSNR (dB), paired by image: a family."""
    gaps = {}
    for record in lab.seeds("restore"):
        own = dict(list(record.evals.groupby("method")))
        for one, other in (pair for pair in SHOWN if own.keys() >= set(pair)):
            gaps[record.metrics["task"], one, other] = difference(own[one], own[other], "psnr", by="image")
    return family("restoration", gaps)


def restored_pairs(lab: Any) -> pd.DataFrame:
    """One row a task and pair of methods: the difference in PSNR, paired by image, and whether there is one."""
    rows = []
    for (task, one, other), gap in restored(lab).items():
        found = "not decidable" if not gap.decided else "better" if gap.value > 0 else "worse"
        row = {"task": TASKS[task][0].lower(), "method": METHODS[one][0], "against": METHODS[other][0]}
        rows.append(row | {"PSNR (dB)": span(gap, "+"), "verdict": f"{found} ({shown_by(gap).partition(',')[0]})"})
    return pd.DataFrame(rows)


def restored_caption(lab: Any, record: Any) -> str:
    """Whether the chain from the DIP's output beats the best one without a DIP that is told as much, and what both cost."""
    m = record.metrics
    own, rival = contestants(m)
    said = _restored(m["task"], own, rival, restored(lab)[m["task"], own, rival])
    return f"{said} All {m['n']:.0f} images took {_cost(m)}. Every pair: [table](#tab-04_restore_pairs)."


def restored_short(lab: Any) -> str:
    """The same for all tasks, in one sentence, with the figures it rests on."""
    parts = []
    for m in (record.metrics for record in lab.seeds("restore")):
        gap = restored(lab)[m["task"], *contestants(m)]
        said = f"{effect(gap, 'dB')}, {verdict(gap, worse='better', better='worse')}, {_cost(m)}"
        parts.append(f"{TASKS[m['task']][0].lower()} ([figure](#fig-04_restore_{m['task']})) {said}")
    return f"PSNR from the DIP's output minus that of the best chain without: {'; '.join(parts)}."


def _cost(m: Any) -> str:
    own, rival = contestants(m)
    return f"{number(m[f'{own}_seconds'], 2)} s with the DIP, {number(m[f'{rival}_seconds'], 2)} s without"


def restoration_answer(lab: Any) -> list[str]:
    """For each task, a chain from the DIP's output against the best one that needs no DIP and is told as much, with costs."""
    lines = []
    for m in (record.metrics for record in lab.seeds("restore")):
        scores, (own, rival) = _scores(m), contestants(m)
        cost = f"{number(m[f'{own}_seconds'], 2)} s against {number(m[f'{rival}_seconds'], 2)} s for all images"
        best = max(scores, key=lambda name: scores[name])
        highest = f"Highest mean of all: {METHODS[best][1]}, {number(scores[best])} dB."
        gap = restored(lab)[m["task"], own, rival]
        lines.append(f"{_restored(m['task'], own, rival, gap)} {cost}. {highest}")
    return lines


def contestants(m: Any) -> tuple[str, str]:
    """The chain from the DIP's output, and its rival: the best chain that needs no DIP and is told as much. m: metrics."""
    scores = _scores(m)
    if "dip_told_ddpm" in scores:
        return "dip_told_ddpm", "told_ddpm"
    return "dip_ddpm", max(("ddpm", "smooth_ddpm"), key=lambda name: scores[name])


def _scores(m: Any) -> dict[str, float]:
    return {name: m[f"{name}_psnr"] for name in METHODS if f"{name}_psnr" in m and name != "dip_oracle"}


def _restored(task: str, one: str, other: str, gap: Paired) -> str:
    name = f"{TASKS[task][0]}: {METHODS[one][1]} minus {METHODS[other][1]}"
    return comparison(name, gap, "dB PSNR", worse="better", better="worse")
