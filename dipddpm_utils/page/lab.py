"""What a notebook holds in its hands: the records of a profile, and one way each to show a figure, a table, a GIF."""

from __future__ import annotations

import ast
import base64
import copy
import dataclasses
import functools
import io
import re
import sys
import textwrap
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from dipddpm_utils.machine import drive, files
from dipddpm_utils.machine.errors import StoreError
from dipddpm_utils.machine.provenance import hardware
from dipddpm_utils.page import names, notebook
from dipddpm_utils.page.images import img, with_fewer_colours
from dipddpm_utils.page.prose import Link
from dipddpm_utils.store.records import Record
from dipddpm_utils.store.runs import open_store

PACKAGE = Path(__file__).parents[1]
COLUMNS = 7  # of a table on the page
ROWS = 10  # of a table that is not folded
LINE = 60  # letters of a table's cell that stay on one line
WIDE = 105  # letters of all its columns that stay on one line
ZOOM = 3  # of a GIF
Found = TypeVar("Found")


def once(compute: Callable[..., Found]) -> Callable[..., Found]:
    """A function of a lab whose result is kept with the lab: many sentences ask for the same table. more: each by itself."""

    @functools.wraps(compute)
    def kept(lab: Any, *more: Any) -> Found:
        asked = (compute, *more)
        if asked not in lab.kept:
            lab.kept[asked] = compute(lab, *more)
        return lab.kept[asked]

    return kept


