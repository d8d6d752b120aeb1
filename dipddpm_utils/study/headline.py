"""Notebook 04: the headline, models that draw digits."""

from typing import Any

from dipddpm_utils.config import Sample
from dipddpm_utils.parts import Advice, Prior, Sampler, Warm
from dipddpm_utils.study.entries import By, Profile
from dipddpm_utils.study.models import START_T, main, main_dip, newcomer, newcomers
from dipddpm_utils.study.settings import picks
from dipddpm_utils.study.sizes import Sizes, changed
from dipddpm_utils.study.starts import start_names, started, started_from_fits

CALLS = 12  # of their chains: as many as 20 of the whole chain are from START_T on
MORE_CALLS = (18, 20, 24)  # guidance takes the seconds of 20.0 [19.3, 20.2] calls (benchmarks)


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
        *((kind.name, 3, newcomer(kind, dip)) for place in ("learned", "trained") for kind in newcomers(place)),
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


def headline(p: Profile, z: Sizes) -> None:
    """04: models that draw digits, alone and trained on the picked DIP's outputs, and chains of them that begin elsewhere.

    Expected before the runs of blurred images first, then real ones: as DIP outputs first, no difference that can be shown.
    """
    picks(p, z)
    p.run("main", main(z), z.many_seeds)
    p.run("main-on-dip", main(z, on=main_dip(z)), z.many_seeds)
    for name, seeds, prior in main_ways(z):
        run, begun = changed(main(z), prior=prior), prior.truncate is not None
        if begun:  # judged by chains that begin there, too; with its DIP in as many seconds as the DDPM alone
            few = changed(run.evaluate.sampler, steps=z.start_steps)
            judged = changed(run.evaluate, every=490, sampler=few, final_sampler=few)
            run = changed(run, optim=changed(run.optim, steps=1960), evaluate=judged)
        p.run(f"main-{name}".replace(" ", "-"), run, seeds)
        drawn = Sample(model=run, n=z.sampled, sampler=Sampler(steps=z.start_steps if begun else CALLS))
        value = prior.curriculum or prior.truncate or ("data set" if prior.warm else 1)
        p.member("main-drawn", name, drawn, seeds, value=value, name=f"main-{name}-drawn")
    drawn, ts = Sample(model=main(z), n=z.sampled, sampler=Sampler(steps=z.start_steps)), (150, 300, 600)
    started(p, "main-starts", drawn, main_dip(z), start_names(z), ts, z.many_seeds, "main-noise")
    started_from_fits(p, z, "main-starts", drawn, ts)

    def alone(label: str, value: Any, name: str, sampler: Sampler, advice: Advice | None = None) -> None:
        run = changed(drawn, sampler=sampler, advice=advice)
        p.member("main-drawn", label, run, z.many_seeds, value=value, name=f"main-{name}-drawn")

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
