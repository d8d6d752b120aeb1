"""The claims as a table: id, what was said, and the evidence. Hypotheses and margins were written before the runs they need."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dipddpm_utils.reports import tests_a as a
from dipddpm_utils.reports import tests_b as b
from dipddpm_utils.reports.printed import FID_CHANGE, same_fid
from dipddpm_utils.reports.tests_a import ALL_A, Test
from dipddpm_utils.reports.tests_b import PAIR, SAME


@dataclass(frozen=True)
class Evidence:
    """One way to test a claim: what would show it, the groups of runs it reads, its figure (a name in figures/), the test."""

    hypothesis: str
    needs: tuple[str, ...]
    figure: str
    test: Test


@dataclass(frozen=True)
class Claim:
    """One claim: its evidence from the rebuilt runs first, then what a profile without those may use instead."""

    id: str
    said: str
    evidence: tuple[Evidence, ...]


def _claim(id: str, said: str, *evidence: tuple[str, tuple[str, ...], str, Test]) -> Claim:
    return Claim(id, said, tuple(Evidence(*one) for one in evidence))


A_FIGURE, B_FIGURE = "04_a_fd_over_steps", "04_b_grids"
BOTH_B = (*PAIR, *(f"{name}-published" for name in PAIR))
STARTS_TESTED = "FD from a DIP start is below FD from noise at equal calls, without more copies"
NO_DIP = ", and better than a mean, Gaussian or blurred start"
DIP_FD = "FD of the DIP's outputs for clean images to held-out images: what the DDPM is trained on."
GRID_FD = "FD of the combined model's samples, all other settings balanced, one line a seed."
SECONDS = "Training seconds of the combined model."

CLAIMS: list[Claim] = [
    _claim("A1", "The first FID is the lowest with DIP.",
           ("with a DIP, the FD of every later evaluation is above the first one's", ALL_A, A_FIGURE, a.first_lowest)),
    _claim("A2", "The FID falls faster with DIP.",
           ("FD falls by a larger factor from the first evaluation to the last than without", ALL_A, A_FIGURE, a.falls_faster)),
    _claim("A3", "The FID rises later in training.",
           ("with a DIP, FD at the end is above FD at half of the training", ALL_A, A_FIGURE, a.rises_later)),
    _claim("A4", "Plain DDPM's first FID is higher than both.",
           ("first evaluation: FD alone is above the higher of both nets'", ALL_A, A_FIGURE, a.starts_higher)),
    _claim("A5", "ResNet18 against 2conv changes FID by less than 5.",
           (f"FD of one over the other within a factor of {math.exp(same_fid()):.3f}, either way: as large a share as "
            f"{FID_CHANGE:g} of the published FID of the DDPM alone", ALL_A, A_FIGURE, a.same_nets)),
    _claim("A6", "ResNet18+DDPM has the lowest FID of all.",
           ("lowest FD over training: below that of both others", ALL_A, A_FIGURE, a.lowest_of_all)),
    _claim("A7", "The rise may come from 30 samples or too few steps.",
           ("the same models rise more when judged on 30 samples than when judged on all", ALL_A, "06_published_curves",
            a.rise_is_noise)),
    _claim("A8", "DIP reduces the diffusion steps needed.",
           (STARTS_TESTED, ("a-starts",), "04_a_starts", a.fewer_steps("a-starts")),
           (STARTS_TESTED + NO_DIP, ("starts",), "04_fd_vs_t_start", a.fewer_steps("starts"))),
    _claim("A9", "DIP raises the total cost of training.",
           ("training seconds with those of the DIP are above those alone, equal steps", ALL_A[:3], "04_a_fd_over_seconds",
            a.costs_more(("a-ddpm", "a-2conv"), ("a-ddpm", "a-resnet18"))),
           ("the same, on digits", ("ddpm-on-dip", "ddpm"), "04_fd_vs_total_seconds", a.costs_more(("ddpm", "ddpm-on-dip")))),
    _claim("B1", "Combining shortens training from 7:40 to 5:10.",
           (f"equal steps and equal data path: training takes over {SAME:.0%} less time", (*PAIR, "b-timing"), "03_b_timing",
            b.shorter(*PAIR)),
           ("the same, without the split by data path", ("ddpm", "ddpm-on-dip"), "04_fd_vs_total_seconds",
            b.shorter("ddpm", "ddpm-on-dip"))),
    _claim("B2", "Digits are better shaped, with fewer ragged edges.",
           ("outline over root of the area of the digits is smaller", BOTH_B, B_FIGURE, b.less_ragged)),
    _claim("B3", "Digits are greyer, with less contrast.",
           ("contrast of samples is lower", BOTH_B, B_FIGURE, b.greyer),
           ("contrast of samples is lower", ("ddpm", "ddpm-on-dip"), "04_grids", b.greyer_digits)),
    _claim("B4", "The larger std, the less accurate the images.",
           ("FD of samples rises with std (a line fitted to log FD), over the full grid", ("b-grid",), "05_b_grid",
            b.slope_test("std", "b-grid", "FD, for one unit of std", GRID_FD)),
           ("FD of the DIP's outputs rises with std (a line fitted to log FD)", ("std",), "05_dip_fd",
            b.slope_test("std", "std", "FD, for one unit of std", DIP_FD))),
    _claim("B5", "std does not change the time.",
           (f"change of training seconds over the range of std within +-{SAME:.0%}", ("b-grid",), "05_b_grid_seconds",
            b.slope_test("std", "b-grid", "seconds, over the range", SECONDS, metric="train_seconds")),
           (f"change of the DIP's seconds over the sweep within +-{SAME:.0%}", ("std",), "05_dip_fd",
            b.slope_test("std", "std", "seconds, over the range", "Seconds of the DIP fit.", metric="train_seconds"))),
    _claim("B6", "The larger dip_lr, the less clear the images.",
           ("FD of samples rises with dip_lr (a line fitted to log FD), over the full grid", ("b-grid",), "05_b_grid",
            b.slope_test("dip_lr", "b-grid", "FD, for ten times the rate", GRID_FD, log=True)),
           ("FD of the DIP's outputs rises with the learning rate (a line fitted to log FD)", ("dip_lr",), "05_dip_fd",
            b.slope_test("dip_lr", "dip_lr", "FD, for ten times the rate", DIP_FD, log=True))),
    _claim("B7", "The DDPM needs fewer denoising steps from a DIP start.",
           (STARTS_TESTED + NO_DIP, ("starts",), "04_fd_vs_t_start", a.fewer_steps("starts"))),
    _claim("B8", "DIP emphasises the important parts of the image.",
           ("strokes stand out more in a DIP's outputs than in the digits, and than in blurred ones", ("b-dip",), "02_b_panels",
            b.emphasis)),
]  # fmt: skip
