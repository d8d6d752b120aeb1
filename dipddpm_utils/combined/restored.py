"""What the restoration found (notebooks 04 and 07), as sentences and tables computed from records. Needs no torch.

`of`: of whose images, one of `sets_of`; "" means of all. `role`: what a method is to the comparison, see METHODS.
"""

from copy import copy
from itertools import product
from typing import Any, NamedTuple

import pandas as pd

from dipddpm_utils.page.compare import Paired, difference, family, frame_of, grouped
from dipddpm_utils.page.lab import once
from dipddpm_utils.page.prose import comparison, distance, ends, factor, means, number, other_spaces, span
from dipddpm_utils.parts import PUBLISHED
from dipddpm_utils.reports import gate

TASKS = {  # what is asked, and how strongly the images are degraded
    "denoise": ("Denoising {}", "noise of std {:g}"),
    "inpaint": ("Inpainting {}", "{:.0%} of the pixels seen"),
    "super_resolve": ("Super-resolution of {}", "means of {0:g} x {0:g} pixels"),
}
METHODS = {  # of a restore record: in short, and what it is to the comparison (cheap: a single chain)
    "degraded": ("the degraded image", ""),
    "smooth": ("smoothed, no network", ""),
    "dip": ("DIP alone", "with a DIP"),
    "dip_oracle": ("DIP alone, best stop (oracle)", ""),
    "dip_ddpm": ("DIP, then DDPM", "with a DIP"),
    "dip_told_ddpm": ("DIP, then DDPM told y", "with a DIP"),
    "ddpm": ("DDPM from y", "cheap"),
    "smooth_ddpm": ("smoothed, then DDPM", "cheap"),
    "told_ddpm": ("DDPM told y", "cheap"),
    "mean": ("mean of DDPM samples", "equal seconds"),
    "calls": ("DDPM, more calls", "equal seconds"),
    "eta": ("DDPM, more calls, eta 1", "equal seconds"),
    "ddnm": ("DDNM's projection, from noise", "equal seconds"),
    "unet": ("supervised U-Net", "equal seconds"),
    "chosen_unet": ("tuned supervised U-Net", "equal seconds"),  # in runs of its own, see `_with_tuned`
}
SUPERVISED = ("unet", "chosen_unet")  # trained on clean images for that degradation; the other rivals are the DDPM itself
SCORES = {  # (name, is more better?); the last only of colour images, and where that net was installed
    "psnr": ("PSNR (dB)", True),
    "ssim": ("SSIM", True),
    "features": ("feature distance", False),
    "imagenet": ("ImageNet distance", False),
}


class Counted(NamedTuple):
    """In how many of `of` settings the best way with a DIP is shown to be better than its rival, and worse."""

    won: int
    lost: int
    of: int


class Setting(NamedTuple):
    task: str
    strength: float
    of: str  # whose images, in words


def _setting(record: Any) -> Setting:
    of = PUBLISHED[name].title if (name := record.run.model.data.name) in PUBLISHED else "own images"
    return Setting(record.metrics["task"], record.metrics["strength"], of)


@once
def settings(lab: Any, of: str = "") -> dict[Setting, list[Any]]:
    """Each setting's records, of all seeds, and in them the rival that was tuned, where it was."""
    tuned = {(_setting(one), one.seed): one for one in (lab.seeds("restore-tuned") if lab.has("restore-tuned") else ())}
    found = grouped([_with_tuned(one, tuned.get((_setting(one), one.seed))) for one in lab.seeds("restore")], _setting)
    in_order = sorted(found, key=lambda setting: list(TASKS).index(setting.task))  # the same for digits and photographs
    return {setting: found[setting] for setting in in_order if of in ("", setting.of)}


def _with_tuned(record: Any, tuned: Any) -> Any:
    """A restore record, and in it what the tuned network made of the same images in a DIP's seconds (record `tuned`)."""
    if tuned is None:
        return record
    both = copy(record)
    pace = record.metrics["dip_oracle_seconds"] / tuned.metrics["dip_oracle_seconds"]  # the same fits, on two days or machines
    own = {f"chosen_{name}": value for name, value in tuned.metrics.items() if name.startswith("unet_")}
    both.metrics = {**record.metrics, **own, "chosen_unet_seconds": pace * own["chosen_unet_seconds"]}
    rows = tuned.evals[tuned.evals["method"] == "unet"].assign(method="chosen_unet")
    both.evals = pd.concat([record.evals, rows], ignore_index=True)
    if not tuned.seed:  # only these show images
        both.arrays = {**record.arrays, "panels_chosen_unet": tuned.arrays["panels_unet"]}
    return both


def sets_of(lab: Any) -> list[str]:
    """Whose images are restored, in words."""
    return list(dict.fromkeys(setting.of for setting in settings(lab)))


def figure_of(of: str) -> str:
    """The name of the figure of these images."""
    return f"04_restore_{of.lower().replace(' ', '_')}"


