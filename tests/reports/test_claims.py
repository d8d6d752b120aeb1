"""Each of the seventeen claims can hold, fail or be an artefact, and says so in a sentence that follows the records."""

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.stats as scipy_stats
from labs import NOISE, Records, holding

from dipddpm_utils.driver import nbfiles
from dipddpm_utils.judging import fidelity
from dipddpm_utils.judging.stats import holm, pairs_needed
from dipddpm_utils.page import figures as page_figures
from dipddpm_utils.page import training
from dipddpm_utils.page.compare import judged_alike, paired
from dipddpm_utils.page.lab import Lab
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import ends, factor, number
from dipddpm_utils.parts import Data
from dipddpm_utils.reports import claims, claims_list, evidence_a, evidence_b, evidence_time, figures, findings, gate, tables
from dipddpm_utils.reports.finding import Finding, compared, decisive, side
from dipddpm_utils.reports.printed import same_fid
from dipddpm_utils.store import records
from dipddpm_utils.store.records import Outcome
from dipddpm_utils.study import profile

CLAIM = {claim.id: claim for claim in claims_list.CLAIMS}
STARTS = ("a-starts", "main-starts", "starts")
FIRST = ("b-dip-std", "b-dip-lr")


def reports(*also, **options):
    """A lab that holds the two reports rebuilt; without the copies that A8's own records are full of.

    And without report B's DIP by itself, which is asked before its models where those do not pass the gate, but for `also`.
    """
    options["without"] = tuple(group for group in FIRST if group not in also)
    lab = holding("a-only", "a-starts", "a-turns", "b-only", "b-grid", "b-rows", "b-timing", "b-turns", *also, **options)
    for group in STARTS:
        lab.set(group, **dict.fromkeys(("copy_rate", "copy_rate_floor", "own_source_rate"), lambda *_: 0.01))
    for group in filter(lab.has, {name for claim in claims_list.CLAIMS for one in claim.evidence for name in one.models}):
        lab.set(group, recall=lambda *_: 0.5)
    for floor in filter(lab.has, ("floor", "a-floor", "b-floor")):
        lab.record(floor).metrics.update(dict.fromkeys(gate.TRIVIAL, 1e6))  # the models pass the gate, whatever a test sets
    return lab


@pytest.fixture
def lab():
    return reports()


def judged(id, lab):
    return claims.judge(CLAIM[id], [lab])


def distances(lab, values, ending="", column="fd"):
    """Set the distances over training of report A's variants: variant -> one value an evaluation (during training)."""
    for name, over in values.items():
        for record in lab.seeds(name + ending):
            noise = NOISE[record.seed] ** (1 + len(name) % 3)
            record.evals[column] = np.array([*over, over[-1]]) * noise
            if column == "fd":
                record.metrics["fd"] = over[-1] * noise


FLAT, FALLS, RISES = (50, 50, 50, 50), (80, 60, 50, 40), (50, 60, 70, 80)
DIPS = ("a-2conv", "a-resnet18")


def three(alone, conv, resnet):
    return {"a-ddpm": alone, "a-2conv": conv, "a-resnet18": resnet}


LOW, HIGH = three(FLAT, FALLS, FALLS), three(FALLS, FLAT, FLAT)  # the DDPM alone starts lower, or higher, than both
A_CASES = [
    # claim, corrected, as published (None: the same), verdict
    ("A1", three(FLAT, RISES, RISES), None, "holds"),
    ("A1", three(FLAT, FALLS, FALLS), None, "does not hold"),
    ("A2", LOW, None, "holds"),
    ("A2", HIGH, None, "does not hold"),
    ("A3", three(FLAT, RISES, RISES), None, "holds"),
    ("A3", three(FLAT, FALLS, FALLS), None, "does not hold"),
    ("A4", HIGH, None, "holds"),
    ("A4", LOW, None, "does not hold"),
    ("A4", LOW, HIGH, "artefact of the report's faults"),
    ("A5", three(FLAT, FLAT, (50.1,) * 4), None, "holds"),
    ("A5", three(FLAT, FLAT, (70,) * 4), None, "does not hold"),
    ("A6", three(FLAT, FLAT, FALLS), None, "holds"),
    ("A6", HIGH, None, "does not hold"),
    ("A6", three(FALLS, FALLS, FLAT), three(RISES, FLAT, FALLS), "artefact of the report's faults"),
]


def trained(lab, corrected, published=None):
    """Report A's distances over training; what 30 samples say is what all say, so that no verdict hangs on the measure."""
    distances(lab, corrected)
    for column in ("fd", "fd_published"):
        distances(lab, published or corrected, "-published", column)


@pytest.mark.parametrize(("id", "corrected", "published", "verdict"), A_CASES)
def test_report_a_on_distances_over_training(id, corrected, published, verdict, lab):
    trained(lab, corrected, published)
    assert judged(id, lab).verdict == verdict


def test_what_only_thirty_samples_show_is_an_artefact_of_the_measure(lab):
    same = three(FALLS, FALLS, FALLS)
    distances(lab, same)
    distances(lab, same, "-published")
    distances(lab, dict.fromkeys(same, RISES), "-published", "fd_published")
    for id in ("A1", "A3"):
        one = judged(id, lab)
        assert one.verdict == "artefact of fault FA3" and "judged on 30 samples" in one.sentence()


def drawn(lab, rise, spread, sets=1000):
    """Many sets of 30 of each model as published: the mean distance rises by this factor, one set's is off by this much."""
    rng = np.random.default_rng(0)
    for name in claims_list.PUBLISHED_A:
        for record in lab.seeds(name):
            n = len(record.evals)
            logs = np.log(50) + np.linspace(0, math.log(rise), n)[:, None] + spread * rng.standard_normal((n, sets))
            record.evals["fd_published_draws"] = [" ".join(f"{value:.5g}" for value in row) for row in np.exp(logs)]


@pytest.mark.parametrize(("rise", "spread", "verdict"), [(1.0, 0.1, "holds"), (1.5, 0.01, "does not hold")])
@pytest.mark.parametrize(("seeds", "n"), [(3, "3 seeds"), (1, "1000 sets of 30")])
def test_a_rise_is_drawn_if_it_is_not_there_in_other_sets_of_one_model(rise, spread, verdict, seeds, n):
    lab = reports(seeds=seeds)
    drawn(lab, rise, spread)
    one = judged("A7", lab)
    assert one.verdict == verdict and one.row()["n"] == n and set(one.finding.each) == {"DDPM alone", "2conv", "ResNet-18"}
    assert "Too few steps is not tested: from half of the training to its end FD of all samples" in one.sentence()


def test_where_nothing_rises_nothing_is_to_be_explained(lab):
    drawn(lab, 0.3, 0.01)
    assert judged("A7", lab).verdict == "not yet measured"


def test_until_all_three_are_there_the_rise_of_the_ddpm_alone_is_judged():
    lab = reports(seeds=1)
    drawn(lab, 1.0, 0.1)
    del lab.profile.groups["a-2conv-published"]
    one = judged("A7", lab)
    assert (one.verdict, set(one.finding.each)) == ("holds", set())  # it is the one that the effect is of
    assert one.row()["tested"].startswith("the DDPM alone, as published: ") and "least sure" not in one.sentence()


