"""A notebook on Colab: what is missing there is installed, nothing replaced; and the address that its badge opens."""

from __future__ import annotations

import importlib
import re
import sys

from dipddpm_utils.driver import install
from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import UsageError

ADDRESS = re.compile(  # in every badge, in what a notebook's first cell clones, in README and for citations
    r'(colab\.research\.google\.com/github/|(?:REPOSITORY = \\"|git clone --depth 1 |repository-code: )https://github\.com/)([\w.-]+/[\w.-]+)'
)
ONLY_OF_THE_COMMANDS = {"click", "jupyter", "latex2mathml", "papermill"}


def prepare() -> None:
    """Install what a notebook needs and Colab lacks, as locked; elsewhere do nothing.

    Without what it depends on, so that torch and numpy stay as they are. SystemExit in one line if it fails.
    """
    if "google.colab" not in sys.modules:
        return
    needed = install.direct_needs(extras=()).keys() - ONLY_OF_THE_COMMANDS
    lock = install.read_lock(install.read("requirements.lock"))
    lacking = [package for package in install.missing(lock, install.installed(), {}) if package.name in needed]
    if lacking:
        install.install(lacking)
        importlib.invalidate_caches()


def set_address(repository: str) -> int:
    """Set OWNER/REPO wherever a repository stands; returns in how many files. UsageError if it is not of that form."""
    if not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", repository):
        raise UsageError(f"{repository!r} is not a repository on GitHub: give OWNER/REPO, such as dipddpm/dipddpm")
    places = [*files.CHECKOUT.glob("notebooks/*.ipynb"), files.CHECKOUT / "README.md", files.CHECKOUT / "CITATION.cff"]
    for place in places:
        files.write_text(place, ADDRESS.sub(rf"\g<1>{repository}", place.read_text(encoding="utf-8")))
    return len(places)
