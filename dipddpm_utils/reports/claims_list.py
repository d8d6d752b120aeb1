"""The hypotheses: each claim as it was made, and what would show it; then every change of them, with what was seen before."""

import math
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from dipddpm_utils.reports import evidence_b as b
from dipddpm_utils.reports import evidence_time as seconds
from dipddpm_utils.reports.evidence_a import late_change, of_distance, rise_is_noise
from dipddpm_utils.reports.evidence_b import PAIR
from dipddpm_utils.reports.evidence_starts import fewer_steps
from dipddpm_utils.reports.evidence_time import SAME
from dipddpm_utils.reports.finding import Test
from dipddpm_utils.reports.printed import FID_CHANGE, VARIANTS, same_fid

TABLES = ("05_b_rows", "05_b_dip", "06_turns")  # evidence that is a table rather than a figure


class Evidence(NamedTuple):
    """One way to test a claim: what would show it, the groups of runs it reads, its figure (a name in figures/), the test.

    figure: '' where only its sentence tells it. models: the groups that have to pass the gate (gate.py), a DIP's outputs
    included; none where the claim is about time, or (B8) about what a DIP does to an image.
    """

    hypothesis: str
    needs: tuple[str, ...]
    figure: str
    test: Test
    models: tuple[str, ...] = ()


class Change(NamedTuple):
    """A hypothesis that was changed: when (UTC), of which claims, how, and what had been seen by then."""

    when: str
    claims: tuple[str, ...]
    what: str
    seen: str


class Claim(NamedTuple):
    """One claim: its evidence from the rebuilt runs first, then what stands in for those whose models do not pass the gate."""

    id: str
    said: str
    evidence: tuple[Evidence, ...]


def _claim(id: str, said: str, *evidence: tuple[Any, ...]) -> Claim:
    return Claim(id, said, tuple(Evidence(*one) for one in evidence))


AS_WRITTEN = {  # quoted from report A's text (hackmd, in an early README of its repository); report B's repository holds none
    "A1": "在第一次算fid score的時候都是最低的",
    "A2": "預期使用DIP model所訓練出來的ddpm model，fid score會比沒有結合dip model下降的更快",
    "A3": "在後面的step中fid score 都有往上的趨勢",
    "A4": "原始的DDPM第一次記錄到的FID score都比前面兩個加入DIP model都來的高",
    "A5": "用2層conv layer和restnet18的表現差不到5的fid score",
    "A6": "在RestNet架構的DIP+DDPM FID 最初的 FID 可以到 140 以下，使這次實驗方法最低的",
    "A7": "有可能是因為FID Score所採的sample數量不夠或是training step不夠導致沒辦法往下收斂",
    "A8": "從DIP初始化可以減少DDPM生成高質量樣本所需的擴散步驟數",
    "A9": "初始的DIP訓練階段增加了整體計算成本",
}
A_FIGURE, B_FIGURE = "04_a_fd_over_steps", "04_b_grids"
OURS, LARGE = ("ddpm", "ddpm-on-dip"), ("main", "main-on-dip")  # the second draw digits
BOTH_B = (*PAIR, *(f"{name}-published" for name in PAIR))
STARTS_TESTED = (
    "at some t_start, of all tried, FD from a DIP start is below FD from noise at equal calls and below FD from every start "
    "without a DIP, and its samples are not the training images they were begun from"
)
ALONE, CONV, RESNET = VARIANTS
ON_DIP, PUBLISHED_A = VARIANTS[1:], tuple(f"{name}-published" for name in VARIANTS)
ALL_A = (*VARIANTS, *PUBLISHED_A)
DIGITS_STARTED = tuple(
    (STARTS_TESTED, (group,), "04_fd_vs_t_start", partial(fewer_steps, group), (model,))
    for group, model in (("main-starts", "main"), ("starts", "ddpm"))
)
OF_OUTPUTS = ("b-dip-std", "b-dip-lr")  # groups of a DIP alone, where a claim is about samples
ITS_OUTPUTS = "FD of what report B's DIP, fitted for all its steps, makes of digits"
NOT_IN_OTHERS = "most of the rise that one set of 30 samples shows is not there in other sets of the same models"