def test_records_that_lack_what_a_test_reads_are_named_and_nothing_is_said_to_hold(lab):
    for name in claims_list.PUBLISHED_A:
        for record in lab.seeds(name):
            record.evals = record.evals.drop(columns="fd_published_draws", errors="ignore")
    one = judged("A7", lab)
    assert one.verdict == "not yet measured" and f"records in {lab.profile.name} lack what this reads" in one.sentence()


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, "holds"), (2.0, "does not hold")])
def test_fewer_steps_from_a_dip_start(factor, verdict, lab):
    for group in STARTS:
        lab.set(group, fd=lambda _, label, value: (50.0 + value / 100) * {"dip": factor, "noise": 1.0}.get(label, 1.5))
    alone = "artefact of any start near the data (none without a DIP was measured)" if factor < 1 else verdict
    assert judged("A8", lab).verdict == alone and judged("B7", lab).verdict == verdict
    each = {
        name: gap.value for name, gap in judged("B7", lab).finding.each.items() if name.startswith("DDPM alone over DDPM st")
    }
    assert each and list(each.values()) == pytest.approx([math.log(1 / factor)] * len(each), abs=0.05)
    lab.profile.groups.pop("a-starts")  # a profile without report A's runs uses the digits
    assert judged("A8", lab).verdict == verdict


def test_a_start_that_is_no_better_than_a_rival_without_a_dip_is_an_artefact(lab):
    for group in STARTS[1:]:
        lab.set(group, fd=lambda _, label, value: (50.0 + value / 100) * {"dip": 0.5, "gaussian": 0.4}.get(label, 1.0))
    assert judged("B7", lab).verdict == "artefact of any start near the data (the fitted Gaussian does as well)"


def test_fewer_steps_by_copying_is_an_artefact_where_no_t_start_is_without_it(lab):
    group = STARTS[1]
    lab.set(group, fd=lambda _, label, value: 20.0 + value / 100 if label == "dip" else 50.0)
    first = lab.members(group)[0][1]
    for name in ("copy_rate", "own_source_rate"):
        lab.set(group, **{name: lambda *_: 0.5})
        assert judged("B7", lab).verdict == "artefact of copying of training images"
        lab.set(group, **{name: lambda _, label, value: 0.5 if value == first else 0.01})  # there it is best, by copying
        one = judged("B7", lab)
        assert one.verdict == "holds" and f"decided at t_start {first}," not in one.sentence()
        lab.set(group, **{name: lambda *_: 0.01})
        assert f"decided at t_start {first}," in judged("B7", lab).sentence()


def test_a_dip_of_each_images_own_which_no_report_had_does_not_decide_a_claim(lab):
    better = {"per_image": 1e-3}
    before = judged("B7", lab)
    lab.set(before.evidence.needs[0], own_source_rate=lambda record, label, value: 0.0, copy_rate=lambda *_: 0.0)
    lab.set(before.evidence.needs[0], fd=lambda record, label, value: better.get(label, 1.0) * record.metrics["fd"])
    after = judged("B7", lab)
    assert after.finding.effect.value == pytest.approx(before.finding.effect.value, abs=0.05)
    assert "FD from DIP outputs" in after.finding.why and any("per-image DIP outputs" in name for name in after.finding.each)


def test_every_start_stands_against_noise_and_each_rival_at_every_t_start(lab):
    one = judged("B7", lab)
    frame = lab.frame(one.evidence.needs[0])
    ts, rivals = frame["value"].nunique(), len({"noise", "mean", "gaussian", "blur"} & set(frame["label"]))
    dips = len({"dip", "per_image"} & set(frame["label"]))
    assert len(one.finding.each) == ts * rivals * dips == len(one.row()["each"].split("; ")) > claims.MANY
    assert "One by one" not in one.sentence()  # too many to read aloud: claims.csv has them
    assert "The starts themselves, at no calls: FD" in one.sentence()


def in_turn(group, alone):
    """The lab of `reports` with trainings timed in turn, that of the DDPM alone for about so many seconds."""
    lab = reports()
    rows = lab.seeds(group)[0].evals
    rows.loc[rows["net"] == "alone", "seconds"] = alone * (1 + 0.001 * rows["repeat"])
    return lab


@pytest.mark.parametrize(("fit", "verdict"), [(50.0, "holds"), (0.0, "does not hold")])
def test_in_turn_a_dip_costs_what_its_fit_and_applying_it_take(fit, verdict):
    lab = in_turn("a-turns", alone=100.0)
    rows = lab.seeds("a-turns")[0].evals
    for net in ("2conv", "resnet18"):
        for part, seconds in (("fit", fit), ("apply", 0.0), ("train", 80.0)):  # as much less as it may: the same work
            own = (rows["net"] == net) & (rows["part"] == part)
            rows.loc[own, "seconds"] = seconds * (1 + 0.001 * rows["repeat"] ** 2)
    if not fit:  # seconds of a DIP are never below zero: a claim that could not fail is tested with some that are
        rows.loc[rows["part"] == "fit", "seconds"] = -1.0 - 0.01 * rows["repeat"]
    one = judged("A9", lab)
    assert one.verdict == verdict and one.evidence.needs == ("a-turns",) and one.finding.effect.over == "rounds"
    assert one.finding.effect.n == lab.seeds("a-turns")[0].run.rounds and not one.stands_in
    if fit:
        each = {name: math.exp(gap.value) for name, gap in one.finding.each.items()}
        whole = pytest.approx(1 + 50 / ((100 + 80 + 80) / 3), rel=0.02)
        assert each == {"2conv": whole, "ResNet-18": whole}
        assert "Without the DIP's, as published (FA9, FB4)" in one.why
        assert "Each training with its own steps: 2conv a factor of 1.3" in one.why
        assert claims.page_table([one], "")["verdict"].iloc[0].startswith("holds (above 1 by construction")


FB1 = "artefact of fault FB1"


@pytest.mark.parametrize(("combined", "verdict"), [(70.0, "holds"), (100.0, FB1), (98.0, FB1)])
def test_a_shorter_training_is_compared_at_its_own_std_without_its_dip_and_at_equal_data_path(combined, verdict):
    lab = in_turn("b-turns", alone=100.0)
    rows, paths = lab.seeds("b-turns")[0].evals, lab.seeds("b-timing")[0].evals
    rows.loc[rows["part"] != "train", "seconds"] = 1000.0  # which a saving of the model's does not count
    own = (rows["net"] == "5conv") & (rows["part"] == "train")
    rows.loc[own, "seconds"] = np.where(rows.loc[own, "std"] == 2.0, combined, 7.0) * (1 + 0.001 * rows.loc[own, "repeat"] ** 2)
    paths.loc[paths["part"] == "data", "seconds"] = paths["path"].map({"decode": 300.0, "memory": 1.0})
    one = judged("B1", lab)
    assert one.verdict == verdict and "in turn" in one.why and one.finding.effect.over == "rounds"
    whole = float(one.why.partition("with them: a factor of ")[2].split()[0])
    assert whole == pytest.approx(100 / (2000 + combined), rel=0.05)  # its fit and its outputs, 1000 s each
    assert (
        "(the printed 1.48 lies above the interval; with the DIP's seconds the factor is 0.0"
        in claims.page_table([one], "")["verdict"].iloc[0]
    )
    told = one.why.partition("other stds, not tested: ")[2].split("; ")
    assert [part.partition(" a factor of 14.")[0] for part in told[:3]] == ["0.8", "1", "1.2"], one.why  # 100 over 7
    paths.loc[paths["part"] == "data", "seconds"] = 1.0  # now the path saves nothing, so it explains nothing
    assert judged("B1", lab).verdict == ("holds" if combined == 70.0 else "does not hold")


