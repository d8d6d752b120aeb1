"""An exponential moving average of a network's weights, with a guard against sampling from it too soon."""

import copy

import torch
from torch import Tensor, nn

from dipddpm_utils.machine.errors import TrainingError


class Ema:
    """The average of a model's parameters over its updates.

    decay: in [0, 1]; the share of the old average that an update keeps, at most. The n-th update (n = 0, 1, ...) keeps
        min(decay, (1 + n) / (10 + n)), so that a young average forgets the random initial weights quickly.
    warmup: updates before the average may be sampled from (see `check_ready`).

    `model` is the averaged copy, in evaluation mode and without gradients; `age` counts updates. Buffers are copied, not
    averaged. ValueError if decay or warmup is out of range.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, warmup: int = 100):
        if not 0 <= decay <= 1:
            raise ValueError(f"decay is {decay}, expected a number in [0, 1]")
        if warmup < 0:
            raise ValueError(f"warmup is {warmup}, expected a number of updates, 0 or more")
        self.decay, self.warmup, self.age = decay, warmup, 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._averages = list(self.model.parameters())
        self._buffers = list(self.model.buffers())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards `model`'s weights as they are now: one fused operation for all of them."""
        kept = min(self.decay, (1 + self.age) / (10 + self.age))
        torch._foreach_lerp_(self._averages, list(model.parameters()), 1 - kept)
        if self._buffers:
            torch._foreach_copy_(self._buffers, list(model.buffers()))
        self.age += 1

    def check_ready(self) -> None:
        """TrainingError if the average is younger than its warm-up: its images would look worse than the model's."""
        if self.age < self.warmup:
            raise TrainingError(
                f"the weight average is {self.age} updates old, expected at least {self.warmup} before sampling from it; "
                "train longer, lower ema_warmup, or sample from the model itself"
            )

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors only, so that it can be saved as safetensors: `age` (int64 scalar) and `model.*`."""
        weights = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        return {"age": torch.tensor(self.age), **weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` gave; KeyError or RuntimeError if it belongs to another architecture."""
        weights = {name.removeprefix("model."): tensor for name, tensor in state.items() if name != "age"}
        self.model.load_state_dict(weights)
        self.age = int(state["age"])
