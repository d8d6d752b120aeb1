"""What each fault does, measured: the run with only that fault on, and the run with only that fault off, seed by seed.

only on  = (the corrected run with that one fault) over (the corrected run)
only off = (the run as published) over (the same without that one fault)
Both are factors, what the fault multiplies a measure by; where they differ, it depends on the other faults. Faults that
change no training changed what was read from one: they are measured on the runs that are there (READ).
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dipddpm_utils.faults import DIP_REPORTED_OVER, FAULTS, REPORTED_OVER, Fault
from dipddpm_utils.page import prose
from dipddpm_utils.page.compare import Paired, best_start, copies, difference, family, frame_of, own_interval, paired
from dipddpm_utils.page.lab import once
from dipddpm_utils.reports.evidence_time import in_turn, with_dips

MEASURES = {"fd": "FD", "loss_last": "loss at the end", "train_seconds": "training seconds"}  # what a fault may change
SIDES = ("only on", "only off")
WINDOW = 2000  # steps in the shortest window whose loss report A divides by 3000


def sides(lab: Any, fault: Fault, measure: str) -> dict[str, Paired]:
    """What a fault multiplies a measure of its variant by, by side; a side without runs is left out."""
    letter, corrected = fault.report.lower(), fault.variant
    pairs = {
        "only on": ((f"{letter}-only", fault.id), (corrected,)),
        "only off": ((f"{corrected}-published",), (f"{letter}-without", fault.id)),
    }
    found = {}
    for side, (first, second) in pairs.items():
        runs = [lab.frame(*one) for one in (first, second)] if lab.has(first[0], second[0]) else []
        if runs and not any(own.empty for own in runs):  # FA7 acts in long fits alone
            a, b = (np.log(own.set_index("seed")[measure].astype(float)) for own in runs)
            if len(gaps := (a - b).dropna()):
                found[side] = paired(list(gaps), ratio=True)
    return found


@once
def effects(lab: Any, report: str) -> dict[tuple[str, str, str], Paired]:
    """(measure, fault, side) -> what one report's trained faults do, a family a measure."""
    found: dict[tuple[str, str, str], Paired] = {}
    for name in MEASURES:
        own = {fault.id: sides(lab, fault, name) for fault in FAULTS.values() if fault.trained_in and fault.report == report}
        found |= family("faults", {(name, id, side): gap for id, both in own.items() for side, gap in both.items()})
    return found


def table(lab: Any) -> pd.DataFrame:
    """Two rows a fault that is trained here, only on and only off: its factor on each measure. Star: shown, after Holm."""
    rows = []
    for report in ("A", "B"):
        found = effects(lab, report)
        for fault, side in product(dict.fromkeys(id for _, id, _ in found), SIDES):
            own = {label: found.get((name, fault, side)) for name, label in MEASURES.items()}
            told = {label: f"{prose.factor(gap)}{' *' * gap.decided}" if gap else "" for label, gap in own.items()}
            seeds = max((gap.n for gap in own.values() if gap), default="")
            rows.append({"fault": fault, "switch": side, **told, "seeds": seeds})
    return pd.DataFrame(rows)


def listing() -> pd.DataFrame:
    """All faults: id, what, where it acts, the run that shows it, and whether it is trained or judged."""
    columns = ("fault", "what", "acts on", "shown on", "by")
    rows = [(f.id, f.what, f.where, f.variant, "runs" if f.trained_in else "judging") for f in FAULTS.values()]
    return pd.DataFrame(rows, columns=columns)


# --- faults of what was read ------------------------------------------------------------------------------------------


def read_table(lab: Any) -> pd.DataFrame:
    """One row per measured effect: fault, what was measured and on which runs, effect with its 95% interval, how many pairs.

    Runs that a profile does not hold leave their rows out.
    """
    rows = []
    for fault, measured, unit, groups, measure in READ:
        if lab.has(*groups):
            found = measure(lab)
            timed = f", timed on {lab.seeds(groups[0])[0].provenance['device_name']}"
            about = {"fault": fault, "measured": measured, "on": ", ".join(groups) + timed * (fault in ("FA9", "FB1", "FB4"))}
            told = (prose.effect(found, unit), prose.pairs(found)) if found else ("none: all give images back", "")
            rows.append({**about, **dict(zip(("effect", "n"), told, strict=True))})
    return pd.DataFrame(rows, columns=["fault", "measured", "on", "effect", "n"])


