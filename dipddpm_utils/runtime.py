"""Where and how a run is computed: device, named random streams, provenance, the time budget, progress lines.

Importing this module does not import torch, so that the command line and the report start at once.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dipddpm_utils.errors import DeviceError, OutOfTime, UsageError

if TYPE_CHECKING:
    import numpy
    import torch

    from dipddpm_utils.config import Run

PACKAGE = Path(__file__).resolve().parent
PROC_NVIDIA = Path("/proc/driver/nvidia/gpus")
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pydantic", "safetensors", "pytorch-fid")

# --- device -----------------------------------------------------------------------------------------------------------


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`: 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'.

    'auto' is a CUDA GPU if torch can use one, else the CPU; mps has no float64 and is taken only when it is asked for.
    Raises DeviceError if the device is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise DeviceError(f"there is no device {name!r}; expected auto, cpu, cuda, cuda:N or mps")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            why = _why_no_cuda() if count == 0 else f"torch sees {count} GPU(s), numbered from 0"
            raise DeviceError(f"device {name} was asked for, but {why}; use --device cpu, or make the GPU usable")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps was asked for, but torch cannot use one here (it needs Apple silicon); use --device cpu")
    return device


def nvidia_gpus() -> list[str]:
    """Names of the NVIDIA GPUs of this machine, found without torch; empty if there are none or nothing can tell."""
    try:
        found = [_match(r"Model:\s*(.+)", (gpu / "information").read_text()) or "NVIDIA GPU" for gpu in PROC_NVIDIA.iterdir()]
    except OSError:
        found = []
    tool = shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path="/usr/lib/wsl/lib")
    if not found and tool:
        found = re.findall(r"^GPU \d+: ([^(\n]+?)\s*(?:\(|$)", _output([tool, "-L"], timeout=10), flags=re.MULTILINE)
    return sorted(found)


def gpu_warning() -> str | None:
    """Loud text if this machine has an NVIDIA GPU that torch cannot use, else None. A GPU hidden on purpose is no fault."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return None
    gpus = nvidia_gpus()
    if not gpus:
        return None
    import torch

    if torch.cuda.is_available():
        return None
    line = "!" * 100
    return (
        f"{line}\n!! This machine has a GPU ({', '.join(gpus)}), but {_why_no_cuda()}.\n"
        "!! Everything below runs on the CPU, many times slower. To use the GPU: update its driver, install the torch build\n"
        "!! that fits it (torch from the ordinary index has CUDA); in a container pass the GPU in (docker run --gpus all).\n"
        f"{line}"
    )


def _why_no_cuda() -> str:
    import torch

    if torch.version.cuda is None:
        return f"this torch ({torch.__version__}) was built without CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError, OSError) as error:  # which of them depends on what is missing
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return f"torch {torch.__version__} (CUDA {torch.version.cuda}) cannot use a GPU: {reason.rstrip('.')}"
    return f"torch {torch.__version__} (CUDA {torch.version.cuda}) finds no GPU that it can use"


def number_format(device: str | torch.device, wanted: str) -> str:
    """The format that a network's sums are computed in on `device` where 'bfloat16' or 'float32' is wanted.

    Reduced precision is used only where the hardware has it: a processor without instructions for bfloat16 emulates it, ten
    times slower than float32. A record says which it was (provenance, "precision").
    """
    return wanted if wanted == "float32" or _has_bfloat16(_kind(device)) else "float32"


def autocast(device: str | torch.device, wanted: str) -> torch.autocast:
    """The context in which a network is called, see `number_format`."""
    import torch

    return torch.autocast(_kind(device), torch.bfloat16, enabled=number_format(device, wanted) == "bfloat16")


@lru_cache
def _has_bfloat16(kind: str) -> bool:
    import torch

    if kind == "cpu":
        x86 = platform.machine().lower() in ("x86_64", "amd64")
        return torch.cpu._is_avx512_bf16_supported() if x86 else torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _kind(device: str | torch.device) -> str:
    import torch

    return torch.device(device).type


