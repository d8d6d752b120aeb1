"""Notebooks 01 to 04: the theory's checks, nets fitted to the data set and to single images, the longest training, samplers."""

from dipddpm_utils.config import DipImages, Floor, Sample, Spectrum
from dipddpm_utils.parts import Sampler
from dipddpm_utils.study.entries import Profile
from dipddpm_utils.study.models import NETS, ddpm, dip, longest
from dipddpm_utils.study.sizes import Sizes, changed

IMAGE_FITS = ((32, 5e-3), (16, 1e-3), (8, 3e-3), (16, 1e-2))  # width and rate of each net's fit to one image


def single(p: Profile, z: Sizes) -> None:
    """01 to 04: the theory's checks, the nets fitted to the data set and to single images, and the models."""
    p.run("floor", Floor(data=z.data, ns=z.ns))
    p.run("gaussian", z.gaussian)
    p.run("spectrum", Spectrum(data=z.data, iterations=z.spectrum_iterations))
    for net in NETS:
        p.run(f"dip-{net}", dip(z, net), z.seeds)
    for net, (width, lr), iterations in zip(NETS, IMAGE_FITS, z.iterations, strict=True):
        fit = DipImages(data=z.data, net=net, width=width, lr=lr, n_images=z.fitted, iterations=iterations)
        p.run(f"dip-images-{net}", changed(fit, snapshots=z.snapshots))
    p.run("ddpm-long", longest(z))
    p.run("ddpm", ddpm(z), z.seeds)
    more = ddpm(z, changed(z.optim, steps=z.more[0]))
    p.run("ddpm-more", changed(more, evaluate=changed(z.evaluate_short, every=z.more[1])), z.seeds)
    p.run("ddpm-on-dip", ddpm(z, on=dip(z, z.dip)), z.seeds)


def samplers(p: Profile, z: Sizes) -> None:
    """03: the longest trained model's samples."""
    for name in ("ancestral", "ddim", "dpmpp_2m"):
        for steps in z.sampler_steps:
            drawn = Sample(model=longest(z), n=z.sampled, sampler=Sampler(name=name, steps=steps))
            p.member("samplers", name, drawn, value=steps, name=f"samplers-{name}-{steps}")
