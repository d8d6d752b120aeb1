"""Summaries, paired differences and tables: against SciPy, NumPy and closed forms."""

import math

import numpy as np
import pandas as pd
import pytest
from fake_records import NETS, FakeLab
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from dipddpm_utils.page import tables
from dipddpm_utils.page.compare import best_control, best_start, difference, frame_of, over_seeds, paired, slope, summary
from dipddpm_utils.page.words import decimals, factor, number, signed, span

LAB = FakeLab()
NUMBERS = st.lists(st.floats(-100, 100), min_size=2, max_size=8).filter(lambda v: np.std(v) > 1e-6)


@given(NUMBERS)
@settings(max_examples=25, deadline=None)
def test_paired_is_students_t(values):
    ours = paired(values)
    low, high = scipy_stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy_stats.sem(values))
    assert (ours.low, ours.value, ours.high) == pytest.approx((low, np.mean(values), high), rel=1e-6, abs=1e-9)
    assert ours.decided == (low > 0 or high < 0)


@given(NUMBERS)
@settings(max_examples=25, deadline=None)
def test_needed_is_the_first_number_of_seeds_that_would_decide(values):
    needed, mean, sd = paired(values).needed, abs(np.mean(values)), np.std(values, ddof=1)

    def decides(n):
        return scipy_stats.t.ppf(0.975, n - 1) * sd / math.sqrt(n) < mean

    if needed is None:
        assert not decides(900)
    else:
        assert decides(needed) and (needed == 2 or not decides(needed - 1))


def test_one_seed_is_never_decided_and_none_is_an_error():
    assert paired([3.0]) == type(paired([3.0]))(3.0, None, None, 1, None)
    assert not paired([3.0]).decided
    with pytest.raises(ValueError, match="differences is empty"):
        paired([])


@given(st.permutations(range(5)), st.permutations(range(5)))
def test_difference_pairs_by_seed_not_by_row(order_a, order_b):
    a = pd.DataFrame({"seed": order_a, "fd": [10.0 + s**2 for s in order_a]})
    b = pd.DataFrame({"seed": order_b, "fd": [float(s) for s in order_b]})
    gap = difference(a, b, "fd")
    assert gap.value == pytest.approx(np.mean([10 + s**2 - s for s in range(5)]))
    assert gap.n == 5


def test_difference_leaves_out_seeds_that_only_one_side_has():
    a = pd.DataFrame({"seed": [0, 1, 2], "fd": [1.0, 2.0, 3.0]})
    b = pd.DataFrame({"seed": [1, 2, 7], "fd": [1.0, 1.0, 1.0]})
    assert difference(a, b, "fd").n == 2
    assert difference(a, b[b["seed"] == 7], "fd") is None


def test_slope_is_least_squares_for_each_seed():
    x = np.array([0.5, 1.0, 2.0])
    frame = pd.DataFrame([{"seed": s, "value": v, "fd": s + (2 + s) * np.log10(v)} for s in range(3) for v in x])
    assert slope(frame, "fd", log=True).value == pytest.approx(3.0)
    assert slope(frame[frame["value"] == 1.0], "fd") is None  # no slope through one point


def test_a_single_row_keeps_its_own_interval_and_may_have_none():
    row = pd.DataFrame([{"fd": 14.2, "fd_low": 13.1, "fd_high": 15.0, "kid": 0.01, "recall": None}])
    assert span(summary(row, "fd")) == "14.2 [13.1, 15.0]"
    assert span(summary(row, "kid")) == "0.0100"
    assert summary(row, "recall") is None and summary(row, "absent") is None
    assert span(summary(row.assign(fd_low=None, fd_high=None), "fd")) == "14.2"  # an FID has no bootstrap interval


def test_over_seeds_has_a_row_a_setting():
    frame = LAB.frame("std")
    rows = over_seeds(frame, "value", "fd")
    assert list(rows["x"]) == list(dict.fromkeys(frame["value"])) and (rows["n"] == 3).all()
    assert ((rows["low"] < rows["mean"]) & (rows["mean"] < rows["high"])).all()


def test_the_best_start_is_judged_by_a_wider_interval():
    frame = LAB.frame("starts")
    t_start, gap, rows = best_start(frame, "real")
    plain = difference(rows, frame[(frame["label"] == "noise") & (frame["value"] == t_start)], "fd", ratio=True)
    assert gap.value == pytest.approx(plain.value) and gap.high - gap.low > plain.high - plain.low
    assert best_start(frame, "nothing") is None
    assert best_control(frame)[0] == "blur"
    assert best_control(frame[frame["label"].isin(["dip", "noise"])]) is None


def test_tables_have_a_row_a_setting_and_name_their_intervals():
    dips = tables.dip_table({net: LAB.seeds(f"dip-{net}") for net in NETS}, {})
    assert list(dips["net"]) == list(NETS) and dips["PSNR restored (dB)"].str.contains(r"\[").all()
    quality = tables.quality_table({"alone": frame_of(LAB.seeds("ddpm"))}, LAB.record("floor"))
    assert list(quality[""]) == ["alone", "real against real"] and quality["times the floor"].iloc[-1] == "1"
    sweep = tables.sweep_table({"std": LAB.frame("std")}, {"psnr": "PSNR"})
    assert list(sweep["PSNR, from the anchor"]).count("anchor") == 1
    starts = tables.start_table(LAB.frame("starts"))
    assert (starts[starts["start"] == "noise"]["ratio to noise"] == "").all()
    assert len(starts) == LAB.frame("starts").groupby(["label", "value"]).ngroups


@given(st.floats(0.01, 1e6))
def test_numbers_keep_three_digits(value):
    assert float(number(value).replace("\u202f", "")) == pytest.approx(value, rel=0.006)


def test_numbers_as_text():
    assert [decimals(x) for x in (14.2, 0.0412, 1234.0, 0.0, 1e-12)] == [1, 4, 0, 2, 5]
    assert number(1_500_000) == "1\u202f500\u202f000"
    assert number(float("nan")) == number(None) == "not known"
    assert signed(paired([6.2, 6.3, 6.4])) == "+6.30 [+6.05, +6.55]"
    assert factor(paired([math.log(2)])) == "2.00"


def test_a_shown_table_has_links_wraps_sentences_and_lets_no_markup_in(monkeypatch):
    import IPython.display

    from dipddpm_utils.page.lab import Lab
    from dipddpm_utils.page.words import Link

    seen = []
    monkeypatch.setattr(IPython.display, "display", lambda shown: seen.append(shown.data))
    frame = pd.DataFrame([{"a <b>": "x & y", "number": 1.23456, "figure": Link("04_x", '04 "x".ipynb')}])
    Lab.show(None, frame, "Of <i>")
    assert "<th>a &lt;b&gt;</th>" in seen[0] and "x &amp; y" in seen[0] and "<caption>Of &lt;i&gt;</caption>" in seen[0]
    assert '<a href="04 &quot;x&quot;.ipynb">04_x</a>' in seen[0] and ">1.235<" in seen[0] and "wordy" not in seen[0]
    Lab.show(None, frame.assign(figure="a sentence of many words that no line of a table can hold, and more"), "Long")
    assert 'class="dataframe wordy"' in seen[1]