@pytest.mark.parametrize(("steep", "verdict"), [(0.0, "holds"), (0.5, "does not hold")])
def test_in_turn_std_changes_the_seconds_or_not(steep, verdict):
    lab = reports()
    rows = lab.seeds("b-turns")[0].evals
    rows["seconds"] = np.exp(steep * rows["std"].clip(upper=1.2)) * (1 + 0.001 * rows["repeat"] * (rows["std"] > 1))
    rows.loc[rows["std"] == 2.0, "seconds"] = 1000.0  # report B varied std from 0.8 to 1.2
    one = judged("B5", lab)
    assert one.verdict == verdict and one.finding.effect.over == "rounds"
    assert one.finding.effect.value == pytest.approx(0.4 * steep, abs=0.02)


def test_the_trainings_timed_in_turn_are_tabled_with_their_hours():
    lab = reports()
    for group in ("a-turns", "b-turns"):
        rows = lab.seeds(group)[0].evals
        rows["seconds"] = rows["part"].map({"train": 3600.0, "fit": 1800.0, "apply": 0.0})
    table = evidence_time.turns_table(lab).set_index("training")
    assert list(table.index[:4]) == [
        "report A, real images", "report A, outputs of 2conv, std 0.1", "report A, outputs of ResNet-18, std 0.1",
        "report B, real images",
    ] and len(table) == 8  # fmt: skip
    row = table.loc["report B, outputs of 5conv, std 2"]
    assert (row["the DIP (h)"], row["the model (h)"]) == ("0.500", "1.00")
    assert row["over the model's"] == "1.50 [1.50, 1.50]"
    record = lab.seeds("b-turns")[0]
    assert len(evidence_time.in_turn(record)) == record.run.rounds
    assert f"{record.run.rounds} rounds of report B's" in evidence_time.timed(lab)


def test_what_report_as_variants_take_is_of_one_sitting_whatever_machines_their_records_are_of():
    lab, names = reports(), claims_list.VARIANTS
    rows = lab.seeds("a-turns")[0].evals
    rows["seconds"] = rows["part"].map({"train": 480.0, "fit": 60.0, "apply": 12.0}) * (1 + (rows["net"] == "resnet18"))
    found = evidence_time.sitting(lab, names)
    steps = lab.seeds("a-turns")[0].run.runs[0].optim.steps
    assert found.dips == {"DDPM alone": 0, "2conv": 72, "ResNet-18": 144} and found.pace * steps == pytest.approx(640)
    for record in lab.seeds("a-resnet18"):
        record.metrics["dip_seconds"] = 1e6  # of a slower machine
    sets = {name: lab.seeds(name) for name in names}
    said = training.ends({look(name).label: records for name, records in sets.items()}, found)
    last = lab.seeds("a-ddpm")[0].metrics["steps"] * found.pace
    assert f" in {number(1 + 72 / last, 2)} times its seconds" in said and "DIP included, timed in turn." in said
    floor = lab.seeds("a-floor")[0]
    ax = page_figures.fd_over_training(sets, floor, x="seconds", sitting=found).axes[0]
    lines = {drawn.get_label(): drawn.lines[0].get_xdata() for drawn in ax.containers}
    ends = {label: lines[label][-1] for label in found.dips}
    assert ends == {label: pytest.approx(last + dip) for label, dip in found.dips.items()}
    del lab.profile.groups["a-turns"]
    assert evidence_time.sitting(lab, names) is None


@pytest.mark.parametrize(("id", "setting"), [("B4", "b-dip-std"), ("B6", "b-dip-lr")])
@pytest.mark.parametrize(("slope", "verdict"), [(1.0, "holds"), (-1.0, "does not hold")])
def test_report_bs_own_dip_stands_in_where_its_models_fail(id, setting, slope, verdict):
    lab = reports(*FIRST)
    lab.set("b-grid", recall=lambda *_: 0.0)
    lab.set(setting, fd=lambda _, __, value: math.exp(slope * (value if id == "B4" else math.log10(value))))
    one = judged(id, lab)
    assert one.evidence.needs == (setting,) and one.verdict == verdict and one.stands_in
    assert "Fits of 5conv of width 12 to its first batch of 128, 3500 steps" in one.why
    low, high = evidence_b.REPORTED["std" if id == "B4" else "dip_lr"]
    assert one.finding.effect.value == pytest.approx(slope * (high - low if id == "B4" else math.log10(high / low)), abs=0.1)
    assert one.finding.unit in ("FD, std 1.2 over 0.8", "FD, dip_lr 0.005 over 0.0005")


def test_data_paths_are_compared_epoch_by_epoch(lab):
    record = lab.seeds("b-timing")[0]
    whole = record.evals.pivot_table("seconds", "repeat", "path", aggfunc="sum")
    assert evidence_time.paths(record).value == pytest.approx(np.log(whole["decode"] / whole["memory"]).mean())
    assert (evidence_time.paths(record).n, evidence_time.paths(record).over) == (len(whole), "repeats")


def disc(record, grey=1.0):
    """A disc, darker with `grey`."""
    y, x = np.mgrid[0:28, 0:28]
    ink = np.hypot(y - 14, x - 14) < 8
    image = np.where(ink, 128 + 127 * grey, 128 - 128 * grey)
    image[0, : record.seed] = 128 + 127 * grey  # seeds differ a little
    return np.repeat(image[None, None], 4, axis=0).astype(np.uint8)


def shaped(lab, ragged=6.5, sure=0.9):
    """What B2 reads, as published and corrected; how ragged and how surely read the combined model's samples are."""
    for name, edge, legible in (("b-ddpm", 8.0, 0.8), ("b-combined", ragged, sure)):
        for group in (name, f"{name}-published"):
            lab.set(group, raggedness=lambda *_, edge=edge: edge, legibility=lambda *_, legible=legible: legible)
            lab.set(group, raggedness_real=lambda *_: 6.4, legibility_real=lambda *_: 0.95)


B_GRIDS = [
    ({"b-combined": 0.5}, "holds"),
    ({"b-ddpm": 0.5}, "does not hold"),
    ({"b-ddpm": 0.9, "b-combined-published": 0.4}, "artefact of the report's faults"),
]


@pytest.mark.parametrize(("grey", "verdict"), B_GRIDS)
def test_report_b_on_the_look_of_digits(grey, verdict, lab):
    for name in ("b-ddpm", "b-combined", "b-combined-published"):
        for record in lab.seeds(name):
            record.arrays["grid"] = disc(record, grey.get(name, 1.0))
            record.metrics["contrast"] = fidelity.contrast(record.arrays["grid"])
    assert judged("B3", lab).verdict == verdict


