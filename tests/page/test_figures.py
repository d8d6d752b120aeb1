"""Every figure draws from the committed records, shows the floor where it belongs, and keeps its colours."""

import io

import matplotlib
import numpy as np
import pytest
from labs import NETS, Records
from matplotlib.figure import Figure

from dipddpm_utils.page import figures, lab, names, style
from dipddpm_utils.page import images as pictures
from dipddpm_utils.page.compare import floor_at, paired
from dipddpm_utils.theory import figures as figures_theory
from dipddpm_utils.theory.gaussian import Cost

LAB = Records()
FLOOR = LAB.record("floor")
BOTH = {"baseline": LAB.seeds("ddpm"), "on-dip": LAB.seeds("ddpm-on-dip")}
LONG = LAB.record("ddpm-long")
LIMIT = paired(np.log([55.0, 60.0, 65.0]), ratio=True)  # images beyond which a prior pays, a value a seed
SWEEPS = {group: LAB.frame(group) for group in ("dip_net", "dip_lr", "std", "dip_iterations")}
AXES = {group: group.replace("_", " ") for group in SWEEPS}
ALL = {
    "loss": lambda: figures.loss_curves(BOTH, title="Loss"),
    "psnr": lambda: figures.psnr_over_iterations({net: LAB.record(f"dip-images-{net}") for net in NETS}),
    "fd over steps": lambda: figures.fd_over_training(BOTH, FLOOR),
    "fd over seconds, one seed": lambda: figures.fd_over_training({"baseline": [LONG]}, FLOOR, x="seconds"),
    "samplers": lambda: figures.fd_vs_nfe(LAB.frame("samplers"), FLOOR),
    "total seconds": lambda: figures.fd_vs_total_seconds(*BOTH.values(), LAB.frame("starts"), FLOOR),
    "starts": lambda: figures.fd_vs_t_start(LAB.frame("starts"), FLOOR),
    "ablations": lambda: figures.ablations(SWEEPS, "fd", "FD", title="Sweeps", axes=AXES, floor=FLOOR),
    "ablations, PSNR": lambda: figures.ablations(SWEEPS, "psnr", "PSNR", title="Sweeps", axes=AXES),
    "forward": lambda: figures_theory.forward_process({"linear": np.linspace(0.999, 0.01, 50)}),
    "spectrum": lambda: figures_theory.spectral_bias(LAB.record("spectrum")),
    "checks": lambda: figures_theory.gaussian_checks(LAB.record("gaussian"), list(figures_theory.CHECKS)),
    "mismatch": lambda: figures_theory.mismatch(LAB.record("gaussian")),
    "break-even": lambda: figures_theory.break_even(Cost(30, 0, 0.01, 500, 1000)),
    "break-even, measured": lambda: figures_theory.break_even(Cost(30, 0, 0.01, 500, 1000), LIMIT),
    "break-even, never": lambda: figures_theory.break_even(Cost(30, 1, 0.01, 500, 1000)),
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
    "name", ["fd over steps", "fd over seconds, one seed", "samplers", "total seconds", "starts", "ablations"]
)
def test_each_distance_figure_shows_the_floor_at_an_n_of_its_points(name):
    held = [floor_at(FLOOR, "fd", n).value for n in FLOOR.evals["n"].unique()]
    panels = ALL[name]().axes
    written = [text.get_text() for ax in panels for text in ax.texts]
    for ax in panels:
        lines = [line.get_ydata()[0] for line in ax.lines if line.get_gid() == style.FLOOR]
        assert lines or any(f"{value:.2g} at n = " in text for value in held for text in written)
        assert all(any(np.isclose(y, value) for value in held) for y in lines)


def test_the_floor_is_looked_up_at_the_n_of_the_samples():
    rows = FLOOR.evals
    assert floor_at(FLOOR, "fd", 1000).value == pytest.approx(rows[rows["n"] == 1000]["fd"].mean())
    assert floor_at(FLOOR, "fd", 2000).value == pytest.approx(rows[rows["n"] == 2000]["fd"].mean())
    assert floor_at(FLOOR, "fd", 77).value == FLOOR.metrics["fd"]  # no such row: the record's own n
    assert floor_at(None) is None


def drawn(ax, label):
    """The points of a method."""
    return next(box.lines[0] for box in ax.containers if box.get_label() == label)


def test_training_seconds_include_those_of_the_dip():
    plain, whole = (figures.fd_over_training(BOTH, FLOOR, x=x).axes[0] for x in ("seconds", "step"))
    on_dip = drawn(plain, names.look("on-dip").label).get_xdata()
    pace = np.mean([r.metrics["train_seconds"] / r.metrics["steps"] for r in next(iter(BOTH.values()))])
    spent = np.mean([r.evals["step"].iloc[0] * pace + r.metrics["dip_seconds"] for r in BOTH["on-dip"]])
    assert on_dip[0] == pytest.approx(spent) and drawn(whole, names.look("on-dip").label).get_xdata()[0] > 1


def test_bars_are_the_intervals_along_either_axis_and_none_where_there_is_none():
    _, (ax,) = style.new()
    look = names.Look("a", "#000000", "o")
    style.bars(ax, [1, 2], [10.0, 20.0], [9.0, np.nan], [12.0, np.nan], look)
    style.bars(ax, [1], [10.0], [9.0], [12.0], look, sideways=True)
    up, along = (box.lines[2][0].get_segments() for box in ax.containers)
    assert up[0].tolist() == [[1, 9], [1, 12]] and up[1].tolist() == [[2, 20], [2, 20]]
    assert along[0].tolist() == [[9, 1], [12, 1]]


