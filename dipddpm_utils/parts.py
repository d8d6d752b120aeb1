"""What the configurations of runs (config.py) are made of: frozen, validated values, and the DIP that runs build on."""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from dipddpm_utils import faults

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = PositiveInt
NonNegative = Annotated[int, Field(ge=0)]
Net = Literal["2conv", "5conv", "resnet18", "skip"]  # of a DIP
Control = Literal["blur", "clip", "rescaled", "untrained"]  # changes to real images in place of a DIP's (priors/images.py)
DipFaults = Annotated[tuple[str, ...], AfterValidator(lambda ids: faults.chosen(ids, "dip"))]
DdpmFaults = Annotated[tuple[str, ...], AfterValidator(lambda ids: faults.chosen(ids, "ddpm"))]


class Frozen(BaseModel):
    """A value object: no unknown fields, no changes after it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def parts(self) -> Iterator["Frozen"]:
        """This configuration and all those it is built on: its fields', but not those in a tuple, which stand side by side."""
        for name in type(self).model_fields:
            if isinstance(value := getattr(self, name), Frozen):
                yield from value.parts()
        yield self

    def mapped(self, change: Callable[[Any], Any]) -> Self:
        """A copy in which `change` was applied to every configuration within this one, then to this one."""

        def inner(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(inner, value))
            return value.mapped(change) if isinstance(value, Frozen) else value

        return change(self.model_copy(update={name: inner(getattr(self, name)) for name in type(self).model_fields}))

    def wrong(self) -> Iterable[str]:
        """What does not fit together, each with what was expected; a ValueError says the first when the value is made."""
        return ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in self.wrong():
            raise ValueError(problem)
        return self


class Published(NamedTuple):
    """What is told of a published data set, its files and the space it is judged in apart."""

    title: str
    n_train: int  # images to train on, all in all
    channels: int
    size: int  # height and width in pixels
    folders: tuple[str, ...] = (".",)  # where people keep its files below DIPDDPM_DATA, beside a folder of its name


