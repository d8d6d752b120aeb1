"""Made-up records of the groups 'mechanisms' and 'restore', in the shapes the run store writes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dipddpm_utils.priors.restore import PAIRS

# label, value, FD, seconds beside training, kind
SETTINGS = (
    ("baseline", 0, 20.0, 0.0, "ddpm"),
    ("curriculum", 0.25, 21.0, 30.0, "ddpm"),
    ("curriculum", 1.0, 27.0, 30.0, "ddpm"),
    ("curriculum blur", 0.5, 24.0, 1.0, "ddpm"),
    ("weights", "data set", 19.0, 15.0, "ddpm"),
    ("start", 600, 15.0, 30.0, "sample"),
    ("start blur", 600, 14.0, 0.0, "sample"),
    ("start real", 600, 5.0, 0.0, "sample"),
    ("reinject", 0.5, 30.0, 30.0, "sample"),
    ("reinject blur", 0.5, 31.0, 0.0, "sample"),
    ("shift", 1, 8.0, 30.0, "ddpm"),
    ("shift blur", 1, 12.0, 1.0, "ddpm"),
    ("condition", 1, 6.0, 30.0, "ddpm"),
    ("condition blur", 1, 9.0, 1.0, "ddpm"),
    ("guidance", 0.1, 20.5, 30.0, "sample"),
    ("more training", 1, 10.0, 0.0, "ddpm"),
    ("min-snr", 5, 21.0, 0.0, "ddpm"),
    ("ddim sampler", 0, 33.0, 0.0, "sample"),
)
METHODS = ("degraded", "smooth", "dip", "dip_oracle", "ddpm", "smooth_ddpm", "dip_ddpm", "told_ddpm", "dip_told_ddpm")


def add(lab: Any, seeds: range, ddpm: Any, sample: Any, record: Any, images: Any) -> None:
    for label, value, fd, prior, kind in SETTINGS:
        for i in seeds:
            lab.add("mechanisms", label, value, _mechanism(f"mech-{label}-{value}", i, fd, prior, kind, ddpm, sample))
    for task in ("denoise", "inpaint", "super_resolve"):
        lab.add("restore", task, task, _restored(task, record, images))


def _mechanism(name: str, seed: int, fd: float, prior: float, kind: str, ddpm: Any, sample: Any) -> Any:
    flops = {"train_flops": 10**12, "dip_flops": int(prior) * 10**10, "sample_flops": 10**11, "total_flops": 2 * 10**12}
    if kind == "ddpm":
        made = ddpm(name, seed, fd=fd, dip_seconds=prior)
        made.metrics |= {"total_seconds": 160.0 + prior, "sampling_seconds": 8.0, **flops}
        return made
    made = sample(name, None, seed, fd=fd, nfe=20, copy=0.2 if "real" in name else 0.01, prior=prior)
    made.metrics |= {"model_seconds": 160.0, **flops}
    return made


def _restored(task: str, record: Any, images: Any) -> Any:
    metrics: dict[str, Any] = {"task": task, "n": 100, "features": "FD-MNIST"}
    for k, method in enumerate(METHODS):
        metrics |= {f"{method}_psnr": 12.0 + k, f"{method}_psnr_low": 11.5 + k, f"{method}_psnr_high": 12.5 + k}
        metrics |= {f"{method}_ssim": 0.4 + k / 20, f"{method}_ssim_low": 0.35 + k / 20, f"{method}_ssim_high": 0.45 + k / 20}
        metrics |= {f"{method}_seconds": float(k)}
        if method.endswith("ddpm"):
            metrics[f"{method}_t_start"] = 300
        elif method.startswith("dip"):
            metrics[f"{method}_iterations"] = 150
    for one, other in PAIRS:
        metrics |= {f"{one}_minus_{other}": 0.4, f"{one}_minus_{other}_low": 0.1, f"{one}_minus_{other}_high": 0.7}
    arrays = {f"panels_{name}": images for name in ("clean", *METHODS)}
    run = SimpleNamespace(kind="restore", seed=0, task=task)
    return record(f"restore-{task}-s0", run, metrics, arrays=arrays)
