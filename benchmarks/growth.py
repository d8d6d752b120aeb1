"""How time and memory grow: small sweeps, a power law fitted to each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from benchmarks import trainers
from benchmarks.pairs import Curve, Row, Setting, row, seconds
from dipddpm_utils.config import Ddpm, Sampler, run_hash
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.unet import UNet
from dipddpm_utils.judging import fidelity
from dipddpm_utils.judging.frechet import frechet_distance, mean_cov
from dipddpm_utils.machine import files
from dipddpm_utils.machine.device import autocast
from dipddpm_utils.store import records
from dipddpm_utils.store.records import Outcome
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study import profile
from dipddpm_utils.study.sizes import changed


def rows(setting: Setting) -> Iterator[Row | Curve]:
    """An exponent and a curve for each sweep; and the store's limit at 10 000 records."""
    yield from _training(setting)
    yield from _sampling(setting)
    yield from _metrics(setting)
    yield from _store(setting)


def sweep(
    name: str, unit: str, sizes: Sequence[int], make: Callable[[int], Callable[[], float]], repeats: int
) -> Iterator[Row | Curve]:
    """make(size) -> a measurement, taken `repeats` times after one that does not count; the row is the exponent."""
    measured = {}
    for size in sizes:
        take = make(size)
        take()
        measured[size] = [take() for _ in range(repeats)]
    what, by = name.split(" with ")
    curve = Curve.measured("growth", what, by, unit, measured)
    spread = tuple(sorted(exponent(sizes, ends) for ends in (curve.low, curve.high)))
    note = ", ".join(f"{size}: {value:.3g}" for size, value in zip(sizes, curve.y, strict=True)) + f" {unit}"
    yield Row(f"growth of {name}", exponent(sizes, curve.y), None, "exponent", spread, None, note)
    yield curve


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """k of the power law y = c x^k that fits best in logarithms."""
    if len(x) < 2 or min(x) <= 0 or min(y) <= 0:
        raise ValueError(f"x and y hold {list(x)} and {list(y)}; expected at least two points, all above zero")
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _training(setting: Setting) -> Iterator[Row | Curve]:
    device, base = setting.device, {"batch": setting.pick(64, 8), "width": trainers.recipe().unet.width, "resolution": 28}

    def asked(sizes: dict[str, int]) -> tuple[Ddpm, int, int]:
        """(a run, its batch, its pixels) of these sizes, and else of `base`."""
        sizes = {**base, **sizes}
        return trainers.endless(sizes["batch"], sizes["width"]), sizes["batch"], sizes["resolution"]

    def step(**sizes: int) -> Callable[[], float]:
        run, batch, pixels = asked(sizes)
        images = torch.randint(0, 256, (batch, 1, pixels, pixels), dtype=torch.uint8)
        one = trainers.our_step(run, images, device)[1]
        return lambda: seconds(one)

    def kept(**sizes: int) -> Callable[[], float]:
        """Bytes that a forward pass keeps for the backward one: what memory of training grows with."""
        run, batch, pixels = asked(sizes)
        net = UNet(run.unet, 1, pixels).to(device)
        x, weights = torch.zeros(batch, 1, pixels, pixels, device=device), {p.data_ptr() for p in net.parameters()}

        def measure() -> float:
            seen: dict[int, int] = {}

            def pack(tensor: torch.Tensor) -> torch.Tensor:
                if tensor.data_ptr() not in weights:
                    seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                with autocast(device, run.optim.precision):
                    net(x, torch.zeros(batch, dtype=torch.int64, device=device)).sum()
            return sum(seen.values()) / 1e6

        return measure

    sizes = {
        "batch": setting.pick((16, 32, 64, 128), (2, 4)),
        "width": setting.pick((24, 48, 96), (16, 32)),
        "resolution": setting.pick((16, 32, 64), (8, 16)),
    }
    for name, values in sizes.items():
        repeats = setting.pick(5, 1)
        yield from sweep(f"a training step with {name}", "seconds", values, lambda size, key=name: step(**{key: size}), repeats)
        yield from sweep(f"memory of a training step with {name}", "MB", values, lambda size, key=name: kept(**{key: size}), 1)


def _sampling(setting: Setting) -> Iterator[Row | Curve]:
    run = trainers.recipe()
    net = UNet(run.unet, 1, 28).to(setting.device).eval()
    call, noise = trainers.in_bfloat16(net), torch.randn(setting.pick(32, 2), 1, 28, 28).to(setting.device)

    def chain(sampler: Sampler, T: int = 1000) -> Callable[[], float]:
        process = changed(run.diffusion, num_train_timesteps=T)
        coefs = schedule.coefficients(process)
        generator = torch.Generator().manual_seed(0)
        return lambda: seconds(
            lambda: sampling.sample(call, coefs, process, sampler, noise, generator=generator)[0].sum().item()
        )

    few, repeats = setting.pick((5, 10, 20, 40), (2, 4)), setting.pick(3, 1)
    yield from sweep("sampling with NFE", "seconds", few, lambda steps: chain(Sampler(name="ddim", steps=steps)), repeats)
    lengths = setting.pick((250, 1000, 4000), (20, 40))
    yield from sweep(
        "sampling in 10 calls with T", "seconds", lengths, lambda T: chain(Sampler(name="ddim", steps=10), T), repeats
    )


def _metrics(setting: Setting) -> Iterator[Row | Curve]:
    rng, sizes = np.random.default_rng(0), setting.pick((1000, 2000, 4000, 8000), (200, 400))
    features = torch.from_numpy(rng.standard_normal((max(sizes), 64)).astype(np.float32))
    reference = mean_cov(features)

    def timed(action: Callable[[torch.Tensor], object]) -> Callable[[int], Callable[[], float]]:
        return lambda n: lambda: seconds(lambda: action(features[:n]))

    repeats = setting.pick(5, 1)
    yield from sweep(
        "Frechet distance with n", "seconds", sizes, timed(lambda f: frechet_distance(*mean_cov(f), *reference)), repeats
    )
    few = setting.pick(sizes[:-1], sizes)  # they grow with the square: why evaluations compare 2 000 images at most
    yield from sweep("KID with n", "seconds", few, timed(lambda f: fidelity.kid_blocks(f, f, blocks=10, rng=rng)), repeats)
    yield from sweep("precision and recall with n", "seconds", few, timed(lambda f: fidelity.precision_recall(f, f)), repeats)


def _store(setting: Setting) -> Iterator[Row | Curve]:
    """Seconds to list a store of so many records."""
    run, counts = profile.load("smoke").entry("ddpm-s0").run, setting.pick((1000, 3000, 10_000), (20, 40))
    store = Store(setting.scratch / "store", "smoke")
    first = store.root / "runs" / "run-00000"
    first.mkdir(parents=True)
    metrics = {f"m{i}": float(i) for i in range(30)}
    records.write(first, "run", run, Outcome(metrics=metrics), {"hash": run_hash(run)}, "2026")
    text = json.dumps(json.loads((first / "record.json").read_text()), indent=2)
    listed = []

    def fill(count: int) -> Callable[[], float]:
        for number in range(1, count):
            folder = store.root / "runs" / f"run-{number:05d}"
            if not folder.exists():
                folder.mkdir()
                (folder / "record.json").write_text(text)
        listed.clear()

        def take() -> float:
            listed.append(seconds(lambda: [files.read_json(path) for path in first.parent.glob("*/record.json")]))
            return listed[-1]

        return take

    yield from sweep("listing the store with records", "seconds", counts, fill, setting.pick(7, 2))
    yield row(f"{counts[-1]:,} records listed".replace(",", " "), listed[1:], at_most=2.0)