def denoiser(lab: Any, of: str) -> str:
    """How well the DDPM that restores these images draws them, beside what needs no learning, and in another feature space
    where it was judged in one; whether it draws any at all.
    """
    entry = lab.profile.find(next(iter(settings(lab, of).values()))[0].run.model)
    group = entry.name.removesuffix(f"-s{entry.run.seed}") if entry else ""
    if not lab.has(group):
        return ""
    if group == "main":  # whose distance and recall stand there
        return "How well the DDPM draws: [table](#tab-04_quality)."
    own, where, drawn = lab.seeds(group), gate.floor_of(lab, group), f"{group}-drawn"
    least, what = gate.trivial(where)
    said = f"The DDPM: {distance(own, where)}, recall {number(float(frame_of(own)['recall'].mean()), 2)}"
    said += f"; {what}: {number(least)}." if what else "."
    if why := gate.passed(lab, (group,)).why:
        said += f" It does not pass the gate of notebook 06 ({why})."
    if not lab.has(drawn):
        return said
    blur, real = (gate.floor_of(lab, drawn).metrics.get(f"trivial_{name}_fd_imagenet") for name in ("blur", "real"))
    beside = f" Blurred training images: {number(blur)}, real ones: {number(real)}." if blur and real else ""
    return f"{said} {other_spaces(lab.seeds(drawn))}{beside}"


def in_short(setting: Setting) -> str:
    """'Denoising MNIST, noise of std 0.2'."""
    name, strength = TASKS[setting.task]
    return f"{name.format(setting.of)}, {strength.format(setting.strength)}"


def over_records(records: list[Any], measure: str) -> float:
    """The mean of a measure of restore records."""
    return sum(record.metrics[measure] for record in records) / len(records)


def seconds(records: list[Any], role: str, but: tuple[str, ...] = ()) -> list[float]:
    """What the best way of a role (and not of `but`) took for the images of each model."""
    return [record.metrics[f"{best(records, role, but)}_seconds"] for record in records]


def given(lab: Any, role: str, of: str = "", but: tuple[str, ...] = ()) -> str:
    """'1.2 to 1.5': what the best rival of a role took in a setting, in times the DIP's, the least and the most."""
    return ends([sum(seconds(own, role, but)) / sum(seconds(own, "with a DIP")) for own in settings(lab, of).values()])


def how_many(lab: Any, of: str = "") -> str:
    """How many images were judged in a setting, of how many models: the fewest and the most."""
    said = []
    for name in [name for name in sets_of(lab) if of in ("", name)]:
        counts = [(len(judged(own, "dip")), len(own)) for own in settings(lab, name).values()]
        images, models = (" to ".join(map(str, sorted(set(own)))) for own in zip(*counts, strict=True))
        said.append(f"{images} images of {name} in all, split among {models} models")
    return f"n = {'; '.join(said)}"


def best(records: list[Any], role: str, but: tuple[str, ...] = ()) -> str:
    """The method with this role (and not of `but`) with the highest PSNR where all is chosen, not on the images judged."""
    able = [name for name, (_, own) in METHODS.items() if own == role and f"{name}_tuned" in records[0].metrics]
    return max((name for name in able if name not in but), key=lambda name: over_records(records, f"{name}_tuned"))


def scores(records: list[Any]) -> list[str]:
    """Which SCORES these records hold."""
    return [score for score in SCORES if all(score in record.evals for record in records)]


def judged(records: list[Any], method: str) -> pd.DataFrame:
    """The scores of a method, a row per image; models have images of their own."""
    rows = pd.concat([record.evals.assign(model=record.seed) for record in records])
    return rows[rows["method"] == method]


def by_model(records: list[Any], method: str) -> pd.DataFrame:
    """The same, a row per model: its images share it, and what it is good at, so they are not drawn independently."""
    return judged(records, method).groupby("model").mean(numeric_only=True)


@once
def restored(lab: Any) -> dict[tuple[Setting, str, str], Paired]:
    """(setting, score, "equal seconds" or "cheap") -> the best way with a DIP minus the best such rival, by model: a family."""
    gaps = {}
    for (setting, records), role in product(settings(lab).items(), ("equal seconds", "cheap")):
        gaps |= {(setting, score, role): gap for score, gap in _over(records, role).items()}
    return family("restoration", gaps)


def _over(records: list[Any], role: str) -> dict[str, Paired | None]:
    """score -> the best way with a DIP minus the best of this role, paired by model."""
    own, rival = (judged(records, best(records, one)) for one in ("with a DIP", role))
    return {score: difference(own, rival, score, by="model") for score in scores(records)}


def corrected(lab: Any) -> str:
    """What the p of `restored` were multiplied by."""
    gaps = restored(lab).values()
    looks = max(gap.looks for gap in gaps)
    looked = f", with p multiplied by the looks (up to {looks}: models were added)" if looks > 1 else ""
    return f"Holm's correction over the {max(gap.of for gap in gaps)} comparisons of this table{looked}"


