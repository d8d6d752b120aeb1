"""Benchmarks without their clocks: arithmetic on curves, rows to files and sentences, and report B's network."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import __main__ as bench
from benchmarks import bundle, dip_images, growth, one_sitting, own_size, pairs, report_b, seconds_to_quality
from dipddpm_utils.config import Data
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import unet
from dipddpm_utils.judging.stats import Interval
from dipddpm_utils.page import speed
from dipddpm_utils.store import runs
from dipddpm_utils.study import profile


def power(a, b, times):
    return [(s, a * s**-b) for s in times]


def test_seconds_at_is_exact_on_power_laws():
    curve = power(100.0, 1.5, [2, 4, 9, 30])
    for level in (10.0, 3.0, 1.0):
        assert seconds_to_quality.seconds_at(curve, level) == pytest.approx((100.0 / level) ** (1 / 1.5))
    assert seconds_to_quality.seconds_at(curve, 1e3) == 2  # reached by the first look: not later than that
    assert seconds_to_quality.seconds_at(curve, 1e-3) is None
    bumpy = [(1, 100.0), (2, 400.0), (4, 100 / 4)]  # a worse look in between is no progress
    assert seconds_to_quality.seconds_at(bumpy, 50.0) == pytest.approx(2.0)
    assert seconds_to_quality.seconds_at([(1, 5.0), (2, 5.0)], 5.0) == 1


def looks(a, b, times):
    """The same as a program's looks: distances with their intervals, a tenth either way."""
    return {s: Interval(0.9 * fd, fd, 1.1 * fd, 500) for s, fd in power(a, b, times)}


def test_how_much_sooner_is_the_closed_form_at_the_lowest_common_level():
    ours, peer = (SimpleNamespace(name=name, parameters=1e6, batch=64) for name in ("ours", "peer"))
    mine, theirs = looks(100.0, 1.0, [1, 10, 100]), looks(3000.0, 1.0, [3, 30, 150])
    found = seconds_to_quality.sooner(ours, mine, peer, theirs, 5.0, "judged so")
    assert found.value == pytest.approx(30.0) and found.spread == pytest.approx((27.0, 33.0))
    assert found.note.startswith("at FD 20, the lowest that both reach: after 150 s and 5 s;") and found.met is None
    steeper = seconds_to_quality.sooner(ours, looks(100.0, 2.0, [1, 10]), peer, theirs, 5.0, "judged so")
    assert steeper.value == pytest.approx(150 / np.sqrt(100 / 20))
    behind = seconds_to_quality.sooner(ours, looks(100.0, 1.0, [1, 4]), peer, theirs, 5.0, "judged so")  # the peer goes on
    assert behind.note.startswith("at FD 25,") and behind.value == pytest.approx(30.0)
    assert behind.spread == pytest.approx((30.0, 33.0))  # below its own last look nothing is known of ours


def test_exponent_is_the_power():
    x = np.array([1.0, 3.0, 10.0])
    assert growth.exponent(x, 7 * x**1.8) == pytest.approx(1.8)
    with pytest.raises(ValueError, match="above zero"):
        growth.exponent([1, 2], [0, 1])


def test_medians_and_quartiles_decide_whether_a_target_is_met():
    low = pairs.row("a", [5.0, 1.0, 3.0, 2.0, 4.0], at_most=3.0)
    assert (low.value, low.spread, low.target, low.met) == (3.0, (2.0, 4.0), 3.0, True)
    assert pairs.row("a", [1.0, 2.0, 9.0], at_most=1.5).met is False
    high = pairs.row("a", [1.0, 2.0, 9.0], "x", at_least=2.5)
    assert (high.target, high.met, pairs.row("a", [3.0], at_least=2.5).met) == (2.5, False, True)
    assert pairs.row("a", [1.0]).met is None
    calls = []
    row = pairs.times_faster("r", lambda: calls.append("ours"), lambda: calls.append("peer"), None, pairs=2)
    assert calls == ["ours", "peer"] * 3 and row.met is None and row.unit == "times faster"


