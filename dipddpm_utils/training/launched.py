"""Kernels that are launched together: what a function does on a GPU, recorded once as a CUDA graph and replayed.

At batch 4 to 128 a GPU waits for Python most of the time: it computes a layer faster than the next one can be asked for.
A graph has all kernels of a training step, forwards, backwards and random draws, and takes one launch.
"""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

WARM = 3  # calls before the one that is recorded: in the first ones libraries choose kernels and set up


def calls_before_steady(device: str | torch.device) -> int:
    """How many steps of a training come before those that can be timed: on a GPU both halves of a step are recorded first."""
    return 1 if torch.device(device).type == "cpu" else 2 * (WARM + 1)


class Together:
    """`function` (tensors -> tensor or None), whose kernels are recorded after WARM calls and launched together from then on.

    It has to do the same at every call: nothing is read off the device, it changes tensors in place only, and what it draws
    comes from `generators`. Inputs of another shape are recorded anew. The tensor it returns is overwritten by the next call.
    If recording fails, one visible line says so and the kernels are launched one by one as before. after: what writes the
    memory that this one reads (gradients); only once that is recorded does the memory stay where it is.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        device: torch.device,
        generators: Sequence[torch.Generator] = (),
        after: "Together | None" = None,
    ) -> None:
        self.function, self.generators, self.after = function, generators, after
        wanted = {"1": True, "0": False}.get(os.environ.get("DIPDDPM_GRAPHS", ""), device.type == "cuda")
        self.recorder = RECORDERS.get(device.type) if wanted else None
        self.warm: dict[Any, int] = {}
        self.recorded: dict[Any, tuple[tuple[Tensor, ...], Any, Callable[[], None]]] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        if self.recorder is None or (self.after is not None and not self.after.recorded):
            return self.function(*inputs)
        key = tuple((each.shape, each.dtype) for each in inputs)
        if key not in self.recorded:
            self.warm[key] = self.warm.get(key, -1) + 1
            if self.warm[key] < WARM or not self._record(key, inputs):
                return self.function(*inputs)
        own, out, replay = self.recorded[key]
        for mine, given in zip(own, inputs, strict=True):
            mine.copy_(given)
        replay()
        return out

    def _record(self, key: Any, inputs: tuple[Tensor, ...]) -> bool:
        own = tuple(each.clone() for each in inputs)
        try:
            self.recorded[key] = (own, *self.recorder(lambda: self.function(*own), self.generators))
        except Exception as error:  # whatever the driver says: launched one by one, the same kernels always work
            reason = (str(error).strip().splitlines() or [""])[0]
            print(f"no CUDA graph, going on without: {type(error).__name__}: {reason[:160]}", file=sys.stderr, flush=True)
            self.recorder = None
            for each in self.generators:
                if each.device.type == "cuda":  # below torch 2.13 it would draw no more; a copy of its state does
                    each.graphsafe_set_state(each.clone_state())
        return self.recorder is not None


def _cuda_graph(function: Callable[[], Any], generators: Sequence[torch.Generator]) -> tuple[Any, Callable[[], None]]:
    """(what the function returns, its replay). It is recorded without being carried out."""
    graph = torch.cuda.CUDAGraph()
    for each in generators:
        graph.register_generator_state(each)
    with warnings.catch_warnings(), torch.cuda.stream(torch.cuda.current_stream()):  # put back whatever happens
        warnings.filterwarnings("error", message="The CUDA Graph is empty")
        with torch.cuda.graph(graph):
            out = function()
    return out, graph.replay


RECORDERS: dict[str, Callable[..., tuple[Any, Callable[[], None]]]] = {"cuda": _cuda_graph}
