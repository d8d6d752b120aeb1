"""The time a run may take: when to stop between steps."""

import os
import time
from pathlib import Path
from typing import Self

from dipddpm_utils.machine.errors import OutOfTime, UsageError


class Budget:
    """When to stop between steps: at `deadline` (unix seconds), or when the file `stop` exists; a look takes microseconds."""

    def __init__(self, deadline: float | None = None, stop: str | Path | None = None) -> None:
        self.deadline, self.stop = deadline, Path(stop) if stop else None
        self.reason: str | None = None  # set once, when the budget ends

    @classmethod
    def from_env(cls) -> Self:
        """From DIPDDPM_DEADLINE (unix seconds) and DIPDDPM_STOP (a path); without them the budget never ends."""
        text = os.environ.get("DIPDDPM_DEADLINE", "").strip()
        try:
            deadline = float(text) if text else None
        except ValueError:
            raise UsageError(f"DIPDDPM_DEADLINE is {text!r}, expected unix seconds such as 1790000000") from None
        return cls(deadline, os.environ.get("DIPDDPM_STOP") or None)

    def to_env(self) -> dict[str, str]:
        """What `from_env` reads: for a kernel, or for what is deep below a command, such as a wait for a download."""
        return {"DIPDDPM_DEADLINE": str(self.deadline or ""), "DIPDDPM_STOP": str(self.stop or "")}

    def expired(self) -> bool:
        """Whether to stop now; once true it stays true."""
        if self.reason is None:
            if self.deadline is not None and time.time() >= self.deadline:
                self.reason = "the time budget ran out"
            elif self.stop is not None and self.stop.exists():
                self.reason = "a stop was asked for"
        return self.reason is not None

    def check(self) -> None:
        """Raises OutOfTime if it is time to stop."""
        if self.expired():
            raise OutOfTime(f"{self.reason}; everything is saved, and the same command goes on from there")
