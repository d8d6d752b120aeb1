"""The house's rules for the sources of notebooks. The pre-commit hook: python tests/notebook_rules.py FILES"""

import re
import sys
from pathlib import Path

from dipddpm_utils.driver.nbfiles import text_of
from dipddpm_utils.machine.errors import StoreError, UsageError
from dipddpm_utils.page import notebook

MOST_LINES = 30  # of a code cell


def lint(path: Path) -> list[str]:
    """What a notebook does against the house's rules, one line each; empty if nothing."""
    try:
        content = notebook.read(path, "restore it (git checkout)")
    except StoreError as error:
        return [str(error)]
    code = [(number, cell) for number, cell in enumerate(content["cells"], 1) if cell["cell_type"] == "code"]
    faults = []
    if "widgets" in content["metadata"]:
        faults.append("widget metadata: GitHub refuses to show the notebook")
    tagged = [(number, cell) for number, cell in code if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        faults.append(f"{len(tagged)} cells tagged `parameters`, expected one")
    for number, cell in tagged:
        faults += [f"cell {number}: {fault}" for line in text_of(cell).splitlines() for fault in _of_parameter(line)]
    for number, cell in code:
        lines = text_of(cell).splitlines()
        if len(lines) > MOST_LINES:
            faults.append(f"cell {number}: {len(lines)} lines, at most {MOST_LINES} are allowed")
        if cell["outputs"] or cell["execution_count"] is not None:
            faults.append(f"cell {number}: outputs are in the source (python -m nbstripout {path.name})")
        if re.search(r"^\s*class ", text_of(cell), flags=re.MULTILINE):
            faults.append(f"cell {number}: defines a class; it belongs in dipddpm_utils")
        if re.search(r"^\s*from \S+ import \*", text_of(cell), flags=re.MULTILINE):
            faults.append(f"cell {number}: a star import")
    return [f"{path.name}: {fault}" for fault in faults]


def _of_parameter(line: str) -> list[str]:
    """What is wrong with a line of the parameters cell. papermill cannot read a second '=', even in a comment."""
    if not line.strip() or line.strip().startswith("#"):
        return []
    found = notebook.parameter(line)
    if found is None or found.value is None or line.count("=") != 1:
        return [f"not one scalar assignment with at most one '=': {line.strip()[:80]}"]
    if found.type in (int, float) and not found.limits:
        return [f"a number without its limits (# 1 to 9; what it is): {line.strip()[:80]}"]
    try:
        found.check(found.value)
    except UsageError as error:
        return [str(error)]
    return []


if __name__ == "__main__":
    problems = [fault for file in sys.argv[1:] for fault in lint(Path(file))]
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(bool(problems))
