"""Puts the packages of requirements.lock into the running environment. Standard library only: it runs before anything is there.

With `--exact` (the project's own .venv) every package is installed as locked. Without it (an active venv or conda
environment, Colab) only what is missing is installed, and a torch or numpy that is there is never replaced.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
KEPT = {"torch", "torchvision", "numpy"}  # a replaced one breaks everything that was built against it (Colab)
OF_TORCH = re.compile(r"nvidia-|cuda-|triton$")  # come with whichever torch is there; another build's are of no use to it
RESTORE = "restore it (git checkout) and run this again"


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
        if not applies(package.marker) or (OF_TORCH.match(package.name) and "torch" in have):
            continue
        version = have.get(package.name)
        too_old = version is not None and package.name not in KEPT and not _fits(version, direct.get(package.name, ""))
        if version is None or too_old:
            wanted.append(package)
    return wanted


def other(lock: list[Locked], have: dict[str, str]) -> list[Locked]:
    """What of `lock` is not in `have` in this very version; another build (torch 2.9+cu126 for 2.9) is the same version."""
    ours = [p for p in lock if applies(p.marker) and not ("+" in have.get("torch", "") and OF_TORCH.match(p.name))]
    return [p for p in ours if have.get(p.name, "").split("+")[0] != p.version]


def direct_needs(extras: Sequence[str] | None = None) -> dict[str, str]:
    """pyproject.toml's version ranges by canonical name, from [project] dependencies and these extras (None: all)."""
    try:
        project = tomllib.loads(read("pyproject.toml"))["project"]
    except tomllib.TOMLDecodeError as error:
        sys.exit(f"run_all.sh: {ROOT / 'pyproject.toml'} is not TOML ({error}): {RESTORE}")
    optional = project["optional-dependencies"]
    lines = sum((optional[extra] for extra in (optional if extras is None else extras)), start=project["dependencies"])
    parts = (re.match(r"([A-Za-z0-9._-]+(?:\[[^\]]*\])?)\s*(.*)", line.split(";")[0]) for line in lines)
    return {canonical(m[1]): m[2].strip() for m in parts if m}


def install(packages: list[Locked]) -> None:
    """Install exactly these, hashes checked, with uv where there is one, else pip. SystemExit with one line if it fails."""
    which = f"{len(packages)} packages" if len(packages) > 9 else ", ".join(f"{p.name} {p.version}" for p in packages)
    if uv := shutil.which("uv"):
        tool, command = "uv", [uv, "pip", "install", "--python", sys.executable]
    else:
        if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
            subprocess.run([sys.executable, "-m", "ensurepip"], capture_output=True)
        # what is never imported need not be compiled: half of the seconds
        quiet = ["-qq", "--no-compile", "--disable-pip-version-check", "--no-input"]
        tool, command = "pip", [sys.executable, "-m", "pip", "install", *quiet]
    print(f"installing {which} with {tool} (torch is large: half a minute to a few minutes)", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(package.text for package in packages) + "\n")
        # the lock names every dependency itself
        if subprocess.run([*command, "--require-hashes", "--no-deps", "-r", str(file)]).returncode:
            sys.exit(
                f"run_all.sh: {tool} could not install requirements.lock (see above): check the network, the free space on the "
                "disk, and whether there is a package for this platform and Python; then run it again"
            )


def main(arguments: list[str]) -> None:
    """Bring this environment up to requirements.lock: all of it with `--exact`, else what is missing."""
    lock, have = read_lock(read("requirements.lock")), installed()
    exact, others = "--exact" in arguments, other(lock, have)
    wanted = others if exact else missing(lock, have, direct_needs())
    if not exact and "torch" in have and "torchvision" not in have and "torch" in {package.name for package in others}:
        sys.exit(
            f"run_all.sh: torch {have['torch']} is here without torchvision: install the one that fits it and run this again"
        )
    if wanted:
        install(wanted)


def read(name: str) -> str:
    """The text of a file of the checkout. SystemExit with one line if it cannot be read."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        sys.exit(f"run_all.sh: {ROOT / name} cannot be read ({error}): {RESTORE}")


def _packaging() -> Any:
    """`packaging`, or pip's copy of it; None in a bare environment, where everything is missing anyway."""
    for name in ("packaging", "pip._vendor.packaging"):
        with suppress(ImportError):
            __import__(f"{name}.markers")
            __import__(f"{name}.specifiers")
            return sys.modules[name]
    return None


def applies(marker: str) -> bool:
    """Whether an environment marker of the lock holds here; true where `packaging` is missing, which tells."""
    tools = _packaging()
    return tools is None or not marker or tools.markers.Marker(marker).evaluate()


def _fits(version: str, ranges: str) -> bool:
    tools = _packaging()
    return tools is None or tools.specifiers.SpecifierSet(ranges).contains(version, prereleases=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the temporary folder goes on the way out
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
