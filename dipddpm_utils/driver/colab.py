"""A notebook on Colab: what is missing there is installed, and nothing that is there is replaced."""

from __future__ import annotations

import importlib
import sys

from dipddpm_utils.driver import install

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
