"""Each of the seventeen claims can hold, fail or be an artefact, and says so in a sentence that follows the records."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fake_records import FakeLab
from scipy import stats as scipy_stats

from dipddpm_utils.driver import nbfiles
from dipddpm_utils.judging import shapes
from dipddpm_utils.page.compare import Paired, judged_alike, paired, scaled, seeds_needed
from dipddpm_utils.page.lab import Lab
from dipddpm_utils.reports import claims, claims_list, one_fault, tests_a, tests_b
from dipddpm_utils.reports.printed import same_fid
from dipddpm_utils.store import records
from dipddpm_utils.store.records import Outcome
from dipddpm_utils.study import profile

CLAIM = {claim.id: claim for claim in claims_list.CLAIMS}
NOISE = (0.99, 1.0, 1.015)  # a seed's factor


def judged(id, lab):
    return claims.judge(CLAIM[id], lab)


def distances(lab, values, ending="", column="fd"):
    """Set the distances over training of report A's variants: variant -> one value an evaluation (during training)."""
    for name, over in values.items():
        for record in lab.seeds(name + ending):
            noise = NOISE[record.seed] ** (1 + len(name) % 3)
            record.evals[column] = np.array([*over, over[-1]]) * noise
            if column == "fd_published":
                continue
            record.metrics["fd"] = over[-1] * noise


def metrics(lab, group, **values):
    """Set metrics of a group's records: name -> function of (record, label, value)."""
    for label, value, _, record in lab.groups[group]:
        record.metrics |= {name: make(record, label, value) * NOISE[record.seed] for name, make in values.items()}


def grids(lab, name, make):
    for record in lab.seeds(name):
        record.arrays["grid"] = make(record)


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
    ("A4", LOW, HIGH, "artefact of fault FA1"),
    ("A5", three(FLAT, FLAT, (50.1,) * 4), None, "holds"),
    ("A5", three(FLAT, FLAT, (70,) * 4), None, "does not hold"),
    ("A6", three(FLAT, FLAT, FALLS), None, "holds"),
    ("A6", HIGH, None, "does not hold"),
    ("A6", three(FALLS, FALLS, FLAT), three(RISES, FLAT, FALLS), "artefact of fault FA1"),
]


def quiet(lab, values):
    """What 30 samples say is what all say, so that no verdict hangs on the measure."""
    distances(lab, values, "-published", "fd_published")


@pytest.mark.parametrize(("id", "corrected", "published", "verdict"), A_CASES)
def test_report_a_on_distances_over_training(id, corrected, published, verdict):
    lab = FakeLab(reports=True)
    distances(lab, corrected)
    distances(lab, published or corrected, "-published")
    quiet(lab, published or corrected)
    assert judged(id, lab).verdict == verdict


def test_what_only_thirty_samples_show_is_an_artefact_of_the_measure():
    lab = FakeLab(reports=True)
    same = {"a-ddpm": FALLS, "a-2conv": FALLS, "a-resnet18": FALLS}
    distances(lab, same)
    distances(lab, same, "-published")
    distances(lab, dict.fromkeys(same, RISES), "-published", "fd_published")
    for id in ("A1", "A3"):
        one = judged(id, lab)
        assert one.verdict == "artefact of fault FA3" and "judged on 30 samples" in one.sentence()
    assert judged("A7", lab).verdict == "holds"
    quiet(lab, same)
    assert judged("A7", lab).verdict != "holds"
    distances(lab, dict.fromkeys(same, RISES), "-published")
    assert judged("A7", lab).verdict == "does not hold"  # the models rise on all samples, not on 30


def test_the_fault_named_is_the_one_that_moves_the_claims_own_effect_most():
    lab = FakeLab(reports=True)
    distances(lab, LOW)
    distances(lab, HIGH, "-published")
    assert judged("A4", lab).verdict == "artefact of fault FA1"
    for group in ("a-only", "a-without"):
        for label, _, _, record in lab.groups[group]:
            record.evals["fd"] = {
                "FA1": 80.0 if group == "a-without" else 50.0,
                "FA2": 10.0 if group == "a-only" else 90.0,
            }.get(label, 60.0) * NOISE[record.seed]
    assert judged("A4", lab).verdict == "artefact of fault FA2"  # FA2 alone now makes 2conv's first FD lower
    for group in ("a-only", "a-without"):
        lab.groups.pop(group)
    assert judged("A4", lab).verdict == "artefact of faults not told apart here"


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, "holds"), (2.0, "does not hold")])
def test_fewer_steps_from_a_dip_start(factor, verdict):
    lab = FakeLab(reports=True, dip_gain=factor)
    metrics(lab, "a-starts", fd=lambda _, label, value: 50.0 * (factor if label == "dip" else 1.0))
    assert judged("A8", lab).verdict == verdict and judged("B7", lab).verdict == verdict
    assert judged("A8", FakeLab(dip_gain=factor)).verdict == verdict  # a profile without report A's runs uses the digits