def clock(device: str | torch.device = "cpu") -> Callable[[], float]:
    """The clock, in seconds, by which runs on `device` are timed: `clock(device)()` before and after, the difference counts.

    A process that computes with a single CPU thread is timed by the processor time that it got, so that several of them may
    run side by side and other work on the machine does not count; everything else is timed by the clock on the wall.
    """
    return time.process_time if clock_name(device) == "processor" else time.perf_counter


def clock_name(device: str | torch.device = "cpu") -> str:
    """'processor' or 'wall', see `clock`."""
    import torch

    return "processor" if torch.device(device).type == "cpu" and torch.get_num_threads() == 1 else "wall"


# --- named random streams ---------------------------------------------------------------------------------------------


def derived_seed(seed: int, purpose: str) -> int:
    """63 bits of SHA-256 of (seed, purpose): one independent stream per purpose, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on `device` for one purpose of a run, e.g. generator(0, 'noise'). Global state is not touched."""
    import torch

    return torch.Generator(device=device).manual_seed(derived_seed(seed, purpose))


def numpy_rng(seed: int, purpose: str) -> numpy.random.Generator:
    """A numpy generator for one purpose of a run."""
    import numpy as np

    return np.random.default_rng(derived_seed(seed, purpose))


# --- provenance -------------------------------------------------------------------------------------------------------


def now() -> str:
    """The time now, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(config: Run | None, device: str | torch.device) -> dict[str, Any]:
    """What is needed to judge a record: code, package versions, machine, device, threads, seed, start (`finish`: the end)."""
    import torch

    device = torch.device(device)
    on_gpu = device.type == "cuda"
    facts = {
        "code": dict(code_version()),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "clock": clock_name(device),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if on_gpu else cpu_model(),
        "cuda": torch.version.cuda if on_gpu else None,
        "start": now(),
        "end": None,
    }
    if config is not None:
        from dipddpm_utils.config import run_hash

        facts |= {"kind": config.kind, "hash": run_hash(config), "seed": config.seed}
        optim = getattr(getattr(config, "model", config), "optim", None)
        facts |= {} if optim is None else {"precision": number_format(device, optim.precision)}
    return facts


def finish(facts: dict[str, Any]) -> dict[str, Any]:
    """A copy of `provenance`'s facts with the end time set."""
    return {**facts, "end": now()}


@lru_cache(maxsize=1)
def code_version() -> dict[str, Any]:
    """Package version, SHA-256 of its .py files, and in a checkout the git commit and whether the package differs from it."""
    sources = hashlib.sha256()
    for path in sorted(PACKAGE.glob("*.py")):
        sources.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    top = _output(["git", "-C", str(PACKAGE), "rev-parse", "--show-toplevel"]).strip()
    commit = dirty = None
    if top and Path(top).resolve() == PACKAGE.parent:  # else it is installed inside some other project's checkout
        commit = _output(["git", "-C", top, "rev-parse", "--verify", "-q", "HEAD"]).strip() or None
        dirty = commit is None or bool(_output(["git", "-C", top, "status", "--porcelain", "--", PACKAGE.name]).strip())
    version = _version("dipddpm-utils") or _version_in_checkout()
    return {"version": version, "commit": commit, "dirty": dirty, "sha256": sources.hexdigest()}


@lru_cache(maxsize=1)
def cpu_model() -> str:
    """The processor's name."""
    try:
        name = _match(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        name = None
    return name or platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _version_in_checkout() -> str | None:
    """The version in pyproject.toml, for a package that is used from its checkout without being installed."""
    try:
        return tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]["version"]
    except (OSError, KeyError, ValueError):
        return None


def _match(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1).strip() if found else None


