"""Average symmetric surface distance: how far two masks' surfaces lie apart."""

from __future__ import annotations

from collections.abc import Sequence

import edt
import numpy as np
from numpy.typing import NDArray

from darnet.errors import DataError
from darnet.evaluation.dice import require_same_shape


def average_symmetric_surface_distance(
    prediction: NDArray[np.generic],
    reference: NDArray[np.generic],
    label: int,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> float:
    """Mean distance from each surface voxel of either mask to the nearest surface voxel of the other mask.

    The surface is the mask without its 6-connected erosion; what lies beyond the array counts as outside. The voxels
    of both surfaces are pooled, so the larger surface weighs more. Distances are between centres of voxels, with a
    relative error below 1e-6.

    Args:
        prediction: Predicted labels, three axes.
        reference: Reference labels, the same shape.
        label: Value of the class.
        spacing: Size of a voxel in the order of the axes, in mm; the default gives a distance in voxels.

    Returns:
        The distance in the unit of `spacing`: inf where only one of the two has the class, nan (not applicable) where
        neither has it.

    Raises:
        DataError: The shapes differ, or the arrays do not have three axes, or the spacing is not positive.
    """
    require_same_shape(prediction, reference)
    if np.ndim(reference) != 3:
        raise DataError("surface distances need volumes", found=f"shape {np.shape(reference)}", expected="three axes")
    if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise DataError("a spacing is not valid", found=tuple(spacing), expected="three positive numbers")
    predicted, true = np.asarray(prediction) == label, np.asarray(reference) == label
    box = box_of(predicted | true)
    if box is None:
        return float("nan")
    # A voxel of a mask on the border of the box has the outside beyond it, so cropping changes no surface.
    predicted, true = surface(predicted[box]), surface(true[box])
    if not predicted.any() or not true.any():
        return float("inf")
    distances = np.concatenate((_distances(predicted, true, spacing), _distances(true, predicted, spacing)))
    return float(distances.mean())


def surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of a mask with at least one of their 6 neighbours outside of the mask or of the array."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        ahead, behind = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        ahead[1:] &= behind[:-1]
        ahead[:-1] &= behind[1:]
        ahead[[0, -1]] = False
    return np.asarray(mask & ~inner)


def box_of(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Slices of the smallest box that holds a mask, None where the mask is empty."""
    slices = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        (found,) = np.nonzero(mask.any(axis=others))
        if not found.size:
            return None
        slices.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(slices)


def _distances(start: NDArray[np.bool_], goal: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Distance from each voxel of `start` to the nearest of `goal`."""
    # edt reads the spacing in the order of the axes only where the array is C-contiguous.
    squared = edt.edtsq(np.ascontiguousarray(~goal), anisotropy=tuple(float(s) for s in spacing), parallel=1)
    return np.asarray(np.sqrt(squared[start], dtype=np.float64))
