"""Our own question, on digits: what is computed for notebooks 01 to 05, but for the mechanisms."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dipddpm_utils.config import Advice, Bank, Data, Ddpm, DipImages, Floor, Restore, Sample, Spectrum, priors
from dipddpm_utils.parts import Diffusion, Dip, Net, Optim, PerImage, Prior, Sampler, Start, Warm
from dipddpm_utils.study import sizes
from dipddpm_utils.study.entries import By, Profile
from dipddpm_utils.study.sizes import Sizes, changed

NETS: tuple[Net, ...] = ("2conv", "5conv", "resnet18", "skip")
IMAGE_FITS = ((32, 5e-3), (16, 1e-3), (8, 3e-3), (16, 1e-2))  # width and rate of each net's fit to one image
DIP_STD, DIP_LR = 1.2, 1e-3  # the common anchors of the settings
START_T = 600  # where the chain of a mechanism begins that does not begin at noise
CALLS = 12  # of their chains: as many as 20 of the whole chain are from START_T on
MORE_CALLS = (18, 20, 24)  # guidance takes the seconds of 20.0 [19.3, 20.2] calls (benchmarks)
PHOTOS = Data(name="cifar10", n_train=45_000)


def dip(z: Sizes, net: Net, *, std: float = DIP_STD, lr: float = DIP_LR, steps: int | None = None) -> Dip:
    """A network fitted to the whole data set."""
    return Dip(data=z.data, net=net, std=std, optim=changed(sizes.OPTIM_DIP, lr=lr, steps=steps or z.dip_steps))


def ddpm(z: Sizes, optim: Optim | None = None, diffusion: Diffusion = sizes.DIFFUSION_FAST, on: Dip | None = None) -> Ddpm:
    """The baseline of settings and mechanisms, or the same with a change."""
    optim, evaluate = optim or changed(sizes.OPTIM_FAST, steps=z.short[0]), changed(z.evaluate_short, every=z.short[1])
    return Ddpm(data=z.data, unet=z.unet, diffusion=diffusion, optim=optim, evaluate=evaluate, dip=on)


def longest(z: Sizes) -> Ddpm:
    """One model trained until its samples are good, with what helped a long training further (benchmarks/NOTES.md)."""
    optim = changed(sizes.OPTIM_FAST, decay="linear", kernels_only=True, steps=z.long[0])
    diffusion, evaluate = changed(sizes.DIFFUSION_FAST, times_mean=0.4), changed(z.evaluate, every=z.long[1])
    return Ddpm(data=z.data, unet=z.unet_long, diffusion=diffusion, optim=optim, evaluate=evaluate)


def main(z: Sizes, on: Dip | None = None) -> Ddpm:
    """The DDPM alone of the headline comparisons, which draws digits; or the same trained on a DIP's outputs."""
    model, (steps, every) = longest(z), z.main
    evaluate = changed(model.evaluate, every=every, n=500, final_draws=1)
    return changed(model, optim=changed(model.optim, steps=steps), evaluate=evaluate, dip=on)


def main_dip(z: Sizes) -> Dip:
    """Their DIP, picked in 05 from the fits `dip_pick`."""
    return dip(z, "2conv", std=0.4)


def main_ways(z: Sizes) -> list[tuple[str, int, Prior]]:
    """Mechanisms that they learn with, and the seeds of each: at settings that did well on small models, not always best."""
    dip = main_dip(z)
    return [
        ("shift", 3, Prior(source=dip, shift=True)),
        ("curriculum", 8, Prior(source=dip, curriculum=0.5)),
        ("curriculum blur", 3, Prior(source="blur", curriculum=0.5)),
        ("truncated", 3, Prior(source=dip, truncate=START_T)),
        ("condition", 3, Prior(source=dip, condition=True)),
        ("weights", 3, Prior(warm=Warm(steps=z.mech_warm_steps))),
        *((kind.name, 3, newcomer(kind, dip)) for kind in newcomers("learned")),
    ]


def main_advice(z: Sizes) -> dict[str, Advice | None]:
    """Second opinions for chains of the DDPM alone, at the weight that did best on the small models."""
    dip, little = main_dip(z), {"weight": 0.1, "when": "early"}
    return {
        "baseline": None,
        "reinject": Advice(name="bank", bank="dip", dip=dip, **little),
        "guidance": Advice(name="dip", dip=dip, **little),
        "reinject blur": Advice(name="bank", bank="blur", **little),
        "guidance blur": Advice(name="blur", **little),
        **{kind.name: newcomer(kind, dip) for kind in newcomers("opinion")},
    }


