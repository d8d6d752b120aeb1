"""DDPM runs: training on real images, DIP outputs or with a prior, and judging its samples at several steps."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Ddpm, Dip, Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process as diffusion
from dipddpm_utils.ddpm import sampling, schedule
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.dip.fit import noisy_input
from dipddpm_utils.dip.run import fitted
from dipddpm_utils.judging import evaluate
from dipddpm_utils.machine import streams
from dipddpm_utils.priors import declared, process
from dipddpm_utils.priors.declared import Joint
from dipddpm_utils.priors.images import Given, Made, of_blur, of_dip, training_images
from dipddpm_utils.priors.judge import Chain, Judge, averaged, bill, build, operations, shown
from dipddpm_utils.store.records import Outcome, Work
from dipddpm_utils.training import loop, mistakes

TRAINED_ON = 2000  # images a model was trained on, at most, to which its samples are compared


class Batch(NamedTuple):
    """What one step learns: images in [-1, 1], and x_dip beside them where a prior has it."""

    x0: Tensor
    x_dip: Tensor | None = None


@dataclass(frozen=True)
class AtWork:
    """The prior of a training run at work: x_dip for each training image, and what is done with it.

    What that is says `run.using`. `ways`: at each step; `truncate`: chains begin there, from x_dip (None: T - 1, at noise).
    """

    run: Ddpm
    given: Given
    x_dip: Tensor | None = None  # floats [N, C, H, W] in [-1, 1]
    seconds: float = 0.0  # fitting and applying the DIP
    flops: int = 0

    def batch(self, x0: Tensor, indices: Tensor, step: int) -> Batch:
        """What is learned at `step`."""
        if self.x_dip is None:
            return Batch(x0)
        x_dip = self.x_dip[indices]
        x0 = declared.curriculum(x0, x_dip, step, self.run.optim.steps, self.run.using.curriculum)
        if self.run.using.trained is not None:
            change = declared.find("trained", self.run.using.trained).function
            x0 = change(self.given, x0, x_dip, step / self.run.optim.steps)
        return Batch(x0, x_dip)

    def joint(self, x_dip: Tensor | None) -> Joint:
        """What all learned priors together change: the sum of their centres, and all that they tell."""
        parts = [declared.find("learned", way).function(self.given, x_dip) for way in self.run.using.ways]
        centres = [part.centre for part in parts if part.centre is not None]
        told = [part.told for part in parts if part.told is not None]
        return Joint(sum(centres[1:], centres[0]) if centres else None, torch.cat(told, 1) if told else None)

    def loss(self, model: Model, batch: Batch, generator: torch.Generator) -> Tensor:
        """The training loss at drawn times and noise."""
        x0, about = batch.x0, self.run.diffusion
        t = diffusion.training_times(about, len(x0), generator, x0.device, self.run.using.truncate)
        eps = torch.randn(x0.shape, generator=generator, device=x0.device)
        free = bool({"FA1", "FB2"} & set(self.run.faults))
        return process.loss(self.given.coefs, about, model, x0, self.joint(batch.x_dip), t, eps, free=free)

    def drawn_rows(self, n: int, purpose: str) -> Tensor:
        """Whose x_dip the chains are given: int64 [n], training images drawn at random."""
        return self.given.drawn_rows(n, streams.generator(self.run.seed, f"bank, {purpose}"))

    def given_back(self, images: Tensor, source: sets.DataSet, purpose: str) -> dict[str, float]:
        """The share of a chain's samples that lie nearest to the training image whose x_dip it was given; {} without one."""
        if not self.run.using.in_chains:
            return {}
        return {"own_source_rate": evaluate.own_source_rate(images, source, self.drawn_rows(len(images), purpose))}

    def chain(self, sampler: Sampler, n: int, purpose: str) -> Chain | None:
        """Whole chains with x_dip from the bank, that is from training images drawn at random; None if none is needed."""
        if not self.run.using.in_chains:
            return None
        last, bank = self.run.using.truncate, self.x_dip[self.drawn_rows(n, purpose).to(self.x_dip.device)]

        def drawn(network: Model, eps: Tensor, rows: slice, generator: torch.Generator) -> tuple[Tensor, int]:
            if last is not None:
                x_t = declared.truncated(self.given, bank[rows], last, eps)
                return sampling.sample(network, self.given.coefs, self.run.diffusion, sampler, x_t, last, generator)
            joint = self.joint(bank[rows])
            return process.sample(self.given.coefs, self.run.diffusion, network, sampler, eps, joint, generator)

        return drawn


def at_work(run: Ddpm, source: sets.DataSet, work: Work) -> AtWork:
    """A run's prior, ready: the DIP fitted and applied to every training image."""
    images, made = source.train.to(work.device), run.using.source
    if run.using.trained is not None:
        declared.find("trained", run.using.trained)  # an unknown name is refused before its DIP is fitted
    net = fitted(made, work) if isinstance(made, Dip) else None
    given = Given(images, schedule.coefficients(run.diffusion, device=work.device), net)
    if made is None:
        return AtWork(run, given)
    bank = of_blur(images, work) if made == "blur" else of_dip(made, images, work)
    return AtWork(run, given, bank.images, bank.seconds, bank.flops)


