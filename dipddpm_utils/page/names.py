"""Names and looks of all that is drawn or compared: labels, colours, markers. Needs neither matplotlib nor torch."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    label: str
    colour: str
    marker: str


# Okabe & Ito's palette (readable without colour vision) has eight colours and we have more methods, so a start that is only
# a control shares a colour with a net it is never drawn beside; its marker differs.
METHODS: dict[str, Look] = {
    "baseline": Look("DDPM alone", "#0072B2", "o"),
    "on-dip": Look("DDPM trained on DIP outputs", "#D55E00", "s"),
    "start-dip": Look("DDPM started from DIP outputs", "#009E73", "D"),
    "2conv": Look("2conv", "#E69F00", "v"),
    "5conv": Look("5conv", "#D55E00", "h"),
    "resnet18": Look("ResNet-18", "#CC79A7", "P"),
    "skip": Look("skip hourglass", "#56B4E9", "^"),
    "blur": Look("blurred training images", "#E69F00", "<"),
    "mean": Look("mean training image", "#CC79A7", "X"),
    "gaussian": Look("fitted Gaussian", "#56B4E9", ">"),
    "real": Look("training images (oracle)", "#000000", "*"),
    "floor": Look("real against real", "#8C8C8C", ""),
}
# The mechanisms of notebook 04, each shown as the control that has a blur in the DIP's place is (that one hollow). There are
# more of them than colours, so two that are trained on DIP outputs share one, with different markers.
MECHANISMS: dict[str, Look] = {
    "curriculum": Look("DIP outputs first (share)", "#D55E00", "s"),
    "weights": Look("DIP-fitted weights", "#E69F00", "P"),
    "start": Look("DIP start", "#009E73", "D"),
    "reinject": Look("DIP images re-injected (weight)", "#56B4E9", "^"),
    "shift": Look("DIP-shifted process", "#CC79A7", "v"),
    "condition": Look("DIP as a condition", "#D55E00", "X"),
    "guidance": Look("DIP guidance (weight)", "#000000", "p"),
}
BLURRED = {  # what is blurred in each of these controls, in short
    "curriculum": "outputs first",
    "weights": "fitted weights",
    "reinject": "re-injected",
    "shift": "shifted process",
    "condition": "condition",
    "guidance": "guidance",
}
WITHOUT_DIP: dict[str, Look] = {
    **{f"{name} blur": MECHANISMS[name]._replace(label=f"{what}: blur instead of DIP") for name, what in BLURRED.items()},
    "start blur": METHODS["blur"]._replace(label="start: blur instead of DIP"),
    "start mean": METHODS["mean"]._replace(label="start: mean image"),
    "start gaussian": METHODS["gaussian"]._replace(label="start: fitted Gaussian"),
    "start real": METHODS["real"]._replace(label="start: training images (oracle)"),
    "more training": Look("more training", "#0072B2", "h"),
    "min-snr": Look("min-SNR loss", "#0072B2", "<"),
    "ddim sampler": Look("DDIM instead of DPM-Solver++", "#0072B2", "d"),
}
ALIASES = {
    "noise": "baseline", "dip": "start-dip", "ddpm": "baseline", "ddpm-on-dip": "on-dip",
    "a-ddpm": "baseline", "a-2conv": "2conv", "a-resnet18": "resnet18", "a-dip-2conv": "2conv", "a-dip-resnet18": "resnet18",
    "b-ddpm": "baseline", "b-combined": "on-dip",
}  # fmt: skip
SAMPLERS: dict[str, Look] = {
    "ancestral": Look("ancestral", "#000000", "v"),
    "ddim": Look("DDIM", "#0072B2", "o"),
    "ddim eta 1": Look("DDIM with eta 1", "#009E73", "D"),
    "dpmpp_2m": Look("DPM-Solver++(2M)", "#E69F00", "s"),
}
GREY = METHODS["floor"].colour
DIP_STARTS, FREE_STARTS = ("dip",), ("mean", "gaussian", "blur")


def starts(*, dip: bool) -> tuple[str, ...]:
    """The starts of a chain that use a DIP, or the controls that need none. Noise and oracles are neither."""
    return DIP_STARTS if dip else FREE_STARTS


def look(method: str) -> Look:
    """Label, colour and marker of a method, a sampler, or (black dots) of something that has none."""
    name = ALIASES.get(method, method)
    found = next((table[name] for table in (METHODS, MECHANISMS, WITHOUT_DIP, SAMPLERS) if name in table), None)
    return found or Look(method, "#000000", "o")
