"""Boxes of voxels: found from masks, cut out, put back."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Box: TypeAlias = tuple[tuple[int, int], ...]  # half-open (start, stop) of each axis
Scalar = TypeVar("Scalar", bound=np.generic)


def box_of(mask: NDArray[np.generic], margin_voxels: Sequence[int] = (0, 0, 0)) -> Box:
    """Smallest box around the nonzero voxels, widened by a margin and clipped to the array.

    An empty mask gives the box of the whole array: where nothing is known, nothing is cut away.

    Args:
        mask: Array (D, H, W).
        margin_voxels: Margin on both sides of each axis.
    """
    box = []
    for axis, (size, margin) in enumerate(zip(mask.shape, margin_voxels, strict=True)):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        found = np.flatnonzero(np.any(mask, axis=others))
        if found.size == 0:
            return tuple((0, n) for n in mask.shape)
        box.append((max(0, int(found[0]) - margin), min(size, int(found[-1]) + 1 + margin)))
    return tuple(box)


def slices_of(box: Box) -> tuple[slice, ...]:
    """Slices of a box."""
    return tuple(slice(start, stop) for start, stop in box)


def crop(array: NDArray[Scalar], box: Box) -> NDArray[Scalar]:
    """View of a box within the last axes of an array (..., D, H, W)."""
    return array[_last_axes(box)]


def paste(array: NDArray[Scalar], box: Box, shape: Sequence[int], fill: float = 0) -> NDArray[Scalar]:
    """Put an array back into a larger one filled with `fill`; undoes `crop` inside the box.

    Args:
        array: Array (..., d, h, w) of the size of the box.
        box: Where it goes.
        shape: (D, H, W) of the result; leading axes are those of `array`.
        fill: Value outside the box.
    """
    result = np.full((*array.shape[: array.ndim - len(box)], *shape), fill, dtype=array.dtype)
    result[_last_axes(box)] = array
    return result


def shorten(box: Box, axis: int, about: tuple[int, int], extent_voxels: int) -> Box:
    """Shorten a box along an axis about the centre of a span, moved so that it stays within the box.

    Args:
        box: The box.
        axis: 0 to 2.
        about: Start and stop of the span.
        extent_voxels: Voxels that are kept along the axis; all where there are fewer.
    """
    start, stop = box[axis]
    size = min(extent_voxels, stop - start)
    first = min(max((about[0] + about[1] - size) // 2, start), stop - size)
    spans = list(box)
    spans[axis] = (first, first + size)
    return spans[0], spans[1], spans[2]


def _last_axes(box: Box) -> tuple[slice | EllipsisType, ...]:
    return (..., *slices_of(box))