@pytest.mark.parametrize(
    ("ragged", "sure", "verdict"),
    [(6.5, 0.9, "holds"), (9.0, 0.9, "does not hold"), (6.5, 0.5, "does not hold"), (4.2, 0.9, "does not hold")],
)
def test_better_shaped_is_nearer_to_real_digits_in_raggedness_and_legibility_not_smoother(ragged, sure, verdict, lab):
    shaped(lab, ragged, sure)
    assert judged("B2", lab).verdict == verdict
    for record in lab.seeds("b-combined"):
        record.metrics.pop("legibility")
    assert judged("B2", lab).verdict == "not yet measured"


@pytest.mark.parametrize(("slope", "verdict"), [(5.0, "holds"), (-5.0, "does not hold")])
def test_report_b_settings_over_the_full_grid(slope, verdict, lab):
    for group, steep in (("b-grid", slope), ("b-rows", min(slope, 0))):
        lab.set(group, fd=lambda r, *_, steep=steep: 50 + steep * r.run.dip.std + steep * math.log10(r.run.dip.optim.lr))
    assert judged("B4", lab).verdict == judged("B6", lab).verdict == verdict
    lab.profile.groups.pop("b-grid")  # a profile without the grid has the DIP's own sweeps
    for id in ("B4", "B6"):
        assert "DIP's outputs" in judged(id, lab).evidence.hypothesis


def test_the_slope_of_a_dips_outputs_is_over_the_range_that_report_b_varied(lab):
    low, high = evidence_b.REPORTED["std"]
    lab.set("std", fd=lambda _, __, std: math.exp(std if low <= std <= high else 50.0 * (std < low)))  # steep outside alone
    for group in ("b-grid", "b-rows"):
        lab.profile.groups.pop(group)
    one = judged("B4", lab)
    assert one.finding.effect.value == pytest.approx(high - low) and "steps, over the settings of report B's range" in one.why


def test_a_slope_of_the_published_rows_alone_is_an_artefact(lab):
    for group, steep in (("b-grid", -5.0), ("b-rows", 5.0)):
        lab.set(group, fd=lambda r, *_, steep=steep: 50 + steep * r.run.dip.std)
    assert judged("B4", lab).verdict == "artefact of the report's faults"


@pytest.mark.parametrize(
    ("dip", "blur", "verdict"), [(0.3, -0.2, "holds"), (0.1, 0.2, "does not hold"), (-0.1, -0.3, "does not hold")]
)
def test_emphasis_must_exceed_the_digits_own_and_a_blurs(dip, blur, verdict, lab):
    lab.set("b-dip", emphasis=lambda *_: dip, emphasis_blur=lambda *_: blur)
    assert judged("B8", lab).verdict == verdict


# --- the rule ---------------------------------------------------------------------------------------------------------


def finding(values, **about):
    return Finding(paired(values), "FD", "why", **about)


UP, DOWN, OPEN = [1.0, 1.1, 1.2], [-1.0, -1.1, -1.2], [-1.0, 0.1, 1.0]
RULE = [
    (finding(UP), "holds"),
    (finding(UP, artefact_of="copying"), "artefact of copying"),
    (finding(DOWN), "does not hold"),
    (finding(OPEN), "not decidable"),
    (finding([3.0]), "not decidable"),
    (finding(DOWN, published=paired(UP), fault="FA1"), "artefact of fault FA1"),
    (finding(OPEN, published=paired(UP), shift=paired(UP), fault="FA1"), "artefact of fault FA1"),
    (finding(OPEN, published=paired(UP), shift=paired(OPEN), fault="FA1"), "not decidable"),
    (finding(DOWN, published=paired(DOWN), fault="FA1"), "does not hold"),
    (finding([0.01, 0.0, -0.01], equal=True, margin=0.05), "holds"),
    (finding(UP, equal=True, margin=0.05), "does not hold"),
    (finding(UP, equal=True, margin=0.05, published=paired([0.01, 0.0, -0.01]), fault="FA2"), "artefact of fault FA2"),
    (finding([0.01, 0.012, 0.011], margin=0.05), "does not hold"),
    (finding([0.04, 0.05, 0.06], margin=0.05), "not decidable"),
]


@pytest.mark.parametrize(("found", "verdict"), RULE)
def test_the_rule(found, verdict):
    assert claims.verdict_of(found, found.side()[0]) == verdict


def test_an_effect_that_is_there_alone_and_not_after_the_correction_is_undecided_and_no_artefact():
    found = finding([1.0, 1.4, 1.9], published=paired(UP), shift=paired([2.0, 2.1, 2.2]), fault="FA1")
    p, speaks_for = found.side()
    assert speaks_for and p < 0.05 and claims.verdict_of(found, 17 * p) == "not decidable"


def test_within_a_margin_is_two_one_sided_tests():
    effect = paired([0.01, 0.0, -0.02])
    assert side(effect, 0.05, equal=True) == (max(effect.p_against(0.05), effect.p_against(-0.05)) / 2, True)
    lower, upper = (scipy_stats.ttest_1samp([0.01, 0.0, -0.02], end, alternative=side).pvalue
                    for end, side in ((-0.05, "greater"), (0.05, "less")))  # fmt: skip
    assert side(effect, 0.05, equal=True)[0] == pytest.approx(max(lower, upper))
    p, within = side(paired([0.20, 0.21, 0.22]), 0.05, equal=True)
    assert not within and p == paired([0.20, 0.21, 0.22]).p_against(0.05)


def test_an_effect_that_was_chosen_keeps_the_p_value_that_it_paid_for():
    chosen = dataclasses.replace(paired(UP), p=0.2, of=2)
    assert side(chosen) == (0.2, True) and Finding(chosen, "FD", "why").side() == (0.2, True)
    assert math.isnan(side(paired(UP[:1]), 0.5)[0]) and math.isnan(side(paired(UP[:1]))[0])  # one seed shows nothing
    assert side(dataclasses.replace(paired(UP), of=3), 0.5)[0] == pytest.approx(min(1, 3 * side(paired(UP), 0.5)[0]))
    assert side(paired(UP), 0.5) == (pytest.approx(scipy_stats.ttest_1samp(UP, 0.5).pvalue), True)


@pytest.mark.slow
def test_all_claims_are_corrected_together(lab):
    drawn(lab, 1.0, 0.1)
    shaped(lab)
    alone, together = ([claims.judge(claim, [lab]) for claim in claims_list.CLAIMS], claims.audit(lab, [lab]))
    assert [one.of for one in together] == [17] * 17
    gaps = [one.finding.effect for one in alone]  # of a start p is that of its own family, which counts the looks
    assert {one.claim.id for one in alone if one.finding.effect.looked} == {"A8", "B7"}
    corrected = holm([one.p if gap.looked else gap.looks * one.p for one, gap in zip(alone, gaps, strict=True)])
    assert [one.p for one in together] == pytest.approx(list(corrected), abs=0)  # the least is 1e-31: no absolute tolerance
    assert min(one.p for one in together) == pytest.approx(17 * min(one.p for one in alone), abs=0)
    assert all("Holm over 17" in one.sentence() for one in together)
    after = [one.finding.effect for one in together]  # the interval is not widened
    assert [(gap.low, gap.high) for gap in after] == [(gap.low, gap.high) for gap in gaps]
    judged = claims.audit(Records("quick"))
    counted, stood = claims.in_numbers(judged).split(". ")
    assert len(judged) == 17 and counted.startswith("Of 17 claims, ")
    assert "(1 by construction)" in counted  # A9
    assert sum(int(part.split(" ")[0]) for part in counted.removeprefix("Of 17 claims, ").split(", ")) == 17
    assert stood == f"{sum(one.stands_in for one in judged)} were tested on runs other than the report's own."
    found = SimpleNamespace(certain=True)
    two = [SimpleNamespace(verdict=one, stands_in=False, finding=found) for one in ("holds", "artefact of fault FA1")]
    assert claims.in_numbers(two) == "Of 2 claims, 1 holds (1 by construction), 1 is an artefact."


