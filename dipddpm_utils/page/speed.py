"""What `./run_all.sh --bench` measured, read from results/bench/<device>.json: a table and the lines of the README.

    {"machine": provenance, "rows": [{program, name, value, target, unit, spread, met, note}], "curves": [...]}

Rows are those of benchmarks/pairs.py: `spread` holds quartiles over pairs or, where the note says so, an interval.
"""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from dipddpm_utils.machine import files
from dipddpm_utils.page.prose import hardware, number

NOT_MEASURED = "Speed has not been measured here: `./run_all.sh --bench` does it."
RATIOS = ("times faster", "times sooner", "times fewer", "times more", "times the floor")


def measured(results: Path) -> list[dict[str, Any]]:
    """The contents of results/bench/*.json, the CPU's first."""
    found = [files.read_json(path) for path in sorted((results / "bench").glob("*.json"))]
    return sorted(found, key=lambda content: content["machine"]["device"] != "cpu")


def table(content: dict[str, Any]) -> pd.DataFrame:
    """One row a measurement: what, value with unit, spread, target, whether it is met, and the note."""
    rows = []
    for row in content["rows"]:
        shown = {"measured": row["name"], "value": f"{_short(row['value'])} {row['unit']}", "spread": _spread(row, " to ")}
        target = "" if row["target"] is None else _short(row["target"])
        rows.append({**shown, "target": target, "met": {True: "yes", False: "no", None: ""}[row["met"]], "note": row["note"]})
    return pd.DataFrame(rows)


def ratios(content: dict[str, Any]) -> pd.DataFrame:
    """Every ratio to a peer at one quality: what, measured with spread, target, and what it was measured at."""
    rows = [row for row in content["rows"] if row["met"] is not None and row["unit"] in RATIOS]
    found = [(row["name"], _cell(row), _short(row["target"]), row["note"].split(";")[0]) for row in rows]
    return pd.DataFrame(found, columns=("beside the peers", "measured", "target", "at"))


def met(content: dict[str, Any]) -> str:
    """How many targets were met, on which machine, and which were not."""
    judged, about = [row for row in content["rows"] if row["met"] is not None], content["machine"]
    missed = [row["name"] for row in judged if not row["met"]]
    shown = sum(row["unit"] in RATIOS for row in judged)
    count = f"Shown: {shown} of {len(content['rows'])} rows. Of all {len(judged)} targets, ratios or not, "
    count += f"{len(judged) - len(missed)} met ({hardware(about)}, torch {about['packages']['torch']})"
    return count + (f"; not met: {', '.join(missed)}." if missed else ".")


def summary(results: Path) -> str:
    """Markdown for the README: `ratios` and `met`, of every machine."""
    parts = []
    for content in measured(results):
        found = ratios(content)
        lines = [f"| {' | '.join(row)} |" for row in (found.columns, ["---"] * 4, *found.to_numpy())]
        parts.append("\n".join(lines) + f"\n\n{met(content)}")
    return "\n\n".join(parts) if parts else NOT_MEASURED


def in_turn(results: Path, name: str) -> str:
    """A row of the program one_sitting, '1.02 [1.01, 1.03] times (median and quartiles of 9 turns)'; '' where there is none."""
    rows = [row for content in measured(results) for row in content["rows"] if row["program"] == "one_sitting"]
    return next(
        (f"{_cell(row)} (median and quartiles of {row['note'].split(';')[0]})" for row in rows if row["name"] == name), ""
    )


def hours(results: Path) -> str:
    """Markdown for the README: how long each profile takes, of results/bench/hours.csv, which `runs --probe` writes."""
    path = results / "bench" / "hours.csv"
    if not path.exists():
        return "`python -m dipddpm_utils runs --probe` estimates how long a profile takes here."
    table = pd.read_csv(path)
    paper = list(table.columns[5:])
    lines = [f"| all runs of | runs | hours of one process | {' | '.join(paper)} |", "|---" * (3 + len(paper)) + "|"]
    for row in table.to_dict("records"):
        here = f"{row['hours']:g}, {row['how']} ({row['machine']})"
        there = [f"{row[name]:g}, on paper" if pd.notna(row[name]) else "" for name in paper]
        lines.append(f"| {' | '.join([row['profile'], str(row['runs']), here, *there])} |")
    return "\n".join(lines) + "\n\nOn paper: counted FLOPs at an assumed speed, not measured."


def to_quality(content: dict[str, Any]) -> str:
    """Where each curve of distance over training seconds ends, and why no 'times sooner' is made of them."""
    own = [curve for curve in content.get("curves", []) if curve["figure"] == "quality" and len(curve["y"])]
    ends = [f"{curve['label']} at {number(curve['y'][-1])} after {number(curve['x'][-1])} s" for curve in own]
    easy = any(row["unit"] == "times sooner" and row["met"] is None for row in content["rows"])
    judged = next((found[1] for row in content["rows"] if (found := re.search(r"; FD by ([^;]*);", row["note"]))), "")
    said = f"The curves end with {'; '.join(ends)}{f' (FD by {judged})' if judged else ''}." if ends else NOT_MEASURED
    return said + (" The distances that all reach are so large that no time to a quality is compared." if easy else "")


def _cell(row: dict[str, Any]) -> str:
    spread = f" [{ends}]" if (ends := _spread(row, ", ")) else ""
    return f"{_short(row['value'])}{spread} {row['unit']}" + (", not met" if row["met"] is False else "")


def _spread(row: dict[str, Any], between: str) -> str:
    low, high = row["spread"]
    return "" if low == high else f"{_short(low)}{between}{_short(high)}"


def _short(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else number(value)
