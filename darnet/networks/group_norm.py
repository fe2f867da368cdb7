"""Group norm in the memory of its input where no gradient is wanted.

A norm that makes a new feature holds it twice. In the last block of the decoder that decides how much memory inference
needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_VALUES = 2**21  # smaller features are quicker as PyTorch does it, and need little memory
_IN_CACHE = 2**18  # values at a time
_ROW = 512  # values of one row: several voxels, so that rows are long enough for vector instructions


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm of 8 channels a group, or of one group where the channels do not divide by 8."""
    return nn.GroupNorm(max(channels // 8, 1) if channels % 8 == 0 else 1, channels)


def run_layers(layers: Iterable[nn.Module], x: Tensor, own: bool = False) -> Tensor:
    """Layers one after the other, as `nn.Sequential`; norms may use the memory of what the layers made.

    Args:
        layers: Modules of one input and one output.
        x: Input of the first.
        own: Nobody needs `x` afterwards, so that its memory may be used as well.
    """
    for layer in layers:
        x = normalize(x, layer) if own and isinstance(layer, nn.GroupNorm) else layer(x)
        own = True
    return x


def normalize(x: Tensor, norm: nn.GroupNorm, channels: slice = slice(None)) -> Tensor:
    """Group norm of some channels; of one large sample on a CPU, channels last, without gradients in the memory of x.

    Args:
        x: Some channels of a feature, whole groups of them (N, C, D, H, W). Lost where its memory is used.
        norm: Of the whole feature.
        channels: Which ones they are.

    Returns:
        (N, C, D, H, W).
    """
    size = norm.num_channels // norm.num_groups
    weight, bias = norm.weight[channels], norm.bias[channels]
    single = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    alone = len(x) == 1 and x.numel() >= LEAST_VALUES and x.is_contiguous(memory_format=torch.channels_last_3d)
    if torch.is_grad_enabled() or not single or not alone:
        return F.group_norm(x, x.shape[1] // size, weight, bias, norm.eps)
    _normalize_rows(x[0].permute(1, 2, 3, 0).view(-1, x.shape[1]), weight, bias, size, norm.eps)
    return x


def _normalize_rows(voxels: Tensor, weight: Tensor, bias: Tensor, size: int, eps: float) -> None:
    """Normalise voxels (V, C) in place, `size` channels a group. Sums of many values are double precision."""
    channels = voxels.shape[1]
    together = math.gcd(len(voxels), max(_ROW // channels, 1))
    rows = voxels.view(-1, together * channels)
    parts = torch.split(rows, max(_IN_CACHE // rows.shape[1], 1))
    sums = torch.zeros(2, together * channels, dtype=torch.float64)
    for part in parts:
        sums[0] += part.sum(0)
        sums[1] += part.square().sum(0)
    mean, square = sums.view(2, together, -1, size).mean((1, 3)).div_(len(voxels) // together)
    deviation = (square - mean * mean).clamp_(min=0).add_(eps).sqrt_()
    scale = weight / deviation.repeat_interleave(size)
    shift = bias - mean.repeat_interleave(size) * scale
    scale, shift = (row.float().repeat(together) for row in (scale, shift))
    for part in parts:
        torch.addcmul(shift, part, scale, out=part)
