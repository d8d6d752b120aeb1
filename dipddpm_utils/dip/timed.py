"""Fits of `fit.fit_images` with their seconds, that a time budget may end."""

from collections.abc import Iterator
from functools import partial

import torch

from dipddpm_utils.config import ImageFit
from dipddpm_utils.dip.fit import Fit, Observe, Targets, fit_images
from dipddpm_utils.machine import device
from dipddpm_utils.store.records import Work


class Timed:
    """The fits of `fit_images` as they come; `seconds`: what they took so far, without what is done with one before the next.

    Raises OutOfTime from the budget between two of them.
    """

    def __init__(
        self, work: Work, about: ImageFit, targets: Targets, generator: torch.Generator, observe: Observe | None = None
    ) -> None:
        self.work, self.begin, self.seconds = work, partial(fit_images, about, targets, generator, observe), 0.0

    def __iter__(self) -> Iterator[Fit]:
        since = device.stopwatch(self.work.device)
        for fit in self.begin():
            self.seconds += since()
            self.work.budget.check()
            yield fit
            since = device.stopwatch(self.work.device)
