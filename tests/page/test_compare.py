"""Summaries, paired differences and their correction: against SciPy, NumPy and closed forms."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from dipddpm_utils.judging import stats
from dipddpm_utils.page import compare, names
from dipddpm_utils.page.compare import Copies, Paired, difference, over_seeds, paired, scaled, summary
from dipddpm_utils.page.lab import Lab, once
from dipddpm_utils.page.style import what_interval

NUMBERS = st.lists(st.floats(-100, 100), min_size=2, max_size=8).filter(lambda v: np.std(v) > 1e-6)


def rows(fd, **about):
    """A row per seed."""
    return pd.DataFrame([{"seed": seed, "fd": value, **about} for seed, value in enumerate(fd)])


@given(NUMBERS)
@settings(max_examples=25, deadline=None)
def test_paired_is_the_paired_t_test(values):
    ours = paired(values)
    low, high = scipy_stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy_stats.sem(values))
    assert (ours.low, ours.value, ours.high) == pytest.approx((low, np.mean(values), high), rel=1e-6, abs=1e-9)
    assert ours.p == pytest.approx(scipy_stats.ttest_1samp(values, 0).pvalue, rel=1e-6, abs=1e-12)
    assert ours.p_against(2.0) == pytest.approx(scipy_stats.ttest_1samp(values, 2.0).pvalue, rel=1e-6, abs=1e-12)
    assert ours.decided == (low > 0 or high < 0)  # alone in its family
    assert ours.needed() == stats.pairs_needed(np.mean(values), np.std(values, ddof=1), planned=3)
    assert ours.needed(1.5) == stats.pairs_needed(np.mean(values) - 1.5, np.std(values, ddof=1), planned=3)
    over_images = paired(values, over="images")  # no more of them are drawn after a look
    assert over_images.needed(1.5) == stats.pairs_needed(np.mean(values) - 1.5, np.std(values, ddof=1))


def test_one_seed_is_never_decided_and_none_is_an_error():
    one = paired([3.0])
    assert (
        (one.value, one.n) == (3.0, 1)
        and math.isnan(one.low)
        and math.isnan(one.p)
        and not one.decided
        and one.needed() is None
    )
    with pytest.raises(ValueError, match="differences is empty"):
        paired([])


def test_a_family_is_corrected_together_and_keeps_its_plain_intervals():
    alone = {"a": paired([1.0, 1.1, 1.3]), "b": paired([1.0, 2.0, -0.5]), "c": None, "d": paired([4.0])}
    found = compare.family("start", alone)
    assert list(found) == ["a", "b", "d"] and {gap.of for gap in found.values()} == {2}  # one seed tests nothing
    assert found["a"].p == pytest.approx(2 * alone["a"].p) and found["b"].p == alone["b"].p and math.isnan(found["d"].p)
    assert (found["a"].low, found["a"].high) == (alone["a"].low, alone["a"].high)
    many = compare.family("start", dict.fromkeys(range(40), alone["a"]))
    assert alone["a"].decided and not many[0].decided
    small = replace(many[0], value=0.1)  # so that the level counts
    assert small.needed() == stats.pairs_needed(0.1, np.std([1.0, 1.1, 1.3], ddof=1), 0.05 / 40, 3)
    with pytest.raises(KeyError, match="no family 'guesses'"):
        compare.family("guesses", alone)


@pytest.mark.parametrize(
    ("n", "over", "looks"), [(3, "seeds", 1), (5, "seeds", 3), (8, "images", 1), (12, "rounds", 1), (13, "rounds", 2)]
)
def test_every_added_seed_is_a_look_and_so_is_a_second_sitting(n, over, looks):
    alone = paired([1.0 + 0.1 * i for i in range(n)], over=over)
    found = compare.family("start", {"a": alone})["a"]
    assert alone.looks == looks and found.p == pytest.approx(looks * alone.p) and found.of == 1
    assert compare.family("claims", {"a": scaled(found, -1)})["a"].p == found.p  # in a further family it is no new look


def test_the_rounds_that_it_would_take_are_those_of_a_second_sitting_where_there_was_one():
    values = [0.01 * (-1) ** i + 0.002 for i in range(60)]
    twice, once_only = paired(values, over="rounds"), paired(values[:12], over="rounds")
    for gap, level in ((twice, 0.05 / 2), (once_only, 0.05)):
        spread = gap.error * math.sqrt(gap.n)
        assert gap.needed(0.004) == stats.pairs_needed(gap.value - 0.004, spread, level)
    assert twice.needed(0.004) > stats.pairs_needed(twice.value - 0.004, twice.error * math.sqrt(60))


@given(st.permutations(range(5)), st.permutations(range(5)))
def test_difference_pairs_by_seed_not_by_row(order_a, order_b):
    a = pd.DataFrame({"seed": order_a, "psnr": [10.0 + s**2 for s in order_a]})
    b = pd.DataFrame({"seed": order_b, "psnr": [float(s) for s in order_b]})
    gap = difference(a, b, "psnr")
    assert gap.value == pytest.approx(np.mean([10 + s**2 - s for s in range(5)]))
    assert gap.n == 5 and not gap.ratio


def test_distances_and_seconds_are_compared_as_factors():
    for metric in ("fd", "fd_trained", "train_seconds"):
        gap = difference(*(rows(fd).rename(columns={"fd": metric}) for fd in ([2.0, 4.0], [1.0, 1.0])), metric)
        assert gap.ratio and gap.value == pytest.approx(math.log(8) / 2)


def test_difference_leaves_out_seeds_that_only_one_side_has():
    a, b = rows([1.0, 2.0, 3.0]), rows([1.0, 1.0, 1.0]).assign(seed=[1, 2, 7])
    assert difference(a, b, "fd").n == 2
    assert difference(a, b[b["seed"] == 7], "fd") is None


def test_settings_are_compared_both_ways_round_and_count_once():
    frame = pd.concat([rows([5.0, 6.0, 8.0], value="a"), rows([1.0, 2.0, 2.0], value="b"), rows([9.0, 8.0, 9.0], value="c")])
    found = compare.among(frame, "value", "fd")
    assert len(found) == 6 and {gap.of for gap in found.values()} == {3}
    there, back = found["a", "b"], found["b", "a"]
    assert there == scaled(back, -1) and there.value > 0 and there.p == back.p
    images = frame.assign(image=frame["seed"], seed=0)  # of one seed: nothing but the images can be paired
    assert compare.among(images, "value", "fd", "image")["a", "b"] == replace(there, over="images")


def test_an_effect_is_scaled_with_its_interval():
    effect = paired([0.2, 0.5, 1.4, 0.1])
    assert scaled(effect, -1) == Paired(-effect.high, -effect.value, -effect.low, 4, p=effect.p)


def test_a_summary_of_distances_is_geometric_and_never_reaches_zero():
    one = summary(rows([1.0, 10.0, 100.0]), "fd")
    assert one.value == pytest.approx(10) and one.low * one.high == pytest.approx(100) and one.low > 0
    assert summary(pd.DataFrame({"kid": [0.0, 1.0, 2.0]}), "kid").low < 0
    assert summary(rows([0.0, 1.0, 2.0]), "fd").value == pytest.approx(1)  # zero has no logarithm
    both = pd.concat([rows([1.0, 4.0], std=1), rows([3.0, 3.0], std=2)])
    assert list(over_seeds(both, "std", "fd")["mean"]) == pytest.approx([2.0, 3.0])


def test_a_figure_says_what_its_bars_are_and_that_there_are_none():
    one = over_seeds(pd.DataFrame({"step": [1], "fd": [2.0], "fd_low": [1.0], "fd_high": [3.0], "seed": [0]}), "step", "fd")
    assert what_interval(one, "fd") == "one seed, 95% interval over its images"
    assert what_interval(one.assign(low=math.nan, high=math.nan), "fd") == "one seed, no interval"
    three = over_seeds(rows([1.0, 2.0, 3.0], std=1), "std", "fd")
    assert what_interval(three, "fd") == "geometric mean and 95% t-interval over 3 seeds"
    assert what_interval(pd.concat([one, three]), "psnr") == "mean and 95% t-interval over 1 to 3 seeds, of one over its images"


def test_an_interval_that_says_nothing_is_not_given():
    high = summary(pd.DataFrame({"recall": [0.4, 0.5, 0.6]}), "recall").high
    assert high == pytest.approx(0.5 + 4.303 * 0.1 / math.sqrt(3), abs=1e-3)
    assert math.isnan(summary(pd.DataFrame({"recall": [0.1, 0.5, 0.9]}), "recall").low)  # [0, 1] is all that there is
    assert summary(pd.DataFrame({"recall": [0.01, 0.0, 0.01]}), "recall").low == 0
    assert summary(pd.DataFrame({"recall": [0.99, 1.0, 0.99]}), "recall").high == 1


def test_a_single_row_keeps_its_own_interval_and_may_have_none():
    row = pd.DataFrame([{"fd": 14.2, "fd_low": 13.1, "fd_high": 15.0, "kid": 0.01, "recall": None}])
    assert (summary(row, "fd").low, summary(row, "fd").high, summary(row, "fd").n) == (13.1, 15.0, 1)
    assert math.isnan(summary(row, "kid").low)
    assert summary(row, "recall") is None and summary(row, "absent") is None
    assert math.isnan(summary(row.assign(fd_low=None, fd_high=None), "fd").high)  # an FID has no bootstrap interval


def starts(**fds):
    """Made-up chains: 'dip600' = FDs of three seeds started from DIP outputs at t = 600."""
    parts = [
        rows(fd, label=name.rstrip("0123456789"), value=int(name.lstrip("abcdefghijklmnop qrstuvwxyz")))
        for name, fd in fds.items()
    ]
    return pd.concat(parts, ignore_index=True)


NOISE = {"noise300": [10.0, 11.0, 12.0], "noise600": [10.0, 11.0, 12.0]}


def test_the_best_start_pays_for_being_chosen():
    frame = starts(dip300=[9.0, 10.0, 11.5], dip600=[5.0, 5.4, 6.1], **NOISE)
    t_start, gap, own = compare.best_start(frame, "dip")
    plain = difference(own, frame[(frame["label"] == "noise") & (frame["value"] == 600)], "fd")
    assert t_start == 600 and gap.value == plain.value and gap.p == pytest.approx(2 * plain.p) and gap.of == 2
    assert list(own["fd"]) == [5.0, 5.4, 6.1] and compare.best_start(frame, "nothing") is None


def test_the_rival_is_the_best_start_without_a_dip_at_the_same_step():
    better = {"blur600": [6.0, 6.1, 6.2], "mean600": [90.0, 91.0, 92.0], "gaussian300": [1.0, 1.0, 1.1]}
    frame = starts(dip300=[9.0, 10.0, 11.5], dip600=[5.0, 5.4, 6.1], **better, **NOISE)
    _, _, own = compare.best_start(frame, "dip")
    label, gap = compare.best_rival(frame, own)
    assert label == "blur" and gap.value < 0 and gap.of == 3
    assert compare.best_rival(frame[~frame["label"].isin(names.starts(dip=False))], own) is None


@pytest.mark.parametrize(
    ("first", "second", "images"),
    [
        ((0.01, 0.02), (0.3, 0.4), False),
        ((0.2, 0.3), (0.3, 0.4), True),
        (None, (0.3, 0.4), True),
        (None, (0.0, 0.01), False),
        ((0.05, 0.05), (0.3, 0.4), True),
        ((0.04, 0.05), (0.3, 0.4), False),
    ],
)
def test_models_draw_images_if_all_that_have_a_recall_have_enough(first, second, images):
    frames = [rows([1.0, 2.0]) if recall is None else rows([1.0, 2.0]).assign(recall=recall) for recall in (first, second)]
    assert compare.draws_images(*frames) is images
    for metric, judged in (
        ("fd", images),
        ("kid", images),
        ("precision", images),
        ("psnr", True),
    ):  # what is no quality of models needs no images
        assert difference(*(frame.rename(columns={"fd": metric}) for frame in frames), metric).images is judged
    if first and second:
        assert difference(*frames, "recall").images is images


def test_what_sentences_share_is_computed_once_a_lab():
    asked = []

    @once
    def costly(lab):
        asked.append(lab)
        return len(asked)

    one, other = SimpleNamespace(kept={}), SimpleNamespace(kept={})
    assert [costly(one), costly(one), costly(other), costly(one)] == [1, 1, 2, 1]


def test_a_lab_that_shares_what_it_used_with_another_profiles_takes_no_record_of_it():
    own, other = Lab("standard"), Lab("quick")
    own.store.records_only = other.store.records_only = True
    other.used = own.used
    names = {own.record("gaussian").folder.parts[-3], other.record("gaussian").folder.parts[-3]}
    assert names == {"standard", "quick"} and len(own.used) == 2


@pytest.mark.parametrize(
    ("looks", "source", "many"),
    [(0.02, math.nan, False), (0.021, math.nan, True), (0.0, 0.05, False), (0.0, 0.051, True)],
)
def test_more_than_twice_the_usual_or_a_twentieth_of_sources_are_many(looks, source, many):
    assert Copies(looks, 0.01, source).many is many


def test_a_share_of_copies_is_of_the_own_source_only_where_a_chain_has_one():
    of = {"copy_rate": 0.02, "copy_rate_floor": 0.01, "own_source_rate": 0.3}
    for label, has_source, share in (
        ("dip", True, 0.3),
        ("start dip blur", True, 0.3),
        ("gaussian", False, 0.02),
        ("?", False, 0.02),
    ):
        found = compare.copies(rows([1.0, 2.0], label=label, **of))
        assert (found.has_source, found.share) == (has_source, share)
    assert compare.copies(rows([1.0, 2.0], **of)).share == 0.3
    assert Copies(0.02, 0.01, 0.05).share == 0.02


def test_a_start_that_copies_is_best_only_where_all_do():
    frame = starts(dip300=[9.0, 10.0, 11.5], dip600=[5.0, 5.4, 6.1], **NOISE)
    frame["own_source_rate"] = np.where(frame["value"] == 600, 0.5, 0.0)
    assert compare.best_start(frame, "dip")[0] == 300
    assert compare.best_start(frame.assign(own_source_rate=0.5), "dip")[0] == 600


@pytest.mark.parametrize("metric", ["fd", "kid"])
def test_two_rows_have_a_mean_and_no_interval(metric):
    two = summary(pd.DataFrame({metric: [1.0, 4.0]}), metric)
    assert two.value == pytest.approx(2.0 if metric == "fd" else 2.5) and two.n == 2
    assert math.isnan(two.low) and math.isnan(two.high)
