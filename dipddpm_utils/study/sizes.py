"""Networks, recipes of training, and how large everything is in each profile: data, steps, seeds, values that are swept."""

from dataclasses import dataclass
from typing import Any, TypeVar

from dipddpm_utils.config import EpochTiming, Gaussian, Stopping
from dipddpm_utils.parts import Data, Diffusion, Evaluate, Frozen, Net, Optim, PerImage, Sampler, Unet
from dipddpm_utils.study.entries import Seeds

UNET_FAST = Unet(width=48, mults=(1, 2, 2), blocks=1, patch=2, scale_shift=True)  # 1.4 M parameters, for 28 x 28 digits
UNET_REPORT_A = Unet(width=64, mults=(1, 2, 4, 8), blocks=2)  # 35.7 M, as report A's
UNET_REPORT_B = Unet(width=32, mults=(1, 2), blocks=2)  # about 0.6 M, as report B's
UNET_SMALL = Unet(width=32, mults=(1, 2), blocks=1, patch=2)  # about 0.3 M: what a CPU can train a hundred times over
UNET_COARSE = Unet(width=32, mults=(1, 2), blocks=1, patch=4)  # 0.4 M: what a CPU can train two hundred times over
UNET_COLOUR = Unet(width=48, mults=(1, 2), blocks=1, patch=4)  # 0.9 M; as wide as the 48 numbers of a 4 x 4 colour patch
UNET_TINY = Unet(width=16, mults=(1, 2), blocks=1, patch=4, middle_attention=False)  # for tests

OPTIM_FAST = Optim(  # see benchmarks/NOTES.md: at 58 000 images, FD-MNIST 7.4 against 18.6 with AdamW
    name="muon", lr=5e-3, betas=(0.9, 0.99), weight_decay=0.01, warmup_steps=20, decay="cosine", grad_clip=1.0,
    batch_size=64, precision="bfloat16", ema_decay=0.99, ema_warmup=20,
)  # fmt: skip
OPTIM_DIP = Optim(name="adam", lr=1e-3, batch_size=32, precision="bfloat16")
OPTIM_REPORT_A = Optim(name="adam", lr=8e-5, batch_size=8, steps=30_000, precision="bfloat16", ema_decay=0.995, ema_every=10)
OPTIM_REPORT_B = Optim(name="adam", lr=1e-3, batch_size=128, steps=9380)  # 20 epochs of 60 000 digits

DIFFUSION_FAST = Diffusion(schedule="cosine", objective="v", times="logit_normal")
DIFFUSION_REPORT_A = Diffusion(schedule="sigmoid", objective="v")
TEN_CALLS = Sampler(name="dpmpp_2m", steps=10)
C = TypeVar("C", bound=Frozen)
MNIST_10000, MNIST_5000 = Data(name="mnist", n_train=10_000), Data(name="mnist", n_train=5000)


def changed(config: C, **fields: Any) -> C:
    """A copy with these fields, all checked again; pydantic's ValidationError names one that is wrong or unknown."""
    return type(config)(**{**dict(config), **fields})


def _judged(every: int, n: int, calls: int, final_n: int, **more: int) -> Evaluate:
    """Judged with the same sampler all along, and few pictures kept. published_n: judged on so many as the reports did, too."""
    few = Sampler(name="dpmpp_2m", steps=calls)
    return Evaluate(every=every, n=n, sampler=few, final_n=final_n, final_sampler=few, keep_all=False, **more)


def _fast(steps: int, **fields: int) -> Optim:
    return changed(OPTIM_FAST, steps=steps, **fields)


def _dip(batch_size: int, steps: int, lr: float = 1e-3) -> Optim:
    return changed(OPTIM_DIP, batch_size=batch_size, steps=steps, lr=lr)


