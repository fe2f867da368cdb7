"""Reconstruction losses of section III.A.1. All of them, and the cycle loss, are one L1 distance."""

from __future__ import annotations

from torch import Tensor


def l1(prediction: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape: images, contents or style codes."""
    return (prediction - reference).abs().float().mean()