def _output(command: list[str], timeout: float = 20) -> str:
    """Standard output of a command, or '' if it is not there, fails, or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


# --- time budget ------------------------------------------------------------------------------------------------------


class Budget:
    """When to stop between steps: at `deadline` (unix seconds), when the file `stop` exists, or when `flag()` is true.

    `check()` costs under a microsecond or two: the clock is read each time, the file at most every 0.2 s.
    """

    STAT_EVERY = 0.2  # seconds

    def __init__(
        self, deadline: float | None = None, stop: str | Path | None = None, flag: Callable[[], bool] | None = None
    ) -> None:
        self.deadline, self.stop, self.flag = deadline, Path(stop) if stop else None, flag
        self.reason: str | None = None  # set once, when the budget ends
        self._next_stat = 0.0

    @classmethod
    def from_env(cls) -> Budget:
        """From DIPDDPM_DEADLINE (unix seconds) and DIPDDPM_STOP (a path); without them the budget never ends."""
        text = os.environ.get("DIPDDPM_DEADLINE", "").strip()
        try:
            deadline = float(text) if text else None
        except ValueError:
            raise UsageError(f"DIPDDPM_DEADLINE is {text!r}, expected unix seconds such as 1790000000") from None
        return cls(deadline, os.environ.get("DIPDDPM_STOP") or None)

    def remaining(self) -> float:
        """Seconds until the deadline, at least 0; infinity without one."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - time.time())

    def expired(self) -> bool:
        """Whether to stop now; once true it stays true."""
        if self.reason is None:
            if self.deadline is not None and time.time() >= self.deadline:
                self.reason = "the time budget ran out"
            elif (self.flag is not None and self.flag()) or self._stop_file_exists():
                self.reason = "a stop was asked for"
        return self.reason is not None

    def check(self) -> None:
        """Raises OutOfTime if it is time to stop."""
        if self.expired():
            raise OutOfTime(f"{self.reason}; everything is saved, and the same command goes on from there")

    def _stop_file_exists(self) -> bool:
        clock = time.monotonic()
        if self.stop is None or clock < self._next_stat:
            return False
        self._next_stat = clock + self.STAT_EVERY
        return self.stop.exists()


class Every:
    """`due()` is true when `seconds` have passed since it last was (or since this was made), e.g. to save a checkpoint."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._last = seconds, time.monotonic()

    def due(self) -> bool:
        """Whether it is time again; if so the clock starts anew."""
        clock = time.monotonic()
        if clock - self._last < self.seconds:
            return False
        self._last = clock
        return True


# --- progress ---------------------------------------------------------------------------------------------------------


class Lines:
    """Progress as at most `most` plain lines over a whole loop, for notebooks and log files."""

    def __init__(self, total: int, label: str, initial: int = 0, most: int = 20) -> None:
        self.total, self.label, self.done, self.most = max(1, total), label, initial, most
        self._initial, self._begin = initial, time.monotonic()
        self._printed = self._slot()

    def _slot(self) -> int:
        return min(self.most, self.done * self.most // self.total)

    def update(self, n: int = 1, **values: Any) -> None:
        """Counts `n` more; prints a line with `values` when another twentieth of the loop is done."""
        self.done += n
        if self._slot() > self._printed:
            self._printed = self._slot()
            spent = time.monotonic() - self._begin
            left = spent / max(1, self.done - self._initial) * max(0, self.total - self.done)
            shown = "".join(f"  {name} {_short(value)}" for name, value in values.items())
            print(
                f"{self.label}: {self.done}/{self.total}  {spent:.0f} s, about {left:.0f} s left{shown}",
                file=sys.stderr,
                flush=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Bar:
    """Progress as a tqdm bar on a terminal."""

    def __init__(self, total: int, label: str, initial: int = 0) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, desc=label, initial=initial, leave=False, mininterval=0.2)

    def update(self, n: int = 1, **values: Any) -> None:
        """Counts `n` more and shows `values` beside the bar."""
        if values and self._bar.n + n >= self._bar.last_print_n + self._bar.miniters:
            self._bar.set_postfix_str("  ".join(f"{name} {_short(value)}" for name, value in values.items()), refresh=False)
        self._bar.update(n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def progress(total: int, label: str, initial: int = 0) -> Bar | Lines:
    """`with progress(steps, 'ddpm-s0', initial=state.step) as bar: bar.update(loss=0.1)`: a bar on a terminal, else lines."""
    return (Bar if sys.stderr.isatty() else Lines)(total, label, initial)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
