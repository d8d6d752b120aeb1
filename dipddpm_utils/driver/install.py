"""Puts the packages of requirements.lock into the running environment. Standard library only: it runs before anything is there.

`python -m dipddpm_utils.driver.install --exact` (the project's own .venv) installs every package as locked. Without `--exact`
(an active venv or conda environment, Colab) only what is missing is installed, and a torch or numpy that is there is never
replaced. A stamp with the lock's SHA-256 inside the environment makes the second call a matter of milliseconds.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
STAMP = "dipddpm-requirements.sha256"
KEPT = {"torch", "torchvision", "numpy"}  # a replaced one breaks everything that was built against it (Colab)
OF_TORCH = re.compile(r"nvidia-|cuda-|triton$")  # come with whichever torch is there; another build's are of no use to it


class Locked(NamedTuple):
    """One package of the lock: `text` is its requirement with hashes, as the installer reads it."""

    name: str
    version: str
    marker: str
    text: str


def read_lock(text: str) -> list[Locked]:
    """The packages of a hash-pinned lock file, in order."""
    blocks = re.findall(r"^[A-Za-z0-9](?:[^\n]*\\\n)*[^\n]*", text, flags=re.MULTILINE)
    packages = []
    for block in blocks:
        head = block.split("\\\n")[0].split(" --hash")[0]
        requirement, _, marker = (part.strip() for part in head.partition(";"))
        name, _, version = requirement.partition("==")
        packages.append(Locked(canonical(name), version, marker, block))
    return packages


def canonical(name: str) -> str:
    """A package's name as registries compare it: lower case, runs of - _ . as one hyphen; extras dropped."""
    return re.sub(r"[-_.]+", "-", name.split("[")[0].strip()).lower()


def installed() -> dict[str, str]:
    """Versions of what this environment holds, by canonical name."""
    return {canonical(d.name): d.version for d in importlib.metadata.distributions() if d.name}


def missing(lock: list[Locked], have: dict[str, str], direct: dict[str, str]) -> list[Locked]:
    """What of `lock` must be installed beside `have`: what is not there, and direct needs whose version does not fit.

    direct: version ranges of pyproject.toml by name. Packages in KEPT are never replaced.
    """
    wanted = []
    for package in lock:
        if not _applies(package.marker) or (OF_TORCH.match(package.name) and "torch" in have):
            continue
        version = have.get(package.name)
        too_old = version is not None and package.name not in KEPT and not _fits(version, direct.get(package.name, ""))
        if version is None or too_old:
            wanted.append(package)
    return wanted


def direct_needs(pyproject: dict[str, Any]) -> dict[str, str]:
    """Version ranges by canonical name, from [project] dependencies and all extras."""
    project = pyproject["project"]
    lines = sum(project["optional-dependencies"].values(), project["dependencies"])
    parts = (re.match(r"([A-Za-z0-9._-]+(?:\[[^\]]*\])?)\s*(.*)", line.split(";")[0]) for line in lines)
    return {canonical(m[1]): m[2].strip() for m in parts if m}


def install(packages: list[Locked], everything: bool) -> None:
    """Install exactly these, hashes checked, with uv where there is one, else pip. SystemExit with one line if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(package.text for package in packages) + "\n")
        options = ["--require-hashes", "--no-deps", "-r", str(file)]  # the lock names every dependency itself
        uv = shutil.which("uv")
        if uv:
            command = [uv, "pip", "install", "--python", sys.executable, *options]
        else:
            if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
                subprocess.run([sys.executable, "-m", "ensurepip"], capture_output=True)
            command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", *options]
        what = "the locked packages" if everything else f"{len(packages)} missing packages"
        print(f"installing {what} with {'uv' if uv else 'pip'} (torch is large: half a minute to a few minutes)", flush=True)
        code = subprocess.run(command).returncode
    if code:
        tool = "uv" if uv else "pip"
        sys.exit(f"run_all.sh: {tool} could not install requirements.lock (see above): check the network, then run it again")


def main(arguments: list[str]) -> None:
    """Bring this environment up to requirements.lock, unless its stamp says that it is there already."""
    exact = "--exact" in arguments
    lock_file = ROOT / "requirements.lock"
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    stamp = Path(sys.prefix) / STAMP
    if stamp.exists() and stamp.read_text().strip() == digest:
        return
    lock = read_lock(lock_file.read_text())
    if not exact:
        lock = missing(lock, installed(), direct_needs(tomllib.loads((ROOT / "pyproject.toml").read_text())))
    if lock:
        install(lock, exact)
    try:
        stamp.write_text(digest + "\n")
    except OSError:
        pass  # an environment that cannot be written to: look again next time


def _packaging() -> Any:
    """`packaging`, or pip's copy of it; None in a bare environment, where everything is missing anyway."""
    for name in ("packaging", "pip._vendor.packaging"):
        try:
            __import__(f"{name}.markers")
            __import__(f"{name}.specifiers")
            return sys.modules[name]
        except ImportError:
            continue
    return None


def _applies(marker: str) -> bool:
    tools = _packaging()
    return tools is None or not marker or tools.markers.Marker(marker).evaluate()


def _fits(version: str, ranges: str) -> bool:
    tools = _packaging()
    return tools is None or tools.specifiers.SpecifierSet(ranges).contains(version, prereleases=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main(sys.argv[1:])
