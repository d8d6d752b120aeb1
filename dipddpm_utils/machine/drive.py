"""Google Drive, where a Colab notebook keeps what its machine forgets: `results = "drive"`."""

import sys
from pathlib import Path

from dipddpm_utils.machine.errors import UsageError

MOUNT = Path("/content/drive")


def folder() -> Path:
    """The folder of results in the user's Drive, which is mounted if it is not yet. UsageError outside Colab."""
    if "google.colab" not in sys.modules:
        raise UsageError(
            'results = "drive" is for notebooks on Colab: name a folder, or leave it empty for results/ of this checkout'
        )
    if not (MOUNT / "MyDrive").is_dir():
        from google.colab import drive

        drive.mount(str(MOUNT))
    return MOUNT / "MyDrive" / "dipddpm-results"
