"""A command measured in a process of its own: seconds, peak memory, output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A process's peak counts the memory of the one that it was started from, as far as the kernel is concerned. So it is started
# from a small one, which measures it.
BETWEEN = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.call(sys.argv[2:])
measured = [time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, code]
with open(sys.argv[1], "w") as file:
    json.dump(measured, file)
"""


@dataclass(frozen=True)
class Child:
    seconds: float
    peak: float  # bytes, of the process itself
    output: str  # both streams together


def run(arguments: list[str], **environment: str) -> Child:
    """Run Python with these arguments from the checkout's root; RuntimeError with the end of its output if it failed."""
    search = os.pathsep.join(filter(None, (environment.pop("PYTHONPATH", ""), str(ROOT))))
    with tempfile.TemporaryDirectory() as folder:
        measured, output = Path(folder) / "measured.json", Path(folder) / "output"
        with output.open("wb") as file:
            subprocess.run(
                [sys.executable, "-S", "-c", BETWEEN, str(measured), sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": search, **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
                check=True,
            )
        spent, peak, code = json.loads(measured.read_text())
        text = output.read_text(errors="replace")
    if code:
        raise RuntimeError(f"{' '.join(arguments[:3])} ended with {code}: {text[-600:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Child(spent, float(peak * unit), text)