def _rises(setting: str, of_outputs: str, called: str) -> tuple[tuple[Any, ...], ...]:
    """B4, B6: FD rises with a setting, of samples over the full grid; else of a DIP's outputs, report B's or ours; else of the
    samples of the report's own rows. of_outputs: the group of report B's DIP. called: what the setting is called with ours.
    """
    line = "(a line fitted to log FD)"
    found = (
        (f"FD of samples rises with {setting} {line}, over the full grid", "b-grid", "05_b_grid"),
        (f"{ITS_OUTPUTS} rises with {setting} {line}", of_outputs, "05_b_dip"),
        (f"FD of the DIP's outputs rises with {called} {line}", setting, "05_dip_fd"),
        (f"FD of samples rises with {setting} in the report's own rows", "b-rows", "05_b_rows"),
    )
    return tuple((what, (group,), figure, partial(b.slope_test, setting, group), (group,)) for what, group, figure in found)


CLAIMS: list[Claim] = [
    _claim("A1", "The first FID is the lowest with DIP.",
           ("with a DIP, either net, the FD of every later evaluation is above the first one's", ALL_A, A_FIGURE,
            partial(of_distance, lambda curve: curve[1:].min() - curve[0], lambda runs: runs[list(ON_DIP)],
                    "With a DIP: lowest FD of the later evaluations over the first (against the DDPM alone: see A4)."),
            ON_DIP)),
    _claim("A2", "The FID is expected to fall faster with DIP.",
           ("with either net, FD falls by a larger factor from the first evaluation to the last than without", ALL_A, A_FIGURE,
            partial(of_distance, lambda curve: curve[0] - curve[-1], lambda runs: runs[list(ON_DIP)].sub(runs[ALONE], axis=0),
                    "Fall of FD from the first evaluation to the last, as a factor: with the net over alone."), VARIANTS)),
    _claim("A3", "The FID rises later in training.",
           ("with a DIP, either net, FD at the end is above FD at half of the training", ALL_A, A_FIGURE,
            partial(of_distance, late_change, lambda runs: runs[list(ON_DIP)],
                    "With a DIP: FD at the last evaluation over FD at half of the training."), ON_DIP)),
    _claim("A4", "Plain DDPM's first FID is higher than both.",
           ("first evaluation: FD alone is above FD with either net", ALL_A, A_FIGURE,
            partial(of_distance, lambda curve: curve[0], lambda runs: runs[list(ON_DIP)].rsub(runs[ALONE], axis=0),
                    "First evaluation: FD alone over FD with the net."), VARIANTS)),
    _claim("A5", "ResNet18 against 2conv changes FID by less than 5.",
           (f"FD of one over the other within a factor of {math.exp(same_fid()):.3f}, either way: as large a share as "
            f"{FID_CHANGE:g} of the published FID of the DDPM alone", ALL_A, A_FIGURE,
            partial(of_distance, lambda curve: curve[-1], lambda runs: runs[[RESNET]].sub(runs[CONV], axis=0),
                    "Last evaluation: FD with ResNet-18 over FD with 2conv. 5 FID are as large a share of the published "
                    "FID as the margin.", equal=True, margin=same_fid()), ON_DIP)),
    _claim("A6", "ResNet18+DDPM has the lowest FID of all.",
           ("lowest FD over training: below that of both others", ALL_A, A_FIGURE,
            partial(of_distance, lambda curve: curve.min(), lambda runs: runs[[ALONE, CONV]].sub(runs[RESNET], axis=0),
                    "Lowest FD over training: of each of the two others over ResNet-18's."), VARIANTS)),
    _claim("A7", "The rise may come from 30 samples or too few steps.",
           (f"each variant: {NOT_IN_OTHERS}", PUBLISHED_A, "06_published_curves",
            partial(rise_is_noise, VARIANTS), PUBLISHED_A),
           (f"the DDPM alone, as published: {NOT_IN_OTHERS}", PUBLISHED_A[:1], "",
            partial(rise_is_noise, VARIANTS[:1]), PUBLISHED_A[:1])),
    _claim("A8", "DIP reduces the diffusion steps needed.",
           (STARTS_TESTED, ("a-starts",), "04_a_starts", partial(fewer_steps, "a-starts"), ("a-ddpm",)),
           *DIGITS_STARTED),
    _claim("A9", "DIP raises the total cost of training.",
           ("training seconds with those of the DIP, either net, are above those alone, equal steps, timed in turn",
            ("a-turns",), "06_turns", seconds.dearer)),
    _claim("B1", "Combining shortens training from 7:40 to 5:10.",
           (f"equal steps and equal data path: training alone takes over {1 + SAME:g} times the seconds, timed in turn",
            ("b-turns",), "06_turns", seconds.shorter)),
    _claim("B2", "Digits are better shaped, with fewer ragged edges.",
           ("samples are nearer to real digits, in raggedness and in a classifier's confidence", BOTH_B, B_FIGURE,
            partial(b.looks, PAIR, {name: partial(b.off_real, name) for name in ("raggedness", "legibility")},
                    "distance from real digits, alone over combined",
                    "Of all last samples, the DDPM alone over combined: how far from real digits they are in raggedness "
                    "(outline over root of the ink's area) and in legibility (a classifier's confidence)."), PAIR)),
    _claim("B3", "Digits are greyer, with less contrast.",
           ("contrast of samples is lower", BOTH_B, B_FIGURE, partial(b.greyer, PAIR), PAIR),
           ("contrast of samples of our own models that draw digits is lower", LARGE, "04_grids",
            partial(b.greyer, LARGE), LARGE),
           ("contrast of samples of our own small models of digits is lower", OURS, "04_grids", partial(b.greyer, OURS), OURS)),
    _claim("B4", "The larger std, the less accurate the images.", *_rises("std", "b-dip-std", "std")),
    _claim("B5", "std does not change the time.",
           (f"training seconds over the range of std, the DIP's included, stay within a factor of {1 + SAME:g}, timed in turn",
            ("b-turns",), "06_turns", seconds.same_seconds)),
    _claim("B6", "The larger dip_lr, the less clear the images.", *_rises("dip_lr", "b-dip-lr", "the learning rate")),
    _claim("B7", "The DDPM needs fewer denoising steps from a DIP start.", *DIGITS_STARTED),
    _claim("B8", "DIP emphasises the important parts of the image.",
           ("strokes stand out more in a DIP's outputs than in the digits, and than in blurred ones", ("b-dip",), "02_b_panels",
            b.emphasis)),
]  # fmt: skip

