"""The rebuilt reports in tables, figures and sentences: closed forms on changed records, and every figure draws."""

import dataclasses
import io
import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from labs import Records, holding

from dipddpm_utils.faults import FAULTS
from dipddpm_utils.page import prose
from dipddpm_utils.page.compare import frame_of, paired
from dipddpm_utils.page.prose import factor
from dipddpm_utils.reports import figures as figures_reports
from dipddpm_utils.reports import findings, one_fault, printed, tables

GROUPS = ("a-only", "a-controls", "a-bank", "a-batch", "b-only", "b-grid", "b-rows", "b-timing")
NAMES = ("evals", "curve", "metrics", "provenance")  # of a record


@pytest.fixture
def lab():
    return holding(*GROUPS)


def on(lab):
    return {"real images": frame_of(lab.seeds("a-ddpm")), "2conv outputs": frame_of(lab.seeds("a-2conv"))}


FIGURES = {
    "pair": lambda lab: figures_reports.corrected_and_published(lab, printed.VARIANTS, lab.seeds("a-floor")[0], "Report A"),
    "published": figures_reports.published_beside_ours,
    "faults": lambda lab: figures_reports.fault_effects(one_fault.effects(lab, "A"), "Report A", 2000),
    "timing": lambda lab: figures_reports.epoch_seconds(lab.seeds("b-timing")),
    "grid": lambda lab: figures_reports.grid_of_settings(tables.grid_frame(lab, "b-grid")),
}


@pytest.mark.parametrize("seeds", [3, 1])
@pytest.mark.parametrize("name", FIGURES)
def test_draws_with_a_title_a_note_and_labels(name, seeds):
    figure = FIGURES[name](holding(*GROUPS, seeds=seeds))
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    assert figure.get_suptitle() and figure.get_supxlabel() and "nan" not in figure.get_supxlabel()
    assert all(ax.get_xlabel() for ax in figure.axes)


def test_the_published_panel_names_its_feature_space_and_n(lab):
    figure = FIGURES["published"](lab)
    n = lab.seeds("a-ddpm")[0].evals["n"].iloc[0]
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels == ["FID (Inception, 30 images)", "FD-CIFAR, 30 samples", f"FD-CIFAR, n = {n}"]
    curves = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert curves["DDPM alone"][0] == 144.7 and curves["ResNet-18"][-1] == 151.1
    assert len({tuple(ax.get_ylim()) for ax in figure.axes}) == 3
    bare = Records("quick", without=tuple(f"{name}-published" for name in printed.VARIANTS))
    assert len(figures_reports.published_beside_ours(bare).axes) == 1
    half = Records("quick", without=("a-resnet18",))  # of which only the corrected run is not there yet
    assert len(figures_reports.published_beside_ours(half).axes) == 1


def test_published_numbers_are_those_that_were_read_off():
    assert list(printed.fid("a-2conv"))[:3] == [142.7, 142.3, 149.6]
    assert [len(printed.fid(name)) for name in printed.VARIANTS] == [10, 10, 10]
    assert [printed.row_seconds(i) for i in range(6)] == [307, 310, 303, 305, 305, 308]
    assert printed.dip_loss("a-dip-resnet18") == 0.162
    for call in (lambda: printed.fid("x"), lambda: printed.row_seconds(6)):
        with pytest.raises(KeyError):
            call()


def test_a_faults_effect_is_a_paired_ratio_on_both_sides(lab):
    for name, value in (("a-ddpm", 10.0), ("a-ddpm-published", 70.0)):
        lab.set(name, fd=lambda *_, value=value: value)
    for name, value in (("a-only", 13.0), ("a-without", 35.0)):
        lab.set(name, fd=lambda _, label, __, value=value: value if label == "FA1" else 10.0)
    found = one_fault.sides(lab, FAULTS["FA1"], "fd")
    values = {side: gap.value for side, gap in found.items()}
    assert values == pytest.approx({"only on": math.log(1.3), "only off": math.log(2)})
    table = one_fault.table(lab).set_index(["fault", "switch"])
    assert table.loc[("FA1", "only on"), "FD"] == "1.30 [1.30, 1.30] *" and table.loc[("FA1", "only on"), "seeds"] == 3
    assert table.loc[("FA1", "only off"), "FD"] == "2.00 [2.00, 2.00] *"
    of_a = [fault for fault in FAULTS.values() if fault.trained_in and fault.report == "A"]
    gap = one_fault.effects(lab, "A")["fd", "FA1", "only off"]
    assert factor(gap) == "2.00 [2.00, 2.00]" and gap.of == 2 * (len(of_a) - 1)  # FA7 acts in full alone
    assert "FA7" not in table.index.get_level_values("fault")
    assert "FA7 acts in `full` alone: no fit here reaches iteration 1999." in findings.faults(lab, "A")
    assert "FA7" not in findings.faults(lab, "B")


