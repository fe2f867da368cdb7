"""Segmentation loss of section III.B.4: soft Dice + lambda focal, over the result and all side outputs.

The translator's head has cross-entropy in place of the focal loss.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from darnet.losses.dice import soft_dice_loss
from darnet.losses.dice_focal import dice_focal_loss


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
    known: Tensor | None = None
    if unknown is not None:
        known = target != unknown
        target = target.masked_fill(~known, 0)
    return dice_focal_loss([outputs] if isinstance(outputs, Tensor) else outputs, target, known, focal_weight, gamma)


def content_segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice + cross-entropy of logits (N, K, H, W) and integer labels (N, H, W) of slices."""
    return soft_dice_loss(logits, target) + F.cross_entropy(logits.float(), target)
