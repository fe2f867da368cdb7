"""Augmentation of 3D patches for the DAR-UNet: rotation, scale, shift, elastic, flips, contrast, random appearance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from darnet.augmentation.appearance import class_gains, random_convolution
from darnet.augmentation.curves import along_curve, curve_of, draw_steps
from darnet.imaging import AIR, BACKGROUND
from darnet.plans import SegmentationPlan

ELASTIC_NODES = (3, 5, 5)  # control points along (D, H, W)


@dataclass(frozen=True)
class PatchTransform:
    """Parameters of one patch.

    Attributes:
        matrix: (3, 3) map from output to input, in the unit of half a patch, axes (D, H, W).
        shift: (3,) fraction of half a patch.
        elastic: (3, *ELASTIC_NODES) displacements at the control points, fraction of half a patch; None for none.
        curve: (CURVE_POINTS,) increments of a monotone intensity curve over -1..1, all positive (rising) or all
            negative (falling); None for none.
        gain: Contrast factor.
        offset: Brightness in the unit of the image.
        noise: Standard deviation of added noise.
        noise_seed: Seed of the noise, and of convolution and gains.
        convolve: Whether a random shallow network changes the appearance.
        class_gain: Strength of the gains of single classes.
    """

    matrix: np.ndarray
    shift: np.ndarray
    elastic: np.ndarray | None
    curve: np.ndarray | None
    gain: float
    offset: float
    noise: float
    noise_seed: int
    convolve: bool = False
    class_gain: float = 0.0


def sample_patch_transform(rng: np.random.Generator, plan: SegmentationPlan) -> PatchTransform:
    """Draw the parameters of one patch. Rotation is in plane: through-plane steps are too coarse to turn."""
    limit = math.radians(plan.rotation_degrees)
    angle = rng.uniform(-limit, limit)
    scale = rng.uniform(1 - plan.scale, 1 + plan.scale, 3)
    flips = np.array([-1.0 if axis in plan.mirror_axes and rng.random() < 0.5 else 1.0 for axis in range(3)])
    aspect = plan.patch_size[1] / plan.patch_size[2]
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.array([[1, 0, 0], [0, cos, -sin / aspect], [0, sin * aspect, cos]]) * flips / scale[:, None]
    elastic = None
    if plan.elastic > 0 and rng.random() < 0.5:
        elastic = rng.normal(0, plan.elastic, (3, *ELASTIC_NODES))
        elastic[0] *= 0.5
    curve = None
    if rng.random() < plan.appearance:
        curve = draw_steps(rng)
    strength = plan.contrast
    return PatchTransform(
        matrix=matrix,
        shift=rng.uniform(-plan.shift, plan.shift, 3) * np.array([0.5, 1, 1]),
        elastic=elastic,
        curve=curve,
        gain=float(rng.uniform(1 - strength, 1 + strength)),
        offset=float(rng.uniform(-strength, strength)) * 0.5,
        noise=float(rng.uniform(0, 0.2 * strength)),
        noise_seed=int(rng.integers(2**31)),
        convolve=bool(rng.random() < plan.random_convolution),
        class_gain=plan.class_gain,
    )


def _grid(transform: PatchTransform, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Sampling grid (1, D, H, W, 3) in grid_sample's order (W, H, D).

    An affine map is a sum of one term an axis, and the displacements are interpolated one axis after the other: both
    need fewer passes over the patch than PyTorch's own affine grid and trilinear interpolation.
    """
    order = [2, 1, 0]
    matrix = torch.from_numpy(transform.matrix[order].astype(np.float32)).to(device)
    grid = torch.from_numpy(transform.shift[order].astype(np.float32)).to(device)[:, None, None, None]
    for axis, size in enumerate(shape):
        middles = (torch.arange(size, device=device) * 2 + 1) / size - 1
        term = matrix[:, axis, None] * middles
        grid = grid + term.view(3, *(size if a == axis else 1 for a in range(3)))
    if transform.elastic is not None:
        field = torch.from_numpy(transform.elastic[order].astype(np.float32)).to(device)
        for size in shape:
            # The axis after the first is interpolated and becomes the last one.
            field = torch.tensordot(field, _linear_weights(field.shape[1], size, device), dims=([1], [0]))
        grid = grid.add_(field)
    return grid.permute(1, 2, 3, 0)[None]


def _linear_weights(nodes: int, size: int, device: torch.device) -> Tensor:
    """Weights (nodes, size) of linear interpolation at `size` evenly spread places from the first node to the last."""
    places = torch.linspace(0, nodes - 1, size, device=device)
    return (1 - (places - torch.arange(nodes, device=device)[:, None]).abs()).clamp(min=0)


def apply_patch_transform(image: Tensor, labels: Tensor, transform: PatchTransform) -> tuple[Tensor, Tensor]:
    """Apply one transform to a patch.

    Args:
        image: (1, D, H, W) in -1..1.
        labels: (D, H, W) integers.
        transform: What `sample_patch_transform` drew.

    Returns:
        Image (1, D, H, W), interpolated linearly, and labels (D, H, W) of the nearest voxel. From outside come
        background and label 0.
    """
    grid = _grid(transform, tuple(labels.shape), image.device)
    moved = F.grid_sample((image - BACKGROUND)[None], grid, align_corners=False)[0] + BACKGROUND
    picked = F.grid_sample(labels[None, None].float(), grid, mode="nearest", align_corners=False)[0, 0]
    picked = picked.to(labels.dtype)
    return _intensities(moved, picked, transform), picked


def _intensities(image: Tensor, labels: Tensor, transform: PatchTransform) -> Tensor:
    """Appearance, curve, contrast, brightness and noise within -1..1; background, up to `AIR`, becomes -1."""
    background = image <= AIR
    generator = torch.Generator().manual_seed(transform.noise_seed)
    if transform.class_gain > 0:
        image = class_gains(image, labels, transform.class_gain, generator)
    if transform.convolve:
        image = random_convolution(image, generator)
    if transform.curve is not None:
        image = along_curve(image, curve_of(transform.curve))
    image = image * transform.gain + transform.offset
    if transform.noise > 0:
        image = image + transform.noise * torch.randn(image.shape, generator=generator).to(image.device)
    return torch.where(background, torch.full_like(image, BACKGROUND), image.clamp(-1, 1))
