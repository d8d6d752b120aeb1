"""What one setting does, of whatever is swept, and where rules stop a fit (notebooks 05 and 07); from records."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page.compare import Paired, among, family, grouped, over_seeds, own_interval, paired, summary
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import DIFFERS, bullets, comparison, effect, factor, number, percent, shown_by, span
from dipddpm_utils.stopping.declared import RULES

# --- one setting ------------------------------------------------------------------------------------------------------


def extremes(frame: pd.DataFrame, setting: str, metric: str, by: str, most: bool = False) -> tuple[Any, Any, Paired] | None:
    """(best, worst, worst against best) of the values of column `setting`, paired by `by`, corrected for every pair of them.

    most: whether more is better. None of one value.
    """
    means = over_seeds(frame, setting, metric).set_index("x")["mean"]
    if len(means) < 2:
        return None
    best, worst = (means.idxmax(), means.idxmin()) if most else (means.idxmin(), means.idxmax())
    return best, worst, among(frame, setting, metric, by)[worst, best]


def sweep(group: str, frame: pd.DataFrame, metric: str, unit: str, *, higher_is_better: bool = False) -> str:
    """The best and the worst setting of a sweep, and whether they differ, corrected for every pair of settings."""
    if (found := extremes(frame, "value", metric, "seed", higher_is_better)) is None:
        return f"{group}: one setting only."
    *ends, gap = found
    best, worst = (look(x).label if isinstance(x, str) else f"{x:g}" for x in ends)
    least = span(summary(frame[frame["value"] == ends[0]], metric))
    between = "over" if gap.ratio else "minus"
    name = f"{group}: best {best} ({f'{unit} ' * gap.ratio}{least}), worst {worst}; worst {between} best"
    return comparison(name, gap, unit, **DIFFERS)


def told_apart(lines: Sequence[str]) -> str:
    """Those of these comparisons that are decided, after how many there are; that they are is not said of each."""
    own = [line.replace(f": **{DIFFERS['worse']}** (", " (") for line in decided(lines)]
    if not own:
        return f"None of {len(lines)} comparisons is decided with this number of seeds."
    return f"{len(own)} of {len(lines)} comparisons are decided with this number of seeds:\n\n{bullets(own)}"


def matters(sweeps: Mapping[str, pd.DataFrame]) -> str:
    """'std of the input noise 60.2 [49.1, 73.9]; not decided: DIP network': FD of each sweep's worst setting over its best.

    sweeps: by what their axis is called.
    """
    found = {name: extremes(frame, "value", "fd", "seed") for name, frame in sweeps.items()}
    shown = {name: ends[2] for name, ends in found.items() if ends and ends[2].decided}
    rest = [name for name in found if name not in shown]
    said = [f"{name} {factor(gap)}" for name, gap in sorted(shown.items(), key=lambda one: -one[1].value)]
    return "; ".join([*said, *([f"not decided: {', '.join(rest)}"] if rest else [])])


def decided(lines: Sequence[str]) -> list[str]:
    """Those that have a verdict, and not that nothing can be decided."""
    return [line for line in lines if "**" in line and "not decidable" not in line]


# --- where rules stop -------------------------------------------------------------------------------------------------


def rows(records: Sequence[Any]) -> pd.DataFrame:
    """One row per record and rule: net, std, stages, spacing, and all that the record's evals hold."""
    about = [r.evals.assign(net=r.run.net, std=r.run.std, stages=r.run.stages, spacing=r.run.spacing) for r in records]
    return pd.concat(about, ignore_index=True)


def table(records: Sequence[Any]) -> pd.DataFrame:
    """A row per net, noise level and rule: PSNR, PSNR lost against the oracle, error of the step, seconds."""
    columns = {"PSNR (dB)": "psnr", "lost against the oracle (dB)": "lost", "log2(step / best)": "log2_step"}
    columns["its size"] = "abs_log2_step"
    made = []
    for _, row in rows(records).iterrows():
        about = {"net": look(row["net"]).label, "std": f"{row['std']:g}", "rule": RULES[row["rule"]].title}
        about |= {name: span(own_interval(row, metric)) for name, metric in columns.items()}
        made.append(about | {"never stopped": percent(row["unfinished"]), "s an image": number(row["seconds"], 2)})
    return pd.DataFrame(made)


