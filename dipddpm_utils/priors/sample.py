"""Sample runs: images drawn from a trained model, with the chain begun where a start says, and a second opinion on the way."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dipddpm_utils.config import Dip, Sample
from dipddpm_utils.data import sets
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.ddpm.process import Model
from dipddpm_utils.dip.run import fitted, operations
from dipddpm_utils.judging import evaluate
from dipddpm_utils.machine import device, streams
from dipddpm_utils.machine.errors import ConfigError
from dipddpm_utils.priors import process
from dipddpm_utils.priors.declared import Kind, find
from dipddpm_utils.priors.images import Given, of_bank
from dipddpm_utils.priors.judge import Chain, Judge, bill, plain, shown, trained
from dipddpm_utils.priors.train import at_work
from dipddpm_utils.store.records import Outcome, Record, Work
from dipddpm_utils.theory import gaussian


def sample(run: Sample, work: Work) -> Outcome:
    """Draw images from a trained model, with the chain begun where `run.start` says, and judge them."""
    if run.model.using.in_chains:
        return _with_its_prior(run, work)
    source, model = sets.load(run.model.data), trained(run.model, work)
    start, users = find("start", run.start.name), _users(run)
    nets = {dip: fitted(dip, work) for dip in users}
    coefs = schedule.coefficients(run.model.diffusion, device=work.device)
    fits = of_bank(run.start.bank, work) if run.start.bank else None
    given = Given(source.train.to(work.device), coefs, bank=fits.images if fits else None)
    since = device.stopwatch(work.device)
    generator = streams.generator(run.seed, f"start {start.key}")
    x_start = start.function(replace(given, net=nets.get(run.start.dip)), run.n, generator)
    _check_known(run, start, given, 0)
    t_start = given.coefs.num_train_timesteps - 1 if run.start.t_start is None else run.start.t_start
    x_t = process.start_chain(given.coefs, x_start, t_start, generator)
    chain = _chain(run, replace(given, net=nets.get(run.advice.dip if run.advice else None)), t_start)
    start_seconds = since() + (fits.seconds * run.n / len(fits.rows) if fits else 0.0)
    judge = Judge(run.model, work, source)
    row, images = judge.score(model, run.sampler, run.n, f"sample {run.seed}", chain, x_t)
    trained_as = work.store.ensure(run.model, quiet=True)
    flops = sum(operations(dip, nets[dip], run.n * sum(k.dip_calls(row["nfe"]) for k in kinds)) for dip, kinds in users.items())
    flops += fits.flops * run.n // len(fits.rows) if fits else 0

    def sources(name: str) -> Tensor:
        """The training images that a start's are made of, int64 [n]."""
        own = streams.generator(run.seed, f"start {name}")
        return fits.rows[: run.n] if fits and find("start", name).bank else given.drawn_rows(run.n, own)

    given_back = sources(run.advice.bank if run.advice and run.advice.bank else run.start.name)
    metrics = {
        **row,
        "own_source_rate": evaluate.own_source_rate(images, source, given_back),
        "nfe_full": run.sampler.steps,
        "t_start": t_start,
        "prior_seconds": sum((work.store.ensure(dip, quiet=True).metrics["train_seconds"] for dip in users), 0.0),
        "start_seconds": start_seconds,
        "sampling_seconds": row["sampling_seconds"] + start_seconds,
        **_of_model(trained_as),
        **bill(run.model, model, trained_as.metrics.get("dip_flops", 0) + flops, row["nfe"] * run.n, work.device),
        **(_bound_on(given, x_start, t_start, sources(run.start.name)) if start.paired else {}),
    }
    timings = {"sample": metrics["sampling_seconds"], "dip": metrics["prior_seconds"]}
    return Outcome(metrics, timings, arrays={"grid": images[: shown(run)].numpy()}, notes=judge.notes(run.n))


