"""Records -> numbers and sentences with n and interval: those that chapters share, of which their findings.py are made.

A number has three significant digits, an interval as many places as its value. Functions of sentences return Markdown. A
difference is called one only if its corrected p-value says so (compare.py); the interval beside it is the plain one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from dipddpm_utils.judging.stats import ALPHA, Interval
from dipddpm_utils.page.compare import KEPT, Copies, Paired, floor_at, floor_n, frame_of, summary
from dipddpm_utils.page.names import look


class Link(NamedTuple):
    """A cell of a table that leads somewhere: what it says, and where to."""

    text: str
    target: str


def decimals(value: float, digits: int = 3) -> int:
    """Decimal places that show `value` to that many significant digits, 5 at most: 14.2 -> 1, 0.0412 -> 4, 1234 -> 0."""
    if not math.isfinite(value) or value == 0:
        return digits - 1
    return min(5, max(0, digits - 1 - math.floor(math.log10(abs(value)) + 1e-12)))


def number(value: float | None, digits: int = 3) -> str:
    """A number to three significant digits, with thousands separated by a thin space in long integers."""
    if value is None or not math.isfinite(value):
        return "not known"
    return f"{value:,.{decimals(value, digits)}f}".replace(",", "\u202f")


def count(value: float) -> str:
    """A whole number, thousands separated by a thin space."""
    return f"{value:,.0f}".replace(",", "\u202f")


def span(interval: Interval | None, sign: str = "") -> str:
    """'14.2 [13.1, 15.0]'; without an interval only the value; '' if nothing was measured. sign: '+' to show it always."""
    if interval is None:
        return ""
    ends = [end for end in (interval.low, interval.high) if math.isfinite(end)]
    if not any((interval.value, *ends)):
        return "0"
    places = decimals(max(map(abs, (interval.value, *ends))) if sign else interval.value)
    if len(ends) == 2:  # a narrow one is seen to be an interval, as far as five places can show it
        places = next((more for more in range(places, 6) if round(ends[0], more) != round(ends[1], more)), places)
    value, *bounds = (f"{x:{sign}.{places}f}" for x in (interval.value, *ends))
    return f"{value} [{', '.join(bounds)}]" if len(bounds) == 2 else value


def means(frame: pd.DataFrame, columns: Mapping[str, str]) -> dict[str, str]:
    """Cells of a table's row: its heading -> `over_rows` of a measure. columns: heading -> measure."""
    return {heading: over_rows(frame, metric) for heading, metric in columns.items()}


def over_rows(frame: pd.DataFrame, metric: str) -> str:
    """The `summary` of a measure; of two rows, which have no interval, their mean and both: '43.0 (36.0, 51.4)'."""
    said, values = span(summary(frame, metric)), frame[metric].dropna() if metric in frame else ()
    return f"{said} ({', '.join(map(number, sorted(values)))})" if len(values) == 2 else said


def real_images(floor: Any, n: float) -> str:
    """' Real against real: 0.136 [0.077, 0.196].', for a caption; '' without a floor."""
    if (least := floor_at(floor, "fd", n)) is None:
        return ""
    return f" Real against real{_at_other_n(floor, n)}: {span(least)}."


def _at_other_n(floor: Any, n: float) -> str:
    return f" at n = {floor_n(floor, n):.0f}" if floor_n(floor, n) != n else ""


def over_floor(fd: Interval, floor: Interval) -> str:
    """'6.6 to 20': how many times the floor a distance is, as far as both intervals tell; '' where that may be any."""
    (low, high), (least, most) = ((one.low, one.high) if math.isfinite(one.low) else (one.value,) * 2 for one in (fd, floor))
    return ends([low / most, high / least]) if least > 0 else ""


def ends(values: Sequence[float]) -> str:
    """The least and the most of some numbers: '1.2 to 1.5'."""
    return " to ".join(dict.fromkeys(number(end, 2) for end in (min(values), max(values))))


def factor(gap: Paired) -> str:
    """A difference of logarithms as a factor: '1.31 [1.12, 1.53]'."""
    return span(Interval(math.exp(gap.low), math.exp(gap.value), math.exp(gap.high), gap.n))


def effect(gap: Paired | None, unit: str = "") -> str:
    """'a factor of 1.31 [1.12, 1.53]', or '+6.3 [+2.1, +10.4] dB'; '' if there is none."""
    if gap is None:
        return ""
    return f"a factor of {factor(gap)}" if gap.ratio else f"{span(gap, '+')} {unit}".strip()


def pairs(gap: Paired) -> str:
    """'8 seeds', '1 seed': of what a comparison is, and how many."""
    return f"{gap.n} {gap.over.removesuffix('s' * (gap.n == 1))}"


def shown_by(gap: Paired) -> str:
    """'p = 0.012, Holm over 8': what the verdict rests on; '' with one pair."""
    if not math.isfinite(gap.p):
        return ""
    places = 4 if f"{gap.p:.3f}" == f"{ALPHA:.3f}" else 2 if gap.p >= 0.1 else 3  # so that it is seen to be above or below
    p = "p < 0.001" if gap.p < 1e-3 else f"p = {gap.p:.{places}f}"
    return p + (f", Holm over {gap.of}" if gap.of > 1 else "")


# --- sentences ----------------------------------------------------------------------------------------------------------

NOT_MEASURED = "Not yet measured: this profile has no records of it."
LOWER = {"worse": "higher", "better": "lower"}  # of a distance whose direction is no verdict
DIFFERS = {"worse": "a real difference", "better": "a real difference"}  # of a comparison in which neither is the better one