def short_table(records: Sequence[Any]) -> pd.DataFrame:
    """A row per rule, over all nets and noise levels: PSNR lost and size of the step's error with intervals over images."""
    lost, size = per_image(records, "lost"), per_image(records, "log2_step", np.abs)
    means = rows(records).groupby("rule")[["unfinished", "seconds"]].mean()
    made = []
    for rule in lost:
        row = {"rule": RULES[rule].title, "knows": RULES[rule].knows}
        row |= {"lost against the oracle (dB)": span(paired(list(lost[rule])))}
        row |= {"octaves off the best step": span(paired(list(size[rule])))}
        unfinished, seconds = means.loc[rule]
        made.append(row | {"never stopped": percent(unfinished), "s an image": number(seconds, 2)})
    return pd.DataFrame(made)


def unfinished(records: Sequence[Any]) -> str:
    """Where the fits of a rule stopped least often: 'Never stopped: up to 83% (discrepancy on 2conv, std 0.1).'"""
    every = rows(records)
    worst = every[[bool(RULES[rule].fit) for rule in every["rule"]]].sort_values("unfinished").iloc[-1]
    where = f"{RULES[worst['rule']].title} on {look(worst['net']).label}, std {worst['std']:g}"
    return f"Never stopped: up to {percent(worst['unfinished'])} of the fits ({where})."


def per_image(records: Sequence[Any], name: str, change: Callable[[Any], Any] = np.asarray) -> pd.DataFrame:
    """A column per rule, a row per image: its mean over the records, which all fit the same images and hold the same rules.

    So an interval over rows rests on independent images, not on one image's fits by several nets and at several noise levels.
    change: what is done to the values before that (np.abs: sizes).
    """
    held = records[0].arrays["rules"].tolist()
    values = np.mean([change(record.arrays[name].astype(float)) for record in records], axis=0)
    return pd.DataFrame(values.T, columns=held)[[rule for rule in RULES if rule in held]]


def _over_images(values: Any) -> Paired:
    return paired(list(values), over="images")


def best_rules(records: Sequence[Any]) -> str:
    """The best rule of those that know the noise and of those that do not, over all images; are they apart?"""
    every = per_image(records, "lost")
    lost = every.drop(columns=["oracle", "end"])
    knowing = [rule for rule in lost if RULES[rule].knows == "std"]
    others = [rule for rule in lost if rule not in knowing]
    gaps = {(a, b): _over_images(lost[a] - lost[b]) for a in knowing for b in others}
    lines, best = [], (lost[knowing].mean().idxmin(), lost[others].mean().idxmin())
    for which, rule in zip(("given", "not given"), best, strict=True):
        gap = _over_images(lost[rule])
        lines.append(
            f"Best rule that is {which} the noise level: {RULES[rule].title}, PSNR lost {span(gap)} dB (n = {gap.n} images)."
        )
    name = f"PSNR lost by {RULES[best[0]].title} minus {RULES[best[1]].title}"
    lines.append(comparison(name, family("rules", gaps)[best], "dB"))
    lines.append(f"Not stopping at all loses {span(_over_images(every['end']))} dB.")
    nets = {net: per_image(own, "lost").mean() for net, own in _by_net(records).items()}
    early: dict[str, list[str]] = {}
    for rule in (rule for rule in ("wmv", "emv") if rule in lost):
        if more := [look(net).label for net, mean in nets.items() if mean[rule] > mean["end"]]:
            early.setdefault(" and ".join(more), []).append(RULES[rule].title)
    for where, rules in early.items():
        loses = f"lose{'s' * (len(rules) < 2)} more than not stopping on {where}, over all noise levels"
        lines.append(f"{' and '.join(rules)} {loses}: a rule's settings are the same for all nets, budgets are not.")
    return bullets(lines)


def _by_net(records: Sequence[Any]) -> dict[str, list[Any]]:
    return grouped(records, lambda record: record.run.net)


def as_set(records: Sequence[Any]) -> str:
    """The settings of the rules, on which what they lose depends."""
    run, budgets = records[0].run, {look(record.run.net).label: record.run.fixed for record in records}
    fixed = ", ".join(f"{budget} ({net})" for net, budget in budgets.items())
    return (
        f"Here: variances over {run.window} outputs, or with weight {run.alpha:g} for the newest; a minimum counts after "
        f"{run.patience} iterations without a lower one; $\\tau = {run.tau:g}$; {run.stages} levels from {run.level_high:g} to "
        f"{run.level_low:g}, {run.spacing} spacing; fixed budgets of {fixed} iterations."
    )


