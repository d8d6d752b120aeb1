"""Notebook 04: chains that begin elsewhere, and models that learn from a few images and what DIPs make of them."""

import math
from collections.abc import Sequence

from dipddpm_utils.config import Ddpm, Sample
from dipddpm_utils.parts import Bank, Dip, PerImage, Sampler, Start
from dipddpm_utils.study.entries import Profile
from dipddpm_utils.study.models import ddpm, dip, main_dip, newcomers
from dipddpm_utils.study.sizes import Sizes, changed


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
            p.member(group, name, run, seeds, value=t, name=f"{group}-{name}-{t}")
    for t in ts:
        steps = math.ceil(t * drawn.sampler.steps / drawn.model.diffusion.num_train_timesteps - 0.5)
        p.member(group, "noise", changed(drawn, sampler=Sampler(steps=steps)), seeds, value=t, name=f"{control}-{steps}")


def started_from_fits(p: Profile, z: Sizes, group: str, drawn: Sample, ts: Sequence[int]) -> None:
    """The same from a DIP as published, fitted to each image, in place of one network for all.

    Expected before the runs: at t_start 150 and 300 nearly all samples lie nearest to their own image, as from the network's
    outputs; and no seconds are saved, however many images are drawn, since an image's fit takes longer than its chain.
    """
    if z.fit is None:
        return
    fits = Bank(data=z.data, fit=z.fit, n=drawn.n)
    p.run("start-fits", fits, z.many_seeds)
    for t in ts:
        run = changed(drawn, start=Start(name="per_image", t_start=t, bank=fits))
        p.member(group, "per_image", run, z.many_seeds, value=t, name=f"{group}-per_image-{t}")


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
    p.run(f"{group}-fits", Bank(data=real.data, fit=fit), seeds)
    dae = changed(real, dip=changed(dip, data=real.data))
    p.members(group, {"real": real, "dae": dae, "per_image": changed(real, per_image=fit)}, seeds)
