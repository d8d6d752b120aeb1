"""The profiles, by name."""

from functools import cache

from pydantic import ValidationError

from dipddpm_utils.machine.errors import ConfigError, UsageError
from dipddpm_utils.study import own
from dipddpm_utils.study.declare import PROFILES
from dipddpm_utils.study.entries import Profile


def names() -> list[str]:
    """Profiles from the smallest to the largest."""
    return list(PROFILES)


@cache
def load(name: str) -> Profile:
    """All runs of a profile; "quick:FOLDER" is quick with the images in that folder (own.py).

    UsageError: no such profile; ConfigError: it declares something that is not allowed; DataError: no usable images.
    """
    name, _, folder = name.partition(":")
    if folder:
        return own.with_images(load(name), folder)
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    declare, sizes = PROFILES[name]
    profile = Profile(name, sizes.about, name)
    try:
        declare(profile, sizes)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (error.title, *first["loc"])))
        after = list(profile.entries)[-1] if profile.entries else "the start"
        raise ConfigError(f"profile {name}, after {after}: {where}: {first['msg']}") from error
    return profile
