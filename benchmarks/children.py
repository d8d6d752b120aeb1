"""A command measured in a process of its own: seconds, peak memory, output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A process's peak counts the memory of the one that it was started from, as far as the kernel is concerned. So it is started
# from a small one, which measures it.
BETWEEN = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([seconds, peak, done.returncode, done.stdout]))
"""


@dataclass(frozen=True)
class Child:
    seconds: float
    peak: float  # bytes, of the process itself
    output: str  # both streams together


def run(arguments: list[str], **environment: str) -> Child:
    """Run Python with these arguments from the checkout's root; RuntimeError with the end of its output if it failed."""
    search = os.pathsep.join(filter(None, (environment.pop("PYTHONPATH", ""), str(ROOT))))
    command = [sys.executable, "-S", "-c", BETWEEN, sys.executable, *arguments]
    there = {**os.environ, "PYTHONPATH": search, **environment}
    measured = subprocess.run(command, cwd=ROOT, env=there, stdout=subprocess.PIPE, check=True).stdout
    spent, peak, code, text = json.loads(measured)
    if code:
        raise RuntimeError(f"{' '.join(arguments[:3])} ended with {code}: {text[-600:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Child(spent, float(peak * unit), text)