def newcomers(place: str) -> list[Any]:
    """The declared priors that have runs `everywhere` without being named in the study."""
    return [kind for kind in priors().KINDS.values() if kind.everywhere and kind.place == place]


def newcomer(kind: Any, dip: Dip) -> Any:
    """Such an opinion (Advice) or learned prior (Prior), with this DIP if it uses one."""
    own = dip if kind.dip else None
    if kind.place == "opinion":
        return Advice(name=kind.key, dip=own, weight=kind.value, when="early")
    return Prior(learned=kind.key, source=own or "blur")


def picks(p: Profile, z: Sizes) -> None:
    """05: the fits that the headline's DIP is picked from, judged on training images that nothing is trained on."""
    unseen = changed(z.data, validation=True)
    anchors = ("skip", DIP_STD, None), ("2conv", DIP_STD, None)  # the two nearest ones on the test images
    for net, std, steps in (*anchors, ("skip", 0.4, 300), ("2conv", 0.4, 300), ("2conv", 0.8, 300), ("2conv", 0.4, 100)):
        fit, name = changed(dip(z, net, std=std, steps=steps), data=unseen), f"dip_pick-{net}-{std:g}"
        p.member("dip_pick", net, fit, "05", value=std, name=f"{name}-{steps}" if steps else name)


def headline(p: Profile, z: Sizes) -> None:
    """04: models that draw digits, alone and trained on the picked DIP's outputs, and chains of them that begin elsewhere.

    Expected before the runs of blurred images first, then real ones: as DIP outputs first, no difference that can be shown.
    """
    picks(p, z)
    p.run("main", main(z), "04", z.many_seeds)
    p.run("main-on-dip", main(z, on=main_dip(z)), "04", z.many_seeds)
    for name, seeds, prior in main_ways(z):
        run, begun = changed(main(z), prior=prior), prior.truncate is not None
        if begun:  # judged by chains that begin there, too; with its DIP in as many seconds as the DDPM alone
            few = changed(run.evaluate.sampler, steps=z.start_steps)
            judged = changed(run.evaluate, every=490, sampler=few, final_sampler=few)
            run = changed(run, optim=changed(run.optim, steps=1960), evaluate=judged)
        p.run(f"main-{name}".replace(" ", "-"), run, "04", seeds)
        drawn = Sample(model=run, n=z.sampled, sampler=Sampler(steps=z.start_steps if begun else CALLS))
        value = prior.curriculum or prior.truncate or ("data set" if prior.warm else 1)
        p.member("main-drawn", name, drawn, "04", seeds, value=value, name=f"main-{name}-drawn")
    drawn, ts = Sample(model=main(z), n=z.sampled, sampler=Sampler(steps=z.start_steps)), (150, 300, 600)
    started(p, "main-starts", drawn, main_dip(z), start_names(z), ts, z.many_seeds, "main-noise")
    started_from_fits(p, z, "main-starts", drawn, ts)

    def alone(label: str, value: Any, name: str, sampler: Sampler, advice: Advice | None = None) -> None:
        run = changed(drawn, sampler=sampler, advice=advice)
        p.member("main-drawn", label, run, "04", z.many_seeds, value=value, name=f"main-{name}-drawn")

    for name, advice in main_advice(z).items():
        alone(name, advice.weight if advice else 0, name, Sampler(steps=CALLS), advice)
    for calls in MORE_CALLS:
        alone("more calls", calls, f"more-calls-{calls}", Sampler(steps=calls))
    # What guidance is worth beside a better sampler, which costs nothing; expected before the runs: less than it. The DDPM
    # alone at as many calls and in fewer seconds than guidance takes, and both guidances at as many calls.
    for other in (Sampler(eta=1.0), Sampler(name="dpmpp_2m")):
        title = other.title.replace(" ", "-")
        for calls in (CALLS, MORE_CALLS[0]):
            alone("more calls", By(calls, other.title), f"more-calls-{calls}-{title}", changed(other, steps=calls))
        for label in ("guidance", "guidance blur"):
            advice = main_advice(z)[label]
            alone(label, By(advice.weight, other.title), f"{label}-{title}", changed(other, steps=CALLS), advice)