def test_fewer_steps_by_copying_is_an_artefact():
    lab = FakeLab(reports=True)
    metrics(lab, "a-starts", fd=lambda _, label, value: 20.0 if label == "dip" else 50.0, copy_rate=lambda *_: 0.5)
    assert judged("A8", lab).verdict == "artefact of copying of training images"


@pytest.mark.parametrize(("seconds", "verdict"), [(40.0, "holds"), (-40.0, "does not hold")])
def test_cost_counts_the_dips_seconds(seconds, verdict):
    lab = FakeLab(reports=True)
    for name in DIPS:
        metrics(lab, name, dip_seconds=lambda *_: seconds)
    assert judged("A9", lab).verdict == verdict


FB1 = "artefact of fault FB1"


@pytest.mark.parametrize(("combined", "verdict"), [(70.0, "holds"), (100.0, FB1), (98.0, FB1)])
def test_shorter_training_at_equal_data_path(combined, verdict):
    lab = FakeLab(reports=True)
    metrics(lab, "b-ddpm", train_seconds=lambda *_: 100.0)
    metrics(lab, "b-combined", train_seconds=lambda r, *_: combined * (1.001 if r.seed else 1.0))
    one = judged("B1", lab)
    assert one.verdict == verdict and "117%" in one.sentence()
    evals = lab.seeds("b-timing")[0].evals
    evals.loc[evals["part"] == "data", "seconds"] = 1.0  # now the path saves nothing, so it explains nothing
    assert judged("B1", lab).verdict == ("holds" if combined == 70.0 else "does not hold")


def test_data_paths_are_compared_epoch_by_epoch():
    record = FakeLab(reports=True).seeds("b-timing")[0]
    assert tests_b.paths([record]).value == pytest.approx(math.log(25.0 / 16.2))
    assert tests_b.paths([record]).n == 6 and tests_b.paths([record, record]).n == 2


def ring(record, *, teeth=0, grey=1.0):
    """A disc with `teeth` pixels cut into its edge, darker with `grey`."""
    y, x = np.mgrid[0:28, 0:28]
    ink = np.hypot(y - 14, x - 14) < 8
    ink[14 - teeth : 14 + teeth : 2, 14:] = False
    image = np.where(ink, 128 + 127 * grey, 128 - 128 * grey)
    image[0, : record.seed] = 128 + 127 * grey  # seeds differ a little
    return np.repeat(image[None, None], 4, axis=0).astype(np.uint8)


B_GRIDS = [
    ("B2", {"b-ddpm": {"teeth": 6}, "b-combined": {}}, "holds"),
    ("B2", {"b-combined": {"teeth": 6}, "b-combined-published": {"teeth": 6}}, "does not hold"),
    ("B2", {"b-ddpm": {"teeth": 4}, "b-combined": {"teeth": 6}, "b-combined-published": {}}, "artefact of fault FB3"),
    ("B3", {"b-combined": {"grey": 0.5}}, "holds"),
    ("B3", {"b-ddpm": {"grey": 0.5}}, "does not hold"),
    ("B3", {"b-ddpm": {"grey": 0.9}, "b-combined-published": {"grey": 0.4}}, "artefact of fault FB2"),
]


@pytest.mark.parametrize(("id", "looks", "verdict"), B_GRIDS)
def test_report_b_on_the_look_of_digits(id, looks, verdict):
    lab = FakeLab(reports=True)
    for name in ("b-ddpm", "b-combined", "b-combined-published", "b-only", "b-without"):
        for label, _, _, record in lab.groups[name]:
            look = looks.get(name, {})
            if name in ("b-only", "b-without"):
                culprit = verdict.endswith(label)
                here = looks.get("b-combined-published" if culprit == (name == "b-only") else "b-combined", {})
                look = here
            record.arrays["grid"] = ring(record, **look)
    assert judged(id, lab).verdict == verdict


@pytest.mark.parametrize(("slope", "verdict"), [(5.0, "holds"), (-5.0, "does not hold")])
def test_report_b_settings_over_the_full_grid(slope, verdict):
    lab = FakeLab(reports=True)
    for group, steep in (("b-grid", slope), ("b-rows", min(slope, 0))):
        metrics(
            lab,
            group,
            fd=lambda r, *_, steep=steep: 50 + steep * r.run.dip.std + steep * math.log10(r.run.dip.optim.lr),
            train_seconds=lambda r, *_, steep=steep: 100.0 + 20 * abs(steep - 5) * r.run.dip.std,
        )
    assert judged("B4", lab).verdict == judged("B6", lab).verdict == judged("B5", lab).verdict == verdict
    for id in ("B4", "B6"):  # a profile without the grid has the DIP's own sweeps
        assert "DIP's outputs" in judged(id, FakeLab()).evidence.hypothesis


