"""A notebook: its file, and the parameters that it declares, each with what it may be.

A line of the cell tagged `parameters` is `name = value  # WHAT; words`. WHAT is `LOW to HIGH` (both included; whole numbers if
both are) or `one of A, B, C` (`empty` for ""; for what stands in PLACES, any such text); without it any value of the default's
type will do. It is read here, and not by papermill: notebooks check it themselves, also where that is not installed (Colab).
"""

import ast
import difflib
import json
import math
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from dipddpm_utils.machine.errors import StoreError, UsageError

# jsonschema tries this package for a format that notebooks do not use; its import builds a grammar for two seconds
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def read(path: Path, repair: str) -> dict[str, Any]:
    """The JSON of a notebook, format 4. StoreError with the file's name, and how to repair it, if it is not one."""
    import nbformat

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["nbformat"] != 4:
            raise ValueError(f"its format is {content['nbformat']}, not 4")
        nbformat.validate(content)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}): {repair}") from None
    except (ValueError, KeyError, TypeError, nbformat.ValidationError) as error:
        reason = (str(error).splitlines() or [""])[0][:80]
        raise StoreError(f"{path} is not a notebook that can be read ({reason}): {repair}") from None
    return content


PLACES = {"N": r"\d+", "NAME": r"\w+", "FOLDER": r".+", "empty": ""}  # in a choice, such as cuda:N


class Parameter(NamedTuple):
    """A line of a parameters cell. value: None where it is no plain value; limits: lowest and highest number."""

    name: str
    value: bool | int | float | str | None
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()

    @property
    def takes(self) -> str:
        """What it may be, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = {bool: "True or False", int: "a whole number", float: "a number"}.get(self.type, "text")
        return words + (f" from {self.limits[0]:g} to {self.limits[1]:g}" if self.limits else "")

    @property
    def type(self) -> type:
        if self.limits:
            return int if all(type(limit) is int for limit in self.limits) else float
        return str if self.choices else type(self.value)

    def check(self, value: Any) -> None:
        """UsageError if the parameter cannot be `value`."""
        number = type(value) in (int, float) and math.isfinite(value)
        fits = number if self.type is float else type(value) is self.type
        if fits and self.limits:
            fits = self.limits[0] <= value <= self.limits[1]
        if fits and self.choices:
            fits = any(re.fullmatch(_pattern(choice), value) for choice in self.choices)
        if not fits:
            raise UsageError(f"parameter {self.name!r} takes {self.takes}, not {value!r}")

    def parsed(self, text: str) -> Any:
        """`text`, as it is given on a command line, as this parameter's type. UsageError if it cannot be that."""
        value = text if self.type is str else _literal(text, text)
        self.check(value)
        return value


def parameter(line: str) -> Parameter | None:
    """The parameter that a line declares, or None if it is anything else than `name = value  # comment`."""
    line = line.strip()
    try:
        (node,) = ast.parse(line).body
        (target,) = node.targets
        name, end = target.id, node.end_col_offset
    except (SyntaxError, ValueError, AttributeError):
        return None
    value = _literal(ast.get_source_segment(line, node.value))
    what = line.encode()[end:].decode().lstrip(" #").split(";")[0]
    numbers = tuple(map(_literal, what.split(" to ")))
    limits = numbers if len(numbers) == 2 and all(type(limit) in (int, float) for limit in numbers) else None
    choices = tuple(what.removeprefix("one of ").split(", ")) if what.startswith("one of ") else ()
    return Parameter(name, value if isinstance(value, bool | int | float | str) else None, limits, choices)


def declared(cell: str) -> dict[str, Parameter]:
    """The parameters of a cell by name; none if it holds anything else than parameters and comments."""
    lines = [parameter(line) for line in cell.splitlines() if line.strip() and not line.strip().startswith("#")]
    return {} if None in lines else {found.name: found for found in lines}


def unknown(name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is no parameter, with the nearest that are."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)
    hint = f"did you mean {', '.join(near)}?" if near else "there are none that can be set"
    return UsageError(f"there is no parameter {name!r}: {hint}")


def check_parameters() -> None:
    """Inside a notebook: UsageError if a parameter is not what its line says, or has no line (papermill itself only warns)."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    known: dict[str, Parameter] = {}
    for cell in shell.user_ns.get("In", ()) if shell else ():
        found = declared(cell)
        if known and cell.startswith("# Parameters\n"):  # papermill's cell, after the notebook's own
            for name in found.keys() - known.keys():
                raise unknown(name, known)
        elif {"profile", "results"} <= found.keys():  # what every parameters cell has
            known = found
    for name, item in known.items():
        item.check(shell.user_ns[name])


def _pattern(choice: str) -> str:
    return re.sub(rf"\b({'|'.join(PLACES)})\b", lambda place: PLACES[place[0]], re.escape(choice))


def _literal(text: str, otherwise: Any = None) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return otherwise
