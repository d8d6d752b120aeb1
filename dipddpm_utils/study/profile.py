"""The profiles by name: what each declares, chapter by chapter, in the order in which it should be computed."""

from collections.abc import Callable
from functools import cache

from dipddpm_utils.config import Floor, Spectrum
from dipddpm_utils.machine.errors import UsageError
from dipddpm_utils.study import digits, mechanisms, own, reports, sizes
from dipddpm_utils.study.entries import Profile
from dipddpm_utils.study.sizes import Sizes


def everything(p: Profile, z: Sizes) -> None:
    """Our own question and the two reports."""
    digits.single(p, z)
    if z.main is not None:
        digits.headline(p, z)
    reports.a_arms(p, z, z.report_seeds)
    reports.b_arms(p, z)
    if not z.headline_only:
        reports.b_others(p, z, z.report_seeds)
    for chapter in (mechanisms.models, digits.samplers, digits.starts, digits.trained_on_fits, digits.settings):
        chapter(p, z)
    if not z.headline_only:
        for chapter in (reports.a_faults, reports.a_controls, reports.a_starts, reports.a_bank, reports.a_batch):
            chapter(p, z)
        for chapter in (reports.b_faults, reports.b_rows, reports.b_grid):
            chapter(p, z)
    digits.stopping(p, z)
    mechanisms.mechanisms(p, z)
    mechanisms.newcomers(p, z)
    if not z.headline_only:
        digits.restoration(p, z)


def both_reports(p: Profile, z: Sizes) -> None:
    """The two reports, what decides most first; restoration with A's models; the theory's checks, which cost seconds."""
    p.run("floor", Floor(data=z.b_data, ns=z.ns), "03")  # of all digits, and so report B's
    reports.a_arms(p, z, 1)
    reports.b_arms(p, z)
    reports.b_rows(p, z)
    reports.a_starts(p, z)
    reports.a_controls(p, z, ("blur",))
    reports.a_bank(p, z)
    reports.a_library(p, z)
    reports.b_others(p, z, 1)
    reports.a_arms(p, z, (1, 2), published=False)
    reports.a_restored(p, z)
    p.run("gaussian", z.gaussian, "01")
    p.run("spectrum", Spectrum(data=sizes.MNIST_10000, iterations=z.spectrum_iterations), "01")


PROFILES: dict[str, tuple[Callable[[Profile, Sizes], None], Sizes]] = {  # from the smallest to the largest
    "smoke": (everything, sizes.SMOKE),
    "quick": (everything, sizes.QUICK),
    "standard": (everything, sizes.STANDARD),
    "full": (both_reports, sizes.FULL),
}


@cache
def load(name: str) -> Profile:
    """All runs of a profile; "quick:FOLDER" is quick with the images in that folder (own.py).

    UsageError: no such profile; DataError: no usable images; pydantic's ValidationError says what in sizes.py is not allowed.
    """
    name, _, folder = name.partition(":")
    if folder:
        return own.with_images(load(name), folder)
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    declare, size = PROFILES[name]
    profile = Profile(name, size.about, name)
    declare(profile, size)
    return profile
