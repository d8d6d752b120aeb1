"""Weights that others published: a file of the user's, torch's cached one, or a download. Nothing is opened unverified."""

import http.client
import os
import urllib.request
from pathlib import Path

import torch

from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import DataError, StoreError

SECONDS = 20  # without an answer, after which a host counts as not there


def published(url: str, sha256: str, variable: str) -> Path:
    """The verified file: the copy that this variable of the environment names, else torch's cached one, downloaded if need be.

    DataError, which says why, if it cannot be had.
    """
    name = url.rsplit("/", 1)[1]
    given = os.environ.get(variable)
    source = files.expanded(given) if given else Path(torch.hub.get_dir()) / "checkpoints" / name
    try:
        content = source.read_bytes() if source.is_file() else b""
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror}): make it readable, or remove it") from error
    if not content and given:
        raise DataError(f"{variable} names {given}, which is no file: let it name a copy of {name}, or unset it")
    if not content:
        if files.offline():
            raise DataError(f"{name} is not here and DIPDDPM_OFFLINE is set")
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise DataError(f"{name} could not be downloaded ({error})") from error
    if files.sha256_bytes(content) != sha256:
        where = source if source.is_file() else "what was downloaded"
        raise DataError(f"{where} is not the published {name} and was not opened: remove it, or let {variable} name a copy")
    if not source.is_file():
        try:
            files.write_bytes(source, content)
        except StoreError as error:
            raise DataError(
                f"{name} was downloaded and cannot be kept in {source.parent} ({error.__cause__.strerror}): "
                f"set TORCH_HOME to a folder that can be written, or let {variable} name a copy"
            ) from error
    return source
