"""A network whose kernels are launched together.

At batch 8 to 128 a GPU waits for Python most of the time: it computes a layer faster than the next one can be asked for.
torch.compile's "reduce-overhead" records the whole forward and backward pass as CUDA graphs and replays each with one launch.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

COMPILER: dict[str, Any] = {"mode": "reduce-overhead", "dynamic": False}  # a test puts another backend here
SWITCH = "DIPDDPM_COMPILE"  # environment: 1 or 0; unset: on CUDA only, since compiling takes a minute of a CPU


def launched_together(model: nn.Module, device: torch.device) -> Callable[..., Tensor]:
    """`model`, compiled where the environment's DIPDDPM_COMPILE says so or, unset, on CUDA; equal up to rounding.

    The first call tries it, forwards and backwards, and falls back to the plain network with one visible line if that fails.
    Outputs are copies, so that a caller may keep them while the graph is replayed.
    """
    wanted = {"1": True, "0": False}.get(os.environ.get(SWITCH, ""), device.type == "cuda")
    return _Compiled(model) if wanted else model


class _Compiled:
    def __init__(self, model: nn.Module) -> None:
        self.model, self.call = model, None

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.call is None:
            self.call = self._tried(*inputs)
        if self.call is self.model:
            return self.model(*inputs)
        torch.compiler.cudagraph_mark_step_begin()
        return self.call(*inputs).clone()

    def _tried(self, *inputs: Tensor) -> Callable[..., Tensor]:
        """The compiled network once it has gone forwards and backwards, else the network itself."""
        try:
            compiled = torch.compile(self.model, **COMPILER)
            out = compiled(*inputs)
            if out.requires_grad:
                out.float().sum().backward()
        except Exception as error:  # whatever the compiler, the driver or a missing tool says: the plain network always works
            reason = (str(error).strip().splitlines() or [""])[0]
            print(f"not compiled, going on without: {type(error).__name__}: {reason[:160]}", file=sys.stderr, flush=True)
            compiled = self.model
        self.model.zero_grad(set_to_none=True)
        return compiled