def test_an_undecided_claim_says_how_many_seeds_it_would_take():
    evidence = CLAIM["A1"].evidence[0]

    def take(distance, of=17):
        return pairs_needed(distance, np.std([-1, 0.5, 1.5], ddof=1), 0.05 / of, planned=3)

    pairs = take(1 / 3)
    for found, said in (
        (finding(OPEN), "over 1000 seeds"),
        (finding([1.0]), "more than one seed"),
        (finding([-1.0, 0.5, 1.5]), f"about {pairs} seeds"),
        (Finding(dataclasses.replace(paired([-1.0, 0.5, 1.5]), of=2), "FD", ""), f"about {take(1 / 3, of=34)} seeds"),
        (finding([-1.5, -0.5, 1.0], margin=0.2), f"about {take(8 / 15)} seeds, against a margin of 22%"),
        (finding([-1.5, -0.5, 1.0], margin=0.1, equal=True), f"about {take(7 / 30)} seeds, against a margin of 11%"),
    ):
        one = claims.Judged(CLAIM["A1"], evidence, found, "cifar10", found.side()[0], 17)
        assert one.row()["pairs it would take"] == said
        assert f"would take {said}" in claims.page_table([one], "standard")["verdict"].iloc[0]
    one = claims.Judged(CLAIM["A1"], evidence, finding(UP), "cifar10", finding(UP).side()[0])
    assert one.row()["pairs it would take"] == "" and "would take" not in claims.page_table([one], "")["verdict"].iloc[0]


def test_one_seed_decides_nothing():
    lab = reports(seeds=1)
    shaped(lab)
    assert {one.verdict for one in claims.audit(lab, [lab]) if one.finding and one.finding.effect.over == "seeds"} == {
        "not decidable"
    }


def test_all_seventeen_claims_are_judged_in_order():
    lab = Records("quick")
    found = claims.audit(lab, [lab])
    table, page = claims.table(found), claims.page_table(found, "quick")
    assert table.columns[0] == "claim"
    assert list(table["claim"]) == [f"A{i}" for i in range(1, 10)] + [f"B{i}" for i in range(1, 9)]
    for own in (claims_list.hypotheses()["claim"], page["claim"]):
        assert [said.partition(".")[0] for said in own] == list(table["claim"])
    assert (table["why"] != "").all() and ((table["figure"] == "") == (table["verdict"] == "not yet measured")).all()
    assert all(shown.startswith(verdict) for shown, verdict in zip(page["verdict"], table["verdict"], strict=True))
    assert all(link.text in ("figure", "table") and link.target[:5] in ("#fig-", "#tab-") for link in page["shown in"] if link)
    written = claims_list.hypotheses().set_index(claims_list.hypotheses()["claim"].str.partition(".")[0])["as written"]
    assert all(any("\u4e00" <= c <= "\u9fff" for c in words) == id.startswith("A") for id, words in written.items())
    assert max(map(len, (page.columns, claims_list.hypotheses().columns, claims_list.changes().columns))) <= 7
    counted = claims.summary(found)
    assert [line[4:].partition("**")[0].lower() for line in claims.summary([]).splitlines()] == list(claims.VERDICTS[:-1])
    for verdict, ids in table.groupby("verdict")["claim"]:
        assert all(id in counted for id in ids), verdict


def test_an_effect_in_logarithms_is_a_factor_wherever_it_is_shown(lab):
    one = judged("A9", lab)
    assert float(one.row()["effect"]) == pytest.approx(math.exp(one.finding.effect.value), rel=1e-3)
    assert one.row()["unit"] == "factor of seconds"
    assert claims.page_table([one], "")["effect"].iloc[0].startswith(f"seconds: {one.row()['effect'][:3]}")


# --- the gate ---------------------------------------------------------------------------------------------------------


def test_a_record_moved_across_the_gate_changes_the_verdict(lab):
    trained(lab, HIGH)
    record = lab.seeds("a-resnet18")[0]
    assert judged("A4", lab).verdict == "holds" and judged("A4", lab).row()["gate"] == "passed"
    record.metrics["recall"] = gate.LEAST_RECALL - 0.001
    one = judged("A4", lab)
    assert one.verdict == gate.NOT_TESTABLE and one.verdict in claims.VERDICTS
    assert "a-resnet18, 1 of 3 runs" in one.row()["gate"] and "do not pass the gate" in one.sentence()
    assert judged("A9", lab).verdict == "holds" and judged("A9", lab).row()["gate"] == "not about quality"
    record.metrics["recall"] = gate.LEAST_RECALL
    assert judged("A4", lab).verdict == "holds"


def test_each_claim_is_taken_from_the_strongest_profile_that_passes():
    strong, weak = reports(), reports()
    weak.profile = dataclasses.replace(weak.profile, name="quick")
    trained(strong, HIGH)
    trained(weak, LOW)
    both = [strong, weak]
    one = claims.judge(CLAIM["A4"], both)
    assert (one.profile, one.verdict, one.row()["profile"]) == (strong.profile.name, "holds", strong.profile.name)
    record = strong.seeds("a-resnet18")[0]
    record.metrics["recall"] = 0.0
    one = claims.judge(CLAIM["A4"], both)
    assert (one.profile, one.verdict) == ("quick", "does not hold") and "profile quick" in one.sentence()
    at = {page: claims.page_table([one], page)["shown in"].iloc[0] for page in ("standard", "quick")}
    assert at["standard"] == "page of quick" and at["quick"].target == "#fig-04_a_fd_over_steps"  # where its figure is
    weak.seeds("a-ddpm")[0].metrics["recall"] = 0.0
    one = claims.judge(CLAIM["A4"], both)
    assert (one.profile, one.verdict) == (strong.profile.name, gate.NOT_TESTABLE)


def test_one_seed_of_a_stronger_profile_does_not_take_a_verdict_from_a_weaker_one_with_more():
    strong, weak = reports(seeds=1), reports()
    weak.profile = dataclasses.replace(weak.profile, name="quick")
    trained(strong, HIGH)
    trained(weak, LOW)
    one = claims.judge(CLAIM["A4"], [strong, weak])
    assert (one.profile, one.verdict) == ("quick", "does not hold")
    assert claims.judge(CLAIM["A4"], [strong]).verdict == "not decidable"  # where nothing has more, it is told
    trained(strong := reports(seeds=2), HIGH)
    assert claims.judge(CLAIM["A4"], [strong, weak]).profile == strong.profile.name  # two are more than one


