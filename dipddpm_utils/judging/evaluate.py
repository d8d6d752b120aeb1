"""How good images are: `evaluate` samples against held-out images, and `floor`, the same for real training images.

Every number is against the same fixed held-out images, in a feature space of spaces.py (copies: in small pictures).
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dipddpm_utils.config import Data
from dipddpm_utils.data.sets import DataSet
from dipddpm_utils.judging import classifier, fidelity, stats
from dipddpm_utils.judging.frechet import frechet_distance, frechet_interval, mean_cov, symmetric_root
from dipddpm_utils.judging.spaces import Features, check_uint8, extractor, fid_space, second_space
from dipddpm_utils.machine import files
from dipddpm_utils.machine.budget import Budget

__all__ = ["Features", "evaluate", "fid", "fid_space", "floor", "own_source_rate", "second", "second_space", "space"]

COMPARED = 2000  # images of either kind in precision, recall and copies, at most: their cost grows with the square
SECOND_N = 5000  # images in the second space: always so many, since the distance of a sample shrinks with its size
BLOCKS = 10  # disjoint parts whose KIDs give its interval


@dataclass(frozen=True)
class Reference:
    """What is fixed for a data set in a feature space, computed once."""

    held_out: Tensor  # features of all held-out images, float32 [M, D]
    mean: Tensor
    cov: Tensor
    root: Tensor  # symmetric square root of cov
    train_small: Tensor  # `small` training images, float32 [N, d]
    held_out_nearest: Tensor  # distance of up to COMPARED held-out images to the nearest of them


def space(data: Data, device: str = "cpu", budget: Budget | None = None) -> Features:
    """The feature space in which samples of a data set are judged.

    The user's own images: that of their labels where they have some, else a fixed one, of handwritten digits for grey images
    and of photographs for coloured ones; what the images have nothing to do with, it may not see.
    Raises OutOfTime from `budget` where a classifier of their labels has yet to be fitted.
    """
    if data.labelled:
        return classifier.own_features(data, device, budget)
    fixed = "cifar10" if data.colour else "mnist"
    return extractor(fixed if data.name == "own" else data.name, device)


Scores = dict[str, float | int | str | None]


def evaluate(
    samples: Tensor, dataset: DataSet, features: Features, rng: np.random.Generator, among: Tensor | None = None
) -> Scores:
    """Judge samples, uint8 [n,C,H,W], in a few seconds. Keys: n, n_held_out, features (the name of fd's space), and

    fd (Frechet distance of n samples from all held-out images), fd_low, fd_high (95%, over samples);
    kid, kid_low, kid_high (95%, t over disjoint blocks); precision, recall (k = 3, of at most 2000 and 2000 images);
    copy_rate and copy_rate_floor (share nearer to a training image than 99% of held-out images are; by chance 0.01).
    among: the training images, int64 [m], in which copies are looked for (None: all).
    Raises ValueError naming the argument: images that are not uint8 or have another shape, or too few for the features.
    """
    _check(samples, dataset, features)
    reference = _reference(dataset, features)
    some = torch.from_numpy(rng.permutation(len(samples))[:COMPARED])
    train = reference.train_small if among is None else reference.train_small[among]
    nearest, _ = fidelity.nearest_rows(_small(samples[some]), train)
    f = features(samples)
    fd = frechet_interval(f, reference.mean, reference.cov, root2=reference.root)
    kid = stats.mean_intervals({"kid": fidelity.kid_blocks(f, reference.held_out, blocks=BLOCKS, rng=rng)})
    m = min(len(f), len(reference.held_out), COMPARED)
    real, fake = reference.held_out[rng.permutation(len(reference.held_out))[:m]], f[rng.permutation(len(f))[:m]]
    precision, recall = fidelity.precision_recall(real, fake)
    copied, by_chance = fidelity.copied_share(nearest, reference.held_out_nearest)
    return {
        "n": len(f),
        "n_held_out": len(reference.held_out),
        "features": features.name,
        **fd.named("fd"),
        **kid,
        "precision": precision,
        "recall": recall,
        "copy_rate": copied,
        "copy_rate_floor": by_chance,
    }


def floor(dataset: DataSet, n: int, features: Features, rng: np.random.Generator) -> Scores:
    """`evaluate` for n real training images drawn with `rng`: what no generator should be expected to beat at this n.

    For copies, each is compared with the training images that were not drawn: ValueError if none would be left.
    """
    if n >= len(dataset.train):
        raise ValueError(f"n is {n}, but {dataset.name} has {len(dataset.train)} training images: ask for fewer than that")
    order = torch.from_numpy(rng.permutation(len(dataset.train)))
    return evaluate(dataset.train[order[:n]], dataset, features, rng, among=order[n:])


def fid(samples: Tensor, dataset: DataSet, features: Features) -> float:
    """Frechet distance of samples, uint8 [n,C,H,W], from all held-out images: FID in the space of `spaces.inception`."""
    reference = _reference(dataset, features)
    return frechet_distance(*mean_cov(features(samples)), reference.mean, reference.cov, root2=reference.root)


def second(samples: Tensor, dataset: DataSet, device: str = "cpu") -> Scores:
    """A second opinion on colour images, uint8 [n,3,H,W]: the Frechet distance of the first SECOND_N from all held-out ones.

    {} where there are fewer, or where there is no second space for them (`second_space` says why).
    """
    if len(samples) < SECOND_N or (features := second_space(samples.shape[1], device)[0]) is None:
        return {}
    return {"fd_imagenet": fid(samples[:SECOND_N], dataset, features), "fd_imagenet_n": SECOND_N}


def own_source_rate(samples: Tensor, dataset: DataSet, rows: Tensor) -> float:
    """Share of samples, uint8 [n,C,H,W], whose nearest training image is the one they were begun from; rows: which, int64 [n].

    About 1 in N for chains that know nothing of it. Unlike `copy_rate` it sees a copy that the sampler has changed.
    """
    _, found = fidelity.nearest_rows(_small(samples), _small(dataset.train))
    return (found == rows).double().mean().item()


def _check(samples: Tensor, dataset: DataSet, features: Features) -> None:
    check_uint8(samples, "samples")
    if samples.shape[1:] != dataset.held_out.shape[1:]:
        want = tuple(dataset.held_out.shape[1:])
        raise ValueError(f"samples have shape {tuple(samples.shape)}; expected [n, *{want}], as {dataset.name} has")
    for name, n in (("samples", len(samples)), (f"{dataset.name}'s held-out images", len(dataset.held_out))):
        if n <= features.dim:
            raise ValueError(
                f"{name}: {n} images for {features.dim} features; {features.name} needs more images than features, "
                f"or its covariance is singular and the distance says little: use at least {features.dim + 1}, better 1000"
            )


def _small(images: Tensor) -> Tensor:
    """Pictures in which copies are looked for: means over 2 x 2 (28 px) or 4 x 4 pixels (32 px), in [0,1], float32 [N,d].

    Small enough to compare with every training image in a second, and little moved by the noise a sampler leaves.
    """
    side = 2 if images.shape[1] == 1 else 4
    return torch.cat([F.avg_pool2d(part.float() / 255, side).flatten(1) for part in images.split(5000)])


# --- what is computed once: kept in memory, and in the cache folder where that can be written ----------------------------

_KEPT: dict[str, Reference] = {}


def _reference(dataset: DataSet, features: Features) -> Reference:
    key = files.sha256_bytes(f"1 {dataset.sha256} {features.sha256}".encode())[:16]
    if key not in _KEPT:
        small = _small(dataset.train)
        kept = f"reference-{key}.npz"
        if (stored := files.arrays(files.cache_folder() / kept)) is not None:
            held_out, nearest = torch.from_numpy(stored["held_out"]), torch.from_numpy(stored["nearest"])
        else:
            held_out, nearest = features(dataset.held_out), fidelity.nearest_rows(_small(dataset.held_out[:COMPARED]), small)[0]
            files.keep(kept, files.npz_bytes({"held_out": held_out.numpy(), "nearest": nearest.numpy()}))
        mean, cov = mean_cov(held_out)
        _KEPT[key] = Reference(held_out, mean, cov, symmetric_root(cov), small, nearest)
        while len(_KEPT) > 3:
            del _KEPT[next(iter(_KEPT))]
    return _KEPT[key]
