"""One training loop for every network here: a generator that the caller drives, and a state that can be saved at any step.

state = new_state(model, optim, n_items=len(images), seed=run.seed, device=device)
for step in train(state, loss_fn, lambda idx: images[idx], budget): ...
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dipddpm_utils.config import Optim
from dipddpm_utils.machine import device as machine_device
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.device import clock
from dipddpm_utils.machine.errors import StoreError, TrainingError
from dipddpm_utils.machine.streams import derived_seed, generator
from dipddpm_utils.training import checkpoint
from dipddpm_utils.training.ema import Ema
from dipddpm_utils.training.muon import Muon, MuonAdamW

LossFn = Callable[[nn.Module, Any, torch.Generator], Tensor]
GetBatch = Callable[[Tensor], Any]
CHECK_EVERY = 64  # steps between looks at the losses on a GPU, where each look would make the CPU wait


class Order:
    """The order in which items are drawn: a fresh permutation each epoch, every item once an epoch.

    Batches all have the same size, so one may hold the end of an epoch and the start of the next. `position` (items
    drawn so far) is the whole state: the permutation of epoch e is made from (seed, e) alone.
    """

    def __init__(self, n: int, seed: int, device: torch.device, position: int = 0, shuffled: bool = True) -> None:
        if n < 1:
            raise ValueError(f"n is {n}, expected at least 1 item")
        self.n, self.seed, self.device, self.position = n, seed, device, position
        self.shuffled = shuffled  # False: 0..n-1 in every epoch
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
    optimiser: torch.optim.Optimizer | MuonAdamW
    optim: Optim
    generator: torch.Generator  # all random draws of the loss, on the device
    order: Order
    seed: int
    device: torch.device
    step: int = 0
    images: int = 0
    seconds: float = 0.0  # spent in training steps only, over all sittings
    update_every: int = 1  # steps; the gradients of the steps between are dropped, not added up

    def sampler_model(self) -> nn.Module:
        """The network to sample from: the average where one is kept (TrainingError if it is too young), else the model."""
        if self.ema is None:
            return self.model
        self.ema.check_ready()
        return self.ema.model

    def synchronise(self) -> None:
        """Waits for the work a GPU still has queued, and counts the wait as training time."""
        if self.device.type == "cuda":
            begin = time.perf_counter()
            torch.cuda.synchronize(self.device)
            self.seconds += time.perf_counter() - begin

    def to_checkpoint(self, extra: Any = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """(tensors, JSON-ready meta) for `checkpoint.save`. `extra`: anything `checkpoint.flatten` takes, e.g. the curve."""
        self.synchronise()
        tensors, tree = checkpoint.flatten(
            {
                "model": self.model.state_dict(),
                "ema": None if self.ema is None else self.ema.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "generator": self.generator.get_state(),
                "extra": extra,
            }
        )
        meta = {"step": self.step, "images": self.images, "seconds": self.seconds, "seed": self.seed}
        return tensors, {**meta, "device": self.device.type, "n": self.order.n, "position": self.order.position, "tree": tree}

    def from_checkpoint(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> Any:
        """Takes over a saved state in place; returns its `extra`. StoreError if it belongs to another run."""
        if (meta["seed"], meta["n"]) != (self.seed, self.order.n):
            raise StoreError(
                f"the checkpoint has seed {meta['seed']} and {meta['n']} items, this run has {self.seed} and {self.order.n}; "
                "remove the run's folder to start it anew"
            )
        tree = checkpoint.unflatten(tensors, meta["tree"])
        try:
            self.model.load_state_dict(tree["model"])
            if self.ema is not None:
                self.ema.load_state_dict(tree["ema"])
            self.optimiser.load_state_dict(tree["optimiser"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"the checkpoint does not fit this network ({reason}); remove the run's folder") from error
        for parameter, values in self.optimiser.state.items():  # fused Adam walks memory: its state must lie as the weights do
            for name, value in values.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    values[name] = torch.empty_like(parameter).copy_(value)
        if meta["device"] == self.device.type:
            self.generator.set_state(tree["generator"])
        else:  # a generator's state means nothing on another kind of device: go on with a new stream
            self.generator = generator(self.seed, f"training from step {meta['step']}", self.device)
        self.step, self.images, self.seconds = meta["step"], meta["images"], meta["seconds"]
        self.order.position = meta["position"]
        return tree["extra"]

    def save(self, folder: str | Path, extra: Any = None) -> Path:
        """Writes a checkpoint; TrainingError (and nothing written) if the state is not finite."""
        return checkpoint.save(folder, *self.to_checkpoint(extra))

    def resume(self, folder: str | Path) -> tuple[Any, str | None] | None:
        """Goes on from the newest sound checkpoint: (extra, note about damage or None); None if there is no checkpoint."""
        found = checkpoint.load(folder)
        return None if found is None else (self.from_checkpoint(*found), found[1]["note"])


class Step:
    """What one step reports. On a GPU `loss` and `seconds` wait for it, so read them every so many steps, not at each."""

    __slots__ = ("_loss", "_state", "images", "lr", "step")

    def __init__(self, state: State, loss: Tensor, lr: float) -> None:
        self._state, self._loss, self.lr = state, loss, lr
        self.step, self.images = state.step, state.images  # after this step

    @property
    def loss(self) -> float:
        """The batch's loss, before this step's update."""
        self._state.synchronise()
        return float(self._loss)

    @property
    def seconds(self) -> float:
        """Training time so far, without what the caller did between steps. Read it before evaluating, not after."""
        self._state.synchronise()
        return self._state.seconds


def new_state(
    model: nn.Module,
    optim: Optim,
    n_items: int,
    seed: int,
    device: str | torch.device = "cpu",
    *,
    channels_last: bool | None = None,
) -> State:
    """A state at step 0, the model moved to `device`. `n_items`: how many training items `get_batch` can be asked for.

    `channels_last`: None is what `layout` says.
    """
    device = torch.device(device)
    model = model.to(device)
    format = (
        layout(optim, device) if channels_last is None else torch.channels_last if channels_last else torch.contiguous_format
    )
    model = model.to(memory_format=format)
    ema = None if optim.ema_decay is None else Ema(model, decay=optim.ema_decay, warmup=optim.ema_warmup)
    return State(
        model,
        ema,
        _optimiser(model, optim),
        optim,
        generator(seed, "training", device),
        Order(n_items, seed, device),
        seed,
        device,
    )


def layout(optim: Optim, device: str | torch.device) -> torch.memory_format:
    """How convolution weights lie in memory: as a GPU's bfloat16 kernels want them there, plainly elsewhere.

    On a CPU channels_last costs a quarter of the images a second here: its group normalisation is ten times slower.
    """
    wanted = torch.device(device).type == "cuda" and optim.precision == "bfloat16"
    return torch.channels_last if wanted else torch.contiguous_format


def _optimiser(model: nn.Module, optim: Optim) -> torch.optim.Optimizer | MuonAdamW:
    weights = [p for p in model.parameters() if p.requires_grad]
    if optim.name == "muon":
        kinds = _without_compiler(Muon), _without_compiler(torch.optim.AdamW)
        return MuonAdamW(weights, optim.lr, optim.betas, optim.weight_decay, optim.kernels_only, kinds)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optim.name]
    return _without_compiler(kind)(weights, lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay, fused=True)


@lru_cache
def _without_compiler(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The same optimiser without the wrappers that import torch.compile's machinery, 5 s of CPU in every process that trains.

    The wrappers keep the compiler out of these methods; only the network is ever compiled here, so they guard nothing.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**bare, "step": torch.no_grad()(bare["step"])})


def lr_at(optim: Optim, step: int) -> float:
    """The learning rate of the step that follows `step` finished ones (0 <= step < optim.steps).

    Linear warm-up to optim.lr over `warmup_steps`, then constant, or cosine or linear down to 0 at `optim.steps`.
    """
    if step < optim.warmup_steps:
        return optim.lr * ((step + 1) / optim.warmup_steps)
    if optim.decay == "constant":
        return optim.lr
    share = min(1.0, (step - optim.warmup_steps) / max(1, optim.steps - optim.warmup_steps))
    return optim.lr * (0.5 * (1 + math.cos(math.pi * share)) if optim.decay == "cosine" else 1 - share)


def train(
    state: State,
    loss_fn: LossFn,
    get_batch: GetBatch,
    budget: Budget | None = None,
    *,
    until: int | None = None,
    folder: str | Path | None = None,
    compile: bool | None = None,
) -> Iterator[Step]:
    """Trains from `state.step` to `until` (default optim.steps), yielding after each step.

    loss_fn(model, batch, generator) -> scalar; get_batch(indices int64 [B] on the device) -> batch on the device.
    `folder`: where the caller saves checkpoints, to name the last good one in errors. `compile`: torch.compile the network;
    None: if the environment variable DIPDDPM_COMPILE is 1. Between steps `state` is whole and may be saved.
    Raises OutOfTime from `budget` between steps, TrainingError if a loss or a gradient is not finite.
    """
    optim, device, optimiser = state.optim, state.device, state.optimiser
    on_cpu = device.type == "cpu"
    model = torch.compile(state.model) if _wants_compile(compile) else state.model
    weights = [p for group in optimiser.param_groups for p in group["params"]]
    autocast = machine_device.autocast(device, optim.precision)
    has_dropout = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in state.model.modules())
    watch, now = None if on_cpu else _Watch(device), clock(device)
    while state.step < (optim.steps if until is None else until):
        if budget is not None:
            budget.check()
        begin = now()
        if not state.model.training:  # the caller has evaluated; asked first, since train() walks over all modules
            state.model.train()
        rate = lr_at(optim, state.step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        with _seeded_dropout(state) if has_dropout else contextlib.nullcontext():
            batch = get_batch(state.order.next(optim.batch_size))
            with autocast:
                loss = loss_fn(model, batch, state.generator)
            optimiser.zero_grad(set_to_none=True)
            if on_cpu and not math.isfinite(loss.item()):
                raise _not_finite("loss", state.step + 1, folder)
            loss.backward()
        updates = (state.step + 1) % state.update_every == 0
        if updates and optim.grad_clip is not None:
            norm = nn.utils.clip_grad_norm_(weights, optim.grad_clip)
            if on_cpu and not math.isfinite(norm.item()):
                raise _not_finite("gradient", state.step + 1, folder)
        if updates:
            optimiser.step()
        state.step += 1
        if updates and state.ema is not None and state.step % optim.ema_every == 0:
            state.ema.update(state.model)
        state.images += optim.batch_size
        loss = loss.detach()
        if watch is not None and (bad := watch.add(state.step, loss)) is not None:
            raise _not_finite("loss", bad, folder)
        state.seconds += now() - begin
        yield Step(state, loss, rate)
    if watch is not None and (bad := watch.finish(state.step)) is not None:
        raise _not_finite("loss", bad, folder)


def _not_finite(what: str, step: int, folder: str | Path | None) -> TrainingError:
    kept = checkpoint.last_good(folder) if folder is not None else "checkpoints saved earlier are kept"
    return TrainingError(f"the {what} is not finite at step {step}; {kept}; lower the learning rate or set grad_clip")


def _wants_compile(asked: bool | None) -> bool:
    return os.environ.get("DIPDDPM_COMPILE") == "1" if asked is None else asked


@contextlib.contextmanager
def _seeded_dropout(state: State) -> Iterator[None]:
    """Dropout draws from torch's global stream only: lend it one that depends on (seed, step) alone, then put it back."""
    with torch.random.fork_rng(devices=[state.device] if state.device.type == "cuda" else []):
        torch.manual_seed(derived_seed(state.seed, f"dropout of step {state.step}"))
        yield


