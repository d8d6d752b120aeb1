"""Every way in for a prior, each in one declaration: what it does, what it is called, what it has to beat, what it costs.

A chain goes from x_T ~ N(0, I) down to x_0. A declaration is a decorated function, and its decorator says what it changes:

- `start`: where the chain begins. (given, n, generator) -> x_start, floats [n, C, H, W] in [-1, 1] where they are images.
  One that is of training images draws its n by `given.drawn` before anything else: copies are counted against those. The same
  generator draws the same ones; a bank of fits has drawn its own.
- `opinion`: x0_hat at every step, mixed in by a weight. (given, x0_hat, x_dip) -> images in [-1, 1], all [B, C, H, W]. x_dip
  is drawn once a sample, by the start that the configuration names as its `bank`; None without one.
- `learned`: the forward process and what the network is told, in training and sampling. (given, x_dip) -> Joint.
- `trained`: what is trained on at each step. (given, x0, x_dip, done) -> images like x0; done in [0, 1): the share of steps
  before this one. The three here have a setting each in `Prior`, and what they take besides; train.py knows when to call them.

`given` (`Given` in images.py) holds the training images, the fitted DIP and the process, and draws from them. A prior without
controls is one itself: another has to beat it; but a start with a DIP has to beat every start without one. Nothing here imports
torch, so that pages can read all names: tensors bring their own methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from dipddpm_utils.machine.errors import ConfigError
from dipddpm_utils.page.names import Look

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dipddpm_utils.priors.images import Given

Place = Literal["start", "opinion", "learned", "trained"]
SPARE = tuple(product(("#F0E442", "#000000", "#D55E00", "#009E73", "#CC79A7"), "d8H"))  # looks of those that name none


@dataclass(frozen=True)
class Kind:
    """One way in. Figures, tables, comparisons, costs and new runs take all that they need to know from here."""

    name: str  # in groups of runs and in tables
    place: Place
    key: str  # in configurations
    function: Callable[..., Any]
    look: Look  # in words, and in figures
    dip: bool = False  # needs a fitted DIP, whose seconds and operations are then on the bill
    bank: bool = False  # that DIP is one for each image: needs a bank of them
    controls: tuple[str, ...] = ()  # what it has to beat: labels of the group "mechanisms"
    setting: str = ""  # what its value in that group is
    varied: str = ""  # the same as an axis of notebook 05; a value of 0 is the DDPM alone
    oracle: bool = False  # gives training images away, so it is no method
    paired: bool = True  # each start stands for the training image that `given.drawn`, or the bank, draws at its place
    of_image: bool = True  # each start is made of one training image, drawn first of all, which its sample may give back
    told: int = 0  # images that the network is told in further input channels
    value: float = 1  # of its runs, where it has them `everywhere`
    everywhere: bool = False  # has runs in every profile of our own question, without being named in the study

    def dip_calls(self, nfe: int) -> int:
        """How often the DIP is applied for an image that takes `nfe` calls of the denoiser."""
        return self.dip * (nfe if self.place == "opinion" else 1)


class Joint(NamedTuple):
    """What a learned prior changes: where the forward process ends (None: at 0), what the network is told (None: nothing)."""

    centre: Tensor | None = None
    told: Tensor | None = None


KINDS: dict[str, Kind] = {}


def _declare(place: Place, key: str, label: str, look: str = "", *, name: str = "", **about: Any) -> Callable[[Any], Any]:
    """Declare a prior under the `key` of its configuration. look: colour and marker in one word, '#0072B2o'; spare ones else.

    ValueError if the key or the name is taken, or if runs are asked for everywhere of one that needs more than its name.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        taken = [kind.key for kind in KINDS.values() if kind.place == place]
        if key in taken or (name or key) in KINDS:
            raise ValueError(f"the {place} {name or key!r} is declared twice, expected a name not among {', '.join(KINDS)}")
        if about.get("everywhere") and about.get("bank"):
            raise ValueError(f"the {place} {name or key!r} cannot have runs everywhere: name its runs in study/starts.py")
        seen = [kind.look[1:] for kind in KINDS.values()]
        colour, marker = (look[:-1], look[-1]) if look else next(pair for pair in SPARE if pair not in seen)
        KINDS[name or key] = Kind(name or key, place, key, function, Look(label, colour, marker), **about)
        return function

    return register


