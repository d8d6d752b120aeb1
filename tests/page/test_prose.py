"""Sentences say what the records hold, and change when the records do."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fake_records import NETS, FakeLab

from dipddpm_utils import answer
from dipddpm_utils.dip import findings as dip_findings
from dipddpm_utils.judging import stats
from dipddpm_utils.page import prose, training, words
from dipddpm_utils.page.compare import frame_of, paired
from dipddpm_utils.priors import comparisons
from dipddpm_utils.reports import claims
from dipddpm_utils.theory import findings as theory_findings
from dipddpm_utils.theory.gaussian import Cost

LAB = FakeLab()
FLOOR = SimpleNamespace(metrics={"fd": 2.26, "n": 2000}, evals=pd.DataFrame({"n": [2000], "fd": [2.26]}))
METRICS = {"features": "FD-MNIST", "n": 2000, "fd": 14.2, "fd_low": 13.1, "fd_high": 15.0}


def test_a_distance_names_its_features_n_interval_and_floor():
    said = prose.distance(METRICS, FLOOR)
    assert said == "FD-MNIST 14.2 [13.1, 15.0] (n = 2000), 6.3 times the real-vs-real floor of 2.26"
    assert prose.distance({**METRICS, "fd_floor": 2.26}) == said
    assert prose.distance({**METRICS, "n": 500}, FLOOR).endswith("floor of 2.26 at n = 2000")
    assert prose.distance(METRICS) == "FD-MNIST 14.2 [13.1, 15.0] (n = 2000)"
    drawn = {**METRICS, "sampler": "ddim eta 1", "nfe": 50}
    assert prose.distance(drawn) == "FD-MNIST 14.2 [13.1, 15.0] (n = 2000, DDIM with eta 1, 50 calls)"
    assert prose.distance({**METRICS, "features": "FID", "fd_low": None, "fd_high": None}) == "FID 14.2 (n = 2000)"


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([6.0, 6.5, 7.0], "**worse**"),
        ([-6.0, -6.5, -7.0], "**better**"),
        ([-6.0, 1.0, 7.0], "**not decidable** with 3 seeds"),
        ([6.0], "**not decidable** from one seed"),
    ],
)
def test_a_difference_is_called_one_only_if_its_interval_leaves_out_zero(differences, said):
    sentence = prose.comparison("A minus B", paired(differences), "FD")
    assert said in sentence
    assert ("paired over 3 seeds" in sentence) == (len(differences) == 3)


def test_an_undecided_difference_says_how_many_seeds_it_would_take():
    gap = paired([1.0, 2.0, -0.5])
    assert f"about {gap.needed} seeds" in prose.comparison("A minus B", gap, "FD")


def test_shares_too_small_to_print_are_not_printed_as_zero():
    assert [prose.percent(x) for x in (0.123, 0.0, 1e-9, None)] == ["12%", "0%", "less than 0.01%", "not known"]


def test_every_finding_is_a_sentence_without_gaps():
    nets = {net: LAB.seeds(f"dip-{net}") for net in NETS}
    images = {net: LAB.record(f"dip-images-{net}") for net in NETS}
    gaussian, long, samplers = LAB.record("gaussian"), LAB.record("ddpm-long"), LAB.frame("samplers")
    base, on_dip = LAB.seeds("ddpm"), LAB.seeds("ddpm-on-dip")
    said = [
        *(f(gaussian) for f in (training.checks, training.mismatch, training.few_steps)),
        *(f(long) for f in (training.training, training.progress, training.loss_and_distance)),
        *(f(samplers) for f in (training.samplers, training.fewest_calls)),
        theory_findings.spectrum(LAB.record("spectrum")),
        dip_findings.dip_nets(nets), dip_findings.best_net(nets), dip_findings.peaks(images), dip_findings.best_peak(images),
        dip_findings.fit_seconds(nets, images), training.coverage(long.metrics, LAB.record("floor")),
        comparisons.combined(LAB), comparisons.starts(LAB.frame("starts")),
        comparisons.equal_seconds(base, on_dip), comparisons.instead(LAB), answer.answer(LAB),
        prose.caution(LAB),
        comparisons.sweep("std", LAB.frame("std"), "fd", "FD"),
        comparisons.trend("std", LAB.frame("std"), "fd", "FD"),
        prose.seconds(LAB, base), claims.summary(claims.audit(LAB)),
    ]  # fmt: skip
    for sentence in said:
        assert sentence.strip() and not re.search(r"\bnan\b|None|\{|\binf\b", sentence), sentence


def test_break_even_says_never_if_the_prior_saves_nothing():
    assert "**6\u202f012 images**" in theory_findings.break_even(Cost(30, 0, 0.01, 500, 1000))
    assert "never pays" in theory_findings.break_even(Cost(30, 1, 0.01, 500, 1000))


def test_measured_cost_scales_to_the_whole_chain():
    cost, measured = comparisons.measured_cost(LAB.frame("starts"), LAB.record("ddpm-s0"))
    assert cost.chain_seconds == pytest.approx(0.4 * 50 / 2000) and cost.prior_seconds == 30 and cost.T == 1000
    assert cost.prior_seconds_per_image == pytest.approx(3 / 2000)
    assert measured["images"].iloc[0] == pytest.approx(30 / ((50 - 12) * 0.4 / 2000 - 3 / 2000))
    slow = LAB.frame("starts")  # a DIP that takes longer to apply than the chain does
    slow.loc[slow["label"] == "dip", ["start_seconds", "sampling_seconds"]] += 30.0
    cost, measured = comparisons.measured_cost(slow, LAB.record("ddpm-s0"))
    assert measured.empty and cost.break_even_images == np.inf and "never pays" in theory_findings.break_even(cost)


def test_equal_seconds_reads_the_longer_run_at_the_others_total_seconds():
    more, on_dip = LAB.seeds("ddpm-more"), LAB.seeds("ddpm-on-dip")
    expected = []
    for alone, other in zip(more, on_dip, strict=True):
        rows = alone.evals[alone.evals["sampler"] == "dpmpp_2m"]  # at 160 s and 200 s; the other takes 190 s
        low, high = np.log(rows["fd"].to_numpy()[-2:])
        expected.append(np.log(other.evals[other.evals["sampler"] == "dpmpp_2m"]["fd"].iloc[-1]) - (0.25 * low + 0.75 * high))
    text = comparisons.equal_seconds(more, on_dip)
    assert f"a factor of {np.exp(np.mean(expected)):.2f}" in text and "At equal total seconds" in text
    short = LAB.seeds("ddpm")  # it stopped at 160 s: its own end counts, and that is said
    assert "With 16% fewer seconds for the DDPM alone" in comparisons.equal_seconds(short, on_dip)


def test_the_answer_and_the_readme_follow_the_records():
    worse, better = answer.answer(LAB), answer.answer(FakeLab(dip_gain=0.3))
    line = "Fewer steps by starting from DIP outputs"
    assert "**worse**" in next(x for x in worse.splitlines() if line in x)
    assert "**better**" in next(x for x in better.splitlines() if line in x)
    assert (
        answer.answer(FakeLab(without=("ddpm", "ddpm-on-dip", "ddpm-long", "starts", "mechanisms", "restore")))
        == prose.NOT_MEASURED
    )
    assert "**quick**" in answer.readme_block(LAB) and worse in answer.readme_block(LAB)
    assert "mean nothing else" in prose.caution(FakeLab(profile="smoke"))
    assert "**quick** profile." in prose.caution(FakeLab(profile="quick:/somewhere/cats"))


def test_a_profile_of_the_two_reports_alone_is_tolerated():
    lab = FakeLab(without=("ddpm", "ddpm-on-dip", "ddpm-long", "ddpm-more", "samplers", "starts", "mechanisms", "restore"))
    assert comparisons.combined(lab) == comparisons.instead(lab) == prose.NOT_MEASURED
    assert list(comparisons.negative_results(lab)["verdict"]) == []
    assert list(comparisons.negative_results(LAB)["verdict"])


# --- claims -----------------------------------------------------------------------------------------------------------


def verdicts(lab):
    return {one.claim.id: one.verdict for one in claims.audit(lab)}


def test_all_seventeen_claims_are_judged_in_order():
    table = claims.table(claims.audit(LAB))
    assert table.columns[0] == "claim"
    assert list(table["claim"]) == [f"A{i}" for i in range(1, 10)] + [f"B{i}" for i in range(1, 9)]
    assert [said.partition(".")[0] for said in claims.hypotheses()["claim"]] == list(table["claim"])
    assert (table["why"] != "").all() and ((table["figure"] == "") == (table["verdict"] == "not yet measured")).all()
    page = claims.page_table(claims.audit(LAB))
    assert [said.partition(".")[0] for said in page["claim"]] == list(table["claim"])
    assert [verdict.partition(" (")[0] for verdict in page["verdict"]] == list(table["verdict"])
    assert all(link.target.startswith(link.text[:2]) and link.target.endswith(".ipynb") for link in page["figure"] if link)


def test_the_bound_on_a_start_is_compared_with_what_is_seen():
    def starts(precision, bound):
        rows = [{"label": "real", "value": 900, "seed": i, "precision": 0.9, "copy_rate": 0.01} for i in range(3)]
        for i in range(3):
            seen = {"precision": precision + 0.001 * i, "copy_rate": 0.012}
            rows.append({"label": "dip", "value": 900, "seed": i, **seen, "start_tv_bound": bound, "start_moved": 30.0})
        return pd.DataFrame(rows)

    held = comparisons.start_bounds(starts(0.7, 0.4))
    half = stats.t_quantile(1 - 0.025 / 2, 2) * 0.001 / math.sqrt(3)
    assert held["event"].tolist() == ["among real images"] and held["least"].iloc[0] == pytest.approx(0.199 - half)
    said = comparisons.start_bound(held)
    assert "broken in 0 of 1" in said and "below 0.9 from t_start = 900 on, there at most 0.40" in said
    assert "broken in 1 of 1" in comparisons.start_bound(comparisons.start_bounds(starts(0.4, 0.4)))
    assert "above 0.9 at every step" in comparisons.start_bound(comparisons.start_bounds(starts(0.4, 0.9999)))
    wide = starts(0.7, 0.001)  # precision not told apart, the share of copies is: one is enough to break the bound
    wide.loc[wide["label"] == "dip", "precision"] = [0.1, 0.9, 0.5]
    wide.loc[wide["label"] == "dip", "copy_rate"] = [0.019, 0.02, 0.021]
    found = comparisons.start_bounds(wide)
    assert found["event"].tolist() == ["copied"] and "broken in 1 of 1" in comparisons.start_bound(found)
    one = starts(0.4, 0.4)
    assert comparisons.start_bounds(one[one["seed"] == 0]).empty  # one seed shows nothing
    one.loc[one["label"] == "dip", "start_tv_bound"] = [0.4, math.nan, 0.4]  # a record from before the bound was kept
    assert comparisons.start_bounds(one).empty
    assert comparisons.start_bound(comparisons.start_bounds(one)) == prose.NOT_MEASURED


def test_an_effect_in_logarithms_is_a_factor_wherever_it_is_shown():
    one = next(one for one in claims.audit(LAB) if one.claim.id == "A9")
    shown = math.exp(one.finding.effect.value)
    assert float(one.row()["effect"]) == pytest.approx(shown, rel=1e-3) and one.row()["unit"] == "factor of seconds"
    cell = claims.page_table([one])["effect, corrected"].iloc[0]
    assert cell == f"seconds: a factor of {words.factor(one.finding.effect)}" and cell in one.sentence()
    for judged in claims.audit(LAB):
        assert "log " not in judged.sentence()


def test_verdicts_change_with_the_records():
    now = verdicts(LAB)
    assert (now["B7"], now["B4"], now["A9"], now["A1"]) == ("does not hold", "holds", "holds", "not yet measured")
    assert verdicts(FakeLab(dip_gain=0.3))["B7"] == "holds"
    assert verdicts(FakeLab(seeds=1))["B4"] == "not decidable"
    assert verdicts(FakeLab(without=("starts",)))["B7"] == "not yet measured"


def test_a_start_that_wins_by_copying_or_no_more_than_a_control_is_an_artefact():
    copying = FakeLab(dip_gain=0.3)
    for record in copying.seeds("starts"):
        record.metrics["copy_rate"] = 0.5
    assert verdicts(copying)["B7"] == "artefact of copying of training images"
    controlled = FakeLab(dip_gain=0.8)
    for label, _, _, record in controlled.groups["starts"]:
        if label == "gaussian":
            record.metrics["fd"] *= 0.5
    assert verdicts(controlled)["B7"].startswith("artefact of any start near the data")
    assert "the gaussian does as well" in verdicts(controlled)["B7"]


def test_a_changed_record_changes_the_sentence():
    lab = FakeLab()
    before = claims.table(claims.audit(lab)).set_index("claim").loc["B4", "effect"]
    for _, value, _, record in lab.groups["std"]:
        record.metrics["fd"] = 30 - 5 * value + record.seed
    row = claims.table(claims.audit(lab)).set_index("claim").loc["B4"]
    assert row["effect"] != before and row["verdict"] == "does not hold"


def test_unchanged_is_a_claim_about_a_margin():
    def judged(values):
        lab = FakeLab()
        for _, value, _, record in lab.groups["std"]:
            record.metrics["train_seconds"] = values(value) + 0.01 * record.seed * value
        return verdicts(lab)["B5"]

    assert judged(lambda v: 30.0) == "holds"
    assert judged(lambda v: 30.0 + 10 * v) == "does not hold"


def test_frames_carry_name_and_seed():
    assert list(frame_of(LAB.seeds("ddpm"))["seed"]) == [0, 1, 2]
