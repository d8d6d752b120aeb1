"""What `./run_all.sh --bench` measured, read from results/bench/<device>.json: a table, plots, the lines of the README.

    {"machine": provenance of the last call, "curves": [...],
     "rows": [{program, machine, name, value, target, unit, spread, met, note}]}

Rows are those of benchmarks/pairs.py: `spread` holds quartiles over pairs or, where the note says so, an interval.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import StoreError
from dipddpm_utils.machine.provenance import hardware
from dipddpm_utils.page.compare import grouped
from dipddpm_utils.page.names import METHODS, Look
from dipddpm_utils.page.prose import number
from dipddpm_utils.page.style import bars, finish, new, round_ticks, styled
from dipddpm_utils.page.tables import markdown

NOT_MEASURED = "Speed has not been measured here: `./run_all.sh --bench` does it."
HOURS = ["profile", "runs", "hours", "how", "machine"]  # columns of hours.csv, before those on paper
RATIOS = ("times faster", "times sooner", "times fewer", "times more", "times the floor")
TITLES = {
    "quality": "Distance over training seconds, ours and the peers, each under its own usual loop",
    "samplers": "Distance over network calls",
    "machine": "How much of the machine a training step uses",
    "growth": "How time and memory grow",
}
TRAINERS = {
    "ours": METHODS["baseline"]._replace(label="ours"),
    "report B": Look("report B's way", "#D55E00", "s"),
    "diffusers": Look("diffusers", "#E69F00", "v"),
    "denoising-diffusion-pytorch": Look("denoising-diffusion-pytorch", "#CC79A7", "P"),
}


def measured(results: Path) -> list[dict[str, Any]]:
    """The contents of results/bench/*.json, the CPU's first."""
    found = [read(path) for path in sorted((results / "bench").glob("*.json"))]
    return sorted(found, key=lambda content: content["machine"]["device"] != "cpu")


def read(path: Path) -> dict[str, Any]:
    """One such file; a row or curve that does not say its machine is of the call that the file tells of."""
    content = files.read_json(path)
    said = f"{hardware(content['machine'])}, torch {content['machine']['packages']['torch']}"
    return {**content, **{of: [{"machine": said, **row} for row in content[of]] for of in ("rows", "curves")}}


def table(content: dict[str, Any]) -> pd.DataFrame:
    """One row per measurement: what, value with unit, spread, target, whether it is met, the note, and the machine."""
    rows = []
    for row in content["rows"]:
        shown = {"measured": row["name"], "value": f"{_short(row['value'])} {_unit(row)}", "spread": _spread(row, " to ")}
        target = "" if row["target"] is None else _short(row["target"])
        about = {"met": {True: "yes", False: "no", None: ""}[row["met"]], "note": row["note"], "machine": row["machine"]}
        rows.append({**shown, "target": target, **about})
    return pd.DataFrame(rows)


def ratios(content: dict[str, Any]) -> pd.DataFrame:
    """Every ratio to a peer at one quality: what, measured with spread, target, and at what; an unusual machine by its name."""
    rows = [row for row in content["rows"] if row["met"] is not None and row["unit"] in RATIOS]
    usual, found = Counter(row["machine"] for row in content["rows"]).most_common(1), []
    for row in rows:
        at = row["note"].split(";")[0] + f" ({row['machine']})" * (row["machine"] != usual[0][0])
        found.append((row["name"], _cell(row), _short(row["target"]), at.strip()))
    return pd.DataFrame(found, columns=("beside the peers", "measured", "target", "at"))


def machines(rows: list[dict[str, Any]]) -> list[str]:
    """On which machines they were measured, each once."""
    return sorted({row["machine"] for row in rows})


def met(content: dict[str, Any]) -> str:
    """How many targets were met, on which machines, and which were not of those that `ratios` does not show."""
    judged = [row for row in content["rows"] if row["met"] is not None]
    missed = [row["name"] for row in judged if not row["met"] and row["unit"] not in RATIOS]
    shown, good = sum(row["unit"] in RATIOS for row in judged), sum(row["met"] for row in judged)
    count = f"Shown: {shown} of {len(content['rows'])} rows; all are in results/bench/. Of all {len(judged)} targets, ratios "
    count += f"or not, {good} met ({'; '.join(machines(judged))})"
    return count + (f"; not met, and not shown: {'; '.join(missed)}." if missed else ".")


def summary(results: Path) -> str:
    """Markdown for the README: `ratios` and `met`, of every machine."""
    parts = [f"{markdown(ratios(content))}\n\n{met(content)}" for content in measured(results)]
    return "\n\n".join(parts) or NOT_MEASURED


def in_turn(results: Path, name: str) -> str:
    """A row of the program one_sitting, '1.02 [1.01, 1.03] times (median and quartiles of 9 turns)'; '' where there is none."""
    row = sitting(results, name)
    return f"{_cell(row)} (median and quartiles of {row['note'].split(';')[0]})" if row else ""


def sitting(results: Path, name: str) -> dict[str, Any] | None:
    """A row of the program one_sitting; None where there is none."""
    rows = (row for content in measured(results) for row in content["rows"])
    return next((row for row in rows if (row["program"], row["name"]) == ("one_sitting", name)), None)


def on_gpus(records: Iterable[Any], profile: str) -> str:
    """'Measured: 22 runs of `full` in 12 minutes of one NVIDIA H200, up to 6 at a time.', of those on GPUs; '' if none was."""
    told = []
    computed = (one.provenance for one in records if one.provenance["device"] != "cpu")
    for name, own in grouped(computed, lambda facts: facts["device_name"]).items():
        spans = sorted((datetime.fromisoformat(facts["start"]), datetime.fromisoformat(facts["end"])) for facts in own)
        busy, until = timedelta(), spans[0][0]
        for begin, end in spans:
            busy, until = busy + max(end - max(begin, until), timedelta()), max(end, until)
        most = max(sum(first <= begin < last for first, last in spans) for begin, _ in spans)
        at_a_time = f", up to {most} at a time" if most > 1 else ""
        many = f"{len(spans)} run{'s' * (len(spans) > 1)} of `{profile}`"
        told.append(f"{many} in {number(busy.total_seconds() / 60, 2)} minutes of one {name}{at_a_time}")
    return f"Measured: {'; '.join(told)}." if told else ""


def hours(results: Path) -> str:
    """Markdown for the README: how long each profile takes, of results/bench/hours.csv, which `runs --probe` writes."""
    table = kept_hours(results)
    if table.empty:
        return "`python -m dipddpm_utils runs --probe` estimates how long a profile takes here."
    here = [f"{row.hours:g}, {row.how} ({row.machine})" for row in table.itertuples()]
    there = table.iloc[:, 5:].map(lambda own: f"{own:g}" if pd.notna(own) else "").add_suffix(": hours on paper")
    shown = pd.DataFrame({"all runs of": table["profile"], "runs": table["runs"].map(str), "hours of one process": here})
    return f"{markdown(shown.join(there))}\n\nOn paper: counted FLOPs at an assumed speed, not measured."


def kept_hours(results: Path, dtype: type | None = None) -> pd.DataFrame:
    """The rows of results/bench/hours.csv, none where it is not there. StoreError: it is torn, or was merged by half."""
    path = results / "bench" / "hours.csv"
    try:
        table = pd.read_csv(path, dtype=dtype) if path.exists() else pd.DataFrame()
        if path.exists() and table[HOURS].assign(hours=pd.to_numeric(table["hours"])).isna().any(axis=None):
            raise ValueError("a row is not whole")
    except (ValueError, KeyError) as error:
        repair = "bring it back with `git checkout`, or remove it, and run the same command again"
        raise StoreError(f"{path} is not the table that `runs --probe` writes ({error}): {repair}") from error
    return table


def to_quality(content: dict[str, Any]) -> str:
    """Where each curve of distance over training seconds ends, and why no 'times sooner' is made of them."""
    own = [curve for curve in content.get("curves", []) if curve["figure"] == "quality" and len(curve["y"])]
    ends = [f"{curve['label']} at {number(curve['y'][-1])} after {number(curve['x'][-1])} s" for curve in own]
    easy = any(row["unit"] == "times sooner" and row["met"] is None for row in content["rows"])
    said = f"The curves end with {'; '.join(ends)} ({own[0]['y_label'].partition(' (')[0]})." if own else NOT_MEASURED
    return said + (" The distances that all reach are too large to compare times to a quality." if easy else "")


@styled
def curves(content: dict[str, Any], name: str) -> Figure | None:
    """All curves of one figure, a panel for each pair of axes, log-log; None if nothing was measured for it."""
    own = [curve for curve in content.get("curves", []) if curve["figure"] == name]
    if not own:
        return None
    panels = grouped(own, lambda curve: (curve["x_label"], curve["y_label"]))
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = new(columns, rows, count=len(panels), width=max(7.0, 3.2 * columns), height=1.0 + 2.5 * rows)
    for ax, ((x_label, y_label), held) in zip(axes, panels.items(), strict=True):
        for index, curve in enumerate(held):
            further = list(TRAINERS.values())[index % len(TRAINERS)]._replace(label=curve["label"])
            style = (TRAINERS | METHODS).get(curve["label"], further)
            bars(ax, curve["x"], curve["y"], curve["low"] or math.nan, curve["high"] or math.nan, style, linestyle="-")
        ax.set(xlabel=x_label, ylabel=y_label, xscale="log", yscale="log")
        round_ticks(ax.xaxis, *ax.get_xlim())
        round_ticks(ax.yaxis, *ax.get_ylim())
        ax.legend()
    spread = "95% intervals over the images judged" if name in ("quality", "samplers") else "quartiles over repeats"
    note = f"Bars: {spread}. {'; '.join(machines(own))}; log axes."
    return finish(figure, TITLES[name], note)


def _cell(row: dict[str, Any]) -> str:
    spread = f" [{ends}]" if (ends := _spread(row, ", ")) else ""
    return f"{_short(row['value'])}{spread} {_unit(row)}" + (", not met" if row["met"] is False else "")


def _unit(row: dict[str, Any]) -> str:
    return str(row["unit"]).replace("times faster", "times as fast")  # which may be below 1


def _spread(row: dict[str, Any], between: str) -> str:
    low, high = row["spread"]
    return "" if low == high else f"{_short(low)}{between}{_short(high)}"


def _short(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else number(value)
