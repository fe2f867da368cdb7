"""Resampling of scans, labels and probabilities to another number of voxels over the same field of view.

All of it is separable: each axis has a matrix (new, old) of weights, taken from torch's own antialiased interpolation
of unit impulses, and is resampled by a product with it. The depth goes first, in slabs of output planes that bound
memory.
Voxels are areas: the outer faces of the field of view stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from darnet.imaging.crop import Scalar

SLAB_VOXELS = 4_000_000
TIE = 1e-5  # weights closer than this count as equal, so that rounding decides nothing


def resample_image(volume: NDArray[np.float32], shape: Sequence[int], anisotropic: bool) -> NDArray[np.float32]:
    """Resample a scan: antialiased cubics, clamped to the range of the input so that they never overshoot.

    Args:
        volume: float32 (D, H, W).
        shape: New (D, H, W).
        anisotropic: Resample linearly along D, as neighbouring planes far apart say little about each other.

    Returns:
        float32 of the new shape.
    """
    if volume.shape == tuple(shape):
        return np.array(volume, dtype=np.float32)
    source = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))
    low, high = (float(value) for value in torch.aminmax(source))
    weights = _axis_weights(source.shape, shape, ("bilinear" if anisotropic else "bicubic", "bicubic", "bicubic"))
    result = torch.empty(tuple(shape), dtype=torch.float32)
    for out, needed in _slabs(weights[0], source.shape, shape):
        result[out] = _apply(source[needed], weights, out, needed).clamp_(low, high)
    return result.numpy()


def resample_labels(labels: NDArray[Scalar], shape: Sequence[int]) -> NDArray[Scalar]:
    """Resample labels: each voxel takes the label of the largest linearly interpolated share, at ties the lower one.

    Args:
        labels: Integers (D, H, W).
        shape: New (D, H, W).

    Returns:
        Labels of the new shape and the same type; none that the input does not hold.
    """
    if labels.shape == tuple(shape):
        return np.array(labels)
    weights = _axis_weights(labels.shape, shape, ("bilinear",) * 3)
    result = np.empty(tuple(shape), dtype=labels.dtype)
    for out, needed in _slabs(weights[0], labels.shape, shape):
        part = labels[needed]
        present = np.unique(part)
        shares = (
            _apply(torch.from_numpy(np.asarray(part == label, dtype=np.float32)), weights, out, needed)
            for label in present
        )
        result[out] = present[0] if present.size == 1 else present[_running_argmax(shares).numpy()]
    return result


def resample_probabilities(probabilities: NDArray[np.floating] | Tensor, shape: Sequence[int]) -> NDArray[np.float32]:
    """Resample class probabilities linearly.

    Args:
        probabilities: (K, D, H, W).
        shape: New (D, H, W).

    Returns:
        float32 (K, *shape).
    """
    source = torch.as_tensor(probabilities)
    weights = _axis_weights(source.shape[1:], shape, ("bilinear",) * 3, source.device)
    result = torch.empty((source.shape[0], *shape), dtype=torch.float32)
    for out, needed in _slabs(weights[0], source.shape[1:], shape):
        for share, target in zip(source, result, strict=True):
            target[out] = _apply(share[needed].float(), weights, out, needed)
    return result.numpy()


def resample_planes_to_labels(
    blocks: Iterable[Tensor], old_shape: Sequence[int], shape: Sequence[int]
) -> NDArray[np.integer]:
    """Labels of the largest linearly resampled probability, at ties the lower one, out of blocks of planes.

    Works slab by slab and class by class. Planes are held as long as planes of the result need them.

    Args:
        blocks: (K, planes, H, W) each, from the first plane to the last, on any device.
        old_shape: (D, H, W) of all blocks together.
        shape: New (D, H, W).

    Returns:
        Labels of the new shape: uint8, or int16 with more than 256 classes.
    """
    rest = iter(blocks)
    held, start = next(rest), 0
    weights = _axis_weights(old_shape, shape, ("bilinear",) * 3, held.device)
    result = np.empty(tuple(shape), dtype=np.uint8 if held.shape[0] <= 256 else np.int16)
    for out, needed in _slabs(weights[0], old_shape, shape):
        while start + held.shape[1] < needed.stop:
            held = torch.cat((held, next(rest)), dim=1)
        held, start = held[:, needed.start - start :], needed.start
        planes = needed.stop - needed.start
        shares = (_apply(share[:planes].float(), weights, out, needed) for share in held)
        result[out] = _running_argmax(shares).cpu().numpy()
    return result


def shape_at_spacing(
    shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float]
) -> tuple[int, int, int]:
    """Voxels (D, H, W) that cover the same field of view at another spacing in mm, at least one on each axis."""
    d, h, w = (
        max(1, math.floor(size * old / new + 0.5)) for size, old, new in zip(shape, spacing, new_spacing, strict=True)
    )
    return d, h, w


def _axis_weights(
    old_shape: Sequence[int], new_shape: Sequence[int], modes: Sequence[str], device: torch.device | None = None
) -> list[Tensor]:
    """Matrix (new, old) of each axis: impulses along the H axis of an image whose W size does not change."""
    return [
        F.interpolate(torch.eye(old)[None, None], (new, old), mode=mode, antialias=True)[0, 0].to(device)
        for old, new, mode in zip(old_shape, new_shape, modes, strict=True)
    ]


def _slabs(depth_weights: Tensor, old_shape: Sequence[int], new_shape: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Slabs of output planes, each with the input planes that it needs."""
    plane = max(old_shape[1] * old_shape[2], new_shape[1] * new_shape[2])
    planes = max(1, SLAB_VOXELS // plane)
    for start in range(0, new_shape[0], planes):
        stop = min(start + planes, new_shape[0])
        used = torch.nonzero(depth_weights[start:stop].any(dim=0))
        yield slice(start, stop), slice(int(used[0]), int(used[-1]) + 1)


def _apply(part: Tensor, weights: Sequence[Tensor], out: slice, needed: slice) -> Tensor:
    """Resample the planes `needed` (float32) to the planes `out`, all three axes."""
    depth, height, width = weights
    if depth.shape[0] != depth.shape[1]:
        part = torch.tensordot(depth[out, needed], part, dims=1)
    if width.shape[0] != width.shape[1]:
        part = part @ width.T
    if height.shape[0] != height.shape[1]:
        part = height @ part
    return part


def _running_argmax(shares: Iterator[Tensor]) -> Tensor:
    """Index of the largest of several equal-shaped tensors, holding two of them at a time."""
    best = next(shares)
    winner = torch.zeros(best.shape, dtype=torch.int16, device=best.device)
    for index, share in enumerate(shares, start=1):
        better = share > best + TIE
        winner.masked_fill_(better, index)
        best = torch.where(better, share, best)
    return winner
