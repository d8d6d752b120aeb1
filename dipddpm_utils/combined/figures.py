"""Mechanisms in pictures: quality over all seconds with every method on it, and restoration by every method."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dipddpm_utils.combined import findings, restored
from dipddpm_utils.combined.mechanisms import in_words, settings
from dipddpm_utils.page import images
from dipddpm_utils.page.compare import copies, floor_at, floor_n, over_seeds, summary
from dipddpm_utils.page.names import METHODS, Look, mechanisms
from dipddpm_utils.page.style import DARK, bars, distance_label, finish, log_x, new, styled, what_interval

POINT, ALONE = Look("", DARK, "o"), METHODS["baseline"].colour


@styled
def pareto(frame: pd.DataFrame, floor: Any) -> Figure:
    """A row per setting: distance, all seconds, copies. Each mechanism is followed by its own controls. Hollow: no DIP."""
    height = 1.5 + 0.22 * len(settings(frame))
    figure, panels = new(3, width=9.0, height=height, sharey=True, width_ratios=(6, 2, 1))
    n, unit = frame["n"].iloc[0], distance_label(frame["features"].iloc[0])
    _rows(panels, frame, unit)
    each = frame["label"] + " " + frame["value"].astype(str)
    interval = what_interval(over_seeds(frame.assign(setting=each), "setting", "fd"), "fd")
    note = f"n = {n:.0f} images a point; {interval}. Filled: a DIP in it; hollow: none. Each mechanism is followed by its "
    note += "controls; more calls and more training stand last. Bold: what no other setting beats in distance and seconds "
    note += f"(up to {findings.SAME - 1:.0%} more count as the same); oracles and what gives images back are left out. Blue: "
    note += "the DDPM alone. Given back: bars look copied; diamonds lie nearest to the image that they were made from."
    note += f" {METHODS['floor'].label.capitalize()}: {floor_at(floor, 'fd', n).value:.2g} at n = {floor_n(floor, n):.0f}."
    return finish(figure, "Quality for all that it costs: every mechanism and every control", note)


def ways(frame: pd.DataFrame) -> list[tuple[str, Any, pd.DataFrame]]:
    """Every setting: the DDPM alone first, then each mechanism with its controls, then what one would try without any."""
    place = {name: i for i, name in enumerate(("baseline", *mechanisms()))}
    return sorted(settings(frame), key=lambda way: place.get(way[0], place.get(way[0].split()[0], len(place))))


def _rows(panels: Sequence[Axes], frame: pd.DataFrame, unit: str) -> None:
    """A row per setting: the distance with its interval, and the DDPM alone as a line; its seconds; its copies."""
    (quality, seconds, back), found, best = panels, ways(frame), {one[:2] for one in findings.front(frame)}
    for place, (label, _, rows) in enumerate(found):
        distance, cost, given = summary(rows, "fd"), summary(rows, "cost"), copies(rows)
        own = POINT._replace(colour=ALONE if label in ("baseline", "more calls", "more training") else DARK)
        filled = DARK if label in mechanisms() else "white"  # a DIP in it, or none: too many for colours
        ends = distance.value, distance.low, distance.high
        bars(quality, place, *ends, own, markerfacecolor=filled, label=None, sideways=True)
        bars(seconds, place, cost.value, cost.low, cost.high, Look("", DARK, ""), sideways=True)
        seconds.barh(place, cost.value, color="#BBBBBB", height=0.6)
        back.barh(place, 100 * given.looks, color=DARK, height=0.6)
        if given.has_source:
            back.plot(100 * given.source, place, "D", markersize=4, color=DARK, markerfacecolor="white", clip_on=False)
        if label == "baseline":
            quality.axvline(distance.value, color=ALONE, linestyle="--", linewidth=1, zorder=1)
    log_x(quality)
    quality.set_yticks(range(len(found)), [in_words(frame, *one[:2]) for one in found], fontsize=8)
    for one, name in zip(found, quality.get_yticklabels(), strict=True):
        name.set_fontweight("bold" if one[:2] in best else "normal")
    quality.set(xlabel=unit, ylim=(len(found) - 0.4, -0.6))
    seconds.set(xlabel="seconds in all", xlim=(0, None))
    back.set(xlabel="given back (%)", xlim=(0, 100))
    for ax in (seconds, back):
        ax.tick_params(axis="y", left=False)


ROLES = {"with a DIP": "#D55E00", "equal seconds": "#009E73", "cheap": "#767676"}  # of a way to restore: its colour


@styled
def restoration(lab: Any, of: str) -> Figure:
    """PSNR over seconds: every way of restoring these images (one of `restored.sets_of`), a panel per setting.

    Filled: a DIP in it. Large, and named above the panel: the best one of each role.
    """
    found = restored.settings(lab, of)
    columns = 2 if len(found) in (2, 4) else min(3, len(found))
    rows = -(-len(found) // columns)
    figure, panels = new(columns, rows, count=len(found), width=9.0, height=3.4 * rows + 0.6)
    for ax, (setting, records) in zip(panels, found.items(), strict=True):
        _ways_to_restore(ax, records)
        task, strength = restored.TASKS[setting.task]
        title = f"{task.format('').strip().removesuffix(' of')}, {strength.format(setting.strength)}"
        ax.set_title(title, loc="left", fontsize=8, pad=36)
        ax.margins(x=0.1, y=0.1)
        log_x(ax)
    for ax in panels[::columns]:
        ax.set_ylabel("PSNR (dB)")
    for ax in panels[(rows - 1) * columns :]:
        ax.set_xlabel("seconds for the images of one model")
    held = {label: handle for handle, label in zip(*panels[0].get_legend_handles_labels(), strict=True)}
    figure.legend(held.values(), held.keys(), loc="outside upper right", ncols=3, fontsize=8)
    note = f"{restored.how_many(lab, of)}; mean and 95% t-interval over models. "
    note += "Large, named above: the best of its colour, by other images; small: the others. y: the degraded image."
    return finish(figure, f"Restoring {of}: what each way makes of its seconds", note)


def _ways_to_restore(ax: Axes, records: Sequence[Any]) -> None:
    """A point a way; the best of each role larger, and named above the panel."""
    best = {role: restored.best(records, role) for role in ROLES}
    for name, (_, role) in restored.METHODS.items():
        if not role or f"{name}_psnr" not in records[0].metrics:
            continue
        score, dip = summary(restored.by_model(records, name), "psnr"), role == "with a DIP"
        own = Look({"cheap": "single chain", "equal seconds": "given a DIP's seconds"}.get(role, role), ROLES[role], "o")
        about = {"markerfacecolor": own.colour if dip else "white", "markersize": 8.5 if name == best[role] else 5}
        bars(ax, restored.over_records(records, f"{name}_seconds"), score.value, score.low, score.high, own, **about)
    for place, role in enumerate(reversed(ROLES)):
        at = {"xytext": (2, 3 + 11 * place), "xycoords": "axes fraction", "textcoords": "offset points"}
        ax.annotate(restored.METHODS[best[role]][0], (0, 1), **at, color=ROLES[role], fontsize=8)


def restored_images(lab: Any, of: str) -> Figure:
    """A row per setting of these images (one of `restored.sets_of`), the first judged: clean, degraded, the best cheap way,
    the best at equal seconds, with a DIP.
    """
    rows, names, shown = [], [], 2
    for setting, records in restored.settings(lab, of).items():
        arrays = records[0].arrays
        ways = ["clean", "degraded", *(restored.best(records, role) for role in ("cheap", "equal seconds", "with a DIP"))]
        rows.append(np.concatenate([arrays[f"panels_{way}"][:shown] for way in ways]))
        names.append(restored.in_short(setting).replace(", ", "\n", 1))
    heads = ("clean", "given", "single chain", "equal seconds", "with a DIP")
    labels = [label for head in heads for label in (head, *[""] * (shown - 1))]
    note = "The first images judged, not selected. Single chain, equal seconds: the best without a DIP, by other images."
    return images.rows_with_labels(np.stack(rows), labels, "What is given, and what is made of it", note, names)