def distance(records: Sequence[Any], floor: Any = None) -> str:
    """'FD-MNIST 14.2 [13.1, 15.0] (n = 2000, DDIM, 50 calls), 5.9 to 6.8 times the real-vs-real floor of 2.26 [2.1, 2.4]'.

    Of several records, the seeds of a run, their mean with its t-interval.
    """
    frame = frame_of(records)
    features, n = frame["features"].iloc[0], float(frame["n"].iloc[0])
    value = summary(frame, "fd")
    seeds = f", {len(frame)} seeds" if len(frame) > 1 else ""
    if "draws" in frame and (draws := int(frame["draws"].iloc[0])) > 1:
        seeds += f", mean of {draws} sets of samples{', interval of one' * (not seeds)}"
    how = f", {look(frame['sampler'].iloc[0]).label}, {frame['nfe'].iloc[0]:.0f} calls" if "sampler" in frame else ""
    text = f"{features} {span(value)} (n = {n:.0f}{how}{seeds})"
    if (least := floor_at(floor, "fd", n)) is None:
        return text
    times = over_floor(value, least)
    return f"{text}, {f'{times} times' if times else 'beside'} the real-vs-real floor of {span(least)}{_at_other_n(floor, n)}"


def other_spaces(records: Sequence[Any]) -> str:
    """FID, and the distance in the second space of colour images, where they were measured, else why not.

    '' where a profile does not ask for them.
    """
    frame, said = frame_of(records), []
    for name, what in (("fid", "Its FID (pytorch-fid's Inception"), ("fd_imagenet", "In a second space (FD-IMAGENET")):
        if name in frame:
            said.append(f"{what}, n = {frame[f'{name}_n'].iloc[0]:.0f}): {span(summary(frame, name))}.")
    notes = {note for record in records for note in record.notes}
    if any(note.startswith("no FID") for note in notes):
        said.append("No FID: Inception's weights could not be had (the records say why).")
    second = sorted(note for note in notes if note.startswith("no second"))
    return " ".join([*said, *(f"N{': '.join(note[1:].split(': ')[:2])}." for note in second)])


def short_verdict(gap: Paired, worse: str = "worse", better: str = "better") -> str:
    """'**worse** (p = 0.012)': for a table, without the size of the family and what it would take."""
    p = shown_by(replace(gap, of=1))
    return word(gap, worse, better) + (f" ({p})" if p else "")


def word(gap: Paired, worse: str = "worse", better: str = "better") -> str:
    """The verdict without what it rests on: '**worse**', 'better' (of a measure where lower is better), or 'not decidable'.

    Where the models of a side draw no images, or fail the gate, it is 'higher' or 'lower'.
    """
    if not gap.decided:
        return "**not decidable**" + (f" from one {gap.over.removesuffix('s')}" if gap.n == 1 else "")
    if not gap.images and worse != better:
        worse, better = LOWER.values()
    return f"**{worse if gap.value > 0 else better}**"


def comparison(name: str, gap: Paired, unit: str = "", *, worse: str = "worse", better: str = "better") -> str:
    """'PSNR of A minus B: +6.3 [+2.1, +10.4] dB, 3 seeds: **worse** (p = 0.012, Holm over 8).'; a ratio as a bare factor.

    Of one that is not decidable also what it would take.
    """
    of = f", {pairs(gap)}" if gap.n > 1 else ""
    needed, p = None if gap.decided else gap.needed(), shown_by(gap)
    power = f"; 80% power: {needed} {gap.over}" if needed and needed > gap.n else ""
    rests = f" ({p}{power})" if p else ""
    return f"{name}: {factor(gap) if gap.ratio else effect(gap, unit)}{of}: {word(gap, worse, better)}{rests}."


def bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def caution(lab: Any) -> str:
    """What the numbers of this profile are worth; the smoke profile's are worth nothing."""
    name, about = lab.profile.name.partition(":")[0], lab.profile.about
    if name == "smoke":
        return "> **These are the numbers of the smoke profile: they show that everything runs, and mean nothing else.**"
    return f"> Numbers of the **{name}** profile" + (f" ({about})." if about else ".")


def copying(found: Copies) -> str:
    """'3% look copied, 80% nearest to their own image', the one that they were made from."""
    looks = f"{percent(found.looks)} look copied"
    if math.isnan(found.source) or not found.has_source:
        return looks
    return f"{looks}, {percent(found.source)} nearest to their own image"


def copy_rule() -> str:
    """When samples count as copies, see `Copies.many`."""
    return (
        f"If more than {KEPT:.0%} of the samples lie nearest to their own image, or if samples look copied over twice as often "
        "as held-out images do, they are not new images and a low distance is no gain."
    )


def direction(found: Copies) -> dict[str, str]:
    """Words for a start's distance that is no verdict: its samples are given back, or nobody knows; {} where it is one."""
    return LOWER if found.many or math.isnan(found.source) else {}


def images_back(found: Copies) -> str:
    """'80% nearest to their own image', the one that they were begun from, or '30% look copied': the sign that there is."""
    return f"{percent(found.share)} {'nearest to their own image' if found.share == found.source else 'look copied'}"


def percent(share: float, digits: int = 2) -> str:
    """'12%'; what would round to none or to all is 'less than 0.01%' or 'over 99%'."""
    if 0 < share < 1e-4 or 0.99 < share < 1:
        return "less than 0.01%" if share < 0.5 else "over 99%"
    return f"{number(100 * share, digits) if share else 0}%"
