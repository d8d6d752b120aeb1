"""Tables have a row per setting; numbers as text."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labs import NETS, Records

from dipddpm_utils.dip.findings import first_weights
from dipddpm_utils.judging.stats import Interval
from dipddpm_utils.page import lab, prose, tables
from dipddpm_utils.page.compare import difference, family, frame_of, paired
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import decimals, effect, ends, factor, number, shown_by, span
from dipddpm_utils.reports.tables import theirs_and_ours

LAB = Records()


def test_tables_have_a_row_a_setting_and_name_their_intervals():
    dips = tables.dip_table({net: LAB.seeds(f"dip-{net}") for net in NETS})
    assert list(dips["net"]) == ["2conv", "5conv", "ResNet-18", "skip hourglass"]
    assert dips["PSNR restored (dB)"].str.contains(r"\[").all()
    quality = tables.quality_table({"alone": frame_of(LAB.seeds("ddpm"))}, LAB.record("floor"))
    assert list(quality[""]) == ["alone", "real against real"] and quality["times the floor"].iloc[-1] == "1"
    sweep = tables.sweep_table({"std": LAB.frame("std")}, {"psnr": "PSNR", "fd": "FD"})
    assert list(sweep["PSNR, against the anchor"]).count("anchor") == 1 and len(sweep) == LAB.frame("std")["value"].nunique()
    assert sweep["FD, against the anchor"].str.contains("a factor of").sum() == len(sweep) - 1


def test_a_setting_stands_against_the_anchor_and_a_start_says_what_prior_and_drawing_took():
    rows = [
        {"seed": seed, "value": value, "anchor": value == 1, "fd": fd}
        for seed in range(3)
        for value, fd in ((1, 2.0), (2, 8.0))
    ]
    table = tables.sweep_table({"rate": pd.DataFrame(rows)}, {"fd": "FD"}).set_index("value")
    assert table.loc["2", "FD, against the anchor"].startswith("a factor of 4.00")
    frame = LAB.frame("starts").assign(prior_seconds=12.0, sampling_seconds=3.0)
    assert set(tables.start_table(frame)["seconds, prior + drawing"]) == {"12 + 3"}


def test_a_caption_names_the_row_that_leads_among_all_but_real_images():
    frame = pd.DataFrame(
        {"net": ["a", "b", "real against real"], "FD-X": ["2\u202f000", "3.5 [3.1, 3.9]", "0.1"], "PSNR": ["", "9", ""]}
    )
    assert tables.leads(frame, "FD", "nets") == "Lowest FD-X among 2 nets: b (3.5 [3.1, 3.9])."
    assert tables.leads(frame, "FD", "nets", most=True, what="distance") == "Highest distance among 2 nets: a (2\u202f000)."
    assert tables.leads(frame, "PSNR", "nets") == "Lowest PSNR among 1 nets: b (9)."
    near = pd.DataFrame({"net": ["a", "b"], "FD": ["8.2 [6.9, 9.7]", "9.6"]})
    assert tables.leads(near, "FD", "nets") == "Lowest FD among 2 nets: a (8.2 [6.9, 9.7]), the next inside its interval."
    assert tables.leads(frame.iloc[:0], "FD", "nets") == "" == tables.leads(frame.iloc[:1], "PSNR", "nets")
    starts = pd.DataFrame({"start": ["x"], "t_start (calls)": ["150 (3)"], "FD-X": ["1.0"]})
    assert tables.leads(starts, "FD", "starts") == "Lowest FD-X among 1 starts: x, t_start 150 (1.0)."


def test_settings_that_differ_are_counted_where_both_are_known_and_were_set():
    theirs = {"rate": "1", "batch": "4", "parameters": "7", "sampler": "not printed"}
    ours = {"rate": "\u2260 2", "batch": "4", "parameters": "\u2260 8", "sampler": "\u2260 DDIM"}
    said = tables.marked({"A: theirs": theirs, "A: ours": ours})
    assert said == "1 of 2 settings of ours differ (\u2260), parameters and seconds not counted."
    assert tables.marked({"small": ours}) == ""


def test_a_start_is_compared_with_noise_and_says_what_for():
    frame = LAB.frame("starts")
    starts = tables.start_table(frame)
    assert len(starts) == frame.groupby(["label", "value"]).ngroups
    noise = starts["start"] == "DDPM alone"
    assert (starts[noise]["over noise"] == "").all()
    assert starts["t_start (calls)"].str.startswith("whole chain (").eq(noise).all()
    alone = tables.leads(starts[noise], starts.columns[2], "rows", what="FD")
    assert " rows: DDPM alone, whole chain (" in alone, alone
    steps = frame["value"].nunique()
    assert starts[~noise]["over noise"].str.contains(f"Holm over {steps}").all()
    assert (starts["DIP over it"] == "")[starts["start"].isin([look("dip").label, look("real").label])].all()
    own, rival = (frame[(frame["label"] == name) & (frame["value"] == 300)] for name in ("dip", "blur"))
    here = (starts["start"] == look("blur").label) & starts["t_start (calls)"].str.startswith("300 ")
    (row,) = starts[here].to_dict("records")
    assert row["DIP over it"].startswith(factor(difference(own, rival, "fd")))


@given(st.floats(0.01, 1e6))
def test_numbers_keep_three_digits(value):
    assert float(number(value).replace("\u202f", "")) == pytest.approx(value, rel=0.006)


def test_numbers_as_text():
    assert [decimals(x) for x in (14.2, 0.0412, 1234.0, 0.0, 1e-12)] == [1, 4, 0, 2, 5]
    assert number(1_500_000) == "1\u202f500\u202f000"
    assert number(float("nan")) == number(None) == "not known"
    assert ends([1.5, 1.18, 1.3]) == "1.2 to 1.5" and ends((1.02, 1.0)) == "1.0"
    gap = paired([6.2, 6.3, 6.4])
    assert span(Interval(1.99, 5.59, 15.66, 3)) == "5.59 [1.99, 15.66]"  # however wide
    assert span(gap) == "6.30 [6.05, 6.55]" and span(gap, "+") == "+6.30 [+6.05, +6.55]" == effect(gap)
    assert effect(gap, "dB") == "+6.30 [+6.05, +6.55] dB" and span(None) == effect(None) == ""
    assert factor(paired([math.log(2)], ratio=True)) == "2.00"
    assert effect(paired([math.log(2)] * 2, ratio=True), "FD") == "a factor of 2.00 [2.00, 2.00]"


def test_what_a_verdict_rests_on():
    gaps = family("start", {"a": paired([1.0, 1.1, 1.3]), "b": paired([1.0, 2.0, -0.5])})
    assert shown_by(gaps["a"]) == "p = 0.012, Holm over 2" and shown_by(paired([1.0, 2.0, -0.5])) == "p = 0.37"
    near = [shown_by(replace(gaps["a"], p=p, of=1)) for p in (0.0499, 0.0502, 0.0512)]
    assert near == ["p = 0.0499", "p = 0.0502", "p = 0.051"]
    assert shown_by(paired([1.0])) == "" and shown_by(paired([1.0, 1.0])) == "p < 0.001"


def test_a_shown_table_has_links_wraps_sentences_and_lets_no_markup_in(monkeypatch):
    seen = []
    monkeypatch.setattr(lab, "display", lambda shown: seen.append(shown.data))
    frame = pd.DataFrame([{"a <b>": "x & y", "number": 1.23456, "figure": prose.Link("04_x", '04 "x".ipynb')}])
    monkeypatch.setattr(lab.files, "write_text", lambda *_: None)
    Records().table(frame, "x", "Of <i>")
    assert "<th>a &lt;b&gt;</th>" in seen[0] and "x &amp; y" in seen[0] and "<caption>Of &lt;i&gt; <a href=" in seen[0]
    assert '<a href="04 &quot;x&quot;.ipynb">04_x</a>' in seen[0] and ">1.235<" in seen[0] and "wordy" not in seen[0]
    Records().table(frame.assign(figure="a sentence of many words that no line of a table can hold, and more"), "x", "Long")
    assert 'class="dataframe wordy"' in seen[1]


def test_settings_are_those_of_the_records_and_differences_from_the_reports_are_marked():
    alone, rows = LAB.seeds("ddpm"), tables.DDPM_SETTINGS
    own = tables.settings_of(alone, rows)
    optim = alone[0].run.optim
    assert own["batch, steps"] == f"{optim.batch_size}, {prose.count(optim.steps)}" and set(own) == set(rows)
    columns = theirs_and_ours(LAB, {"B": "b-ddpm"}, rows)
    theirs, ours = columns["B: theirs"], columns["B: ours"]
    assert theirs["parameters"] == "606\u202f852" and theirs["optimiser"] == "Adam" and ours["optimiser"] == "≠ Muon"
    told = [row for row in rows if row in theirs and not theirs[row].startswith("not ")]
    assert all(ours[row] == theirs[row] for row in told if not ours[row].startswith("≠"))
    assert theirs["sampler"] == "not noted" and not ours["sampler"].startswith("≠")
    assert own["t in training"] == "logit-normal"
    assert tables.settings_of(LAB.seeds("ddpm-long"), rows)["t in training"] == "logit-normal, mean 0.4"
    table = tables.settings_table({"alone": own, **columns}, rows)
    assert list(table["setting"]) == list(rows) and list(table) == ["setting", "alone", *columns]
    images = tables.settings_table({"skip": tables.settings_of([LAB.record("dip-images-skip")], tables.IMAGE_SETTINGS)}, rows)
    assert images.empty


def test_what_resnet18_began_with_is_said_where_it_is_seen():
    said = first_weights([LAB.record("dip-resnet18"), LAB.record("dip-2conv")])
    assert said.startswith("ResNet-18 began with ") and "weights" in said and first_weights([LAB.record("dip-2conv")]) == ""


def test_resnet_is_said_to_have_random_weights_wherever_it_is_read_and_had_them():
    lab = Records()
    assert lab.random_weights("ResNet-18 and 2conv") == ""  # none is drawn yet
    lab.seeds("a-resnet18")
    assert lab.random_weights("ResNet-18 and 2conv") == " ResNet-18 has random weights." and lab.random_weights("2conv") == ""
    assert lab.random_weights("a-resnet18, or ResNet18 as report A writes it") == " ResNet-18 has random weights."
    assert lab.random_weights("ResNet-18 (random weights)") == ""


def _shown(lab, monkeypatch):
    """The folded table and caption that `lab.provenance` shows."""
    kept = []
    monkeypatch.setattr(lab, "table", lambda frame, name, caption, shown, folded: kept.append((frame, caption, shown)))
    lab.provenance("00_provenance")
    return kept


def test_provenance_has_a_row_a_machine_and_says_whether_all_trees_were_clean(monkeypatch):
    lab = Records("quick")
    assert _shown(lab, monkeypatch) == []  # nothing is drawn yet: said in words
    records = lab.seeds("ddpm")
    ((frame, caption, shown),) = _shown(lab, monkeypatch)
    assert list(frame["record"]) == [record.name for record in records] and shown["records"].sum() == len(records)
    assert float(shown["minutes"].iloc[0]) == pytest.approx(sum(record.seconds for record in records) / 60, abs=0.06)
    assert "all from clean checkouts" in caption and f"the {len(records)} records" in caption
    records[0].provenance = {**records[0].provenance, "code": {**records[0].provenance["code"], "dirty": True}}
    ((_, caption, shown),) = _shown(lab, monkeypatch)
    assert "1 of them from code with uncommitted changes" in caption and "*" in shown["code: commits"][0]
