"""What a run is: frozen, validated configurations (of parts.py's values), and the hash that names a run's folder.

A configuration says *what* is computed and nothing about where or how fast. Its hash is taken over the fields that
differ from their defaults, so a new field with a default that means "as before" leaves old records valid; a change of
meaning is made visible by raising `revision` of the kind.
"""

import hashlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, PositiveFloat, TypeAdapter

from dipddpm_utils.parts import (
    Advice,
    Bank,
    Control,
    Data,
    DdpmFaults,
    Diffusion,
    Dip,
    Evaluate,
    Frozen,
    ImageFit,
    NonNegative,
    Optim,
    PerImage,
    Positive,
    Prior,
    Run,
    Sampler,
    Start,
    Unet,
)


class Gaussian(Run):
    """The theory checked on Gaussian data, where the optimal denoiser and every chain have closed forms."""

    computed_by: ClassVar[str] = "dipddpm_utils.theory.run:gaussian"
    kind: Literal["gaussian"] = "gaussian"
    dim: Positive = 8
    n: Positive = 20_000
    diffusion: Diffusion = Diffusion()
    steps: tuple[Positive, ...] = (10, 20, 50, 100)  # DDIM steps at which the chain is compared with its closed form
    mismatches: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)  # distance of the start's mean from the data's, in data std
    t_starts: tuple[NonNegative, ...] = (100, 200, 300, 400, 500, 600, 700, 800, 900)


class Floor(Run):
    """Real against real: distances between the held-out images and n training images, over `repeats` draws."""

    computed_by: ClassVar[str] = "dipddpm_utils.theory.run:floor"
    kind: Literal["floor"] = "floor"
    data: Data
    ns: tuple[Positive, ...] = (1000, 2000)  # numbers of training images; the last one heads the record
    repeats: Annotated[int, Field(ge=2)] = 5


class DipImages(Run, ImageFit):
    """The Deep Image Prior as published: one untrained network per image, fitted to that image's noisy copy."""

    computed_by: ClassVar[str] = "dipddpm_utils.dip.run:dip_images"
    kind: Literal["dip_images"] = "dip_images"
    data: Data
    n_images: Positive = 16
    std: PositiveFloat = 0.2  # of the noise on the observed image, images in [0, 1]
    snapshots: tuple[NonNegative, ...] = (10, 50, 100, 200, 500, 1000)  # iterations whose outputs are kept


StoppingRule = Literal["oracle", "fixed", "end", "wmv", "emv", "discrepancy", "halves", "staged"]
STOPPING_RULES: tuple[StoppingRule, ...] = get_args(StoppingRule)


class Stopping(Run, ImageFit):
    """When to stop a fit to one noisy image: every rule of stopping/declared.py on the same images."""

    computed_by: ClassVar[str] = "dipddpm_utils.stopping.run:stopping"
    kind: Literal["stopping"] = "stopping"
    data: Data
    n_images: Annotated[int, Field(ge=2)] = 64
    std: PositiveFloat = 0.2  # of the noise on the observed image, images in [0, 1]; not clipped, so that it is Gaussian
    rules: tuple[StoppingRule, ...] = STOPPING_RULES
    fixed: Positive = 100  # the fixed budget, in iterations
    window: Annotated[int, Field(ge=2)] = 40  # outputs in ES-WMV's variance
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.1  # weight of the newest output in ES-EMV's
    patience: Positive = 30  # iterations without a lower score
    tau: PositiveFloat = 0.5  # how the noise is shared between the halves: std sqrt(1 + tau^2) is fitted
    stages: Annotated[int, Field(ge=2)] = 50
    spacing: Literal["linear", "cosine", "log"] = "log"  # of the stages' noise levels
    level_high: PositiveFloat = 1.0  # noise added in the first stage, images in [0, 1]
    level_low: PositiveFloat = 0.01  # and in the last
    diffusion: Diffusion = Diffusion()  # whose steps t_k have those levels

    def wrong(self) -> Iterator[str]:
        if "oracle" not in self.rules or len(set(self.rules)) != len(self.rules):
            yield f"rules are {', '.join(self.rules)}; expected each once, and 'oracle' among them to judge by"
        if self.level_low >= self.level_high:
            yield f"level_low is {self.level_low}, expected below level_high, {self.level_high}"
        if self.fixed > self.iterations or self.stages > self.iterations:
            yield f"fixed, stages are {self.fixed}, {self.stages}, expected at most iterations, {self.iterations}"


