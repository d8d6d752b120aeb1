"""An environment with other versions of some packages, laid over those of the running one: seconds, not gigabytes."""

import subprocess
import sys
import sysconfig
from pathlib import Path


def make(folder: Path, requirements: list[str], *options: str) -> tuple[Path, Path]:
    """Make it in `folder`; its Python and its packages' folder. options: for `pip install`, such as --no-deps."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    # It stands after the environment's own packages. What is not imported need not be compiled: that is most of the time.
    (packages / "below.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [python, "-m", "pip", "install", "-qq", "--no-compile", "--disable-pip-version-check", "--no-input", *options]
    done = subprocess.run([*pip, *requirements], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return python, packages
