"""Everything that a training run changes, in one object that can be saved at any step and goes on to the same bits."""

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dipddpm_utils.config import Optim
from dipddpm_utils.machine.device import number_format, settle
from dipddpm_utils.machine.errors import StoreError
from dipddpm_utils.machine.streams import generator
from dipddpm_utils.training import checkpoint
from dipddpm_utils.training.ema import Ema
from dipddpm_utils.training.muon import ADAM_SHARE, Muon, without_compiler


class Order:
    """The order in which items are drawn: a fresh permutation each epoch, every item once an epoch.

    Batches all have the same size, so one may hold the end of an epoch and the start of the next. `position` (items
    drawn so far) is the whole state: the permutation of epoch e is made from (seed, e) alone.
    """

    def __init__(self, n: int, seed: int, device: torch.device) -> None:
        self.n, self.seed, self.device, self.position = n, seed, device, 0
        self.shuffled = True  # False: 0..n-1 in every epoch
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def next(self, size: int) -> Tensor:
        """The next `size` indices, int64 [size] on the device."""
        parts = []
        while size > 0:
            epoch, offset = divmod(self.position, self.n)
            if epoch != self._epoch:
                drawn = generator(self.seed, f"order of epoch {epoch}")
                order = torch.randperm(self.n, generator=drawn) if self.shuffled else torch.arange(self.n)
                self._epoch, self._permutation = epoch, order.to(self.device)
            parts.append(self._permutation[offset : offset + size])
            size -= len(parts[-1])
            self.position += len(parts[-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@dataclass
class State:
    """Everything that a training run changes; saved and restored to the same bits on the CPU."""

    model: nn.Module
    ema: Ema | None
    optimisers: list[torch.optim.Optimizer]  # one, or Muon for the matrices and AdamW for the rest
    optim: Optim
    generator: torch.Generator  # all random draws of the loss, on the device
    order: Order
    seed: int
    device: torch.device
    scaler: torch.amp.GradScaler  # float16 alone needs one: small gradients would be lost
    step: int = 0
    seconds: float = 0.0  # spent in training steps only, over all sittings
    update_every: int = 1  # steps; the gradients of the steps between are dropped, not added up

    @property
    def images(self) -> int:
        return self.step * self.optim.batch_size

    def sampler_model(self) -> nn.Module:
        """The network to sample from: the average where one is kept (TrainingError if it is too young), else the model."""
        if self.ema is None:
            return self.model
        self.ema.check_ready()
        return self.ema.module

    def synchronise(self) -> float:
        """Waits for the work a GPU still has queued, counts the wait as training time, and returns the seconds so far."""
        begin = time.perf_counter()
        settle(self.device)
        self.seconds += 0.0 if self.device.type == "cpu" else time.perf_counter() - begin
        return self.seconds

    def tree(self, extra: Any = None) -> dict[str, Any]:
        """All of it for `checkpoint.save`. `extra`: anything `checkpoint.flatten` takes, e.g. the curve."""
        return {
            "step": self.step,
            "seconds": self.synchronise(),
            "device": self.device.type,
            "position": self.order.position,
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "optimisers": [each.state_dict() for each in self.optimisers],
            "generator": self.generator.get_state(),
            "scaler": self.scaler.state_dict(),
            "extra": extra,
        }

    def save(self, folder: str | Path, extra: Any = None) -> None:
        """Writes a checkpoint; TrainingError (and nothing written) if the state is not finite."""
        checkpoint.save(folder, self.tree(extra))

    def resume(self, folder: str | Path) -> tuple[Any, str | None] | None:
        """Goes on from the newest sound checkpoint: (extra, note about damage or None); None if there is no checkpoint.

        StoreError if it is of another network, or of a version that wrote it differently.
        """
        found = checkpoint.load(folder)
        if found is None:
            return None
        tree, note = found
        try:
            self.model.load_state_dict(tree["model"])
            if self.ema is not None:
                self.ema.load_state_dict(tree["ema"])
            for each, saved in zip(self.optimisers, tree["optimisers"], strict=True):
                for group, here in zip(saved["param_groups"], each.param_groups, strict=True):
                    if "capturable" in here:  # as on this device, not on the checkpoint's
                        group["capturable"] = here["capturable"]
                each.load_state_dict(saved)
            if tree["scaler"] and self.scaler.is_enabled():
                self.scaler.load_state_dict(tree["scaler"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"the checkpoint does not fit this network or version ({reason}); remove {folder}") from error
        for parameter, values in itertools.chain.from_iterable(each.state.items() for each in self.optimisers):
            for name, value in values.items():  # fused Adam walks memory: its state must lie as the weights do
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    values[name] = torch.empty_like(parameter).copy_(value)
        if tree["device"] == self.device.type:
            self.generator.set_state(tree["generator"])
        else:  # a generator's state means nothing on another kind of device: go on with a new stream
            self.generator = generator(self.seed, f"training from step {tree['step']}", self.device)
        self.step, self.seconds, self.order.position = tree["step"], tree["seconds"], tree["position"]
        return tree["extra"], note


def new_state(model: nn.Module, optim: Optim, n_items: int, seed: int, device: str | torch.device = "cpu") -> State:
    """A state at step 0, the model moved to `device`. `n_items`: how many training items `get_batch` can be asked for."""
    device = torch.device(device)
    model = model.to(device).to(memory_format=layout(optim, device))
    ema = None if optim.ema_decay is None else Ema(model, decay=optim.ema_decay, warmup=optim.ema_warmup)
    draws, order = generator(seed, "training", device), Order(n_items, seed, device)
    scaler = torch.amp.GradScaler(device.type, enabled=number_format(device, optim.precision) == "float16")
    return State(model, ema, _optimisers(model, optim), optim, draws, order, seed, device, scaler)


def layout(optim: Optim, device: str | torch.device) -> torch.memory_format:
    """How convolution weights lie in memory: as a GPU's kernels for 16 bits want them there, plainly elsewhere.

    On a CPU channels_last costs a quarter of the images a second here: its group normalisation is ten times slower.
    """
    wanted = torch.device(device).type == "cuda" and number_format(device, optim.precision) != "float32"
    return torch.channels_last if wanted else torch.contiguous_format


def _optimisers(model: nn.Module, optim: Optim) -> list[torch.optim.Optimizer]:
    weights = [p for p in model.parameters() if p.requires_grad]
    about = {"lr": optim.lr, "betas": optim.betas, "weight_decay": optim.weight_decay, "fused": True}
    if optim.name != "muon":
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optim.name]
        on_gpu = weights[0].device.type == "cuda"  # there a step may be recorded as a graph
        return [without_compiler(kind)(weights, **about, capturable=on_gpu)]
    dims = 4 if optim.kernels_only else 2  # small linear layers cost Muon more time than they are worth
    matrices, rest = [p for p in weights if p.ndim >= dims], [p for p in weights if p.ndim < dims]
    adamw = without_compiler(torch.optim.AdamW)([{"params": rest, "share": ADAM_SHARE}], **about)
    return [without_compiler(Muon)(matrices, lr=optim.lr, weight_decay=optim.weight_decay), adamw]