_CURVES = tuple(f"A{i}" for i in range(1, 9))
_ALL = (*_CURVES, "A9", *(f"B{i}" for i in range(1, 9)))  # that there were then
CHANGES = (  # the first is version 1; whatever follows was made with records in sight
    Change("2026-11-25T15:38", _ALL, "hypotheses and margins for the rebuilt reports written down",
           "no rebuilt run; small runs of the two ideas on digits"),
    Change("2026-11-25T19:15", ("B2", "B3", "B4", "B6"), "report B's models are trained for longer",
           "verdicts from shorter runs of standard"),
    Change("2026-11-25T19:15", ("B4", "B6"), "a line fitted to log FD instead of FD", "verdicts from the FD, shorter runs"),
    Change("2026-11-25T22:01", _CURVES, "report A's models are trained for 480 steps instead of 180",
           "verdicts from 180 steps"),
    Change("2026-11-26T23:58", ("A1", "A2", "A3", "A7", "A9"), "net by net, the least sure one decides, not the mean of both",
           "verdicts of standard from the mean"),
    Change("2026-11-26T23:58", _ALL, "Holm over all claims that could be measured; a gate for the models",
           "verdicts of standard without either"),
    Change("2026-11-27T02:15", ("A4", "A6"), "each rival on its own, instead of the better of the two", "verdicts of standard"),
    Change("2026-11-27T02:15", ("A7",), "many sets of 30 of one model, instead of 30 samples against all",
           "standard's rises; no record that holds many sets"),
    Change("2026-11-27T02:15", ("A8", "B7"), "every t_start, each with every rival; copies by the image they were begun from",
           "standard's starts, without the image that each was begun from"),
    Change("2026-11-27T02:15", ("B2",), "distance to real digits, in raggedness and legibility, instead of smoother outlines",
           "standard's raggedness; no record that holds the other two"),
    Change("2026-11-27T02:15", _ALL, "the strongest profile whose models pass the gate, and there what stands in if need be",
           "verdicts of quick and standard"),
    Change("2026-11-27T06:31", ("B3",), "models that draw digits stand in before the small ones",
           "the small ones' contrast, undecided; of the others nobody had looked at it, though four were trained"),
    Change("2026-11-27T14:10", _ALL, "a profile with one seed decides nothing, the next with more is asked",
           "full's one seed of A8, where FD falls and 98% of the samples look copied; standard's verdicts"),
    Change("2026-11-28T21:40", ("A7",), "the DDPM alone, until all three variants have many sets of 30",
           "full's model as published: 1.07 [0.94, 1.22] over its 30 sets"),
    Change("2026-11-29T16:35", ("A5", "B5"), "the p of two one-sided tests, not twice that", "all verdicts"),
    Change("2026-11-29T16:35", ("A7",), "no verdict where the sets do not rise", "full's model as published, which rises"),
    Change("2026-11-29T16:35", ("A8", "B7"), "the best start without a DIP has to be shown worse, and measured",
           "all verdicts"),
    Change("2026-11-29T16:35", _ALL, "p times the looks, where seeds were added after looking", "all verdicts"),
    Change("2026-11-29T20:10", ("B4",), "where the DIP's outputs stand in, over the report's std alone, 0.8 to 1.2",
           "the slope up to std 2: holds"),
    Change("2026-11-29T20:10", ("B8",), "outside the gate: it is about a DIP's outputs, not about samples",
           "standard's verdict, which this does not move"),
    Change("2026-11-29T20:10", _ALL, "models judged on another number of images than what takes no learning do not pass",
           "all verdicts"),
    Change("2026-11-29T22:28", ("A9", "B1", "B5"), "whole trainings, timed in turn",
           "verdicts from the seconds of runs of standard; no record of it"),
    Change("2026-11-29T22:28", ("B4", "B6"), "report B's DIP at its 3 500 steps stands in, before our DIP of 300",
           "verdicts without it; no record of it"),
    Change("2026-11-30T00:23", ("A9",), "a round's seconds of the model's steps are the mean of all trainings: the same work",
           "each training's own: 1.07 [0.99, 1.17] for 2conv, over 12 rounds"),
    Change("2026-11-30T01:17", ("B1", "B5"), "a new sitting of 60 rounds in place of 12, counted as a second look",
           "full's 12 rounds: B1 0.986 [0.913, 1.064], B5 1.00 [0.95, 1.06], neither decidable"),
    Change("2026-11-30T01:42", ("A9", "B1", "B5"), "from trainings timed in turn alone, no more from seconds of separate runs",
           "all verdicts, which this does not move"),
    Change("2026-12-01T12:52", _ALL, "where no profile with all its seeds passes the gate, the report's own size is named, "
           "undecided; it counts in Holm's correction", "all verdicts; full's seed of report A's 2conv"),
)  # fmt: skip