ROWS = [
    pairs.Row("step against peer", 5.25, 4.0, "times faster", (5.0, 5.5), np.bool_(True), "ours 1 s"),
    pairs.Row("distance", np.float64(12.0), 11.0, "times the floor", (11.5, 12.5), False),
    pairs.Row("values apart", 3e-15, 1e-6, "relative", (3e-15, 3e-15), True),
    pairs.Row("growth", 1.0, None, "exponent", (0.9, 1.1), None),
]
CURVES = [
    pairs.Curve("quality", label, "training seconds", "FD", (1.0, 2.0), (9.0, 3.0), (8.0, 2.0), (10.0, 4.0))
    for label in ("ours", "diffusers")
] + [pairs.Curve("growth", "a step", by, "s", (1.0, 2.0), (1.0, 2.0)) for by in ("batch", "width")]


@pytest.fixture
def kept(tmp_path):
    content = {
        "rows": [{"program": "growth", "machine": "one", **row.plain()} for row in ROWS[3:]]
        + [{"program": "training_step", "machine": "one", **row.plain()} for row in ROWS[:3]]
        + [{"program": "no_longer_there", "machine": "one", **ROWS[0].plain()}],
        "curves": [{"program": "growth", "machine": "one", **curve.plain()} for curve in CURVES],
    }
    bench.keep(tmp_path / "bench", torch.device("cpu"), content)
    return tmp_path


def test_rows_become_json_a_table_and_plots(kept):
    stored = json.loads((kept / "bench" / "cpu.json").read_text())
    assert [row["name"] for row in stored["rows"]] == [row.name for row in ROWS]  # in the programs' order, old ones gone
    assert stored["machine"]["threads"] >= 1 and stored["rows"][0]["spread"] == [5.0, 5.5]
    table = pd.read_csv(kept / "bench" / "cpu.csv").astype(object).fillna("")
    assert list(table["met"]) == ["yes", "no", "yes", ""] and table["value"][0] == "5.25 times as fast"
    assert {path.name for path in (kept / "bench").glob("*.png")} == {"cpu-quality.png", "cpu-growth.png"}
    figure = speed.curves(stored, "growth")
    assert [ax.get_xlabel() for ax in figure.axes] == ["batch", "width"]
    quality = speed.curves(stored, "quality").axes[0]
    assert [text.get_text() for text in quality.get_legend().get_texts()] == ["ours", "diffusers"]
    np.testing.assert_array_equal(quality.lines[0].get_ydata(), [9.0, 3.0])
    assert speed.curves(stored, "samplers") is None
    again = bench._kept(kept / "bench", torch.device("cpu"))
    assert len(again["rows"]) == 4 and bench._kept(None, torch.device("cpu")) == {"rows": [], "curves": []}


def test_the_summary_says_each_ratio_and_names_what_is_not_met(kept, tmp_path):
    said = speed.summary(kept)
    assert "| step against peer | 5.25 [5.00, 5.50] times as fast | 4.00 |" in said
    assert "Of all 3 targets, ratios or not, 2 met (one)." in said and ", not met |" in said
    (content,) = speed.measured(kept)
    content["rows"][1] |= {"unit": "s"}
    assert speed.met(content).endswith("2 met (one); not met, and not shown: distance.")
    assert "growth" not in said and "values apart" not in said  # ratios only
    assert speed.summary(tmp_path / "elsewhere") == speed.NOT_MEASURED


def test_a_row_of_another_machine_says_so(kept):
    content = bench._kept(kept / "bench", torch.device("cpu"))
    content["rows"][1]["machine"] = "other"
    bench.keep(kept / "bench", torch.device("cpu"), content)
    said = speed.summary(kept)
    assert "| ours 1 s |" in said and "| (other) |" in said and "2 met (one; other)" in said


def test_rows_of_before_are_of_the_machine_that_their_file_tells_of(kept):
    path = kept / "bench" / "cpu.json"
    content = json.loads(path.read_text())
    for row in (*content["rows"], *content["curves"]):
        del row["machine"]
    path.write_text(json.dumps(content))
    assert ", torch " in speed.measured(kept)[0]["rows"][0]["machine"]
    assert speed.curves(bench._kept(kept / "bench", torch.device("cpu")), "growth") and "2 met (" in speed.summary(kept)


