"""The two reports: as published, corrected, fault by fault (faults.py says what each is), and their controls."""

from collections.abc import Sequence
from itertools import product
from typing import get_args

from dipddpm_utils.config import Control, Ddpm, Dip, Floor, Sample, Sampler, Turns
from dipddpm_utils.faults import EARLY, FAULTS
from dipddpm_utils.study import sizes
from dipddpm_utils.study.entries import Profile, Seeds
from dipddpm_utils.study.sizes import Sizes, changed
from dipddpm_utils.study.starts import on_few, started

Faults = tuple[str, ...]
CONTROLS: tuple[Control, ...] = get_args(Control)
A_STD, B_STD, B_DIP_LR = 0.1, 2.0, 1e-3  # stds for images in [0, 1]; report A adds 0.2 to images in [-1, 1]
B_STDS = (1.2, 1.0, 0.8)  # of its rows
A_DIP, A_DDPM, B_DDPM = (
    tuple(fault.id for fault in FAULTS.values() if (fault.report, fault.trained_in) == acts)
    for acts in (("A", "dip"), ("A", "ddpm"), ("B", "ddpm"))
)  # what acts in the training of each; all of it is on as published


def but(faults: Faults, left_out: str) -> Faults:
    return tuple(fault for fault in faults if fault != left_out)


A_RESNET = but(A_DIP, "FA7")  # which is about the 2conv checkpoint only
A_ON_DIP = but(A_DDPM, "FA1")  # DIP outputs lie in [0, 1] and are scaled once


# --- report A ---------------------------------------------------------------------------------------------------------


def a_dip(z: Sizes, faults: Faults = ()) -> Dip:
    return Dip(data=z.a_data, net="2conv", std=A_STD, clip_input=False, optim=z.a_2conv, faults=faults)


def a_dip_faults(z: Sizes) -> Faults:
    """Of report A's 2conv as published: FA7's checkpoint is there in fits that reach its iteration alone."""
    return A_DIP if z.a_2conv.steps > EARLY else but(A_DIP, "FA7")


def a_resnet(z: Sizes, faults: Faults = ()) -> Dip:
    return changed(a_dip(z, faults), net="resnet18", width=z.a_resnet_width, optim=z.a_resnet)


def a_ddpm(z: Sizes, faults: Faults = (), on: Dip | None = None) -> Ddpm:
    parts = Ddpm(data=z.a_data, unet=z.a_unet, diffusion=sizes.DIFFUSION_REPORT_A, optim=z.a_optim, evaluate=z.a_evaluate)
    return changed(parts, dip=on, faults=faults)


def a_arms(p: Profile, z: Sizes, seeds: Seeds, *, published: bool = True) -> None:
    """The report's own runs, corrected and as published."""
    old_dip, old_resnet = a_dip(z, a_dip_faults(z)), a_resnet(z, A_RESNET)
    p.run("a-dip-2conv", a_dip(z), seeds)
    p.run("a-dip-resnet18", a_resnet(z), seeds)
    if published:
        p.run("a-dip-2conv-published", old_dip, seeds)
        p.run("a-dip-resnet18-published", old_resnet, seeds)
        p.run("a-floor", Floor(data=z.a_data, ns=z.ns))
    p.run("a-ddpm", a_ddpm(z), seeds)
    p.run("a-2conv", a_ddpm(z, on=a_dip(z)), seeds)
    p.run("a-resnet18", a_ddpm(z, on=a_resnet(z)), seeds)
    if published:
        p.run("a-ddpm-published", a_ddpm(z, A_DDPM), seeds)
        p.run("a-2conv-published", a_ddpm(z, A_ON_DIP, old_dip), seeds)
        p.run("a-resnet18-published", a_ddpm(z, A_ON_DIP, old_resnet), seeds)


def in_turn(p: Profile, z: Sizes) -> None:
    """06: seconds of the reports' trainings, in one sitting. B's combined one at each std: its own, then those of its rows.

    Expected before the runs: those of a DIP come on top (A9); no difference without them (B1), nor by std (B5).
    """
    of_a = (a_ddpm(z), a_ddpm(z, on=a_dip(z)), a_ddpm(z, on=a_resnet(z)))
    of_b = (b_ddpm(z), *(b_ddpm(z, on=b_dip(z, std)) for std in (B_STD, *B_STDS)))
    for name, runs, data, rounds in zip(("a-turns", "b-turns"), (of_a, of_b), (z.a_data, z.b_data), z.rounds, strict=True):
        p.run(name, Turns(data=data, runs=runs, rounds=rounds, least=z.least))


def a_faults(p: Profile, z: Sizes) -> None:
    """06: the corrected run with one fault, and the published run without one."""
    in_dip = a_dip_faults(z)
    only = {id: a_ddpm(z, on=a_dip(z, (id,))) for id in in_dip} | {id: a_ddpm(z, (id,)) for id in A_DDPM}
    without = {id: a_ddpm(z, A_ON_DIP, a_dip(z, but(in_dip, id))) for id in in_dip}
    without |= {id: a_ddpm(z, but(A_DDPM, id)) for id in A_DDPM}
    for group, runs in (("a-only", only), ("a-without", without)):
        p.members(group, dict(sorted(runs.items())), z.few_seeds)  # in the order of their ids


def a_controls(p: Profile, z: Sizes, which: Sequence[Control] = CONTROLS) -> None:
    """04: one change that a DIP makes, without a DIP; as strong as that of a-dip-2conv where it has a strength."""
    for control in which:
        run = changed(a_ddpm(z, on=None if control == "clip" else a_dip(z)), train_on=control)
        p.member("a-controls", control, run, z.few_seeds)


