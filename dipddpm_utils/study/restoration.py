"""Notebook 04: a degraded image is given."""

from dataclasses import replace

from dipddpm_utils.config import Ddpm, Floor, Restore, Sample, Supervised
from dipddpm_utils.parts import Data, Sampler
from dipddpm_utils.study.entries import Profile
from dipddpm_utils.study.models import longest, main
from dipddpm_utils.study.sizes import Sizes, changed

PHOTOS = Data(name="cifar10", n_train=45_000)


def restoration(p: Profile, z: Sizes) -> None:
    """04: a degraded image is given, and a DIP, a trained model, and both restore it; digits, and photographs if it can be.

    Expected of the photographs' model in a second space, before its runs: nearer to real ones than blurred training images are,
    as in the first. Expected of photographs in features of a net trained on ImageNet, when their other scores were known: a DIP
    ahead in inpainting with both strengths, as in the first features, not so in super-resolution, where it is behind by PSNR
    and SSIM, and behind in denoising. Expected of a U-Net that is tuned as the DIP was, on training photographs, where it was
    ahead of the first by two dB: no setting of photographs is left in which a DIP wins by PSNR; in inpainting with half of the
    pixels it loses. Expected of that setting with three times the images, when those runs were seen: this U-Net, whose training
    is paid once and may then take three times the seconds, is ahead of the DIP, which is fitted to each image anew, by more
    than there: 1.0 to 1.6 dB. Expected of the same U-Net in all other settings, once those were seen and 13 U-Nets had been
    tried on training digits with half of the pixels (this one 25.4 dB, the best 25.5, a DIP about 24): by PSNR a DIP wins none,
    and loses 11 or 12 of 12. Expected of three more models in the one setting that this left undecided, digits with half of the
    pixels, 1.5 dB behind: it is decided.
    """
    if z.main is None:
        restored(p, z, longest(z), unseen=False)
        return
    restored(p, z, main(z), unseen=True)
    photos, seeds = changed(main(z), data=PHOTOS), 6  # three, then up to eight by the rule: inpainting half was undecided
    p.run("photos-floor", Floor(data=PHOTOS, ns=z.ns))
    p.run("photos", photos, seeds)
    sampler = Sampler(name="dpmpp_2m", steps=z.restore_steps)
    p.run("photos-drawn", Sample(model=photos, n=5000, sampler=sampler), 3)  # so many the second space judges
    p.run("photos-drawn-floor", Floor(data=PHOTOS, ns=(5000,)))
    tasks = ("denoise", 0.4), ("denoise", 0.2), ("inpaint", 0.5), ("super_resolve", 2), ("inpaint", 0.2), ("super_resolve", 4)
    # 500 iterations: as good as width 16 after 300, in two thirds of the seconds (8 training photographs)
    few = replace(z, restore_tasks=tasks, restore_seeds=seeds, restore_fit=changed(z.restore_fit, iterations=500))
    restored(p, few, photos, unseen=True, of="photos ")
    tuned = Supervised(unet=changed(photos.unet, width=16, patch=1, mults=(1, 2)), batch_size=16, residual=True)
    for of, name, asked, n in (("photos-", "", tasks, seeds), ("", "digits-", z.restore_tasks, z.restore_seeds)):
        for task, strength in asked:  # a DIP's seconds are measured again beside this rival
            run = changed(p.entries[f"restore-{of}{task}-{strength:g}-s0"].run, t_starts=(), supervised=tuned)
            p.member("restore-tuned", task, run, n, value=strength, name=f"restore-tuned-{name}{task}-{strength:g}")
    for group, name in (("restore", "restore-inpaint-0.5"), ("restore-tuned", "restore-tuned-digits-inpaint-0.5")):
        run = p.entries[f"{name}-s0"].run  # the one setting of twelve that five models left undecided
        p.member(group, "inpaint", run, range(5, z.many_seeds), value=0.5, name=name)
    more = changed(p.entries["restore-tuned-inpaint-0.5-s0"].run, n=102)
    p.member("restore-more", "inpaint", more, seeds, value=0.5, name="restore-more-inpaint-0.5")


def restored(p: Profile, z: Sizes, model: Ddpm, *, unseen: bool, of: str = "") -> None:
    """Every task at every strength. unseen: all is chosen on training images that nothing is trained on, not on test images."""
    basics = Restore(model=model, n=z.restored, n_tune=z.tuned, t_starts=z.restore_ts, **dict(z.restore_fit))
    basics = changed(basics, sampler=Sampler(steps=z.restore_steps), validation=unseen)
    for task, strength in z.restore_tasks:
        name = f"restore {of}{task}" if strength is None else f"restore {of}{task} {strength:g}"
        run = changed(basics, task=task, strength=strength)
        p.member("restore", task, run, z.restore_seeds, value=strength, name=name)