def more_images(lab: Any, of: str = "") -> str:
    """One setting with more images: more seconds for a network that is trained once; '' where this was not computed."""
    more = lab.seeds("restore-more") if lab.has("restore-more") else []
    if not more or of not in ("", _setting(more[0]).of):
        return ""
    gaps = family("more images", _over(more, "equal seconds"))
    times = f"{more[0].metrics['n'] / settings(lab)[_setting(more[0])][0].metrics['n']:.2g}"
    beside, name = f"{METHODS['dip'][0]} minus the {METHODS['chosen_unet'][0]}", in_short(_setting(more[0]))
    asked = f"With {times} times the images and training, {beside}, {name[0].lower()}{name[1:]}"
    by_psnr = comparison(asked, gaps.pop("psnr"), "dB of PSNR", worse="better", better="worse")
    others = [f"{SCORES[score][0]} {_told(gap, score)}" for score, gap in gaps.items()]
    return f"{by_psnr} By other scores: {', '.join(others)}."


def restoration_table(lab: Any) -> pd.DataFrame:
    """One row per setting and method: scores with t-intervals over models, the first model's choices, seconds a model."""
    rows = []
    for setting, records in settings(lab).items():
        m, leading = records[0].metrics, [best(records, role) for role in ("with a DIP", "equal seconds", "cheap")]
        for method, (label, _) in METHODS.items():
            if f"{method}_psnr" not in m:  # a noisy image is nothing to be held to
                continue
            row = {"task": in_short(setting), "method": label}
            own = by_model(records, method)
            row |= means(own, {SCORES[score][0]: score for score in scores(records)})
            calls = m.get(f"{method}_nfe")
            chosen = [f"t = {m[f'{method}_t_start']}, {calls} call{'s' * (calls != 1)}"] if calls else []
            chosen += [f"{m[f'{method}_{what}']} {what}" for what in ("iterations", "steps") if f"{method}_{what}" in m]
            spent = number(over_records(records, f"{method}_seconds"), 2)
            rows.append(row | {"chosen": "; ".join(chosen), "seconds": spent, "best of its kind": "yes" * (method in leading)})
    return pd.DataFrame(rows).fillna("")


def restored_pairs(lab: Any) -> pd.DataFrame:
    """One row per setting and rival: how much better or worse the best way with a DIP is, paired by model."""
    rows, gaps = [], restored(lab)
    for (setting, records), role in product(settings(lab).items(), ("equal seconds", "cheap")):
        row = {"task": in_short(setting)}
        for column, one in (("with a DIP (s)", "with a DIP"), ("without (s)", role)):
            way = best(records, one)
            row[column] = f"{METHODS[way][0]} ({number(over_records(records, f'{way}_seconds'), 2)})"
        rows.append(row | {SCORES[score][0]: _told(gaps[setting, score, role], score) for score in scores(records)})
    return pd.DataFrame(rows).fillna("")


def _told(gap: Paired, score: str) -> str:
    return f"{factor(gap) if gap.ratio else span(gap, '+')} {_shown(gap, score)}"


def _shown(gap: Paired, score: str) -> str:
    """What a difference in a score means for the DIP."""
    more_is_better = SCORES[score][1]
    return "not decidable" if not gap.decided else "better" if (gap.value > 0) == more_is_better else "worse"


def restored_count(lab: Any, role: str, of: str = "") -> str:
    """'won 0 and lost 2 by PSNR (SSIM 0 and 1; ImageNet distance 0 and 0 of 2)': settings that a DIP won and lost."""
    found = won_and_lost(lab, role, of)
    psnr = found.pop("PSNR")
    others = (f"{name} {one.won} and {one.lost}" + f" of {one.of}" * (one.of < psnr.of) for name, one in found.items())
    return f"won {psnr.won} and lost {psnr.lost} by PSNR ({'; '.join(others)})"


def won_and_lost(lab: Any, role: str, of: str = "") -> dict[str, Counted]:
    """score -> in how many settings the best way with a DIP won and lost."""
    found = {}
    for score, (name, _) in SCORES.items():
        gaps = [gap for (setting, *by), gap in restored(lab).items() if by == [score, role] and of in ("", setting.of)]
        shown = [_shown(gap, score) for gap in gaps]
        if shown:
            found[name.split(" (")[0]] = Counted(shown.count("better"), shown.count("worse"), len(shown))
    return found


def restored_short(lab: Any, of: str = "") -> str:
    """The best way with a DIP against the best rival at equal seconds and the best single chain, and what more images do."""
    even, cheap = (f"in {given(lab, role, of)} times" for role in ("equal seconds", "cheap"))
    said = f"Of {len(settings(lab, of))} settings a DIP {restored_count(lab, 'equal seconds', of)} against the best rival, "
    said += f"{even} the DIP's seconds ([table](#tab-04_restore_pairs)). Against the best single chain, {cheap} those, it "
    return f"{said}{restored_count(lab, 'cheap', of)}. {more_images(lab, of)}".strip()


def behind(lab: Any, of: str) -> str:
    """What no stopping rule can change."""
    found = settings(lab, of).values()
    lost = [over_records(own, "dip_oracle_psnr") < over_records(own, f"{best(own, 'equal seconds')}_psnr") for own in found]
    said = "Even stopped at each image's best step, the DIP alone stays below the best rival's mean PSNR"
    return f"{said} in {sum(lost)} of {len(lost)} settings (not tested)."
