"""Each notebook's cells run from top to bottom on the committed records, without torch, and keep the house's shape."""

import ast
import json
import sys
from pathlib import Path
from types import ModuleType

import matplotlib
import notebook_rules
import pytest
from labs import Records

from dipddpm_utils.page.lab import COLUMNS, code_of
from dipddpm_utils.study import profile as profiles

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("0*.ipynb"))


class ShowingLab(Records):
    """Committed records; takes figures and tables as the real lab does and remembers them."""

    shown: list[str]
    profile_shown, without = "standard", ()

    def __init__(self, profile, results="", device="auto"):
        super().__init__(self.profile_shown, without=self.without)
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

    def provenance(self):
        assert self.used


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("profile", ["standard", pytest.param("quick", marks=pytest.mark.smoke)])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run_on_committed_records(path, profile, monkeypatch):
    fake = ModuleType("dipddpm_utils.page.lab")
    fake.Lab = ShowingLab
    monkeypatch.setattr(ShowingLab, "profile_shown", profile)
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


def _forbidden(node):
    return isinstance(node, ast.FunctionDef | ast.ClassDef | ast.While) or (
        isinstance(node, ast.Import) and node.names[0].name == "torch"
    )


def test_there_are_seven():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"0{i}" for i in range(1, 8)]
    assert matplotlib.__version__


@pytest.mark.smoke
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run_where_there_are_the_two_reports_runs_alone(path, monkeypatch):
    others = set(profiles.load("standard").groups) - set(profiles.load("full").groups)
    monkeypatch.setattr(ShowingLab, "without", tuple(others))
    test_cells_run_on_committed_records(path, "standard", monkeypatch)