def test_without_runs_the_factorial_is_empty_and_says_so():
    bare = Records("quick")
    assert one_fault.table(bare).empty
    assert one_fault.effects(bare, "A") == {}
    assert set(one_fault.listing()["fault"]) == set(FAULTS)


def test_every_fault_is_measured_somewhere(lab):
    judged = set(one_fault.read_table(lab)["fault"])
    assert judged == {"FA3", "FA6", "FA8", "FA9", "FB1", "FB4", "FB5"}
    assert judged | {fault.id for fault in FAULTS.values() if fault.trained_in} == set(FAULTS)
    assert one_fault.read_table(Records("quick", without=tuple(lab.profile.groups))).empty


def test_judged_faults_in_closed_form(lab):
    for record in lab.seeds("a-ddpm"):
        record.metrics.update(fd=10.0, fd_published=80.0)
    assert one_fault.thirty_samples(lab).value == pytest.approx(math.log(8))
    table = one_fault.read_table(lab).set_index(["fault", "measured"])["effect"]
    assert table["FA6"].tolist() == ["a factor of 0.667", "a factor of 0.0400"]
    row = lab.seeds("b-timing")[0].metrics
    assert (one_fault.path(lab).value, one_fault.path(lab).low) == (row["data_saved_seconds"], row["data_saved_seconds_low"])
    assert (one_fault.path(lab).n, one_fault.path(lab).over) == (row["repeats"], "repeats")
    spent = lab.seeds("b-turns")[0].evals
    for part, seconds in (("fit", 29.0), ("apply", 1.0), ("train", 60.0)):
        spent.loc[spent["part"] == part, "seconds"] = seconds
    share = one_fault.left_out(lab, "b-turns", "5conv")
    assert (share.value, share.over) == (pytest.approx(0.5), "rounds")
    for back, said in ((0.9, "none: all give images back"), (0.0, "a factor of ")):
        lab.set("a-starts", own_source_rate=lambda *_, back=back: back, copy_rate=lambda *_: 0.0)
        assert one_fault.read_table(lab).set_index("fault").loc["FA8", "effect"].startswith(said)


def test_a_psnr_between_unrelated_images_does_not_know_good_from_bad(lab):
    flat = np.zeros((4, 1, 28, 28), np.uint8)
    for record in lab.seeds("b-combined"):
        record.arrays["grid"] = flat
    lab.seeds("b-dip")[0].arrays["panels_clean"] = np.stack([flat[0], flat[0] + 255])
    # black samples: infinite (capped) PSNR to a black image, 0 dB to a white one; black to white: 0 dB
    assert one_fault.unrelated_psnr(lab).value == pytest.approx(50.0)


def test_tables_have_a_row_a_setting(lab):
    rows = tables.rows_table(lab)
    assert list(rows["printed time"]) == ["5:07", "5:10", "5:03", "5:05", "5:05", "5:08"]
    assert [settings.rpartition(", ")[2] for settings in rows["here"]][:3] == ["1.2", "1", "0.8"]
    assert list(rows)[1] == "report B: DIP lr, DDPM lr, std" and rows.iloc[0, 1].endswith(", 1.2")
    table = tables.trained_on_table(lab, "a-controls")
    over = list(table["over that of 2conv outputs"])
    assert list(table["trained on"])[:2] == list(on(lab)) and over[:2] == ["", ""]  # those two are compared elsewhere
    assert all(re.search(r"\], (worse|better|higher|lower|not decidable) \(p [=<]", told) for told in over[2:])
    assert set(tables.by_label(lab, "a-controls")) == {"blur", "clip", "rescaled", "untrained"}