def _stopping(data: Data, n_images: int) -> tuple[Stopping, ...]:
    """Each net at its own rate and pace. fixed: the median best iteration of 16 training digits, at std 0.2 and only there."""
    return (
        Stopping(data=data, n_images=n_images, net="skip", width=8, lr=1e-2, iterations=300, fixed=85),
        Stopping(data=data, n_images=n_images, net="5conv", width=8, lr=3e-3, iterations=350, fixed=185),
        Stopping(data=data, n_images=n_images, net="2conv", width=16, lr=2e-3, iterations=700, fixed=550),
    )


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """One profile. The defaults are `standard`. What is empty or None declares no runs."""

    about: str = (
        "no GPU needed; 10 000 digits, 45 000 photographs for restoration, and 5 000 images for each of the two "
        "reports; comparisons of trained models have 3 seeds or more"
    )
    # fits
    data: Data = MNIST_10000
    ns: tuple[int, ...] = (1000, 2000)  # numbers of training images for the floors, real against real
    seeds: int = 3
    few_seeds: int = 3  # of schedules, mechanisms, and of the reports' runs but their own
    many_seeds: int = 8  # of what a headline comparison left undecided: three, then up to so many by README's rule for seeds
    gaussian: Gaussian = Gaussian()
    spectrum_iterations: int = 300
    dip_steps: int = 300  # of every net's fit to the data set
    dip_width: int | None = None  # of these nets; None: their own
    dip_lengths: tuple[int, ...] = (100, 300, 1000)
    dip_stds: tuple[float, ...] = (0.4, 0.8, 1.0, 1.2, 2.0)
    fitted: int = 32  # single images that each net is fitted to, also in stages
    iterations: tuple[int, int, int, int] = (1000, 700, 400, 600)  # of such a fit, of 2conv, 5conv, resnet18, skip
    snapshots: tuple[int, ...] = (10, 30, 100, 250, 400, 1000)
    stopping: tuple[Stopping, ...] = _stopping(MNIST_10000, 64)
    stopping_stds: tuple[float, ...] = (0.1, 0.2, 0.4)
    spacings: tuple[str, ...] = ("linear", "cosine", "log")
    stages: tuple[int, ...] = (10, 50, 100)
    dip: Net = "5conv"  # that models are trained on and started from
    # models; (steps, steps from one judgement to the next)
    optim: Optim = OPTIM_FAST  # of them all, at steps of their own
    unet_long: Unet = UNET_FAST
    long: tuple[int, int] = (4000, 1000)
    main: tuple[int, int] | None = (2000, 500)  # of models that draw digits, for the headline; None: there are none
    unet: Unet = UNET_SMALL  # of all other comparisons, which need many models
    short: tuple[int, int] = (800, 200)
    more: tuple[int, int] = (2140, 535)  # as many seconds more as fitting and applying the DIP takes
    evaluate: Evaluate = Evaluate(n=1000, sampler=TEN_CALLS, final_sampler=Sampler(steps=50, eta=1.0), final_draws=3)
    evaluate_short: Evaluate = Evaluate(n=1000, sampler=TEN_CALLS, final_sampler=TEN_CALLS)
    ddpm_lrs: tuple[float, ...] = (2e-3, 5e-3)
    schedules: tuple[str, ...] = ("linear", "cosine", "sigmoid")
    Ts: tuple[int, ...] = (100, 1000, 4000)
    batches: tuple[int, ...] = (32, 64, 128)
    # samples
    sampled: int = 2000
    sampler_steps: tuple[int, ...] = (5, 10, 20)
    starts: tuple[str, ...] = ("dip", "mean", "gaussian", "blur", "real")
    start_ts: tuple[int, ...] = (150, 300, 600, 900)
    # a DIP for each image: where chains begin, and what a model is trained on
    fit: PerImage | None = PerImage(iterations=100, width=8, lr=2e-2)  # stopped at 26 dB (32 training digits)
    few: Data = Data(name="mnist", n_train=1024)  # the few images that are trained on
    start_steps: int = 20  # of DDIM's whole chain, of which a start at t leaves the share t / T
    # mechanisms
    mech_dip_steps: int = 200
    mech_optim: Optim = _fast(600)
    mech_more: tuple[int, int] = (760, 100)  # as many seconds more as fitting and applying the DIP takes
    mech_warm_steps: int = 60  # of the denoiser fitted as a DIP, to the data set or to one image
    mech_image_steps: int = 120
    mech_evaluate: Evaluate = _judged(100, n=500, calls=10, final_n=2000)
    mech_start_steps: int = 17  # of the whole chain, 10 of them from 600 on
    # a degraded image is given
    restore_tasks: tuple[tuple[str, float | None], ...] = (  # with their strengths; None: that of before
        ("denoise", 0.4), ("denoise", 0.2), ("inpaint", 0.5), ("inpaint", 0.2), ("super_resolve", 2), ("super_resolve", 4),
    )  # fmt: skip
    restore_seeds: Seeds = 5  # models, each with images of its own
    restored: int = 34
    tuned: int = 10
    # of the DIP's skip net: as good as width 16 at 1e-2 after 210, in half the seconds (inpainting of 8 training digits)
    restore_fit: PerImage = PerImage(width=8, lr=2e-2, iterations=180)
    restore_ts: tuple[int, ...] = (50, 100, 200, 300, 500, 700, 900)
    restore_steps: int = 20
    # the two reports
    headline_only: bool = False  # of theirs only the runs that they report, and the same corrected; and few mechanisms
    report_seeds: int = 3
    # Where batch 32 stands in place of report A's 4 and 8, the rate grows with its root (Malladi et al. 2022, for Adam).
    a_data: Data = Data(name="cifar10", n_train=5000)
    a_2conv: Optim = _dip(32, 240, 2.83e-3)
    a_resnet: Optim = _dip(32, 240, 2e-3)
    a_resnet_width: int | None = None
    a_batch_4: Optim = _dip(4, 1920)
    a_unet: Unet = UNET_COLOUR
    a_optim: Optim = _fast(480)
    a_evaluate: Evaluate = _judged(120, n=500, calls=10, final_n=2000, published_n=30)
    a_starts: tuple[str, ...] = ("dip",)
    a_bank: Data = Data(name="cifar10", n_train=256)  # the few images that have a DIP each
    a_per_image: PerImage = PerImage(iterations=150, width=8)
    b_data: Data = MNIST_5000
    b_fashion: Data = Data(name="fashion_mnist", n_train=5000)
    b_timing: EpochTiming = EpochTiming(data=MNIST_5000, unet=UNET_REPORT_B, optim=OPTIM_REPORT_B)
    rounds: tuple[int, int] = (8, 8)  # of A's and of B's trainings, timed in turn, each part for so many seconds a round
    least: float = 0.3
    b_dip: Optim = _dip(128, 100)
    b_dip_long: Optim = _dip(128, 3500)  # as many steps as the report's, of that DIP alone
    b_dip_width: int = 12
    b_unet: Unet = UNET_COARSE
    b_diffusion: Diffusion = DIFFUSION_FAST
    b_optim: Optim = _fast(480)  # at Muon's rate; report B's 1e-3 is Adam's
    b_evaluate: Evaluate = _judged(160, n=500, calls=10, final_n=2000, published_n=30)
    b_dip_lrs: tuple[float, ...] = (5e-4, 1e-3, 5e-3)