def test_some_of_the_seeds_decide_nothing_and_stand_where_no_profile_with_all_of_them_passes():
    half, weak = reports(seeds=2), reports()
    weak.profile = dataclasses.replace(weak.profile, name="quick")
    trained(half, HIGH)
    trained(weak, LOW)
    assert claims.judge(CLAIM["A4"], [half]).verdict == "holds"
    half.unfinished = frozenset({"a-2conv"})
    one = claims.judge(CLAIM["A4"], [half])
    assert (one.verdict, one.missing, math.isnan(one.p)) == ("not decidable", ("a-2conv",), True)
    assert one.would_take == "the missing seeds of a-2conv" and one.row()["p"] == ""
    assert claims.judge(CLAIM["A4"], [half, weak]).profile == "quick"
    weak.seeds("a-ddpm")[0].metrics["recall"] = 0.0
    one = claims.judge(CLAIM["A4"], [half, weak])
    assert (one.profile, one.verdict) == (half.profile.name, "not decidable")
    half.seeds("a-ddpm")[0].metrics["recall"] = 0.0
    assert claims.judge(CLAIM["A4"], [half, weak]).verdict == gate.NOT_TESTABLE


def test_some_of_the_seeds_make_no_artefact_either_and_of_the_full_size_what_there_is_is_audited(lab):
    trained(lab, LOW, HIGH)
    drawn(lab, 1.0, 0.1)
    assert judged("A4", lab).verdict.startswith("artefact")
    lab.unfinished = frozenset(DIPS)
    assert judged("A4", lab).verdict == "not decidable"
    assert judged("A7", lab).verdict == "holds" and len(judged("A7", lab).finding.each) == 3  # which no corrected run decides
    full = reports()
    full.profile = dataclasses.replace(full.profile, name="full")
    assert all(not one.missing for one in claims.audit(full, [full]))
    full.so_far = lambda: lab
    assert next(one for one in claims.audit(full, [full]) if one.claim.id == "A4").missing == DIPS


def test_what_decides_nothing_yet_is_counted_by_the_correction_and_has_no_p(lab):
    whole = {one.claim.id: one for one in claims.audit(lab, [lab])}
    lab.unfinished = frozenset({"a-2conv"})
    part = {one.claim.id: one for one in claims.audit(lab, [lab])}
    undecided = {id for id, one in part.items() if one.missing}
    assert {"A1", "A2", "A3", "A4", "A5", "A6"} == undecided and all(math.isnan(part[id].p) for id in undecided)
    assert {one.of for one in part.values() if one.finding} == {whole["A9"].of} and part["A9"].p >= whole["A9"].p


def test_what_one_seed_at_a_reports_own_size_shows_is_told_beside_the_verdict_and_tests_nothing():
    full, rest = Records("full"), Records("standard")

    def of(id, *labs):
        return next(one for one in claims.audit(rest, labs) if one.claim.id == id)

    found, fd = of("A8", full, rest), full.frame("a-starts").set_index("name")["fd"]
    over = number(fd["a-starts-noise-6-s0"] / fd["a-starts-dip-300-s0"])
    told = f" At the report's own size, 1 seed, not tested: a factor of {over}, from copying of training images."
    assert found.profile == "standard" and found.row()["why"].endswith(told) and told in found.sentence()
    assert found.finding.effect == of("A8", rest).finding.effect and not of("B8", full, rest).told
    full.set("a-ddpm", recall=lambda *_: 0.0)  # models that are none have nothing to say
    assert not of("A8", full, rest).told


def far(models):
    """How many times as far models are from real images as from their own training images."""
    every = [one.metrics for records in models.values() for one in records if "fd_trained" in one.metrics]
    return [one["fd"] / one["fd_trained"] for one in every]


def test_what_was_trained_at_the_reports_own_size_is_listed_beside_its_floor():
    lab = Records("full")
    for report, floor in (("A", "a-floor"), ("B", "floor")):
        rows, name = tables.own_size(lab, report).set_index(""), f"{report.lower()}-ddpm"
        trained = {
            one.name.rpartition("-s")[0]
            for one in lab.all()
            if one.run.kind == "ddpm" and one.name[0] == report.lower() and not one.run.unet.library
            if one.run.data == lab.record(f"{name}-s0").run.data  # not FashionMNIST, nor a few images
        }
        said = {tables.own_label(one) for one in trained}
        without = gate.without_learning(lab.record(floor))
        assert said <= set(rows.index) and name in trained and len(rows) == len(trained) + 1 + len(without)
        assert [row for row in rows.index if row.startswith("no learning: ")] == [f"no learning: {what}" for _, what in without]
        assert int(rows.loc["DDPM alone", "seeds"]) == len(lab.seeds(name))
        assert lab.record(floor).metrics["n"] == lab.record(f"{name}-s0").metrics["n"]
        assert (rows["times the floor"][: -len(without)] != "").all()
        short, models = tables.own_size_in_short(lab, report), tables.at_own_size(lab, report)
        assert short.columns[0] == f"report {report}'s DDPM, n = {lab.record(floor).metrics['n']}"
        assert list(short.iloc[:-1, 2]) == list(rows[lab.record(floor).metrics["features"]][: -len(without)])
        least, what = min(without)
        assert short.iloc[-1, 0] == f"best without learning: {what}" and short.iloc[-1, 2] == number(least)
        assert (rows["FD / alone"] == "").sum() == 1 + len(without)  # what is real or needs no learning
        if report == "B":
            pairs = zip(models["b-combined"], models["b-ddpm"], strict=True)
            times = np.log([one.metrics["fd"] / other.metrics["fd"] for one, other in pairs])
            combined = rows.loc["DDPM trained on DIP outputs"]
            assert combined["FD / alone"] == factor(paired(list(times), ratio=True)) and rows["FD / alone"].iloc[0] == "1"
            own = [one.metrics["fd_trained"] for one in models["b-combined"]]
            assert combined["FD to its training images"].startswith(number(math.exp(np.log(own).mean())))
            assert f" are {ends(far(models))} times as far from real images" in findings.learned(lab, "B")
            models["b-combined"][0].metrics["fd_trained"] = 1e9
            assert "learned what they were given" not in findings.learned(lab, "B")
        assert figures.own_samples(lab, report).axes[0].get_yticklabels()[0].get_text() == "alone"
    seedless = SimpleNamespace(all=lambda: [one for one in lab.all() if one.name != "b-ddpm-s0"])
    assert set(figures.own_rows(lab, "B")) - set(figures.own_rows(seedless, "B")) == {
        "DDPM alone"
    }  # other seeds kept 4 samples
    assert tables.own_label("a-ddpm-published") == "DDPM alone, as published"
    assert tables.own_label("a-2conv") == "DDPM trained on 2conv outputs" and "B" not in tables.own_label("b-combined")
    assert tables.own_label("b-rows-dip_lr-5e-4") == "DDPM trained on DIP outputs, as published, row dip_lr 5e-4"
    assert tables.own_label("a-controls-blur") == "DDPM trained on control: blur"
    digits = lab.record("b-ddpm-s0")
    elsewhere = digits.run.model_copy(update={"data": Data(name="fashion_mnist")})
    mixed = SimpleNamespace(all=lambda: [digits, SimpleNamespace(name="b-fashion-s0", run=elsewhere)])
    assert tables.at_own_size(mixed, "B") == {"b-ddpm": [digits]}
    assert findings.so_far(lab, "B") == "" and findings.so_far(Records("full", without=("b-combined",)), "B") == ", so far"
    others = tables.at_own_size(lab, "A")["a-2conv"]
    alone_lost = SimpleNamespace(all=lambda: others, profile=lab.profile, has=lab.has, seeds=lab.seeds)
    assert set(tables.own_size(alone_lost, "A")["FD / alone"]) == {""}
    begun = findings.begun_at_own_size(lab, "A")
    assert "at t = 300 (6 calls) FD 5.18 [4.88, 5.49], 100% of them nearest" in begun and "from noise 29.4, from the" in begun
    assert ": FD 4.65 [4.18, 5.12] (n = 2000)." in begun
    alone = lab.record("a-ddpm-s0").metrics
    distance = tables.own_size(lab, "A").set_index("").loc["DDPM alone", "FD-CIFAR"]
    assert distance == f"{alone['fd']:.1f} [{alone['fd_low']:.1f}, {alone['fd_high']:.1f}]"
    assert tables.own_size(SimpleNamespace(all=lambda: []), "A").empty


