"""The seventeen claims of the two reports: what was said, what would show it, and a verdict computed from records.

A test takes a lab and gives a Finding; whether the claim holds follows from its intervals alone, so new records can change
a verdict and no sentence has to be edited. Runs that a profile does not declare make the verdict 'not yet measured'.
The table of the claims themselves is in claims_list.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dipddpm_utils.page.compare import seeds_needed
from dipddpm_utils.page.prose import bullets
from dipddpm_utils.page.words import Link, decimals, in_logarithms, in_unit
from dipddpm_utils.reports.claims_list import CLAIMS, Claim, Evidence
from dipddpm_utils.reports.tests_a import Finding, shows

VERDICTS = ("holds", "does not hold", "artefact", "not decidable", "not yet measured")
NOTEBOOKS = {  # where figures are drawn
    "02": "02_dip_training",
    "03": "03_ddpm_baseline",
    "04": "04_combined_model",
    "05": "05_ablations",
    "06": "06_claims_audit",
}


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict: one of VERDICTS, an artefact with its cause ('artefact of fault FA1')."""

    claim: Claim
    evidence: Evidence
    verdict: str
    finding: Finding | None
    data: str = ""  # the data set it was tested on

    def row(self) -> dict[str, Any]:
        """One line of claims.csv. An effect in logarithms is a factor there, as in every sentence."""
        unit = self.finding.unit if self.finding else ""
        effect = self.finding.effect if self.finding else None
        before = self.finding.published if self.finding else None
        ends = (effect.value, effect.low, effect.high) if effect else (None, None, None)
        value, low, high = (_short(end, in_logarithms(unit)) for end in ends)
        return {
            "claim": self.claim.id,
            "said": self.claim.said,
            "tested": self.evidence.hypothesis,
            "on": self.data,
            "n (seeds)": effect.n if effect else "",
            "effect": value,
            "low": low,
            "high": high,
            "unit": f"factor of {unit.removeprefix('log ')}" if in_logarithms(unit) else unit,
            "as published": in_unit(before, unit) if before else "",
            "verdict": self.verdict,
            "seeds it would take": _needed(self.finding) if self.verdict == "not decidable" else "",
            "why": self.finding.why if self.finding else f"needs runs: {', '.join(self.evidence.needs)}",
            "figure": f"figures/{self.evidence.figure}.png" if self.finding else "",
        }

    def sentence(self) -> str:
        """The verdict in Markdown: claim, verdict, effect with its interval and n, what it would take, why, figure."""
        about = f"**{self.claim.id}** *{self.claim.said}* **{self.verdict[0].upper()}{self.verdict[1:]}**"
        if self.finding is None:
            return f"{about}: it {self.row()['why']}."
        effect = self.finding.effect
        seeds = f"{effect.n} seed{'s' if effect.n > 1 else ''}"
        name = self.evidence.figure
        figure = f"[figure {name}](../figures/{name}.png) in [notebook {name[:2]}]({NOTEBOOKS[name[:2]]}.ipynb)"
        text = f"{about} on {self.data}: {_said(self.finding)} ({seeds}).{_lacking(self)}"
        return f"{text} {self.finding.why} See {figure}."


def judge(claim: Claim, lab: Any) -> Judged:
    """Test a claim on the records of a profile, with the first evidence whose runs are there."""
    for evidence in claim.evidence:
        if lab.has(*evidence.needs) and (finding := evidence.test(lab)) is not None:
            run = lab.seeds(evidence.needs[0])[0].run
            data = getattr(run, "data", None) or run.model.data
            return Judged(claim, evidence, verdict_of(finding), finding, data.name)
    return Judged(claim, claim.evidence[0], "not yet measured", None)


def audit(lab: Any) -> list[Judged]:
    """All seventeen claims, A1 to A9 and B1 to B8."""
    return [judge(claim, lab) for claim in CLAIMS]


def table(judged: list[Judged]) -> pd.DataFrame:
    """One row a claim, its id first: all there is to say of it, for claims.csv."""
    return pd.DataFrame([one.row() for one in judged])


