"""The profiles by name: what each declares, chapter by chapter, in the order in which it should be computed."""

import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from dipddpm_utils.config import Floor, Restore, Run, Sample
from dipddpm_utils.data import own
from dipddpm_utils.machine.errors import UsageError
from dipddpm_utils.parts import Bank, Data, Evaluate, Frozen
from dipddpm_utils.study import headline, mechanisms, reports, restoration, settings, single, sizes, starts
from dipddpm_utils.study.entries import Profile
from dipddpm_utils.study.sizes import Sizes


def everything(p: Profile, z: Sizes) -> None:
    """Our own question and the two reports."""
    single.single(p, z)
    if z.main is not None:
        headline.headline(p, z)
    reports.a_arms(p, z, z.report_seeds)
    reports.b_arms(p, z)
    if not z.headline_only:
        reports.b_others(p, z, z.report_seeds)
    reports.in_turn(p, z)
    for chapter in (mechanisms.models, single.samplers, starts.starts, starts.trained_on_fits, settings.settings):
        chapter(p, z)
    if not z.headline_only:
        of_a = (reports.a_faults, reports.a_controls, reports.a_starts, reports.a_bank, reports.a_batch)
        for chapter in (*of_a, reports.b_faults, reports.b_rows, reports.b_grid, reports.b_dips):
            chapter(p, z)
    settings.stopping(p, z)
    mechanisms.mechanisms(p, z)
    mechanisms.others(p, z)
    if not z.headline_only:
        restoration.restoration(p, z)


def both_reports(p: Profile, z: Sizes) -> None:
    """The two reports, what decides most first."""
    p.run("floor", Floor(data=z.b_data, ns=z.ns))  # of all digits, and so report B's
    reports.a_arms(p, z, 1)
    reports.b_arms(p, z)
    reports.b_rows(p, z)
    reports.a_starts(p, z)
    reports.a_controls(p, z, ("blur",))
    reports.a_bank(p, z)
    reports.a_library(p, z)
    reports.b_others(p, z, 1)
    reports.in_turn(p, z)
    reports.a_arms(p, z, (1, 2), published=False)


PROFILES: dict[str, tuple[Callable[[Profile, Sizes], None], Sizes]] = {  # from the smallest to the largest
    "smoke": (everything, sizes.SMOKE),
    "quick": (everything, sizes.QUICK),
    "standard": (everything, sizes.STANDARD),
    "full": (both_reports, sizes.FULL),
}


@cache
def load(name: str) -> Profile:
    """All runs of a profile; "quick:FOLDER" is quick with the images in that folder.

    UsageError: no such profile; DataError: no usable images; pydantic's ValidationError says what in sizes.py is not allowed.
    """
    name, colon, folder = name.partition(":")
    if folder:
        return with_images(load(name), folder)
    if colon:
        raise UsageError(f"no folder after the colon of {name}:, expected {name}:FOLDER with your own images")
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    declare, size = PROFILES[name]
    profile = Profile(name, size.about, name)
    declare(profile, size)
    return profile


# --- a profile asked of images of the user's own: `quick:FOLDER` is quick with the images in that folder ---------------


def with_images(profile: Profile, folder: str) -> Profile:
    """The profile with every data set replaced by the images in `folder`, and its records in a place of their own.

    The two reports' runs, those on a second data set and the choice of a DIP are left out: they are about just those data.
    UsageError for a profile that has no others; DataError as data.own.read.
    """
    if "ddpm" not in profile.groups:
        raise UsageError(f"profile {profile.name} holds the two reports' runs on their own data: use quick:{folder}")
    found = own.read(folder)[0]
    images = Path(found.data.path)
    slug = re.sub(r"[^A-Za-z0-9._-]+", "_", images.name).strip("._-")[:40] or "images"
    about = f"asked of images of your own, {images.name}; distances between their features compare models, and are no FID"
    changed = Profile(f"{profile.name}:{images}", about, f"{profile.name}-{slug}-{found.data.sha256[:6]}")
    asked = (profile.seeds("ddpm")[0].run.data.name, None)
    for group, members in profile.groups.items():
        left_out = group.startswith(("a-", "b-", "dip_pick"))  # the last: validation images
        kept = [one for one in members if not left_out and _data_name(one.entry.run) in asked]
        for member in kept:
            entry, seed = member.entry, member.entry.run.seed
            of = sum((one.label, one.value) == (member.label, member.value) for one in kept)
            run, name = entry.run.mapped(partial(_on, found=found, seeds=of)), entry.name.removesuffix(f"-s{seed}")
            place = {"value": member.value, "name": name, "anchor": member.anchor}
            changed.member(group, member.label, run, (seed,), **place)
    return changed


def _data_name(run: Run) -> str | None:
    """Of the data set that a run, or its model, is of; None of one without."""
    return getattr(getattr(getattr(run, "model", run), "data", None), "name", None)


def _on(part: Frozen, found: own.Own, seeds: int) -> Frozen:
    """A part of a run with the user's data, and no more images than there are: samples are half those trained on, at most."""
    most, given = found.n_train // 2, found.n_held_out
    if isinstance(part, Data):
        wanted = {"n_train": (part.n_train, found.n_train), "n_held_out": (part.n_held_out, given)}
        fewer = {name: n if n is not None and n < there else None for name, (n, there) in wanted.items()}
        return found.data.model_copy(update=fewer)
    if isinstance(part, Floor):
        return part.model_copy(update={"ns": tuple(sorted({min(n, most) for n in part.ns}))})
    limits = {"n_images": given}  # of fits to single images, which are held-out ones
    if isinstance(part, Bank | Evaluate | Sample):  # as many as the floor, real against real, can have
        limits = {"n": most, "final_n": most}
    elif isinstance(part, Restore):  # all training images are trained on: chosen on held-out ones, each model on its own
        limits = {"n": given // seeds * 3 // 4, "n_tune": given // seeds // 4}
        part = part.model_copy(update={"validation": False})
    asked = {name: getattr(part, name, None) for name in limits}
    return part.model_copy(update={name: min(n, limits[name]) for name, n in asked.items() if n is not None})
