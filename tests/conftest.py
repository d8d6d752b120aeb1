"""Shared by all tests: small disks that fill up or cannot be written, and no network or user folders by accident."""

import os
import signal
import subprocess

# One thread each, also of the processes that tests start: tests run side by side (run_all.sh), on tensors so tiny that more
# threads only wait for one another, and one gives the same bits on every machine. It must be said before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import settings

from dipddpm_utils.store.runs import CHECKOUT, Store

torch.set_num_threads(1)  # a plugin may have imported it before
settings.register_profile("suite", max_examples=50, deadline=None)  # no test may fail because the machine is busy
settings.load_profile("suite")

# for the processes that tests start: they find the package however pytest itself was started
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))


def pytest_collection_modifyitems(items):
    """What takes longest begins first, so that no process is left waiting for another's last file."""
    items.sort(key=lambda item: not {"smoke", "drill"} & set(item.keywords))


# a shell lets what it begins in the background ignore Ctrl-C; tests send it, to themselves and to processes that they start
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """No test depends on what the shell happens to export."""
    for name in [name for name in os.environ if name.startswith("DIPDDPM_") and name not in ("DIPDDPM_CACHE", "DIPDDPM_DATA")]:
        monkeypatch.delenv(name)


@pytest.fixture
def mounted(tmp_path):
    """Mounts a file system that lives in memory, until the test ends: (name, options of tmpfs) -> its folder."""
    paths = []

    def mount(name, options):
        path = tmp_path / name
        path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        paths.append(path)
        return path

    yield mount
    for path in paths:
        subprocess.run(["umount", path], check=True)


@pytest.fixture
def small_disk(mounted):
    """A file system of 1 MiB."""
    return mounted("small disk", "size=1m")


@pytest.fixture
def tiny_disk(mounted):
    """A file system of 64 KiB."""
    return mounted("tiny disk", "size=64k")


@pytest.fixture
def read_only_disk(mounted):
    """A file system that is mounted read-only (root may write to folders whose mode says no)."""
    return mounted("read-only disk", "size=1m,ro")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of the smoke profile in which the tests of one file compute their runs once."""
    return Store(tmp_path_factory.mktemp("results"), "smoke", device="cpu")