def single(p: Profile, z: Sizes) -> None:
    """01 to 04: the theory's checks, the nets fitted to the data set and to single images, and the models."""
    p.run("floor", Floor(data=z.data, ns=z.ns), "03")
    p.run("gaussian", z.gaussian, "01")
    p.run("spectrum", Spectrum(data=z.data, iterations=z.spectrum_iterations), "01")
    for net in NETS:
        p.run(f"dip-{net}", dip(z, net), "02", z.seeds)
    for net, (width, lr), iterations in zip(NETS, IMAGE_FITS, z.iterations, strict=True):
        fit = DipImages(data=z.data, net=net, width=width, lr=lr, n_images=z.fitted, iterations=iterations)
        p.run(f"dip-images-{net}", changed(fit, snapshots=z.snapshots), "02")
    p.run("ddpm-long", longest(z), "03")
    p.run("ddpm", ddpm(z), "04", z.seeds)
    more = ddpm(z, changed(sizes.OPTIM_FAST, steps=z.more[0]))
    p.run("ddpm-more", changed(more, evaluate=changed(z.evaluate_short, every=z.more[1])), "04", z.seeds)
    p.run("ddpm-on-dip", ddpm(z, on=dip(z, z.dip)), "04", z.seeds)


def samplers(p: Profile, z: Sizes) -> None:
    """03: the longest trained model's samples."""
    for name in ("ancestral", "ddim", "dpmpp_2m"):
        for steps in z.sampler_steps:
            drawn = Sample(model=longest(z), n=z.sampled, sampler=Sampler(name=name, steps=steps))
            p.member("samplers", name, drawn, "03", value=steps, name=f"samplers-{name}-{steps}")


def starts(p: Profile, z: Sizes) -> None:
    """04: the baseline started from what a DIP, and its rivals, give."""
    drawn = Sample(model=ddpm(z), n=z.sampled, sampler=Sampler(steps=z.start_steps))
    started(p, "starts", drawn, dip(z, z.dip), start_names(z), z.start_ts, z.seeds, "whole_chain")
    if z.main is None:
        started_from_fits(p, z, "starts", drawn, z.start_ts)


def start_names(z: Sizes) -> tuple[str, ...]:
    return (*z.starts, *(kind.key for kind in newcomers("start")))


def started(
    p: Profile, group: str, drawn: Sample, dip: Dip, names: Sequence[str], ts: Sequence[int], seeds: int, control: str
) -> None:
    """Chains of DDIM that begin at t, and their control: the whole chain from noise, at the same number of calls."""
    for name in names:
        for t in ts:
            run = changed(drawn, start=Start(name=name, t_start=t, dip=dip))
            p.member(group, name, run, "04", seeds, value=t, name=f"{group}-{name}-{t}")
    for t in ts:
        steps = math.ceil(t * drawn.sampler.steps / drawn.model.diffusion.num_train_timesteps - 0.5)
        p.member(group, "noise", changed(drawn, sampler=Sampler(steps=steps)), "04", seeds, value=t, name=f"{control}-{steps}")


def started_from_fits(p: Profile, z: Sizes, group: str, drawn: Sample, ts: Sequence[int]) -> None:
    """The same from a DIP as published, fitted to each image, in place of one network for all.

    Expected before the runs: at t_start 150 and 300 nearly all samples lie nearest to their own image, as from the network's
    outputs; and no seconds are saved, however many images are drawn, since an image's fit takes longer than its chain.
    """
    if z.fit is None:
        return
    fits = Bank(data=z.data, fit=z.fit, n=drawn.n)
    p.run("start-fits", fits, "04", z.many_seeds)
    for t in ts:
        run = changed(drawn, start=Start(name="per_image", t_start=t, bank=fits))
        p.member(group, "per_image", run, "04", z.many_seeds, value=t, name=f"{group}-per_image-{t}")


def trained_on_fits(p: Profile, z: Sizes) -> None:
    """04: models trained on a few digits, on what one network makes of them, and on what a DIP fitted to each shows.

    Expected before the runs: both are worse than the digits themselves; which of the two is better, three seeds do not decide.
    """
    if z.fit is None:
        return
    real = changed(ddpm(z), data=z.few, evaluate=changed(z.evaluate_short, every=z.short[1], keep_all=False))
    on_few(p, "bank", real, z.fit, main_dip(z), z.seeds)


