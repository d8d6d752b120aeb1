"""The seventeen claims of the two reports: what was said, what would show it, and a verdict computed from records.

A test takes a lab and gives a Finding; whether the claim holds follows from its p-value, Holm-corrected for all claims that
could be measured, so new records can change a verdict and no sentence has to be edited. Each claim is taken from the strongest
profile whose models pass the gate and have more than one seed (of what is timed: round). If there is none, the reports' own
size is shown with the seeds that are there, undecided. What is tested, and every change of it, is in claims_list.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dipddpm_utils.judging.stats import ALPHA
from dipddpm_utils.page.compare import family
from dipddpm_utils.page.prose import Link, bullets, decimals, effect, factor, pairs, shown_by
from dipddpm_utils.reports import gate
from dipddpm_utils.reports.claims_list import CHANGES, CLAIMS, OF_OUTPUTS, TABLES, Claim, Evidence
from dipddpm_utils.reports.finding import Finding, shows
from dipddpm_utils.study import profile as profiles

MANY = 4  # effects that a sentence names one by one
COUNTED = {  # verdict -> what one claim does, and several
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "artefact": ("is an artefact", "are artefacts"),
} | {verdict: (f"is {verdict}", f"are {verdict}") for verdict in ("not decidable", gate.NOT_TESTABLE, "not yet measured")}
VERDICTS = tuple(COUNTED)


@dataclass(frozen=True)
class Judged:
    """A claim with what was found, its p-value corrected for `of` claims, and the data set and profile it was tested on."""

    claim: Claim
    evidence: Evidence
    finding: Finding | None = None
    data: str = ""
    p: float = math.nan
    of: int = 1
    gate: gate.Gate = gate.Gate({})
    profile: str = ""
    since: str = ""  # when the first of the records it rests on was complete
    told: str = ""  # what models at the report's own size show, that are too few to test it on
    missing: tuple[str, ...] = ()  # groups it rests on that lack a run: what is there decides nothing

    @property
    def verdict(self) -> str:
        """One of VERDICTS, an artefact with its cause ('artefact of fault FA1')."""
        if self.finding and self.gate.why:
            return gate.NOT_TESTABLE
        if self.finding and self.missing:
            return "not decidable"
        return verdict_of(self.finding, self.p) if self.finding else "not yet measured"

    @property
    def stands_in(self) -> bool:
        """Whether it was not tested on the report's own models, which were not measured or did not pass the gate."""
        group = self.evidence.needs[0]
        return self.finding is not None and (group in OF_OUTPUTS or not group.startswith(("a-", "b-")))

    @property
    def scaled(self) -> bool:
        """Whether it was tested on the report's runs, but not at their own size."""
        return self.finding is not None and not self.stands_in and self.profile != "full"

    @property
    def changed(self) -> str:
        """The days on which its own test was changed, each with whether that was done with these records in sight."""
        days: dict[str, bool] = {}
        for change in CHANGES[1:]:
            if self.claim.id in change.claims and len(change.claims) < len(CLAIMS):
                days[change.when[:10]] = days.get(change.when[:10], False) or bool(self.since) and change.when > self.since
        return ", ".join(f"{day} ({'these' if late else 'earlier'} records seen)" for day, late in days.items())

    @property
    def why(self) -> str:
        """What the effect is; of a claim that was not measured, what that would take."""
        if self.finding:
            return " ".join(filter(None, [self.finding.why, self.told]))
        lacks = f", whose records in {self.profile} lack what this reads" if self.profile else ""
        return f"needs runs: {', '.join(self.evidence.needs)}{lacks}"

    @property
    def each(self) -> str:
        """The effect of each net, rival or setting that the claim is made of, where there are several."""
        return "; ".join(f"{name}: {effect(own)}" for name, own in self.finding.each.items()) if self.finding else ""

    @property
    def would_take(self) -> str:
        """Of an undecided claim, about how many pairs would show, at the spread seen, on which side of the margin it is."""
        if self.verdict != "not decidable":
            return ""
        found, gap = self.finding, self.finding.effect
        if self.missing:
            return f"the missing seeds of {', '.join(self.missing)}"
        if gap.n == 1:
            return "more than one seed"
        bound = math.copysign(found.margin, gap.value) if found.equal else found.margin
        needed = replace(gap, of=self.of * gap.of).needed(bound)
        beside = f", against a margin of {math.exp(found.margin) - 1:.0%}" if found.margin else ""
        return (f"over 1000 {gap.over}" if needed is None else f"about {max(needed, gap.n + 1)} {gap.over}") + beside

    def row(self) -> dict[str, Any]:
        """One line of claims.csv: an effect in logarithms is a factor there, as in every sentence."""
        about = {"claim": self.claim.id, "said": self.claim.said, "tested": self.evidence.hypothesis}
        if (found := self.finding) is None:
            return about | {"verdict": self.verdict, "why": self.why}
        gap = found.effect
        ends = (_short(end, gap.ratio) for end in (gap.value, gap.low, gap.high))
        return {
            **about,
            "on the report's own runs": "no, on a stand-in" if self.stands_in else "yes" + ", scaled down" * self.scaled,
            "profile": self.profile,
            "on": self.data,
            "n": pairs(gap),
            **dict(zip(("effect", "low", "high"), ends, strict=True)),
            "unit": f"factor of {found.unit}" if gap.ratio else found.unit,
            "each": self.each,
            "p": f"{self.p:.2g}" if math.isfinite(self.p) else "",
            "as published": effect(found.published, found.unit),
            "verdict": self.verdict,
            **self.gate.row(),
            "test changed": self.changed,
            "pairs it would take": self.would_take,
            "why": self.why,
            "figure": self.evidence.figure,
        }

    def sentence(self) -> str:
        """What its row of the page's table has no room for, in Markdown: on what, what was tested, each net or start, why."""
        if self.finding is None:
            return f"**{self.claim.id}** {self.why}."
        gap = replace(self.finding.effect, p=self.p, of=self.of)
        rests = "; ".join(filter(None, (pairs(gap), shown_by(gap))))
        each = f" One by one: {self.each}." if 0 < len(self.finding.each) <= MANY else ""
        closed = f" Its models do not pass the gate: {self.gate.why}." if self.gate.why else ""
        about = f"**{self.claim.id}** on {self.data}, profile {self.profile} ({rests})"
        return f"{about}: {self.evidence.hypothesis}. {self.why}{each}{closed}"


