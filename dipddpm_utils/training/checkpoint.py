"""Checkpoints that survive kill -9, a full disk and altered files: safetensors and a checksum, no pickle.

A checkpoint is one file, `checkpoint-N.safetensors`, N counting up: the tensors, what else belongs to them as JSON in the
header, and the SHA-256 of all that as its last 32 bytes. It is written atomically. The newest two are kept: if the newest is
damaged, `load` takes the one before it and says so.
"""

import contextlib
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import StoreError, TrainingError

KEEP = 2
DIGEST = 32  # bytes of a SHA-256


def save(folder: str | Path, tree: dict[str, Any]) -> None:
    """Writes a new checkpoint of a tree as `flatten` takes it, then drops all but the newest two.

    Raises TrainingError, naming tree['step'], if a floating-point tensor is not finite (nothing is written), and StoreError if
    the disk is full or the folder cannot be written; the earlier checkpoints stay as they were in both cases.
    """
    folder, (tensors, text) = Path(folder), flatten(tree)
    if any(value.is_floating_point() and not torch.isfinite(value).all() for value in tensors.values()):
        raise TrainingError(
            f"the training state is not finite at step {tree['step']}; what was saved earlier is kept: lower the rate"
        )
    data = tensors_to_bytes(tensors, {"meta": text})
    held = _held(folder)
    newest = int(held[-1].stem.removeprefix("checkpoint-")) if held else 0
    path = folder / f"checkpoint-{newest + 1:08d}.safetensors"
    try:
        files.write_bytes(path, data + hashlib.sha256(data).digest())
    except StoreError as error:
        size = f"this checkpoint needs {len(data) / 1e6:.1f} MB; what was saved earlier is kept"
        raise StoreError(f"{error}; {size}") from error
    for old in held[: 1 - KEEP]:
        old.unlink(missing_ok=True)
    for half in folder.glob(".checkpoint-*.tmp"):  # left by a kill while writing; a folder has one writer
        half.unlink(missing_ok=True)


def load(folder: str | Path) -> tuple[dict[str, Any], str | None] | None:
    """(tree, note) of the newest sound checkpoint in `folder`, its tensors on the CPU, or None if there is none.

    If a newer one was damaged, a warning and the note say so (None otherwise), and it is renamed to `.damaged`, so that later
    saves do not count it among the two they keep.
    """
    folder, damage = Path(folder), []
    for path in reversed(_held(folder)):
        try:
            tree = _read(path)
        except FileNotFoundError:  # another process has dropped it meanwhile
            continue
        except OSError as error:  # it may be read another time
            raise StoreError(files.explain(path, error)) from error
        except (ValueError, KeyError) as error:
            damage.append(f"{path.name} is damaged ({error})")
            with contextlib.suppress(OSError):  # a read-only folder: nothing will be saved there either
                path.replace(path.with_name(path.name + ".damaged"))
            continue
        note = f"{'; '.join(damage)}; going on from the one before it, {path.name}" if damage else None
        if note:
            warnings.warn(f"{folder}: {note}", stacklevel=2)
        return tree, note
    if damage:
        warnings.warn(f"{folder}: {'; '.join(damage)}; no sound checkpoint is left, starting anew", stacklevel=2)
    return None


def flatten(tree: Any) -> tuple[dict[str, torch.Tensor], str]:
    """Splits nested dicts and lists into numbered tensors and the rest as JSON; `unflatten` is its inverse.

    Leaves may be tensors, numbers, strings, booleans and None, else TypeError. Tuples come back as lists, keys of digits as
    integers, by which an optimiser knows its weights.
    """
    tensors: dict[str, torch.Tensor] = {}

    def stored(leaf: Any) -> Any:  # json asks for what it cannot write itself
        if isinstance(leaf, np.generic):
            return leaf.item()
        if not isinstance(leaf, torch.Tensor):
            raise TypeError(f"a {type(leaf).__name__} is nothing that a checkpoint can hold")
        name = str(len(tensors))
        tensors[name] = leaf.detach().cpu().contiguous()
        return {"tensor": name}

    return tensors, json.dumps(tree, default=stored)


def unflatten(tensors: dict[str, torch.Tensor], text: str) -> Any:
    """The tree that `flatten` took apart."""

    def whole(node: dict[str, Any]) -> Any:
        if node.keys() == {"tensor"}:
            return tensors[node["tensor"]]
        return {int(key) if key.isdecimal() else key: value for key, value in node.items()}

    return json.loads(text, object_hook=whole)


def _read(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    data = content[:-DIGEST]
    if hashlib.sha256(data).digest() != content[-DIGEST:]:
        raise ValueError(f"its {len(content)} bytes do not have the SHA-256 that they end with")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])  # after its own length in eight bytes
    return unflatten(tensors_from_bytes(data), header["__metadata__"]["meta"])


def _held(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob(f"checkpoint-{'[0-9]' * 8}.safetensors"))
