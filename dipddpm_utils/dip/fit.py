"""Two ways to fit a Deep Image Prior. Images are floats in [0, 1] ("unit"), [B, C, H, W].

`dip_loss`, what both reports did, makes a denoising autoencoder: it learns from a data set and is applied to new images.
`fit_images`, as published (Ulyanov et al. 2018, arXiv 1711.10925), fits one untrained network to one observed image.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import ImageFit
from dipddpm_utils.dip.nets import Z_CHANNELS, build
from dipddpm_utils.machine import device, streams
from dipddpm_utils.store.records import Work

# z is uniform on [0, high]; 0.1 as published (Ulyanov et al. 2018, supplementary material), without normalisation it is lost
Z_HIGH = {"2conv": 1.0, "5conv": 1.0, "resnet18": 0.1, "skip": 0.1}
Targets = Tensor | Callable[[int], Tensor]  # images, or those of an iteration
Observe = Callable[[Tensor], Tensor]  # what is seen of images, as large


def noisy_input(images_unit: Tensor, std: float, clip: bool, generator: torch.Generator) -> Tensor:
    """The input in (2) of notebook 02: image + std * n, n ~ N(0, I); clipped to [0, 1] if `clip`, as report B does.

    std: in units of [0, 1]. The generator may live elsewhere. ValueError if images_unit, on the CPU, leaves [0, 1].
    """
    if std < 0:
        raise ValueError(f"std is {std}, expected at least 0")
    if images_unit.device.type == "cpu":  # reading values off a GPU would stall it
        ranges.check_unit(images_unit, "images_unit")
    noisy = images_unit + std * streams.normal(images_unit, generator)
    return noisy.clamp(0, 1) if clip else noisy


def dip_loss(
    net: nn.Module, images_unit: Tensor, std: float, clip: bool, generator: torch.Generator, target: Tensor | None = None
) -> Tensor:
    """(2) of notebook 02, a scalar: the mean squared error of what the network makes of noisy images.

    target: what else than the images the output is compared with (fault FA2). ValueError as in `noisy_input`.
    """
    output = net(noisy_input(images_unit, std, clip, generator))
    return (output.float() - (images_unit if target is None else target)).square().mean()


@torch.no_grad()
def dip_outputs(net: nn.Module, images_unit: Tensor) -> Tensor:
    """x_dip = f_w(x): what a DIP makes of clean images [N, C, H, W] in [0, 1], as the same shape in [-1, 1].

    Cut to that range, which 5conv may leave. In evaluation mode (the mode is put back), so that the batch size does not
    matter. ValueError if images_unit is not in [0, 1].
    """
    ranges.check_unit(images_unit, "images_unit")
    training = net.training
    net.eval()
    try:
        parts = [net(part).to(images_unit.dtype).clamp(0, 1) for part in images_unit.split(250)]
    finally:
        net.train(training)
    return ranges.unit_to_signed(torch.cat(parts))


@dataclass(frozen=True)
class Fit:
    """State of N fits at one iteration."""

    iteration: int  # 1, 2, ...: the outputs are those of this forward pass, after iteration - 1 updates
    outputs: Tensor  # [N, C, H, W], clamped to [0, 1]; of the perturbed z, as the published code shows them
    losses: Tensor  # [N], mean squared error against the target, before clamping


def fit_images(about: ImageFit, targets: Targets, generator: torch.Generator, observe: Observe | None = None) -> Iterator[Fit]:
    """Fit one new network to each target, all at once, and yield a `Fit` after every forward pass, 1..iterations.

    about: the net, made with group normalisation; its width; the iterations; the rate of Adam; and z_std, the standard
    deviation of the noise added to z, which lies in [0, Z_HIGH[net]], at each iteration (0.03 as published, as large as the
    spread of the published z itself; 0: none). targets: the observed images [N, C, H, W] in [0, 1]; or a function that gives
    those of iteration i, asked for in order 1, 1, 2, 3, ..., which may leave [0, 1] as unclipped noise does.
    Works on the targets' device and in their dtype; all draws come from `generator`.
    observe: what is seen of an image, images -> same shape, applied to the outputs before they are compared with the targets:
    min over w of || A f_w(z) - y ||^2 for missing pixels or a coarse picture (None: all is seen).
    ValueError if targets that are images leave [0, 1], at once and not at the first step.
    """
    if isinstance(targets, Tensor):
        ranges.check_unit(targets, "targets")
    target_at = (lambda _: targets) if isinstance(targets, Tensor) else targets
    first = target_at(1)
    n, channels, size, _ = first.shape
    nets = [build(about.net, channels, generator=generator, width=about.width, per_image=True).to(first) for _ in range(n)]
    z = (Z_HIGH[about.net] * torch.rand((n, Z_CHANNELS, size, size), generator=generator, device=generator.device)).to(first)
    forward, weights = stack(nets)
    optimiser = torch.optim.Adam(weights, lr=about.lr, fused=True)

    def fits() -> Iterator[Fit]:
        """(1) of notebook 02: look at the networks' outputs for z, compare them with the targets, update, again."""
        for iteration in range(1, about.iterations + 1):
            with torch.enable_grad():  # the caller may hold no_grad around the loop
                outputs = forward(z + about.z_std * streams.normal(z, generator))
                seen = outputs if observe is None else observe(outputs)
                losses = (seen - target_at(iteration)).square().flatten(1).mean(1)
                losses.sum().backward()  # a sum, so that each network gets the gradient of its own loss
            optimiser.step()
            optimiser.zero_grad()
            yield Fit(iteration, outputs.detach().clamp(0, 1), losses.detach())

    return fits()


class Timed:
    """The fits of `fit_images` that are looked at, as they come.

    seconds: what fitting took so far, without what is done with one fit before the next. looks: whether an iteration is looked
    at; a GPU is waited for only there and at the end, since waiting at each would leave it idle. Raises OutOfTime from the
    budget after any iteration.
    """

    def __init__(
        self,
        work: Work,
        about: ImageFit,
        targets: Targets,
        generator: torch.Generator,
        observe: Observe | None = None,
        looks: Callable[[int], bool] = lambda iteration: True,
    ) -> None:
        self.work, self.looks, self.seconds = work, looks, 0.0
        self.begin = partial(fit_images, about, targets, generator, observe)

    def __iter__(self) -> Iterator[Fit]:
        since = device.stopwatch(self.work.device)
        for fit in self.begin():
            self.work.budget.check()
            if self.looks(fit.iteration):
                self.seconds += since()
                yield fit
                since = device.stopwatch(self.work.device)
        self.seconds += since()


def stack(nets: Sequence[nn.Module]) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """(forward, weights): forward applies nets[i] to row i of its input [N, C, H, W]; a weight is theirs, stacked to [N, ...].

    Equal to running them one after the other, up to rounding: torch.func.vmap makes one grouped convolution of N. Rows never
    mix, so the gradient of the sum of N losses is each network's own, and Adam, which is elementwise, steps each as if
    alone. The nets hold no buffers (`per_image`): those of batch normalisation are no function of one row.
    """
    weights, buffers = torch.func.stack_module_state(list(nets))
    if buffers:
        raise ValueError(f"nets hold the buffers {', '.join(buffers)}, expected none; build with per_image=True")
    blank = copy.deepcopy(nets[0]).to("meta")

    def one(own: dict[str, Tensor], row: Tensor) -> Tensor:
        return torch.func.functional_call(blank, own, (row[None],))[0]

    return lambda z: torch.vmap(one)(weights, z), list(weights.values())
