"""How much of the machine a training step uses: its counted FLOPs over the rate of the best large matmul, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks import trainers
from benchmarks.pairs import Curve, Row, Setting, row, seconds
from dipddpm_utils.machine.device import number_format, settle
from dipddpm_utils.training.flops import counted

KINDS = {  # operators by what they are, for the profile; the first that is found in the name counts
    "convolutions and matmuls": ("conv", "mm", "linear", "attention"),
    "group normalisation": ("group_norm",),
    "SiLU": ("silu",),
    "sums, copies and casts": ("add", "copy", "_to", "mul", "fill", "cat", "pixel", "pool", "sum", "contiguous", "foreach"),
}


def rows(setting: Setting) -> Iterator[Row | Curve]:
    """Shares by batch and by width, with where the time of a step goes."""
    device, large = setting.device, setting.pick({"cuda": 512}.get(setting.device.type, 128), 16)
    peak = _matmul_rate(device, setting.pick((1024, 2048, 4096), (256,)))
    yield row(f"best large matmul, {number_format(device, 'bfloat16')}", [peak / 1e9], "GFLOP/s")
    width = trainers.recipe().unet.width
    by_batch, by_width = setting.pick((8, 32, 128, large), (4, large)), setting.pick((width // 2, 2 * width), (width // 2,))
    found = {(batch, width): _share(setting, peak, batch, width) for batch in dict.fromkeys((*by_batch, large))}
    found |= {(large, other): _share(setting, peak, large, other) for other in by_width}
    for (batch, wide), (shares, flops) in found.items():
        target = ({"cuda": 40.0}.get(device.type, 50.0)) if (batch, wide) == (large, width) else None
        note = f"{flops / 1e9:.3g} GFLOP a step" + (f"; time: {_profile(setting, batch, wide)}" if target else "")
        yield row(f"share of the machine, batch {batch}, width {wide}", shares, "%", note, at_least=target)
    by = {
        "batch": {batch: shares for (batch, wide), (shares, _) in sorted(found.items()) if wide == width},
        "width": {wide: shares for (batch, wide), (shares, _) in sorted(found.items()) if batch == large},
    }
    for label, measured in by.items():
        yield Curve.measured("machine", f"by {label}", label, "share of the best matmul (%)", measured)


def _matmul_rate(device: torch.device, sizes: tuple[int, ...]) -> float:
    """FLOPs a second of the best of several square products, in the number format that networks compute in here."""
    best, repeats = 0.0, 10 if device.type == "cuda" else 1
    dtype = getattr(torch, number_format(device, "bfloat16"))
    for size in sizes:
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

        def multiply(a: torch.Tensor = a, b: torch.Tensor = b) -> None:
            for _ in range(repeats):
                a @ b
            settle(device)

        multiply()
        best = max(best, 2 * size**3 * repeats / min(seconds(multiply) for _ in range(7)))
    return best


def _step(setting: Setting, batch: int, width: int) -> tuple[nn.Module, Callable[[], None]]:
    """(the network, a step of its training)."""
    images = torch.randint(0, 256, (2 * batch, 1, 28, 28), dtype=torch.uint8)
    return trainers.our_step(trainers.endless(batch, width), images, setting.device)


def _share(setting: Setting, peak: float, batch: int, width: int) -> tuple[list[float], float]:
    """(percentages of the peak, one a step; FLOPs a step)."""
    net, step = _step(setting, batch, width)
    one = torch.zeros(1, 1, 28, 28, device=setting.device), torch.zeros(1, dtype=torch.int64, device=setting.device)
    flops = batch * counted(net, *one)[1]  # not of a step itself: a GPU replays what it recorded, of which nothing is counted
    return [100 * flops / seconds(step) / peak for _ in range(setting.pick(7, 2))], flops


def _profile(setting: Setting, batch: int, width: int) -> str:
    """Where the time of a step goes, by kind of operator, largest first."""
    _, step = _step(setting, batch, width)
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (setting.device.type == "cuda")
    with profile(activities=kinds) as seen:
        for _ in range(setting.pick(5, 1)):
            step()
    spent: dict[str, float] = {}
    for event in seen.key_averages():
        own = event.self_device_time_total if setting.device.type == "cuda" else event.self_cpu_time_total
        kind = next((kind for kind, words in KINDS.items() if any(word in event.key for word in words)), "other")
        spent[kind] = spent.get(kind, 0.0) + own
    whole = sum(spent.values())
    return ", ".join(f"{kind} {100 * own / whole:.0f}%" for kind, own in sorted(spent.items(), key=lambda item: -item[1]))
