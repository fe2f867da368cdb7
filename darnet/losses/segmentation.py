"""Segmentation loss of section III.B.4: soft Dice + lambda focal, over the result and all side outputs.

The translator's head has cross-entropy in place of the focal loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from darnet.losses.dice import soft_dice_from_probabilities, soft_dice_loss
from darnet.losses.focal import focal_from_log_probabilities


def segmentation_loss(
    outputs: Tensor | Sequence[Tensor],
    target: Tensor,
    focal_weight: float = 10.0,
    gamma: float = 2.0,
    unknown: int | None = None,
) -> Tensor:
    """Mean over the outputs of soft Dice + focal_weight * focal; all outputs count the same.

    Args:
        outputs: Logits (N, K, D, H, W), or several of them from deep supervision.
        target: (N, D, H, W) integers.
        focal_weight: lambda of the paper.
        gamma: Exponent of the focal loss.
        unknown: Value of `target` where the class is not known: such voxels have no say.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    known: Tensor | None = None
    if unknown is not None:
        known = (target != unknown).to(torch.float32)
        target = target.masked_fill(target == unknown, 0)
    one_hot = F.one_hot(target, outputs[0].shape[1]).movedim(-1, 1).to(torch.float32)
    if known is not None:
        one_hot = one_hot * known.unsqueeze(1)
    losses = []
    for logits in outputs:
        log_probabilities = logits.float().log_softmax(1)
        probabilities = log_probabilities.exp()
        if known is not None:
            probabilities = probabilities * known.unsqueeze(1)
        dice = soft_dice_from_probabilities(probabilities, one_hot)
        losses.append(dice + focal_weight * focal_from_log_probabilities(log_probabilities, target, gamma, known))
    return torch.stack(losses).mean()


def content_segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice + cross-entropy of logits (N, K, H, W) and integer labels (N, H, W) of slices."""
    return soft_dice_loss(logits, target) + F.cross_entropy(logits.float(), target)
