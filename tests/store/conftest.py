"""A store whose runs take no time to compute."""

import numpy as np
import pytest
import torch

from dipddpm_utils.store import runs
from dipddpm_utils.store.records import Outcome


@pytest.fixture
def calls(monkeypatch):
    """Computing a run takes no time here, and is counted."""
    made = []

    def compute(run, work):
        made.append(run)
        return Outcome(
            metrics={"fd": 1.5, "n": 3, "features": "none", "kid": float("nan")},
            timings={"total": 0.1},
            curve=[{"step": 1, "loss": 0.123456789}, {"step": 2, "loss": 0.1}],
            evals=[{"step": 2, "fd": 1.5}],
            arrays={"grid": np.zeros((2, 1, 4, 4), np.uint8)},
            weights={"w": torch.arange(3.0)},
            notes=[f"computation {len(made)}"],
        )

    monkeypatch.setattr(runs, "compute", compute)
    return made
