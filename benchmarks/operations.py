"""Operations and bytes of each network, counted on tensors without memory, and the time that they imply: on this
machine's own rate of products, and at the limits of a GPU.

    python -m benchmarks.operations      # writes the table of docs/performance.md
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.pairs import Times
from benchmarks.tables import replace_between
from darnet.losses import segmentation_loss
from darnet.networks import DARUNet, ImageDiscriminator, Translator, convolution, winograd

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"

# An H100 SXM by its data sheet: dense products in TF32 and in bfloat16, and memory.
H100_TF32, H100_BF16, H100_BYTES = 494.7e12, 989.4e12, 3.35e12
WIDTHS = ((16, 32, 64, 128, 256), (8, 16, 32, 64, 128))
STRIDES = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
MATRIX = 2048
MAPS, PLANE = 256, 64  # of a large convolution: channels, and pixels along each side


@dataclass(frozen=True)
class Cost:
    """What a computation needs.

    Attributes:
        operations: Additions and multiplications of its convolutions and matrix products.
        bytes: Read and written if each operation reads its inputs once from memory and writes its outputs there.
        voxels: Of the input.
    """

    operations: float
    bytes: float
    voxels: int


class _Traffic(TorchDispatchMode):
    """Counts the bytes of inputs and outputs of all operations that are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
            self.bytes += sum(t.numel() * t.element_size() for t in tensors)
        return out


def cost(function: Callable[[], object], voxels: int) -> Cost:
    """Count what a function does; convolutions as sums of products, whatever way a CPU takes."""
    counter = FlopCounterMode(display=False)
    plain = mock.patch.object(winograd, "MIN_CHANNELS", math.inf)
    volumes = mock.patch.object(convolution, "MOST_BY_TILES", 0)
    with plain, volumes, counter, _Traffic() as traffic:
        function()
    return Cost(float(counter.get_total_flops()), traffic.bytes, voxels)


def dar_unet(shape: tuple[int, ...], training: bool, channels: tuple[int, ...] = WIDTHS[0]) -> Cost:
    """Cost of a DAR-UNet with five classes on a batch (N, 1, D, H, W): a forward pass, or a step with its losses."""
    network = DARUNet(1, 5, channels, STRIDES).to("meta").train(training)
    images = torch.empty(shape, device="meta")
    labels = torch.empty((shape[0], *shape[2:]), dtype=torch.int64, device="meta")

    def step() -> None:
        segmentation_loss(network(images), labels).backward()  # type: ignore[no-untyped-call]

    def infer() -> None:
        with torch.no_grad():
            network(images)

    return cost(step if training else infer, math.prod(shape))


def images_of(network: Callable[[Tensor], object], size: int, training: bool) -> Cost:
    """Cost of a 2D network on one slice: a forward pass, or one with its gradient."""
    image = torch.empty((1, 1, size, size), device="meta")

    def run() -> None:
        with torch.set_grad_enabled(training):
            out = network(image)
            if training:
                torch.stack([t.sum() for t in tree_leaves(out)]).sum().backward()  # type: ignore[no-untyped-call]

    return cost(run, size * size)


def costs() -> dict[str, tuple[int, Cost, Cost]]:
    """Parameters, cost of a forward pass and of a pass with gradients, for each network by its name."""
    table = {}
    for channels, name in zip(WIDTHS, ("paper", "fast"), strict=True):
        parameters = sum(p.numel() for p in DARUNet(1, 5, channels, STRIDES).to("meta").parameters())
        shape = (2, 1, 32, 128, 128)
        both = (dar_unet(shape, False, channels), dar_unet(shape, True, channels))
        table[f"DAR-UNet, preset {name}"] = (parameters, *both)
    translator = Translator().to("meta")
    code = torch.empty((1, 8), device="meta")
    modules: dict[str, tuple[torch.nn.Module, Callable[[Tensor], object]]] = {
        "content encoder": (translator.content, translator.content),
        "style encoder": (translator.style_target, translator.style_target),
        "translator (content encoder and decoder)": (translator, lambda image: translator(image, code)),
    }
    discriminator = ImageDiscriminator().to("meta")
    modules["image discriminator"] = (discriminator, discriminator)
    for name, (module, function) in modules.items():
        parameters = sum(p.numel() for p in module.parameters())
        table[name] = (parameters, images_of(function, 256, False), images_of(function, 256, True))
    return table


def gpu_table() -> str:
    """The Markdown table of operations and bytes per voxel, and what they imply at an H100's limits."""
    lines = [
        "| Network | Parameters | | Operations per voxel | Bytes per voxel | ns per voxel by operations (TF32, bf16) | "
        "ns per voxel by bytes (32, 16 bit) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (parameters, forward, step) in costs().items():
        for what, c in (("forward", forward), ("with gradients", step)):
            operations, size = c.operations / c.voxels, c.bytes / c.voxels
            lines.append(
                f"| {name} | {parameters:,} | {what} | {operations:,.0f} | {size:,.0f} | "
                f"{operations / H100_TF32 * 1e9:.3f}, {operations / H100_BF16 * 1e9:.3f} | "
                f"{size / H100_BYTES * 1e9:.2f}, {size / 2 / H100_BYTES * 1e9:.2f} |"
            )
            name = ""
    return "\n".join(lines)


@torch.no_grad()
def best_rate() -> tuple[float, str]:
    """Additions and multiplications a second of the quicker of a large matrix product and a large convolution here.

    On some processors the one, on some the other, uses all that there is.
    """
    a, b = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
    image = torch.randn(1, MAPS, PLANE, PLANE).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(MAPS, MAPS, 3, 3).contiguous(memory_format=torch.channels_last)
    rates = {
        "matrix product": 2 * MATRIX**3 / _least_seconds(lambda: torch.mm(a, b)),
        "convolution": 18 * (MAPS * PLANE) ** 2 / _least_seconds(lambda: F.conv2d(image, kernel, padding=1)),
    }
    name = max(rates, key=rates.__getitem__)
    return rates[name], name


def _least_seconds(function: Callable[[], object]) -> float:
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def distance_from_limit(operations: float, times: Times, threads: int) -> str:
    """A sentence on how far darnet ends from the time that its operations take at the best rate of this machine."""
    rate, name = best_rate()
    limit, reached = operations / rate, statistics.median(times.darnet)
    return (
        f"{operations / 1e9:.0f} GFLOP of plain convolutions take {limit:.3g} s at the "
        f"{rate / 1e9:.0f} GFLOP/s of a large {name} with {threads} threads; "
        f"darnet takes {reached / limit:.2f} times that"
    )


if __name__ == "__main__":
    replace_between(PAGE, "operations", gpu_table())
    print(gpu_table())