# fmt: off
_FEW, _BRIEF = Data(name="digits5k", n_train=256, n_held_out=256), _fast(4, warmup_steps=1, batch_size=32, ema_warmup=1)
_GLANCE = Evaluate(n=128, sampler=Sampler(name="dpmpp_2m", steps=4), final_n=200, final_sampler=Sampler(steps=5))
_A_GLANCE = _judged(3, n=80, calls=2, final_n=80, published_n=30)
SMOKE = Sizes(
    about="tests and CI: every notebook and every kind of run on 256 digits, in 3 minutes on 2 cores; its numbers mean nothing",
    data=_FEW, ns=(128, 200), seeds=2, few_seeds=1, many_seeds=1, gaussian=Gaussian(n=2000, steps=(10, 20)),
    spectrum_iterations=10, main=None, dip="2conv", dip_steps=4, dip_width=8, dip_lengths=(2, 4), dip_stds=(0.8, 1.2),
    fitted=2, iterations=(20, 20, 20, 20), snapshots=(5, 10, 20),
    stopping=(changed(_stopping(_FEW, 2)[0], width=4, iterations=20, fixed=10, window=4, patience=4, stages=10),),
    stopping_stds=(0.2,), spacings=("linear", "log"), stages=(10,),
    optim=_BRIEF, unet_long=UNET_TINY, unet=UNET_TINY, long=(12, 6), short=(8, 4), more=(12, 4),
    evaluate=_GLANCE, evaluate_short=_GLANCE, schedules=("linear", "cosine"), Ts=(), batches=(),
    fit=PerImage(net="2conv", iterations=2, width=4), few=changed(_FEW, n_train=80),
    sampled=128, sampler_steps=(3, 6), starts=("dip", "blur", "real"), start_ts=(300, 600), start_steps=6,
    mech_dip_steps=4, mech_optim=_fast(6, warmup_steps=2, batch_size=32, ema_warmup=2), mech_more=(8, 4),
    mech_warm_steps=2, mech_image_steps=2, mech_evaluate=_judged(4, n=80, calls=2, final_n=80), mech_start_steps=4,
    restore_tasks=(("denoise", None), ("inpaint", None), ("super_resolve", None)), restore_seeds=1,
    restored=4, tuned=2, restore_fit=PerImage(iterations=10), restore_ts=(200, 400), restore_steps=5,
    report_seeds=1,
    a_data=_FEW, a_2conv=_dip(16, 4), a_resnet=_dip(16, 4), a_resnet_width=16, a_batch_4=_dip(4, 16),
    rounds=(3, 3), least=0.02, a_unet=UNET_TINY, a_optim=_BRIEF, a_evaluate=_A_GLANCE,
    a_bank=changed(_FEW, n_train=80), a_per_image=PerImage(net="2conv", iterations=2, width=4),
    b_data=_FEW, b_fashion=_FEW, b_dip=_dip(80, 4), b_dip_long=_dip(80, 8), b_dip_width=8,
    b_unet=UNET_TINY, b_diffusion=Diffusion(),
    b_timing=EpochTiming(data=_FEW, unet=UNET_TINY, optim=changed(OPTIM_REPORT_B, batch_size=16), steps=1, repeats=2),
    b_optim=_BRIEF, b_evaluate=_A_GLANCE, b_dip_lrs=(1e-3, 2e-3),
)

