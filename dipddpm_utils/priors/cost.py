"""What runs will cost: counted FLOPs, and hours on this machine from a probe, a few training steps that are kept.

`runs` shows it. Counted are the networks that a run trains, applies or draws from; what it is built on is another run. The
hours are those of one process; a run that is complete has the hours that it took.
"""

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Bank, Data, Ddpm, Dip, Run, Sample
from dipddpm_utils.data import sources
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.dip import run as dips
from dipddpm_utils.dip.fit import dip_loss
from dipddpm_utils.machine import device as machine
from dipddpm_utils.machine import files, provenance, streams
from dipddpm_utils.machine.errors import StoreError
from dipddpm_utils.page.prose import hardware
from dipddpm_utils.priors import judge, train
from dipddpm_utils.priors.images import Given
from dipddpm_utils.training import flops, loop

PROBED = 20  # steps of a probe, of which the median counts
DRAWN = 16  # images of a probe's call
ELSEWHERE = {  # FLOPs a second of report A's step, seconds a step that launching takes at least: on paper, not measured
    "T4, float16": (4.6e12, 2e-3),
    "H100, bfloat16": (21e12, 1e-3),
}
Kept = dict[str, dict[str, float]]  # of a network: seconds of a training step, and of a call for one image


@dataclass(frozen=True)
class Cost:
    """What one run takes. `network`: its key among the probes; '' where no network is: fits to images, restoration, floors."""

    network: str = ""
    steps: int = 0
    batch: int = 0
    calls: int = 0  # of the network, one image each, without gradients
    once: int = 0  # FLOPs of such a call
    learned: int = 0  # FLOPs of a training step, an image
    fits: int = 0  # FLOPs of fits to single images

    @property
    def flops(self) -> int:
        return self.steps * self.batch * self.learned + self.calls * self.once + self.fits

    def hours(self, probes: Mapping[str, Mapping[str, float]]) -> float:
        """On a machine whose probes these are; NaN without one."""
        if not self.network:
            return 0.0
        if (probe := probes.get(self.network)) is None:
            return math.nan
        return (self.steps * probe["step"] + self.calls * probe["call"]) / 3600

    def hours_on_paper(self, rate: float, least: float) -> float:
        """At so many FLOPs a second, and at least so many seconds a step."""
        return max(self.flops / rate, self.steps * least) / 3600


_COUNTED: dict[str, tuple[int, int]] = {}


def of(run: Run) -> Cost:
    """The cost of a run by its configuration alone."""
    if isinstance(run, Dip):
        applied = run.optim.batch_size if run.one_batch else _images(run.data)
        return Cost(network(run), run.optim.steps, run.optim.batch_size, applied, *_counted(run))
    if isinstance(run, Bank):
        return Cost(fits=dips.fits_operations(run.fit, run.data, run.n or _images(run.data)))
    model = run.model if isinstance(run, Sample) else run
    if not isinstance(model, Ddpm):
        return Cost()
    once, learned = _counted(model)
    if isinstance(run, Sample):
        T = model.diffusion.num_train_timesteps
        calls = run.n * len(sampling.timesteps(T, run.sampler.steps, run.start.t_start))
        return Cost(network(model), 0, model.optim.batch_size, calls, once, learned)
    way = model.evaluate
    visits = model.optim.steps // way.every
    calls = visits * way.n * way.sampler.steps + way.final_draws * way.final_n * way.final_sampler.steps
    return Cost(network(model), model.optim.steps, model.optim.batch_size, calls, once, learned)


def _images(data: Data) -> int:
    """How many training images there are."""
    return data.n_train or {"cifar10": 50_000, "digits5k": 5000}.get(data.name, 60_000)


def network(run: Ddpm | Dip) -> str:
    """What the seconds of a step depend on, as JSON: the name of a probe."""
    own = {"net": run.net, "width": run.width} if isinstance(run, Dip) else run.unet.model_dump(exclude_defaults=True)
    shape = [run.optim.batch_size, run.data.channels, run.data.size, run.data.size]
    about = {"kind": run.kind, **own, "shape": shape, "precision": run.optim.precision, "optimiser": run.optim.name}
    return json.dumps(about, sort_keys=True)


