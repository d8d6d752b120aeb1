"""The networks and training recipes that runs are declared with."""

from typing import Any, TypeVar

from dipddpm_utils.config import Diffusion, Frozen, Optim, Sampler, Unet

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


def changed(config: C, **fields: Any) -> C:
    """A copy with these fields, all checked again; pydantic's ValidationError names one that is wrong or unknown."""
    return type(config)(**{**dict(config), **fields})
