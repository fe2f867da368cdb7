"""Adversarial losses of section III.A.2 as least squares (Mao et al. 2017).

A discriminator gives one map a scale; the loss is the mean over each map, then over the scales.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def _distance(maps: Sequence[Tensor], value: float) -> Tensor:
    """Mean over scales of the mean squared distance of a map to `value`."""
    return torch.stack([(m.float() - value).square().mean() for m in maps]).mean()


def lsgan_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """E[(D(real) - 1)^2] + E[D(fake)^2]."""
    return _distance(real, 1.0) + _distance(fake, 0.0)


def lsgan_generator(fake: Sequence[Tensor]) -> Tensor:
    """E[(D(fake) - 1)^2]."""
    return _distance(fake, 1.0)


def content_discriminator_loss(source: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """E[D_c(c_a)^2] + E[(D_c(c_b) - 1)^2]: the content discriminator tells source (0) from target (1)."""
    return _distance(source, 0.0) + _distance(target, 1.0)


def content_generator_loss(source: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """E[(D_c(c_a) - 1)^2] + E[D_c(c_b)^2]: the content encoder wants each taken for the other."""
    return _distance(source, 1.0) + _distance(target, 0.0)
