"""What this machine has and what is computed, on one screen: what a user pastes into a bug report.

Each topic is found out by itself, so that what is broken is said in its place and hides nothing else. Nothing is written,
fetched or repaired, no variable but our own is read, and the packages of the lock need not be there.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dipddpm_utils.machine import files

ROOT = files.CHECKOUT
TIGHT = 2e9  # bytes free; less is worth a word


def main(results: str = "") -> int:
    """Print it. Returns 0, whatever it found."""
    look = Look(results)
    lines = [f"{topic:8}  {text}" for topic in TOPICS for text in look.at(topic)]
    after = look.advice or ["nothing is wrong here: ./run_all.sh draws the report, and computes what has no record yet"]
    lines += [f"{'' if i else 'next':8}  {text}" for i, text in enumerate(after)]
    home = os.path.expanduser("~")
    for line in lines:
        line = " ".join(line.splitlines())
        print(line.replace(home, "~") if len(home) > 1 else line)
    return 0


class Look:
    """A method a topic, which gives its lines and adds to `advice` what to do."""

    def __init__(self, results: str) -> None:
        named = os.path.expanduser(os.environ.get("DIPDDPM_RESULTS") or str(ROOT / "results"))  # an unknown ~user stays
        self.folder = (files.expanded(results) if results else Path(named)).absolute()
        self.given = f" --results {shlex.quote(results)}" if results else ""
        self.advice: list[str] = []

    def at(self, topic: str) -> Iterator[str]:
        try:
            yield from getattr(self, topic)()
        except (Exception, SystemExit) as error:  # what is broken here is what this is for
            yield f"could not be told: {type(error).__name__}: {error}"
            if not isinstance(error, ModuleNotFoundError):  # of which `packages` tells
                self.advice.append(f"what could not be told of {topic} is a fault of its own: mend it, or report it")

    def code(self) -> Iterator[str]:
        from dipddpm_utils.machine.provenance import code_version

        code = code_version()
        yield f"{code['version']}, commit {code['commit']}{', with changes' if code['dirty'] else ''}, in {ROOT}"
        ours = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("DIPDDPM_")]
        yield from [", ".join(ours)] if ours else []

    def python(self) -> Iterator[str]:
        yield f"{platform.python_version()} in {sys.prefix}, {platform.platform()}"
        if not (3, 11) <= sys.version_info < (3, 14):
            self.advice.append("use Python 3.11, 3.12 or 3.13: ./run_all.sh finds one")

    def packages(self) -> Iterator[str]:
        from dipddpm_utils.driver import install

        have, lock, needs = install.installed(), install.read_lock(install.read("requirements.lock")), install.direct_needs()
        unlike = {package.name: package.version for package in install.other(lock, have)}
        lacking = sorted(unlike.keys() - have.keys(), key=lambda name: (name not in needs, name))
        differ = [f"{name} {have[name]} (lock: {unlike[name]})" for name in needs if name in unlike and name in have]
        yield f"{len(have)} installed; of the lock's, {len(unlike) - len(lacking)} in another version, {len(lacking)} missing"
        yield from ["needed in another version: " + ", ".join(differ)] if differ else []
        yield from [f"missing: {', '.join(lacking[:8])}{', ...' * (len(lacking) > 8)}"] if lacking else []
        if (ROOT / ".venv" / "bin" / "python").exists() and not os.path.samefile(sys.prefix, ROOT / ".venv"):
            self.advice.append("source .venv/bin/activate in the checkout: the environment that ./run_all.sh made and uses")
        elif wanted := install.missing(lock, have, needs):
            self.advice.append(f"./run_all.sh installs what is missing or too old ({len(wanted)} packages)")

    def device(self) -> Iterator[str]:
        from dipddpm_utils.machine import device as machine_device
        from dipddpm_utils.machine.provenance import cpu_model, hardware, provenance

        if importlib.util.find_spec("torch") is None:
            yield f"torch is not installed; {', '.join(machine_device.nvidia_gpus()) or 'no NVIDIA GPU'}; {cpu_model()}"
            return
        device = machine_device.pick_device("auto")
        facts, number = provenance(None, device), machine_device.number_format(device, "bfloat16")
        yield f"{device}: {hardware(facts)}; {number} where bfloat16 is asked for"
        if warning := machine_device.gpu_warning():
            yield warning
            self.advice.append("update the GPU's driver, or install the torch build that fits it")

    def data(self) -> Iterator[str]:
        cache, own = files.cache_folder(), os.environ.get("DIPDDPM_DATA")
        kept = sorted(place.name for place in cache.glob("*") if place.is_dir())
        yield f"{', '.join(kept) or 'nothing'} in the cache, {cache}"
        clients = [client for client in ("npm", "apt-get") if shutil.which(client)] + ["torchvision"]
        yield f"what is not here is {'not fetched: DIPDDPM_OFFLINE' if files.offline() else 'fetched by ' + ', '.join(clients)}"
        if own and not files.expanded(own).is_dir():
            self.advice.append("DIPDDPM_DATA is not a folder: set it to one, or unset it")

    def records(self) -> Iterator[str]:
        from dipddpm_utils.store.runs import Store
        from dipddpm_utils.study import profile as profiles

        yield f"in {self.folder}"
        there = next(place for place in (self.folder, *self.folder.parents) if os.path.lexists(place))
        if not (there.is_dir() and os.access(there, os.W_OK)):
            self.advice.append(
                f"{self.folder} is no folder that can be written: name another with --results or DIPDDPM_RESULTS"
            )
        for name in profiles.PROFILES:
            store = Store(self.folder, name, records_only=True)
            states = {entry.folder: store.examined(entry.run)[0] for entry in store.profile.entries.values()}
            counts = Counter(states.values())
            others = [f", {n} {state}" for state, n in counts.items() if state not in ("complete", "absent")]
            borrowed = ", read from the checkout" if store.source != store.root else ""
            yield f"{name:8}  {counts['complete']:4} of {len(states)} complete{''.join(others)}{borrowed}"
            if damaged := [folder for folder, state in states.items() if state == "damaged"]:
                self.advice.append(f"{store.source / 'runs' / damaged[0]}: bring it back with git checkout, or remove it")
            elif name == "quick" and not borrowed and 0 < counts["complete"] < len(states):  # the larger ones may take days
                self.advice.append(f"python -m dipddpm_utils run --all --profile {name}{self.given} computes what is absent")

    def disk(self) -> Iterator[str]:
        for name, place in (("results", self.folder), ("temporary folder", Path(tempfile.gettempdir()))):
            there = next(folder for folder in (place, *place.parents) if folder.exists())
            free = shutil.disk_usage(there).free
            yield f"{free / 1e9:.1f} GB free for the {name}, in {there}"
            if free < TIGHT:
                self.advice.append(f"free some space in {there}")


TOPICS = ("code", "python", "packages", "device", "data", "records", "disk")
