"""The notebooks as files: which there are, what their parameters are, and whether they keep the house's rules."""

from __future__ import annotations

import ast
import difflib
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dipddpm_utils.machine.errors import UsageError

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
MOST_LINES = 30  # of a code cell
RESERVED = {"profile": "--profile", "results": "--results", "device": "--device"}  # parameters that are options of their own


@dataclass(frozen=True)
class Source:
    """A notebook: its file, its title, and the defaults of its parameters."""

    path: Path
    title: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        """The digits its name begins with, such as '03'."""
        return re.match(r"\d*", self.name)[0]


def find(folder: Path = FOLDER, only: str = "") -> list[Source]:
    """The notebooks of a folder in order; `only` takes some by number or name ('03,05'). UsageError for an unknown one."""
    sources = [read(path) for path in sorted(folder.glob("[0-9]*.ipynb"))]
    if not sources:
        raise UsageError(f"there are no notebooks in {folder}")
    chosen = []
    for wanted in (word.strip() for word in only.split(",")) if only else ():
        hits = [s for s in sources if wanted and wanted.removesuffix(".ipynb") in (s.name, s.number, s.number.lstrip("0"))]
        if not hits:
            raise UsageError(f"there is no notebook {wanted!r}: there are {', '.join(s.name for s in sources)}")
        chosen += hits
    return [s for s in sources if not only or s in chosen]


def read(path: Path) -> Source:
    """A notebook's title and parameters. UsageError if the file is not a notebook."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is not a notebook that can be read: restore it (git checkout) and run again") from None
    text = "\n".join(_text(cell) for cell in cells if cell["cell_type"] == "markdown")
    title = re.search(r"^# +(.+)$", text, flags=re.MULTILINE)
    found = [_text(cell) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    values = {}
    for line in found[0].splitlines() if found else ():
        if _code(line):
            name, value = _assignment(line) or (None, None)
            if name:
                values[name] = value
    return Source(path, title[1].strip() if title else path.stem, values)


def checked(sources: list[Source], given: dict[str, str]) -> dict[str, Any]:
    """The values given on the command line, as the types of the parameters' defaults.

    UsageError for a name that none of the notebooks has (papermill itself only warns), for a value of another type, and
    for a parameter that has an option of its own.
    """
    known = {name: default for source in sources for name, default in source.parameters.items()}
    values = {}
    for name, text in given.items():
        if name in RESERVED:
            raise UsageError(f"parameter {name!r} has an option of its own: use {RESERVED[name]}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known.keys() - RESERVED.keys())
            hint = f"did you mean {', '.join(near)}?" if near else "they have none that can be set"
            raise UsageError(f"no notebook that would run has a parameter {name!r}: {hint}")
        values[name] = _typed(name, text, known[name])
    return values


def lint(path: Path) -> list[str]:
    """What a notebook does against the house's rules, one line each; empty if nothing."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    code = [(number, cell) for number, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]
    faults = []
    if "widgets" in notebook["metadata"]:
        faults.append("widget metadata: GitHub refuses to show the notebook")
    tagged = [(number, cell) for number, cell in code if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        faults.append(f"{len(tagged)} cells tagged `parameters`, expected one")
    for number, cell in tagged:
        for line in filter(_code, _text(cell).splitlines()):
            if _assignment(line) is None:
                faults.append(f"cell {number}: not one scalar assignment with at most one '=': {line.strip()[:80]}")
    for number, cell in code:
        lines = _text(cell).splitlines()
        if len(lines) > MOST_LINES:
            faults.append(f"cell {number}: {len(lines)} lines, at most {MOST_LINES} are allowed")
        if cell["outputs"] or cell["execution_count"] is not None:
            faults.append(f"cell {number}: outputs are in the source (python -m nbstripout {path.name})")
        if re.search(r"^\s*class ", _text(cell), flags=re.MULTILINE):
            faults.append(f"cell {number}: defines a class; it belongs in dipddpm_utils")
        if re.search(r"^\s*from \S+ import \*", _text(cell), flags=re.MULTILINE):
            faults.append(f"cell {number}: a star import")
    return [f"{path.name}: {fault}" for fault in faults]


def _text(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _code(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith("#")


def _assignment(line: str) -> tuple[str, Any] | None:
    """(name, value) of `name = scalar  # comment without an equals sign`, or None if the line is anything else."""
    try:
        (node,) = ast.parse(line.strip()).body
        value = ast.literal_eval(node.value)
        (target,) = node.targets
        name = target.id
    except (SyntaxError, ValueError, AttributeError, TypeError):
        return None
    scalar = value is None or isinstance(value, bool | int | float | str)
    return (name, value) if scalar and line.count("=") == 1 else None


def _typed(name: str, text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text
    fits = {bool: isinstance(value, bool), int: type(value) is int, float: type(value) in (int, float)}.get(type(default), True)
    if not fits:
        raise UsageError(f"parameter {name!r} takes {_KINDS[type(default)]}, not {text!r}")
    return value


_KINDS = {bool: "True or False", int: "a whole number", float: "a number"}


if __name__ == "__main__":  # the pre-commit hook: python -m dipddpm_utils.driver.nbfiles FILES
    problems = [fault for file in sys.argv[1:] for fault in lint(Path(file))]
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(bool(problems))
