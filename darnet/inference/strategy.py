"""Where windows are computed and summed, and what to try next when memory runs out."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Strategy:
    """`compute` runs the network on `batch_size` windows at a time, `collect` holds the sums of the volume."""

    compute: torch.device
    collect: torch.device
    batch_size: int

    def __str__(self) -> str:
        return f"{self.batch_size} windows at a time on {self.compute}, summed on {self.collect}"


def strategies(device: torch.device, batch_size: int) -> list[Strategy]:
    """Ways to compute, from the fastest to the one that needs the least memory of the device."""
    cpu = torch.device("cpu")
    ways = [
        Strategy(device, device, batch_size),
        Strategy(device, device, 1),
        Strategy(device, cpu, 1),
        Strategy(cpu, cpu, 1),
    ]
    return list(dict.fromkeys(ways))
