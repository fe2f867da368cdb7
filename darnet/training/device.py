"""Choice of the device and of what is done differently on each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from darnet.errors import ConfigurationError


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device of `-device auto|cpu|cuda|mps`; auto takes the fastest that is there.

    Raises:
        ConfigurationError: The device is unknown or not on this machine.
    """
    number = {
        "cuda": max(torch.cuda.device_count(), 1) if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in number.items() if there))
    kind, _, index = name.partition(":")
    if not (index or "0").isdecimal() or int(index or 0) >= number.get(kind, 0):
        raise ConfigurationError(
            f"device {name} is not available",
            found=", ".join(
                kind if there == 1 else f"{kind}:0 to {kind}:{there - 1}" for kind, there in number.items() if there
            ),
            remedy="choose one of those with -device",
        )
    return torch.device(kind, int(index)) if index else torch.device(kind)


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """Half precision on CUDA (bfloat16 where the chip has it: no loss scaling needed), full precision elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            yield
    else:
        yield


def format_of_slices(device: torch.device) -> torch.memory_format:
    """How 2D networks lie in memory: channels last, but on a CPU, whose instance norm takes channels first."""
    return torch.contiguous_format if device.type == "cpu" else torch.channels_last


def to_device(array: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move a CPU tensor, through pinned memory where that overlaps with computing."""
    return array.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else array.to(device)
