"""What notebooks 04 and 07 say of each comparison: which way round it is, who takes part, and when nothing is decided."""

import math

import numpy as np
import pytest
from labs import Records, holding

from dipddpm_utils.combined import comparisons, conclusions, mechanisms, restored, verdicts
from dipddpm_utils.page import compare
from dipddpm_utils.theory import findings as theory_findings

SMALL = ("main-drawn",)  # without this group, the small models are what counts


@pytest.mark.parametrize(("on_dip", "alone", "said"), [(0.5, 0.8, "less diverse"), (0.8, 0.5, "more diverse")])
def test_a_lower_recall_is_less_diverse(on_dip, alone, said):
    lab = Records()
    for group, recall in zip(comparisons.compared(lab), (alone, on_dip), strict=True):
        lab.set(group, recall=lambda *_, recall=recall: recall)
    assert f"**{said}**" in comparisons.combined(lab)


@pytest.mark.parametrize(
    ("fd", "recall", "why"),
    [(2.0, 0.5, ""), (1e4, 0.5, "does not pass the gate of notebook 06"), (2.0, 0.01, "are no images yet (recall 0.01")],
)
def test_why_models_decide_nothing_is_their_recall_or_their_distance(fd, recall, why):
    lab = Records()
    lab.set(comparisons.compared(lab)[0], fd=lambda *_: fd, recall=lambda *_: recall)
    assert why in comparisons.untestable(lab) and bool(comparisons.untestable(lab)) == bool(why)


def test_at_equal_seconds_too_models_that_draw_no_images_give_no_verdict():
    lab = holding("ddpm", "ddpm-on-dip", "ddpm-more", without=SMALL)
    for group in ("ddpm", "ddpm-on-dip", "ddpm-more"):
        lab.set(group, recall=lambda *_: 0.5)
    assert comparisons.outputs(lab)["seconds"].images
    lab.set("ddpm-more", recall=lambda *_: 0.01)
    gaps = comparisons.outputs(lab)
    assert gaps["fd"].images and not gaps["seconds"].images


def test_a_start_that_saves_nothing_with_one_seed_has_no_interval_of_images():
    lab = Records()
    frame, record = lab.frame("main-starts"), lab.seeds("main")[0]
    assert comparisons.measured_cost(frame, record, "dip")[1].n == frame["seed"].nunique() > 1
    frame.loc[frame["seed"] == 0, "start_seconds"] = 1e6
    cost, limit = comparisons.measured_cost(frame, record, "dip")
    assert limit is None and "with some seeds only" in theory_findings.break_even(
        comparisons.Cost(30, 0, 0.01, cost.t_start, cost.T), limit
    )


@pytest.mark.parametrize(("near", "back"), [(0.9, True), (0.0, False)])
def test_that_a_start_which_saves_time_gives_images_back_is_said_where_it_does(near, back):
    lab = Records()
    lab.set("main-starts", own_source_rate=lambda *_: near, copy_rate=lambda *_: 0.01, copy_rate_floor=lambda *_: 0.01)
    frame = lab.frame("main-starts")
    assert ("are given back" in comparisons.pays(lab, frame, lab.seeds("main")[0])) is back
    assert comparisons.gives_back(frame) is back


@pytest.mark.parametrize(("chains", "said"), [(9.0, True), (5.0, True), (4.0, False)])
def test_no_chain_is_said_to_be_better_than_the_outputs_where_none_has_a_lower_mean(chains, said, monkeypatch):
    lab, group = Records(), "main-starts"
    for label, _, record in lab.members(group):
        record.metrics["fd"] = chains if label == "dip" else 100.0
    alone = {"dip": lab.frame(group).head(3).assign(fd=5.0, fd_low=np.nan, fd_high=np.nan, seed=range(3))}
    monkeypatch.setattr(comparisons, "outputs_alone", lambda *_: alone)
    assert ("no chain from them has a lower mean FD" in comparisons.without_a_chain(lab)) is said


def test_more_training_is_what_longer_training_makes_of_the_distance():
    lab = holding("ddpm", "ddpm-more")
    lab.set("ddpm", fd=lambda *_: 8.0, steps=lambda *_: 100)
    lab.set("ddpm-more", fd=lambda *_: 2.0, steps=lambda *_: 300)
    (line,) = (line for line in conclusions.instead(lab).splitlines() if "More training" in line)
    assert "for 3.0 times the steps" in line and line.partition("alone")[2].partition(": ")[2].startswith("0.250")


def test_restoration_is_counted_at_equal_seconds_first_and_against_one_chain_then(monkeypatch):
    monkeypatch.setattr(restored, "restored_count", lambda lab, role: f"<{role}>")
    (line,) = (line for line in conclusions.found(Records()) if "**Restoration**" in line)
    assert line.endswith("At equal seconds a DIP <equal seconds>. Against one chain it <cheap>.")


def test_the_better_sampler_has_the_calls_of_the_ddpm_alone():
    lab = Records()
    frame = mechanisms.table_of(lab)
    calls = frame.loc[frame["label"] == "baseline", "nfe"].iloc[0]
    for label, _, record in lab.members("main-drawn"):
        if label == "more calls":  # more calls are better still, and are not meant
            record.metrics["fd"] = 0.5 if record.metrics["nfe"] > calls else 1.0
    lab.kept = {}
    (line,) = (line for line in conclusions.instead(lab).splitlines() if "better sampler" in line)
    assert f". FD of the DDPM alone, {calls:.0f} calls of DDIM with eta 1 / FD" in line
    lab.profile.groups["main-drawn"] = [one for one in lab.profile.group("main-drawn") if one.label != "more calls"]
    lab.kept = {}
    assert "better sampler" not in conclusions.instead(lab)


def test_models_that_draw_nothing_win_nothing_and_their_rows_have_no_cost():
    lab = Records()
    before = [row for row in verdicts.rows(lab) if row.job != "restoration"]
    assert any(row.cost for row in before)
    lab.set(comparisons.compared(lab)[0], recall=lambda *_: 0.01)
    after = [row for row in verdicts.rows(lab) if row.job != "restoration"]
    assert {(row.verdict, row.better, row.cost, row.given_back) for row in after} == {("not testable", None, "", False)}


def test_a_difference_of_models_that_draw_no_images_is_no_win():
    gap = compare.paired([-1.0, -1.1, -0.9], ratio=True)
    for images, better in ((True, True), (False, None)):
        own = compare.replace(gap, images=images)
        assert verdicts._row("generation", "q", own, "c", "f").better is better
    assert math.exp(gap.value) < 1
