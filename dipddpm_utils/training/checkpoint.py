"""Checkpoints that survive kill -9, a full disk and altered files: safetensors beside JSON, no pickle.

A checkpoint is two files, `checkpoint-N.safetensors` and `checkpoint-N.json`, N counting up. The JSON is written last,
atomically, and holds the SHA-256 of both, so a checkpoint without a valid JSON was never complete. The newest two are
kept: if the newest is damaged, `load` takes the one before it and says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import StoreError, TrainingError

FORMAT = 1
KEEP = 2
_NAME = re.compile(r"checkpoint-(\d{8})\.json")


def save(folder: str | Path, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> Path:
    """Writes a new checkpoint and then drops all but the newest two; returns the path of its tensors.

    Raises TrainingError if a floating-point tensor is not finite (nothing is written), and StoreError if the disk is
    full or the folder cannot be written; the earlier checkpoints stay as they were in both cases.
    """
    folder = Path(folder)
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        at = f" at step {meta['step']}" if "step" in meta else ""
        raise TrainingError(f"{bad[0]} is not finite{at}; not saved, {last_good(folder)}")
    data = tensors_to_bytes(_independent(tensors))
    number = max(_numbers(folder), default=0) + 1
    body = {"format": FORMAT, "number": number, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "meta": meta}
    path = _paths(folder, number)[0]
    try:
        files.write_bytes(path, data)
        files.write_bytes(path.with_suffix(".json"), json.dumps({**body, "check": _check(body)}).encode())
    except (OSError, StoreError) as error:
        with contextlib.suppress(OSError):
            for partial in _paths(folder, number):
                partial.unlink(missing_ok=True)
        raise StoreError(f"{error}; this checkpoint needs {len(data) / 1e6:.1f} MB; {last_good(folder)}") from error
    _prune(folder, number)
    return path


def load(folder: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """(tensors on the CPU, meta) of the newest sound checkpoint in `folder`, or None if there is none.

    If a newer one was damaged, a warning says so, meta['note'] repeats it, and its JSON is renamed to `.damaged`, so
    that later saves do not count it among the two they keep.
    """
    folder, damage = Path(folder), []
    for number in sorted(_numbers(folder), reverse=True):
        try:
            tensors, meta = _read(folder, number)
        except (OSError, ValueError, KeyError, TypeError) as error:
            if _set_aside(folder, number):
                damage.append(f"{_paths(folder, number)[0].name} is damaged ({error})")
            continue
        note = f"{'; '.join(damage)}; going on from the one before it, {_paths(folder, number)[0].name}" if damage else None
        if note:
            warnings.warn(f"{folder}: {note}", stacklevel=2)
        return tensors, {**meta, "note": note}
    if damage:
        warnings.warn(f"{folder}: {'; '.join(damage)}; no sound checkpoint is left, starting anew", stacklevel=2)
    return None


def clear(folder: str | Path) -> None:
    """Removes every checkpoint in `folder`; other files stay."""
    for number in _numbers(Path(folder)):
        for path in reversed(_paths(Path(folder), number)):
            path.unlink(missing_ok=True)
    for path in Path(folder).glob("checkpoint-*.json.damaged"):
        path.unlink(missing_ok=True)


def last_good(folder: str | Path) -> str:
    """'the last good checkpoint is PATH (step N)' or 'there is no earlier checkpoint', for error messages."""
    for number in sorted(_numbers(Path(folder)), reverse=True):
        try:
            meta = _read(Path(folder), number)[1]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        step = f" (step {meta['step']})" if "step" in meta else ""
        return f"the last good checkpoint is {_paths(Path(folder), number)[0]}{step}"
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


def _check(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _read(folder: Path, number: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    path = _paths(folder, number)[0]
    body = json.loads(path.with_suffix(".json").read_text())
    if not isinstance(body, dict) or body.pop("check", None) != _check(body):
        raise ValueError("its JSON was altered")
    if body["format"] != FORMAT:
        raise ValueError(f"its format is {body['format']}, this version reads {FORMAT}")
    data = path.read_bytes()
    if len(data) != body["bytes"]:
        raise ValueError(f"{len(data)} bytes instead of {body['bytes']}")
    if hashlib.sha256(data).hexdigest() != body["sha256"]:
        raise ValueError("its SHA-256 does not match")
    return tensors_from_bytes(data), body["meta"]


def _set_aside(folder: Path, number: int) -> bool:
    """Takes a damaged checkpoint out of the count; False if it is gone (another process has dropped it meanwhile)."""
    path = _paths(folder, number)[1]
    if not path.exists():
        return False
    with contextlib.suppress(OSError):  # a read-only folder: nothing will be saved there either
        path.replace(path.with_name(path.name + ".damaged"))
    return True


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    stem = folder / f"checkpoint-{number:08d}"
    return stem.with_suffix(".safetensors"), stem.with_suffix(".json")


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(found.group(1)) for path in folder.iterdir() if (found := _NAME.fullmatch(path.name))]


def _prune(folder: Path, newest: int) -> None:
    """Drops all but the newest two, JSON first, and what a kill left half written."""
    keep = set(sorted(_numbers(folder))[-KEEP:]) | {newest}
    for number in set(_numbers(folder)) - keep:
        for path in reversed(_paths(folder, number)):
            path.unlink(missing_ok=True)
    for path in folder.glob(".checkpoint-*.tmp"):  # left by a kill while writing; a folder has one writer
        path.unlink(missing_ok=True)
    for path in folder.glob("checkpoint-*.safetensors"):
        if path.stem not in {f"checkpoint-{number:08d}" for number in keep}:
            path.unlink(missing_ok=True)
