"""Every figure draws from records of the agreed shapes, shows the floor where it belongs, and keeps its colours."""

import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from fake_records import FLOOR, NETS, FakeLab, digits
from matplotlib.figure import Figure

from dipddpm_utils.page import images as pictures
from dipddpm_utils.page import names, style, sweeps
from dipddpm_utils.page.compare import floor_at
from dipddpm_utils.theory import figures as figures_theory
from dipddpm_utils.theory.gaussian import Cost

LAB = FakeLab()
FLOOR_RECORD = LAB.record("floor")
BOTH = {"baseline": LAB.seeds("ddpm"), "on-dip": LAB.seeds("ddpm-on-dip")}
LONG = LAB.record("ddpm-long")
SWEEPS = {group: LAB.frame(group) for group in ("dip_net", "dip_lr", "std", "dip_iterations")}
ALL = {
    "loss": lambda: style.loss_curves(BOTH),
    "psnr": lambda: style.psnr_over_iterations({net: LAB.record(f"dip-images-{net}") for net in NETS}),
    "fd over steps": lambda: style.fd_over_training(BOTH, FLOOR_RECORD),
    "kid over seconds, one seed": lambda: style.fd_over_training({"baseline": [LONG]}, FLOOR_RECORD, x="seconds", metric="kid"),
    "fd over images, no floor": lambda: style.fd_over_training(BOTH, None, x="images"),
    "samplers": lambda: sweeps.fd_vs_nfe(LAB.frame("samplers"), FLOOR_RECORD),
    "total seconds": lambda: sweeps.fd_vs_total_seconds(*BOTH.values(), LAB.frame("starts"), FLOOR_RECORD),
    "starts": lambda: sweeps.fd_vs_t_start(LAB.frame("starts"), FLOOR_RECORD),
    "copies": lambda: sweeps.copies(LAB.frame("starts")),
    "ablations": lambda: sweeps.ablations(SWEEPS, "fd", "FD", title="Sweeps", floor=FLOOR_RECORD),
    "forward": lambda: figures_theory.forward_process({"linear": np.linspace(0.999, 0.01, 50)}),
    "spectrum": lambda: figures_theory.spectral_bias(LAB.record("spectrum")),
    "checks": lambda: figures_theory.gaussian_checks(LAB.record("gaussian")),
    "mismatch": lambda: figures_theory.mismatch(LAB.record("gaussian")),
    "break-even": lambda: figures_theory.break_even(Cost(30, 0, 0.01, 500, 1000)),
    "break-even, never": lambda: figures_theory.break_even(Cost(30, 1, 0.01, 500, 1000)),
    "break-even, never at any start": lambda: figures_theory.break_even(
        Cost(30, 1, 0.01, 500, 1000), pd.DataFrame(columns=["fraction", "images"])
    ),
    "grids": lambda: pictures.grids({"a": LONG.arrays["grid"], "b": LONG.arrays["grid"]}, "Samples", "not selected"),
    "rows": lambda: pictures.rows_of_images({"a": LONG.arrays["grid"][:8], "b": LONG.arrays["grid"][8:16]}, "Rows", "n = 8"),
    "strip": lambda: pictures.strip(LONG.arrays, "reverse", title="Reverse", note="DDIM"),
    "snapshots": lambda: pictures.snapshots({net: LAB.record(f"dip-images-{net}") for net in NETS}, "Fits", "one image"),
}


@pytest.mark.parametrize("name", ALL)
def test_draws_with_a_title_and_a_note_and_leaves_the_readers_settings_alone(name):
    before = dict(matplotlib.rcParams)
    figure = ALL[name]()
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() and figure.get_supxlabel()
    data = io.BytesIO()
    figure.savefig(data, dpi=40)
    assert data.getvalue().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "name", ["fd over steps", "kid over seconds, one seed", "samplers", "total seconds", "starts", "ablations"]
)
def test_each_distance_figure_shows_the_floor_at_its_own_n(name):
    metric = "kid" if name.startswith("kid") else "fd"
    expected = floor_at(FLOOR_RECORD, metric, 2000).value
    for ax in ALL[name]().axes:
        lines = [line for line in ax.lines if line.get_color() == style.GREY]
        assert any(np.allclose(line.get_ydata(), expected) for line in lines)
    assert expected == pytest.approx(FLOOR if metric == "fd" else FLOOR / 400, rel=0.1)


def test_the_floor_is_looked_up_at_the_n_of_the_samples():
    rows = FLOOR_RECORD.evals
    floor = FakeLab().record("floor")
    floor.evals = pd.concat([rows, rows.assign(n=1000, fd=2 * rows["fd"])], ignore_index=True)
    assert floor_at(floor, "fd", 1000).value == pytest.approx(2 * rows["fd"].mean())
    assert floor_at(floor, "fd", 2000).value == pytest.approx(rows["fd"].mean())
    assert floor_at(floor, "fd", 77).value == floor.metrics["fd"]  # no such row: the record's own n
    assert floor_at(None) is None


def test_training_seconds_include_those_of_the_dip():
    ax = style.fd_over_training(BOTH, None, x="seconds").axes[0]
    alone, on_dip = (next(line for line in ax.lines if line.get_label() == names.look(m).label) for m in BOTH)
    assert np.allclose(on_dip.get_xdata() - alone.get_xdata(), LAB.record("ddpm-on-dip").metrics["dip_seconds"])


