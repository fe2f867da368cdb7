"""Consistency along depth: neighbouring planes that look alike should look alike after translation."""

from __future__ import annotations

import torch
from torch import Tensor

AGREEMENT = 0.1  # difference of source planes, in the unit of -1..1, at which their agreement has fallen to 1 / e


def depth_consistency_loss(source: Tensor, next_source: Tensor, translated: Tensor, next_translated: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring translated planes, weighted by how well the source planes agree.

    sum(w |t - t'|) / sum(w) with w = exp(-|s - s'| / 0.1) at each pixel.

    Args:
        source: Source planes (N, 1, H, W).
        next_source: The plane beside each.
        translated: Translations of `source`.
        next_translated: Translations of `next_source` in the same styles.
    """
    agreement = torch.exp(-(source - next_source).abs().float() / AGREEMENT)
    return (agreement * (translated - next_translated).abs().float()).sum() / agreement.sum()