def test_all_tables_of_other_images_are_one_family():
    gaps = tables.other_images(holding("bank", *GROUPS))
    groups = [group for group, _ in gaps]
    assert groups == ["bank"] * 2 + ["a-bank"] * 2 + ["a-controls"] * 4 and {gap.of for gap in gaps.values()} == {8}
    assert not tables.other_images(Records(without=tuple(tables.OTHERS)))


def test_grid_frame_reads_settings_off_the_configurations(lab):
    frame = tables.grid_frame(lab, "b-grid")
    assert len(frame) == len(lab.profile.group("b-grid")) and frame["ddpm_lr"].nunique() == 2
    anchors = frame[frame["anchor"].astype(bool)]
    assert len(anchors) == 3 and len(anchors[["dip_lr", "ddpm_lr", "std"]].drop_duplicates()) == 1
    text = [text.get_text() for ax in figures_reports.grid_of_settings(frame).axes for text in ax.texts]
    assert len(text) == frame.groupby(["dip_lr", "ddpm_lr", "std"]).ngroups and sum("*" in one for one in text) == 1


def test_sentences_are_computed_and_whole(lab):
    nets = {net: f"a-dip-{net}-published" for net in ("2conv", "resnet18")}
    said = [
        *findings.against_alone(lab, "A", published=True), *findings.against_alone(lab, "B"),
        findings.no_images(on(lab)) or "each draws", findings.timing(lab),
        findings.restored(lab, "b-dip"), findings.batch(lab), findings.faults(lab, "A"), findings.last_losses(lab, nets),
        findings.faults(lab, "B"), findings.grid_slopes(lab),
    ]  # fmt: skip
    for sentence in said:
        assert sentence.strip() and not re.search(r"\bnan\b|None|\{|\binf\b", sentence), sentence
    for record in lab.seeds("a-2conv"):
        record.metrics["fd"] = lab.seeds("a-ddpm")[record.seed].metrics["fd"] / 10
    assert "**lower**" in findings.against_alone(lab, "A")[0]


@pytest.mark.parametrize(("fd", "word"), [(30.0, "**worse**"), (60.0, "**higher**")])
def test_a_variant_that_is_no_better_than_what_needs_no_learning_gets_no_verdict(fd, word):
    lab = Records("full")
    assert findings.both_ways(lab, "B") == ("b-ddpm", "b-combined")
    lab.set("b-combined", fd=lambda *_: fd, recall=lambda *_: 0.5)  # blurred training digits have 43.3
    corrected = [line for line in findings.against_alone(lab, "B") if line.startswith("Corrected")]
    assert len(corrected) == 1 and word in corrected[0]
    assert ("fail the gate: b-combined, 3 of 3 runs" in findings.against_alone(lab, "B")[-1]) is (fd == 60)
    lab.unfinished = frozenset({"b-combined-published"})
    assert re.search(r", 3 seeds: not tested, runs are missing\.$", findings.against_alone(lab, "B")[0])


def test_a_report_is_shown_once_its_ddpm_alone_and_a_variant_are_there_both_ways(lab):
    assert findings.both_ways(lab, "A") == ("a-ddpm", "a-2conv", "a-resnet18")
    assert findings.both_ways(Records(without=("a-2conv-published",)), "A") == ("a-ddpm", "a-resnet18")
    for without, report in (("a-ddpm", "A"), ("a-floor", "A"), ("b-combined", "B")):
        assert findings.both_ways(Records(without=(without,)), report) == ()
        assert findings.against_alone(Records(without=(without,)), report) == []
    assert findings.arms("B") == ["b-ddpm", "b-ddpm-published", "b-combined", "b-combined-published"]


def test_panels_of_other_seeds_say_so_each():
    lab = Records("full")
    lab.profile.groups["b-combined-published"] = lab.profile.groups["b-combined-published"][:1]
    figure = figures_reports.corrected_and_published(lab, ("b-ddpm", "b-combined"), lab.seeds("b-floor")[0], "Report B")
    said = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "As published: Lines: n = 1000 images" in said and "t-interval over 1 to 3 seeds, of one over its images." in said
    assert "Corrected: Lines: n = 1000 images" in said and "t-interval over 3 seeds." in said


