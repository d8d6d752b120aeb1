"""The claims as a table: id, what was said, and the evidence. Hypotheses and margins were written before the runs they need.

Where one was changed after records had been seen, it says so (`changed`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dipddpm_utils.reports import tests_a as a
from dipddpm_utils.reports import tests_b as b
from dipddpm_utils.reports.printed import FID_CHANGE, VARIANTS, same_fid
from dipddpm_utils.reports.tests_a import ALL_A, Test
from dipddpm_utils.reports.tests_b import PAIR, SAME

TABLES = ("05_b_rows",)  # evidence that is a table rather than a figure


@dataclass(frozen=True)
class Evidence:
    """One way to test a claim: what would show it, the groups of runs it reads, its figure (a name in figures/), the test.

    models: the groups that have to pass the gate (gate.py); none where the claim is about time. changed: how this test came
    to differ from the one written before its records, '' if it does not.
    """

    hypothesis: str
    needs: tuple[str, ...]
    figure: str
    test: Test
    models: tuple[str, ...] = ()
    changed: str = ""

    @property
    def anchor(self) -> str:
        """Where the page shows it."""
        return f"{'tab' if self.figure in TABLES else 'fig'}-{self.figure}"


@dataclass(frozen=True)
class Claim:
    """One claim: its evidence from the rebuilt runs first, then what a profile without those may use instead."""

    id: str
    said: str
    evidence: tuple[Evidence, ...]


def _claim(id: str, said: str, *evidence: tuple[Any, ...]) -> Claim:
    return Claim(id, said, tuple(Evidence(*one) for one in evidence))


A_FIGURE, B_FIGURE = "04_a_fd_over_steps", "04_b_grids"
BOTH_B = (*PAIR, *(f"{name}-published" for name in PAIR))
STARTS_TESTED = "FD from a DIP start is below FD from noise at equal calls, without more copies"
NO_DIP = ", and better than a mean, Gaussian or blurred start"
DIP_FD = "FD of the DIP's outputs for clean images to held-out images: what the DDPM is trained on."
GRID_FD = "FD of the combined model's samples, all other settings balanced, one line a seed."
ROWS_FD = "FD of the combined model's samples, in the largest set of rows in which only this setting varies."
ON_DIP, PUBLISHED_A = VARIANTS[1:], tuple(f"{name}-published" for name in VARIANTS)
# Where a test is not the one that was written before its records: what was changed, and in 2026 when.
SIZES = "steps (25 Nov)"
TIMED = "net by net (26 Nov)"
PER_NET = f"{TIMED}, {SIZES}"
GRID = f"log FD (25 Nov), {SIZES}"
CHANGES = (
    "Changed after records had been seen: steps, the length of the training, when runs of another length had been judged; "
    "net by net, when a mean of the nets had been; log FD, when a line had been fitted to the FD itself."
)
SECONDS = "Training seconds of the combined model."

CLAIMS: list[Claim] = [
    _claim("A1", "The first FID is the lowest with DIP.",
           ("with a DIP, either net, the FD of every later evaluation is above the first one's", ALL_A, A_FIGURE,
            a.first_lowest, ON_DIP, PER_NET)),
    _claim("A2", "The FID falls faster with DIP.",
           ("with either net, FD falls by a larger factor from the first evaluation to the last than without", ALL_A, A_FIGURE,
            a.falls_faster, VARIANTS, PER_NET)),
    _claim("A3", "The FID rises later in training.",
           ("with a DIP, either net, FD at the end is above FD at half of the training", ALL_A, A_FIGURE, a.rises_later, ON_DIP,
            PER_NET)),
    _claim("A4", "Plain DDPM's first FID is higher than both.",
           ("first evaluation: FD alone is above the higher of both nets'", ALL_A, A_FIGURE, a.starts_higher, VARIANTS, SIZES)),
    _claim("A5", "ResNet18 against 2conv changes FID by less than 5.",
           (f"FD of one over the other within a factor of {math.exp(same_fid()):.3f}, either way: as large a share as "
            f"{FID_CHANGE:g} of the published FID of the DDPM alone", ALL_A, A_FIGURE, a.same_nets, ON_DIP, SIZES)),
    _claim("A6", "ResNet18+DDPM has the lowest FID of all.",
           ("lowest FD over training: below that of both others", ALL_A, A_FIGURE, a.lowest_of_all, VARIANTS, SIZES)),
    _claim("A7", "The rise may come from 30 samples or too few steps.",
           ("each of the same models rises more when judged on 30 samples than when judged on all", ALL_A,
            "06_published_curves", a.rise_is_noise, PUBLISHED_A, PER_NET)),
    _claim("A8", "DIP reduces the diffusion steps needed.",
           (STARTS_TESTED, ("a-starts",), "04_a_starts", a.fewer_steps("a-starts"), ("a-ddpm",), SIZES),
           (STARTS_TESTED + NO_DIP, ("starts",), "04_fd_vs_t_start", a.fewer_steps("starts"), ("ddpm",))),
    _claim("A9", "DIP raises the total cost of training.",
           ("training seconds with those of the DIP, either net, are above those alone, equal steps", ALL_A[:3],
            "04_a_fd_over_seconds", a.costs_more(("a-ddpm", "a-2conv"), ("a-ddpm", "a-resnet18")), (), TIMED),
           ("the same, on digits", ("ddpm-on-dip", "ddpm"), "04_fd_vs_total_seconds", a.costs_more(("ddpm", "ddpm-on-dip")))),
    _claim("B1", "Combining shortens training from 7:40 to 5:10.",
           (f"equal steps and equal data path: training takes over {SAME:.0%} less time", (*PAIR, "b-timing"), "03_b_timing",
            b.shorter(*PAIR)),
           ("the same, without the split by data path", ("ddpm", "ddpm-on-dip"), "04_fd_vs_total_seconds",
            b.shorter("ddpm", "ddpm-on-dip"))),
    _claim("B2", "Digits are better shaped, with fewer ragged edges.",
           ("outline over root of the area of the digits is smaller", BOTH_B, B_FIGURE, b.less_ragged, PAIR, SIZES)),
    _claim("B3", "Digits are greyer, with less contrast.",
           ("contrast of samples is lower", BOTH_B, B_FIGURE, b.greyer, PAIR, SIZES),
           ("contrast of samples is lower", ("ddpm", "ddpm-on-dip"), "04_grids", b.greyer_digits, ("ddpm", "ddpm-on-dip"))),
    _claim("B4", "The larger std, the less accurate the images.",
           ("FD of samples rises with std (a line fitted to log FD), over the full grid", ("b-grid",), "05_b_grid",
            b.slope_test("std", "b-grid", "FD, for one unit of std", GRID_FD), ("b-grid",), GRID),
           ("FD of the DIP's outputs rises with std (a line fitted to log FD)", ("std",), "05_dip_fd",
            b.slope_test("std", "std", "FD, for one unit of std", DIP_FD), ("std",)),
           ("FD of samples rises with std in the report's own rows", ("b-rows",), "05_b_rows",
            b.slope_test("std", "b-rows", "FD, for one unit of std", ROWS_FD), ("b-rows",))),
    _claim("B5", "std does not change the time.",
           (f"change of training seconds over the range of std within +-{SAME:.0%}", ("b-grid",), "05_b_grid_seconds",
            b.slope_test("std", "b-grid", "seconds, over the range", SECONDS, metric="train_seconds")),
           (f"change of the DIP's seconds over the sweep within +-{SAME:.0%}", ("std",), "05_dip_fd",
            b.slope_test("std", "std", "seconds, over the range", "Seconds of the DIP fit.", metric="train_seconds")),
           (f"change of training seconds over the report's own rows within +-{SAME:.0%}", ("b-rows",), "05_b_rows",
            b.slope_test("std", "b-rows", "seconds, over the range", SECONDS, metric="train_seconds"))),
    _claim("B6", "The larger dip_lr, the less clear the images.",
           ("FD of samples rises with dip_lr (a line fitted to log FD), over the full grid", ("b-grid",), "05_b_grid",
            b.slope_test("dip_lr", "b-grid", "FD, for ten times the rate", GRID_FD, log=True), ("b-grid",), GRID),
           ("FD of the DIP's outputs rises with the learning rate (a line fitted to log FD)", ("dip_lr",), "05_dip_fd",
            b.slope_test("dip_lr", "dip_lr", "FD, for ten times the rate", DIP_FD, log=True), ("dip_lr",)),
           ("FD of samples rises with dip_lr in the report's own rows", ("b-rows",), "05_b_rows",
            b.slope_test("dip_lr", "b-rows", "FD, for ten times the rate", ROWS_FD, log=True), ("b-rows",))),
    _claim("B7", "The DDPM needs fewer denoising steps from a DIP start.",
           (STARTS_TESTED + NO_DIP, ("starts",), "04_fd_vs_t_start", a.fewer_steps("starts"), ("ddpm",))),
    _claim("B8", "DIP emphasises the important parts of the image.",
           ("strokes stand out more in a DIP's outputs than in the digits, and than in blurred ones", ("b-dip",), "02_b_panels",
            b.emphasis, ("b-dip",))),
]  # fmt: skip