def test_plain_bfloat16_is_the_same_step():
    block = unet.Attention(128, groups=8)
    torch.nn.init.normal_(block.out.weight, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 128, 3, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(own_size._fused(block, x), block(x), rtol=1e-5, atol=1e-5)


NAMED = (("one_sitting", "a step"), ("other", "b"))


def test_what_was_timed_in_turn_is_said_by_its_name(tmp_path):
    row = pairs.Row("a step", 1.02, None, "times", (1.0, 1.04), None, "9 turns; one thread")
    content = {
        "rows": [{**row.plain(), "program": of, "machine": "one", "name": name} for of, name in NAMED],
        "curves": [],
    }
    bench.keep(tmp_path / "bench", torch.device("cpu"), content)
    assert speed.in_turn(tmp_path, "a step") == "1.02 [1.00, 1.04] times (median and quartiles of 9 turns)"
    assert speed.in_turn(tmp_path, "b") == speed.in_turn(tmp_path / "elsewhere", "a step") == ""


def test_a_curve_is_through_medians_between_quartiles_or_through_distances_between_their_ends():
    curve = pairs.Curve.measured("growth", "a", "n", "s", {4: [5.0, 1.0, 3.0, 2.0, 4.0], 8: [6.0]})
    assert (curve.x, curve.low, curve.y, curve.high) == ((4.0, 8.0), (2.0, 6.0), (3.0, 6.0), (4.0, 6.0))
    curve = pairs.Curve.judged("quality", "a", "seconds", 500, {1.5: Interval(1.0, 2.0, 4.0, 500)})
    assert (curve.x, curve.low, curve.y, curve.high) == ((1.5,), (1.0,), (2.0,), (4.0,))
    assert curve.y_label == "FD-MNIST of 500 samples (lower is better)"


def test_fits_made_together_and_one_by_one_are_the_same_fits():
    run = profile.load("standard").entry("dip-images-2conv-s0").run
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert dip_images.apart(run, images.double()) < 1e-10


@pytest.mark.parametrize("name", ["cpu", "cuda:1"])
def test_the_process_whose_memory_is_measured_computes_on_the_device_that_was_asked_for(tmp_path, monkeypatch, name):
    commands, computed = [], []
    monkeypatch.setattr(bundle.children, "run", lambda own, **_: commands.append(own) or bundle.children.Child(1.0, 1e9, "0.1"))
    made = bundle.rows(pairs.Setting(torch.device(name), tmp_path, brief=True))
    assert next(row for row in made if "peak memory" in row.name).value == 1.0
    _, program, *arguments = commands[-1]
    monkeypatch.setattr(sys, "argv", ["-c", *arguments])
    store = lambda folder, profile, device: SimpleNamespace(ensure=lambda run: computed.append((run.kind, device)))  # noqa: E731
    monkeypatch.setattr(runs, "Store", store)
    exec(program, {})
    assert computed == [("ddpm", name)]


def test_each_way_is_measured_in_turn_and_its_first_time_does_not_count():
    calls = iter(range(100))
    assert one_sitting._in_turn([lambda: next(calls), lambda: next(calls)], 2) == [[2, 3], [4, 5]]


def test_an_unknown_program_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(["training_stop"])
    assert stop.value.code == 2 and "training_stop" in capsys.readouterr().err


@pytest.mark.parametrize(("device", "code"), [("gpu", 2), ("cuda:99", 1)])
def test_a_device_that_is_not_there_is_one_line(device, code, capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(["--brief", "--device", device])
    said = capsys.readouterr().err
    assert stop.value.code == code and device in said and said.count("\n") == 1


def test_report_bs_network_and_data_are_as_large_as_reported():
    net = report_b.ReportBUNet()
    assert sum(p.numel() for p in net.parameters()) == 606_852
    assert net(torch.zeros(2, 1, 28, 28), torch.tensor([0, 999])).shape == (2, 1, 28, 28)
    images = sets.load(Data(name="digits5k", n_train=20, n_held_out=20)).train
    batch = next(report_b.batches(images, 20))
    assert batch.shape == (20, 1, 28, 28) and batch.min() == -1 and batch.max() <= 1
    torch.testing.assert_close(batch.sum(), (images / 127.5 - 1).sum(), rtol=1e-4, atol=0.1)


def test_a_childs_peak_is_its_own_and_not_that_of_the_process_that_started_it():
    from benchmarks import children

    held = bytearray(400_000_000)  # touched, so that it counts
    small = children.run(["-c", "print('done')"])
    large = children.run(["-c", "held = bytearray(200_000_000); print('done')"])
    assert len(held) and small.output.split() == ["done"] and small.peak < 150e6 < 200e6 < large.peak < 400e6
    with pytest.raises(RuntimeError, match="ended with 3: why"):
        children.run(["-c", "import sys; print('why'); sys.exit(3)"])
