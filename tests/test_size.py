"""Small enough to be read: modules of 300 lines, functions of 60; and CONTRIBUTING sends nobody to a file that is not there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dipddpm_utils"
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert not [f"{one.name}: {size} lines" for one in functions if (size := one.end_lineno - one.lineno + 1) > 60]


def test_contributing_names_files_that_are_there():
    named = re.findall(r"`([\w/]+\.(?:py|css))`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(named) > 15
    missing = [name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()]
    assert missing == ["figures.py"]  # of whichever chapter