start, opinion, learned, trained = (partial(_declare, place) for place in get_args(Place))


def find(place: Place, key: str) -> Kind:
    """The declaration that a configuration names. ConfigError if there is none."""
    here = [kind for kind in KINDS.values() if kind.place == place]
    if (found := next((kind for kind in here if kind.key == key), None)) is None:
        keys = ", ".join(dict.fromkeys(kind.key for kind in here))
        raise ConfigError(f"the {place} {key!r} is not declared: expected one of {keys}")
    return found


# --- starts: no prior, the DIP, controls, an oracle -------------------------------------------------------------------

GAUSSIAN_IMAGES = 10_000  # of which "gaussian" takes the moments


@start("noise", "DDPM alone", "#0072B2o", paired=False, of_image=False)
def noise(given: Given, n: int, generator: torch.Generator) -> Tensor:
    """No prior: x_start ~ N(0, I), hence x_t ~ N(0, I) at every t_start. At T - 1 this is the ordinary chain."""
    return given.normal((n, *given.train.shape[1:]), generator)


@start("dip", "DDPM started from DIP outputs", "#009E73D", dip=True)
def dip(given: Given, n: int, generator: torch.Generator) -> Tensor:
    """x_start in (1) of notebook 04: the DIP's outputs for random training images, near *those*, so copies are counted."""
    return given.dip(given.drawn(n, generator))


@start("per_image", "per-image DIP outputs", "#882255P", dip=True, bank=True)
def per_image(given: Given, n: int, generator: torch.Generator) -> Tensor:
    """x_start in (1) of notebook 04: a DIP as published. Of each training image, what a fit to it shows when it is stopped."""
    return given.banked(n)


@start("mean", "mean training image", "#CC79A7X", of_image=False)
def mean(given: Given, n: int, generator: torch.Generator) -> Tensor:
    """x_start = mu, the mean training image, every time: the least that one can know about the data."""
    return given.signed(given.train).mean(0).expand(n, -1, -1, -1).clone()


@start("gaussian", "fitted Gaussian", "#56B4E9>", paired=False, of_image=False)
def gaussian(given: Given, n: int, generator: torch.Generator) -> Tensor:
    """x_start ~ N(mu, Sigma) with the training images' mean and covariance: everything that two moments can say.

    x_start = mu + sum_i w_i (x_i - mu) / sqrt(N), w ~ N(0, I): a random mix of N training images has exactly their
    covariance, without a matrix of it. Not cut to [-1, 1], so that x_t has exactly the mean and covariance of q(x_t).
    N is at most GAUSSIAN_IMAGES, drawn at random.
    """
    images = given.signed(given.drawn(min(len(given.train), GAUSSIAN_IMAGES), generator)).flatten(1)
    centre = images.mean(0)
    weights = given.normal((n, len(images)), generator)
    return (centre + weights @ (images - centre) / len(images) ** 0.5).view(n, *given.train.shape[1:])


@start("blur", "blurred training images", "#E69F00<")
def blur(given: Given, n: int, generator: torch.Generator) -> Tensor:
    """x_start = k * x: random training images blurred by a Gaussian of BLUR pixels. What a DIP does, without a DIP."""
    return given.blurred(given.drawn(n, generator))


@start("real", "training images (oracle)", "#000000*", oracle=True, paired=False)
def real(given: Given, n: int, generator: torch.Generator) -> Tensor:
    """Training images themselves: the best start there is, and pure copying at small t_start (an oracle, not a method)."""
    return given.signed(given.drawn(n, generator))


