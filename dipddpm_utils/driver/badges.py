"""The address of the repository: in every badge, in what a notebook's first cell clones, and in README."""

import re
from pathlib import Path

from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import UsageError
from dipddpm_utils.store.runs import CHECKOUT

ADDRESS = re.compile(
    r'(colab\.research\.google\.com/github/|REPOSITORY = \\"https://github\.com/|git clone https://github\.com/)([\w.-]+/[\w.-]+)'
)


def set_address(repository: str, checkout: Path = CHECKOUT) -> list[Path]:
    """Set OWNER/REPO wherever a repository stands; returns the files that changed. UsageError if it is not of that form."""
    if not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", repository):
        raise UsageError(f"{repository!r} is not a repository on GitHub: give OWNER/REPO, such as dipddpm/dipddpm")
    changed = []
    for place in (*sorted(checkout.glob("notebooks/*.ipynb")), checkout / "README.md"):
        text = place.read_text(encoding="utf-8")
        new = ADDRESS.sub(rf"\g<1>{repository}", text)
        if new != text:
            files.write_text(place, new)
            changed.append(place)
    return changed
