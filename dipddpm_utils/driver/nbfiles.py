"""The notebooks as files: which there are, what may be given to them, and what is kept of them."""

import json
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dipddpm_utils.machine.errors import UsageError
from dipddpm_utils.machine.files import CHECKOUT
from dipddpm_utils.page import notebook

FOLDER = CHECKOUT / "notebooks"
RESERVED = {"profile": "--profile", "results": "--results", "device": "--device"}  # parameters that are options of their own


class Source(NamedTuple):
    """A notebook: its file, its title, and its parameters by name."""

    path: Path
    title: str
    parameters: dict[str, notebook.Parameter]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        """The digits its name begins with, such as '03'."""
        return re.match(r"\d*", self.name)[0]


def find(folder: Path = FOLDER, only: str | None = None) -> list[Source]:
    """The notebooks of a folder in order; `only` takes some by number or name ('03,05'). UsageError for an unknown one."""
    sources = [read(path) for path in sorted(folder.glob("[0-9]*.ipynb"))]
    if not sources:
        raise UsageError(f"there are no notebooks in {folder}: restore it (git checkout notebooks), or call this in a checkout")
    chosen = []
    for wanted in (word.strip() for word in only.split(",")) if only is not None else ():
        hits = [s for s in sources if wanted and wanted.removesuffix(".ipynb") in (s.name, s.number, s.number.lstrip("0"))]
        if not hits:
            raise UsageError(f"there is no notebook {wanted!r}: there are {', '.join(s.name for s in sources)}")
        chosen += hits
    return [s for s in sources if only is None or s in chosen]


def read(path: Path) -> Source:
    """A notebook's title and parameters. StoreError if the file is not a notebook."""
    cells = notebook.read(path, "restore it (git checkout) and run again")["cells"]
    text = "\n".join(text_of(cell) for cell in cells if cell["cell_type"] == "markdown")
    title = re.search(r"^# +(.+)$", text, flags=re.MULTILINE)
    found = [text_of(cell) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    return Source(path, title[1].strip() if title else path.stem, notebook.declared(found[0]) if found else {})


def checked(sources: list[Source], given: dict[str, str]) -> dict[str, Any]:
    """The values given on the command line, as the types that their parameters have.

    UsageError for a name that none of the notebooks has (papermill itself only warns), for a value that the parameter cannot
    have, and for a parameter that has an option of its own.
    """
    known = {name: item for source in sources for name, item in source.parameters.items()}
    values = {}
    for name, text in given.items():
        if name in RESERVED:
            raise UsageError(f"parameter {name!r} has an option of its own: use {RESERVED[name]}")
        if name not in known:
            raise notebook.unknown(name, known.keys() - RESERVED.keys())
        values[name] = known[name].parsed(text)
    return values


def cleaned(executed: Path) -> str:
    """An executed notebook without what differs from machine to machine: times, paths, random ids, progress lines."""
    content = notebook.read(executed, "the temporary folder may be full: set TMPDIR to another one")
    about = content["metadata"]
    about["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    given = about.get("papermill", {}).get("parameters", {})
    own = Path(str(given.get("profile", "")).partition(":")[2])  # the user's folder of images, called by its name alone
    places = [(own, own.name), (Path(sys.prefix), "environment"), (CHECKOUT, "."), (Path.home(), "~")]
    about["papermill"] = {"parameters": _without(places, given)}
    about.pop("widgets", None)
    for cell in content["cells"]:
        cell["metadata"].pop("papermill", None)
        if "injected-parameters" in cell["metadata"].get("tags", []):
            cell["id"] = "injected-parameters"
            cell["source"] = _without(places, cell["source"])
        if cell["cell_type"] == "code":  # stderr without a warning is progress, which was shown while it ran
            kept = [o for o in cell["outputs"] if o.get("name") != "stderr" or "Warning" in "".join(o["text"])]
            cell["outputs"] = [_without(places, output) for output in kept]
    return json.dumps(content, indent=1, ensure_ascii=False)


def count(events: Path) -> tuple[int, int]:
    """How many runs a notebook computed and how many it took from records, each run once."""
    lines = []
    with suppress(OSError):  # nothing was used
        for line in events.read_text().splitlines():
            with suppress(ValueError):  # a full disk cuts the last one
                lines.append(json.loads(line))
    computed = {line["run"] for line in lines if line["action"] == "computed"}
    return len(computed), len({line["run"] for line in lines} - computed)


def _without(places: list[tuple[Path, str]], value: Any) -> Any:
    """The same output or parameters with these folders of this machine called by other names in their texts."""
    if isinstance(value, dict):
        return {key: item if key.startswith("image/") else _without(places, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(places, item) for item in value]
    if not isinstance(value, str):
        return value
    for folder, instead in places:
        if folder != Path(folder.anchor):
            value = instead.join(re.split(re.escape(str(folder)) + r"(?![\w-])", value))
    return value


def text_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])