def test_what_stands_in_for_models_that_fail_is_said_to(lab):
    assert not judged("B4", lab).stands_in and judged("B4", lab).row()["on the report's own runs"] == "yes, scaled down"
    assert "scaled down)" in claims.page_table([judged("B8", lab)], "")["verdict"].iloc[0]
    full = dataclasses.replace(judged("B8", lab), profile="full")  # the tables at own size are of models, not of a DIP alone
    shown = [claims.page_table([full], page)["shown in"].iloc[0] for page in ("standard", "full")]
    assert shown[0] == "below, one by one" and shown[1].target == "#fig-02_b_panels"
    assert full.row()["on the report's own runs"] == "yes"
    lab.set("b-grid", recall=lambda *_: 0.0)
    one = judged("B4", lab)
    assert one.evidence.needs == ("std",) and one.row()["on the report's own runs"] == "no, on a stand-in"
    assert ": FD of the DIP's outputs" in one.sentence()
    assert "on a stand-in" in claims.page_table([one], "")["verdict"].iloc[0]


def test_a_page_is_judged_on_all_profiles_but_smoke_which_is_judged_alone():
    assert [lab.profile.name for lab in claims.labs(Records("quick"))] == ["full", "standard", "quick"]
    lab = Lab("smoke")
    assert claims.labs(lab) == [lab]


def test_a_test_that_was_changed_with_its_records_in_sight_says_so(lab):
    one = judged("A4", lab)
    first = min(record.completed for group in one.evidence.needs for record in lab.seeds(group))
    assert one.since == first < max(record.completed for group in one.evidence.needs for record in lab.seeds(group))
    seen = dataclasses.replace(one, since="2026-11-26T00:00")
    assert seen.changed == "2026-11-25 (earlier records seen), 2026-11-27 (these records seen)"
    assert "test changed later" in claims.page_table([seen], "")["verdict"].iloc[0]
    new = dataclasses.replace(one, since="2099-01-01T00:00")
    assert "these" not in new.row()["test changed"] and "changed" not in claims.page_table([new], "")["verdict"].iloc[0]
    first, *later = claims_list.CHANGES
    assert len(first.claims) == 17 and all(change.when > first.when and change.seen for change in later)
    assert claims.Judged(CLAIM["B3"], CLAIM["B3"].evidence[0]).changed.startswith("2026-11-25 ")  # by the first of the changes
    assert list(claims_list.changes()["claims"])[:2] == ["all", ", ".join(later[0].claims)]


def test_the_gate_compares_with_what_needs_no_learning_at_the_same_n(lab):
    record, floor = lab.seeds("b-combined")[0], lab.seeds("b-floor")[0]
    record.metrics.update(fd=50.0, n=floor.metrics["n"])
    assert gate.passed(lab, ("b-combined",)).why == ""  # those of this lab are far above
    floor.metrics.update(trivial_gaussian_fd=200.0, trivial_mean_fd=49.0)
    why = gate.passed(lab, ("b-combined",)).why
    assert "FD 50.0, not below 49.0 of the mean image" in why
    floor.metrics["trivial_mean_fd"] = 1000.0
    assert gate.passed(lab, ("b-combined",)).why == ""
    floor.metrics["fd"], floor.evals = 25.0, floor.evals[:0]
    own = gate.passed(lab, ("b-combined",)).models["b-combined"]
    assert own["times"] == pytest.approx(own["fd"] / 25)
    floor.metrics.update(n=floor.metrics["n"] + 1)
    why, own = gate.passed(lab, ("b-combined",)).why, gate.passed(lab, ("b-combined",)).models["b-combined"]
    assert math.isnan(own["times"])
    assert "(first: FD of 2000 images, that of what takes no learning of 2001" in why  # not comparable: not passed
    floor.evals = pd.DataFrame({"n": record.metrics["n"], "fd": [10.0, 30.0]})  # drawn at the models' own n, too
    assert gate.passed(lab, ("b-combined",)).models["b-combined"]["times"] == pytest.approx(own["fd"] / 20)
    lab.profile.groups.pop("b-floor")
    found = gate.passed(lab, ("b-combined",))
    assert found.why == "" and math.isnan(found.models["b-combined"]["times"])  # by its recall alone


def test_without_the_grid_and_the_sweeps_the_rows_speak(lab):
    for group in ("b-grid", "std", "dip_lr"):
        lab.profile.groups.pop(group)
    for id in ("B4", "B6"):
        assert judged(id, lab).evidence.needs == ("b-rows",) and judged(id, lab).finding is not None


def test_a_claim_made_of_each_net_rests_on_the_least_sure_one_or_on_the_one_against(lab):
    both = {"a-2conv": paired([1.0, 1.1, 1.2]), "a-resnet18": paired([0.1, 0.5, 0.9])}
    assert decisive(both) == ("a-resnet18", 1)
    against = {"a-2conv": paired([-1.0, -1.1, -1.2]), "a-resnet18": paired([5.0, 5.1, 5.2])}
    assert decisive(against) == ("a-2conv", 2)  # the mean would speak for the claim
    distances(lab, three(FLAT, RISES, FALLS))
    one = judged("A3", lab)
    assert list(one.finding.each) == ["2conv", "ResNet-18"] and one.finding.effect.value == one.finding.each["ResNet-18"].value
    assert all(name in one.row()["each"] and name in one.sentence() for name in one.finding.each)


# --- records -> verdict and sentence ------------------------------------------------------------------------------------