def labs(lab: Any) -> list[Any]:
    """The profiles that verdicts come from, the strongest first, with the records that are there.

    The smoke profile's, and those on images of one's own, are judged alone: the reports are not about them.
    """
    names = list(profiles.PROFILES)[1:]
    if lab.profile.name not in names:
        return [lab]
    return [lab if name == lab.profile.name else lab.beside(name, records_only=True) for name in reversed(names)]


def judge(claim: Claim, beside: Sequence[Any]) -> Judged:
    """Test a claim on the first of these labs whose models pass the gate, there with the first evidence that does.

    One seed decides nothing, nor do some of those declared: the first lab with all, and more than one, is preferred. If none
    passes, it is tested on the first that was measured. Not corrected for the other claims.
    """
    tested: list[Judged] = []
    lacking = ""
    for lab in beside:
        for evidence in claim.evidence:
            if not lab.has(*evidence.needs) or (tested and gate.passed(lab, evidence.models).why):
                continue
            if (finding := evidence.test(lab)) is None:
                lacking = lacking or lab.profile.name
                continue
            tested.append(_judged(claim, evidence, finding, lab))
            if finding.effect.n > 1 and not tested[-1].missing and not tested[-1].gate.why:
                return tested[-1]
    return min(tested, key=lambda one: one.gate.why != "", default=Judged(claim, claim.evidence[0], profile=lacking))


def _judged(claim: Claim, evidence: Evidence, finding: Finding, lab: Any) -> Judged:
    records = [record for group in evidence.needs for record in lab.seeds(group)]
    run = records[0].run
    data = (getattr(run, "data", None) or run.model.data).name
    about = {"profile": lab.profile.name, "since": min(record.completed for record in records)}
    finding = replace(finding, why=finding.why + lab.random_weights(" ".join((finding.why, *finding.each))))
    missing = tuple(group for group in evidence.needs if group in lab.unfinished)
    p = math.nan if missing else finding.side()[0]
    return Judged(claim, evidence, finding, data, p, gate=gate.passed(lab, evidence.models), missing=missing, **about)


def _told(claim: Claim, full: Any) -> str:
    """What a report's models at its own size show of a claim that is tested elsewhere; '' without any that pass the gate."""
    evidence = claim.evidence[0]
    if not full.has(*evidence.needs) or gate.passed(full, evidence.models).why or (found := evidence.test(full)) is None:
        return ""
    gap, each = found.effect, found.each if len(found.each) <= MANY else {}
    shown = "; ".join(f"{name} {effect(own)}" for name, own in each.items()) or effect(gap, found.unit)
    shown += f", from {found.artefact_of}" * bool(found.artefact_of)
    return f"At the report's own size, {pairs(gap)}, not tested: {shown}."