class Lab:
    """The records, figures and tables of one profile.

    profile: smoke, quick, standard or full, or "quick:FOLDER" on images of one's own. results: a folder, empty for the
    checkout's, "drive" for one in Google Drive (on Colab only). device: auto, cpu, cuda, cuda:N, mps; it matters only for runs
    that have no record yet. records_only: nothing is computed.
    """

    def __init__(self, profile: str, results: str = "", device: str = "auto", *, records_only: bool = False) -> None:
        notebook.check_parameters()
        self.store = open_store(profile, drive.folder() if results == "drive" else results, device, records_only)
        self.profile = self.store.profile
        self.used: dict[str, Record] = {}
        self.complete: set[str] = set()  # groups of which all records were found
        self.kept: dict[Any, Any] = {}  # of `once`
        self.unfinished: frozenset[str] = frozenset()  # of `so_far`
        if self.store.records_only:
            self._leave_out_newcomers()

    def beside(self, profile: str, *, records_only: bool = False) -> Lab:
        """The lab of another profile with the same results; what it shows is listed with what this one shows."""
        other = Lab(profile, str(self.store.source.parent), self.store.device, records_only=records_only)
        other.used = self.used
        return other

    def so_far(self) -> Lab:
        """This lab of what there is: where nothing may be computed, groups hold the members that have a record.

        None where the first, which figures show, has none. `unfinished`: groups that lack a member; nothing is tested there.
        """
        if not self.lacking(*self.profile.groups):
            return self
        groups = self.profile.groups
        there = {group: [one for one in members if self._there(one.entry.run)] for group, members in groups.items()}
        begun = {group: own for group, own in there.items() if own[:1] == groups[group][:1]}
        other = copy.copy(self)
        other.profile = dataclasses.replace(self.profile, groups=begun)
        other.unfinished = frozenset(group for group in groups if len(there[group]) < len(groups[group]))
        other.complete, other.kept = set(), {}
        return other

    def _leave_out_newcomers(self) -> None:
        """Priors that were declared and not computed yet must not take from the page what there is."""
        new = {kind.name for kind in names.kinds().values() if kind.everywhere}
        groups, absent = dict(self.profile.groups), {}
        for group, members in groups.items():
            open_ = {one.label for one in members if one.label in new and not self._there(one.entry.run)}
            groups[group] = [one for one in members if one.label not in open_]
            absent |= {group: open_} if open_ else {}
        if absent:
            self.profile = dataclasses.replace(self.profile, groups=groups)
            left, whole = sorted(set().union(*absent.values())), self.store.command(f"run {' '.join(absent)} --fresh")
            print(f"not computed yet, left out: {', '.join(left)}; `{whole}` computes them and their rivals", file=sys.stderr)

    # --- records ---

    def record(self, name: str) -> Record:
        """The record of a run by its name ('ddpm-s0'; 'floor' means 'floor-s0'), computed if it is not there yet."""
        entry = self.profile.entry(name if name in self.profile.entries else f"{name}-s0")
        return self._used(entry.run)

    def seeds(self, name: str) -> list[Record]:
        """The records of a run's seeds, in order."""
        return [self._used(entry.run) for entry in self.profile.seeds(name)]

    def all(self) -> list[Record]:
        """Every record that this profile declares or, where nothing may be computed, those of them that are there."""
        return [self._used(entry.run) for entry in self.profile.entries.values() if self._there(entry.run)]

    def has(self, *groups: str) -> bool:
        """Whether this profile declares all these groups and, where nothing may be computed, has all their records."""
        open_ = set(groups).intersection(self.profile.groups) - self.complete
        self.complete |= {group for group in open_ if all(self._there(one.entry.run) for one in self.profile.group(group))}
        return self.complete.issuperset(groups)

    def lacking(self, *groups: str) -> list[str]:
        """Which groups this profile does not declare and, where nothing may be computed, which runs have no record."""
        undeclared = [group for group in groups if group not in self.profile.groups]
        entries = (one.entry for group in groups if group not in undeclared for one in self.profile.group(group))
        return undeclared + list(dict.fromkeys(entry.name for entry in entries if not self._there(entry.run)))

    def missing(self, *groups: str) -> None:
        """Says what of a section is `lacking`; nothing where all is there."""
        if lacking := self.lacking(*groups):
            display(Markdown(f"*Profile {self.profile.name} does not have these runs, or not yet: {', '.join(lacking)}.*"))

    def frame(self, group: str, *labels: str) -> pd.DataFrame:
        """A group as a tidy table: a row per record with name, label, value, anchor, seed, kind and all its metrics.

        labels: only the members with these; all if none is named.
        """
        rows = []
        for member in (one for one in self.profile.group(group) if not labels or one.label in labels):
            record = self._used(member.entry.run)
            about = {"name": record.name, "label": member.label, "value": member.value, "anchor": member.anchor}
            rows.append({**about, "seed": record.seed, "kind": record.kind, **record.metrics})
        return pd.DataFrame(rows)

    def provenance(self, name: str) -> None:
        """When, where and with what the records drawn here were computed: folded, a row per machine; the CSV has each."""
        if not self.used:
            display(Markdown("No record of this profile is drawn here yet."))
            return
        made = pd.DataFrame([_made(record) for record in self.used.values()])
        columns = {
            "records": ("record", "size"),
            "minutes": ("seconds", lambda own: f"{own.sum() / 60:.1f}"),
            "completed (UTC)": ("completed (UTC)", lambda own: " to ".join(dict.fromkeys((own.min()[:10], own.max()[:10])))),
            "code: commits": ("commit", lambda own: ", ".join(own.unique())),
        }
        machines = made.groupby(["machine", "packages"], sort=False, as_index=False).agg(**columns)
        changed = made["commit"].str.endswith("*").sum()
        clean = f"{changed} of them from code with uncommitted changes (*)" if changed else "all from clean checkouts"
        caption = f"What computed the {len(made)} records drawn here, {clean}. "
        caption += "The CSV has a line per record, whose record.json has all."
        self.table(made.drop(columns=["machine", "packages"]), name, caption, shown=machines, folded=True)

    def _there(self, run: Any) -> bool:
        return not self.store.records_only or self.store.state(run) == "complete"

    def _used(self, run: Any) -> Record:
        name = str(self.store.folder(run))  # other profiles have runs of the same name
        if name not in self.used:
            self.used[name] = self.store.ensure(run)
        return self.used[name]

    # --- what is shown, and kept ---

    def figure(self, figure: Figure, name: str, alt: str, caption: str) -> None:
        """Show a figure and keep it as `figures/<name>.png`. alt: what a reader who cannot see it has to know.

        caption: Markdown, what the figure shows, as a finding. The page numbers the figure and links to it as `#fig-<name>`.
        """
        caption += self.random_weights(" ".join([caption, *(text.get_text() for text in figure.findobj(Text))]))
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=96, facecolor="white", bbox_inches="tight", metadata={"Software": None})
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close(figure)  # a reader's own, made with it, would be shown again at the end of the cell
        small = with_fewer_colours(data.getvalue())
        files.write_bytes(self.store.root / "figures" / f"{name}.png", small)
        # as a bundle of types: Colab's IPython 7 has no Image(alt=...)
        shown = {"image/png": base64.b64encode(small).decode(), "text/plain": alt}
        display(shown, raw=True, metadata={"image/png": {"alt": alt, "name": name, "caption": caption}})
        display(Markdown(caption), metadata={"caption": name})  # in a notebook below the figure, on the page within it

    def gif(self, frames: Any, name: str, alt: str, caption: str, milliseconds: int) -> None:
        """Show frames (uint8 [F, H, W] or [F, H, W, 3]) as an endless GIF and keep it as `figures/<name>.gif`; caption: text.

        Every third frame in 8 tones, enlarged by the page alone: noise does not compress, and the page has to stay small.
        """
        pictures = [Image.fromarray(frame).quantize(8) for frame in (*frames[:-1:3], frames[-1])]
        data = io.BytesIO()
        waits = [3 * milliseconds] * (len(pictures) - 1) + [12 * milliseconds]
        pictures[0].save(data, "GIF", save_all=True, append_images=pictures[1:], duration=waits, loop=0, optimize=True)
        files.write_bytes(self.store.root / "figures" / f"{name}.gif", data.getvalue())
        look = f'style="width:{frames[0].shape[1] * ZOOM}px;max-width:100%;image-rendering:pixelated"'
        picture = img(data.getvalue(), alt, look, "gif")
        display(HTML(f'<figure id="fig-{name}">{picture}<figcaption>{escape(caption)}</figcaption></figure>'))

    def table(
        self, frame: pd.DataFrame, name: str, caption: str, shown: pd.DataFrame | None = None, folded: bool | None = None
    ) -> None:
        """Keep a table as `tables/<name>.csv`, and show it, or `shown` where it is too wide for a page (COLUMNS at most).

        The page numbers it and links to its CSV. Cells may be a `Link`; one whose cells hold sentences has its lines wrapped.
        folded: None: if it has over ROWS rows.
        """
        files.write_text(self.store.root / "tables" / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
        frame = frame if shown is None else shown
        if len(frame.columns) > COLUMNS:
            raise ValueError(f"the table has {len(frame.columns)} columns, expected at most {COLUMNS}: pass fewer as `shown`")
        letters = frame.map(lambda value: len(value) if isinstance(value, str) else 0)
        heads = [max(map(len, str(name).split()), default=0) for name in frame.columns]  # all that a column of numbers takes
        wide = sum(most or head for most, head in zip(letters.max(), heads, strict=True)) > WIDE
        kinds = "wordy" if wide or letters.to_numpy().max(initial=0) > LINE else None
        frame = frame.map(_cell).rename(columns=lambda name: escape(str(name)))
        body = frame.to_html(index=False, border=0, escape=False, na_rep="", float_format=lambda x: f"{x:.4g}", classes=kinds)
        folded = len(frame) > ROWS if folded is None else folded
        about, _, more = caption.partition(". ")  # folded, the first sentence stands above and is not said again
        text = " ".join(map(str, [caption, *frame.to_numpy().ravel(), *frame.columns]))
        said = (more if folded else caption) + self.random_weights(text)
        caption = f'{escape(said).strip()} <a href="tables/{name}.csv">CSV</a>.'
        body = body.replace(">\n", f">\n<caption>{caption}</caption>\n", 1).replace("<table ", f'<table id="tab-{name}" ', 1)
        if folded:  # a link to it unfolds it
            rows = f"{len(frame)} row{'s' * (len(frame) > 1)}"
            body = f"<details><summary>Table: {escape(about.removesuffix('.'))} ({rows})</summary>{body}</details>"
        display(HTML(body))

    def source(self, file: str, name: str, *, folded: bool = True) -> None:
        """Show the code of a function, class, method ("UNet.forward") or table ("FAMILIES"), read as text, beside its equation.

        folded: on the page a click opens it.
        """
        code = code_of(file, name)
        where = f"`dipddpm_utils/{file}`" + (f", `{name}`" if "." in name else "")
        display(Markdown(f"{where}\n```python\n{code}\n```"), metadata={"folded": f"{name}, {file}"} if folded else {})

    def random_weights(self, shown: str) -> str:
        """Said wherever ResNet-18 is shown and had random weights; '' elsewhere. shown: all that is read there."""
        if not re.search("ResNet-?18", shown) or "random weights" in shown:
            return ""
        fits = {record.run if record.kind == "dip" else getattr(record.run, "dip", None) for record in self.used.values()}
        own = [fit for fit in fits if fit is not None and fit.net == "resnet18" and self.store.state(fit) == "complete"]
        random = any(note.startswith("random weights") for fit in own for note in self.store.load(fit).notes)
        return " ResNet-18 has random weights." if random else ""


def _cell(value: Any) -> Any:
    """A table's cell as HTML, in which an interval stays on one line."""
    if isinstance(value, Link):
        return f'<a href="{escape(value.target)}">{escape(value.text)}</a>'
    if not isinstance(value, str):
        return value
    return re.sub(r"(\[\S+), (\S+\])", "\\1,\u00a0\\2", escape(value))


def code_of(file: str, name: str) -> str:
    """The code of a function, class, method or table of the package, as text. StoreError if there is none."""
    text = (PACKAGE / file).read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        if not (found := [inner for inner in ast.walk(node) if part in _names(inner)]):
            raise StoreError(f"{file} has no function, class or table {name!r}")
        node = found[0]
    return textwrap.dedent(ast.get_source_segment(text, node, padded=True) or "")


def _names(node: ast.AST) -> list[str]:
    """What a piece of code defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    return [target.id for target in node.targets if isinstance(target, ast.Name)] if isinstance(node, ast.Assign) else []


def _made(record: Record) -> dict[str, Any]:
    made, code = record.provenance, record.provenance.get("code") or {}
    return {
        "record": record.name,
        "hash": record.hash,
        "seconds": round(record.seconds, 1),
        "machine": f"{hardware(made)} ({made['device']})",
        "packages": f"torch {made['packages']['torch']}, Python {made['python']}",
        "commit": (code.get("commit") or "none")[:7] + "*" * bool(code.get("dirty")),
        "completed (UTC)": record.completed[:16].replace("T", " "),
    }
