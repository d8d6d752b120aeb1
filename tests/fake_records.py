"""Made-up records in the shapes the run store writes, so that figures and sentences are tested without training anything.

`FakeLab` offers what the notebooks use of `dipddpm_utils.lab.Lab`. The numbers are plausible, not measured; nothing here
reaches a report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_priors
import fake_reports
import numpy as np
import pandas as pd

DIGITS = SimpleNamespace(name="digits5k")
FLOOR = 2.3
N = 2000


@dataclass
class FakeRecord:
    """The fields of a record that the report floor reads."""

    name: str
    run: Any
    metrics: dict[str, Any] = field(default_factory=dict)
    curve: pd.DataFrame | None = None
    evals: pd.DataFrame | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    hash: str = "0123456789"

    @property
    def seed(self) -> int:
        return self.run.seed

    @property
    def kind(self) -> str:
        return self.run.kind


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(sum(map(ord, name)))


def digits(rng: np.random.Generator, *lead: int, size: int = 28) -> np.ndarray:
    """uint8 [*lead, 1, size, size]: soft blobs that stand in for digits."""
    y, x = np.mgrid[0:size, 0:size] / size
    centre = rng.uniform(0.3, 0.7, (*lead, 2, 1, 1))
    ring = np.hypot(y - centre[..., 0, :, :], x - centre[..., 1, :, :])
    return (255 * np.exp(-(((ring - 0.2) / 0.06) ** 2))).astype(np.uint8)[..., None, :, :]


def quality(fd: float, n: int = N, copy: float = 0.01) -> dict[str, Any]:
    """The scalars that `features.evaluate` gives."""
    return {
        "n": n,
        "fd": fd,
        "fd_low": fd * 0.94,
        "fd_high": fd * 1.05,
        "kid": fd / 400,
        "kid_low": fd / 420,
        "kid_high": fd / 380,
        "precision": 1 / (1 + fd / 60),
        "recall": 1 / (1 + fd / 90),
        "copy_rate": copy,
        "copy_rate_floor": 0.01,
        "features": "FD-MNIST",
        "fd_floor": FLOOR,
    }


def floor() -> FakeRecord:
    fds = FLOOR + 0.1 * _rng("floor").standard_normal(5)
    evals = pd.DataFrame([{"repeat": i, **quality(fd)} for i, fd in enumerate(fds)])
    metrics = {**quality(FLOOR), "fd_low": fds.min(), "fd_high": fds.max(), "copy_rate": 0.01}
    return FakeRecord("floor", SimpleNamespace(kind="floor", seed=0, n=N), metrics, evals=evals)


def curve(rng: np.random.Generator, steps: int = 3000, low: float = 0.03, batch: int = 128) -> pd.DataFrame:
    step = np.arange(10, steps + 1, 10)
    loss = low * (1 + 20 / (1 + step / 20)) * np.exp(0.08 * rng.standard_normal(len(step)))
    return pd.DataFrame({"step": step, "loss": loss, "lr": 1e-3, "images": step * batch, "seconds": step * 0.05})


def dip(name: str, seed: int, *, psnr: float = 17.0, net: str = "5conv", std: float = 1.2, seconds: float = 30.0) -> FakeRecord:
    rng = _rng(f"{name}{seed}")
    psnr = psnr + 0.15 * rng.standard_normal()
    clean = digits(rng, 8)
    noisy = np.clip(clean + rng.normal(0, 90, clean.shape), 0, 255).astype(np.uint8)
    blurred = (clean * 0.8).astype(np.uint8)
    metrics = {
        "train_seconds": seconds,
        "psnr": psnr,
        "psnr_low": psnr - 0.1,
        "psnr_high": psnr + 0.1,
        "ssim": psnr / 25,
        "n": N,
        "fd": 120 - 5 * psnr,
        "apply_seconds": 0.4,
        "parameters": 200_000,
        "features": "FD-MNIST",
        "fd_floor": FLOOR,
    }
    arrays = {
        "panels_clean": clean,
        "panels_noisy": noisy,
        "panels_restored": blurred,
        "panels_applied": clean // 2 + blurred // 2,
    }
    run = SimpleNamespace(kind="dip", seed=seed, net=net, std=std, data=DIGITS)
    return FakeRecord(f"{name}-s{seed}", run, metrics, curve(rng, 1000), arrays=arrays)


def dip_images(net: str) -> FakeRecord:
    rng = _rng(net)
    peak = {"2conv": 60, "5conv": 150, "resnet18": 90, "skip": 300}[net]
    its = np.unique(np.geomspace(1, 1000, 60).astype(int))
    rows = []
    for image in range(16):
        top = 21 + rng.normal(0, 1)
        for i in its:
            value = top - 1.2 * np.log(i / peak) ** 2 * (2.0 if i < peak else 0.9)
            rows.append(
                {"iteration": i, "image": image, "psnr": value, "psnr_noisy": 30 * i / (i + peak), "loss": 0.1 / (1 + i / 20)}
            )
    clean, snaps = digits(rng, 16), np.array([10, 50, 100, 200, 500, 1000])
    noisy = np.clip(clean + rng.normal(0, 50, clean.shape), 0, 255).astype(np.uint8)
    outputs = np.stack([np.clip(w * noisy + (1 - w) * clean, 0, 255) for w in np.linspace(0, 1, 6)]).astype(np.uint8)
    arrays = {"clean": clean, "noisy": noisy, "snapshots": outputs, "snapshot_iterations": snaps, "outputs_best": outputs[2]}
    metrics = {"psnr_peak": 21.0, "psnr_final": 16.0, "peak_iteration": float(peak), "seconds": 20.0}
    run = SimpleNamespace(kind="dip_images", seed=0, net=net, n_images=16, std=0.2)
    return FakeRecord(f"dip-images-{net}", run, metrics, evals=pd.DataFrame(rows), arrays=arrays)


STOPPING = {"oracle": 0.0, "fixed": 0.9, "end": 3.0, "wmv": 1.3, "emv": 1.1, "discrepancy": 0.8, "halves": 1.0, "staged": 0.1}


def stopping(net: str, std: float, spacing: str = "log", stages: int = 50) -> FakeRecord:
    """Where each rule stops 16 fits, with what it loses in dB."""
    rng, n, rows = _rng(f"{net}{std}{spacing}{stages}"), 16, []
    names = ("psnr", "lost", "log2_step", "abs_log2_step", "fit_gain")
    arrays: dict[str, list] = {"lost": [], "log2_step": []}
    for rule, cost in STOPPING.items():
        lost = cost * (1 + 0.3 * rng.standard_normal(n))
        step = (cost - 1) * (0.4 + 0.1 * rng.standard_normal(n)) if cost else np.zeros(n)
        arrays["lost"].append(lost)
        arrays["log2_step"].append(step)
        row: dict[str, Any] = {"rule": rule, "n": n, "step_median": 80.0, "unfinished": 0.0, "seconds": 0.4}
        for name, values in zip(names, (21 - lost, lost, step, np.abs(step), 0.5 * (rule == "staged") + 0 * lost), strict=True):
            half = float(values.std() / 2)
            row |= {name: float(values.mean()), f"{name}_low": values.mean() - half, f"{name}_high": values.mean() + half}
        rows.append(row)
    run = SimpleNamespace(
        kind="stopping", seed=0, net=net, std=std, n_images=n, spacing=spacing, stages=stages,
        level_high=1.0, level_low=0.01,
    )  # fmt: skip
    kept = {"rules": np.array(list(STOPPING))} | {name: np.stack(values) for name, values in arrays.items()}
    return FakeRecord(f"stopping-{net}-{std}-{spacing}-{stages}", run, {}, evals=pd.DataFrame(rows), arrays=kept)


def spectrum() -> FakeRecord:
    rows = []
    for target, speed in (("image", 1.0), ("noisy", 0.6), ("noise", 0.15)):
        for band in range(6):
            for i in np.unique(np.geomspace(1, 600, 30).astype(int)):
                error = float(np.exp(-i * speed / (15 * 2.2**band)))
                rows.append({"iteration": i, "target": target, "band": band, "relative_error": error})
    return FakeRecord(
        "spectrum", SimpleNamespace(kind="spectrum", seed=0, net="skip", n_images=8, bands=6), {}, evals=pd.DataFrame(rows)
    )


def ddpm(name: str, seed: int, *, fd: float = 20.0, dip_seconds: float = 0.0, n_evals: int = 4) -> FakeRecord:
    rng = _rng(f"{name}{seed}")
    rows = []
    for k in range(1, n_evals + 1):
        value = (fd + 60 / k**2) * float(np.exp(0.05 * rng.standard_normal()))
        rows.append(
            {
                "step": 750 * k,
                "images": 96_000 * k,
                "seconds": 40.0 * k,
                "sampler": "dpmpp_2m",
                "nfe": 15,
                **quality(value, 1000),
            }
        )
    final = {**rows[-1], "sampler": "ddim", "nfe": 50, **quality(fd * float(np.exp(0.05 * rng.standard_normal())))}
    spent = 40.0 * n_evals
    metrics = {**final, "train_seconds": spent, "dip_seconds": dip_seconds, "total_seconds": spent + dip_seconds}
    metrics["parameters"] = 1_500_000
    t = np.array([999, 800, 600, 400, 200, 100, 0])
    arrays = {
        "grid": digits(rng, 64),
        "grids_by_step": digits(rng, 4, 16),
        "grid_steps": np.array([750, 1500, 2250, 3000]),
        "reverse": digits(rng, 7, 16),
        "reverse_t": t,
        "forward": digits(rng, 7, 4),
        "forward_t": t[::-1].copy(),
    }
    run = SimpleNamespace(kind="ddpm", seed=seed, diffusion=SimpleNamespace(num_train_timesteps=1000), data=DIGITS)
    return FakeRecord(f"{name}-s{seed}", run, metrics, curve(rng), pd.DataFrame([*rows, final]), arrays, {"train": 160.0})


def sample(
    label: str, value: float | None, seed: int, *, fd: float, nfe: int, copy: float = 0.01, prior: float = 0.0
) -> FakeRecord:
    rng = _rng(f"{label}{value}{seed}")
    metrics = {
        **quality(fd * float(np.exp(0.03 * rng.standard_normal())), copy=copy),
        "nfe": nfe,
        "nfe_full": 50,
        "sampling_seconds": 0.4 * nfe + 0.1 * prior,
        "start_seconds": 0.1 * prior,
        "prior_seconds": prior,
    }
    arrays = {"grid": digits(rng, 64), "starts": digits(rng, 16)}
    return FakeRecord(
        f"{label}-{value}-s{seed}",
        SimpleNamespace(kind="sample", seed=seed, model=SimpleNamespace(data=DIGITS)),
        metrics,
        arrays=arrays,
    )


def gaussian() -> FakeRecord:
    rng, rows = _rng("gaussian"), []

    def add(check: str, x: float, expected: float, measured: float, half: float, **more: float) -> None:
        rows.append(
            {
                "check": check,
                "x": x,
                "mismatch": 0.0,
                "expected": expected,
                "measured": measured,
                "low": measured - half,
                "high": measured + half,
            }
            | more
        )

    for t in range(1, 1000, 111):
        abar = np.exp(-5 * (t / 999) ** 2)
        for check, value in (
            ("q_variance", 1 - 0.6 * abar),
            ("posterior_variance", 0.02 * t / 999),
            ("optimal_eps_error", abar / (1.5 - abar)),
        ):
            add(check, t, value, value * (1 + 0.005 * rng.standard_normal()), 0.01 * value)
    for steps in (10, 20, 50, 100):
        for check in ("ddim_variance", "ancestral_variance"):
            add(check, steps, 1 - 1.5 / steps, 1 - 1.5 / steps + 0.002 * rng.standard_normal(), 0.006)
    for size in (0.0, 0.25, 0.5, 1.0):
        for t in range(100, 1000, 100):
            abar = np.exp(-5 * (t / 999) ** 2)
            kl = 0.5 * size**2 * abar / (1.01 - abar)
            bound = min(np.sqrt(kl / 2), np.sqrt(1 - np.exp(-kl)))
            add("output_shift", t, size * abar, size * abar + 0.004 * rng.standard_normal(), 0.008, mismatch=size)
            add("start_bound", t, bound, 0.8 * bound, 0.008, mismatch=size, kl=kl)
    metrics: dict[str, Any] = {"n": 20_000, "dim": 8, "start_bound_violations": 0}
    for name in (
        "q_variance",
        "posterior_variance",
        "optimal_eps_error",
        "ddim_variance",
        "ancestral_variance",
        "output_shift",
    ):
        metrics |= {f"{name}_max_relative_error": 0.01, f"{name}_covered": 0.95}
    run = SimpleNamespace(kind="gaussian", seed=0, dim=8, n=20_000, diffusion=SimpleNamespace(num_train_timesteps=1000))
    return FakeRecord("gaussian", run, metrics, evals=pd.DataFrame(rows))


NETS = ("2conv", "5conv", "resnet18", "skip")


class FakeLab:
    """A profile's records, made up: `seeds` seeds of everything; groups in `without` are not declared.

    reports: also the runs of the two reports rebuilt (fake_reports.py).
    dip_gain: the factor between the FD of a chain from a DIP start and that of the whole chain at equal cost.
    """

    def __init__(
        self,
        seeds: int = 3,
        without: tuple[str, ...] = (),
        profile: str = "quick",
        dip_gain: float = 1.3,
        reports: bool = False,
    ) -> None:
        self.profile = SimpleNamespace(name=profile)
        self.store = SimpleNamespace(root=Path("no-such-folder") / profile, source=Path("no-such-folder") / profile)
        s = range(seeds)
        self.groups: dict[str, list[tuple[str, Any, bool, FakeRecord]]] = {}
        self.used: dict[str, FakeRecord] = {}
        for one in (floor(), gaussian(), spectrum(), *(dip_images(n) for n in NETS)):
            self.add(one.name, "seed 0", 0, one)
        for net, psnr in zip(NETS, (14.0, 17.5, 15.0, 18.0), strict=True):
            for i in s:
                self.add(f"dip-{net}", f"seed {i}", i, dip(f"dip-{net}", i, psnr=psnr, net=net))
        for i in s:
            self.add("ddpm", f"seed {i}", i, ddpm("ddpm", i))
            if i == 0:
                self.add("ddpm-long", "seed 0", 0, ddpm("ddpm-long", 0, fd=9.0))
            self.add("ddpm-more", f"seed {i}", i, ddpm("ddpm-more", i, fd=17.0, n_evals=5))
            self.add("ddpm-on-dip", f"seed {i}", i, ddpm("ddpm-on-dip", i, fd=27.0, dip_seconds=30.0))
        for name, bad in (("ancestral", 60), ("ddim", 12), ("dpmpp_2m", 4)):
            for nfe in (5, 10, 20, 50):
                self.add("samplers", name, nfe, sample(name, nfe, 0, fd=20 * (1 + bad / nfe), nfe=nfe))
        self._starts(s, {"noise": 1.0, "dip": dip_gain, "mean": 2.0, "gaussian": 1.25, "blur": 1.1, "real": 0.6})
        self._ablations(s)
        fake_priors.add(self, s, ddpm, sample, FakeRecord, digits(_rng("restore"), 8))
        for net in ("2conv", "5conv", "skip"):
            for std in (0.1, 0.2, 0.4):
                self.add("stopping", net, std, stopping(net, std))
        for spacing in ("linear", "cosine", "log"):
            for count in (10, 50, 100):
                self.add("stopping_stages", spacing, count, stopping("skip", 0.2, spacing, count), count == 50)
        if reports:
            fake_reports.add(self, s)
        self.groups = {name: members for name, members in self.groups.items() if name not in without}

    def _starts(self, seeds: range, gains: dict[str, float]) -> None:
        for label, factor in gains.items():
            for value in (250, 500, 750):
                for i in seeds:
                    copy = 0.3 if label == "real" and value < 500 else 0.012
                    fd, nfe, prior = 20 * factor ** (1.3 - value / 1000), 50 * value // 1000, 30.0 * (label == "dip")
                    made = sample(label, value, i, fd=fd, nfe=nfe, copy=copy, prior=prior)
                    if label in ("dip", "blur", "mean"):
                        made.metrics |= {"start_moved": 30.0, "start_tv_bound": 0.4 if value == 750 else 0.99}
                    self.add("starts", label, value, made)

    def _ablations(self, seeds: range) -> None:
        sweeps = {
            "std": ((0.8, 1.0, 1.2, 2.0), 1.2, -1.5),
            "dip_lr": ((5e-4, 1e-3, 2e-3, 5e-3), 1e-3, 0.1),
            "dip_iterations": ((250, 500, 1000), 1000, 0.4),
        }
        for group, (values, at, effect) in sweeps.items():
            for value in values:
                for i in seeds:
                    changed = dip(f"{group}-{value}", i, psnr=17.5 + effect * float(np.log(value / at)), std=value)
                    self.add(group, f"{value:g}", value, self.seeds("dip-5conv")[i] if value == at else changed, value == at)
        for i in seeds:
            for net in NETS:
                self.add("dip_net", net, net, self.seeds(f"dip-{net}")[i], net == "5conv")
            for group, (values, at) in {
                "ddpm_lr": ((5e-4, 1e-3, 2e-3), 1e-3),
                "ddpm_schedule": (("linear", "cosine"), "cosine"),
                "ddpm_T": ((100, 1000), 1000),
                "ddpm_batch": ((32, 64, 128), 64),
            }.items():
                for value in values:
                    made = self.seeds("ddpm")[i] if value == at else ddpm(f"{group}-{value}", i, fd=24.0)
                    self.add(group, str(value), value, made, value == at)

    def add(self, group: str, label: str, value: Any, record: FakeRecord, anchor: bool = False) -> None:
        self.groups.setdefault(group, []).append((label, value, anchor, record))

    def all(self) -> list[FakeRecord]:
        return list({member[3].name: member[3] for members in self.groups.values() for member in members}.values())

    def has(self, *groups: str) -> bool:
        return set(groups) <= set(self.groups)

    def labelled(self, group: str) -> dict[str, list[FakeRecord]]:
        self.seeds(group)
        found: dict[str, list[FakeRecord]] = {}
        for label, _, _, record in self.groups[group]:
            found.setdefault(label, []).append(record)
        return found

    def record(self, name: str) -> FakeRecord:
        group, _, seed = name.rpartition("-s")
        return self.seeds(group)[int(seed)] if seed.isdigit() else self.seeds(name)[0]

    def seeds(self, name: str) -> list[FakeRecord]:
        records = [record for _, _, _, record in self.groups[name]]
        self.used |= {f"{record.name}-{record.hash}": record for record in records}
        return records

    def frame(self, group: str, *labels: str) -> pd.DataFrame:
        self.seeds(group)
        rows = [
            {"name": r.name, "label": label, "value": value, "anchor": anchor, "seed": r.seed, "kind": r.kind, **r.metrics}
            for label, value, anchor, r in self.groups[group]
            if not labels or label in labels
        ]
        return pd.DataFrame(rows)
