"""What the runs of our own question are built of: the DIPs and DDPMs, and the priors that no chapter names."""

from typing import Any, get_args

from dipddpm_utils.config import Ddpm, kinds
from dipddpm_utils.parts import Advice, Diffusion, Dip, Net, Optim, Prior
from dipddpm_utils.study import sizes
from dipddpm_utils.study.sizes import Sizes, changed

NETS: tuple[Net, ...] = get_args(Net)
DIP_STD, DIP_LR = 1.2, 1e-3  # the common anchors of the settings
START_T = 600  # where the chain of a mechanism begins that does not begin at noise


def dip(z: Sizes, net: Net, *, std: float = DIP_STD, lr: float = DIP_LR, steps: int | None = None) -> Dip:
    """A network fitted to the whole data set."""
    optim = changed(sizes.OPTIM_DIP, lr=lr, steps=steps or z.dip_steps)
    return Dip(data=z.data, net=net, std=std, width=z.dip_width, optim=optim)


def ddpm(z: Sizes, optim: Optim | None = None, diffusion: Diffusion = sizes.DIFFUSION_FAST, on: Dip | None = None) -> Ddpm:
    """The baseline of settings and mechanisms, or the same with a change."""
    optim, evaluate = optim or changed(z.optim, steps=z.short[0]), changed(z.evaluate_short, every=z.short[1])
    return Ddpm(data=z.data, unet=z.unet, diffusion=diffusion, optim=optim, evaluate=evaluate, dip=on)


def longest(z: Sizes) -> Ddpm:
    """One model trained until its samples are good, with what helped a long training further (benchmarks/NOTES.md)."""
    optim = changed(z.optim, decay="linear", kernels_only=True, steps=z.long[0])
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


def newcomers(place: str) -> list[Any]:
    """The declared priors that have runs `everywhere` without being named in the study."""
    return [kind for kind in kinds().values() if kind.everywhere and kind.place == place]


def newcomer(kind: Any, dip: Dip) -> Any:
    """Such an opinion (Advice), or learned or trained prior (Prior), with this DIP if it uses one."""
    own = dip if kind.dip else None
    if kind.place == "opinion":
        return Advice(name=kind.key, dip=own, weight=kind.value, when="early")
    return Prior(**{kind.place: kind.key}, source=own or "blur")