def _with_its_prior(run: Sample, work: Work) -> Outcome:
    """Whole chains of a model that is given x_dip at each step, and how many of them end at the image that x_dip is of."""
    source, model, purpose = sets.load(run.model.data), trained(run.model, work), f"sample {run.seed}"
    prior, judge = at_work(run.model, source, work), Judge(run.model, work, source)
    row, images = judge.score(model, run.sampler, run.n, purpose, prior.chain(run.sampler, run.n, purpose))
    metrics = {
        **row,
        **prior.given_back(images, source, purpose),
        "prior_seconds": prior.seconds,
        **_of_model(work.store.ensure(run.model, quiet=True)),
        **bill(run.model, model, prior.flops, row["nfe"] * run.n, work.device),
    }
    timings = {"sample": row["sampling_seconds"], "dip": prior.seconds}
    return Outcome(metrics, timings, arrays={"grid": images[: shown(run)].numpy()}, notes=judge.notes(run.n))


def _check_known(run: Sample, start: Kind, given: Given, before: int) -> None:
    """ConfigError unless it is known of which training images a start is made, since copies are counted against those.

    before: how many draws there were when it was asked.
    """
    if start.bank or not start.of_image:
        return
    seen = given.seen[before : before + 1]
    expected = given.drawn_rows(run.n, streams.generator(run.seed, f"start {start.key}"))
    if not (seen and torch.equal(seen[0], expected)):
        advice = f"draw {run.n} by given.drawn before anything else, or declare it with of_image=False, paired=False"
        raise ConfigError(f"the start {start.key!r} is of training images, and which ones is not known: {advice}")


def _of_model(record: Record) -> dict[str, Any]:
    """Of which training samples were drawn: one made again on another machine, or by other threads, ends elsewhere."""
    return {"model_seconds": record.metrics["total_seconds"], "model_weights": record.weights_sha256}


def _users(run: Sample) -> dict[Dip, list[Kind]]:
    """The DIPs that are needed, and for which priors. ConfigError if one needs a DIP that the configuration does not name."""
    asked = [(run.start.dip, find("start", run.start.name))]
    if run.advice is not None:
        asked.append((run.advice.dip, find("opinion", run.advice.name)))
        asked += [(run.advice.dip, find("start", run.advice.bank))] if run.advice.bank is not None else []
    if run.start.bank is not None and not any(kind.bank for _, kind in asked):
        raise ConfigError("start.bank is given, and nothing here begins from it: leave it out, or use the start 'per_image'")
    found: dict[Dip, list[Kind]] = {}
    for dip, kind in asked:
        needed, where = ("a DIP for each image", "as `start.bank`") if kind.bank else ("a fitted DIP", "as the `dip` beside it")
        if kind.dip and (run.start.bank if kind.bank else dip) is None:
            raise ConfigError(f"the {kind.place} {kind.key!r} needs {needed}, and there is none: name one {where}")
        if kind.dip and not kind.bank:
            found.setdefault(dip, []).append(kind)
    return found


def _chain(run: Sample, given: Given, t_start: int) -> Chain:
    """Chains of the trained model from wherever they start, with `run.advice` at each step if there is one."""
    advice, onward = run.advice, plain(run.model, run.sampler, t_start)
    if advice is None:
        return onward
    opinion, bank = find("opinion", advice.name).function, None
    if advice.bank is not None:
        start, before = find("start", advice.bank), len(given.seen)
        bank = start.function(given, run.n, streams.generator(run.seed, f"start {advice.bank}"))
        _check_known(run, start, given, before)

    def drawn(network: Model, x_t: Tensor, rows: slice, generator: torch.Generator) -> tuple[Tensor, int]:
        x_dip = None if bank is None else bank[rows].to(x_t.device)
        mixed = process.advised(network, given.coefs, run.model.diffusion, advice, lambda x: opinion(given, x, x_dip))
        return onward(mixed, x_t, rows, generator)

    return drawn


def _bound_on(given: Given, x_start: Tensor, t_start: int, sources: Tensor) -> dict[str, float]:
    """How far the starts are from the training images they stand for, and how much their chains may differ for it, at most."""
    each = (x_start - given.signed(given.train[sources.to(given.train.device)])).square().sum(dim=(1, 2, 3))
    moved = float(each.cpu().double().mean())  # on the CPU, because MPS has no float64
    mismatch = gaussian.paired_mismatch(moved, given.coefs.alpha_bar(t_start))
    return {"start_moved": moved, "start_kl_bound": mismatch, "start_tv_bound": gaussian.most_variation(mismatch)}
