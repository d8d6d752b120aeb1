"""What runs will cost: counted FLOPs, and hours on this machine from a probe, a few training steps that are kept.

`runs` shows it. Counted are the networks that a run trains, applies or draws from; what it is built on is another run. The
hours are those of one process; a run that is complete has the hours that it took. Not counted are the further samples of
FID, where Inception's weights can be had.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch

from dipddpm_utils import parts, ranges
from dipddpm_utils.config import Bank, Data, Ddpm, Dip, Run, Sample, Sampler
from dipddpm_utils.data import own as images_of_ones_own
from dipddpm_utils.ddpm import sampling
from dipddpm_utils.dip import run as dips
from dipddpm_utils.machine import device as machine
from dipddpm_utils.machine import files, provenance, streams
from dipddpm_utils.machine.errors import StoreError
from dipddpm_utils.priors import judge, turns
from dipddpm_utils.training import flops

PROBED = 20  # steps of a probe, of which the median counts
DRAWN = 16  # images of a probe's call
ELSEWHERE = {  # FLOPs a second of report A's step, seconds a step that launching takes at least: on paper, not measured
    "T4, float16": (4.6e12, 2e-3),
    "H100, bfloat16": (21e12, 1e-3),
}
Kept = dict[str, dict[str, float]]  # of a network: seconds of a training step, and of a call for one image


@dataclass(frozen=True)
class Load:
    """What one run takes. `network`: its key among the probes; '' where no network is: fits to images, restoration, floors."""

    network: str = ""
    steps: int = 0
    calls: int = 0  # of the network, one image each, without gradients
    flops: int = 0

    def hours(self, probes: Mapping[str, Mapping[str, float]]) -> float:
        """On a machine whose probes these are; NaN without one."""
        if not self.network:
            return 0.0
        if (probe := probes.get(self.network)) is None:
            return math.nan
        return (self.steps * probe["step"] + self.calls * probe["call"]) / 3600


def of(run: Run) -> Load:
    """The cost of a run by its configuration alone."""
    if isinstance(run, Dip):
        shown = run.judged or (run.optim.batch_size if run.one_batch else _images(run.data))
        return _load(run, run.optim.steps, shown)
    if isinstance(run, Bank):
        return Load(flops=dips.fits_operations(run.fit, run.data, run.n or _images(run.data)))
    if isinstance(run, Sample):
        return _load(run.model, 0, run.n * _calls(run.model, run.sampler, run.start.t_start))
    if not isinstance(run, Ddpm):
        return Load()
    way, visits = run.evaluate, run.optim.steps // run.evaluate.every
    calls = visits * way.n * _calls(run, way.sampler) + way.final_draws * way.final_n * _calls(run, way.final_sampler)
    return _load(run, run.optim.steps, calls)


def _calls(model: Ddpm, sampler: Sampler, t_start: int | None = None) -> int:
    """Network calls for an image; a truncated model's chains begin at the last step that it learned."""
    begin = model.using.truncate if t_start is None else t_start
    return len(sampling.timesteps(model.diffusion.num_train_timesteps, sampler.steps, begin))


def on_paper(profile: Any) -> dict[str, float]:
    """Hours of all runs of a profile on each machine of ELSEWHERE."""
    loads = [of(entry.run) for entry in profile.entries.values()]
    machines = ELSEWHERE.items()
    return {name: sum(max(own.flops / rate, own.steps * least) for own in loads) / 3600 for name, (rate, least) in machines}


def _load(run: Ddpm | Dip, steps: int, calls: int) -> Load:
    once, learned = _counted(run)
    return Load(network(run), steps, calls, steps * run.optim.batch_size * learned + calls * once)


_COUNTED: dict[str, tuple[int, int]] = {}


def _images(data: Data) -> int:
    """How many training images there are."""
    published = parts.PUBLISHED.get(data.name)
    return data.n_train or (published.n_train if published else images_of_ones_own.read(data.path)[0].n_train)


def network(run: Ddpm | Dip) -> str:
    """What the seconds of a step depend on, as JSON: the name of a probe."""
    own = {"net": run.net, "width": run.width} if isinstance(run, Dip) else run.unet.model_dump(exclude_defaults=True)
    shape = [run.optim.batch_size, run.data.channels, run.data.size, run.data.size]
    own |= {"told": told} if isinstance(run, Ddpm) and (told := judge.images_told(run)) else {}
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
            _COUNTED[key] = flops.counted(net, x)
    return _COUNTED[key]


# --- this machine -------------------------------------------------------------------------------------------------------


def kept(device: str) -> Kept:
    """The probes of this machine."""
    return _all_kept().get(provenance.machine(device), {})


def _all_kept() -> dict[str, Kept]:
    """By machine. StoreError: the file holds something else."""
    path = files.cache_folder() / "probes.json"
    try:
        found = files.read_json(path).items() if path.exists() else ()
        return {
            name: {key: {of: float(own[of]) for of in ("step", "call")} for key, own in of_one.items()}
            for name, of_one in found
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} holds no probes: remove it and run the same command again") from error


def probe(runs: Iterable[Run], device: str) -> None:
    """Train and call each network of these runs that has no probe yet, on random images, and keep the seconds."""
    machine.keep_memory()
    name, found, path = provenance.machine(device), kept(device), files.cache_folder() / "probes.json"
    models = {network(part): part for run in runs if of(run).network for part in [getattr(run, "model", run)]}
    for key, run in models.items():
        if key in found:
            continue
        found[key] = _probed(run, device)
        print(f"{key}: {found[key]['step']:.3g} s a step")
        try:
            files.write_json(path, _all_kept() | {name: found})
        except StoreError as error:
            raise StoreError(f"the probe cannot be kept: {error}") from error


def _probed(run: Ddpm | Dip, device: str) -> dict[str, float]:
    """Seconds of a training step, the median of PROBED, and of a call for one image, the better of two."""
    shape = (run.optim.batch_size, run.data.channels, run.data.size, run.data.size)
    images = torch.rand(shape, generator=streams.generator(run.seed, "probe")).to(device)
    if isinstance(run, Ddpm):
        run = run.model_copy(update={"prior": None})  # whatever it is told costs next to nothing
    state, batches = turns.begun(run, ranges.unit_to_uint8(images), device)
    x = images[:DRAWN]
    steps = np.diff([state.synchronise() for _ in islice(batches, PROBED)], prepend=0.0)
    net, t, spent = state.model.eval(), torch.zeros(DRAWN, dtype=torch.int64, device=device), []
    call = partial(judge.autocast(net, run), x, t[: len(x)]) if isinstance(run, Ddpm) else partial(net, x)
    with torch.no_grad():
        for _ in range(2):
            since = machine.stopwatch(device)
            call()
            spent.append(since())
    return {"step": float(np.median(steps)), "call": min(spent) / len(x)}
