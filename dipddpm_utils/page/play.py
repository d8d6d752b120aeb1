"""A figure to play with: a choice of prior and a slider over t_start show samples, distance, copies and calls of each start.

All panels are in the page and nothing is fetched; without the page's script (in a notebook) they stand side by side.
"""

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from dipddpm_utils.page.compare import copies, summary
from dipddpm_utils.page.images import png, tile
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import copying, number

SAMPLES = 16


def starts(frame: pd.DataFrame, records: Sequence[Any], name: str, caption: str) -> str:
    """HTML of the figure. frame: a group of starts (label, value, name, fd, copy_rate, nfe, features), a row a record.

    records: those of the first seed, whose sample grids are shown. Distances are means over all seeds.
    """
    by_name = {record.name: record for record in records}
    panels, priors = [], []
    for (label, t_start), rows in frame.groupby(["label", "value"], sort=False):
        shown = next(by_name[run] for run in rows["name"] if run in by_name)
        priors += [] if label in priors else [label]
        panels.append(_panel(str(label), int(t_start), rows, shown.arrays["grid"][:SAMPLES]))
    options = "".join(f'<option value="{escape(label)}">{escape(_named(label))}</option>' for label in priors)
    return (
        f'<figure id="fig-{name}" class="play"><div><label>Start <select>{options}</select></label>'
        f'<label>t_start <input type="range" min="0" max="1" value="0" step="1"></label></div>{"".join(panels)}'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _panel(label: str, t_start: int, rows: pd.DataFrame, images: np.ndarray) -> str:
    said = f"{_named(label)}, t_start = {t_start}: {rows['features'].iloc[0]} {number(summary(rows, 'fd').value)} "
    said += f"(mean of {len(rows)} seeds), {rows['nfe'].iloc[0]:.0f} network calls, {copying(copies(rows))}"
    alt = escape(f"{len(images)} samples, not selected. {said}")
    coded = base64.b64encode(png(tile(images, columns=4))).decode()
    picture = f'<img alt="{alt}" width="130" src="data:image/png;base64,{coded}">'
    return (
        f'<div data-prior="{escape(label)}" data-t="{t_start}" style="display:inline-block;vertical-align:top;'
        f'max-width:16rem;margin:.3rem">{picture}<p aria-live="polite">{escape(said)}.</p></div>'
    )


def _named(label: str) -> str:
    return "noise: whole chain, as few calls" if label == "noise" else look(label).label
