"""What the computation of a run may use, and the call of the function that its configuration names."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dipddpm_utils.config import Run
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.device import clock
from dipddpm_utils.store.records import Outcome, Record

if TYPE_CHECKING:
    from torch import Tensor

    from dipddpm_utils.store.runs import Store


@dataclass
class Work:
    """What a computation may use: a folder for its checkpoints, a budget, a device, and the runs it is built on."""

    folder: Path
    budget: Budget
    device: str
    label: str
    store: Store

    def record(self, run: Run) -> Record:
        """The record of a run this one is built on, computed first if need be."""
        return self.store.ensure(run, quiet=True)

    def weights(self, run: Run) -> dict[str, Tensor]:
        """The weights of a run this one is built on, computed again if only its record is here."""
        return self.store.weights(run)


def compute(run: Run, work: Work) -> Outcome:
    """Compute a run. Raises OutOfTime with everything saved in `work.folder`; the next call goes on from there."""
    now = clock(work.device)
    began = now()
    outcome = pkgutil.resolve_name(run.computed_by)(run, work)
    outcome.timings.setdefault("total", now() - began)
    return outcome
