"""Names and looks of all that is drawn or compared: labels, colours, markers. Needs neither matplotlib nor torch.

Priors bring theirs along (priors/declared.py); here is what is not one.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from dipddpm_utils.config import kinds


class Look(NamedTuple):
    label: str
    colour: str
    marker: str


# Okabe & Ito's palette (readable without colour vision) has eight colours and we have more methods: some share one, and differ
# in their markers. Priors (priors/declared.py) share them with nets that they are never drawn beside.
METHODS: dict[str, Look] = {
    "baseline": Look("DDPM alone", "#0072B2", "o"),
    "on-dip": Look("DDPM trained on DIP outputs", "#D55E00", "s"),
    "2conv": Look("2conv", "#E69F00", "v"),
    "5conv": Look("5conv", "#D55E00", "h"),
    "resnet18": Look("ResNet-18", "#CC79A7", "P"),
    "skip": Look("skip hourglass", "#56B4E9", "^"),
    "floor": Look("real against real", "#8C8C8C", ""),
    "more training": Look("more training", "#0072B2", "h"),
    "more calls": Look("DDPM alone, more calls or another sampler", "#0072B2", "p"),
    "min-snr": Look("min-SNR loss", "#0072B2", "<"),
    "ddim sampler": Look("DDIM instead of DPM-Solver++", "#0072B2", "d"),
    "ancestral": Look("ancestral", "#000000", "v"),
    "ddim": Look("DDIM", "#0072B2", "o"),
    "ddim eta 1": Look("DDIM with eta 1", "#009E73", "D"),
    "dpmpp_2m": Look("DPM-Solver++(2M)", "#E69F00", "s"),
}
ALIASES = {"a-ddpm": "baseline", "a-2conv": "2conv", "a-resnet18": "resnet18", "b-ddpm": "baseline", "b-combined": "on-dip"}
GREY = METHODS["floor"].colour


def mechanisms() -> dict[str, Any]:
    """The declared priors that have something to beat, by name; every further start with a DIP as one, beside "start"."""
    found = {}
    for name, kind in kinds().items():
        found |= {name: kind} if kind.controls else {}
        if name == "start":  # the others have its controls
            found |= {f"start {other}": replace(kind, key=other) for other in starts(dip=True) if other != kind.key}
    return found


def starts(*, dip: bool) -> tuple[str, ...]:
    """The starts of a chain that use a DIP, or the controls that need none. Noise and oracles are neither."""
    own = [kind for kind in kinds().values() if kind.place == "start" and kind.key == kind.name]
    return tuple(kind.name for kind in own if kind.dip == dip and not kind.oracle and kind.name != "noise")


def fitted_once() -> tuple[str, ...]:
    """The DIP starts whose DIP is fitted once, for all images."""
    return tuple(name for name in starts(dip=True) if not kinds()[name].bank)


def begun_from(start: str) -> str:
    """What chains of a start with a DIP begin from, in words."""
    return "DIP outputs" if start == "dip" else look(start).label


def look(method: str) -> Look:
    """Label, colour and marker of a method, a sampler, a prior, or (black dots) of something that has none.

    "<prior> blur" is that prior with a blur in the DIP's place, "start <start>" a start among the mechanisms.
    """
    declared = {name: kind.look for name, kind in kinds().items()}
    known, name = declared | METHODS, ALIASES.get(method, method)
    if name in known:
        return known[name]
    prior, _, last = name.rpartition(" ")
    if prior == "start" and last in declared:
        return declared[last]._replace(label=f"start: {declared[last].label}")
    if last == "blur" and prior in declared:
        return declared[prior]._replace(label=declared[prior].label.replace("DIP", "blur"))
    return Look(method, "#000000", "o")