def hypotheses() -> pd.DataFrame:
    """What is tested: a row per claim, with the days on which that was changed."""
    rows = []
    for claim in CLAIMS:
        runs = "; failing those ".join(", ".join(evidence.needs) for evidence in claim.evidence)
        days = dict.fromkeys(change.when[:10] for change in CHANGES[1:] if claim.id in change.claims)
        what = claim.evidence[0].hypothesis
        rows.append((f"{claim.id}. {claim.said}", AS_WRITTEN.get(claim.id, ""), what, runs, ", ".join(days)))
    return pd.DataFrame(rows, columns=["claim", "as written", "what would show it", "runs", "changed"])


def changed() -> str:
    """How many tests were changed by themselves, and how often the rule for all was, after they were written."""
    one_by_one = [change for change in CHANGES[1:] if len(change.claims) < len(CLAIMS)]
    alone = {id for change in one_by_one for id in change.claims}
    rules = len(CHANGES) - 1 - len(one_by_one)
    one = f"{len(alone)} of {len(CLAIMS)} tests were each changed at least once after they were written"
    return f"{one}; {rules} change{'s' * (rules != 1)} concerned all."


def changes() -> pd.DataFrame:
    """Every change of a hypothesis, with what had been seen by then."""
    of = [("all" if len(one.claims) == len(CLAIMS) else ", ".join(one.claims)) for one in CHANGES]
    rows = [(one.when.replace("T", " "), own, one.what, one.seen) for one, own in zip(CHANGES, of, strict=True)]
    return pd.DataFrame(rows, columns=["changed (UTC)", "claims", "what was changed", "what had been seen"])
