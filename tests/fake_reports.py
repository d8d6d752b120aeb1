"""Made-up records of the two reports rebuilt: corrected, as published, fault by fault, controls, grid, timing.

In them report A's DIP wins as published only, because FA1 hurts the baseline; and report B's digits are grey by FB2.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

COLOUR, DIGITS = SimpleNamespace(name="cifar10"), SimpleNamespace(name="mnist")
STEPS = (50, 100, 150, 200)
# FD at the last evaluation, corrected and as published
A_FD = {"a-ddpm": (40.0, 110.0), "a-2conv": (60.0, 70.0), "a-resnet18": (64.0, 75.0)}
A_FAULTS = {
    "FA1": ("a-ddpm", 1.9),
    "FA2": ("a-2conv", 1.25),
    "FA4": ("a-ddpm", 1.3),
    "FA5": ("a-ddpm", 1.1),
    "FA7": ("a-2conv", 1.02),
}
B_FAULTS = {"FB1": 1.02, "FB2": 2.0, "FB3": 1.2}


def pictures(name: str, n: int, colour: bool, *, grey: float = 1.0) -> np.ndarray:
    """uint8 [n, 3, 32, 32] or [n, 1, 28, 28]: rings on a dark ground; `grey` scales their contrast."""
    rng, size = np.random.default_rng(sum(map(ord, name))), 32 if colour else 28
    y, x = np.mgrid[0:size, 0:size] / size
    centre = rng.uniform(0.3, 0.7, (n, 2, 1, 1))
    ring = np.hypot(y - centre[:, 0], x - centre[:, 1])
    image = 255 * grey * np.exp(-(((ring - 0.2) / 0.06) ** 2)) + 128 * (1 - grey)
    return np.repeat(image[:, None], 3 if colour else 1, axis=1).astype(np.uint8)


def ddpm(name: str, seed: int, fd: float, *, colour: bool, dip_seconds: float = 0.0, seconds: float = 100.0, grey: float = 1.0,
         settings: tuple[float, float, float] = (1e-3, 5e-3, 2.0)) -> Any:  # fmt: skip
    from fake_records import FakeRecord, curve, quality

    rng, rows = np.random.default_rng(sum(map(ord, name)) + 100 * seed), []
    features = "FD-CIFAR" if colour else "FD-MNIST"
    for k, step in enumerate(STEPS, 1):
        value = fd * (1 + 1.5 / k**2) * float(np.exp(0.02 * rng.standard_normal()))
        row = {"step": step, "images": 128 * step, "seconds": seconds * k / 4, "sampler": "dpmpp_2m", "nfe": 10}
        row |= {**quality(value, 1000), "features": features}
        rows.append(row | ({"fd_published": 8 * value * float(np.exp(0.1 * rng.standard_normal()))} if colour else {}))
    final = {**rows[-1], **quality(fd * float(np.exp(0.02 * rng.standard_normal()))), "features": features}
    seconds = seconds * float(np.exp(0.01 * rng.standard_normal()))
    dip_lr, lr, std = settings
    metrics = {**final, "train_seconds": seconds, "dip_seconds": dip_seconds, "total_seconds": seconds + dip_seconds}
    metrics |= {"parameters": 300_000, "loss_last": 0.05 * fd**0.3, "fd_trained": 0.6 * fd}
    run = SimpleNamespace(kind="ddpm", seed=seed, data=COLOUR if colour else DIGITS, optim=SimpleNamespace(lr=lr),
                          dip=SimpleNamespace(std=std, optim=SimpleNamespace(lr=dip_lr)),
                          diffusion=SimpleNamespace(num_train_timesteps=1000))  # fmt: skip
    times = np.array([999, 500, 0])
    arrays = {"grid": pictures(f"{name}{seed}", 16, colour, grey=grey),
              "reverse": np.stack([pictures(f"{name}{t}", 16, colour) for t in times]), "reverse_t": times}  # fmt: skip
    arrays |= {"grids_by_step": arrays["reverse"], "grid_steps": STEPS[-3:], "forward": arrays["reverse"], "forward_t": times}
    return FakeRecord(
        f"{name}-s{seed}", run, metrics, curve(rng, 200), pd.DataFrame([*rows, final]), arrays, {"train": seconds}
    )


def dip(name: str, seed: int, *, net: str, colour: bool, std: float) -> Any:
    from fake_records import dip as made

    record = made(name, seed, net=net, std=std)
    clean = pictures(f"clean{seed}", 8, colour)
    noisy = np.clip(clean + np.random.default_rng(seed).normal(0, 60, clean.shape), 0, 255).astype(np.uint8)
    soft = (clean * 0.7).astype(np.uint8)
    record.arrays = {"panels_clean": clean, "panels_noisy": noisy, "panels_restored": soft, "panels_applied": soft}
    record.metrics |= {"emphasis": -0.2 - 0.01 * seed, "emphasis_blur": -0.1 + 0.01 * seed}
    record.run.data = COLOUR if colour else DIGITS
    return record


def add(lab: Any, seeds: range) -> None:
    """All groups of the two reports into a FakeLab."""
    from fake_records import floor

    for side in ("a", "b"):
        lab.add(f"{side}-floor", "seed 0", 0, floor())
    _report_a(lab, seeds)
    _report_b(lab, seeds)


def _report_a(lab: Any, seeds: range) -> None:
    from fake_records import sample

    for i in seeds:
        for place, ending in enumerate(("", "-published")):
            for net in ("2conv", "resnet18"):
                lab.add(f"a-dip-{net}{ending}", f"seed {i}", i, dip(f"a-dip-{net}{ending}", i, net=net, colour=True, std=0.1))
            for name, fds in A_FD.items():
                took = 30.0 if name != "a-ddpm" else 0.0
                lab.add(name + ending, f"seed {i}", i, ddpm(name + ending, i, fds[place], colour=True, dip_seconds=took))
        for fault, (variant, factor) in A_FAULTS.items():
            lab.add("a-only", fault, fault, ddpm(f"a-only-{fault}", i, A_FD[variant][0] * factor, colour=True))
            lab.add("a-without", fault, fault, ddpm(f"a-without-{fault}", i, A_FD[variant][1] / factor, colour=True))
        for label, fd in {"blur": 62.0, "clip": 90.0, "rescaled": 45.0, "untrained": 150.0}.items():
            lab.add("a-controls", label, label, ddpm(f"a-controls-{label}", i, fd, colour=True))
        for label, fd in {"real": 80.0, "dae": 95.0, "per_image": 85.0}.items():
            lab.add("a-bank", label, label, ddpm(f"a-bank-{label}", i, fd, colour=True))
        for label, fd in {"noise": 60.0, "dip": 75.0}.items():
            for t in (300, 600):
                lab.add("a-starts", label, t, sample(label, t, i, fd=fd, nfe=t // 50, prior=30.0 * (label == "dip")))
        for label in ("as published", "larger"):
            lab.add("a-batch", label, label, dip(f"a-batch-{label}", i, net="2conv", colour=True, std=0.1))


def _report_b(lab: Any, seeds: range) -> None:
    for i in seeds:
        lab.add("b-dip", f"seed {i}", i, dip("b-dip", i, net="5conv", colour=False, std=2.0))
        alone = ddpm("b-ddpm", i, 20.0, colour=False)
        lab.add("b-ddpm", f"seed {i}", i, alone)
        lab.add("b-ddpm-published", f"seed {i}", i, alone)  # one run: what is wrong with it is its data path
        lab.add("b-combined", f"seed {i}", i, ddpm("b-combined", i, 30.0, colour=False, dip_seconds=15.0))
        grey = ddpm("b-combined-published", i, 70.0, colour=False, dip_seconds=15.0, grey=0.5)
        lab.add("b-combined-published", f"seed {i}", i, grey)
        lab.add("b-fashion", f"seed {i}", i, ddpm("b-fashion", i, 50.0, colour=False))
        for fault, factor in B_FAULTS.items():
            on, off = (0.5, 1.0) if fault == "FB2" else (1.0, 0.5)
            lab.add("b-only", fault, fault, ddpm(f"b-only-{fault}", i, 30 * factor, colour=False, grey=on))
            lab.add("b-without", fault, fault, ddpm(f"b-without-{fault}", i, 70 / factor, colour=False, grey=off))
        rows = [("std 1.2", 1e-3, 1.2), ("std 1.0", 1e-3, 1.0), ("std 0.8", 1e-3, 0.8)]
        rows += [(f"dip_lr {lr:g}", lr, 1.2) for lr in (5e-4, 2e-3, 5e-3)]
        for number, (label, dip_lr, std) in enumerate(rows):
            settings = (dip_lr, 2.5e-3 if number < 3 else 5e-3, std)
            lab.add("b-rows", label, number, ddpm(f"b-rows-{number}", i, 30 + 5 * std, colour=False, settings=settings))
        for dip_lr in (5e-4, 1e-3, 5e-3):
            for lr in (2.5e-3, 5e-3):
                for std in (0.8, 1.2, 2.0):
                    at = (dip_lr, lr, std) == (1e-3, 5e-3, 2.0)
                    fd = 20 + 5 * std + 2000 * dip_lr
                    made = ddpm(f"b-grid-{dip_lr}-{lr}-{std}", i, fd, colour=False, settings=(dip_lr, lr, std))
                    lab.add("b-grid", f"{dip_lr:g}", std, made, at)
    lab.add("b-timing", "seed 0", 0, timing())


def timing() -> Any:
    from fake_records import FakeRecord

    parts = {
        "decode": {"data": 9.0, "forward_backward": 15.0, "optimiser": 1.0},
        "memory": {"data": 0.2, "forward_backward": 15.0, "optimiser": 1.0},
    }
    rows = [
        {"path": path, "part": part, "repeat": repeat, "seconds": seconds * (1 + 0.01 * repeat)}
        for path, own in parts.items() for part, seconds in own.items() for repeat in range(6)
    ]  # fmt: skip
    metrics = {"decode_seconds": 25.0, "memory_seconds": 16.2, "data_saved_seconds": 8.8, "data_saved_seconds_low": 8.5,
               "data_saved_seconds_high": 9.1, "published_saved_seconds": 7.5, "batch": 128, "images": 60_000,
               "repeats": 6}  # fmt: skip
    run = SimpleNamespace(kind="epoch_timing", seed=0, data=DIGITS, images=60_000, steps=2, repeats=6)
    return FakeRecord("b-timing-s0", run, metrics, evals=pd.DataFrame(rows), timings={"total": 30.0})
