"""Denoisers, and what their samples are worth and cost: every model, whatever it was trained on, is judged in this one way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dipddpm_utils import ranges
from dipddpm_utils.config import Ddpm, Sample, Sampler
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import process, sampling, schedule
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.ddpm.unet import UNet, library_unet
from dipddpm_utils.judging import evaluate, fidelity, frechet
from dipddpm_utils.machine import device, streams
from dipddpm_utils.priors import declared
from dipddpm_utils.store.records import Work
from dipddpm_utils.training import flops, loop, mistakes

SAMPLED_TOGETHER = {"cpu": 250, "cuda": 1000, "mps": 500}  # images a batch of a reverse chain
DRAWS = 30  # sets of `published_n` samples of one model that are judged as the reports judged one, at most
STRIP = 12  # frames of the forward and reverse strips

Chain = Callable[[Model, Tensor, slice, torch.Generator], tuple[Tensor, int]]  # network, x_t, which rows -> x_0, calls


# --- denoisers --------------------------------------------------------------------------------------------------------


def build(run: Ddpm) -> nn.Module:
    """The denoiser with its initial weights."""
    return loop.seeded(lambda: _unet(run), run)


def trained(run: Ddpm, work: Work) -> nn.Module:
    """A trained denoiser (its weight average where it has one), in evaluation mode on the device."""
    model = _unet(run)
    model.load_state_dict(work.store.weights(run))
    return model.to(work.device, memory_format=loop.layout(run.optim, work.device)).eval()


def _unet(run: Ddpm) -> nn.Module:
    if run.unet.library is not None:
        return library_unet(run.unet, run.data.channels)
    return UNet(run.unet, run.data.channels, run.data.size, given=run.data.channels * images_told(run))


def images_told(run: Ddpm) -> int:
    """Images that the network is told beside each x_t."""
    return sum(declared.find("learned", way).told for way in run.using.ways)


def autocast(model: nn.Module, run: Ddpm) -> Model:
    """The network in the run's precision, its answers in that of the images."""

    def network(x: Tensor, t: Tensor) -> Tensor:
        with device.autocast(x.device, run.optim.precision):
            return model(x, t).to(x.dtype)

    return network


def operations(model: nn.Module, run: Ddpm, device: str) -> tuple[int, int]:
    """FLOPs an image of (one call, one training step) of a run's denoiser."""
    x = torch.zeros(1, run.data.channels * (1 + images_told(run)), run.data.size, run.data.size, device=device)
    return flops.counted(model, x, torch.zeros(1, dtype=torch.int64, device=device))


def bill(run: Ddpm, model: nn.Module, dip: int, calls: int, device: str) -> dict[str, int]:
    """FLOPs of training, of the DIP or the fit in its place, and of `calls` of the network in drawing."""
    once, step = operations(model, run, device)
    train, drawn = step * run.optim.steps * run.optim.batch_size, once * calls
    return {"train_flops": train, "dip_flops": dip, "sample_flops": drawn, "total_flops": train + dip + drawn}


