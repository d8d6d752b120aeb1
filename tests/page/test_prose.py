"""Sentences say what the records hold, and change when the records do."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from labs import NETS, Records

from dipddpm_utils.combined import comparisons, conclusions
from dipddpm_utils.combined import findings as findings_combined
from dipddpm_utils.dip import findings as dip_findings
from dipddpm_utils.judging.stats import Interval
from dipddpm_utils.page import names, prose, speed, training
from dipddpm_utils.page.compare import Copies, difference, family, frame_of, paired, summary
from dipddpm_utils.page.names import begun_from
from dipddpm_utils.page.prose import count, span
from dipddpm_utils.reports.evidence_starts import outputs_alone
from dipddpm_utils.stopping import findings as findings_stopping
from dipddpm_utils.theory import findings as theory_findings
from dipddpm_utils.theory.gaussian import Cost

LAB = Records()
OURS = ("main", "ddpm", "ddpm-on-dip", "ddpm-long", "ddpm-more", "samplers", "starts", "mechanisms", "restore")
FLOOR = SimpleNamespace(metrics={"fd": 2.26, "n": 2000}, evals=pd.DataFrame({"n": [2000], "fd": [2.26]}))
METRICS = {"features": "FD-MNIST", "n": 2000, "fd": 14.2, "fd_low": 13.1, "fd_high": 15.0}


def record(**more):
    return SimpleNamespace(name="x-s0", seed=0, metrics=METRICS | more)


def test_a_distance_names_its_features_n_interval_and_floor():
    said = prose.distance([record()], FLOOR)
    assert said == "FD-MNIST 14.2 [13.1, 15.0] (n = 2000), 5.8 to 6.6 times the real-vs-real floor of 2.26"
    assert prose.distance([record(n=500)], FLOOR).endswith("floor of 2.26 at n = 2000")
    assert prose.distance([record()]) == "FD-MNIST 14.2 [13.1, 15.0] (n = 2000)"
    drawn = record(sampler="ddim eta 1", nfe=50)
    assert prose.distance([drawn]) == "FD-MNIST 14.2 [13.1, 15.0] (n = 2000, DDIM with eta 1, 50 calls)"
    assert prose.distance([record(features="FID", fd_low=None, fd_high=None)]) == "FID 14.2 (n = 2000)"
    several = [record(draws=3.0), record(draws=3.0, fd=15.2)]
    assert prose.distance(several[:1]) == "FD-MNIST 14.2 [13.1, 15.0] (n = 2000, mean of 3 sets of samples, interval of one)"
    assert prose.distance(several).endswith("2 seeds, mean of 3 sets of samples)")  # which is over the seeds


def test_the_net_nearest_to_real_images_is_that_of_the_lowest_mean_that_is_shown():
    fds = {"2conv": (1.0, 9.0), "5conv": (4.0, 4.5)}  # arithmetic means 5 and 4.25, geometric ones 3 and 4.24
    nets = {
        net: [
            SimpleNamespace(name=f"{net}-s{i}", seed=i, metrics=METRICS | {"fd": fd, "psnr": 20.0}) for i, fd in enumerate(own)
        ]
        for net, own in fds.items()
    }
    assert "the outputs of 2conv have the lowest mean FD-MNIST (3.00" in dip_findings.best_net(nets)


def test_a_distance_is_as_many_times_the_floor_as_both_are_known():
    own, alone = Interval(1.3, 1.4, 1.51, 8), Interval(math.nan, 1.4, math.nan, 1)
    assert prose.over_floor(own, Interval(0.077, 0.136, 0.196, 5)) == "6.6 to 20"
    assert prose.over_floor(alone, Interval(0.077, 0.136, 0.196, 5)) == "7.1 to 18"
    assert prose.over_floor(alone, Interval(math.nan, 0.14, math.nan, 1)) == "10"
    assert prose.over_floor(own, Interval(-0.01, 0.1, 0.2, 5)) == ""  # any number of times
    assert prose.real_images(FLOOR, 2000) == " Real against real: 2.26."
    assert prose.real_images(FLOOR, 500) == " Real against real at n = 2000: 2.26." and prose.real_images(None, 500) == ""


def test_a_narrow_interval_is_seen_to_be_one():
    assert prose.span(Interval(1.0581, 1.0612, 1.0642, 12)) == "1.061 [1.058, 1.064]"
    assert (
        prose.span(Interval(2.0, 2.0, 2.0, 3)) == "2.00 [2.00, 2.00]"
        and prose.span(Interval(1.0, 2.0, 3.0, 3)) == "2.00 [1.00, 3.00]"
    )


def test_of_two_seeds_both_are_said_and_of_others_the_interval():
    frames = [pd.DataFrame({"psnr": values}) for values in ([10.0, 12.0], [10.0], [10.0, 11.0, 12.0])]
    said = ["11.0 (10.0, 12.0)", "10.0", "11.0 [8.5, 13.5]"]
    assert [prose.over_rows(frame, "psnr") for frame in frames] == said
    assert prose.over_rows(frames[0], "ssim") == ""


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([6.0, 6.5, 7.0], "**worse** (p = 0.002)"),
        ([-6.0, -6.5, -7.0], "**better** (p = 0.002)"),
        ([-6.0, 1.0, 7.0], "**not decidable** (p = 0.8"),
        ([6.0], "**not decidable** from one seed"),
    ],
)
def test_a_difference_is_called_one_only_if_the_test_says_so(differences, said):
    sentence = prose.comparison("A minus B", paired(differences), "dB")
    assert said in sentence
    assert (", 3 seeds: " in sentence) == (len(differences) == 3)


@pytest.mark.parametrize(
    ("recalls", "metric", "said"),
    [((0.01, 0.4), "fd", "**higher**"), ((0.3, 0.4), "fd", "**worse**"), ((0.01, 0.02), "train_seconds", "**worse**")],
)
def test_models_that_draw_no_images_give_a_direction_and_no_verdict(recalls, metric, said):
    own, other = (pd.DataFrame({"seed": range(3), metric: at, "recall": r}) for at, r in zip(FAR_APART, recalls, strict=True))
    assert said in prose.comparison("A over B", difference(own, other, metric))
    assert ("a real difference" in prose.comparison("A over B", difference(own, other, metric), **prose.DIFFERS)) is True


FAR_APART = ([20.0, 21.0, 22.0], [10.0, 11.0, 11.2])


def test_a_verdict_is_corrected_and_the_interval_is_not():
    alone = paired([6.0, 6.5, 7.2])
    gap = family("start", dict.fromkeys(range(20), alone))[0]
    before, after = (prose.comparison("A minus B", one, "dB") for one in (alone, gap))
    assert "**worse**" in before and "**not decidable** (p = 0.056, Holm over 20" in after
    assert before.partition("]")[0] == after.partition("]")[0]


def test_an_undecided_difference_says_what_it_would_take_and_what_is_paired():
    gap = paired([1.0, 2.0, -0.5], over="images")
    sentence = prose.comparison("A minus B", gap, "dB")
    assert f"80% power: {gap.needed()} images" in sentence and ", 3 images: " in sentence
    assert prose.comparison("A over B", paired([math.log(2)] * 2, ratio=True)).startswith("A over B: 2.00 [2.00")


def test_shares_too_small_to_print_are_not_printed_as_zero():
    assert [prose.percent(x) for x in (0.123, 0.0, 1e-9)] == ["12%", "0%", "less than 0.01%"]


def test_what_is_nearly_all_is_not_printed_as_all():
    assert [prose.percent(x) for x in (0.99, 0.995, 1.0)] == ["99%", "over 99%", "100%"]


@pytest.mark.parametrize(
    ("source", "looks", "lower"), [(0.0, 0.01, False), (0.9, 0.01, True), (0.0, 0.5, True), (math.nan, 0.01, True)]
)
def test_a_start_that_gives_images_back_or_of_which_nobody_knows_is_lower_and_not_better(source, looks, lower):
    assert prose.direction(Copies(looks, 0.01, source)) == (prose.LOWER if lower else {})


def test_every_finding_is_a_sentence_without_gaps():
    nets = {net: LAB.seeds(f"dip-{net}") for net in NETS}
    images = {net: LAB.record(f"dip-images-{net}") for net in NETS}
    gaussian, long, samplers = LAB.record("gaussian"), LAB.record("ddpm-long"), LAB.frame("samplers")
    said = [
        *(f(gaussian) for f in (theory_findings.checks, theory_findings.mismatch, theory_findings.few_steps)),
        *(f(long) for f in (training.training, training.loss_and_distance)),
        training.loss([long]), conclusions.clocks(LAB), dip_findings.headline(LAB), dip_findings.picked(LAB.seeds("dip_pick")),
        training.best_by_calls(samplers),
        theory_findings.spectrum(LAB.record("spectrum")),
        dip_findings.best_net(nets), dip_findings.peaks(images), dip_findings.best_peak(images),
        comparisons.combined(LAB), comparisons.starts(LAB.frame("starts")), comparisons.equal_seconds(LAB),
        conclusions.instead(LAB), *conclusions.found(LAB), prose.caution(LAB),
        findings_stopping.sweep("std", LAB.frame("std"), "fd", "FD"), *findings_combined.weights(LAB),
        training.drawn({"alone": LAB.seeds("ddpm")}, LAB.record("floor")), training.ends({"alone": LAB.seeds("ddpm")}),
        prose.distance(LAB.seeds("ddpm"), LAB.record("floor")),
    ]  # fmt: skip
    for sentence in said:
        assert sentence.strip() and not re.search(r"\bnan\b|None|\{|\binf\b", sentence), sentence


def test_that_a_sweep_is_decided_is_said_once_above_all_that_are():
    line = findings_stopping.sweep("std", LAB.frame("std"), "fd", "FD")
    said = findings_stopping.told_apart([line])
    assert ": **a real difference** (p" in line and said.startswith("1 of 1 comparisons are decided")
    assert "real difference" not in said and line.partition(": **")[0] in said and "Holm over" in said


def test_a_model_trained_on_dip_outputs_is_compared_with_these_outputs_too():
    lab = Records()
    for record in lab.seeds(comparisons.compared(lab)[1]):
        record.metrics |= {"fd": 8.0, "fd_trained": 2.0}
    assert "to these outputs 2.00 [2.00, 2.00], to real images 8.00 [8.00, 8.00]." in comparisons.combined(lab)


def test_samples_of_another_training_of_their_model_are_counted():
    lab = Records()
    one = next(record for record in lab.all() if record.name == "starts-blur-300-s0")
    before = int(re.match(r"- (\d+) of ", conclusions.trained_again(lab) or "- 0 of ")[1])
    model = lab.record("ddpm-s0")
    of = {True: model.metrics["total_seconds"], False: 1.0}
    counts = []
    for same in (True, False):
        one.metrics["model_seconds"] = of[same]
        counts.append(int(re.match(r"- (\d+) of ", conclusions.trained_again(lab) or "- 0 of ")[1]))
    assert counts == [before, before + 1]
    one.metrics["model_weights"] = model.weights_sha256  # which say more than the seconds
    assert (conclusions.trained_again(lab) or "- 0 of ").startswith(f"- {before} of ")


def test_the_dips_share_of_training_is_the_mean_over_seeds_of_each_ones_own_machine():
    lab = Records()
    own = lab.seeds(comparisons.compared(lab)[1])
    shares = [0.5 + 0.1 * record.seed for record in own]
    for record, share in zip(own, shares, strict=True):
        spent = 60.0 * (1 + record.seed)  # a slower machine
        record.metrics |= {"dip_seconds": share * spent, "train_seconds": spent}
    assert len(own) > 1 and comparisons.dip_share(lab) == pytest.approx(sum(shares) / len(shares))


def test_the_caution_about_clocks_covers_the_trainings_whose_seconds_stand_beside_it():
    lab = Records()
    for group, pace in (("ddpm", 0.1), ("ddpm-more", 0.9)):  # one network, in the caption of one table
        for record in lab.seeds(group):
            record.metrics["train_seconds"] = pace * record.run.optim.steps
    assert "took up to 9.0 (DDPM)" in conclusions.clocks(lab)


def test_break_even_says_never_if_the_prior_saves_nothing():
    assert "A start at t = 500 saves time" in theory_findings.break_even(Cost(30, 0, 0.01, 500, 1000))
    assert "never pays" in theory_findings.break_even(Cost(30, 1, 0.01, 500, 1000))


def test_measured_cost_scales_to_the_whole_chain():
    frame, model = LAB.frame("starts"), LAB.seeds("ddpm")[0]
    cost, limit = comparisons.measured_cost(frame, model)
    noise, dip = (frame[frame["label"] == label] for label in ("noise", "dip"))
    per_call = (noise["sampling_seconds"] / noise["n"] / noise["nfe"]).mean()
    assert cost.chain_seconds == pytest.approx(per_call * dip["nfe_full"].mean()) and cost.T == 1000
    assert cost.prior_seconds == pytest.approx(dip["prior_seconds"].mean())
    slow = frame.assign(start_seconds=1e6)  # a DIP that takes longer to apply than the chain does
    assert "never pays" in theory_findings.break_even(*comparisons.measured_cost(slow, model))


def test_break_even_is_said_at_the_upper_end_of_what_the_seeds_seconds_give():
    frame, model = LAB.frame("starts").assign(start_seconds=0.0), LAB.seeds("ddpm")[0]
    frame["sampling_seconds"] = frame["n"] * frame["nfe"] * 0.01
    frame["prior_seconds"] = frame["seed"].map(lambda seed: 10.0 * 2**seed)
    cost, limit = comparisons.measured_cost(frame, model)
    whole = 0.01 * frame.loc[frame["label"] == "dip", "nfe_full"].iloc[0]
    each = [10.0 * 2**seed / whole / (1 - cost.fraction) for seed in sorted(frame["seed"].unique())]
    assert (limit.n, limit.value) == (len(each), pytest.approx(np.log(each).mean()))
    said = theory_findings.break_even(cost, limit)
    assert f"**{count(np.exp(limit.high))} images**" in said and f"{limit.n} seeds" in said
    assert "with some seeds only" in theory_findings.break_even(cost)


def test_equal_seconds_reads_the_longer_run_at_the_others_total_seconds():
    lab = Records(without=("main",))
    more, on_dip = lab.seeds("ddpm-more"), lab.seeds("ddpm-on-dip")
    for alone, other in zip(more, on_dip, strict=True):
        alone.evals["seconds"] = 100.0 * (1 + np.arange(len(alone.evals)))
        alone.evals["fd"] = 10.0 / 2.0 ** np.arange(len(alone.evals))  # 10 at 100 s, 5 at 200 s
        other.evals["fd"] = 20.0 + other.seed
        alone.metrics.update(total_seconds=150.0, train_seconds=150.0, steps=300)
        other.metrics.update(total_seconds=1e9, steps=200, dip_seconds=50.0)  # its own clock is not read: another day's
    expected = np.mean([np.log(20.0 + seed) for seed in range(len(more))]) - np.log(10 / 2**0.5)
    text = comparisons.equal_seconds(lab)
    assert f": {np.exp(expected):.2f} [" in text and "At equal total seconds" in text
    for alone in more:
        alone.metrics["total_seconds"] = 100.0  # it stopped before: its own end counts, and that is said
    assert "With 33% fewer seconds for the DDPM alone" in comparisons.equal_seconds(lab)


def test_each_dip_start_is_said_to_be_worth_what_its_images_are_without_a_chain():
    alone, said = outputs_alone(LAB, comparisons.started(LAB)), comparisons.without_a_chain(LAB)
    assert set(alone) == set(names.starts(dip=True))
    for start, own in alone.items():
        assert f"{begun_from(start)} have {own['features'].iloc[0]} {span(summary(own, 'fd'))}, recall" in said
        assert f"({len(own)} {'seeds' if start == 'per_image' else 'DIPs'})" in said


def test_whether_a_start_pays_is_said_of_the_dip_that_is_fitted_once_and_of_a_fit_to_each_image_apart(monkeypatch):
    lab, record = Records(), LAB.seeds("main")[0]
    frame = lab.frame("main-starts")
    monkeypatch.setattr(speed, "in_turn", lambda results, row: f"the row {row!r}")
    said = comparisons.pays(lab, frame, record)
    cost = comparisons.measured_cost(frame, record)[0]
    assert (
        cost.prior_seconds > 0 and f"beyond the row 'images beyond which a DIP start at t = {cost.t_start} saves time'" in said
    )
    each = comparisons.measured_cost(frame, record, "per_image")
    assert each[0].prior_seconds == 0 and each[1] is None  # never
    assert f"A fit to each image takes {prose.number(each[0].prior_seconds_per_image)} s" in said and "it never pays." in said
    free = frame.assign(start_seconds=frame["start_seconds"].where(frame["label"] != "per_image", 0.0))
    assert "it pays from the first image on." in comparisons.pays(lab, free, record)
    small = Records("quick")
    assert "the row" not in comparisons.pays(small, small.frame("starts"), small.seeds("ddpm")[0])  # of other models


def test_the_answer_and_the_readme_follow_the_records():
    def said(factor):
        lab = Records()
        group = comparisons.started(lab)
        fds = {value: [100.0, 101.0, 103.0] for _, value, _ in lab.members(group)}
        lab.set(
            group,
            fd=lambda record, label, value: fds[value][record.seed % 3] * (factor if label in names.starts(dip=True) else 1.0),
        )
        return next(x for x in conclusions.found(lab) if "The DIP start that does best" in x)

    assert "**higher**" in said(3.0) and "**lower**" in said(0.3)  # no verdict: its samples are given back
    bare = Records(without=(*OURS, "main-starts", "stopping", "a-ddpm", "b-ddpm"))
    assert conclusions.found(bare) == []
    assert "mean nothing else" in prose.caution(SimpleNamespace(profile=SimpleNamespace(name="smoke", about="")))
    own = SimpleNamespace(profile=SimpleNamespace(name="quick:/somewhere/cats", about=""))
    assert "**quick** profile." in prose.caution(own)


def test_a_profile_of_the_two_reports_alone_is_tolerated():
    lab = Records(without=OURS)
    assert conclusions.instead(lab) == prose.NOT_MEASURED
    assert re.search(
        r"\*\*More training\*\* .* \(p = [\d.]+\)\. One comparison, in no family: p is not corrected\.",
        conclusions.instead(LAB),
    )


def test_the_bound_on_starts_is_said_where_it_was_recorded():
    starts = pd.DataFrame(
        {"label": ["dip", "dip", "blur", "real"], "value": 900, "start_tv_bound": [0.95, 0.97, 1.0, math.nan]}
    )
    said = "The bound on the total variation is {} or more in all 2 cases; a bound of 1 excludes nothing."
    assert comparisons.start_bound(starts) == said.format("0.96")
    assert comparisons.start_bound(starts[starts["label"] == "real"]) == prose.NOT_MEASURED  # nothing stands for another image


def test_frames_carry_name_and_seed():
    assert list(frame_of(LAB.seeds("ddpm"))["seed"]) == [0, 1, 2]


def test_what_runs_took_on_gpus_counts_the_minutes_in_which_any_ran():
    def record(device, name, start, end):
        times = {key: f"2026-11-27T12:{minute:02d}:00+00:00" for key, minute in (("start", start), ("end", end))}
        return SimpleNamespace(provenance={"device": device, "device_name": name, **times})

    spans = ((0, 4), (1, 3), (3, 6))
    together = [*(record("cuda", "A", *span) for span in spans), record("cpu", "x", 0, 59)]
    said = speed.on_gpus([*together, record("cuda:0", "B", 10, 12)], "full")
    one = "1 run of `full` in 2.0 minutes of one B"
    assert said == f"Measured: 3 runs of `full` in 6.0 minutes of one A, up to 2 at a time; {one}."
    apart = [together[0], record("cuda", "A", 10, 13)]
    assert speed.on_gpus(apart, "full") == "Measured: 2 runs of `full` in 7.0 minutes of one A."
    assert speed.on_gpus(together[-1:], "full") == ""
