"""The comparison of mechanisms: full cost, when a quality was reached, rivals, the front; and what is said of them."""

import math

import numpy as np
import pandas as pd
import pytest
from fake_records import FakeLab

from dipddpm_utils.page import names as looks_of
from dipddpm_utils.priors import comparisons, findings, mechanisms
from dipddpm_utils.priors import figures as figures_priors

LAB = FakeLab()
FRAME = mechanisms.table_of(LAB)


def test_a_weight_of_zero_is_the_ddpm_alone():
    frame = FRAME[["label", "value", "seed", "fd"]].copy()
    late = frame[frame["label"] == "guidance"].assign(value="0.5 late")
    swept = mechanisms.over_weight(pd.concat([frame, late], ignore_index=True))
    assert list(swept) == [label for label in mechanisms.weights() if label in set(frame["label"])] and len(swept) > 1
    for label, own in swept.items():
        anchor = own[own["anchor"]]
        assert (anchor["value"] == 0).all() and (anchor["label"] == "baseline").all() and anchor["seed"].nunique() == 3
        assert set(own.loc[~own["anchor"], "label"]) == {label} and own["value"].dtype == float
        assert "0.5 late" not in set(own["value"])


def curve(values, steps=None, dip=0.0):
    steps = steps or [10 * (k + 1) for k in range(len(values))]
    rows = pd.DataFrame({"step": steps, "seconds": [s / 2 for s in steps], "fd": values})
    rows["sampler"], rows["nfe"], rows["n"] = "ddim", 10, 100

    class Record:
        evals, metrics, seed = rows, {"dip_seconds": dip}, 0

    return Record()


def test_a_quality_is_reached_where_log_fd_crosses_it_and_dip_seconds_count():
    record = curve([80.0, 20.0, 5.0], dip=7.0)
    assert mechanisms.reached(record, 40.0) == pytest.approx((15.0, 7.5 + 7.0))  # half way in log FD
    assert mechanisms.reached(record, 20.0) == pytest.approx((20.0, 10.0 + 7.0))
    assert mechanisms.reached(record, 100.0) == pytest.approx((10.0, 5.0 + 7.0))  # there at the first look
    assert mechanisms.reached(record, 4.9) is None


def test_a_curve_that_comes_back_counts_from_its_first_time():
    assert mechanisms.reached(curve([80.0, 20.0, 60.0, 10.0]), 20.0)[0] == pytest.approx(20.0)


def test_rows_judged_in_another_way_are_left_out():
    record = curve([80.0, 20.0, 1.0])
    record.evals.loc[2, "n"] = 2000
    assert mechanisms.reached(record, 10.0) is None
    record.evals.loc[2, "n"] = 100


def test_cost_is_every_second():
    base = FRAME[FRAME["label"] == "baseline"].iloc[0]
    assert base["cost"] == 160 + 8
    start = FRAME[FRAME["label"] == "start"].iloc[0]
    assert start["cost"] == 160 + 30 + start["sampling_seconds"]
    shift = FRAME[FRAME["label"] == "shift"].iloc[0]
    assert shift["cost"] == 160 + 30 + 8


def test_thresholds_are_multiples_of_the_baselines_last_fd():
    ends = [record.evals["fd"].iloc[-2] for record in FRAME.loc[FRAME["label"] == "baseline", "record"]]
    assert mechanisms.thresholds(FRAME) == pytest.approx([t * np.mean(ends) for t in mechanisms.THRESHOLDS])


def test_a_best_setting_of_several_pays_for_the_choice():
    value, rows, level = mechanisms.best_setting(FRAME, "curriculum")
    assert value == 0.25 and len(rows) == 3 and level == pytest.approx(1 - 0.05 / 2)
    assert mechanisms.best_setting(FRAME, "no such") is None


def test_each_mechanism_meets_the_baseline_and_its_rivals():
    _, rows, level = mechanisms.best_setting(FRAME, "shift")
    found = dict(mechanisms.against(FRAME, "shift", rows, level))
    assert set(found) == {"baseline", "shift blur", "more training"}
    assert found["baseline"].value == pytest.approx(math.log(8 / 20), abs=0.15)
    assert "start real" not in dict(mechanisms.against(FRAME, "start", FRAME[FRAME["label"] == "start"]))


def test_the_front_is_what_nothing_beats():
    points = [(1, 9), (2, 5), (2, 4), (3, 4), (4, 1), (0.5, 20), (5, 1)]
    assert mechanisms.front(points) == [5, 0, 2, 4]
    rng = np.random.default_rng(0)
    points = [tuple(p) for p in rng.random((40, 2))]
    kept = set(mechanisms.front(points))
    for i, (x, y) in enumerate(points):
        beaten = any(a <= x and b <= y and (a, b) != (x, y) for a, b in points)
        assert (i in kept) != beaten


