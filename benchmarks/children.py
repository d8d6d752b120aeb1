"""A command measured in a process of its own: seconds, peak memory, output."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Child:
    seconds: float
    peak: float  # bytes, of the process itself
    code: int
    output: str  # both streams together


def run(arguments: list[str], **environment: str) -> Child:
    """Run Python with these arguments from the checkout's root and wait for it."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        search = os.pathsep.join(filter(None, (environment.pop("PYTHONPATH", ""), str(ROOT))))
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": search, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        spent = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    unit = 1 if sys.platform == "darwin" else 1024
    return Child(spent, float(usage.ru_maxrss * unit), process.returncode, text)


def checked(arguments: list[str], **environment: str) -> Child:
    """The same; RuntimeError with the end of its output if it failed."""
    child = run(arguments, **environment)
    if child.code:
        raise RuntimeError(f"{' '.join(arguments[:3])} ended with {child.code}: {child.output[-600:]}")
    return child
