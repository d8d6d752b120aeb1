"""Muon: momentum whose matrix-shaped updates are made orthogonal (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

A gradient of a weight matrix is dominated by a few directions; replacing its singular values by ones moves all directions at
the same pace. A convolution counts as a matrix [out, in * kh * kw]. The update is scaled to the size of an Adam update
(Liu et al. 2025, arXiv 2502.16982, equation 4), so learning rates carry over; weights that are no matrix are left to AdamW.
"""

import inspect
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from dipddpm_utils.machine.device import number_format

QUINTIC = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz step: p(s) = a s + b s^3 + c s^5 drives singular values to about 1
ITERATIONS = 5
MOMENTUM = 0.95
RMS = 0.2  # root mean square of an Adam update, to which ours is scaled
ADAM_SHARE = 0.5  # learning rate of what is left to AdamW, relative to Muon's; the training loop multiplies by it


def orthogonalised(matrices: Tensor) -> Tensor:
    """[K, m, n] -> the same shape, each with its singular values moved to between about 0.7 and 1.2.

    Computed in bfloat16 where the hardware has it: the iteration asks for no more.
    """
    a, b, c = QUINTIC
    x = matrices.to(torch.bfloat16 if number_format(matrices.device, "bfloat16") == "bfloat16" else torch.float32)
    wide = x.shape[-2] <= x.shape[-1]
    x = x if wide else x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)  # (b S + c S S) x + a x
    return (x if wide else x.mT).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """For weights with two or more dimensions. lr: per step; weight_decay: decoupled, times lr, as in AdamW."""

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update; weights of one shape are handled together."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault((p.shape[0], p[0].numel()), []).append(p)
            for (m, n), weights in by_shape.items():
                lookahead = torch.stack([self._nesterov(p).reshape(m, n) for p in weights])
                updates = orthogonalised(lookahead).mul_(-group["lr"] * RMS * max(m, n) ** 0.5)
                if group["weight_decay"]:
                    torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, [u.view(p.shape) for u, p in zip(updates, weights, strict=True)])

    def _nesterov(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - MOMENTUM)
        return p.grad.lerp(state["momentum"], MOMENTUM)


@lru_cache
def without_compiler(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The same optimiser without the wrappers that import torch.compile's machinery, 5 s of CPU in every process that trains.

    The wrappers keep the compiler out of these methods; only the network is ever compiled here, so they guard nothing.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**bare, "step": torch.no_grad()(bare["step"])})
