"""3x3 convolutions of planes with a quarter of the products (Winograd's minimal filtering; Lavin and Gray 2016).

Four output values along a line are the product of two polynomials, found from their values at six points. In a plane
that makes 36 products for 4 x 4 output pixels instead of 144; all products of one point are one matrix product over the
channels. The result differs from the sum of products by rounding, about 1e-5 of its size in single precision. GPU
libraries choose such ways by themselves; PyTorch on a CPU does not. A training step would be no quicker and need more
memory, so where gradients are wanted the plain convolution stays.
"""

from __future__ import annotations

import math
import platform
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

TILE = 4  # output pixels of a tile in each direction
SEEN = TILE + 2  # input pixels of a tile in each direction
MIN_CHANNELS = 32  # with fewer the transforms cost more than the products that they save
MIN_SIZE = 8  # pixels; smaller planes are mostly padding
_IN_CACHE = 2**20  # transformed values at a time
_LEAST_PLANES = 4
# Finite points; the sixth is infinity. Pairs of reciprocals keep the transforms' entries, and so rounding, small.
_POINTS = (0.0, math.sqrt(2.0), -math.sqrt(2.0), math.sqrt(0.5), -math.sqrt(0.5))


def _products_are_quick() -> bool:
    """Whether matrix products are as quick as convolutions.

    PyTorch leaves them to MKL, which uses the widest instructions of Intel's processors and not those of others.
    """
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
            return "GenuineIntel" in file.read(1000)
    except OSError:
        return "GenuineIntel" in platform.processor()


PAYS = _products_are_quick()


