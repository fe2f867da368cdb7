"""Soft Dice loss with squared denominator (Milletari et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def soft_dice_from_probabilities(probabilities: Tensor, one_hot: Tensor, eps: float = 1e-5) -> Tensor:
    """1 - mean over classes of 2 sum(p y) / (sum(p^2) + sum(y^2)), sums over batch and space.

    Args:
        probabilities: (N, K, ...), background included; volumes or slices.
        one_hot: (N, K, ...) of 0 and 1.
        eps: Keeps a class that is neither predicted nor there at a Dice of 1.
    """
    axes = [0, *range(2, probabilities.ndim)]
    overlap = (probabilities * one_hot).sum(axes)
    size = probabilities.square().sum(axes) + one_hot.sum(axes)
    return 1.0 - ((2.0 * overlap + eps) / (size + eps)).mean()


def soft_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss of logits (N, K, ...) and integer labels (N, ...) of volumes or slices."""
    one_hot = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(torch.float32)
    return soft_dice_from_probabilities(logits.float().softmax(1), one_hot)
