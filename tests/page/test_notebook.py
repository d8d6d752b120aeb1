"""A notebook's parameters: what a line says that they may be is what is taken, by the command and inside the notebook."""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import notebook_rules
import papermill
import pytest
from made_notebooks import made

from dipddpm_utils.driver import nbfiles
from dipddpm_utils.machine.errors import StoreError, UsageError
from dipddpm_utils.page import html, notebook

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("0*.ipynb"))
CELL = """\
profile = "quick"  # one of smoke, quick, NAME:FOLDER
results = ""  # any folder
images = 32  # 4 to 64; how many
share = 0.5  # 0.05 to 0.95; of the chain
net = "skip"  # one of empty, 2conv, skip; whose
device = "auto"  # one of auto, cuda:N
flag = True  # whether
"""
WRONG = [
    ("images", 3, "a whole number from 4 to 64, not 3"),
    ("images", 65, "a whole number"),
    ("images", 32.0, "a whole number"),
    ("images", True, "a whole number"),
    ("images", "many", "a whole number from 4 to 64, not 'many'"),
    ("share", -1, "a number from 0.05 to 0.95, not -1"),
    ("share", float("inf"), "a number"),
    ("share", float("nan"), "a number"),
    ("profile", "quick:", "one of smoke, quick, NAME:FOLDER, not 'quick:'"),
    ("net", "foo", "one of empty, 2conv, skip, not 'foo'"),
    ("net", 2, "one of empty"),
    ("device", "cuda:x", "one of auto, cuda:N"),
    ("device", "cuda", "one of auto, cuda:N"),
    ("flag", "no", "True or False, not 'no'"),
    ("flag", 1, "True or False"),
    ("results", 3, "text, not 3"),
]
RIGHT = [
    ("images", 4),
    ("images", 64),
    ("share", 0.05),
    ("net", ""),
    ("net", "2conv"),
    ("device", "cuda:11"),
    ("profile", "quick:/a b/c"),
    ("flag", False),
]


@pytest.fixture
def kernel(monkeypatch):
    """Runs cells as IPython would keep them, then the check that a Lab begins with."""

    def run(*cells):
        names = {"In": ["", *cells]}
        for cell in cells:
            exec(cell, names)
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(user_ns=names)))
        notebook.check_parameters()

    return run


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_a_value_that_a_parameter_cannot_have_is_refused(name, value, says, kernel):
    with pytest.raises(UsageError, match=f"parameter '{name}' takes {says}"):
        kernel("import math", CELL, f"# Parameters\n{name} = {papermill.translators.PythonTranslator.translate(value)}\n")
    source = nbfiles.Source(Path("01_a.ipynb"), "", notebook.declared(CELL))
    if name in ("images", "share", "flag") and not isinstance(value, float | bool):  # as typed on a command line
        with pytest.raises(UsageError, match=f"parameter '{name}' takes {says}"):
            nbfiles.checked([source], {name: str(value)})


def test_the_cells_own_values_are_checked_too_whatever_their_type(kernel):
    for wrong in ('images = "many"', "images = 4 * 20", "images = 2"):
        with pytest.raises(UsageError, match="'images' takes a whole number from 4 to 64"):
            kernel(CELL.replace("images = 32", wrong))
    kernel(CELL.replace("images = 32", "images = 4 * 8"))


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_a_value_that_it_can_have_is_taken(name, value, kernel):
    kernel(CELL, f"# Parameters\n{name} = {value!r}\n", "x = 1", "print(x)")
    if name in ("device", "profile"):  # options of their own
        return
    source = nbfiles.Source(Path("01_a.ipynb"), "", notebook.declared(CELL))
    assert nbfiles.checked([source], {name: str(value)}) == {name: value}


def test_a_name_that_the_notebook_lacks_stops_it(kernel):
    with pytest.raises(UsageError, match="no parameter 'imagez': did you mean images?"):
        kernel(CELL, "# Parameters\nimagez = 3\n")
    kernel("imagez = 3", CELL, "imagez = 4")  # a reader's own name in a cell of their own


def test_outside_a_notebook_nothing_is_checked(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    notebook.check_parameters()
    monkeypatch.delitem(sys.modules, "IPython")
    notebook.check_parameters()


def test_papermill_itself_stops_at_a_misspelt_name(tmp_path):
    here = f"import sys\nsys.path.append({str(Path(__file__).parents[2])!r})  # the kernel starts outside the checkout\n"
    lab = f"{here}from dipddpm_utils.page.lab import Lab\nlab = Lab(profile, results, device)"
    path, how = made(tmp_path / "01_a.ipynb", lab, parameters=CELL), {"kernel_name": "python3", "progress_bar": False}
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(path, tmp_path / "out.ipynb", {"imagez": 5}, **how)
    assert caught.value.ename == "UsageError" and "did you mean images" in caught.value.evalue


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermills_own_inspection_sees_the_same(path):
    own, theirs = nbfiles.read(path).parameters, papermill.inspect_notebook(path)
    assert {name: item.value for name, item in own.items()} == {
        name: ast.literal_eval(item["default"]) for name, item in theirs.items()
    }
    assert len(own) >= 3 and all(item.limits or item.choices or name in ("results",) for name, item in own.items())


BROKEN = [b"{", b"[]", b"<<<<<<< ours\n{}", b"\xff\xfe", b'{"cells": 3}', b'{"nbformat": 3, "cells": []}']
BROKEN += [b'{"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [{}]}']


@pytest.mark.parametrize("content", BROKEN)
def test_a_kept_notebook_that_cannot_be_read_is_one_line_with_its_name(content, tmp_path):
    path = tmp_path / "02_b.ipynb"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="02_b.ipynb is not a notebook that can be read") as caught:
        html.build([("A title", path)])
    assert "\n" not in str(caught.value) and "run that notebook again" in str(caught.value)
    assert "02_b.ipynb is not a notebook" in notebook_rules.lint(path)[0]
