"""Patches: where they lie, and padding of what is too small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darnet.imaging.crop import Box, Scalar


def pad_to(array: NDArray[Scalar], shape: Sequence[int], value: float) -> tuple[NDArray[Scalar], Box]:
    """Pad the last axes of an array to at least `shape`, evenly, the odd voxel behind.

    Args:
        array: Array (..., d, h, w); never cut.
        shape: (D, H, W) to reach.
        value: Value of the padding.

    Returns:
        The padded array and the box of the original within its last axes. Where nothing is missing, the array itself.
    """
    sizes = array.shape[array.ndim - len(shape) :]
    starts = [max(0, wanted - size) // 2 for size, wanted in zip(sizes, shape, strict=True)]
    box = tuple((start, start + size) for start, size in zip(starts, sizes, strict=True))
    padding = [(start, max(0, wanted - size) - start) for start, size, wanted in zip(starts, sizes, shape, strict=True)]
    if not any(before or after for before, after in padding):
        return array, box
    leading = [(0, 0)] * (array.ndim - len(shape))
    return np.pad(array, leading + padding, constant_values=value), box


def patch_box(center: Sequence[int], patch_size: Sequence[int], shape: Sequence[int]) -> Box:
    """Box of a patch about a voxel, moved to lie inside the volume.

    Args:
        center: Voxel (D, H, W) that the patch holds, in its middle where the border allows.
        patch_size: (D, H, W) voxels; an axis of the volume that is shorter is taken whole.
        shape: (D, H, W) of the volume.
    """
    box = []
    for middle, wanted, size in zip(center, patch_size, shape, strict=True):
        extent = min(int(wanted), int(size))
        start = min(max(int(middle) - extent // 2, 0), int(size) - extent)
        box.append((start, start + extent))
    return tuple(box)
