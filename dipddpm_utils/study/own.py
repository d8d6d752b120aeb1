"""A profile asked of images of the user's own: `quick:FOLDER` is quick with the images in that folder."""

import re
from functools import partial
from pathlib import Path
from typing import Any

from dipddpm_utils.config import Bank, Data, Evaluate, Floor, Frozen, Restore, Sample
from dipddpm_utils.data import own
from dipddpm_utils.machine.errors import UsageError
from dipddpm_utils.study.entries import Profile


def with_images(profile: Profile, folder: str) -> Profile:
    """The profile with every data set replaced by the images in `folder`, and its records in a place of their own.

    The two reports' runs and those on a second data set are left out: they are about just those data. UsageError for a profile
    that has no others; DataError as data.own.read.
    """
    if "ddpm" not in profile.groups:
        raise UsageError(f"profile {profile.name} holds the two reports' runs on their own data: use quick:{folder}")
    found = own.read(folder)[0]
    place = Path(found.data.path)
    slug = re.sub(r"[^A-Za-z0-9._-]+", "_", place.name).strip("._-")[:40] or "images"
    about = f"asked of images of your own, {place.name}; distances between their features compare models, and are no FID"
    changed = Profile(f"{profile.name}:{place}", about, f"{profile.name}-{slug}-{found.data.sha256[:6]}")
    asked = profile.seeds("ddpm")[0].run.data.name
    for group, members in profile.groups.items():
        for member in members if not group.startswith(("a-", "b-")) else ():
            entry, seed = member.entry, member.entry.run.seed
            data = getattr(getattr(entry.run, "model", entry.run), "data", None)
            if data is not None and data.name != asked:
                continue
            run, name = entry.run.mapped(partial(_on, found=found)), entry.name.removesuffix(f"-s{seed}")
            about = {"value": member.value, "name": name, "anchor": member.anchor}
            changed.member(group, member.label, run, entry.notebook, (seed,), **about)
    return changed


def _on(part: Frozen, found: own.Own) -> Frozen:
    """A part of a run with the user's data, and no more images than there are: samples are half those trained on, at most."""
    if isinstance(part, Data):
        fewer = {"n_train": (part.n_train, found.n_train), "n_held_out": (part.n_held_out, found.n_held_out)}
        fewer = {field: n if n is not None and n < there else None for field, (n, there) in fewer.items()}
        return found.data.model_copy(update=fewer)
    most, given = found.n_train // 2, found.n_held_out
    limits = {"n_images": given}  # of fits to single images, which are held-out ones
    some = isinstance(part, Bank) and part.n is not None
    if some or isinstance(part, Evaluate | Sample):  # as many as the floor, real against real, can have
        limits = {"n": most, "final_n": most}
    if isinstance(part, Restore):
        limits = {"n": given * 3 // 4, "n_tune": given // 4}
    fields: dict[str, Any] = {name: min(getattr(part, name), limit) for name, limit in limits.items() if hasattr(part, name)}
    if isinstance(part, Restore):  # all training images are trained on, so what is chosen is chosen on further held-out ones
        fields["validation"] = False
    if isinstance(part, Floor):
        fields = {"ns": tuple(sorted({min(n, most) for n in part.ns}))}
    return part.model_copy(update=fields)
