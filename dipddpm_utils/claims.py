"""The seventeen claims of the two reports: what was said, what would show it, and a verdict computed from records.

A test takes a lab and gives a Finding; whether the claim holds follows from its interval alone, so new records can change
a verdict and no sentence has to be edited. Runs that a profile does not declare make the verdict 'not yet measured'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from .claims_tests import (
    SAME,
    Finding,
    Test,
    costs_more,
    falls_faster,
    fewer_steps,
    first_lower,
    greyer,
    rises,
    slope_of,
    trains_shorter,
)
from .comparisons import Paired
from .prose import bullets
from .wording import signed

Verdict = Literal["holds", "does not hold", "artefact", "not decidable", "not yet measured"]


@dataclass(frozen=True)
class Claim:
    """One claim. needs: groups of runs that the test reads. figure: where its evidence is drawn (notebook, figure)."""

    id: str
    said: str
    hypothesis: str
    needs: tuple[str, ...]
    figure: str
    test: Test | None = None


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict."""

    claim: Claim
    verdict: Verdict
    finding: Finding | None
    data: str = ""  # the data set it was tested on

    def row(self) -> dict[str, Any]:
        """One line of claims.csv."""
        finding, effect = self.finding, self.finding.effect if self.finding else None
        return {
            "claim": self.claim.id,
            "said": self.claim.said,
            "tested": self.claim.hypothesis,
            "on": self.data,
            "n (seeds)": effect.n if effect else "",
            "effect, 95% interval": f"{signed(effect)} {finding.unit}".strip() if effect else "",
            "verdict": self.verdict,
            "why": finding.why + _needed(effect, self.verdict) if effect else f"needs runs: {', '.join(self.claim.needs)}",
            "figure": self.claim.figure,
        }


def judge(claim: Claim, lab: Any) -> Judged:
    """Test a claim on the records of a profile."""
    if claim.test is None or not all(lab.has(group) for group in claim.needs):
        return Judged(claim, "not yet measured", None)
    finding = claim.test(lab)
    if finding is None:
        return Judged(claim, "not yet measured", None)
    run = lab.seeds(claim.needs[0])[0].run
    return Judged(claim, _verdict(finding), finding, (getattr(run, "data", None) or run.model.data).name)


def audit(lab: Any) -> list[Judged]:
    """All seventeen claims, A1 to A9 and B1 to B8."""
    return [judge(claim, lab) for claim in CLAIMS]


def table(judged: list[Judged]) -> pd.DataFrame:
    """One row a claim, its id first."""
    return pd.DataFrame([one.row() for one in judged])


def _verdict(finding: Finding) -> Verdict:
    effect = finding.effect
    if effect.low is None or effect.high is None:
        return "not decidable"
    if finding.equal:
        inside, outside = max(abs(effect.low), abs(effect.high)) <= SAME, effect.low > SAME or effect.high < -SAME
        return "holds" if inside else "does not hold" if outside else "not decidable"
    if effect.low > 0:
        return "artefact" if finding.artefact_of else "holds"
    return "does not hold" if effect.high < 0 else "not decidable"


def _needed(effect: Paired, verdict: Verdict) -> str:
    if verdict != "not decidable":
        return ""
    return (
        " One seed gives no interval."
        if effect.n == 1
        else f" About {effect.needed} seeds would be needed."
        if effect.needed
        else ""
    )


def hypotheses() -> pd.DataFrame:
    """What is tested, written down before the runs: a row a claim."""
    rows = [{"claim": c.id, "said": c.said, "what would show it": c.hypothesis, "runs": ", ".join(c.needs)} for c in CLAIMS]
    return pd.DataFrame(rows)


def summary(judged: list[Judged]) -> str:
    """How many claims got which verdict, and which."""
    lines = []
    for verdict in ("holds", "does not hold", "artefact", "not decidable", "not yet measured"):
        ids = [one.claim.id for one in judged if one.verdict == verdict]
        lines.append(f"**{verdict.capitalize()}**: {len(ids)} of {len(judged)}" + (f" ({', '.join(ids)})." if ids else "."))
    return bullets(lines)


# --- the claims -------------------------------------------------------------------------------------------------------

