"""The gate: a claim about quality is judged only from models that draw more than noise, else it is not testable at this size.

Each record has to have a recall of at least LEAST_RECALL and, where there is a floor, a distance below the least of what no
learning is needed for (TRIVIAL, at the same number of images). Fixed before the verdicts, whatever they are.
"""

import math
from typing import Any, NamedTuple

from dipddpm_utils.page.compare import LEAST_RECALL, floor_at, floor_n, frame_of
from dipddpm_utils.page.prose import number

TRIVIAL = {  # metrics of a floor record
    "trivial_gaussian_fd": "a Gaussian with the training images' mean and covariance",
    "trivial_blur_fd": "blurred training images",
    "trivial_mean_fd": "the mean image",
}
NOT_TESTABLE = "not testable at this size"


class Gate(NamedTuple):
    """What a claim's models were found to be. models: group -> mean FD, recall and times the floor; why: '' if all passed."""

    models: dict[str, dict[str, float]]
    why: str = ""

    def row(self) -> dict[str, str]:
        """The columns of claims.csv."""
        columns = {"models' FD": "fd", "models' recall": "recall", "times the floor": "times"}
        row = {"gate": (self.why or "passed") if self.models else "not about quality"}
        for column, key in columns.items():
            row[column] = "; ".join(f"{group} {number(own[key])}" for group, own in self.models.items())
        return row


def passed(lab: Any, groups: tuple[str, ...]) -> Gate:
    """Whether every record of these groups passes; groups that a profile does not hold are left out."""
    models, failed = {}, []
    for group in filter(lab.has, groups):
        floor, records = floor_of(lab, group), lab.seeds(group)
        means, n = frame_of(records)[["fd", "recall"]].mean(), records[0].metrics["n"]
        least = floor_at(floor, "fd", n) if floor and floor_n(floor, n) == n else None
        models[group] = {**means, "times": means["fd"] / least.value if least else math.nan}
        if reasons := [reason for record in records if (reason := _fails(record, floor))]:
            failed.append(f"{group}, {len(reasons)} of {len(records)} runs (first: {reasons[0]})")
    return Gate(models, "; ".join(failed))


def floor_of(lab: Any, group: str) -> Any:
    """The floor's record of the data that a group's models are of; None where the profile has none."""
    name = f"{group[:2]}floor" if group[:2] in ("a-", "b-") else f"{group}-floor" if lab.has(f"{group}-floor") else "floor"
    return lab.seeds(name)[0] if lab.has(name) else None


def without_learning(floor: Any) -> list[tuple[float, str]]:
    """(distance, what it is of) of all that needs no learning, as far as a floor's record, or None, holds it."""
    return [(floor.metrics[name], words) for name, words in TRIVIAL.items() if floor and name in floor.metrics]


def trivial(floor: Any) -> tuple[float, str]:
    """The least of these; (inf, '') where none was measured."""
    return min(without_learning(floor), default=(math.inf, ""))


def _fails(record: Any, floor: Any) -> str:
    """Why one model is no model of the data, '' if it is one."""
    fd, recall = record.metrics["fd"], record.metrics["recall"]
    if not recall >= LEAST_RECALL:  # NaN fails too
        return f"recall {number(recall, 2)}, below {LEAST_RECALL:g}"
    least, what = trivial(floor)
    if what and floor.metrics["n"] != record.metrics["n"]:  # on which distances depend
        return f"FD of {record.metrics['n']:.0f} images, that of what takes no learning of {floor.metrics['n']:.0f}"
    return f"FD {number(fd)}, not below {number(least)} of {what}" if not fd < least and what else ""
