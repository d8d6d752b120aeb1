"""The seventeen claims of the two reports: what was said, what would show it, and a verdict computed from records.

A test takes a lab and gives a Finding; whether the claim holds follows from its p-value, Holm-corrected for all claims that
could be measured, so new records can change a verdict and no sentence has to be edited. Runs that a profile does not declare
make the verdict 'not yet measured'. The table of the claims themselves is in claims_list.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dipddpm_utils.judging.stats import ALPHA, holm
from dipddpm_utils.page.prose import bullets
from dipddpm_utils.page.words import Link, decimals, effect, shown_by
from dipddpm_utils.reports import gate
from dipddpm_utils.reports.claims_list import CLAIMS, Claim, Evidence
from dipddpm_utils.reports.tests_a import Finding, shows

VERDICTS = ("holds", "does not hold", "artefact", "not decidable", gate.NOT_TESTABLE, "not yet measured")


@dataclass(frozen=True)
class Judged:
    """A claim with what was found, its p-value corrected for `of` claims, and the data set it was tested on."""

    claim: Claim
    evidence: Evidence
    finding: Finding | None = None
    data: str = ""
    p: float = math.nan
    of: int = 1
    gate: gate.Gate = gate.Gate({})
    note: str = ""

    @property
    def verdict(self) -> str:
        """One of VERDICTS, an artefact with its cause ('artefact of fault FA1')."""
        if self.finding and self.gate.why:
            return gate.NOT_TESTABLE
        return verdict_of(self.finding, self.p) if self.finding else "not yet measured"

    def row(self) -> dict[str, Any]:
        """One line of claims.csv: an effect in logarithms is a factor there, as in every sentence."""
        found = self.finding
        gap, before = (found.effect, found.published) if found else (None, None)
        ends = [_short(end, gap.ratio) for end in (gap.value, gap.low, gap.high)] if gap else [""] * 3
        return {
            "claim": self.claim.id,
            "said": self.claim.said,
            "tested": self.evidence.hypothesis,
            "on": self.data,
            "n": f"{gap.n} {gap.over}" if gap else "",
            **dict(zip(("effect", "low", "high"), ends, strict=True)),
            "unit": (f"factor of {found.unit}" if gap.ratio else found.unit) if gap else "",
            "p": f"{self.p:.2g}" if math.isfinite(self.p) else "",
            "as published": effect(before, found.unit) if before else "",
            "verdict": self.verdict,
            **self.gate.row(),
            "seeds it would take": _needed(self) if self.verdict == "not decidable" else "",
            "why": found.why if found else f"needs runs: {', '.join(self.evidence.needs)}",
            "figure": self.evidence.figure if found else "",
        }

    def said(self) -> str:
        """The effect with its unit, 'FD: a factor of 1.31 [1.12, 1.53]', and what the verdict rests on."""
        found, gap = self.finding, self.finding.effect
        what = f"{found.unit}: {effect(gap)}" if gap.ratio else effect(gap, found.unit)
        return "; ".join(part for part in (what, shown_by(replace(gap, p=self.p, of=self.of))) if part)

    def sentence(self) -> str:
        """The verdict in Markdown: claim, verdict, effect with its interval and n, what it would take, why, figure."""
        about = f"**{self.claim.id}** *{self.claim.said}* **{self.verdict[0].upper()}{self.verdict[1:]}**"
        if self.finding is None:
            return f"{about}: it {self.row()['why']}."
        gap, name = self.finding.effect, self.evidence.figure
        needed = f" It would take {_needed(self)}." if self.verdict == "not decidable" else ""
        closed = f" Its models do not pass the gate ({self.gate.why}); they show:" if self.gate.why else ""
        note = f" {self.note}" if self.note else ""
        return (
            f"{about} on {self.data}:{closed} {self.said()} ({gap.n} {gap.over}).{needed}{note} {self.finding.why} "
            f"See [{name}](#{self.evidence.anchor})."
        )


def judge(claim: Claim, lab: Any) -> Judged:
    """Test a claim on the records of a profile, with the first evidence whose runs are there, not corrected for the others."""
    for evidence in claim.evidence:
        if lab.has(*evidence.needs) and (finding := evidence.test(lab)) is not None:
            run = lab.seeds(evidence.needs[0])[0].run
            data = getattr(run, "data", None) or run.model.data
            about = {"gate": gate.passed(lab, evidence.models), "note": weights_note(lab) if claim.id in ("A5", "A6") else ""}
            return Judged(claim, evidence, finding, data.name, finding.side()[0], **about)
    return Judged(claim, claim.evidence[0])


def weights_note(lab: Any) -> str:
    """Said where ResNet-18 decides a claim and did not have ImageNet's weights, as report A's had; '' if it had."""
    notes = [note for record in lab.seeds("a-dip-resnet18") for note in record.notes] if lab.has("a-dip-resnet18") else []
    had_none = any(note.startswith("random weights") for note in notes)
    return "ResNet-18 had random weights here, ImageNet's in report A." if had_none else ""


def audit(lab: Any) -> list[Judged]:
    """All seventeen claims, A1 to A9 and B1 to B8, each corrected for all (family 'claims')."""
    judged = [judge(claim, lab) for claim in CLAIMS]
    corrected = holm([one.p for one in judged])
    of = max(1, sum(math.isfinite(p) for p in corrected))
    return [replace(one, p=float(p), of=of) for one, p in zip(judged, corrected, strict=True)]


def table(judged: list[Judged]) -> pd.DataFrame:
    """One row a claim, its id first: all there is to say of it, for claims.csv."""
    return pd.DataFrame([one.row() for one in judged])


def page_table(judged: list[Judged]) -> pd.DataFrame:
    """The same for a page, as few columns as can be read at once; the sentences below it say why."""
    rows = []
    for one in judged:
        row, found = one.row(), one.finding
        parts = [f"would take {_needed(one)}" if one.verdict == "not decidable" else "", one.note.rstrip(".")]
        more = "; ".join(part for part in parts if part)
        rows.append(
            {
                "claim": f"{one.claim.id}. {one.claim.said}",
                "effect, corrected": one.said() if found else "",
                "n, data": f"{row['n']}, {one.data}" if found else "",
                "models: recall, times the floor": one.gate.short() if found else "",
                "gate": ("closed" if one.gate.why else row["gate"]) if found else "",
                "verdict": one.verdict + (f" ({more})" if more else ""),
                "shown in": Link(one.evidence.figure, f"#{one.evidence.anchor}") if found else "",
            }
        )
    return pd.DataFrame(rows)


def verdict_of(finding: Finding, p: float) -> str:
    """The rule: what p says about the corrected runs first, then whether the effect was there as published only.

    A published effect is gone if the corrected one is shown to speak against it, or if the two differ and the corrected one,
    taken alone, does not show it; one that is merely undecided is not called an artefact.
    """
    limits = finding.margin, finding.equal
    shown, speaks_for = p < ALPHA, finding.side()[1]
    if shown and speaks_for:
        return f"artefact of {finding.artefact_of}" if finding.artefact_of else "holds"
    moved = not finding.equal and finding.shift is not None and shows(finding.shift) and not shows(finding.effect, *limits)
    if finding.published is not None and shows(finding.published, *limits) and (shown or moved):
        return f"artefact of fault {finding.fault}" if finding.fault else "artefact of faults not told apart here"
    return "does not hold" if shown else "not decidable"


def _needed(judged: Judged) -> str:
    """About how many pairs would show with 80% power, at the spread seen, on which side of the margin the effect is."""
    found, gap = judged.finding, judged.finding.effect
    if gap.n == 1:
        return "more than one seed"
    bound = math.copysign(found.margin, gap.value) if found.equal else found.margin
    needed = replace(gap, of=judged.of * gap.of).needed(bound)
    return f"over 1000 {gap.over}" if needed is None else f"about {max(needed, gap.n + 1)} {gap.over}"


def _short(value: float, ratio: bool) -> str:
    return "" if not math.isfinite(value) else f"{math.exp(value):.3f}" if ratio else f"{value:+.{decimals(value)}f}"


def hypotheses() -> pd.DataFrame:
    """What is tested: a row a claim, with what was changed after records of it had been seen."""
    rows = []
    for claim in CLAIMS:
        runs = "; without those ".join(", ".join(evidence.needs) for evidence in claim.evidence)
        first = claim.evidence[0]
        said = {"claim": f"{claim.id}. {claim.said}", "what would show it": first.hypothesis}
        rows.append({**said, "runs": runs, "changed late": first.changed or "no"})
    return pd.DataFrame(rows)


def summary(judged: list[Judged]) -> str:
    """How many claims got which verdict, and which."""
    lines = []
    for verdict in VERDICTS:
        own = [one for one in judged if one.verdict.startswith(verdict)]
        causes = [one.verdict.removeprefix(verdict).removeprefix(" of ") for one in own]
        ids = [f"{one.claim.id}: {cause}" if cause else one.claim.id for one, cause in zip(own, causes, strict=True)]
        lines.append(f"**{verdict.capitalize()}**: {len(ids)} of {len(judged)}" + (f" ({', '.join(ids)})." if ids else "."))
    return bullets(lines)