A_RUNS = ("a-ddpm", "a-2conv", "a-resnet18")  # report A's three variants
START_FIGURE = "04, fd_vs_t_start"
DIP_FD = "FD of the DIP's outputs for clean images to held-out images: what the DDPM is trained on."

CLAIMS: list[Claim] = [
    Claim(
        "A1",
        "The first FID is the lowest with DIP.",
        "first evaluation: FD with 2conv below FD alone",
        A_RUNS,
        "03, fd_over_training",
        first_lower("a-2conv", "a-ddpm"),
    ),
    Claim(
        "A2",
        "The FID falls faster with DIP.",
        "fall of FD from first to last evaluation is larger with 2conv",
        A_RUNS,
        "03, fd_over_training",
        falls_faster("a-2conv", "a-ddpm"),
    ),
    Claim(
        "A3",
        "The FID rises later in training.",
        "last FD above the minimum before it, with 2conv",
        A_RUNS,
        "03, fd_over_training",
        rises("a-2conv"),
    ),
    Claim(
        "A4",
        "Plain DDPM's first FID is higher than both.",
        "first evaluation: FD alone above FD with ResNet-18",
        A_RUNS,
        "03, fd_over_training",
        first_lower("a-resnet18", "a-ddpm"),
    ),
    Claim(
        "A5",
        "ResNet18 against 2conv changes FID by less than 5.",
        "interval of the difference within +-5",
        A_RUNS,
        "03, fd_over_training",
    ),
    Claim(
        "A6",
        "ResNet18+DDPM has the lowest FID of all.",
        "lowest FD over training: ResNet-18 below both others",
        A_RUNS,
        "03, fd_over_training",
    ),
    Claim(
        "A7",
        "The rise may come from 30 samples or too few steps.",
        "spread of FD on 30 samples of one model covers the rise",
        A_RUNS,
        "03, fd_over_training",
    ),
    Claim(
        "A8",
        "DIP reduces the diffusion steps needed.",
        "FD from a DIP start below FD from noise at equal calls, no more copies, better than a mean, Gaussian or blurred start",
        ("starts",),
        START_FIGURE,
        fewer_steps,
    ),
    Claim(
        "A9",
        "DIP raises the total cost of training.",
        "DIP seconds as a share of the DDPM's are above zero",
        ("ddpm-on-dip",),
        "04, fd_vs_total_seconds",
        costs_more,
    ),
    Claim(
        "B1",
        "Combining shortens training from 7:40 to 5:10.",
        "training seconds at equal steps, same data path, are lower",
        ("ddpm", "ddpm-on-dip"),
        "04, fd_vs_total_seconds",
        trains_shorter,
    ),
    Claim(
        "B2",
        "Digits are better shaped, with fewer ragged edges.",
        "length of the outline over the root of the area is smaller",
        ("b-ddpm", "b-combined"),
        "04, grids",
    ),
    Claim(
        "B3",
        "Digits are greyer, with less contrast.",
        "contrast of samples is lower",
        ("ddpm", "ddpm-on-dip"),
        "04, grids",
        greyer,
    ),
    Claim(
        "B4",
        "The larger std, the less accurate the images.",
        "FD of the DIP's outputs rises with std",
        ("std",),
        "05, dip_ablations",
        slope_of("std", "fd", "FD for one unit of std", DIP_FD),
    ),
    Claim(
        "B5",
        "std does not change the time.",
        f"change of training seconds over the sweep within +-{SAME:.0%}",
        ("std",),
        "05, dip_ablations",
        slope_of(
            "std",
            "train_seconds",
            "of the mean, over the sweep",
            "Seconds of the DIP fit; wall-clock times on a shared machine.",
            relative=True,
        ),
    ),
    Claim(
        "B6",
        "The larger dip_lr, the less clear the images.",
        "FD of the DIP's outputs rises with the learning rate",
        ("dip_lr",),
        "05, dip_ablations",
        slope_of("dip_lr", "fd", "FD for a factor of ten", DIP_FD, log=True),
    ),
    Claim(
        "B7",
        "The DDPM needs fewer denoising steps from a DIP start.",
        "as A8, on digits",
        ("starts",),
        START_FIGURE,
        fewer_steps,
    ),
    Claim(
        "B8",
        "DIP emphasises the important parts of the image.",
        "error inside the digit falls more than outside, against blur",
        ("dip-5conv", "b-saliency"),
        "02, panels",
    ),
]