# --- mechanisms, as notebook 04 has them; "<name> blur" is the control with a blurred image in the DIP's place ----------


@trained(
    "curriculum", "DIP outputs first", "#D55E00s", dip=True, controls=("curriculum blur", "more training"),
    setting="share", varied="share of the steps on DIP images",
)  # fmt: skip
def curriculum(x0: Tensor, x_dip: Tensor, step: int, steps: int, share: float) -> Tensor:
    """(2) of notebook 04, what is learned at `step` (0, 1, ...) of `steps`: x_dip for the first `share`, x0 for the rest."""
    return x_dip if step < share * steps else x0


@trained("weights", "DIP-fitted weights", "#E69F00P", controls=("more training",))
def fit_loss(model: Callable[..., Tensor], z: Tensor, target: Tensor) -> Tensor:
    """(3) of notebook 04, images in [-1, 1]: the denoiser itself fitted as a DIP, always told t = 0.

    z: noisy copies of the targets (a data-set fit), or one fixed draw of noise for one image (as published).
    """
    t = z.new_zeros(len(z)).long()
    return (model(z, t).to(target.dtype) - target).square().mean()


KINDS["start"] = replace(
    KINDS["dip"],
    name="start",
    look=KINDS["dip"].look._replace(label="DIP start"),
    setting="t_start",
    controls=("start blur", "start gaussian", "start mean"),
)


@trained(
    "truncated", "DIP start, no level above it learned", "#009E73h", dip=True, setting="t_start",
    controls=("truncated blur", "more training"),
)  # fmt: skip
def truncated(given: Given, x_dip: Tensor, t_start: int, eps: Tensor) -> Tensor:
    """x_t at t_start, where chains begin and learning ends: a network that knows fewer levels may learn them sooner.

    (1) of notebook 04 with x_dip as x_start, eps ~ N(0, I) (truncated diffusion: Zheng et al. 2023).
    """
    return given.noised(x_dip, t_start, eps)


@opinion(
    "bank", "DIP images re-injected", "#56B4E9^", name="reinject", controls=("reinject blur",),
    setting="weight", varied="weight of re-injected DIP images",
)  # fmt: skip
def reinject(given: Given, x0_hat: Tensor, x_dip: Tensor | None) -> Tensor:
    """x_dip in (4) of notebook 04: each chain is pulled to one training image's. ValueError without a bank."""
    if x_dip is None:
        raise ValueError("x_dip is None, expected images: give the opinion a `bank` in its configuration")
    return x_dip


@learned("shift", "DIP-shifted process", "#CC79A7v", dip=True, controls=("shift blur", "more training"))
def shift(given: Given, x_dip: Tensor) -> Joint:
    """The forward process ends at x_dip instead of at 0 (ShiftDDPMs: Zhang et al. 2023; PriorGrad: Lee et al. 2022)."""
    return Joint(centre=x_dip)


@learned("condition", "DIP as a condition", "#D55E00X", dip=True, controls=("condition blur", "more training"), told=1)
def condition(given: Given, x_dip: Tensor) -> Joint:
    """The network is told x_dip in further input channels, model([x_t, x_dip], t): (6) of notebook 04."""
    return Joint(told=x_dip)


@opinion(
    "dip", "DIP guidance", "#000000p", name="guidance", dip=True, controls=("guidance blur", "more calls"),
    setting="weight", varied="weight of the DIP's opinion", of_image=False,
)  # fmt: skip
def guidance(given: Given, x0_hat: Tensor, x_dip: Tensor | None) -> Tensor:
    """f_dip(x0_hat) in (7) of notebook 04: a network that was fitted to give clean images for noisy ones."""
    return given.dip(x0_hat)


@opinion("blur", "blur guidance", "#000000p", name="guidance blur", setting="weight", of_image=False)
def guidance_blur(given: Given, x0_hat: Tensor, x_dip: Tensor | None) -> Tensor:
    """k * x0_hat: as smooth as a DIP's, and free."""
    return given.blurred(x0_hat)