_5000, _A_QUICK = Data(name="digits5k"), _judged(50, n=500, calls=10, final_n=1000, published_n=30)
QUICK = Sizes(
    about="the default without a GPU: the headline comparisons on the 5 000 embedded digits, in under 20 minutes on 2 cores",
    data=_5000, spectrum_iterations=150, main=None, dip="skip", dip_steps=60,
    dip_lengths=(20, 60), dip_stds=(0.8, 1.2, 2.0),
    fitted=16, iterations=(800, 500, 250, 400), snapshots=(10, 30, 100, 250, 400, 800),
    stopping=_stopping(_5000, 16)[:1], stopping_stds=(0.2,), stages=(),
    unet=UNET_COARSE, long=(3200, 800), short=(240, 120), more=(360, 180),
    ddpm_lrs=(), schedules=(), Ts=(), batches=(),
    sampled=1000, sampler_steps=(5, 10), starts=("dip", "gaussian", "blur", "real"), start_ts=(300, 600), start_steps=10,
    fit=None, mech_dip_steps=60, mech_optim=_fast(240), mech_more=(360, 180),
    mech_evaluate=changed(Sizes.evaluate_short, every=120),
    headline_only=True, report_seeds=1, rounds=(5, 5), least=0.2,
    a_data=_5000, a_2conv=_dip(32, 100, 2.83e-3), a_resnet=_dip(32, 100, 2e-3),
    a_unet=UNET_COARSE, a_optim=_fast(100, warmup_steps=10), a_evaluate=_A_QUICK,
    b_data=_5000, b_dip=_dip(128, 60), b_optim=_fast(100, warmup_steps=10), b_evaluate=_A_QUICK,
)

STANDARD = Sizes()

_MNIST, _PUBLISHED = Data(name="mnist"), {"n": 1000, "calls": 20, "final_n": 5000, "published_n": 30, "fid_n": 10_000}
FULL = Sizes(
    about="the two reports at their own size, on all of MNIST and CIFAR-10: data, networks and steps as large as theirs",
    ns=(1000, 2000, 5000), few_seeds=1, rounds=(12, 60), least=1.0,
    a_data=Data(name="cifar10"), a_2conv=_dip(4, 375_000), a_resnet=_dip(8, 187_500),  # 30 epochs
    a_unet=UNET_REPORT_A, a_optim=OPTIM_REPORT_A, a_evaluate=_judged(3000, **_PUBLISHED),
    a_starts=("dip", "mean", "gaussian", "blur"),
    a_bank=Data(name="cifar10", n_train=1024), a_per_image=PerImage(iterations=1000, width=32),
    b_data=_MNIST, b_fashion=Data(name="fashion_mnist"), b_dip=_dip(128, 3500), b_dip_width=64, b_unet=UNET_REPORT_B,
    b_timing=EpochTiming(data=_MNIST, unet=UNET_REPORT_B, optim=OPTIM_REPORT_B), b_diffusion=Diffusion(),
    b_optim=changed(OPTIM_REPORT_B, precision="bfloat16"), b_evaluate=_judged(2345, **_PUBLISHED),
)
# fmt: on
