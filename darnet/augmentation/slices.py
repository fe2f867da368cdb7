"""Augmentation of 2D slices for the translator: shift, scale, rotation, flips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from darnet.imaging import BACKGROUND
from darnet.plans import TranslationPlan


@dataclass(frozen=True)
class SliceTransform:
    """Parameters for a batch of N slices.

    Attributes:
        angle: (N,) radians.
        scale: (N,) magnification along both axes.
        shift: (N, 2) fraction of the slice along (H, W).
        flip: (N, 2) whether to mirror (H, W).
    """

    angle: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    flip: np.ndarray


def sample_slice_transform(rng: np.random.Generator, plan: TranslationPlan, n: int) -> SliceTransform:
    """Draw the parameters of a batch. `plan.mirror_axes` counts volume axes, so 1 is H and 2 is W."""
    limit = math.radians(plan.rotation_degrees)
    allowed = np.array([1 in plan.mirror_axes, 2 in plan.mirror_axes])
    return SliceTransform(
        angle=rng.uniform(-limit, limit, n),
        scale=rng.uniform(1 - plan.scale, 1 + plan.scale, n),
        shift=rng.uniform(-plan.shift, plan.shift, (n, 2)),
        flip=(rng.random((n, 2)) < 0.5) & allowed,
    )


def apply_slice_transform(slices: Tensor, transform: SliceTransform, mirrored: bool = False) -> Tensor:
    """Resample slices (N, 1, H, W) linearly; what comes from outside is background (-1), or `mirrored` at the edges."""
    # Zero padding of the image shifted by +1 pads with background.
    grid, outside = _grid(slices, transform), _outside(mirrored)
    return F.grid_sample(slices - BACKGROUND, grid, padding_mode=outside, align_corners=False) + BACKGROUND


def apply_slice_transform_to_labels(labels: Tensor, transform: SliceTransform, mirrored: bool = False) -> Tensor:
    """Move integer labels (N, H, W) as `apply_slice_transform` moves their slices, each pixel to the nearest."""
    values = labels[:, None].float()
    grid, outside = _grid(values, transform), _outside(mirrored)
    moved = F.grid_sample(values, grid, mode="nearest", padding_mode=outside, align_corners=False)
    return moved[:, 0].to(labels.dtype)


def _outside(mirrored: bool) -> str:
    return "reflection" if mirrored else "zeros"


def _grid(slices: Tensor, transform: SliceTransform) -> Tensor:
    """Where each pixel of the transformed slices (N, 1, H, W) is taken from, (N, H, W, 2)."""
    n, _, height, width = slices.shape
    aspect = height / width
    cos, sin = np.cos(transform.angle) / transform.scale, np.sin(transform.angle) / transform.scale
    sign_h, sign_w = 1.0 - 2.0 * transform.flip[:, 0], 1.0 - 2.0 * transform.flip[:, 1]
    theta = np.empty((n, 2, 3), np.float32)  # rows x (W) and y (H), in grid_sample's coordinates of -1..1
    theta[:, 0] = np.stack([cos * sign_w, -sin * aspect * sign_w, 2 * transform.shift[:, 1]], 1)
    theta[:, 1] = np.stack([sin / aspect * sign_h, cos * sign_h, 2 * transform.shift[:, 0]], 1)
    return F.affine_grid(torch.from_numpy(theta).to(slices.device), [n, 1, height, width], align_corners=False)