def test_a_curves_shape_is_its_last_distance_over_its_first_where_it_has_both(lab):
    for seed, record in enumerate(lab.seeds("a-ddpm")):
        rows = pd.DataFrame(
            {"sampler": "DDIM", "nfe": 10, "n": 9, "step": [1, 2], "fd": [10.0, (20.0, 5.0, 99.0)[min(seed, 2)]]}
        )
        record.evals = rows[: 2 if seed < 2 else 1]  # a single one is left out, and the others stay
    own = findings.published_shape(lab).splitlines()
    assert any(line.startswith("- DDPM alone: ") and line.endswith("; corrected 1.00.") for line in own), own


def test_a_larger_batch_matters_beyond_a_margin_only(lab):
    def said(*gains):
        for label in ("as published", "larger"):
            own = [record for of, _, record in lab.members("a-batch") if of == label]
            for record, gain in zip(own[:3], gains, strict=True):
                record.metrics["psnr"] = 20.0 + record.seed + gain * (label != "as published")
            for record in own[3:]:
                record.metrics["psnr"] = np.nan
        return findings.batch(lab)

    assert "does not matter" in said(0.1, 0.12, 0.14) and "+0.120 [+0.070, +0.170] dB" in said(0.1, 0.12, 0.14)
    assert "**it matters**" in said(1.0, 1.02, 1.04) and "**not decidable**" in said(-0.6, 0.1, 0.6)
    assert "**not decidable**" in findings.batch(holding(*GROUPS, seeds=1))


def test_what_is_said_of_one_report_follows_its_records(lab):
    row = lab.seeds("b-timing")[0].metrics
    row.update(data_saved_seconds=10.0, decode_seconds=40.0, memory_seconds=30.0)
    assert ", 25% of an epoch there;" in findings.timing(lab)
    for psnr, said in ((21.0, "1.0 dB above its input"), (18.5, "1.50 dB below its input")):
        lab.set("b-dip", psnr=lambda record, *_, psnr=psnr: psnr, psnr_input=lambda *_: 20.0)
        for record in lab.seeds("b-dip"):
            record.metrics.update(psnr=psnr, psnr_input=20.0)
        assert said.replace("1.0 dB", "1.00 dB") in findings.restored(lab, "b-dip")
    lab.set("a-batch", fd=lambda record, label, value: 30.0 if label == "larger" else 10.0)
    assert "larger over published: 3.00 [" in findings.batch(lab)
    lab.set("b-grid", fd=lambda record, *_: 10.0**record.run.dip.std)
    assert "FD at std 2 over FD at 1.2: 6.31 [" in findings.grid_slopes(lab)
    low, high = (printed.fid("a-ddpm").iloc[at] for at in (0, -1))
    assert f"- DDPM alone: printed {prose.number(float(high / low))};" in findings.published_shape(lab)


def test_the_fault_that_changes_most_is_one_that_is_shown_to_with_both_its_sides(lab, monkeypatch):
    sure, more, unsure = paired([0.5, 0.52, 0.54]), paired([-0.9, -0.92, -0.94]), paired([-4.0, 2.0, 9.0])
    only, off = one_fault.SIDES
    found = {("FA1", only): sure, ("FA1", off): unsure, ("FA2", only): more, ("FA3", only): unsure}
    found = {("fd", *at): dataclasses.replace(gap, ratio=True) for at, gap in found.items()}
    monkeypatch.setattr(one_fault, "effects", lambda *_: found)
    said = findings.faults(lab, "A")
    assert f"Report A: FA2 ({FAULTS['FA2'].what}) changes FD most, by a factor of 0.399 [" in said
    assert "No effect on FD is shown for FA3 (Holm over 4)." in said
    found.pop(("fd", "FA2", only))
    one = findings.faults(lab, "A").partition("changes FD most, by a factor of ")[2].partition(". No effect")[0]
    first, second = one.split(" as the only fault, ")
    assert first.startswith("1.68 [") and second.endswith(" on top of all others (not decidable)")


def test_other_images_are_compared_with_those_of_the_dip():
    lab = holding("bank", *GROUPS)
    for group in tables.OTHERS:
        lab.set(group, fd=lambda record, label, value: 90.0)
    lab.set("a-2conv", fd=lambda *_: 30.0)
    gaps = tables.other_images(lab)
    controls = [gap.value for (group, _), gap in gaps.items() if group == "a-controls"]
    assert controls == pytest.approx([math.log(3)] * 4, abs=0.01)