def test_one_look_a_method_whatever_it_is_called():
    assert names.look("noise") == names.look("ddpm") == names.look("baseline")
    drawn_together = ["baseline", "dip", "blur", "mean", "gaussian", "real", "floor"]
    for methods in (drawn_together, ["baseline", "on-dip", "dip", "floor"], list(NETS)):
        assert len({names.look(m).colour for m in methods}) == len(methods)
    assert names.look("something else").label == "something else"


def test_tile_puts_each_image_in_its_place():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 4), np.uint8)
    sheet = pictures.tile(images, columns=3, gap=1)
    assert sheet.shape == (5, 14, 3) and sheet.dtype == np.uint8
    assert (sheet[3:5, 5:9] == 4).all() and (sheet[0:2, 10:14] == 2).all()
    assert (sheet[2] == 255).all() and (sheet[3:, 10:] == 255).all()  # the gap, and the place of a sixth image
    assert pictures.tile(digits(np.random.default_rng(0), 4), 2).shape == (57, 57)


@pytest.mark.parametrize("images", [np.zeros((2, 1, 4, 4)), np.zeros((1, 4, 4), np.uint8), np.zeros((2, 2, 4, 4), np.uint8)])
def test_tile_refuses_what_is_not_images(images):
    with pytest.raises(ValueError, match="images is .* expected uint8"):
        pictures.tile(images)


def test_gif_frames_are_one_picture_a_step():
    assert pictures.gif_frames(LONG.arrays["reverse"]).shape == (7, 115, 115)


def test_the_report_floor_imports_neither_torch_nor_pyplot():
    modules = "page.style page.sweeps page.images page.tables page.compare page.prose theory.figures priors.comparisons"
    code = f"import sys, importlib\nfor m in {modules.split()!r}: importlib.import_module('dipddpm_utils.' + m)\n"
    code += "assert not {'torch', 'torchvision', 'matplotlib.pyplot', 'seaborn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_floor_far_below_everything_is_written_and_does_not_flatten_the_curves():
    floor = FakeLab().record("floor")
    floor.evals, floor.metrics = floor.evals.assign(fd=0.05), {**floor.metrics, "fd": 0.05, "fd_low": 0.04, "fd_high": 0.06}
    ax = style.fd_over_training(BOTH, floor).axes[0]
    lowest = min(np.min(line.get_ydata()) for line in ax.lines if line.get_color() != style.GREY)
    assert 0.5 * lowest < ax.get_ylim()[0] < lowest and any("0.05, far below" in text.get_text() for text in ax.texts)
    assert not any("real against real" in text.get_text() for text in ax.get_legend().get_texts())  # no line, no name
    near = style.fd_over_training(BOTH, FLOOR_RECORD).axes[0]
    assert near.get_ylim()[0] < FLOOR and not near.texts


@pytest.mark.parametrize("times", [1.4, 2.4, 4, 9, 12, 100, 3e4])
def test_an_axis_has_ticks_enough_whatever_its_range(times):
    _, (ax,) = style.new()
    ax.plot([0, 1], [0.7, 0.7 * times])
    style.log_y(ax)
    low, high = ax.get_ylim()
    ticks = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert 3 <= len(ticks) <= 15 and ax.get_yscale() == ("linear" if times < 3 else "log")


def test_one_floor_is_drawn_once_and_another_n_is_told():
    ax = style.fd_over_training(BOTH, FLOOR_RECORD).axes[0]
    assert sum(line.get_gid() == style.FLOOR for line in ax.lines) == 1
    assert "n = 2000, not measured at 1000" in style.floor_note(FLOOR_RECORD, 1000)
    assert style.floor_note(FLOOR_RECORD, 2000) == style.floor_note(None, 5) == ""


def test_distances_are_summed_on_the_axis_they_are_drawn_on():
    rows = pd.DataFrame({"all": "all", "fd": [1.0, 10.0, 100.0], "kid": [0.0, 1.0, 2.0]})
    one = style.summarised(rows, "all", "fd").iloc[0]
    assert one["mean"] == pytest.approx(10) and one["low"] * one["high"] == pytest.approx(100) and one["low"] > 0
    assert style.summarised(rows, "all", "kid").iloc[0]["low"] < 0
    single = style.summarised(rows.head(1).assign(fd_low=0.5, fd_high=2.0), "all", "fd").iloc[0]
    assert (single["low"], single["high"]) == pytest.approx((0.5, 2.0))


def test_starts_that_coincide_stand_side_by_side():
    ax = sweeps.copies(LAB.frame("starts")).axes[0]
    lines = [line for line in ax.lines if line.get_marker() not in ("", "_", "None") and len(line.get_xdata()) == 3]
    places = [line.get_xdata()[0] for line in lines]
    assert len(set(places)) == len(places) >= LAB.frame("starts")["label"].nunique()


def test_a_start_has_the_colour_of_what_it_starts_from():
    for name in ("blur", "mean", "gaussian", "real"):
        assert names.look(f"start {name}").colour == names.look(name).colour
    allowed = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", style.GREY}
    assert {names.look(name).colour for name in (*names.METHODS, *names.kinds())} <= allowed


def test_a_prior_that_never_pays_is_said_to():
    figure = ALL["break-even, never at any start"]()
    assert "never pays" in figure.get_supxlabel() and figure.axes[1].texts[0].get_text() == "never"