# --- samples ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judge:
    """Draws from a run's model, and says what the samples are worth."""

    run: Ddpm
    work: Work
    source: sets.DataSet

    @property
    def space(self) -> evaluate.Features:
        """The feature space in which the samples are judged."""
        return evaluate.space(self.run.data, self.work.device, self.work.budget)

    def score(
        self, model: nn.Module, sampler: Sampler, n: int, purpose: str, chain: Chain | None = None, x_t: Tensor | None = None
    ) -> tuple[dict[str, Any], Tensor]:
        """(scores, images) of n samples. Draws come from streams named by `purpose`, so training is not disturbed.

        chain: how a batch is drawn; None: by the sampler, and nothing else. x_t: where from; None: noise.
        """
        run, data = self.run, self.run.data
        generator, alone = streams.generator(run.seed, f"samples, {purpose}"), x_t is None
        if x_t is None:
            x_t = torch.randn(n, data.channels, data.size, data.size, generator=generator)
        images, nfe, seconds = self.draw(model, chain or plain(run, sampler), x_t, generator)
        since = device.stopwatch(self.work.device)
        rng = streams.numpy_rng(run.seed, f"evaluation, {purpose}")
        scores = evaluate.evaluate(images, self.source, self.space, rng)
        if (few := run.evaluate.published_n) is not None:
            reals = self.source.train[torch.from_numpy(rng.permutation(len(self.source.train))[:few])]
            scores["fd_published"] = mistakes.distance_of_few(self.space.module, images[:few], reals)
            scores["fd_published_draws"] = self._draws_of_few(images, few, rng)
        scores |= self._fid(model, sampler, images, purpose, more=chain is None and alone)
        scores |= evaluate.second(images, self.source, self.work.device)
        about = {"sampler": sampler.title, "nfe": nfe, "sampling_seconds": seconds}
        return {**about, **scores, "evaluation_seconds": seconds + since()}, images

    def _draws_of_few(self, samples: Tensor, few: int, rng: np.random.Generator) -> str:
        """The same of further sets of the samples, none in two of them: how far one set's distance is from another's (A7)."""
        train, found = self.source.train, []
        for own in samples.split(few)[: min(DRAWS, len(samples) // few)]:
            reals = train[torch.from_numpy(rng.choice(len(train), few, replace=False))]
            found.append(mistakes.distance_of_few(self.space.module, own, reals))
        return " ".join(f"{value:.5g}" for value in found)

    def _fid(self, model: nn.Module, sampler: Sampler, samples: Tensor, purpose: str, *, more: bool) -> dict[str, Any]:
        """FID of `fid_n` samples, of which those beyond `samples` are drawn here (more: may be), and of how many it is.

        {} where none is asked for or Inception's weights cannot be had, which `notes` says.
        """
        n = self.run.evaluate.fid_n
        if n is None or (space := evaluate.fid_space(self.work.device)[0]) is None:
            return {}
        if more and len(samples) < n:
            generator = streams.generator(self.run.seed, f"samples, {purpose}, FID")
            x_t = torch.randn(n - len(samples), *samples.shape[1:], generator=generator)
            samples = torch.cat([samples, self.draw(model, plain(self.run, sampler), x_t, generator)[0]])
        return {"fid": evaluate.fid(samples[:n], self.source, space), "fid_n": len(samples[:n])}

    def notes(self, n: int) -> list[str]:
        """What a reader has to know of how n samples were judged."""
        missing = evaluate.fid_space(self.work.device)[1] if self.run.evaluate.fid_n else ""
        second = evaluate.second_space(self.run.data.channels, self.work.device)[1] if n >= evaluate.SECOND_N else ""
        return [f"no FID: {missing}"] * bool(missing) + [second] * bool(second)

    def looks(self, samples: Tensor) -> dict[str, float | None]:
        """How grey images look, and (`_real`) as many held-out ones: contrast, raggedness, and a classifier's confidence."""
        found = {}
        for ending, images in (("", samples), ("_real", self.source.held_out[: len(samples)])):
            found |= {f"{of.__name__}{ending}": of(images.numpy()) for of in (fidelity.contrast, fidelity.raggedness)}
            found[f"legibility{ending}"] = self.space.confidence(images)
        return found

    def draw(self, model: nn.Module, chain: Chain, x_t: Tensor, generator: torch.Generator) -> tuple[Tensor, int, float]:
        """Whole reverse chains from x_t, in batches: (uint8 [n, C, H, W] on the CPU, network calls, seconds)."""
        network, where = autocast(model, self.run), self.work.device
        done, nfe, size = [], 0, SAMPLED_TOGETHER[torch.device(where).type]
        since = device.stopwatch(where)
        for first in range(0, len(x_t), size):
            self.work.budget.check()
            rows = slice(first, first + size)
            x0, nfe = chain(network, x_t[rows].to(where), rows, generator)
            done.append(ranges.signed_to_uint8(x0).cpu())
        return torch.cat(done), nfe, since()

    def distance(self, samples: Tensor, others: Tensor) -> float:
        """Frechet distance between two sets of uint8 images in the data set's own feature space."""
        return frechet.frechet_distance(*frechet.mean_cov(self.space(samples)), *frechet.mean_cov(self.space(others)))

    def strips(self, model: nn.Module) -> dict[str, np.ndarray]:
        """Frames of the forward process on real images and of a reverse chain, evenly spaced in t, as uint8."""
        about, generator = self.run.diffusion, streams.generator(self.run.seed, "strips")
        T, coefs = about.num_train_timesteps, schedule.coefficients(about)
        x0 = ranges.uint8_to_signed(self.source.held_out[:4])
        eps = torch.randn(x0.shape, generator=generator)
        forward_t = np.linspace(0, T - 1, STRIP).round().astype(int)
        forward = [process.diffuse(coefs, x0, int(t), eps) for t in forward_t]
        x = torch.randn(16, *x0.shape[1:], generator=generator).to(self.work.device)
        frames, times = [x], [T - 1]
        for step in sampling.chain(autocast(model, self.run), coefs, about, Sampler(steps=min(48, T)), x):
            if step.index % 2:
                frames.append(step.x)
                times.append(step.t_next)
        forward, reverse = (ranges.signed_to_uint8(torch.stack(part)).cpu().numpy() for part in (forward, frames))
        return {"forward": forward, "forward_t": forward_t, "reverse": reverse, "reverse_t": np.array(times)}


def plain(run: Ddpm, sampler: Sampler, t_start: int | None = None) -> Chain:
    """Chains as the sampler draws them, from t_start or (None) the last step on."""
    coefs = schedule.coefficients(run.diffusion)

    def drawn(network: Model, x_t: Tensor, rows: slice, generator: torch.Generator) -> tuple[Tensor, int]:
        return sampling.sample(network, coefs, run.diffusion, sampler, x_t, t_start, generator)

    return drawn


def shown(run: Ddpm | Sample) -> int:
    """How many samples a record keeps. Pages show the first seed's; records are under version control, and noise is large."""
    return 4 if run.seed else 64 if isinstance(run, Ddpm) and run.evaluate.keep_all else 16


def averaged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean scores of several sets of n images; `fd_sets` has the distance of each.

    The interval stays that of one set: sets that one model drew from other noise were seen to differ by as much.
    """
    mean = {key: float(np.mean([row[key] for row in rows])) if isinstance(of, float) else of for key, of in rows[0].items()}
    if len(rows) > 1:
        mean["fd_sets"] = " ".join(f"{row['fd']:.6g}" for row in rows)
    return mean | {"evaluation_seconds": sum(row["evaluation_seconds"] for row in rows)}