def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of the input (36, 36), the kernel (36, 9) and the output (16, 36) over flattened tiles."""
    data, kernel, output = np.zeros((SEEN, SEEN)), np.zeros((SEEN, 3)), np.zeros((TILE, SEEN))
    for i, point in enumerate(_POINTS):
        others = [other for other in _POINTS if other != point]
        data[i, :-1] = np.poly(others)[::-1]
        kernel[i] = point ** np.arange(3) / np.prod([point - other for other in others])
        output[:, i] = point ** np.arange(TILE)
    data[-1], kernel[-1, -1], output[-1, -1] = np.poly(_POINTS)[::-1], 1.0, 1.0
    of_tiles = [torch.from_numpy(np.kron(matrix, matrix)).float() for matrix in (data, kernel, output)]
    return of_tiles[0], of_tiles[1], of_tiles[2]


_DATA, _KERNEL, _OUTPUT = _transforms()


def convolve_3x3(x: Tensor, weight: Tensor, bias: Tensor | None, shuffled: int = 1) -> Tensor:
    """A zero-padded 3x3 convolution; on a CPU by tiles where that is quicker and no gradient is wanted.

    Args:
        x: (N, Cin, H, W).
        weight: (Cout, Cin, 3, 3).
        bias: (Cout,), or None.
        shuffled: s; more than 1 spreads each s * s channels over s x s pixels, as `torch.nn.PixelShuffle` does.

    Returns:
        (N, Cout / s^2, s H, s W); by tiles with the channels last in memory.
    """
    if not _worthwhile(x, weight):
        y = F.conv2d(x, weight, bias, padding=1)
        return y if shuffled == 1 else F.pixel_shuffle(y, shuffled)
    return _by_tiles(x, weight, weight.new_zeros(len(weight)) if bias is None else bias, shuffled)


def _worthwhile(x: Tensor, weight: Tensor) -> bool:
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return False
    single = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)
    return PAYS and single and min(weight.shape[:2]) >= MIN_CHANNELS and min(x.shape[2:]) >= MIN_SIZE


def _tiles(planes: Tensor, around: int = 0) -> Tensor:
    """Overlapping tiles (6, 6, N, rows, columns, C) of zero-padded planes (N, H, W, C).

    Args:
        planes: As above.
        around: Planes of zeros before the first and after the last.
    """
    n, height, width, channels = planes.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = planes.new_empty(n + 2 * around, rows * TILE + 2, columns * TILE + 2, channels)
    padded[around : around + n, 1 : height + 1, 1 : width + 1] = planes
    beside = (padded[:, 0], padded[:, height + 1 :], padded[:, :, 0], padded[:, :, width + 1 :])
    for edge in (padded[:around], padded[around + n :], *beside):
        edge.zero_()
    return padded.unfold(1, SEEN, TILE).unfold(2, SEEN, TILE).permute(4, 5, 0, 1, 2, 3)


def _by_tiles(x: Tensor, weight: Tensor, bias: Tensor, s: int = 1) -> Tensor:
    n, channels, height, width = x.shape
    if s > 1:  # channels of one pixel of s x s side by side, so that they are stored where they belong at once
        weight, bias = (v.reshape(-1, s * s, *v.shape[1:]).transpose(0, 1).flatten(0, 1) for v in (weight, bias))
    kernel = _KERNEL @ weight.permute(2, 3, 1, 0).reshape(9, -1)
    kernel = kernel.view(SEEN * SEEN, channels, -1)
    tiles = _tiles(x.permute(0, 2, 3, 1))
    rows, columns = tiles.shape[3:5]
    out = x.new_empty(n, rows, TILE, s, columns, TILE, s, len(weight) // s**2)
    at_once = max(1, _IN_CACHE // (SEEN * SEEN * columns * max(channels, len(weight))))  # rows of tiles
    slices = max(1, at_once // rows)
    band = -(-rows // -(-rows // at_once))
    parts = [
        part
        for some, result in zip(torch.split(tiles, slices, 2), torch.split(out, slices), strict=True)
        for part in zip(torch.split(some, band, 3), torch.split(result, band, 1), strict=True)
    ]
    memory: list[Tensor] = []
    for some, result in parts:
        count = len(result) * result.shape[1] * columns
        if not memory or memory[0].shape[1] != count:
            # Kept from one part to the next: fresh pages cost a CPU as much as the transforms.
            sizes = [(SEEN**2, channels), (SEEN**2, channels), (SEEN**2, len(weight)), (TILE**2, len(weight))]
            memory = [x.new_empty(points, count, size) for points, size in sizes]
        seen, values, products, pixels = memory
        seen.view(some.shape).copy_(some)
        torch.mm(_DATA, seen.flatten(1), out=values.view(SEEN**2, -1))
        torch.bmm(values, kernel, out=products)
        torch.mm(_OUTPUT, products.flatten(1), out=pixels.view(TILE**2, -1))
        pixels.add_(bias)
        tiled = pixels.view(TILE, TILE, *result.shape[:2], columns, s, s, -1)
        result.copy_(tiled.permute(2, 3, 0, 5, 4, 1, 6, 7))
    plane = out.view(n, rows * TILE * s, columns * TILE * s, -1)[:, : height * s, : width * s].permute(0, 3, 1, 2)
    return plane.contiguous(memory_format=torch.channels_last)


def convolve_3x3x3(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A zero-padded 3x3x3 convolution of one sample by tiles in the plane, the products summed over three planes.

    Args:
        x: (1, Cin, D, H, W), single precision, on a CPU.
        weight: (Cout, Cin, 3, 3, 3).
        bias: (Cout,), or None.

    Returns:
        (1, Cout, D, H, W) with the channels last in memory.
    """
    _, channels, depth, height, width = x.shape
    kernel = (_KERNEL @ weight.permute(3, 4, 2, 1, 0).reshape(9, -1)).view(SEEN * SEEN, 3, channels, -1)
    tiles = _tiles(x[0].permute(1, 2, 3, 0), around=1)
    rows, columns = tiles.shape[3:5]
    out = x.new_empty(depth, rows, TILE, columns, TILE, len(weight))
    # Planes; each time two more are transformed, so at least a few.
    at_once = max(_LEAST_PLANES, _IN_CACHE // (SEEN * SEEN * rows * columns * max(channels, len(weight))))
    for first in range(0, depth, at_once):
        result = out[first : first + at_once]
        count = len(result)
        seen = tiles[:, :, first : first + count + 2].reshape(SEEN * SEEN, -1)
        values = (_DATA @ seen).view(SEEN * SEEN, count + 2, rows * columns, channels)
        products = torch.bmm(values[:, :count].flatten(1, 2), kernel[:, 0])
        for tap in (1, 2):
            products.baddbmm_(values[:, tap : tap + count].flatten(1, 2), kernel[:, tap])
        pixels = (_OUTPUT @ products.flatten(1)).view(TILE, TILE, count, rows, columns, -1)
        result.copy_((pixels if bias is None else pixels.add_(bias)).permute(2, 3, 0, 4, 1, 5))
        del seen, values, products, pixels  # before the next are made
    volume = out.view(depth, rows * TILE, columns * TILE, -1)[:, :height, :width].permute(3, 0, 1, 2)
    return volume[None].contiguous(memory_format=torch.channels_last_3d)