def staged(records: Sequence[Any]) -> str:
    """Do a DDPM's noise levels find the stop, beyond what plain discrepancy finds?"""
    gaps, nets, lines = _over_discrepancy(records), _by_net(records), []
    rest = [net for net in nets if not gaps[net, "lost"].decided]
    for net in (net for net in nets if net not in rest):
        said = comparison(f"{look(net).label}: PSNR lost by staged levels minus discrepancy", gaps[net, "lost"], "dB")
        stop, p = effect(gaps[net, "step"], "octaves"), shown_by(gaps[net, "step"])
        lines.append(f"{said} The same for the error of the stopping step: {stop}{f' ({p})' if p else ''}.")
    least = min((gaps[net, "lost"].p for net in rest), default=1.0)
    said = f"PSNR lost by staged levels minus discrepancy: not decidable on {', '.join(look(net).label for net in rest)}"
    return bullets([*lines, *([f"{said} (p = {least:.2f}{' or more' * (least < 1)})."] if rest else [])])


def _better_fit(records: Sequence[Any]) -> str:
    """How much of what staged levels gain in these fits is another fit, and no better stop."""
    own = rows(records)
    staged, plain = own[own["rule"] == "staged"], own.loc[own["rule"] == "discrepancy", "lost"].mean()
    gain, left = staged["fit_gain"], (staged["lost"] + staged["fit_gain"]).mean()  # left: to its own fit's best output
    size = " to ".join(f"{end:+.2f}" for end in dict.fromkeys((gain.min(), gain.max())))
    said = f"There the staged fit's best output is {size} dB above the plain fit's best. Stopped, it is {number(left, 2)} dB "
    said += f"below its own best, discrepancy {number(plain, 2)} dB below the plain fit's"
    better = ": a better fit, and in dB no better stop" if gain.min() > 0 and left >= plain else ""
    return f"{said}{better}."


def _over_discrepancy(records: Sequence[Any]) -> dict[tuple[str, str], Paired]:
    """(net, "lost" or "step") -> PSNR lost, and how far off the best step, by staged levels minus the same by discrepancy,
    which knows as much and adds no noise: a family.
    """
    gaps = {}
    for net, own in _by_net(records).items():
        lost, step = per_image(own, "lost"), per_image(own, "log2_step", np.abs)
        gaps[net, "lost"] = _over_images(lost["staged"] - lost["discrepancy"])
        gaps[net, "step"] = _over_images(step["staged"] - step["discrepancy"])
    return family("staged", gaps)


def stages(records: Sequence[Any]) -> str:
    """The best and worst setting of stage count and spacing, and whether they differ over the images."""
    lost = pd.concat(
        per_image([r], "lost").rename_axis("image").reset_index().assign(setting=f"{r.run.spacing}, {r.run.stages} stages")
        for r in records
    )
    if (found := extremes(lost, "setting", "staged", "image")) is None:
        return "One setting only."
    *ends, gap = found
    said = [f"{setting} ({number(lost.loc[lost['setting'] == setting, 'staged'].mean())} dB)" for setting in ends]
    name = f"PSNR lost (negative: gained on the plain fit's oracle): least with {said[0]}, most with {said[1]}; the difference"
    return comparison(name, gap, "dB", **DIFFERS)


def found(records: Sequence[Any]) -> str:
    """What the rules lose, and where they stop, for the figure's caption."""
    return f"What the rules lose, and where they stop:\n\n{best_rules(records)}\n{staged(records)}"


def answer(records: Sequence[Any]) -> str:
    """One sentence for a summary: the best rule of all, what it loses, and on which nets it is shown to beat its control."""
    lost = per_image(records, "lost").drop(columns=["oracle", "end"])
    rule = lost.mean().idxmin()
    gap = _over_images(lost[rule])
    said = (
        f"On average {RULES[rule].title} lost the least PSNR: {span(gap)} dB against the plain fit's oracle ({gap.n} images, "
    )
    said += f"each in {len(records)} settings)."
    if rule != "staged":
        return said
    gaps = {net: one for (net, what), one in _over_discrepancy(records).items() if what == "lost"}
    won = [net for net, one in gaps.items() if one.decided and one.value < 0]
    said += f" This rule is shown to lose less than discrepancy, which knows as much, on {len(won)} of {len(gaps)} nets"
    if not won:
        return f"{said}."
    fits = [record for record in records if record.run.net in won]
    return f"{said} ({', '.join(look(net).label for net in won)}). {_better_fit(fits)}"
