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
DAMAGED = (OSError, ValueError, KeyError)  # what reading such a file may end with


def save(folder: str | Path, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> Path:
    """Writes a new checkpoint and then drops all but the newest two; returns its path.

    Raises TrainingError if a floating-point tensor is not finite (nothing is written), and StoreError if the disk is
    full or the folder cannot be written; the earlier checkpoints stay as they were in both cases.
    """
    folder = Path(folder)
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        at = f" at step {meta['step']}" if "step" in meta else ""
        raise TrainingError(f"{bad[0]} is not finite{at}; not saved, {last_good(folder)}")
    data = tensors_to_bytes(_independent(tensors), {"meta": json.dumps(meta)})
    held = _held(folder)
    newest = int(held[-1].stem.removeprefix("checkpoint-")) if held else 0
    path = folder / f"checkpoint-{newest + 1:08d}.safetensors"
    try:
        files.write_bytes(path, data + hashlib.sha256(data).digest())
    except StoreError as error:
        raise StoreError(f"{error}; this checkpoint needs {len(data) / 1e6:.1f} MB; {last_good(folder)}") from error
    for old in held[: 1 - KEEP]:
        old.unlink(missing_ok=True)
    for half in folder.glob(".checkpoint-*.tmp"):  # left by a kill while writing; a folder has one writer
        half.unlink(missing_ok=True)
    return path


def load(folder: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """(tensors on the CPU, meta) of the newest sound checkpoint in `folder`, or None if there is none.

    If a newer one was damaged, a warning says so, meta['note'] repeats it, and it is renamed to `.damaged`, so that later
    saves do not count it among the two they keep.
    """
    folder, damage = Path(folder), []
    for path in reversed(_held(folder)):
        try:
            tensors, meta = _read(path)
        except DAMAGED as error:
            if path.exists():  # else another process has dropped it meanwhile
                damage.append(f"{path.name} is damaged ({error})")
                with contextlib.suppress(OSError):  # a read-only folder: nothing will be saved there either
                    path.replace(path.with_name(path.name + ".damaged"))
            continue
        note = f"{'; '.join(damage)}; going on from the one before it, {path.name}" if damage else None
        if note:
            warnings.warn(f"{folder}: {note}", stacklevel=2)
        return tensors, {**meta, "note": note}
    if damage:
        warnings.warn(f"{folder}: {'; '.join(damage)}; no sound checkpoint is left, starting anew", stacklevel=2)
    return None


def last_good(folder: str | Path) -> str:
    """'the last good checkpoint is PATH (step N)' or 'there is no earlier checkpoint', for error messages."""
    for path in reversed(_held(Path(folder))):
        with contextlib.suppress(*DAMAGED):
            meta = _read(path)[1]
            return f"the last good checkpoint is {path}" + (f" (step {meta['step']})" if "step" in meta else "")
    return "there is no earlier checkpoint"


def flatten(tree: Any) -> tuple[dict[str, torch.Tensor], Any]:
    """Splits nested dicts and lists into named tensors and a JSON-ready rest; `unflatten` is its inverse.

    Leaves may be tensors, numpy arrays, numbers, strings, booleans and None; dict keys strings or integers; tuples come
    back as lists. Raises TypeError for anything else.
    """
    tensors: dict[str, torch.Tensor] = {}

    def walk(node: Any, name: str) -> Any:
        if isinstance(node, torch.Tensor | np.ndarray):
            is_tensor = isinstance(node, torch.Tensor)
            if name in tensors:
                raise TypeError(f"two leaves of the tree are both called {name!r}")
            tensors[name] = node.detach() if is_tensor else torch.from_numpy(np.ascontiguousarray(node)).reshape(node.shape)
            return {"tensor" if is_tensor else "array": name}
        if isinstance(node, dict):
            for key in node:
                if not isinstance(key, str | int) or isinstance(key, bool):
                    raise TypeError(f"key {key!r} of {name or 'the tree'} is neither a string nor an integer")
            return {"dict": [[key, walk(value, f"{name}/{key}" if name else str(key))] for key, value in node.items()]}
        if isinstance(node, list | tuple):
            return [walk(value, f"{name}/{i}" if name else str(i)) for i, value in enumerate(node)]
        if isinstance(node, np.generic):
            return node.item()
        if node is None or isinstance(node, bool | int | float | str):
            return node
        raise TypeError(f"{name or 'the tree'} is a {type(node).__name__}, which a checkpoint cannot hold")

    rest = walk(tree, "")
    return tensors, rest


def unflatten(tensors: dict[str, torch.Tensor], rest: Any) -> Any:
    """The tree that `flatten` took apart."""
    if isinstance(rest, list):
        return [unflatten(tensors, value) for value in rest]
    if isinstance(rest, dict):
        if "tensor" in rest:
            return tensors[rest["tensor"]]
        if "array" in rest:
            return tensors[rest["array"]].numpy()
        return {key: unflatten(tensors, value) for key, value in rest["dict"]}
    return rest


def _independent(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous CPU tensors that share no memory, as safetensors wants them."""
    seen: set[int] = set()
    result = {}
    for name, value in tensors.items():
        value = value.detach().cpu().contiguous()
        pointer = value.untyped_storage().data_ptr()
        result[name] = value.clone() if pointer in seen else value
        seen.add(pointer)
    return result


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    content = path.read_bytes()
    data = content[:-DIGEST]
    if hashlib.sha256(data).digest() != content[-DIGEST:]:
        raise ValueError(f"its {len(content)} bytes do not have the SHA-256 that they end with")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])  # after its own length in eight bytes
    return tensors_from_bytes(data), json.loads(header["__metadata__"]["meta"])


def _held(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob(f"checkpoint-{'[0-9]' * 8}.safetensors"))
