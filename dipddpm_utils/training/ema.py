"""An exponential moving average of a network's weights, with a guard against sampling from it too soon."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from dipddpm_utils.machine.errors import TrainingError


class Ema(AveragedModel):
    """The average of a model's parameters over its updates: torch's, with a pace of its own.

    decay: in [0, 1]; the share of the old average that an update keeps, at most. The n-th update (n = 1, 2, ...) keeps
        min(decay, n / (9 + n)), so that a young average forgets the random initial weights quickly.
    warmup: updates before the average may be sampled from (see `check_ready`).

    `module` is the averaged copy, in evaluation mode and without gradients, and `update_parameters(model)` moves it. Buffers
    are copied, not averaged.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, warmup: int = 100):
        if not 0 <= decay <= 1 or warmup < 0:
            raise ValueError(f"decay, warmup are {decay}, {warmup}, expected a number in [0, 1], and 0 updates or more")
        super().__init__(model)
        self.decay, self.warmup = decay, warmup
        self.n_averaged += 1  # the initial weights count as the first: of none torch would take over the model's at once
        self.eval().requires_grad_(False)

    @property
    def age(self) -> int:
        return int(self.n_averaged) - 1

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Moves the averages towards the weights, at update n = 1, 2, ...: one fused operation for all of them.

        In place of torch's, which copies the count to the weights' device and so makes a GPU wait at every update.
        """
        n = int(self.n_averaged)  # on the CPU
        kept = min(self.decay, n / (9 + n))
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), 1 - kept)
        for own, latest in zip(self.module.buffers(), model.buffers(), strict=True):
            own.copy_(latest)
        self.n_averaged += 1

    def check_ready(self) -> None:
        """TrainingError if the average is younger than its warm-up: its images would look worse than the model's."""
        if self.age < self.warmup:
            raise TrainingError(
                f"the weight average is {self.age} updates old, expected at least {self.warmup} before sampling from it; "
                "train longer, lower ema_warmup, or sample from the model itself"
            )