def a_starts(p: Profile, z: Sizes) -> None:
    """04, FA8: the DIP, and its rivals, used in sampling, against the whole chain at equal calls."""
    drawn = Sample(model=a_ddpm(z), n=z.a_evaluate.final_n, sampler=Sampler(steps=z.start_steps))
    started(p, "a-starts", drawn, a_dip(z), z.a_starts, (300, 600), z.few_seeds, "a-starts-noise")


def a_bank(p: Profile, z: Sizes) -> None:
    """04, FA9: a DIP for each image, and one autoencoder for all, on the same few images."""
    on_few(p, "a-bank", changed(a_ddpm(z), data=z.a_bank), z.a_per_image, a_dip(z), z.few_seeds)


def a_library(p: Profile, z: Sizes) -> None:
    """06: the network of the library that report A used, until ours (a-ddpm) is first judged: no confound?"""
    unet, optim = changed(z.a_unet, library="denoising-diffusion-pytorch"), changed(z.a_optim, steps=z.a_evaluate.every)
    p.run("a-library-unet", changed(a_ddpm(z), unet=unet, optim=optim))


def a_batch(p: Profile, z: Sizes) -> None:
    """02: report A's batch of 4 against the larger one used here, at equal images."""
    p.members("a-batch", {"as published": changed(a_dip(z), optim=z.a_batch_4), "larger": a_dip(z)}, z.many_seeds)


# --- report B ---------------------------------------------------------------------------------------------------------


def b_dip(z: Sizes, std: float = B_STD, lr: float = B_DIP_LR) -> Dip:
    optim = changed(z.b_dip, lr=lr)
    return Dip(data=z.b_data, net="5conv", width=z.b_dip_width, std=std, one_batch=True, optim=optim)


def b_ddpm(z: Sizes, faults: Faults = (), on: Dip | None = None, lr: float | None = None) -> Ddpm:
    optim = changed(z.b_optim, lr=lr or z.b_optim.lr)
    parts = Ddpm(data=z.b_data, unet=z.b_unet, diffusion=z.b_diffusion, optim=optim, evaluate=z.b_evaluate)
    return changed(parts, dip=on, faults=faults)


def b_arms(p: Profile, z: Sizes) -> None:
    """The report's own runs. What is wrong with its baseline is the data path (b-timing), which no sample shows."""
    alone = changed(b_ddpm(z), evaluate=changed(z.b_evaluate, keep_all=True))
    p.run("b-dip", b_dip(z), z.report_seeds)
    p.run("b-floor", Floor(data=z.b_data, ns=z.ns))
    p.run("b-ddpm", alone, z.report_seeds)
    p.run("b-combined", b_ddpm(z, on=b_dip(z)), z.report_seeds)
    p.run("b-ddpm-published", alone, z.report_seeds)
    p.run("b-combined-published", b_ddpm(z, B_DDPM, b_dip(z)), z.report_seeds)


def b_others(p: Profile, z: Sizes, seeds: int) -> None:
    """03: the other data set, and an epoch image by image and from memory."""
    p.run("b-fashion", changed(b_ddpm(z), data=z.b_fashion), seeds)
    p.run("b-timing", z.b_timing)


def b_faults(p: Profile, z: Sizes) -> None:
    """06: the corrected run with one fault, and the published run without one."""
    p.members("b-only", {fault: b_ddpm(z, (fault,), b_dip(z)) for fault in B_DDPM}, z.few_seeds)
    p.members("b-without", {fault: b_ddpm(z, but(B_DDPM, fault), b_dip(z)) for fault in B_DDPM}, z.few_seeds)


def b_rows(p: Profile, z: Sizes) -> None:
    """05: report B's ablation as it is: its two halves share no run."""
    published: Faults = ("FB1", "FB2")
    rows = [(f"std {std}", b_ddpm(z, published, b_dip(z, std), z.b_optim.lr / 2)) for std in B_STDS]
    rows += [(f"dip_lr {lr}", b_ddpm(z, published, b_dip(z, 1.2, float(lr)))) for lr in ("5e-4", "2e-3", "5e-3")]
    for place, (label, run) in enumerate(rows):
        p.member("b-rows", label, run, z.few_seeds, value=place)


def b_grid(p: Profile, z: Sizes) -> None:
    """05: the same, corrected and crossed, around b-combined."""
    for dip_lr, lr, std in product(z.b_dip_lrs, (2.5e-3, 5e-3), (1.2, B_STD)):
        anchor = (dip_lr, lr, std) == (B_DIP_LR, z.b_optim.lr, B_STD)
        run, name = b_ddpm(z, on=b_dip(z, std, dip_lr), lr=lr), f"b-grid-{dip_lr:g}-{lr:g}-{std:g}"
        p.member("b-grid", f"{dip_lr:g}", run, z.few_seeds, value=std, name=name, anchor=anchor)


def b_dips(p: Profile, z: Sizes) -> None:
    """05: report B's DIP itself, from the least to the largest std and rate of its rows, for its 3 500 steps.

    Expected before the runs: a larger std is worse (B4), a larger rate no worse, since it learns more in as many steps (B6).
    """
    fit = changed(b_dip(z, B_STDS[0]), optim=z.b_dip_long, judged=z.sampled)
    for std in (max(B_STDS), min(B_STDS)):
        p.member("b-dip-std", f"{std:g}", changed(fit, std=std), z.few_seeds, value=std)
    for lr in z.b_dip_lrs:
        p.member("b-dip-lr", f"{lr:g}", changed(fit, optim=changed(fit.optim, lr=lr)), z.few_seeds, value=lr)