class _Watch:
    """Finds non-finite losses on a GPU without making the CPU wait: a ring of losses there, copied over every CHECK_EVERY steps
    and looked at when the next copy is due, by which time it has long arrived."""

    def __init__(self, device: torch.device) -> None:
        cuda = device.type == "cuda"
        self._ring, self._filled = torch.zeros(CHECK_EVERY, device=device), 0
        self._copy, self._copied_until = torch.zeros(CHECK_EVERY, pin_memory=cuda), 0
        self._arrived = torch.cuda.Event() if cuda else None

    def add(self, step: int, loss: Tensor) -> int | None:
        """Notes the loss of `step`; returns the first step known to have a non-finite loss, or None."""
        self._ring[self._filled].copy_(loss)
        self._filled += 1
        if self._filled < CHECK_EVERY:
            return None
        bad = self._look()
        self._copy.copy_(self._ring, non_blocking=self._arrived is not None)
        if self._arrived is not None:
            self._arrived.record()
        self._filled, self._copied_until = 0, step
        return bad

    def finish(self, step: int) -> int | None:
        """The same for what is left after `step`, the last one; waits for the GPU."""
        bad = self._look()
        left = self._ring[: self._filled].cpu()
        return bad if bad is not None else _first_bad(left, step)

    def _look(self) -> int | None:
        if self._copied_until == 0:
            return None
        if self._arrived is not None:
            self._arrived.synchronize()
        return _first_bad(self._copy, self._copied_until)


def _first_bad(losses: Tensor, last_step: int) -> int | None:
    """The step of the first non-finite one of consecutive losses that end with `last_step`'s."""
    bad = (~torch.isfinite(losses)).nonzero()
    return None if len(bad) == 0 else last_step - len(losses) + 1 + int(bad[0])
