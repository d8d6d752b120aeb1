"""Each notebook's cells run from top to bottom on the committed records, without torch, and keep the house's shape."""

import ast
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import notebook_rules
import pytest
from labs import Records

from dipddpm_utils.page.lab import COLUMNS, code_of, once
from dipddpm_utils.study import profile as profiles

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("0*.ipynb"))

# What is shown beside a numbered equation: notebook -> equation -> files and names.
EQUATIONS = {
    "01": {
        "1": ["ddpm/process.py diffuse"],
        "2": ["ddpm/process.py q_posterior_mean_variance"],
        "3": ["ddpm/process.py squared_error"],
        "4": ["theory/gaussian.py optimal_in_basis", "theory/gaussian.py ddim_chain"],
        "9": ["theory/gaussian.py start_mismatch"],
        "9a": ["theory/gaussian.py paired_mismatch"],
        "10": ["theory/gaussian.py Cost"],
    },
    "02": {"1": ["dip/fit.py fit_images.fits"], "2": ["dip/fit.py noisy_input", "dip/fit.py dip_loss"]},
    "03": {
        "1": ["judging/frechet.py frechet_distance"],
        "2": ["ddpm/sampling.py ancestral_step"],
        "3": ["ddpm/sampling.py ddim_step"],
        "4": ["ddpm/sampling.py dpmpp_step"],
    },
    "04": {
        "1": [
            "priors/process.py start_chain",
            "priors/declared.py dip",
            "priors/declared.py per_image",
            "priors/declared.py truncated",
        ],
        "2": ["priors/declared.py curriculum"],
        "3": ["priors/declared.py fit_loss"],
        "4": ["priors/process.py advised"],
        "5": ["priors/process.py loss", "priors/process.py sample"],
        "6": ["priors/declared.py condition", "priors/process.py told"],
        "7": ["priors/declared.py guidance"],
        "8": ["priors/degraded.py told"],
    },
    "05": {"1": ["stopping/rules.py Stages"]},
}
ELSEWHERE = {"dip/nets.py", "ddpm/unet.py", "training/loop.py", "training/ema.py", "page/compare.py", "priors/restore.py"}
ELSEWHERE |= {"priors/supervised.py", "reports/claims.py", "reports/gate.py", "stopping/rules.py WindowVariance"}  # no equation
ELSEWHERE |= {"ddpm/sampling.py timesteps", "ddpm/sampling.py chain"}  # the loop around (2) to (4) of 03


class ShowingLab(Records):
    """Committed records; takes figures and tables as the real lab does and remembers them."""

    shown: list[str]
    without = ()

    of = "standard"

    def __init__(self, profile, results="", device="auto"):
        super().__init__(self.of, without=self.without)
        type(self).shown = []

    def figure(self, figure, name, alt, caption=""):
        assert len(alt) > 20 and figure.get_suptitle()
        figure.draw_without_rendering()
        self.shown.append(name)

    def gif(self, frames, name, alt, caption, milliseconds=120, zoom=3):
        assert frames.dtype == "uint8" and frames.ndim in (3, 4) and caption and milliseconds > 0
        self.shown.append(name)

    def table(self, frame, name, caption, shown=None, folded=None):
        assert len(frame.columns) and caption
        self.show(frame if shown is None else shown, caption)
        self.shown.append(name)

    def show(self, frame, caption, name=""):
        assert len(frame) and caption and len(frame.columns) <= COLUMNS

    def source(self, file, name, folded=True):
        assert code_of(file, name)


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("profile", ["standard", "full"])  # quick's are drawn by the drill of Colab
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.slow
def test_cells_run_on_committed_records(path, profile, monkeypatch):
    monkeypatch.setattr(ShowingLab, "of", profile)
    fake = ModuleType("dipddpm_utils.page.lab")
    fake.Lab, fake.once = ShowingLab, once
    monkeypatch.setitem(sys.modules, "dipddpm_utils.page.lab", fake)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    monkeypatch.chdir(FOLDER)
    names: dict = {}
    for cell in cells(path, "code"):
        exec(compile("".join(cell["source"]), f"{path.name}, {cell['id']}", "exec"), names)
    assert ShowingLab.shown and len(set(ShowingLab.shown)) == len(ShowingLab.shown)
    assert all(name.startswith(path.stem[:2]) or name == "claims" for name in ShowingLab.shown)
    if path.stem.startswith("06"):
        assert "claims" in ShowingLab.shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_sources_keep_the_houses_shape(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook_rules.lint(path) == []
    assert notebook["nbformat"] == 4 and notebook["metadata"]["accelerator"] == "GPU"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids) and {"bootstrap", "parameters", "imports", "provenance"} <= set(ids)
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    for part in ("**Question.**", "Open in Colab", "**Expected time.**", f"notebooks/{path.name}"):
        assert part in text
    assert not [
        node for node in ast.walk(ast.parse("\n".join("".join(c["source"]) for c in cells(path, "code")))) if _forbidden(node)
    ]


def test_what_is_shown_beside_an_equation_names_it():
    listed, shown = set(), set()
    for path in NOTEBOOKS:
        text, own = path.read_text(encoding="utf-8"), EQUATIONS.get(path.stem[:2], {})
        shown |= {f"{file} {name}" for file, name in re.findall(r'lab\.source\(\\"(.+?)\\", \\"(.+?)\\"', text)}
        for equation, places in own.items():
            assert f"tag{{{equation}}}" in text
            listed |= set(places)
            lacking = [place for place in places if f"({equation}) of notebook {path.stem[:2]}" not in _docstring(place)]
            assert lacking == []
    assert listed <= shown
    assert [place for place in shown - listed if not {place, place.split()[0]} & ELSEWHERE] == []


def _docstring(place):
    return " ".join(ast.get_docstring(ast.parse(code_of(*place.split())).body[0]).split())


def _forbidden(node):
    return isinstance(node, ast.FunctionDef | ast.ClassDef | ast.While) or (
        isinstance(node, ast.Import) and node.names[0].name == "torch"
    )


def test_there_are_seven():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"0{i}" for i in range(1, 8)]


@pytest.mark.smoke
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run_where_there_are_the_two_reports_runs_alone(path, monkeypatch):
    others = set(profiles.load("standard").groups) - set(profiles.load("full").groups)
    monkeypatch.setattr(ShowingLab, "without", tuple(others))
    test_cells_run_on_committed_records(path, "standard", monkeypatch)