def audit(lab: Any, beside: Sequence[Any] | None = None) -> list[Judged]:
    """All seventeen claims, A1 to A9 and B1 to B8, each corrected for all (family 'claims'). beside: None is `labs`."""
    beside = labs(lab) if beside is None else beside
    beside = [one.so_far() if one.profile.name == "full" else one for one in beside]  # the only one that takes days
    full = next((one for one in beside if one.profile.name == "full"), None)
    judged = [judge(claim, beside) for claim in CLAIMS]
    judged = [replace(one, told=_told(one.claim, full)) if full and one.profile != "full" else one for one in judged]
    measured = [one for one in judged if one.finding]  # those without a p count too
    counted = {one.claim.id: replace(one.finding.effect, p=1.0 if math.isnan(one.p) else one.p) for one in measured}
    found = family("claims", counted)

    def corrected(one: Judged) -> Judged:
        own = found[one.claim.id]
        return replace(one, of=own.of, p=one.p if math.isnan(one.p) else own.p)

    return [corrected(one) if one.finding else one for one in judged]


def one_by_one(judged: Sequence[Judged]) -> str:
    """The sentences of these claims, a paragraph each; one that says the same as an earlier one only names it."""
    first, said = {}, []
    for one in judged:
        text = one.sentence()
        same = first.setdefault(text.removeprefix(f"**{one.claim.id}**"), one.claim.id)
        said.append(text if same == one.claim.id else f"**{one.claim.id}** as {same}.")
    return "\n\n".join(said)


def table(judged: list[Judged]) -> pd.DataFrame:
    """One row per claim, its id first: all there is to say of it, for claims.csv."""
    return pd.DataFrame([one.row() for one in judged]).fillna("")


def page_table(judged: list[Judged], page: str) -> pd.DataFrame:
    """The same for the page of a profile, as few columns as can be read at once; the sentences below it say why."""
    rows = []
    for one in judged:
        at = f"#{'tab' if one.evidence.figure in TABLES else 'fig'}-{one.evidence.figure}"
        own = "turns" if one.evidence.figure == "06_turns" else f"own_size_{one.claim.id[0].lower()}"
        full = Link("table", f"#tab-06_{own}")  # whose own page is drawn once it is complete
        elsewhere = full if one.profile == "full" else f"page of {one.profile}" if one.finding else ""
        shown = Link("table" if at.startswith("#tab") else "figure", at) if one.profile == page else elsewhere
        if not one.evidence.figure or (shown == full and own != "turns" and not one.evidence.models):  # no model's: not there
            shown = "below, one by one"
        notes = [one.finding.aside] if one.finding and one.finding.aside else []
        notes += [f"would take {one.would_take}"] if one.would_take else []
        notes += ["test changed later"] * ("these" in one.changed) + ["on a stand-in"] * one.stands_in
        notes += ["scaled down"] * (one.scaled and not one.gate.why)
        verdict = one.verdict + (f" ({'; '.join(notes)})" if notes else "")
        gap, unit = (one.finding.effect, one.finding.unit) if one.finding else (None, "")
        measured = f"{unit}: {factor(gap)}" if gap is not None and gap.ratio else effect(gap, unit)
        rows.append((f"{one.claim.id}. {one.claim.said}", measured, verdict, shown))
    return pd.DataFrame(rows, columns=["claim", "effect", "verdict", "shown in"])


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
        return f"artefact of fault {finding.fault}" if finding.fault else "artefact of the report's faults"
    return "does not hold" if shown else "not decidable"


def _short(value: float, ratio: bool) -> str:
    return "" if not math.isfinite(value) else f"{math.exp(value):.3f}" if ratio else f"{value:+.{decimals(value)}f}"


def in_numbers(judged: list[Judged], which: str = "claims") -> str:
    """How many claims got which verdict, in one sentence, without verdicts that none got."""
    told = []
    for verdict, own in _by_verdict(judged).items():
        certain = sum(one.verdict == "holds" and one.finding.certain for one in own)
        aside = f" ({certain} by construction)" * bool(certain)
        told += [f"{len(own)} {COUNTED[verdict][len(own) != 1]}{aside}"] if own else []
    told = f"Of {len(judged)} {which}, {', '.join(told)}."
    stood = sum(one.stands_in for one in judged)
    return f"{told} {stood} {'were' if stood > 1 else 'was'} tested on runs other than the report's own." if stood else told


def _by_verdict(judged: list[Judged]) -> dict[str, list[Judged]]:
    """The claims of each verdict, also where there are none; but of the last only if there are."""
    found = {verdict: [one for one in judged if one.verdict.startswith(verdict)] for verdict in VERDICTS}
    return {verdict: own for verdict, own in found.items() if own or verdict != VERDICTS[-1]}


def summary(judged: list[Judged]) -> str:
    """How many claims got which verdict, and which."""
    lines = []
    for verdict, own in _by_verdict(judged).items():
        causes = [one.verdict.removeprefix(verdict).replace(" of ", ": ", 1) for one in own]
        ids = [f"{one.claim.id}{' on a stand-in' * one.stands_in}{cause}" for one, cause in zip(own, causes, strict=True)]
        lines.append(f"**{verdict.capitalize()}**: {len(ids)}" + (f" ({', '.join(ids)})." if ids else "."))
    return bullets(lines)