def on_few(p: Profile, group: str, real: Ddpm, fit: PerImage, dip: Dip, seeds: int) -> None:
    """A model that learns a few images, the same on what one network makes of them, and on what a DIP of each shows."""
    p.run(f"{group}-fits", Bank(data=real.data, fit=fit), "04", seeds)
    p.member(group, "real", real, "04", seeds)
    p.member(group, "dae", changed(real, dip=changed(dip, data=real.data)), "04", seeds)
    p.member(group, "per_image", changed(real, per_image=fit), "04", seeds)


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
            p.member(group, label, run, "05", seeds, value=value, anchor=value == anchor)


def stopping(p: Profile, z: Sizes) -> None:
    """05: every rule on the same noisy images; then how many stages, and how their noise levels are spaced."""
    for fit in z.stopping:
        for std in z.stopping_stds:
            name = f"stopping_{fit.net}-{std:g}"
            p.member("stopping", fit.net, changed(fit, std=std), "05", value=std, name=name)
    staged = changed(z.stopping[0], n_images=z.fitted, rules=("oracle", "discrepancy", "staged"))
    for spacing in z.spacings:
        for stages in z.stages:
            fit, name = changed(staged, spacing=spacing, stages=stages), f"stopping_stages-{spacing}-{stages}"
            p.member("stopping_stages", spacing, fit, "05", value=stages, name=name, anchor=stages == z.stopping[0].stages)


def restoration(p: Profile, z: Sizes) -> None:
    """04: a degraded image is given, and a DIP, a trained model, and both restore it; digits, and photographs if it can be.

    Expected of the photographs' model in a second space, before its runs: nearer to real ones than blurred training images are,
    as in the first. Expected of one setting with three times the images: the supervised U-Net, whose training is paid once and
    may then take three times the seconds, overtakes the DIP, which is fitted to each image anew; three models left that
    undecided. Expected of six: the U-Net stays a quarter of a dB ahead, and that is decided. Expected of photographs in
    features of a net trained on ImageNet, when their other scores were known: a DIP ahead in inpainting with both strengths, as
    in the first features, not so in super-resolution, where it is behind by PSNR and SSIM, and behind in denoising.
    """
    if z.main is None:
        restored(p, z, longest(z), unseen=False)
        return
    restored(p, z, main(z), unseen=True)
    photos, seeds = changed(main(z), data=PHOTOS), 6  # three, then up to eight by the rule: inpainting half was undecided
    p.run("photos-floor", Floor(data=PHOTOS, ns=z.ns), "04")
    p.run("photos", photos, "04", seeds)
    sampler = Sampler(name="dpmpp_2m", steps=z.restore_steps)
    p.run("photos-drawn", Sample(model=photos, n=5000, sampler=sampler), "04", 3)  # so many the second space judges
    p.run("photos-drawn-floor", Floor(data=PHOTOS, ns=(5000,)), "04")
    tasks = ("denoise", 0.4), ("denoise", 0.2), ("inpaint", 0.5), ("super_resolve", 2), ("inpaint", 0.2), ("super_resolve", 4)
    # 500 iterations: as good as width 16 after 300, in two thirds of the seconds (8 training photographs)
    few = replace(z, restore_tasks=tasks, restore_seeds=seeds, restore_fit=changed(z.restore_fit, iterations=500))
    restored(p, few, photos, unseen=True, of="photos ")
    more = changed(p.entries["restore-photos-inpaint-0.5-s0"].run, n=102)
    p.member("restore-more", "inpaint", more, "04", seeds, value=0.5, name="restore-more-inpaint-0.5")


def restored(p: Profile, z: Sizes, model: Ddpm, *, unseen: bool, of: str = "") -> None:
    """Every task at every strength. unseen: all is chosen on training images that nothing is trained on, not on test images."""
    basics = Restore(model=model, n=z.restored, n_tune=z.tuned, t_starts=z.restore_ts, **z.restore_fit.options())
    basics = changed(basics, sampler=Sampler(steps=z.restore_steps), validation=unseen)
    for task, strength in z.restore_tasks:
        name = f"restore {of}{task}" if strength is None else f"restore {of}{task} {strength:g}"
        run = changed(basics, task=task, strength=strength)
        p.member("restore", task, run, "04", z.restore_seeds, value=strength, name=name)