def test_one_look_a_method_whatever_it_is_called():
    assert names.look("noise") == names.look("a-ddpm") == names.look("baseline")
    others = ("baseline", "blur", "mean", "gaussian", "real")
    assert names.look("dip").colour not in {names.look(name).colour for name in others}
    assert len({names.look(net).colour for net in NETS}) == len(NETS)
    assert names.look("something else").label == "something else"


def test_tile_puts_each_image_in_its_place():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 4), np.uint8)
    sheet = pictures.tile(images, columns=3)
    assert sheet.shape == (5, 14, 3) and sheet.dtype == np.uint8
    assert (sheet[3:5, 5:9] == 4).all() and (sheet[0:2, 10:14] == 2).all()
    assert (sheet[2] == 255).all() and (sheet[3:, 10:] == 255).all()  # the gap, and the place of a sixth image
    assert pictures.tile(LONG.arrays["grid"][:4], 2).shape == (57, 57)


@pytest.mark.parametrize("images", [np.zeros((2, 1, 4, 4)), np.zeros((1, 4, 4), np.uint8), np.zeros((2, 2, 4, 4), np.uint8)])
def test_tile_refuses_what_is_not_images(images):
    with pytest.raises(ValueError, match="images is .* expected uint8"):
        pictures.tile(images)


def test_gif_frames_are_one_picture_a_step():
    frames, images = LONG.arrays["reverse"].shape[:2]
    assert pictures.gif_frames(LONG.arrays["reverse"]).shape == (frames, 29 * -(-images // 4) - 1, 115)


def test_a_floor_far_below_everything_is_written_and_does_not_flatten_the_curves():
    floor = Records().record("floor")
    floor.evals["fd"] = 0.001
    ax = figures.fd_over_training(BOTH, floor).axes[0]
    lowest = min(np.min(line.get_ydata()) for line in ax.lines if line.get_gid() != style.FLOOR)
    assert 0.5 * lowest < ax.get_ylim()[0] < lowest and any(
        "far below:\n0.001 at n = 1000, 0.001 at n = 2000" in text.get_text() for text in ax.texts
    )
    assert not any("real against real" in text.get_text() for text in ax.get_legend().get_texts())  # no line, no name
    floor.evals["fd"] = near = lowest / 3
    ax = figures.fd_over_training(BOTH, floor).axes[0]
    assert ax.get_ylim()[0] < near and not ax.texts


@pytest.mark.parametrize("times", [1.4, 2.4, 4, 9, 12, 100, 3e4])
def test_an_axis_has_ticks_enough_whatever_its_range(times):
    for start in (0.7, 0.93, 1.6, 3.1):
        _, (ax,) = style.new()
        ax.plot([start, start * times], [start, start * times])
        style.log_y(ax)
        style.log_x(ax)
        for (low, high), ticks, scale in (
            (ax.get_ylim(), ax.get_yticks(), ax.get_yscale()), (ax.get_xlim(), ax.get_xticks(), ax.get_xscale())
        ):  # fmt: skip
            seen = [tick for tick in ticks if low <= tick <= high]
            assert 3 <= len(seen) <= 15 and scale == ("linear" if times < 3 else "log")


def test_one_floor_is_drawn_once_and_another_n_is_told():
    ax = figures.fd_over_training(BOTH, FLOOR).axes[0]

    def told():
        drawn = [line.get_label() for line in ax.lines if line.get_gid() == style.FLOOR]
        return [*drawn, *(text.get_text() for text in ax.texts)]

    before = told()
    assert len(before) == len(set(before)) > 0
    style.draw_floor(ax, FLOOR, "fd", 77)  # not measured there: that of 2000, which is in its name
    assert told() == before and "n = 2000" in before[-1]


def test_starts_that_coincide_stand_side_by_side():
    ax, frame = figures.fd_vs_t_start(LAB.frame("starts"), FLOOR).axes[0], LAB.frame("starts")
    places = [box.lines[0].get_xdata()[0] for box in ax.containers]
    assert len(set(places)) == len(places) == frame["label"].nunique()


def test_a_prior_that_never_pays_is_said_to():
    assert "never pays" in ALL["break-even, never"]().get_supxlabel()
    assert any("images" in text.get_text() for text in ALL["break-even"]().axes[0].texts)


def test_a_closed_form_stands_at_the_points_where_it_was_computed():
    record = LAB.record("gaussian")
    ax = figures_theory.gaussian_checks(record, ["ddim_variance"]).axes[0]
    rows = record.evals[record.evals["check"] == "ddim_variance"].sort_values("x")
    assert ax.lines[0].get_ydata().tolist() == rows["expected"].tolist() and ax.lines[0].get_linestyle() == "None"
    assert any(line.get_label() == "variance of the data" for line in ax.lines)


def test_break_even_marks_what_the_seeds_give_with_its_interval():
    (ax,) = ALL["break-even, measured"]().axes
    (band,) = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((np.exp(LIMIT.low), np.exp(LIMIT.high)))
    assert f"{np.exp(LIMIT.value):.1f} [" in ax.texts[0].get_text()


def test_a_figure_of_a_readers_own_is_shown_once(tmp_path, monkeypatch):
    """Made with pyplot, it was shown by the lab, and by Jupyter at the end of the cell."""
    from matplotlib import pyplot

    monkeypatch.setattr(lab, "display", lambda *_, **__: None)
    figure = pyplot.figure()
    lab.Lab("smoke", str(tmp_path)).figure(figure, "own", alt="Nothing.", caption="Nothing.")
    assert not pyplot.fignum_exists(figure.number) and (tmp_path / "smoke/figures/own.png").exists()
