"""Instance norm of slices, with or without a scale and shift of each sample."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Each channel of each sample to mean 0 and variance 1.

    Args:
        x: Features (N, C, H, W).
        eps: Added to the variance.
    """
    return _normalize(x, None, None, eps)


def adaptive_instance_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Adaptive instance norm (Huang and Belongie 2017) with scale 1 + weight.

    Args:
        x: Features (N, C, H, W).
        weight: (N, C); 0 keeps the normalised scale.
        bias: (N, C).
        eps: Added to the variance.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    return _normalize(x, (1.0 + weight).reshape(-1).to(dtype), bias.reshape(-1).to(dtype), eps)


def _normalize(x: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float) -> Tensor:
    if x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        # Channels last in memory, as the convolutions by tiles leave them, would be copied by what is below.
        y = F.group_norm(x, x.shape[1], eps=eps)
        if scale is None or shift is None:
            return y
        scale, shift = (values.view(*x.shape[:2], 1, 1) for values in (scale, shift))
        in_place = not torch.is_grad_enabled() and y.dtype == scale.dtype
        return torch.addcmul(shift, y, scale, out=y if in_place else None)
    # As one sample of N * C channels, so that the scale and shift of each are part of the same pass. Group norm of one
    # channel a group is twice as quick on a CPU as batch norm, which is what PyTorch's own instance norm calls.
    channels = x.reshape(1, -1, *x.shape[2:])
    if x.device.type == "cpu":
        return F.group_norm(channels, channels.shape[1], scale, shift, eps).view(x.shape)
    return F.batch_norm(channels, None, None, scale, shift, training=True, eps=eps).view(x.shape)
