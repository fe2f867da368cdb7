"""Predicted memory of a DAR-UNet training step, and the largest patch that fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from darnet.planning.topology import Shape, Stride, divisor, round_up

# Values that a step keeps at its peak for each channel and voxel of a level: inputs of convolutions, norms, activations
# and attention, forward and backward. Found from measured peaks, which `benchmarks/memory.py` measures again.
VALUES_A_CHANNEL = 60.0
VALUES_A_CLASS, FEW_CLASSES = 30.0, 5  # for each voxel; as many classes as the values above were measured with
VALUES_A_PARAMETER = 5.0  # the weight, its gradient, two moments, a copy
SINGLE_PRECISION = 4.0  # bytes a value
PACKAGES_GB = 0.6  # on a CPU: Python with all that training imports, and scans in memory
MIXED_PRECISION = 3.0  # under autocast about half of the values have two bytes


def parameters_of(channels: Sequence[int]) -> int:
    """Approximate number of weights of a DAR-UNet; 27 products for each pair of channels of a convolution."""
    pairs = sum(4 * a * b + 7 * b * b for a, b in zip((channels[0], *channels), channels, strict=False))
    return 27 * pairs


def predict_memory(
    patch_size: Shape,
    batch_size: int,
    channels: Sequence[int],
    strides: Sequence[Stride],
    value_bytes: float = SINGLE_PRECISION,
    num_classes: int = FEW_CLASSES,
) -> float:
    """Memory in bytes of a training step without what the imported packages need.

    Args:
        patch_size: Voxels (D, H, W).
        batch_size: Patches.
        channels: Width of each level.
        strides: Strides between the levels.
        value_bytes: Bytes of a value of the features.
        num_classes: With background. All outputs have the full size, so many classes need more than the features.
    """
    voxels = float(math.prod(patch_size) * batch_size)
    values = VALUES_A_CLASS * max(num_classes - FEW_CLASSES, 0) * voxels
    for width, stride in zip(channels, (*strides, (1, 1, 1)), strict=True):
        values += VALUES_A_CHANNEL * width * voxels
        voxels /= math.prod(stride)
    return value_bytes * values + SINGLE_PRECISION * VALUES_A_PARAMETER * parameters_of(channels)


def largest_patch(
    shape: Shape,
    plane_limit: int,
    fits: Callable[[Shape, tuple[Stride, ...]], bool],
    strides_for: Callable[[int], tuple[Stride, ...]],
) -> tuple[Shape, tuple[Stride, ...]]:
    """The largest patch that fits, at first the whole plane and as many planes as fit, then smaller planes.

    Args:
        shape: Median voxels (D, H, W) of the planned volumes; a patch need not be larger.
        plane_limit: Most pixels along an in-plane axis.
        fits: Whether a patch with its strides fits.
        strides_for: Strides for a number of planes.
    """
    planes = [min(n, plane_limit) for n in shape[1:]]
    while True:
        for depth in range(round_up(max(shape[0], 4), 4), 3, -4):
            strides = strides_for(depth)
            factor = divisor(strides)
            patch = (
                round_up(depth, factor[0]),
                max(round_up(planes[0], factor[1]), factor[1]),
                max(round_up(planes[1], factor[2]), factor[2]),
            )
            # A patch of fewer planes than a third of what the plane's width suggests sees too little context.
            thin = depth < min(shape[0], 12)
            if not thin and fits(patch, strides):
                return patch, strides
        if max(planes) <= 2 * factor[1]:
            return patch, strides
        planes = [max(int(n * 0.85), factor[1]) for n in planes]
