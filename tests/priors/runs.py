"""Tiny runs that tests compute through the real store."""

from dipddpm_utils.config import Data, Ddpm, Diffusion, Dip, Evaluate, Optim, Sampler, Unet
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import OutOfTime
from dipddpm_utils.store.runs import Store

DATA = Data(name="digits5k", n_train=96, n_held_out=96)
TINY = Unet(width=8, mults=(1, 2), blocks=1, patch=4, middle_attention=False)
DIP = Dip(data=DATA, net="2conv", optim=Optim(steps=12, batch_size=16))
DDPM = Ddpm(
    data=DATA,
    unet=TINY,
    diffusion=Diffusion(num_train_timesteps=100),
    optim=Optim(steps=12, batch_size=16, ema_decay=0.9, ema_warmup=2),
    evaluate=Evaluate(
        every=5, n=80, sampler=Sampler(name="dpmpp_2m", steps=2), final_n=80, final_sampler=Sampler(name="ddim", steps=3)
    ),
)
JUDGED = {"n", "fd", "fd_low", "fd_high", "kid", "precision", "recall", "copy_rate", "features"}


class StopAfter(Budget):
    """A budget that ends at its k-th check."""

    def __init__(self, checks):
        super().__init__()
        self.left = checks

    def expired(self):
        self.left -= 1
        self.reason = "the test said so" if self.left < 0 else None
        return self.left < 0


def in_slices(folder, run, checks):
    """(the record of a run whose time is over at every so many checks, how often it was cut off)."""
    for slices in range(40):
        try:
            return Store(folder, "smoke", device="cpu", budget=StopAfter(checks)).ensure(run), slices
        except OutOfTime:
            continue
    raise AssertionError("it does not come to an end")


SMALL = DDPM.model_copy(update={"evaluate": DDPM.evaluate.model_copy(update={"every": 100, "keep_all": False})})
