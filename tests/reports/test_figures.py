"""The rebuilt reports in tables, figures and sentences: closed forms on made-up records, and every figure draws."""

import io
import math
import re

import numpy as np
import pytest
from fake_records import FakeLab
from fake_reports import A_FD

from dipddpm_utils.faults import FAULTS
from dipddpm_utils.page import style
from dipddpm_utils.page.compare import frame_of, grid_frame
from dipddpm_utils.reports import effects, findings, one_fault, tables
from dipddpm_utils.reports import figures as figures_reports
from dipddpm_utils.reports import printed as published_curves

LAB, BARE = FakeLab(reports=True), FakeLab()
ON = {"real images": frame_of(LAB.seeds("a-ddpm")), "2conv outputs": frame_of(LAB.seeds("a-2conv"))}
NETS = ("a-dip-2conv", "a-dip-resnet18")
FIGURES = {
    "pair": lambda: figures_reports.corrected_and_published(LAB, tuple(A_FD), LAB.seeds("a-floor")[0], "Report A"),
    "published": lambda: figures_reports.published_beside_ours(LAB),
    "published, no runs": lambda: figures_reports.published_beside_ours(BARE),
    "faults A": lambda: figures_reports.fault_effects(one_fault.effects(LAB, "A"), "Report A", 2000),
    "faults B, one seed": lambda: figures_reports.fault_effects(
        one_fault.effects(FakeLab(1, reports=True), "B"), "Report B", 2000
    ),
    "timing": lambda: figures_reports.epoch_seconds(LAB.seeds("b-timing")),
    "trained on": lambda: figures_reports.trained_on(ON, LAB.seeds("a-floor")[0]),
    "scale": lambda: figures_reports.reported_scale({name: LAB.seeds(f"{name}-published") for name in NETS}),
    "grid": lambda: figures_reports.grid_of_settings(grid_frame(LAB, "b-grid"), LAB.seeds("b-floor")[0]),
    "grid, seconds": lambda: figures_reports.grid_of_settings(grid_frame(LAB, "b-grid"), None, "train_seconds"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_draws_with_a_title_a_note_and_labels(name):
    figure = FIGURES[name]()
    figure.savefig(io.BytesIO(), format="png")
    assert figure.get_suptitle() and figure.get_supxlabel()
    assert all(ax.get_xlabel() for ax in figure.axes)


def test_the_published_panel_names_its_feature_space_and_n():
    figure = FIGURES["published"]()
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "FID (Inception, 30 images)",
        "FD-CIFAR, 30 samples",
        "FD-CIFAR, n = 1000",
    ]
    printed = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert printed["DDPM alone"][0] == 144.7 and printed["ResNet-18"][-1] == 151.1
    assert len({tuple(ax.get_ylim()) for ax in figure.axes}) == 3


def test_published_numbers_are_those_that_were_read_off():
    assert list(published_curves.fid("a-2conv")["fid"])[:3] == [142.7, 142.3, 149.6]
    assert [len(published_curves.fid(name)) for name in published_curves.VARIANTS] == [10, 10, 10]
    assert published_curves.seconds("b-ddpm") == 460 and [published_curves.row_seconds(i) for i in range(6)] == [
        307,
        310,
        303,
        305,
        305,
        308,
    ]
    assert published_curves.dip_loss("a-dip-resnet18") == 0.162
    for call in (lambda: published_curves.fid("x"), lambda: published_curves.row_seconds(6)):
        with pytest.raises(KeyError, match="report"):
            call()


def test_a_faults_effect_is_a_paired_difference_on_both_sides():
    lab = FakeLab(reports=True)
    for name, value in (("a-ddpm", 10.0), ("a-ddpm-published", 70.0)):
        for record in lab.seeds(name):
            record.metrics["fd"] = value + record.seed
    for name, value in (("a-only", 13.0), ("a-without", 50.0)):
        for record in lab.labelled(name)["FA1"]:
            record.metrics["fd"] = value + record.seed
    effect = one_fault.effect(lab, FAULTS["FA1"], one_fault.metric("fd"))
    assert (effect.only.value, effect.off.value, effect.only.n) == (3.0, 20.0, 3) and effect.size() == 11.5
    table = one_fault.table(lab).set_index(["fault", "switch"])
    assert table.loc[("FA1", "only on"), "FD"] == "+3.00 [+3.00, +3.00]" and table.loc[("FA1", "only on"), "seeds"] == 3
    assert table.loc[("FA1", "only off"), "FD"] == "+20.0 [+20.0, +20.0]"
    tidy = one_fault.effects(lab, "A").set_index(["fault", "measure", "side"])
    assert tidy.loc[("FA1", "fd", "only off"), "value"] == 20.0


def test_without_runs_the_factorial_is_empty_and_says_so():
    assert list(one_fault.table(BARE)["fault"].unique()) == [fault.id for fault in one_fault.trained()]
    assert one_fault.effects(BARE, "A").empty and math.isnan(
        one_fault.effect(BARE, FAULTS["FA1"], one_fault.metric("fd")).size()
    )
    assert "does not hold the runs" in findings.faults(BARE)
    assert set(one_fault.listing()["fault"]) == set(FAULTS)


def test_every_fault_is_measured_somewhere():
    judged = set(effects.table(LAB)["fault"])
    assert judged == {"FA3", "FA6", "FA8", "FA9", "FB1", "FB4", "FB5"}
    assert judged | {fault.id for fault in one_fault.trained()} == set(FAULTS)
    assert effects.table(BARE).empty


def test_judged_faults_in_closed_form():
    lab = FakeLab(reports=True)
    for record in lab.seeds("a-ddpm"):
        record.metrics |= {"fd": 10.0, "fd_published": 80.0}
        record.evals["fd_published"] = np.exp(np.arange(len(record.evals)))  # a straight line in logarithms
    assert effects.thirty_samples(lab).value == pytest.approx(math.log(8))
    assert effects.spread_of_thirty(lab).value == pytest.approx(0.0, abs=1e-9)
    assert effects.loss_scale(lab).value == pytest.approx(math.log(2000 / 3000))
    assert effects.dip_loss_scale(lab).value == pytest.approx(math.log(1 / 25))
    assert effects.path(lab).value == 8.8 and effects.path(lab).low == 8.5
    for record in lab.seeds("b-combined"):
        record.metrics |= {"dip_seconds": 30.0, "train_seconds": 60.0}
    assert effects.left_out("b-combined")(lab).value == 0.5


def test_a_psnr_between_unrelated_images_does_not_know_good_from_bad():
    lab = FakeLab(reports=True)
    flat = np.zeros((4, 1, 28, 28), np.uint8)
    for record in lab.seeds("b-combined"):
        record.arrays["grid"] = flat
    lab.seeds("b-dip")[0].arrays["panels_clean"] = np.stack([flat[0], flat[0] + 255])
    # black samples: infinite (capped) PSNR to a black image, 0 dB to a white one; black to white: 0 dB
    assert effects.unrelated_psnr(lab).value == pytest.approx(50.0)


def test_tables_have_a_row_a_setting():
    rows = tables.rows_table(LAB)
    assert list(rows["printed time"]) == ["5:07", "5:10", "5:03", "5:05", "5:05", "5:08"]
    assert list(rows["std"])[:3] == ["1.2", "1", "0.8"]
    table = tables.trained_on_table(ON, "2conv outputs")
    assert list(table["trained on"]) == list(ON) and list(table["over that of 2conv outputs"])[1] == ""
    assert list(tables.batch_table(LAB)["measure"])[0] == "PSNR restored (dB)"
    assert set(tables.by_label(LAB, "a-controls")) == {"blur", "clip", "rescaled", "untrained"}


def test_grid_frame_reads_settings_off_the_configurations():
    frame = grid_frame(LAB, "b-grid")
    assert sorted(frame["std"].unique()) == [0.8, 1.2, 2.0] and sorted(frame["ddpm_lr"].unique()) == [0.0025, 0.005]
    assert len(frame[frame["anchor"]]) == 3 and (frame[frame["anchor"]]["dip_lr"] == 1e-3).all()


def test_sentences_are_computed_and_whole():
    said = [
        findings.variants(LAB),
        findings.controls(ON, "2conv outputs"),
        findings.pair_b(LAB),
        findings.timing(LAB),
        findings.emphasis(LAB),
        findings.restored(LAB, "b-dip"),
        findings.batch(LAB),
        findings.faults(LAB),
        findings.not_held("x"),
    ]
    for sentence in said:
        assert sentence.strip() and not re.search(r"\bnan\b|None|\{|\binf\b", sentence), sentence
    assert "FA1" in findings.faults(LAB) and "117%" in findings.timing(LAB)
    lab = FakeLab(reports=True)
    for record in lab.seeds("a-2conv"):
        record.metrics["fd"] /= 10
    assert "**better**" in findings.variants(lab) and "**better**" not in said[0].split("Corrected")[1]


def test_a_larger_batch_matters_beyond_a_margin_only():
    def said(*gains):
        lab = FakeLab(reports=True)
        for record, gain in zip(lab.labelled("a-batch")["larger"], gains, strict=True):
            record.metrics["psnr"] = 20.0 + record.seed + gain
        for record in lab.labelled("a-batch")["as published"]:
            record.metrics["psnr"] = 20.0 + record.seed
        return findings.batch(lab)

    assert "does not matter" in said(0.1, 0.12, 0.14) and "+0.120 [+0.070, +0.170] dB" in said(0.1, 0.12, 0.14)
    assert "**it matters**" in said(1.0, 1.02, 1.04) and "**not decidable**" in said(-0.6, 0.1, 0.6)
    assert "Restoration: **not decidable** from one seed" in findings.batch(FakeLab(seeds=1, reports=True))


def test_the_age_of_the_judged_models_is_said():
    said = findings.age(LAB)
    record = LAB.seeds("a-ddpm")[0]
    assert f"after {record.evals['step'].max():.0f} steps" in said.replace("\u202f", "")
    assert "times the real-vs-real floor" in said
    assert findings.age(FakeLab()) == ""


def test_panels_that_share_an_axis_hold_all_their_points_when_the_floor_is_far_below():
    lab = FakeLab(reports=True)
    for record in lab.seeds("b-grid"):
        record.metrics["fd"] *= 1000.0 if record.run.optim.lr < 5e-3 else 100.0
    panels = figures_reports.grid_of_settings(grid_frame(lab, "b-grid"), lab.seeds("b-floor")[0]).axes
    for ax in panels:
        low, high = ax.get_ylim()
        shown = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines if line.get_color() != style.GREY])
        assert (shown > low).all() and (shown < high).all()