DataName = Literal["digits5k", "mnist", "fashion_mnist", "cifar10", "own"]  # written out, so that an editor knows them
PUBLISHED: dict[str, Published] = {
    "digits5k": Published("embedded digits", 3000, 1, 28),  # of 5 000; the others are held out
    "mnist": Published("MNIST", 60_000, 1, 28, ("MNIST/raw", "MNIST", ".")),
    "fashion_mnist": Published("FashionMNIST", 60_000, 1, 28, ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", ".")),
    "cifar10": Published("CIFAR-10", 50_000, 3, 32, ("cifar-10-batches-bin", ".")),
}


class Data(Frozen):
    """A data set and how much of it: `n_train` training and `n_held_out` held-out images (None: all there are).

    name "own": images of the user's own (data/own.py), known by the sha256 of their files; `path` is where they are here,
    which neither the hash nor a record holds, so that a folder may be moved.
    """

    name: DataName
    n_train: Positive | None = None
    n_held_out: Positive | None = None
    path: str | None = Field(default=None, exclude=True)
    validation: bool = False  # held out: the last 5 000 of the training images, to choose by; what is tested stays unseen
    sha256: str | None = None  # of an own set's files
    colour: bool = False  # an own set's images are 3 x 32 x 32; False: 1 x 28 x 28
    labelled: bool = False  # an own set has labels, so that a classifier of its own can judge

    def wrong(self) -> Iterator[str]:
        if (self.name == "own") != (self.sha256 is not None):
            yield f"sha256 is {self.sha256} with name {self.name!r}, expected it with name 'own', and only there"

    @property
    def channels(self) -> int:
        return PUBLISHED[self.name].channels if self.name in PUBLISHED else 3 if self.colour else 1

    @property
    def size(self) -> int:
        return PUBLISHED[self.name].size if self.name in PUBLISHED else 32 if self.colour else 28


class Unet(Frozen):
    """The denoiser. `width` channels times `mults` per level; `patch` p folds p x p pixels into channels at the stem."""

    width: Positive = 64
    mults: tuple[Positive, ...] = (1, 2)
    blocks: Positive = 2  # residual blocks a level
    middle_attention: bool = True
    patch: Literal[1, 2, 4] = 1  # space-to-depth factor of the stem
    groups: Positive = 8  # group normalisation
    scale_shift: bool = False  # time scales and shifts each channel; False: it only shifts them
    library: Literal["denoising-diffusion-pytorch"] | None = None  # its own Unet of this width and mults, in place of ours

    @model_validator(mode="before")
    @classmethod
    def _reads_earlier_records(cls, values: Any) -> Any:  # which hold three options, never set, that are gone
        gone = ("attention", "dropout", "time_width")
        return {k: v for k, v in values.items() if v or k not in gone} if isinstance(values, dict) else values


class Diffusion(Frozen):
    """The forward process and the training objective (Ho et al. 2020; Nichol & Dhariwal 2021; Hang et al. 2023)."""

    num_train_timesteps: Positive = 1000
    schedule: Literal["linear", "cosine", "sigmoid"] = "linear"
    objective: Literal["eps", "x0", "v"] = "eps"
    variance: Literal["fixed_small", "fixed_large"] = "fixed_small"
    min_snr_gamma: PositiveFloat | None = None  # None: plain mean squared error
    times: Literal["uniform", "logit_normal"] = "uniform"  # how training draws t: evenly, or more often at middle noise
    times_mean: float = 0.0  # of the normal behind logit_normal: above 0, higher noise comes up more often

    def wrong(self) -> Iterator[str]:
        if self.times_mean and self.times != "logit_normal":
            yield f"times_mean is {self.times_mean} with times {self.times!r}, expected it with 'logit_normal' only"


class Optim(Frozen):
    """How a network is trained. Learning rates are per step; times are counted in steps."""

    name: Literal["adam", "adamw", "muon"] = "adam"  # muon: matrices by Muon, the rest by AdamW at half the rate
    kernels_only: bool = False  # of muon: only convolutions count as matrices, linear layers are left to AdamW
    lr: PositiveFloat = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup_steps: NonNegative = 0
    decay: Literal["constant", "cosine", "linear"] = "constant"  # after warm-up, down to zero at `steps`
    grad_clip: PositiveFloat | None = None
    batch_size: Positive = 128
    steps: Positive = 1000
    precision: Literal["float32", "bfloat16"] = "float32"
    ema_decay: Fraction | None = None  # None: no average is kept
    ema_every: Positive = 1  # steps from one update of the average to the next
    ema_warmup: NonNegative = 100  # updates before the average may be sampled from

    def wrong(self) -> Iterator[str]:
        if self.kernels_only and self.name != "muon":
            yield f"kernels_only is set with name {self.name!r}, expected it with 'muon' only"


class Sampler(Frozen):
    """How x_T, or x_t at `t_start`, is turned into x_0. `steps` network calls are spread over the whole 0..T-1."""

    name: Literal["ancestral", "ddim", "dpmpp_2m"] = "ddim"
    steps: Positive = 50
    eta: Fraction = 0.0  # of DDIM: 0 adds no noise, 1 as much as the ancestral sampler

    @property
    def title(self) -> str:
        """The name under which results are kept: 'ddim', or 'ddim eta 1' where noise is added."""
        return f"{self.name} eta {self.eta:g}" if self.eta else self.name


class Evaluate(Frozen):
    """When and how samples are judged: `n` images each `every` steps, and `final_n` with `final_sampler` at the end."""

    every: Positive = 1000
    n: Positive = 1000
    sampler: Sampler = Sampler(name="dpmpp_2m", steps=15)
    final_n: Positive = 2000
    final_sampler: Sampler = Sampler(name="ddim", steps=50)
    final_draws: Positive = 1  # sets of final_n images whose scores are averaged, as those of the floor are
    published_n: Annotated[int, Field(ge=2)] | None = None  # judge that many samples as the two reports did, too (FA3)
    fid_n: Positive | None = None  # FID of that many as well, wherever Inception's weights can be had; a note where not
    keep_all: bool = True  # False: of all pictures only a small grid of the last samples is kept, for a small record


class ImageFit(Frozen):
    """How an untrained network is fitted to one image (dip/fit.py)."""

    net: Net = "skip"
    iterations: Positive = 1000
    lr: PositiveFloat = 1e-2
    z_std: Annotated[float, Field(ge=0)] = 0.03  # noise added to the fixed input z at each iteration
    width: Positive = 16


class PerImage(ImageFit):
    """A fit to each training image; what it shows after `iterations` stands for the image."""

    iterations: Positive = 200


class Warm(Frozen):
    """Initial weights: the denoiser itself fitted as a DIP for some steps, to a data set's noisy images or to one image."""

    fit: Literal["data_set", "image"] = "data_set"
    steps: Positive = 100
    std: Annotated[float, Field(ge=0)] = 1.2  # of the noise on a data set's images, in [0, 1] and clipped


class Run(Frozen):
    """Anything that takes more than a second. `computed_by` names the function (run, work) -> Outcome, as module:function."""

    revision: ClassVar[int] = 1
    computed_by: ClassVar[str]
    timed: ClassVar[bool] = False  # its seconds are what it is for
    kind: str
    seed: NonNegative = 0


class Dip(Run):
    """A network fitted to many images at once: a denoising autoencoder, which both reports called a DIP."""

    computed_by: ClassVar[str] = "dipddpm_utils.dip.run:dip"
    kind: Literal["dip"] = "dip"
    data: Data
    net: Net = "5conv"
    width: Positive | None = None  # channels of the first layer; None: the network's own
    std: PositiveFloat = 1.2  # of the noise added to the input, images in [0, 1]
    clip_input: bool = True  # clip(image + std * noise, 0, 1), as report B does; False: unclipped, as report A
    one_batch: bool = False  # fit the first batch only, as report B does
    optim: Optim = Optim()
    faults: DipFaults = ()
    judged: Positive | None = None  # by its outputs for so many training images; None: for those it is fitted to, 2000 at most

    def wrong(self) -> Iterator[str]:
        if "FA7" in self.faults and self.optim.steps <= faults.EARLY:
            yield f"fault FA7 keeps iteration {faults.EARLY}, but optim.steps is {self.optim.steps}; leave it out"


class Bank(Run):
    """A DIP as published, for each of n training images: what each shows when its fit is stopped stands for its image."""

    computed_by: ClassVar[str] = "dipddpm_utils.dip.run:bank"
    kind: Literal["bank"] = "bank"
    data: Data
    fit: PerImage = PerImage()
    n: Positive | None = None  # drawn at random; None: all of them, in order


class Prior(Frozen):
    """What x_dip, an image that a DIP makes of a training image, is used for (notebook 04); several may be combined."""

    source: Dip | Literal["blur"] | None = None  # what makes x_dip; "blur": the control without a DIP
    curriculum: Fraction = 0.0  # share of the steps, the first ones, that train on x_dip in place of x0
    shift: bool = False  # the forward process ends at x_dip
    condition: bool = False  # the network is told x_dip
    warm: Warm | None = None
    learned: str | None = None  # a further one of priors/declared.py, by its name there
    trained: str | None = None  # the same, of those that say what is trained on
    truncate: NonNegative | None = None  # the last step that is learned: chains begin there, from x_dip

    @property
    def ways(self) -> tuple[str, ...]:
        """The learned priors, by their names in priors/declared.py."""
        chosen = (("shift", self.shift), ("condition", self.condition), (self.learned, self.learned is not None))
        return tuple(name for name, on in chosen if on)

    @property
    def in_chains(self) -> bool:
        """Whether a chain of this model needs x_dip, at each step or to begin with."""
        return bool(self.ways) or self.truncate is not None

    def wrong(self) -> Iterator[str]:
        if bool(self.curriculum or self.trained or self.in_chains) != (self.source is not None):
            yield "source is needed by curriculum, trained, shift, condition, learned and truncate, by nothing else"
        if self.trained in ("curriculum", "weights", "truncated"):
            yield f"trained is {self.trained!r}, which has a setting: give curriculum, warm or truncate instead"
        if self.truncate is not None and self.ways:
            yield "truncate is given with shift, condition or learned, whose chains begin at noise; leave one out"
        if (self.condition or self.learned) and self.warm is not None:
            yield "warm is given with condition or learned, whose network has no place for the images of a fit"


class Start(Frozen):
    """Where the reverse chain begins: x_{t_start} = sqrt(alpha_bar) x_start + sqrt(1 - alpha_bar) eps."""

    name: str = "noise"  # a start of priors/declared.py
    t_start: NonNegative | None = None  # None: T - 1, the whole chain
    dip: Dip | None = None  # the network whose outputs are the start, for the starts that need one
    bank: Bank | None = None  # the fits that are the start, for those that need one for each image


class Advice(Frozen):
    """A second opinion on x0_hat at every step: x0_hat <- (1 - w_t) x0_hat + w_t opinion (priors/process.py)."""

    name: str  # an opinion of priors/declared.py
    weight: Fraction
    when: Literal["early", "late", "always"] = "always"
    bank: str | None = None  # for opinions on an image of its own for each sample: the start that draws it
    dip: Dip | None = None  # the network that has the opinion, or makes the bank