def thirty_samples(lab: Any) -> Paired:
    """FA3: FD as published, of 30 samples, over FD of all samples, the same models."""
    frame = frame_of(lab.seeds("a-ddpm"))
    return difference(frame.assign(fd=frame["fd_published"]), frame, "fd")


def path(lab: Any) -> Paired:
    """FB1: seconds an epoch that the data path alone saves, over the repeats of one record."""
    row = lab.seeds("b-timing")[0].metrics
    mean = own_interval(row | {"n": row["repeats"]}, "data_saved_seconds")
    return Paired(mean.low, mean.value, mean.high, mean.n, over="repeats")


def left_out(lab: Any, group: str, net: str) -> Paired:
    """FA9, FB4: seconds of the DIP, which the reports did not count, as a share of the DDPM's, trainings timed in turn."""
    dearer = with_dips(in_turn(lab.seeds(group)[0]))[net]
    return paired(list(np.expm1(dearer[max(dearer)])), over="rounds")  # report B's is the largest std of those timed


def best_new_start(lab: Any) -> Paired | None:
    """FA8: FD of report A's best DIP start over noise's, of those that give no images back; None if all do."""
    _, gap, rows = best_start(lab.frame("a-starts"), "dip")
    return None if copies(rows).many else gap


def unrelated_psnr(lab: Any) -> Paired:
    """FB5: PSNR of samples to real images that have nothing to do with them, minus that of one real image to the next (dB).

    Near zero: the measure does not tell a sample from a real image, whatever the sample looks like.
    """
    clean = lab.seeds("b-dip")[0].arrays["panels_clean"]
    between = _psnr(clean[1:], clean[:-1])
    return paired([_psnr(record.arrays["grid"][:, None], clean[None]) - between for record in lab.seeds("b-combined")])


def _psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean PSNR (dB) of pairs of uint8 images [..., C, H, W]; computed in float64, so that nothing wraps around."""
    error = (((a.astype(float) - b.astype(float)) / 255) ** 2).mean(axis=(-3, -2, -1))
    return float((-10 * np.log10(np.maximum(error, 1e-10))).mean())


def _by_definition(printed: float) -> Paired:
    return paired([np.log(printed)], ratio=True, over="definition")


READ: tuple[tuple[str, str, str, tuple[str, ...], Callable[[Any], Paired | None]], ...] = (
    ("FA3", "FD of 30 samples, features in training mode, over FD of all, in 64 dimensions, not in Inception's 2048", "",
     ("a-ddpm",), thirty_samples),
    ("FA6", "printed over true loss of the DDPM, window of 2000 steps", "", ("a-ddpm",),
     lambda lab: _by_definition(WINDOW / REPORTED_OVER)),
    ("FA6", "printed over true loss of the DIP", "", ("a-dip-2conv",), lambda lab: _by_definition(1 / DIP_REPORTED_OVER)),
    ("FA8", "FD of a DIP start over noise's, equal calls, best t_start that gives no image back (A8)", "", ("a-starts",),
     best_new_start),
    ("FA9", "DIP seconds left out (2conv)", "of the training", ("a-turns",), lambda lab: left_out(lab, "a-turns", "2conv")),
    ("FA9", "DIP seconds left out (ResNet-18)", "of the training", ("a-turns",),
     lambda lab: left_out(lab, "a-turns", "resnet18")),
    ("FB1", "seconds that the data path alone saves", "s an epoch", ("b-timing",), path),
    ("FB4", "DIP seconds left out", "of the training", ("b-turns",), lambda lab: left_out(lab, "b-turns", "5conv")),
    ("FB5", "PSNR of samples to unrelated digits, minus real to unrelated", "dB", ("b-combined", "b-dip"), unrelated_psnr),
)  # fmt: skip
