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
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if available[d]))
    if not available.get(name.split(":")[0], False):
        raise ConfigurationError(
            f"device {name} is not available",
            found=", ".join(d for d, there in available.items() if there),
            remedy="choose one of those with -device",
        )
    return torch.device(name)


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
