"""Padded convolutions to one channel, as convolutions to several; the numbers are the same.

With one output channel most of a CPU's vector register stays idle. Here the results of several neighbouring planes or
rows are the output channels, and the kernel is laid out as a banded (Toeplitz) matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

AT_ONCE = 8  # planes, or rows


def convolve_planes(x: Tensor, weight: Tensor) -> Tensor:
    """A 3D convolution to one channel, as one 2D convolution: the planes that eight planes see are its channels.

    Args:
        x: (N, C, X, Y, Z).
        weight: (1, C, k, k, k), k odd.

    Returns:
        (N, 1, X, Y, Z).
    """
    taps, half = weight.shape[2], weight.shape[2] // 2
    n, channels, depth, height, width = x.shape
    block = min(AT_ONCE, depth)
    blocks = -(-depth // block)
    padded = F.pad(x, (0, 0, 0, 0, half, half + blocks * block - depth))
    planes = padded.unfold(2, block + taps - 1, block).permute(0, 2, 1, 5, 3, 4)
    planes = planes.reshape(n * blocks, channels * (block + taps - 1), height, width)
    banded = torch.stack([F.pad(weight[0], (0, 0, 0, 0, i, block - 1 - i)) for i in range(block)])
    out = F.conv2d(planes, banded.reshape(block, -1, taps, taps), padding=half)
    return out.view(n, blocks * block, height, width)[:, None, :depth]


def convolve_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 2D convolution to one channel, as one that takes eight rows at a stride.

    Args:
        x: (N, C, H, W).
        weight: (1, C, k, k), k odd.
        bias: (1,), or None.

    Returns:
        (N, 1, H, W).
    """
    half, height = weight.shape[2] // 2, x.shape[2]
    block = min(AT_ONCE, height)
    missing = -height % block
    padded = F.pad(x, (0, 0, 0, missing)) if missing else x
    banded = torch.cat([F.pad(weight, (0, 0, i, block - 1 - i)) for i in range(block)])
    out = F.conv2d(padded, banded, None if bias is None else bias.expand(block), stride=(block, 1), padding=half)
    return out.transpose(1, 2).reshape(len(x), 1, height + missing, x.shape[3])[:, :, :height]