class Spectrum(Run, ImageFit):
    """What an untrained convolutional net fits first: error by spatial frequency while it fits images and noise."""

    computed_by: ClassVar[str] = "dipddpm_utils.theory.run:spectrum"
    kind: Literal["spectrum"] = "spectrum"
    data: Data
    n_images: Positive = 8
    iterations: Positive = 600
    z_std: Annotated[float, Field(ge=0)] = 0.0
    bands: Positive = 6


class Ddpm(Run):
    """A denoising diffusion model, trained on real images or, with `dip`, on that network's outputs for them.

    `train_on` names something cheaper to train on instead (priors/images.py): real images changed in one way that a DIP changes
    them, by as much as `dip` does; or the outputs of `dip` before it is trained. `per_image`: one DIP for each image.
    """

    computed_by: ClassVar[str] = "dipddpm_utils.priors.train:ddpm"
    kind: Literal["ddpm"] = "ddpm"
    data: Data
    dip: Dip | None = None
    unet: Unet = Unet()
    diffusion: Diffusion = Diffusion()
    optim: Optim = Optim()
    evaluate: Evaluate = Evaluate()
    train_on: Control | None = None
    per_image: PerImage | None = None
    faults: DdpmFaults = ()
    prior: Prior | None = None  # ways of using a DIP other than `dip`

    @property
    def using(self) -> Prior:
        """Its prior; one that does nothing where there is none."""
        return self.prior or Prior()

    @property
    def bank(self) -> Bank | None:
        """The run whose fits it is trained on."""
        return None if self.per_image is None else Bank(data=self.data, fit=self.per_image, seed=self.seed)

    def wrong(self) -> Iterator[str]:
        last = self.diffusion.num_train_timesteps - 1
        if (self.using.truncate or 0) > last:
            yield f"prior.truncate is {self.using.truncate}, but the model's last step is {last}: give that at most"
        if self.per_image is not None and (self.dip is not None or self.train_on is not None):
            yield "per_image is given with dip or train_on, expected one of them"
        on_real = self.dip is None and self.per_image is None and self.train_on is None
        if self.prior is not None and not on_real:
            yield "prior is given with dip, per_image or train_on, expected real images for it to act on"
        if self.train_on not in (None, "clip") and self.dip is None:
            yield f"train_on is {self.train_on!r} without a dip, expected the one whose outputs it is to match"
        on_dip = self.dip is not None and self.train_on is None
        for fault, acts in (("FA1", on_real), ("FB2", on_dip), ("FB3", on_dip)):
            if fault in self.faults and not acts:
                yield f"fault {fault} does not act on what this run is trained on; leave it out"


class Sample(Run):
    """Images drawn from a trained model with some sampler and start, and judged."""

    computed_by: ClassVar[str] = "dipddpm_utils.priors.sample:sample"
    kind: Literal["sample"] = "sample"
    model: Ddpm
    start: Start = Start()
    sampler: Sampler = Sampler()
    n: Positive = 2000
    advice: Advice | None = None

    def wrong(self) -> Iterator[str]:
        t, last = self.start.t_start, self.model.diffusion.num_train_timesteps - 1
        if t is not None and t > last:
            yield f"start.t_start is {t}, but the model's last step is {last}: give that at most"
        if (bank := self.start.bank) is not None and bank.data != self.model.data:
            yield "start.bank is of other data than the model, expected the images that it was trained on"
        if bank is not None and (least := bank.n or bank.data.n_train) and least < self.n:
            yield f"start.bank has {least} DIPs, expected one for each of the {self.n} samples"
        if self.model.using.in_chains and (self.start != Start() or self.advice is not None):
            yield "model has a prior that its chains need, and start and advice know nothing of it; leave both out"


class Supervised(Frozen):
    """The rival of restoration that is trained to give the clean image for y (priors/supervised.py)."""

    unet: Unet | None = None  # None: the DDPM's, and its rate
    lr: PositiveFloat | None = None
    batch_size: Positive = 32
    residual: bool = False  # it gives what is missing in the guess that needs no network (Zhang et al. 2017)


