"""Notebook 04: every way in which a DIP can be a prior, beside the same with a blur in the DIP's place."""

from typing import Any

from dipddpm_utils.config import Ddpm, Sample
from dipddpm_utils.parts import Advice, Dip, Prior, Start, Warm
from dipddpm_utils.study import models as built
from dipddpm_utils.study import sizes
from dipddpm_utils.study.entries import Profile
from dipddpm_utils.study.models import START_T, newcomer, newcomers
from dipddpm_utils.study.sizes import Sizes, changed


def dip_of(z: Sizes) -> Dip:
    return built.dip(z, "skip", steps=z.mech_dip_steps)


def trained(z: Sizes, prior: Prior | None = None, on: Dip | None = None) -> Ddpm:
    """The baseline, or the same that learns with a prior, or on a DIP's outputs."""
    basics = Ddpm(data=z.data, unet=z.unet, diffusion=sizes.DIFFUSION_FAST, optim=z.mech_optim, evaluate=z.mech_evaluate)
    return changed(basics, prior=prior, dip=on)


def sampled(z: Sizes, advice: Advice | None = None) -> Sample:
    """The baseline's samples, as it is judged by, or with a second opinion at every step."""
    return Sample(model=trained(z), n=z.mech_evaluate.final_n, sampler=z.mech_evaluate.sampler, advice=advice)


def started(z: Sizes, start: str, dip: Dip | None = None) -> Sample:
    """The baseline's samples from a start, with as many calls."""
    sampler = changed(z.mech_evaluate.sampler, steps=z.mech_start_steps)
    return changed(sampled(z), start=Start(name=start, t_start=START_T, dip=dip), sampler=sampler)


def reinjected(z: Sizes, weight: float, bank: str, dip: Dip | None = None) -> Sample:
    return sampled(z, Advice(name="bank", bank=bank, dip=dip, weight=weight, when="early"))


def models(p: Profile, z: Sizes) -> None:
    p.run("mech-dip", dip_of(z), z.few_seeds)
    p.run("mech-ddpm", trained(z), z.few_seeds)


def mechanisms(p: Profile, z: Sizes) -> None:
    """label: the mechanism, or the control that stands in for it; value: its setting; name: where a label has several."""

    def case(label: str, value: Any, run: Ddpm | Sample, name: str = "") -> None:
        p.member("mechanisms", label, run, z.few_seeds, value=value, name=f"mechanisms {name or label}")

    dip, base = dip_of(z), trained(z)
    warm = trained(z, Prior(warm=Warm(steps=z.mech_warm_steps)))
    more = changed(base, optim=changed(base.optim, steps=z.mech_more[0]), evaluate=changed(base.evaluate, every=z.mech_more[1]))
    case("baseline", 0, base)
    if z.headline_only:
        case("curriculum", 1.0, trained(z, on=dip), "curriculum 1")
        case("more training", 1, more)
        at_the_end = changed(base.evaluate, every=1000, keep_all=False)
        case("weights", "data set", changed(warm, evaluate=at_the_end), "weights data_set")
        case("reinject", 0.5, reinjected(z, 0.5, "dip", dip), "reinject 0.5")
        return
    for share in (0.25, 0.5):
        case("curriculum", share, trained(z, Prior(curriculum=share, source=dip)), f"curriculum {share}")
    case("curriculum", 1.0, trained(z, on=dip), "curriculum 1")
    case("curriculum blur", 0.5, trained(z, Prior(curriculum=0.5, source="blur")))
    case("weights", "data set", warm, "weights data_set")
    case("weights", "image", trained(z, Prior(warm=Warm(fit="image", steps=z.mech_image_steps))), "weights image")
    case("start", START_T, started(z, "dip", dip))
    for name in ("blur", "mean", "gaussian", "real"):
        case(f"start {name}", START_T, started(z, name))
    for weight in (0.1, 0.5):
        case("reinject", weight, reinjected(z, weight, "dip", dip), f"reinject {weight}")
    case("reinject blur", 0.5, reinjected(z, 0.5, "blur"))
    case("shift", 1, trained(z, Prior(shift=True, source=dip)))
    case("shift blur", 1, trained(z, Prior(shift=True, source="blur")))
    case("condition", 1, trained(z, Prior(condition=True, source=dip)))
    case("condition blur", 1, trained(z, Prior(condition=True, source="blur")))
    for weight in (0.1, 0.5):
        case("guidance", weight, sampled(z, Advice(name="dip", dip=dip, weight=weight, when="early")), f"guidance {weight}")
    case("guidance", "0.5 late", sampled(z, Advice(name="dip", dip=dip, weight=0.5, when="late")), "guidance 0.5 late")
    case("guidance blur", 0.5, sampled(z, Advice(name="blur", weight=0.5, when="early")))
    begun = changed(z.mech_evaluate.sampler, steps=z.mech_start_steps)
    for name, source in (("truncated", dip), ("truncated blur", "blur")):
        judged = changed(z.mech_evaluate, sampler=begun, final_sampler=begun)
        case(name, START_T, changed(trained(z, Prior(truncate=START_T, source=source)), evaluate=judged))
    case("more training", 1, more)
    case("min-snr", 5, changed(base, diffusion=changed(base.diffusion, min_snr_gamma=5.0)))
    case("ddim sampler", 0, changed(sampled(z), sampler=changed(z.mech_evaluate.sampler, name="ddim")))


def others(p: Profile, z: Sizes) -> None:
    """Opinions, learned and trained priors that are declared to have runs `everywhere`, without being named above."""
    for place, run_of in (("opinion", sampled), ("learned", trained), ("trained", trained)):
        for kind in newcomers(place):
            run = run_of(z, newcomer(kind, dip_of(z)))
            p.member("mechanisms", kind.name, run, z.few_seeds, value=kind.value)