def initial(run: Ddpm, source: sets.DataSet, work: Work) -> tuple[nn.Module, float, int]:
    """(the denoiser where training begins, seconds, FLOPs): fitted as a DIP where the prior says so, else untrained."""
    model, warm = build(run), run.using.warm
    if warm is None:
        return model, 0.0, 0
    images = source.train.to(work.device)
    generator = streams.generator(run.seed, "warm start", work.device)
    alone = warm.fit == "image"
    if alone:  # one training image, and one draw of noise in its place, for good
        images = images[torch.randint(len(images), (1,), generator=generator, device=generator.device)]
        z = torch.randn(images.shape, generator=generator, device=generator.device)
    size = 1 if alone else run.optim.batch_size
    optim = run.optim.model_copy(update={"steps": warm.steps, "ema_decay": None, "batch_size": size})

    def loss(model: nn.Module, target: Tensor, generator: torch.Generator) -> Tensor:
        if alone:
            return declared.fit_loss(model, z, target)
        noisy = noisy_input(ranges.signed_to_unit(target).clamp(0, 1), warm.std, True, generator)
        return declared.fit_loss(model, ranges.unit_to_signed(noisy), target)

    state = loop.new_state(model, optim, len(images), streams.derived_seed(run.seed, "warm start"), work.device)
    for _ in loop.train(state, loss, lambda idx: ranges.uint8_to_signed(images[idx]), work.budget):
        pass
    return model, state.synchronise(), state.images * operations(model, run, work.device)[1]


def ddpm(run: Ddpm, work: Work) -> Outcome:
    """Train a denoiser and judge its samples at several steps, against real held-out images, whatever it was trained on."""
    source = sets.load(run.data)
    made, prior = training_images(run, source, work), at_work(run, source, work)
    model, fit_seconds, fit_flops = initial(run, source, work)
    state = _state(run, model, len(made.images), work)
    judge = Judge(run, work, source)

    def judged(sampler: Sampler, n: int, purpose: str) -> tuple[dict[str, Any], Tensor]:
        return judge.score(_sampled_from(run, state), sampler, n, purpose, prior.chain(sampler, n, purpose))

    def look(state: loop.State, log: dict[str, Any]) -> None:
        row, images = judged(run.evaluate.sampler, run.evaluate.n, f"step {state.step}")
        log.setdefault("evals", []).append({"step": state.step, "images": state.images, "seconds": state.seconds, **row})
        if run.evaluate.keep_all and run.seed == 0:  # one seed is shown, and records are kept in version control
            log.setdefault("grids", []).append(images[:16])

    def batch(indices: Tensor) -> Batch:
        return prior.batch(prior.given.signed(made.images[indices]), indices, state.step)

    steps = tuple(range(run.evaluate.every, run.optim.steps + 1, run.evaluate.every))
    steady = run.prior is None  # else what is learned may depend on the step
    log = loop.train_resumably(state, prior.loss, batch, work, steps, look, steady=steady)
    model = _sampled_from(run, state)
    purposes = ["final", *(f"final {i}" for i in range(1, run.evaluate.final_draws))]
    draws = [judged(run.evaluate.final_sampler, run.evaluate.final_n, purpose) for purpose in purposes]
    final, images = averaged([row for row, _ in draws]), draws[0][1]
    dip_seconds = made.seconds + prior.seconds + fit_seconds
    dip_flops = made.flops + prior.flops + fit_flops
    metrics = {
        **final,
        **prior.given_back(images, source, "final"),
        "draws": len(draws),
        "steps": state.step,
        "images_seen": state.images,
        "train_seconds": state.seconds,
        "dip_seconds": dip_seconds,
        "total_seconds": state.seconds + dip_seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss_last": float(np.mean([row["loss"] for row in log["curve"][-10:]])),
        **bill(run, model, dip_flops, final["nfe"] * final["n"], work.device),
    }
    evals = log.get("evals", []) + [{"step": state.step, "images": state.images, "seconds": state.seconds, **final}]
    more, arrays = _beside(run, judge, model, made, images, log)
    return Outcome(
        metrics=metrics | more,
        timings={"train": state.seconds, "dip": dip_seconds, "evaluate": sum(row["evaluation_seconds"] for row in evals)},
        curve=log["curve"],
        evals=evals,
        arrays=arrays,
        weights={key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()},
        notes=log["notes"] + judge.notes(final["n"]),
    )


def _state(run: Ddpm, model: nn.Module, n: int, work: Work) -> loop.State:
    """Training at its first step, with the faults that the run has in it."""
    optim = mistakes.halved_lr(run.optim) if "FB3" in run.faults else run.optim
    state = loop.new_state(model, optim, n, run.seed, work.device)
    if "FA4" in run.faults:
        mistakes.lose_gradients(state)
    if "FB1" in run.faults:
        mistakes.unshuffle(state)
    return state


def _sampled_from(run: Ddpm, state: loop.State) -> nn.Module:
    return mistakes.raw_weights(state) if "FA5" in run.faults else state.sampler_model()


def _beside(
    run: Ddpm, judge: Judge, model: nn.Module, made: Made, images: Tensor, log: dict[str, Any]
) -> tuple[dict[str, float | None], dict[str, np.ndarray]]:
    """(what is measured beside the scores, pictures) of a trained model and its samples."""
    metrics, arrays = {}, {"grid": images[: shown(run)].numpy()}
    if run.data.channels == 1:
        metrics = judge.looks(images)
    if made.strength is not None:
        metrics["control_strength"] = made.strength
    if run.dip is not None or run.per_image is not None or run.train_on is not None:
        learned = ranges.signed_to_uint8(made.images[:TRAINED_ON]).cpu()
        arrays["trained_on"] = learned[:3].numpy()
        metrics["fd_trained"] = judge.distance(images, learned)
    if run.evaluate.keep_all and run.seed == 0 and run.prior is None:  # a prior's chains are not drawn as plainly
        arrays |= judge.strips(model)
    if log.get("grids"):
        arrays |= {"grids_by_step": np.stack(log["grids"]), "grid_steps": np.array(log["visited"])}
    return metrics, arrays
