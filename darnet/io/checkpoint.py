"""Checkpoints: safetensors with a JSON record and a hash of everything in it. No pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from darnet.errors import ConfigurationError
from darnet.io.files import atomic_path

META, HASH = "darnet_meta", "darnet_sha256"


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint. The former one is kept as `NAME.previous`; at no moment is there none.

    Args:
        path: File to write, in an existing folder.
        tensors: Named tensors on any device; none may share memory with another.
        meta: JSON values.

    Raises:
        ResourceError: The disk is full; the former checkpoint is intact.
    """
    path = Path(path)
    data = pack_checkpoint(tensors, meta)
    with contextlib.ExitStack() as after, atomic_path(path, len(data)) as temporary:
        with temporary.open("wb") as file:
            file.write(data)
        if path.exists():
            # It takes its new name only after the new checkpoint is in place: the former may be the damaged one
            # and `previous` the one that training went on from.
            former = after.enter_context(atomic_path(previous_of(path), path.stat().st_size))
            _link(path, former)


def pack_checkpoint(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """The bytes of a checkpoint: the same tensors and values always give the same bytes."""
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    record = json.dumps(dict(meta), sort_keys=True)
    data = safetensors.torch.save(own, {META: record, HASH: hash_of_tensors(own, record)})
    # safetensors writes its metadata in an order that differs from time to time: the header is put in order.
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    block = header.encode()
    block += b" " * (-len(block) % 8)
    return len(block).to_bytes(8, "little") + block + data[8 + length :]


def load_checkpoint(
    path: str | Path, notice: Callable[[str], None] = warnings.warn
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint and check its hash; a damaged one gives way to the previous one, which is said.

    Args:
        path: File to read.
        notice: Gets a sentence when the previous checkpoint is used.

    Returns:
        The tensors, on the CPU, and the JSON values.

    Raises:
        ConfigurationError: There is no checkpoint, or it and the previous one are damaged.
    """
    path = Path(path)
    previous = previous_of(path)
    if not path.exists() and not previous.exists():
        raise ConfigurationError(
            "there is no checkpoint",
            where=path,
            remedy="train with darnet_train first; --continue needs a checkpoint to go on from",
        )
    problem, tensors, meta = _read(path)
    if problem and previous.exists():
        second, tensors, meta = _read(previous)
        if not second:
            notice(
                f"the checkpoint {path} cannot be used ({problem}); the previous one, {previous.name}, is used instead"
            )
            problem = ""
    if problem:
        raise ConfigurationError(
            "the checkpoint is damaged",
            where=path,
            found=problem,
            expected="a file as save_checkpoint wrote it",
            remedy="put back a good copy, or delete it and train again",
        )
    return tensors, meta


def read_meta(path: str | Path) -> dict[str, Any]:
    """The JSON values of a checkpoint, without its tensors; those of the previous one where it cannot be read.

    Raises:
        ConfigurationError: Neither can be read.
    """
    path = Path(path)
    for candidate in (path, previous_of(path)):
        try:
            with candidate.open("rb") as file:
                # The length is the file's own word: a damaged one must not ask for more than there is.
                length = min(int.from_bytes(file.read(8), "little"), candidate.stat().st_size)
                header = json.loads(file.read(length))
            return _record(header["__metadata__"][META])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    raise ConfigurationError(
        "there is no checkpoint that can be read",
        where=path,
        remedy="put back a good copy, or delete it and train again",
    )


def previous_of(path: Path) -> Path:
    """Where the former checkpoint is kept."""
    return path.with_name(path.name + ".previous")


def _read(path: Path) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """What is wrong with a checkpoint ("" where nothing is), its tensors and its JSON values."""
    try:
        data = path.read_bytes()
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        record = header[META]
        if hash_of_tensors(tensors, record) != header[HASH]:
            return "its content does not have the hash that was written with it", {}, {}
        return "", tensors, _record(record)
    except FileNotFoundError:
        return "it is missing", {}, {}
    except KeyError as error:
        return f"it lacks {error}: darnet did not write it", {}, {}
    except OSError as error:
        return f"it cannot be read: {error.strerror}", {}, {}
    except (safetensors.SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return f"it cannot be read: {error}", {}, {}


def _record(text: str) -> dict[str, Any]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("its record is no object")
    return values


def hash_of_tensors(tensors: Mapping[str, Tensor], record: str = "") -> str:
    """SHA-256 of names, types, shapes and bytes of all tensors, and of a record."""
    digest = hashlib.sha256(record.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(memoryview(cast(Any, tensor.reshape(-1).view(torch.uint8).numpy())))
    return digest.hexdigest()


def _link(path: Path, new: Path) -> None:
    """A second name for a file, or a copy where the file system has no links."""
    try:
        os.link(path, new)
    except OSError:
        shutil.copyfile(path, new)
