"""Fits of `fit.fit_images` with their seconds, that a time budget may end."""

from collections.abc import Callable, Iterator
from functools import partial

import torch

from dipddpm_utils.config import ImageFit
from dipddpm_utils.dip.fit import Fit, Observe, Targets, fit_images
from dipddpm_utils.machine import device
from dipddpm_utils.store.records import Work


class Timed:
    """The fits of `fit_images` that are looked at, as they come.

    seconds: what fitting took so far, without what is done with one fit before the next. looks: whether an iteration is looked
    at; a GPU is waited for only there and at the end, since waiting at each would leave it idle. Raises OutOfTime from the
    budget after any iteration.
    """

    def __init__(
        self,
        work: Work,
        about: ImageFit,
        targets: Targets,
        generator: torch.Generator,
        observe: Observe | None = None,
        looks: Callable[[int], bool] = lambda iteration: True,
    ) -> None:
        self.work, self.looks, self.seconds = work, looks, 0.0
        self.begin = partial(fit_images, about, targets, generator, observe)

    def __iter__(self) -> Iterator[Fit]:
        since = device.stopwatch(self.work.device)
        for fit in self.begin():
            self.work.budget.check()
            if self.looks(fit.iteration):
                self.seconds += since()
                yield fit
                since = device.stopwatch(self.work.device)
        self.seconds += since()