class Restore(Run, ImageFit):
    """A degraded image is given: what a DIP, a DDPM and both make of it, over `n` held-out images (priors/restore.py).

    Whatever has to be chosen, the DIP's budget, each chain's t_start, and how much its rivals may do in the DIP's seconds, is
    chosen on `n_tune` further images: held-out ones too, or (validation) training images that nothing is trained on.
    """

    computed_by: ClassVar[str] = "dipddpm_utils.priors.restore:restore"
    timed: ClassVar[bool] = True
    kind: Literal["restore"] = "restore"
    model: Ddpm
    task: Literal["denoise", "inpaint", "super_resolve"] = "denoise"
    n: Annotated[int, Field(ge=2)] = 100
    n_tune: Positive = 20
    iterations: Positive = 300
    t_starts: tuple[NonNegative, ...] = (100, 200, 300, 400, 500, 600)  # none: no chains, so the DDPM is not asked for
    sampler: Sampler = Sampler(name="ddim", steps=20)
    supervised: Supervised = Supervised()
    strength: PositiveFloat | None = None  # std of noise, share of pixels seen, side of a coarse pixel; None: 0.4, 0.5, 2
    validation: bool = False

    def wrong(self) -> Iterator[str]:
        if self.task == "inpaint" and (self.strength or 0) >= 1:
            yield f"strength is {self.strength}, expected a share of pixels below 1 with task 'inpaint'"
        if self.task == "super_resolve" and self.strength and (self.strength % 1 or self.model.data.size % self.strength):
            yield f"strength is {self.strength}, expected a divisor of the images' {self.model.data.size} pixels"


class EpochTiming(Run):
    """How long an epoch takes when each image is decoded in Python, and when all lie in memory: same model, same batches."""

    computed_by: ClassVar[str] = "dipddpm_utils.priors.turns:epoch_timing"
    timed: ClassVar[bool] = True
    kind: Literal["epoch_timing"] = "epoch_timing"
    data: Data
    unet: Unet = Unet()
    diffusion: Diffusion = Diffusion()
    optim: Optim = Optim()
    images: Positive = 60_000  # an epoch, to which the steps measured are extrapolated
    steps: Positive = 2  # measured in each repeat, for each of the two ways
    repeats: Annotated[int, Field(ge=2)] = 6


class Turns(Run):
    """What whole trainings take, timed a few steps of each in turn, so that a busy machine slows all alike.

    A model on a DIP's outputs is timed with that DIP's fit and with applying it. least: seconds of each part in each round.
    """

    computed_by: ClassVar[str] = "dipddpm_utils.priors.turns:turns"
    timed: ClassVar[bool] = True
    kind: Literal["turns"] = "turns"
    data: Data  # of all runs; a record's provenance has its checksum from here
    runs: Annotated[tuple[Ddpm, ...], Field(min_length=2)]
    rounds: Annotated[int, Field(ge=2)] = 12
    least: PositiveFloat = 1.0

    def wrong(self) -> Iterator[str]:
        rest = {run.model_copy(update={"dip": None}) for run in self.runs}
        own = {(run.data, run.prior, run.per_image, run.train_on, run.faults) for run in rest}
        if len(rest) > 1 or own != {(self.data, None, None, None, ())}:
            yield "runs differ in more than their dip, expected one network and training on images of `data`"
        ways = [(run.dip and run.dip.net, run.dip and run.dip.std) for run in self.runs]
        if ways.count((None, None)) != 1 or len(set(ways)) != len(ways):
            yield "runs are not one without a dip and others of which each has another net or std"


def kinds() -> dict[str, Any]:
    """The priors of priors/declared.py by name, in order. Found as the function of a run is, so no floor imports upward."""
    return pkgutil.resolve_name("dipddpm_utils.priors.declared:KINDS")


_ALL = Gaussian | Floor | Dip | DipImages | Bank | Stopping | Spectrum | Ddpm | Sample | Restore | EpochTiming | Turns
_ANY = TypeAdapter(Annotated[_ALL, Field(discriminator="kind")])


def parse(values: dict[str, Any]) -> Run:
    """Turn plain values (from JSON) into a run; pydantic's ValidationError says which field is wrong."""
    return _ANY.validate_python(values)


def canonical(run: Run) -> str:
    """The text that is hashed: kind, revision, and every field that differs from its default, keys sorted."""
    values = run.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({**values, "kind": run.kind, "revision": run.revision}, sort_keys=True, separators=(",", ":"))


def run_hash(run: Run) -> str:
    """First ten hexadecimal digits of the SHA-256 of `canonical(run)`."""
    return hashlib.sha256(canonical(run).encode()).hexdigest()[:10]
