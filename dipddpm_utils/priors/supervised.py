"""The rival of restoration that needs neither a DIP nor a DDPM: a network trained to give the clean image for y."""

from collections.abc import Callable
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Restore
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.machine import streams
from dipddpm_utils.priors.degraded import Observation, degrade
from dipddpm_utils.priors.judge import autocast
from dipddpm_utils.store.records import Work
from dipddpm_utils.training import loop

TRIAL = 20  # steps from whose median the seconds of one are known


def fill(seconds: float, one: float) -> int:
    """How many there is time for, if one takes `one` seconds; at least one."""
    return max(1, round(seconds / one))


def supervised(run: Restore, train: Tensor, seconds: float, work: Work) -> tuple[Callable[[Observation], Tensor], float, int]:
    """A network trained from the start to give x0 for y: (y -> images in [0, 1], seconds of training, steps).

    That of the DDPM, at its rate, unless `run.supervised` says otherwise.
    """
    about, unet, images = run.supervised, run.supervised.unet or run.model.unet, train.to(work.device)
    t = torch.zeros(1, dtype=torch.int64, device=work.device)

    def answer(model: Model, seen: Observation) -> Tensor:
        shown = torch.cat([ranges.unit_to_signed(seen.picture), seen.known], 1)
        made = model(shown, t.expand(len(shown)))
        return made + ranges.unit_to_signed(seen.smooth) if about.residual else made

    def loss(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        seen = degrade(run.task, ranges.uint8_to_unit(batch), generator, run.strength)
        return (answer(model, seen).float() - ranges.uint8_to_signed(batch)).square().mean()

    def trained_for(steps: int) -> tuple[loop.State, list[float]]:
        warmup = min(run.model.optim.warmup_steps, steps // 5)
        few = {"steps": steps, "warmup_steps": warmup, "batch_size": about.batch_size, "ema_decay": None}
        few |= {"lr": about.lr or run.model.optim.lr}
        net = loop.seeded(lambda: UNet(unet, run.model.data.channels, run.model.data.size, given=1), run, "supervised")
        optim, seed = run.model.optim.model_copy(update=few), streams.derived_seed(run.seed, "supervised")
        state = loop.new_state(net, optim, len(train), seed, work.device)
        batches = loop.train(state, loss, lambda idx: images[idx], work.budget)
        return state, [state.synchronise() for _ in batches]  # seconds so far, at each step

    _, trial = trained_for(TRIAL)
    state, _ = trained_for(fill(seconds, median(late - soon for soon, late in pairwise(trial))))
    network = autocast(state.model.eval(), run.model)

    @torch.no_grad()
    def restored(seen: Observation) -> Tensor:
        return ranges.signed_to_unit(answer(network, seen)).clamp(0, 1)

    return restored, state.seconds, state.step