def test_a_slope_of_the_published_rows_alone_is_an_artefact():
    lab = FakeLab(reports=True)
    for group, steep in (("b-grid", -5.0), ("b-rows", 5.0)):
        metrics(lab, group, fd=lambda r, *_, steep=steep: 50 + steep * r.run.dip.std)
    assert judged("B4", lab).verdict == "artefact of faults not told apart here"


@pytest.mark.parametrize(
    ("dip", "blur", "verdict"), [(0.3, -0.2, "holds"), (0.1, 0.2, "does not hold"), (-0.1, -0.3, "does not hold")]
)
def test_emphasis_must_exceed_the_digits_own_and_a_blurs(dip, blur, verdict):
    lab = FakeLab(reports=True)
    metrics(lab, "b-dip", emphasis=lambda *_: dip, emphasis_blur=lambda *_: blur)
    assert judged("B8", lab).verdict == verdict


# --- the rule ---------------------------------------------------------------------------------------------------------


def finding(values, **about):
    return tests_a.Finding(paired(values), "FD", "why", **about)


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
    assert claims.verdict_of(found) == verdict


def test_seeds_needed_is_the_first_number_that_would_decide():
    effect = paired([0.2, 0.5, 1.4, 0.1])
    sd = np.std([0.2, 0.5, 1.4, 0.1], ddof=1)
    for bound in (0.0, 0.3, 2.0):
        n = seeds_needed(effect, bound)
        halves = [scipy_stats.t.ppf(0.975, k - 1) * sd / math.sqrt(k) for k in (n - 1, n)]
        assert halves[0] >= abs(effect.value - bound) > halves[1]
    assert seeds_needed(effect, 0.0) == effect.needed
    assert seeds_needed(paired([1.0]), 0.0) is None and seeds_needed(effect, effect.value) is None
    assert scaled(effect, -1) == Paired(-effect.value, -effect.high, -effect.low, 4, effect.needed)


def test_an_undecided_claim_says_how_many_seeds_it_would_take():
    evidence = CLAIM["A1"].evidence[0]
    for found, said in (
        (finding(OPEN), "seeds would be needed"),
        (finding([1.0]), "One seed gives no interval"),
        (finding([-1.0, 0.0, 1.0]), "Over 1000 seeds"),
    ):
        one = claims.Judged(CLAIM["A1"], evidence, claims.verdict_of(found), found, "cifar10")
        assert said in one.sentence() and one.row()["seeds it would take"] != ""
    one = claims.Judged(CLAIM["A1"], evidence, "holds", finding(UP), "cifar10")
    assert one.row()["seeds it would take"] == "" and "needed" not in one.sentence()


def test_one_seed_decides_nothing():
    assert {one.verdict for one in claims.audit(FakeLab(seeds=1, reports=True))} == {"not decidable"}


# --- records -> verdict and sentence ------------------------------------------------------------------------------------


def test_flipping_one_record_changes_verdict_and_sentence():
    lab = FakeLab(reports=True)
    before = judged("A4", lab)
    lab.seeds("a-ddpm")[1].evals["fd"] *= 6.0
    after = judged("A4", lab)
    assert before.verdict == "artefact of fault FA1" and after.verdict == "not decidable"
    assert before.sentence() != after.sentence() and "seeds would be needed" in after.sentence()
    assert before.row()["effect"] != after.row()["effect"]


def test_flipping_one_record_file_changes_verdict_and_sentence(tmp_path):
    def write(seed, emphasis):
        entry = profile.load("smoke").seeds("b-dip")[seed]
        folder = tmp_path / "smoke" / "runs" / entry.folder
        folder.mkdir(parents=True, exist_ok=True)
        metrics = {"emphasis": emphasis, "emphasis_blur": -0.2}
        records.write(folder, entry.name, entry.run, Outcome(metrics=metrics), {"device": "cpu"}, "2026-01-01T00:00:00Z")

    seeds = range(len(profile.load("smoke").seeds("b-dip")))
    for seed in seeds:
        write(seed, 0.30 + 0.001 * seed)
    before = judged("B8", Lab("smoke", str(tmp_path)))
    write(0, -0.30)
    after = judged("B8", Lab("smoke", str(tmp_path)))
    assert (before.verdict, after.verdict) == ("holds", "not decidable")
    assert "**Holds**" in before.sentence() and "**Not decidable**" in after.sentence()
    assert before.row()["effect"] != after.row()["effect"]
    assert json.loads(next(tmp_path.rglob("record.json")).read_text())["kind"] == "dip"


