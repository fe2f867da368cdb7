"""Focal loss (Lin et al. 2017) over softmax probabilities, without class weights."""

from __future__ import annotations

from torch import Tensor


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean over voxels and classes of -y (1 - p)^gamma log p, of logits (N, K, ...) and integer labels (N, ...).

    Only the class that is there contributes to a voxel, so its probability is picked instead of a one-hot product.
    """
    picked = logits.float().log_softmax(1).gather(1, target.unsqueeze(1))
    # Above 0, so that an exponent below 1 keeps a finite gradient at certainty.
    missing = (1.0 - picked.exp()).clamp(min=1e-7)
    return -(missing**gamma * picked).mean() / logits.shape[1]
