"""The comparison of mechanisms: full cost, when a quality was reached, rivals, the front; and what is said of them."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from labs import Records, holding

from dipddpm_utils.combined import comparisons, conclusions, figures, findings, mechanisms, verdicts
from dipddpm_utils.page import figures as page_figures
from dipddpm_utils.page import names
from dipddpm_utils.page.compare import copies, paired, summary
from dipddpm_utils.page.prose import number
from dipddpm_utils.study.entries import By
from dipddpm_utils.theory.gaussian import Cost

FDS = {  # made up: shift and condition are better than the DDPM alone and than every control, and nothing else is
    "baseline": 20.0, "curriculum": 27.0, "weights": 20.5, "start": 15.0, "start blur": 14.0, "start real": 5.0,
    "reinject": 30.0, "shift": 8.0, "shift blur": 12.0, "condition": 6.0, "condition blur": 9.0, "guidance": 20.6,
    "more training": 10.0, "ddim sampler": 33.0,
}  # fmt: skip


SMALL = ("main-drawn",)  # without this group, the small models are what counts


def made_up(**options) -> Records:
    lab = holding("mechanisms", "starts", "samplers", without=SMALL, **options)
    lab.set("mechanisms", fd=lambda record, label, value: FDS.get(label, 25.0) + (value == 0.25), copy_rate=lambda *_: 0.01)
    lab.set("mechanisms", copy_rate_floor=lambda *_: 0.01, own_source_rate=lambda *_: 0.001)
    return lab


@pytest.fixture(scope="module")
def lab():
    return made_up()


@pytest.fixture(scope="module")
def frame(lab):
    return mechanisms.table_of(lab)


def test_a_control_is_drawn_by_the_same_sampler_where_it_was():
    rows = [("guidance", "ddim", 9.0), ("guidance blur", "ddim", 8.0), ("guidance blur", "dpmpp_2m", 5.0)]
    frame = pd.DataFrame(rows, columns=["label", "sampler", "fd"]).assign(nfe=12, seed=0)
    frame["value"] = frame["sampler"]
    own = frame[frame["label"] == "guidance"]
    assert mechanisms.rival_rows(frame, "guidance blur", own)["fd"].tolist() == [8.0]
    other = own.assign(sampler="ancestral")
    assert mechanisms.rival_rows(frame, "guidance blur", other)["fd"].tolist() == [5.0]  # none by that one: the best of all
    assert mechanisms.rival_rows(frame, "more training", own) is None


def test_a_start_says_whether_its_own_images_were_looked_for_and_what_was_left_out():
    about = {"copy_rate_floor": 0.01, "seed": 0}
    rows = [
        {"label": "dip", "value": 300, "fd": 1.0, "copy_rate": 0.97},
        {"label": "dip", "value": 600, "fd": 9.0, "copy_rate": 0.0},
    ]
    rows += [{"label": "noise", "value": t, "fd": 10.0, "copy_rate": 0.0} for t in (300, 600)]
    said = comparisons.starts(pd.DataFrame([row | about for row in rows]))
    assert "t_start = 600" in said.partition(",")[2][:20] and "No gain: t_start = 300 (97% look copied)." in said
    assert "own image was not recorded" in said
    with_own = pd.DataFrame([row | about | {"own_source_rate": 0.0} for row in rows])
    assert "not recorded" not in comparisons.starts(with_own)
    copied = comparisons.starts(with_own.assign(copy_rate=0.97))  # what makes its distance worthless comes first
    assert copied.startswith("Started from DIP outputs, t_start = 300. Of these samples 97% look copied")


def test_a_weight_of_zero_is_the_ddpm_alone(frame):
    rows = frame[["label", "value", "seed", "fd"]]
    swept = mechanisms.over_weight(rows)
    assert list(swept) == [label for label in mechanisms.weights() if label in set(rows["label"])] and len(swept) > 1
    for label, own in swept.items():
        anchor = own[own["anchor"]]
        assert (anchor["value"] == 0).all() and (anchor["label"] == "baseline").all() and anchor["seed"].nunique() == 3
        assert set(own.loc[~own["anchor"], "label"]) == {label} and own["value"].dtype == float
        assert "0.5 late" not in set(own["value"])


def curve(values, steps=None, dip=0.0):
    steps = steps or [10 * (k + 1) for k in range(len(values))]
    rows = pd.DataFrame({"step": steps, "seconds": [s / 2 for s in steps], "fd": values})
    return SimpleNamespace(evals=rows.assign(sampler="ddim", nfe=10, n=100), metrics={"dip_seconds": dip}, seed=0)


def test_a_quality_is_reached_where_log_fd_crosses_it_and_dip_seconds_count():
    record = curve([80.0, 20.0, 5.0], dip=7.0)
    assert findings.reached(record, 40.0) == pytest.approx((15.0, 7.5 + 7.0))  # half way in log FD
    assert findings.reached(record, 20.0) == pytest.approx((20.0, 10.0 + 7.0))
    assert findings.reached(record, 100.0) == pytest.approx((10.0, 5.0 + 7.0))  # there at the first look
    assert findings.reached(record, 4.9) is None


def test_a_curve_that_comes_back_counts_from_its_first_time():
    assert findings.reached(curve([80.0, 20.0, 60.0, 10.0]), 20.0)[0] == pytest.approx(20.0)


def test_rows_judged_in_another_way_are_left_out():
    record = curve([80.0, 20.0, 1.0])
    record.evals.loc[2, "n"] = 2000
    assert findings.reached(record, 10.0) is None


def test_cost_is_every_second(frame):
    trained, drawn = (frame[frame["label"] == label].iloc[0] for label in ("shift", "start"))
    assert trained["cost"] == trained["train_seconds"] + trained["dip_seconds"] + trained["sampling_seconds"]
    assert drawn["cost"] == drawn["model_seconds"] + drawn["prior_seconds"] + drawn["sampling_seconds"]
    assert trained["dip_seconds"] > 0 and drawn["prior_seconds"] > 0


def test_thresholds_are_multiples_of_the_baselines_last_fd(frame):
    ends = [record.evals["fd"].iloc[-2] for record in frame.loc[frame["label"] == "baseline", "record"]]
    assert findings.thresholds(frame) == pytest.approx([t * np.mean(ends) for t in findings.THRESHOLDS])


def test_each_mechanism_meets_the_baseline_and_its_controls_at_its_best_setting(frame):
    assert mechanisms.best_setting(frame, "curriculum")[0] == 0.5 and mechanisms.best_setting(frame, "no such") is None
    found = dict(mechanisms.against(mechanisms.gaps(frame), "shift", 1))
    assert set(found) == {"baseline", "shift blur", "more training"}
    assert found["baseline"].value == pytest.approx(math.log(8 / 20), abs=0.01)
    gaps = mechanisms.gaps(frame)
    assert "start real" not in dict(mechanisms.against(gaps, "start", 600)) and mechanisms.against(gaps, "no such", 1) == []
    every = mechanisms.gaps(frame)
    controls = {control for kind in names.mechanisms().values() for control in kind.controls}
    assert {of for *_, of in every} == {"baseline"} | controls - {"more calls"}  # which small models have not
    assert not any(label in (*mechanisms.oracles(), "baseline") for label, _, _ in every)


def test_the_front_is_what_nothing_beats():
    rng = np.random.default_rng(0)
    for points in ([(1, 9), (2, 5), (2.05, 4), (3, 4.5), (4, 1), (0.5, 20), (5, 2)], rng.random((40, 2)) + 1):
        rows = [{"label": "made up", "value": float(i), "cost": cost, "fd": fd} for i, (cost, fd) in enumerate(points)]
        kept = [int(value) for _, value, _ in findings.front(pd.DataFrame(rows))]
        for i, (cost, fd) in enumerate(points):  # seconds that differ by less than 5% are the same
            assert (i in kept) != any(other <= 1.05 * cost and lower < fd for other, lower in points)
        assert kept == sorted(kept, key=lambda i: points[i][0]) and len(kept) > 1
    assert 1 not in kept or len(points) == 40


def test_speed_is_paired_by_seed(frame):
    assert findings.speed(frame, frame[frame["label"] == "more training"], findings.thresholds(frame)[0], 0).n == 3
    assert findings.speed(frame, frame[frame["label"] == "shift"], 1e-9, 1) is None


def test_tables_have_a_row_a_setting(frame):
    assert len(findings.quality_table(frame)) == len(mechanisms.settings(frame))
    curves = [label for label, _, rows in mechanisms.settings(frame) if findings.has_curve(rows)]
    assert (
        len(findings.speed_table(frame)) == len(findings.THRESHOLDS) * len(curves)
        and "baseline" in curves
        and "start" not in curves
    )


@pytest.mark.parametrize(
    ("own", "copied", "said"), [(0.001, 0.01, "yes"), (0.9, 0.01, "no"), (0.001, 0.3, "no"), (np.nan, 0.01, "not known")]
)
def test_the_table_of_speed_says_whose_images_are_new(own, copied, said):
    lab = made_up()
    lab.set("mechanisms", own_source_rate=lambda *_: own, copy_rate=lambda *_: copied)
    table = findings.speed_table(mechanisms.table_of(lab))
    assert set(table.loc[table["method"].str.startswith("DIP as a condition"), "new images"]) == {said}


def test_the_front_counts_a_start_once_against_its_hardest_rival():
    fds = {"dip": 8.0, "noise": 10.0, "blur": 9.0}
    for blur, rival in ((9.0, "blurred training images"), (20.0, "noise")):
        lab = Records()
        group = comparisons.started(lab)
        lab.set(group, fd=lambda record, label, value, blur=blur: (fds | {"blur": blur}).get(label, 50.0))
        lab.set(group, own_source_rate=lambda *_: 0.001, copy_rate=lambda *_: 0.01, copy_rate_floor=lambda *_: 0.01)
        (row,) = verdicts._starts(lab)
        assert row.question.endswith(f": FD vs. {rival}") and row.value == pytest.approx(math.log(8 / min(blur, 10.0)))


def test_every_method_is_on_the_pareto_figure_and_no_two_look_alike(lab, frame):
    rows, seconds, copies = figures.pareto(frame, lab.record("floor")).axes
    told = [text.get_text() for text in rows.get_yticklabels()]
    assert len(told) == len(set(told)) == len(mechanisms.settings(frame)) == len(seconds.patches) == len(copies.patches)
    for label in frame["label"].unique():
        assert any(name.startswith(names.look(label).label.split(" (")[0]) for name in told)
    looks = [(names.look(label), label in names.mechanisms()) for label in frame["label"].unique()]
    assert len({(own.colour, own.marker, filled) for own, filled in looks}) == len(looks)


def test_a_mechanism_is_followed_by_its_controls_in_words(frame):
    told = [mechanisms.in_words(frame, *way[:2]) for way in figures.ways(frame)]
    assert told[0] == "DDPM alone, 600 steps" and not any("_" in name.replace("t_start", "") for name in told)
    assert told[told.index("DIP images re-injected (weight 0.5)") + 1] == "blur images re-injected (weight 0.5)"


def test_every_bar_is_in_view(frame):
    figure = figures.pareto(frame, made_up().record("floor"))
    low, high = figure.axes[0].get_xlim()
    shown = [summary(rows, "fd") for *_, rows in figures.ways(frame)]
    assert low < min(one.low for one in shown) and max(one.high for one in shown) < high


def test_a_mechanism_says_what_it_cost_and_which_controls_were_not_measured(frame, lab):
    rows = frame[frame["label"] == "shift"]
    said = mechanisms.mechanism(lab, "shift")
    assert f", {number(rows['cost'].mean())} s in all. Its FD over" in said and "Not measured" not in said
    lacking = made_up()
    lacking.profile.groups["mechanisms"] = [one for one in lacking.profile.group("mechanisms") if one.label != "shift blur"]
    assert mechanisms.mechanism(lacking, "shift").endswith(f"Not measured at this size: {names.look('shift blur').label}.")


def test_sentences_follow_the_numbers(lab):
    said = mechanisms.mechanism(lab, "condition")
    assert "**better**" in said and "DIP as a condition" in said
    assert "(p " in said and "Holm" not in said and "Holm over" in findings.quality_table(mechanisms.small(lab)).to_csv()
    assert "no run of it" in mechanisms.mechanism(Records("standard", without=("mechanisms",)), "shift")
    counted = mechanisms.headcount(lab)
    assert counted.startswith("Of 8 mechanisms on small models, shown to beat the DDPM alone")
    better = re.findall(r"[ ](DIP[^,;]*), 0\.\d+ \[", counted.partition("same sampler:")[2])
    assert better == ["DIP start (t_start 600)", "DIP-shifted process", "DIP as a condition"]
    assert ". Better than every control, too: DIP-shifted process, DIP as a condition." in counted
    assert re.search(
        r"DIP-shifted process, 0\.4\d* \[[^(]*\(over its hardest control, [^:]* steps: 0\.8", counted
    )  # its hardest control
    assert re.search(r"With a DIP: 1 of these \d+\.", findings.on_the_front(mechanisms.table_of(lab)))
    none_better = made_up()
    none_better.set("mechanisms", fd=lambda *_: 20.0)
    assert mechanisms.headcount(none_better).endswith("same sampler: none.")
    one_seed = made_up(seeds=1)
    assert "not decidable" in mechanisms.mechanism(one_seed, "shift") and mechanisms.headcount(one_seed)


def test_the_table_has_every_comparison_won_or_lost(frame):
    table = findings.quality_table(frame).set_index("method")
    said = table.loc["DIP-shifted process"]
    assert ", better (p" in said["over the baseline"] and said["over its controls"].startswith("blur-shifted process: 0.6")
    controls = table["over its controls"].str.count("; ") + (table["over its controls"] != "")
    assert controls.sum() + (table["over the baseline"] != "").sum() == len(mechanisms.gaps(frame))
    shown = findings.shown(table.reset_index())
    assert len(shown.columns) == 7 and not shown["over the baseline"].str.contains("p <|p =").any()
    assert {"better", "worse"} <= {cell.rpartition(", ")[2] for cell in shown["over the baseline"]}
    assert ", worse" in table.loc["DIP images re-injected (weight 0.5)"]["over the baseline"]


# --- models that draw digits ---


@pytest.mark.parametrize(("near", "word"), [(0.9, "lower"), (0.01, "better")])
def test_what_counts_are_the_models_that_draw_digits_and_images_given_back_win_nothing(near, word):
    lab = holding("mechanisms", "main", "main-starts", "main-drawn")
    fds, shares = {"shift": 0.1, "noise": 10.0}, {"own_source_rate": near, "copy_rate": 0.01, "copy_rate_floor": 0.01}
    for group in ("main-drawn", "main-starts", "main-noise-12"):
        if group in lab.profile.groups:
            lab.set(group, fd=lambda record, label, value: fds.get(label, 10.0), recall=lambda *_: 0.8)
            lab.set(group, **{name: (lambda *_, share=share: share) for name, share in shares.items()})
    frame = mechanisms.table_of(lab)
    assert mechanisms.settings(frame)[0][:2] == ("baseline", 0)
    assert frame.loc[frame["label"] != "more calls", "nfe"].nunique() == 1
    assert mechanisms.in_words(frame, "more calls", 24) == "DDPM alone, 24 calls"
    assert mechanisms.in_words(frame, "more calls", By(18, "ddim eta 1")) == "DDPM alone, 18 calls of DDIM with eta 1"
    assert mechanisms.in_words(frame, "guidance", By(0.1, "dpmpp_2m")) == "DIP guidance (weight 0.1, DPM-Solver++(2M))"
    assert mechanisms.in_words(frame, "baseline") == "DDPM alone, 12 calls"
    said, won = mechanisms.mechanism(lab, "shift"), mechanisms.headcount(lab)
    assert f"**{word}**" in said and ("Training images given back, and no gain." in said) is (near == 0.9)
    assert ("beat the DDPM alone, 12 calls by the same sampler: DIP-shifted process, 0.01" in won) is (near < 0.5)
    back = "same sampler: none. Lower because they give training images back: DIP-shifted process ("
    assert (back in won) is (near == 0.9)


def test_a_setting_drawn_by_another_sampler_is_compared_with_the_ddpm_alone_by_the_same():
    lab = holding("mechanisms", "main", "main-starts", "main-drawn")
    other = By(0.1, "ddim eta 1")
    fds = {other: 4.0, By(12, "ddim eta 1"): 5.0, By(18, "ddim eta 1"): 2.0, 0.1: 9.0}
    lab.set("main-drawn", fd=lambda record, label, value: fds.get(value, 10.0))
    lab.set("main-starts", fd=lambda *_: 10.0)
    gaps = mechanisms.gaps(mechanisms.larger(lab))
    assert np.exp(gaps["guidance", other, "baseline"].value) == pytest.approx(4 / 5)
    assert np.exp(gaps["guidance", other, "more calls"].value) == pytest.approx(4 / 2)
    assert np.exp(gaps["guidance", 0.1, "baseline"].value) == pytest.approx(9 / 10)
    own, alone = "DIP guidance (weight 0.1, DDIM with eta 1)", "DDPM alone, {} calls of DDIM with eta 1"
    said = findings.quality_table(mechanisms.larger(lab)).set_index("method").loc[own]
    assert said["over the baseline"].startswith("0.8") and f"{alone.format(18)}: 2.00 [" in said["over its controls"]


@pytest.mark.parametrize(("timed", "calls"), [(20.4, 20), (23.0, 24), (None, 18)])
def test_more_calls_are_those_that_take_as_long_as_guidance_did_in_turn(monkeypatch, timed, calls):
    monkeypatch.setattr(mechanisms.speed, "sitting", lambda results, name: timed and {"value": timed})
    lab = holding("mechanisms", "main", "main-starts", "main-drawn")
    frame = mechanisms.larger(lab)
    if timed is None:  # the seconds of the records then
        costs = {18: 1.0, 20: 2.0, 24: 3.0}
        frame["cost"] = [costs.get(value, 1.1) for value in frame["value"]]
    own = frame[(frame["label"] == "guidance") & (frame["value"] == 0.1)]
    assert set(mechanisms.rival_rows(frame, "more calls", own)["nfe"]) == {calls}


def test_a_mechanism_is_judged_where_it_does_best_against_its_hardest_rival():
    lab = holding("mechanisms", "main", "main-starts", "main-drawn")
    eta = By(0.1, "ddim eta 1")
    fds = {eta: 4.0, By(12, "ddim eta 1"): 5.0, By(18, "ddim eta 1"): 2.0, 0.1: 9.0}  # lowest with eta 1, but twice its rival
    lab.set("main-drawn", fd=lambda record, label, value: fds.get(value, 10.0))
    lab.set("main-starts", fd=lambda *_: 10.0)
    frame = mechanisms.larger(lab)
    assert mechanisms.best_setting(frame, "guidance")[0] == eta
    assert mechanisms.at_its_best(frame, mechanisms.found(lab), "guidance")[0] != eta
    (row,) = (row for row in verdicts.rows(lab) if row.question.startswith("DIP guidance"))
    assert "DDIM with eta 1" not in row.question and row.value <= 0.001
    assert mechanisms.at_its_best(frame, {}, "guidance")[0] == eta and mechanisms.at_its_best(frame, {}, "no such") is None


def test_seconds_of_models_of_different_days_are_at_one_pace():
    lab = holding("mechanisms", "main", "main-starts", "main-drawn")
    before = mechanisms.larger(lab)
    for label, _, record in lab.members("main-drawn"):
        if label == "shift":  # a slower day, on which all took twice as long
            model = lab.record(lab.profile.find(record.run.model).name).metrics
            model |= {name: 2 * model[name] for name in ("train_seconds", "total_seconds")}
            for name in ("model_seconds", "prior_seconds", "sampling_seconds"):
                record.metrics[name] *= 2
    lab.kept = {}
    after = mechanisms.larger(lab)
    alone = before[before["label"] == "baseline"]
    assert 0.5 < ((alone["model_seconds"] + alone["sampling_seconds"]) / alone["cost"]).mean() < 2  # at its own mean pace
    assert (before["label"] == "shift").any() and np.allclose(before["cost"], after["cost"], rtol=1e-9)
    for label, _, record in lab.members("main-drawn"):
        if label == "guidance":  # drawn from a second training on a slower day, whose record is not the one that is kept
            for name in ("model_seconds", "prior_seconds", "sampling_seconds"):
                record.metrics[name] *= 3
    lab.kept = {}
    assert np.allclose(before["cost"], mechanisms.larger(lab)["cost"], rtol=1e-9)
    assert not before.duplicated(["label", "value", "seed"]).any()


# --- the committed records ---

LAB = Records(without=SMALL)
FRAME = mechanisms.table_of(LAB)


def test_neither_copiers_nor_oracles_are_on_the_front():
    frame = FRAME.assign(fd=FRAME["fd"].where(~FRAME["label"].isin(["condition blur", "start real"]), 0.01))
    shown = {label for label, _, _ in findings.front(frame)}
    copiers = {label for label, _, rows in mechanisms.settings(frame) if copies(rows).many}
    assert shown and copiers and not shown & (copiers | {"start real"})
    assert re.search(r"Left out: [1-9]\d* settings? that give training images back", findings.on_the_front(FRAME))


def test_seconds_that_only_noise_tells_apart_are_the_same():
    def best(times):
        cost = FRAME["cost"].where(FRAME["label"] != "ddim sampler", times * FRAME["cost"])
        return {label for label, _, _ in findings.front(FRAME.assign(cost=cost))}

    assert "ddim sampler" not in best(0.98) and "ddim sampler" in best(0.5) and "baseline" in best(0.98)


def test_a_ddpm_alone_is_called_by_its_steps():
    called = {mechanisms.in_words(FRAME, "baseline"), comparisons.alone(LAB, "ddpm"), comparisons.alone(LAB, "ddpm-more")}
    assert len(called) == 3 and all(name.startswith("DDPM alone, ") and name.endswith(" steps") for name in called)


def test_every_start_and_step_is_in_the_figure_to_play_with_and_it_is_small():
    starts = LAB.frame("starts")
    first = [record for record in LAB.seeds("starts") if record.seed == 0]
    html = page_figures.starts_to_play_with(starts, first, "04_play", "Samples.")
    panels = pd.unique(starts["label"] + starts["value"].astype(str))
    assert html.count("data-prior=") == len(panels) and len(html) < 400_000 and 'id="fig-04_play"' in html


def test_a_model_whose_own_images_were_not_recorded_is_not_on_the_front():
    frame = mechanisms.small(LAB)
    unknown = {label for label, _, rows in mechanisms.settings(frame) if mechanisms.unjudged(rows)}
    assert "shift" in unknown and "baseline" not in unknown
    assert not unknown & {label for label, *_ in findings.front(frame)}


def test_what_was_found_names_the_figure_of_every_line():
    said = conclusions.found(LAB)
    assert said and all("](#fig-04_" in line or "](#tab-04_" in line for line in said)
    assert conclusions.found(Records(without=("main", "ddpm", "starts", "mechanisms", "restore", "a-ddpm", "b-ddpm"))) == []


def test_all_settings_of_a_family_are_corrected_for_one_another():
    found, dips = mechanisms.gaps(mechanisms.table_of(made_up())), names.mechanisms()
    kinds = {key: "controls" if key[2] != "baseline" else "mechanisms" if key[0] in dips else "without" for key in found}
    for family in ("controls", "mechanisms", "without"):
        own = [found[key] for key, kind in kinds.items() if kind == family]
        assert len(own) > 1 and {gap.of for gap in own} == {len(own)}


@pytest.mark.parametrize("lacking", ["main", "main-on-dip", "main-starts", "main-drawn"])
def test_where_a_group_of_larger_models_is_lacking_all_is_asked_of_the_small_ones(lacking):
    lab = Records(without=(lacking,))
    assert mechanisms.on_larger(Records()) and not mechanisms.on_larger(lab)
    assert (comparisons.compared(lab), comparisons.started(lab)) == (("ddpm", "ddpm-on-dip"), "starts")
    assert mechanisms.table_of(lab) is mechanisms.small(lab) and verdicts.rows(lab)


def test_what_is_asked_of_outputs_is_corrected_together():
    for lab in (Records(), Records(without=("main",))):
        gaps = comparisons.outputs(lab)
        assert {gap.of for gap in gaps.values()} == {len(gaps)} and len(gaps) > 1


def test_a_way_in_stands_beside_the_rival_that_it_does_worst_against():
    (row,) = (row for row in verdicts.rows(made_up()) if row.question.startswith("DIP-shifted process"))
    assert row.value == pytest.approx(math.log(8 / 10), abs=0.02) and "FD vs. more training" in row.question
    frame = mechanisms.table_of(made_up()).set_index("seed")
    own, rival = (frame.loc[frame["label"] == label, "cost"] for label in ("shift", "more training"))
    assert row.cost == f"{number((own / rival).mean())} \u00d7 time"


@pytest.mark.parametrize(("fd", "blur", "back"), [(6.0, 9.0, True), (6.0, 5.0, True), (27.0, 30.0, False), (20.0, 5.0, False)])
def test_images_given_back_are_no_gain_where_a_way_is_lower_than_its_rivals_or_the_ddpm_alone(fd, blur, back):
    lab, fds = made_up(), FDS | {"condition": fd, "condition blur": blur}
    lab.set("mechanisms", fd=lambda record, label, value: fds.get(label, 25.0), own_source_rate=lambda *_: 0.9)
    (row,) = (row for row in verdicts.rows(lab) if row.question.startswith("DIP as a condition"))
    assert (row.better, row.given_back, row.new) == ((None, True, False) if back else (False, False, False))
    assert (row.cost == "") is back is row.verdict.startswith("**no gain**")


def test_who_may_have_given_images_back_is_not_said_to_have_won():
    lab = made_up()
    said = mechanisms.mechanism(lab, "shift")
    lab.set("mechanisms", own_source_rate=lambda *_: np.nan)
    counted = mechanisms.headcount(lab)
    assert "DIP start (t_start 600), 0." in counted and counted.endswith("Better than every control, too: none.")
    assert "DIP-shifted" not in counted and "DIP as a condition" not in counted
    open_ = " (own images not recorded)"
    assert open_ not in said and open_ in mechanisms.mechanism(lab, "shift")
    (row,) = (row for row in verdicts.rows(lab) if row.question.startswith("DIP-shifted process"))
    assert (row.better, row.new) == (None, False) and "not judged" in row.verdict


def test_training_on_dip_outputs_costs_the_dips_seconds_too_unless_all_seconds_are_equal():
    larger = Records()
    for record in larger.seeds("main-on-dip"):
        record.metrics |= {"dip_seconds": 50.0, "train_seconds": 100.0}
    for lab, cost in ((larger, "1.50 \u00d7 time"), (LAB, "none")):
        (row,) = verdicts._outputs(lab)
        gaps = comparisons.outputs(lab)
        assert (row.cost, row.value) == (cost, gaps.get("seconds", gaps["fd"]).value)


def test_who_was_not_held_against_every_control_did_not_beat_them_all():
    lab = made_up()
    lab.profile.groups["mechanisms"] = [member for member in lab.profile.group("mechanisms") if member.label != "shift blur"]
    assert "Better than every control, too: DIP as a condition." in mechanisms.headcount(lab)


def test_a_start_is_said_to_save_time_beyond_the_upper_end(monkeypatch):
    limit = paired(np.log([50.0, 60.0, 80.0]), ratio=True)
    monkeypatch.setattr(comparisons, "measured_cost", lambda *_: (Cost(30, 0, 0.01, 500, 1000), limit))
    lab = Records()
    group = comparisons.started(lab)
    lab.set(group, own_source_rate=lambda *_: 0.001, copy_rate=lambda *_: 0.01, copy_rate_floor=lambda *_: 0.01)
    (row,) = verdicts._starts(lab)
    assert row.cost == f"saves time beyond {number(math.exp(limit.high))} images"


def test_a_priors_seconds_are_paid_once_with_the_model_that_learned_with_it_or_beside_it():
    lab = holding("mechanisms", "main", "main-starts", "main-drawn")
    before = mechanisms.larger(lab)
    for record in before["record"]:
        record.metrics["prior_seconds"] += 1000
    lab.kept = {}
    more = mechanisms.larger(lab)["cost"] - before["cost"]
    beside = np.array([record.run.model.prior is None for record in before["record"]])
    assert beside.any() and (~beside).any() and (more[beside] > 100).all() and np.allclose(more[~beside], 0)