def page_table(judged: list[Judged]) -> pd.DataFrame:
    """The same for a page, as few columns as can be read at once; the sentences below it say why."""
    rows = []
    for one in judged:
        finding, figure = one.finding, one.evidence.figure
        effect = finding.effect if finding else None
        lacking = f" (it would take {_needed(finding)} seeds)" if one.verdict == "not decidable" and effect.n > 1 else ""
        row = {
            "claim": f"{one.claim.id}. {one.claim.said}",
            "what would show it": one.evidence.hypothesis,
            "effect, corrected": _said(finding) if finding else "",
            "as published": in_unit(finding.published, finding.unit) if finding and finding.published else "",
            "seeds, data": f"{effect.n}, {one.data}" if effect else "",
            "verdict": one.verdict + lacking,
            "figure": Link(figure, f"{NOTEBOOKS[figure[:2]]}.ipynb") if finding else "",
        }
        rows.append(row)
    return pd.DataFrame(rows)


def verdict_of(finding: Finding) -> str:
    """The rule: what the intervals say about the corrected runs first, then whether the effect was there as published only.

    A published effect is gone if the corrected interval speaks against it, or if the two differ and the corrected one
    does not show it; one that is merely undecided is not called an artefact.
    """
    effect, margin, equal = finding.effect, finding.margin, finding.equal
    if effect.low is None or effect.high is None:
        return "not decidable"
    if shows(effect, margin, equal):
        return f"artefact of {finding.artefact_of}" if finding.artefact_of else "holds"
    against = effect.high < margin if not equal else effect.low > margin or effect.high < -margin
    moved = not equal and finding.shift is not None and shows(finding.shift)
    if finding.published is not None and shows(finding.published, margin, equal) and (against or moved):
        return f"artefact of fault {finding.fault}" if finding.fault else "artefact of faults not told apart here"
    return "does not hold" if against else "not decidable"


def _needed(finding: Finding) -> int | str:
    """About how many seeds would decide, at the spread seen: on which side of the margin the effect is."""
    effect = finding.effect
    if effect.n == 1:
        return "not known from one seed"
    nearest = math.copysign(finding.margin, effect.value) if finding.equal else finding.margin
    needed = seeds_needed(effect, nearest) if nearest else effect.needed
    return "over 1000" if needed is None else max(needed, effect.n + 1)


def _lacking(judged: Judged) -> str:
    if judged.verdict != "not decidable":
        return ""
    needed = _needed(judged.finding)
    if judged.finding.effect.n == 1:
        return " One seed gives no interval, so how many it would take is not known."
    return f" {'Over 1000' if needed == 'over 1000' else f'About {needed}'} seeds would be needed."


def _said(finding: Finding) -> str:
    """The effect with its unit; one in logarithms as a factor of what it is the logarithm of."""
    what = f"{finding.unit.removeprefix('log ')}: " if in_logarithms(finding.unit) else ""
    return what + in_unit(finding.effect, finding.unit)


def _short(value: float | None, logarithm: bool) -> str:
    if value is None:
        return ""
    return f"{math.exp(value):.3f}" if logarithm else f"{value:+.{decimals(value)}f}"


def hypotheses() -> pd.DataFrame:
    """What is tested, written down before the runs: a row a claim."""
    rows = []
    for claim in CLAIMS:
        chief = claim.evidence[0]
        runs = "; without those ".join(", ".join(evidence.needs) for evidence in claim.evidence)
        rows.append({"claim": f"{claim.id}. {claim.said}", "what would show it": chief.hypothesis, "runs": runs})
    return pd.DataFrame(rows)


def summary(judged: list[Judged]) -> str:
    """How many claims got which verdict, and which."""
    lines = []
    for verdict in VERDICTS:
        ids = [
            f"{one.claim.id}: {one.verdict.removeprefix('artefact of ')}" if verdict == "artefact" else one.claim.id
            for one in judged
            if one.verdict.startswith(verdict)
        ]
        lines.append(f"**{verdict.capitalize()}**: {len(ids)} of {len(judged)}" + (f" ({', '.join(ids)})." if ids else "."))
    return bullets(lines)
