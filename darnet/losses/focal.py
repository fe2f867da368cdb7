"""Focal loss (Lin et al. 2017) over softmax probabilities, without class weights."""

from __future__ import annotations

from torch import Tensor


def focal_from_log_probabilities(
    log_probabilities: Tensor, target: Tensor, gamma: float = 2.0, known: Tensor | None = None
) -> Tensor:
    """Mean over voxels and classes of -y (1 - p)^gamma log p.

    Only the class that is there contributes to a voxel, so its probability is picked instead of a one-hot product.

    Args:
        log_probabilities: (N, K, D, H, W).
        target: (N, D, H, W) integers.
        gamma: Focusing exponent.
        known: (N, D, H, W) of 0 and 1: voxels that count; None counts all.
    """
    picked = log_probabilities.gather(1, target.unsqueeze(1))
    # Above 0, so that an exponent below 1 keeps a finite gradient at certainty.
    missing = (1.0 - picked.exp()).clamp(min=1e-7)
    losses = -(missing**gamma * picked)
    mean = losses.mean() if known is None else (losses * known.unsqueeze(1)).sum() / known.sum().clamp(min=1)
    return mean / log_probabilities.shape[1]


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss of logits (N, K, D, H, W) and integer labels (N, D, H, W)."""
    return focal_from_log_probabilities(logits.float().log_softmax(1), target, gamma)
