"""What a training and its samplers found (notebooks 03 and 04), as sentences computed from records."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from dipddpm_utils.page.compare import floor_at, frame_of, judged_alike, summary
from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import count, number


class Sitting(NamedTuple):
    """Seconds timed in turn, on one machine: of a step of any of these models, and of each one's DIP, by what it is called."""

    pace: float
    dips: Mapping[str, float]


def training(record: Any) -> str:
    """Size, steps, seconds of a ddpm run."""
    m, last = record.metrics, record.evals.iloc[-1]
    seen = f"{count(last['step'])} steps ({count(last['images'])} images)"
    return f"A U-Net of {count(m['parameters'])} parameters, {seen}, {number(m['train_seconds'])} s of training."


def drawn(sets: Mapping[str, Sequence[Any]], floor: Any) -> str:
    """What the grids of these models are worth: distance and recall of each, means over seeds, beside those of real images."""
    frames = {name: frame_of(records) for name, records in sets.items()}
    parts = []
    for metric, what in (("fd", f"{floor.metrics['features']} of these models' samples"), ("recall", "Recall")):
        own = [f"{name} {number(summary(frame, metric).value)}" for name, frame in frames.items()]
        parts.append(f"{what}: {'; '.join(own)}; real images {number(floor_at(floor, metric).value)}")
    return f"{'. '.join(parts)}."


def ends(sets: Mapping[str, Sequence[Any]], sitting: Sitting | None = None) -> str:
    """Distance at the end of each training, and how long it took beside the first: at the first one's pace, plus the DIP.

    sitting: seconds to take instead of those of the records, which may be of several machines.
    """
    frames = {name: frame_of(records) for name, records in sets.items()}
    base = next(iter(frames.values()))
    pace = sitting.pace if sitting else (base["train_seconds"] / base["steps"]).mean()
    whole = pace * base["steps"].mean() if sitting else base["train_seconds"].mean()
    said = []
    for name, frame in frames.items():
        spent = frame["steps"].mean() * pace + (sitting.dips[name] if sitting else frame["dip_seconds"].mean())
        times = "" if frame is base else f" in {number(spent / whole, 2)} times its seconds"
        said.append(f"{name} {number(summary(frame, 'fd').value)}{times}")
    how = "timed in turn" if sitting else "every step charged at the first model's pace"
    charged = f", DIP included, {how}" if len(said) > 1 else ""
    return f"FD at the end: {'; '.join(said)}{charged}."


def loss(records: Sequence[Any]) -> str:
    """How far the loss has come down: its means over the first and over the last twentieth of what was logged, and seeds."""
    curves = pd.concat([record.curve["loss"] for record in records], axis=1)
    width = max(1, len(curves) // 20)
    first, last = (part.mean().mean() for part in (curves.head(width), curves.tail(width)))
    return f"Mean loss in the first twentieth of training: {number(first)}; in the last: {number(last)}."


def loss_and_distance(record: Any) -> str:
    """How much the loss and the distance still change in the second half of training."""
    rows = judged_alike(record.evals)
    middle, last = rows.iloc[(len(rows) - 1) // 2], rows.iloc[-1]
    curve, width = record.curve, max(1, len(record.curve) // 20)
    near = [curve[curve["step"] <= row["step"]]["loss"].tail(width).mean() for row in (middle, last)]
    changes = [near[1] / near[0] - 1, float(last["fd"]) / float(middle["fd"]) - 1]
    steps = f"From step {middle['step']:.0f} to step {last['step']:.0f}"
    return f"{steps} the loss changes by {changes[0]:+.1%} and {last['features']} by {changes[1]:+.1%}."


def best_by_calls(frame: pd.DataFrame, final: Mapping[str, Any] | None = None) -> str:
    """'The lowest FD-MNIST: at 5 calls DPM-Solver++(2M) (3.13), at 20 calls ancestral (0.927); one model, not tested.'

    final: metrics of that model's last evaluation, with more calls.
    """
    said = []
    for nfe in sorted(frame["nfe"].unique())[:: max(1, frame["nfe"].nunique() - 1)]:
        rows = frame[frame["nfe"] == nfe]
        best = rows.loc[rows["fd"].idxmin()]
        said.append(f"at {nfe:.0f} calls {look(str(best['label'])).label} ({number(best['fd'])})")
    found = f"The lowest {frame['features'].iloc[0]}: {', '.join(said)}; one model, not tested."
    if final is None:
        return found
    return f"{found} The same model with {final['nfe']:.0f} calls ({look(final['sampler']).label}): {number(final['fd'])}."
