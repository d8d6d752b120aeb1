"""What the two course reports did wrong, as data: one row per fault, named by the id that configurations and notebooks use.

`training/mistakes.py` holds the code of each fault that computes something; a configuration switches it on by naming it in
`faults` (`Ddpm.faults`, or `Dip.faults` for what goes wrong in the DIP). Report A is ty0601/GAI-HW4, report B
zglian/GAI-project4. This module needs no other one, so that configurations and the report can read the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Fault:
    """One fault. `trained_in`: the kind of run that takes it in `faults`, None where no training depends on it."""

    id: str
    report: Literal["A", "B"]
    what: str
    where: Literal["data", "dip", "train", "sample", "judge", "account"]
    variant: str  # the corrected run on which its effect is judged
    trained_in: Literal["ddpm", "dip"] | None = None


_ROWS = (
    Fault("FA1", "A", "real images are scaled to [-1, 1] twice: training data in [-3, 1]", "data", "a-ddpm", "ddpm"),
    Fault("FA2", "A", "a sigmoid network is fitted to targets in [-1, 1]: the dark half is cut", "dip", "a-2conv", "dip"),
    Fault("FA3", "A", "FID on 30 samples, features in training mode, reals scaled twice", "judge", "a-ddpm"),
    Fault("FA4", "A", "gradients are zeroed every step, the optimiser steps every second", "train", "a-ddpm", "ddpm"),
    Fault("FA5", "A", "an average of the weights is kept and never sampled from", "sample", "a-ddpm", "ddpm"),
    Fault("FA6", "A", "losses are divided by more steps than were summed", "account", "a-ddpm"),
    Fault("FA7", "A", "the DIP checkpoint kept is that of iteration 1999 of 375 000", "dip", "a-2conv", "dip"),
    Fault("FA8", "A", "the DIP is not used in sampling, so no step is saved", "sample", "a-ddpm"),
    Fault("FA9", "A", "the DIP is a denoising autoencoder, its time is not counted, one run", "account", "a-2conv"),
    Fault(
        "FB1", "B", "only the baseline decodes images one by one; the combined run is unshuffled", "data", "b-combined", "ddpm"
    ),
    Fault("FB2", "B", "DIP outputs stay in [0, 1], unclipped, while real images are in [-1, 1]", "data", "b-combined", "ddpm"),
    Fault("FB3", "B", "the combined run has half the learning rate of the baseline", "train", "b-combined", "ddpm"),
    Fault("FB4", "B", "DIP training and the processing of the data set are not counted", "account", "b-combined"),
    Fault("FB5", "B", "one seed; PSNR between unrelated images; panels wrap around in uint8", "judge", "b-ddpm"),
)
FAULTS: dict[str, Fault] = {fault.id: fault for fault in _ROWS}
PUBLISHED_SECONDS = (460, 310)  # report B's 7:40 without and 5:10 with the DIP
PUBLISHED_SAVED_SECONDS = (460 - 310) / 20  # an epoch, of 20
EARLY = 1999  # iterations of the DIP's fit after which FA7's checkpoint was taken
REPORTED_OVER = 3000  # FA6: report A divides each window's summed loss by this; the windows hold 2 000 to 3 000 steps
DIP_REPORTED_OVER = 25  # FA6: by how much too much report A divides the DIP's loss


def chosen(faults: Sequence[str], kind: str) -> tuple[str, ...]:
    """`faults` without repeats in the table's order; ValueError naming one that does not act in a run of this kind."""
    allowed = [fault.id for fault in _ROWS if fault.trained_in == kind]
    for fault in faults:
        if fault not in allowed:
            raise ValueError(f"fault {fault} does not act in a {kind} run; those that do: {', '.join(allowed)}")
    return tuple(fault for fault in allowed if fault in faults)