def test_speed_is_paired_by_seed():
    gap, there, seeds = mechanisms.speed(FRAME, FRAME[FRAME["label"] == "shift"], mechanisms.thresholds(FRAME)[1], 0)
    assert there == seeds == gap.n == 3
    late = FRAME[(FRAME["label"] == "curriculum") & (FRAME["value"] == 1.0)]
    assert mechanisms.speed(FRAME, late, 1e-9, 1) == (None, 0, 3)


def test_tables_have_a_row_a_setting():
    assert len(mechanisms.quality_table(FRAME)) == len(mechanisms.settings(FRAME))
    speeds = mechanisms.speed_table(FRAME)
    assert len(speeds) == 3 * sum(kind == "ddpm" for _, _, kind in {(r.label, r.value, r.kind) for r in FRAME.itertuples()})


def test_every_method_is_on_the_pareto_figure_and_no_two_look_alike():
    plane, rows, seconds, copies = figures_priors.pareto(FRAME, LAB.record("floor")).axes
    names = [text.get_text() for text in rows.get_yticklabels()]
    assert len(names) == len(set(names)) == len(mechanisms.settings(FRAME)) == len(seconds.patches) == len(copies.patches)
    for label in FRAME["label"].unique():
        assert any(name.startswith(looks_of.look(label).label.split(" (")[0]) for name in names)
    shown = {tuple(np.ravel(line.get_xydata()).round(6)) for line in plane.lines if len(line.get_xdata()) == 1}
    ways = figures_priors.ways(FRAME, "fd")
    assert all((round(way.cost, 6), round(way.mean, 6)) in shown for way in ways)
    looks = [(looks_of.look(label), label in looks_of.mechanisms()) for label in FRAME["label"].unique()]
    assert len({(own.colour, own.marker, filled) for own, filled in looks}) == len(looks)


def test_a_mechanism_is_followed_by_its_controls_in_words():
    names = [way.name for way in figures_priors.ways(FRAME, "fd")]
    assert names[0] == "DDPM alone" and not any("_" in name.replace("t_start", "") for name in names)
    at = names.index("DIP images re-injected (weight 0.5)")
    assert names[at + 1] == "blur images re-injected (weight 0.5)"


def test_the_front_is_not_taken_for_the_floor_and_every_bar_is_in_view():
    floor = FakeLab().record("floor")
    floor.evals, floor.metrics = floor.evals.assign(fd=0.05), {**floor.metrics, "fd": 0.05}
    ax = figures_priors.pareto(FRAME, floor).axes[0]
    low, high = ax.get_ylim()
    ways = figures_priors.ways(FRAME, "fd")
    assert 0.05 < low < min(way.low for way in ways) and max(way.high for way in ways) < high
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["best to be had"]


def test_sentences_follow_the_numbers():
    said = findings.mechanism(LAB, "condition")
    assert "**better**" in said and "DIP as a condition" in said
    assert "no run of it" in findings.mechanism(FakeLab(without=("mechanisms",)), "shift")
    useful = findings.useful(LAB)
    assert "Of 7 mechanisms measured" in useful and "(shift, condition)" in useful
    assert "use a DIP" in findings.on_the_front(LAB)
    one_seed = FakeLab(seeds=1)
    assert "not decidable" in findings.mechanism(one_seed, "shift") and findings.useful(one_seed)


def test_negative_results_hold_the_mechanisms_that_did_not_help():
    table = comparisons.negative_results(LAB)
    assert table["comparison"].str.contains("DIP images re-injected").any()
    assert not table["comparison"].str.contains("FD, DIP as a condition, 1 / DDPM alone").any()
    assert len(comparisons.negative_results(FakeLab(without=("mechanisms", "restore")))) < len(table)


def test_restoration_says_which_start_is_better_for_each_task():
    table = findings.restoration_table(LAB)
    assert len(table) == 3 * len(findings.METHODS)
    assert set(table["task"]) == {"denoising", "inpainting", "super-resolution"}
    said = findings.restoration(LAB)
    assert said.count("**better**") == 3 * 7 and "paired over 100 images" in said
    for record in LAB.seeds("restore"):
        figure = figures_priors.restored(record)
        assert len(figure.axes) == 1 + len(findings.METHODS)
    assert "no run of it" in findings.restoration(FakeLab(without=("restore",)))


def test_the_strength_of_a_degradation_is_told_as_it_is():
    restore = pytest.importorskip("dipddpm_utils.priors.restore")
    assert f"std {restore.STD}" in findings.TASKS["denoise"][1] and restore.SEEN == 0.5
    assert "half of the pixels" in findings.TASKS["inpaint"][1]