def test_models_that_draw_no_images_are_named_as_such(lab):
    records = lab.seeds("b-ddpm")
    for record, recall in zip(records, (0.01, 0.02, 0.049), strict=True):
        record.metrics["recall"] = recall
    assert "draws images: recall is at most 0.049." in findings.no_images({"b": records})
    records[0].metrics["recall"] = 0.05
    assert findings.no_images({"b": records}) == " Only 1 of 3 runs here draw images (recall of 0.05 or more)."
    records[1].metrics["recall"] = 0.4
    assert findings.no_images({"b": records}) == ""


def test_the_age_of_the_judged_models_is_said(lab):
    said = findings.age(lab)
    record = lab.seeds("a-ddpm")[0]
    assert f"after {record.evals['step'].max():.0f} steps" in said.replace("\u202f", "")
    assert "times the real-vs-real floor" in said
    assert findings.age(Records("quick", without=("a-ddpm", "b-ddpm"))) == ""


def test_the_librarys_network_stands_beside_ours_at_the_same_step(lab):
    """Ours is judged at 3, 6 and 9 steps, the library's trained for 3: row, loss and seconds are those of 3."""
    ours, theirs = lab.seeds("a-ddpm")[0], lab.seeds("a-2conv")[0]
    for record, step, losses in ((ours, (3, 6, 9), (9.0, 2.0, 4.0, 99.0)), (theirs, (3, 3), (9.0, 1.0, 3.0, 5.0))):
        first = record.evals.iloc[0]
        record.evals = pd.DataFrame([{**first, "step": at, "seconds": 10.0 * at, "fd": 7.0 * at} for at in step])
        record.curve = pd.DataFrame({"step": [1, 2, 3, 9 if record is ours else 4], "loss": losses})
    theirs.evals.loc[1, ["n", "fd"]] = (9999, 1.0)  # the last one of a run, which was judged otherwise
    run = SimpleNamespace(optim=SimpleNamespace(steps=3))
    other = SimpleNamespace(name="a-library-unet-s0", run=run, **{n: getattr(theirs, n) for n in NAMES})
    both = SimpleNamespace(all=lambda: [ours, other])
    assert tables.libraries(SimpleNamespace(all=lambda: [ours])) == ()
    table = tables.library(both)
    said = "Both were trained on the same batches, times and noise. After 3 steps our FD is 1.0 times theirs: so far "
    assert f"{said}report A's distances here are the same as its own" in findings.library(both)
    for times, apart in ((2.0, "lower than"), (0.5, "higher than")):
        theirs.evals.loc[0, "fd"] = 21.0 * times
        assert f"our FD is {1 / times:.2g}" in findings.library(both) and f"are {apart} its own" in findings.library(both)
    theirs.evals.loc[0, "fd"] = 21.0
    other.provenance = {**ours.provenance, "device_name": "Another"}
    assert list(table.columns.difference(tables.library(both).columns)) == ["training (s)"]
    assert re.search(
        r"but two machines, and so different noise \(theirs: Another, .*; ours: .*\)\. After", findings.library(both)
    )
    assert list(table["loss, second half"]) == ["3.00", "2.00"] and list(table["training (s)"]) == ["30.0", "30.0"]
    assert [cell.split(" ")[0] for cell in table.filter(like="n = ").iloc[:, 0]] == ["21.0", "21.0"] and len(table.columns) <= 7


def test_fid_is_said_where_it_is_and_why_not_where_it_is_not(lab):
    records = lab.seeds("b-ddpm")
    assert prose.other_spaces(records) == ""
    records[1].notes.append("no FID: its weights are not here")
    assert prose.other_spaces(records) == "No FID: Inception's weights could not be had (the records say why)."
    for record in records:
        record.metrics |= {"fid": 12.0, "fid_n": 10_000}
    assert prose.other_spaces(records).startswith("Its FID (pytorch-fid's Inception, n = 10000): 12.0")
    for record in records:
        record.metrics |= {"fd_imagenet": 300.0, "fd_imagenet_n": 5000}
    assert "In a second space (FD-IMAGENET, n = 5000): 300" in prose.other_spaces(records)