def test_flipping_one_record_file_changes_verdict_and_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("DIPDDPM_RECORDS_ONLY", "1")  # no floor is computed

    def write(seed, emphasis):
        entry = profile.load("standard").seeds("b-dip")[seed]
        folder = tmp_path / "standard" / "runs" / entry.folder
        folder.mkdir(parents=True, exist_ok=True)
        metrics = {"emphasis": emphasis, "emphasis_blur": -0.2, "recall": 0.5, "fd": 10.0, "n": 100}
        records.write(folder, entry.name, entry.run, Outcome(metrics=metrics), {"device": "cpu"}, "2026-01-01T00:00:00Z")

    for seed in range(len(profile.load("standard").seeds("b-dip"))):
        write(seed, 0.30 + 0.001 * seed)
    before = judged("B8", Lab("standard", str(tmp_path)))
    write(0, -0.30)
    after = judged("B8", Lab("standard", str(tmp_path)))
    assert (before.verdict, after.verdict) == ("holds", "not decidable")
    assert before.row()["effect"] != after.row()["effect"]
    assert json.loads(next(tmp_path.rglob("record.json")).read_text())["kind"] == "dip"


def test_every_claim_links_a_figure_that_its_notebook_draws():
    sources = {path.stem[:2]: path.read_text(encoding="utf-8") for path in nbfiles.FOLDER.glob("0*.ipynb")}
    for claim in claims_list.CLAIMS:
        for evidence in claim.evidence:
            name = evidence.figure
            assert not name or name in sources[name[:2]], f"{claim.id}: no notebook draws {name}"


def test_what_a_setting_does_is_by_least_squares_for_each_seed():
    x = np.array([0.5, 1.0, 2.0])
    frame = pd.DataFrame([{"seed": s, "rate": v, "psnr": s + (2 + s) * np.log10(v)} for s in range(3) for v in x])
    assert evidence_b.slope_over(frame, "rate", "psnr", (0.1, 1.0)).value == pytest.approx(3.0)
    assert evidence_b.slope_over(frame, "rate", "psnr").value == pytest.approx(3.0 * math.log10(4))  # over its own range
    assert evidence_b.slope_over(frame[frame["rate"] == 1.0], "rate", "psnr") is None  # no slope through one point
    factor = evidence_b.slope_over(frame.assign(fd=np.exp(frame["psnr"])), "rate", "fd", (0.1, 1.0))
    assert factor.ratio and factor.value == pytest.approx(3.0)
    line = pd.DataFrame([{"seed": s, "std": v, "psnr": s * v} for s in range(3) for v in x])
    assert evidence_b.slope_over(line, "std", "psnr").value == pytest.approx(1.5)


def test_needs_are_groups_that_the_profiles_declare():
    groups = {group for name in ("standard", "full") for group in profile.load(name).groups}
    for claim in claims_list.CLAIMS:
        for evidence in claim.evidence:
            assert set(evidence.needs) <= groups, claim.id


# --- parts --------------------------------------------------------------------------------------------------------------


def test_raggedness_of_a_square_is_four_whatever_its_grey_and_size():
    images = np.full((2, 1, 12, 12), 60, np.uint8)
    images[0, 0, 2:6, 3:7], images[1, 0, 1:10, 2:11] = 140, 255
    images[:, 0, 11, 0] = 95  # below the middle of 60 and 140, so no ink
    assert fidelity.raggedness(images) == pytest.approx(4.0)
    images[0, 0, 2, 3:7:2] = 60  # a bitten edge
    assert fidelity.raggedness(images) > 4.0
    assert math.isnan(fidelity.raggedness(np.zeros((1, 1, 4, 4), np.uint8)))


def test_contrast_is_the_deviation_of_pixels_in_0_1():
    images = np.zeros((1, 1, 2, 2), np.uint8)
    images[0, 0, 0] = 255
    assert fidelity.contrast(images) == pytest.approx(0.5)


def test_a_look_is_that_of_all_samples_where_the_record_holds_it(lab):
    for times, name in ((2.0, "b-ddpm"), (1.0, "b-combined")):
        lab.set(name, contrast=lambda *_, times=times: 0.2 * times)
    assert judged("B3", lab).finding.effect.value == pytest.approx(math.log(2))


def test_a_last_evaluation_at_the_same_step_is_not_another_seed():
    rows = [
        {"sampler": "ddim", "nfe": 5, "n": 10, "seed": seed, "step": step, "fd": 1.0} for seed in (0, 1) for step in (1, 2, 2)
    ]
    assert len(judged_alike(pd.DataFrame(rows))) == 4


def test_a_curve_is_what_was_judged_alike():
    rows = [{"sampler": "ddim", "nfe": 5, "n": 10, "fd": math.exp(value)} for value in (3.0, 1.0)]
    last = {"sampler": "ddim", "nfe": 50, "n": 99, "fd": 1e9}
    record = SimpleNamespace(evals=pd.DataFrame([*rows, last]))
    assert evidence_a.of_curve(lambda c: c[0] - c[-1], "fd", record) == pytest.approx(2.0)
    record.evals = pd.DataFrame([rows[0], last])
    assert math.isnan(evidence_a.of_curve(lambda c: c[0], "fd", record))  # one evaluation shows no change


def test_the_margin_of_a5_is_stated():
    assert f"a factor of {math.exp(same_fid()):.3f}" in CLAIM["A5"].evidence[0].hypothesis
    assert same_fid() == pytest.approx(5 / 148.81, rel=1e-3)


def test_published_slopes_use_rows_in_which_one_setting_varies():
    rows = pd.DataFrame({"dip_lr": [1, 1, 1, 2, 3], "ddpm_lr": [5, 5, 5, 9, 9], "std": [1.2, 1.0, 0.8, 1.2, 1.2]})
    assert list(evidence_b._varied(rows, "std").index) == [0, 1, 2]
    assert list(evidence_b._varied(rows, "dip_lr").index) == [3, 4]
    assert evidence_b._varied(rows, "ddpm_lr").empty
    for order in ([5, 5, 9, 9, 9], [9, 9, 9, 5, 5]):  # two sets agree in the others: the larger one
        two = pd.DataFrame({"dip_lr": [1, 2, 1, 2, 3], "ddpm_lr": order, "std": 1.2})
        two.loc[two["ddpm_lr"] == 5, "dip_lr"] = [1, 2]
        two.loc[two["ddpm_lr"] == 9, "dip_lr"] = [1, 2, 3]
        assert set(evidence_b._varied(two, "dip_lr")["ddpm_lr"]) == {9}


def test_the_net_that_speaks_against_a_claim_pays_for_being_chosen():
    effects = pd.DataFrame({"a-2conv": [-1.0, -1.2, -1.7], "a-resnet18": [5.0, 5.1, 5.2]})
    found = compared(effects, why="", unit="FD").effect
    alone = paired(list(effects["a-2conv"]))
    assert (found.value, found.of) == (alone.value, 2) and found.p == pytest.approx(2 * alone.p)


def test_effects_that_are_not_paired_are_apart_with_half_widths_in_quadrature():
    a, b = paired([1.0, 1.2, 1.4]), paired([0.1, 0.3, 0.8, 0.4])
    gap = evidence_b.apart(a, b)
    half = math.hypot(a.high - a.value, b.high - b.value)
    assert (gap.low, gap.value, gap.high, gap.n) == pytest.approx((1.2 - 0.4 - half, 1.2 - 0.4, 1.2 - 0.4 + half, 3))


def test_half_of_a_training_that_is_judged_four_times_is_its_second_evaluation():
    assert evidence_a.late_change(np.array([5.0, 1.0, 2.0, 4.0])) == 4.0 - 1.0