def test_every_claim_links_a_figure_that_its_notebook_draws():
    sources = {path.stem[:2]: path.read_text(encoding="utf-8") for path in nbfiles.FOLDER.glob("0*.ipynb")}
    for claim in claims_list.CLAIMS:
        for evidence in claim.evidence:
            name = evidence.figure
            found = name in sources[name[:2]] or name.removesuffix("_seconds") in sources[name[:2]]
            assert found, f"{claim.id}: no notebook draws {name}"
    assert {path.stem for path in nbfiles.FOLDER.glob("0*.ipynb")} >= set(claims.NOTEBOOKS.values())


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
    assert shapes.raggedness(images) == pytest.approx(4.0)
    images[0, 0, 2, 3:7:2] = 60  # a bitten edge
    assert shapes.raggedness(images) > 4.0
    assert math.isnan(shapes.raggedness(np.zeros((1, 1, 4, 4), np.uint8)))


def test_contrast_is_the_deviation_of_pixels_in_0_1():
    images = np.zeros((1, 1, 2, 2), np.uint8)
    images[0, 0, 0] = 255
    assert shapes.contrast(images) == pytest.approx(0.5)


def test_a_look_is_that_of_all_samples_where_the_record_holds_it():
    record = SimpleNamespace(metrics={}, arrays={"grid": np.eye(4, dtype=np.uint8)[None, None] * 255})
    assert tests_b.look_of(shapes.contrast, record) == pytest.approx(math.log(math.sqrt(3) / 4))
    record.metrics["contrast"] = 0.25
    assert tests_b.look_of(shapes.contrast, record) == pytest.approx(math.log(0.25))
    record.metrics["contrast"] = 0.0
    assert math.isnan(tests_b.look_of(shapes.contrast, record))


def test_a_last_evaluation_at_the_same_step_is_not_another_seed():
    rows = [
        {"sampler": "ddim", "nfe": 5, "n": 10, "seed": seed, "step": step, "fd": 1.0} for seed in (0, 1) for step in (1, 2, 2)
    ]
    assert len(judged_alike(pd.DataFrame(rows))) == 4


def test_statistics_of_a_curve():
    def record(*fd):
        rows = [{"sampler": "ddim", "nfe": 5, "n": 10, "fd": math.exp(value)} for value in fd]
        return SimpleNamespace(evals=pd.DataFrame([*rows, {"sampler": "ddim", "nfe": 50, "n": 99, "fd": 1e9}]))

    one = record(3.0, 1.0, 2.0, 2.5)
    found = {f.__name__: f(one, "fd") for f in (
        tests_a.first, tests_a.last, tests_a.lowest, tests_a.first_is_lowest, tests_a.fall,
        tests_a.late_rise, tests_a.seen_rise,
    )}  # fmt: skip
    assert found == pytest.approx(
        {"first": 3.0, "last": 2.5, "lowest": 1.0, "first_is_lowest": -2.0, "fall": 0.5, "late_rise": 1.5, "seen_rise": 1.5}
    )
    assert math.isnan(tests_a.first_is_lowest(record(1.0), "fd")) and math.isnan(tests_a.seen_rise(record(1.0), "fd"))


def test_the_margin_of_a5_is_stated():
    assert f"a factor of {math.exp(same_fid()):.3f}" in CLAIM["A5"].evidence[0].hypothesis
    assert same_fid() == pytest.approx(5 / 148.81, rel=1e-3)


def test_published_slopes_use_rows_in_which_one_setting_varies():
    rows = pd.DataFrame({"dip_lr": [1, 1, 1, 2, 3], "ddpm_lr": [5, 5, 5, 9, 9], "std": [1.2, 1.0, 0.8, 1.2, 1.2]})
    assert list(tests_b._varied(rows, "std").index) == [0, 1, 2]
    assert list(tests_b._varied(rows, "dip_lr").index) == [3, 4]
    assert tests_b._varied(rows, "ddpm_lr").empty


def test_the_largest_suspect_counts_in_the_claims_direction():
    lab = FakeLab(reports=True)
    fd = one_fault.metric("fd")
    assert one_fault.largest(lab, {"FA1": 1, "FA2": -1}, fd) == "FA1"
    assert one_fault.largest(lab, {"FA1": -1, "FA2": 1}, fd) == "FA2"
    assert one_fault.largest(lab, {"FA1": -1}, fd) == "" and one_fault.largest(FakeLab(), {"FA1": 1}, fd) == ""
