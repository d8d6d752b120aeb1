"""Notebook 05: one setting at a time, the DIP that the headline has, and when to stop."""

from itertools import product
from typing import Any

from dipddpm_utils.config import Ddpm
from dipddpm_utils.parts import Dip
from dipddpm_utils.study import sizes
from dipddpm_utils.study.entries import Profile
from dipddpm_utils.study.models import DIP_LR, DIP_STD, NETS, ddpm, dip
from dipddpm_utils.study.sizes import Sizes, changed


def picks(p: Profile, z: Sizes) -> None:
    """05: the fits that the headline's DIP is picked from, judged on training images that nothing is trained on."""
    unseen = changed(z.data, validation=True)
    anchors = ("skip", DIP_STD, None), ("2conv", DIP_STD, None)  # the two nearest ones on the test images
    for net, std, steps in (*anchors, ("skip", 0.4, 300), ("2conv", 0.4, 300), ("2conv", 0.8, 300), ("2conv", 0.4, 100)):
        fit, name = changed(dip(z, net, std=std, steps=steps), data=unseen), f"dip_pick-{net}-{std:g}"
        p.member("dip_pick", net, fit, value=std, name=f"{name}-{steps}" if steps else name)


def settings(p: Profile, z: Sizes) -> None:
    """05: one setting at a time around a common anchor."""
    optim, fast = ddpm(z).optim, sizes.DIFFUSION_FAST
    batches = [changed(optim, batch_size=b, steps=optim.steps * optim.batch_size // b) for b in z.batches]  # equal images
    sweeps: tuple[tuple[str, Any, dict[Any, Dip | Ddpm]], ...] = (  # group, anchor, run of each value
        ("dip_net", "2conv", {net: dip(z, net) for net in NETS}),
        ("dip_lr", DIP_LR, {lr: dip(z, "2conv", lr=lr) for lr in (3e-4, 1e-3, 3e-3)}),
        ("std", DIP_STD, {std: dip(z, "2conv", std=std) for std in z.dip_stds}),
        ("dip_iterations", z.dip_steps, {steps: dip(z, "2conv", steps=steps) for steps in z.dip_lengths}),
        ("ddpm_lr", optim.lr, {lr: ddpm(z, changed(optim, lr=lr)) for lr in z.ddpm_lrs}),
        ("ddpm_schedule", "cosine", {name: ddpm(z, diffusion=changed(fast, schedule=name)) for name in z.schedules}),
        ("ddpm_T", 1000, {T: ddpm(z, diffusion=changed(fast, num_train_timesteps=T)) for T in z.Ts}),  # calls stay the same
        ("ddpm_batch", optim.batch_size, {batch.batch_size: ddpm(z, batch) for batch in batches}),
    )
    for group, anchor, runs in sweeps:
        seeds = z.few_seeds if group == "ddpm_schedule" else z.seeds
        for value, run in runs.items():
            label = value if isinstance(value, str) else f"{value:g}"
            label += f"-{run.optim.steps}" if group == "ddpm_batch" else ""
            p.member(group, label, run, seeds, value=value, anchor=value == anchor)


def stopping(p: Profile, z: Sizes) -> None:
    """05: every rule on the same noisy images; then how many stages, and how their noise levels are spaced."""
    for fit, std in product(z.stopping, z.stopping_stds):
        p.member("stopping", fit.net, changed(fit, std=std), value=std, name=f"stopping_{fit.net}-{std:g}")
    staged = changed(z.stopping[0], n_images=z.fitted, rules=("oracle", "discrepancy", "staged"))
    for spacing, stages in product(z.spacings, z.stages):
        fit, name = changed(staged, spacing=spacing, stages=stages), f"stopping_stages-{spacing}-{stages}"
        p.member("stopping_stages", spacing, fit, value=stages, name=name, anchor=stages == z.stopping[0].stages)