def _counted(run: Ddpm | Dip) -> tuple[int, int]:
    """FLOPs an image of (a call, a training step)."""
    key = network(run)
    if key not in _COUNTED:
        if isinstance(run, Ddpm):
            _COUNTED[key] = judge.operations(judge.build(run), run, "cpu")
        else:
            net = dips.build(run).eval()  # batch normalisation does not take one image in training mode
            x = torch.zeros(1, run.data.channels, run.data.size, run.data.size)
            _COUNTED[key] = flops.counted(lambda: net(x)), flops.training(net, x)
    return _COUNTED[key]


# --- this machine -------------------------------------------------------------------------------------------------------


def machine_name(device: str) -> str:
    """What a probe is good for: processor or GPU, its threads, torch."""
    facts = provenance.provenance(None, device)
    return f"{hardware(facts)}, torch {facts['packages']['torch']}"


def kept(device: str) -> Kept:
    """The probes of this machine."""
    path = sources.cache_folder() / "probes.json"
    return files.read_json(path).get(machine_name(device), {}) if path.exists() else {}


def probe(runs: Iterable[Run], device: str, say: Any = print) -> None:
    """Train and call each network of these runs that has no probe yet, on random images, and keep the seconds."""
    name, found = machine_name(device), kept(device)
    models = {network(part): part for run in runs if of(run).network for part in [getattr(run, "model", run)]}
    for key, run in models.items():
        if key in found:
            continue
        found[key] = _probed(run, device)
        say(f"{key}: {found[key]['step']:.3g} s a step")
        path = sources.cache_folder() / "probes.json"
        try:
            files.write_json(path, (files.read_json(path) if path.exists() else {}) | {name: found})
        except StoreError as error:
            raise StoreError(f"the probe cannot be kept: {error}") from error


def _probed(run: Ddpm | Dip, device: str) -> dict[str, float]:
    batch, generator = run.optim.batch_size, streams.generator(run.seed, "probe")
    images = torch.randint(256, (batch, run.data.channels, run.data.size, run.data.size), generator=generator).to(device)
    unit = images.float() / 255
    if isinstance(run, Ddpm):
        run = run.model_copy(update={"prior": None})  # whatever it is told costs next to nothing
        prior = train.AtWork(run, Given(images.to(torch.uint8), schedule.coefficients(run.diffusion, device=device)))
        model, loss = judge.build(run), prior.loss

        def get(rows: Tensor) -> Any:
            return train.Batch(ranges.unit_to_signed(unit[rows]))

    else:
        model = dips.build(run)

        def loss(net: nn.Module, x: Tensor, draws: torch.Generator) -> Tensor:
            return dip_loss(net, x, run.std, run.clip_input, draws)

        def get(rows: Tensor) -> Any:
            return unit[rows]

    state = loop.new_state(model, run.optim, batch, run.seed, device)
    ends = [0.0, *(state.synchronise() for _ in islice(loop.train(state, loss, get, steady=True), PROBED))]
    steps = [after - before for before, after in zip(ends, ends[1:], strict=False)]
    return {"step": statistics.median(steps), "call": _call(run, state.model.eval(), device)}


def _call(run: Ddpm | Dip, model: nn.Module, device: str) -> float:
    """Seconds of a call for one image, the better of two."""
    x = torch.rand(DRAWN, run.data.channels, run.data.size, run.data.size, device=device)
    now, spent = machine.clock(device), []
    with torch.no_grad():
        for _ in range(2):
            began = now()
            if isinstance(run, Ddpm):
                judge.autocast(model, run)(x, torch.zeros(DRAWN, dtype=torch.int64, device=device))
            else:
                model(x)
            spent.append(now() - began)
    return min(spent) / DRAWN
