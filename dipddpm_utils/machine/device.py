"""The device that computes: which one, in what number format, and by which clock it is timed.

Importing this module does not import torch, so that the command line and the report start at once.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from dipddpm_utils.machine.errors import DeviceError, UsageError

if TYPE_CHECKING:
    import torch

PROC_NVIDIA = Path("/proc/driver/nvidia/gpus")


def pick_device(name: str = "auto", *, to_compute: bool = False) -> torch.device:
    """The device called `name`: 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'.

    'auto' is a CUDA GPU if torch can use one, else the CPU; mps has no float64 and is taken only when it is asked for.
    to_compute: a GPU that is chosen by its number becomes torch's current one, since CUDA graphs record that one alone. It
    takes some of its memory until the process ends, so who only asks leaves it.
    UsageError: it is no device's name; DeviceError: the device is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch("cpu|mps|cuda(:(0|[1-9][0-9]?))?", name):  # torch would take cuda:256 for cuda:0
        raise UsageError(f"there is no device {name!r}; expected auto, cpu, cuda, cuda:N or mps")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            why = _why_no_cuda() if count == 0 else f"torch sees {count} GPU(s), numbered from 0"
            raise DeviceError(f"device {name} was asked for, but {why}; use --device cpu, or make the GPU usable")
        if to_compute and device.index is not None:
            torch.cuda.set_device(device)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps was asked for, but torch cannot use one here (it needs Apple silicon); use --device cpu")
    return device


def nvidia_gpus() -> list[str]:
    """Names of the NVIDIA GPUs of this machine, found without torch; empty if there are none or nothing can tell."""
    found = [first_match(r"Model:\s*(.+)", file) or "NVIDIA GPU" for file in PROC_NVIDIA.glob("*/information")]
    tool = shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path="/usr/lib/wsl/lib")
    if not found and tool:
        found = re.findall(r"^GPU \d+: ([^(\n]+?)\s*(?:\(|$)", output_of([tool, "-L"], timeout=10), flags=re.MULTILINE)
    return sorted(found)


def gpu_warning() -> str | None:
    """A sentence if this machine has an NVIDIA GPU that torch cannot use, else None. A GPU hidden on purpose is no fault."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1") or not (gpus := nvidia_gpus()):
        return None
    import torch

    if torch.cuda.is_available():
        return None
    return f"This machine has a GPU ({', '.join(gpus)}), but {_why_no_cuda()}."


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
    """'bfloat16', 'float16' or 'float32': what a network computes in on `device` where `wanted` is 'bfloat16' or 'float32'.

    16 bits are used only where the hardware has them: bfloat16 on processors with AVX512-BF16 or AMX and on GPUs from Ampere
    on, float16 on the GPUs before (a T4 has no bfloat16). Elsewhere they are emulated, ten times slower than float32. A
    record says which it was (provenance, "precision").
    """
    import torch

    return wanted if wanted == "float32" else _short_format(torch.device(device).type)


def autocast(device: str | torch.device, wanted: str) -> torch.autocast:
    """The context in which a network is called, see `number_format`."""
    import torch

    format = number_format(device, wanted)
    dtype = torch.float16 if format == "float16" else torch.bfloat16
    return torch.autocast(torch.device(device).type, dtype, enabled=format != "float32")


@lru_cache
def _short_format(kind: str) -> str:
    import torch

    if kind == "cpu":
        x86 = platform.machine().lower() in ("x86_64", "amd64")
        there = torch.backends.mkldnn.is_available()  # not in torch for macOS
        native = torch.cpu._is_avx512_bf16_supported() if x86 else there and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return "bfloat16" if native else "float32"
    if kind != "cuda":
        return "float32"  # mps: not measured
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float16" if torch.cuda.get_device_capability() >= (7, 0) else "float32"


@lru_cache
def keep_memory() -> None:
    """Keep what tensors free for the next ones. As it comes, glibc gives large ones back to the kernel, which has to clear
    every page again when it is asked for at the next step (benchmarks/NOTES.md: what that costs). Nothing to do elsewhere.
    """
    with suppress(OSError, AttributeError, TypeError):  # no C library of this name, no such function, Windows
        mallopt = ctypes.CDLL(None).mallopt
        if mallopt(-3, 2**31 - 1) or mallopt(-3, 2**25):  # M_MMAP_THRESHOLD; an older glibc takes 32 MiB at most
            mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
            mallopt(-2, 2**28)  # M_TOP_PAD


def settle(device: str | torch.device) -> None:
    """Wait for what a GPU still has queued, so that a clock can be read."""
    import torch

    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def kernels_fused() -> bool:
    """Whether DIPDDPM_COMPILE=1 asks for torch.compile: fewer and larger kernels, for a minute in each process that trains."""
    return os.environ.get("DIPDDPM_COMPILE") == "1"


def clock(device: str | torch.device) -> Callable[[], float]:
    """The clock, in seconds, by which runs on `device` are timed: `clock(device)()` before and after, the difference counts.

    A process that computes with a single CPU thread is timed by the processor time that it got, so that several of them may
    run side by side and other work on the machine does not count; everything else is timed by the clock on the wall.
    """
    return time.process_time if clock_name(device) == "processor" else time.perf_counter


def stopwatch(device: str | torch.device) -> Callable[[], float]:
    """Started now: each call gives the seconds since, by `clock`, once a GPU has done what it still had queued."""
    settle(device)
    now = clock(device)
    began = now()

    def seconds() -> float:
        settle(device)
        return now() - began

    return seconds


def clock_name(device: str | torch.device) -> str:
    """'processor' or 'wall', see `clock`."""
    import torch

    return "processor" if torch.device(device).type == "cpu" and torch.get_num_threads() == 1 else "wall"


def first_match(pattern: str, file: Path) -> str | None:
    """What the pattern's group is where it first matches in a file; None if it does not, or the file cannot be read."""
    with suppress(OSError):
        if found := re.search(pattern, file.read_text()):
            return found[1].strip()
    return None


def output_of(command: list[str], timeout: float = 20) -> str:
    """Standard output of a command, or '' if it is not there, fails, or takes too long."""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True).stdout
    return ""
