"""Dice and average symmetric surface distance as their formulas stand, with SciPy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def plain_dice(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """2 |P and R| / (|P| + |R|)."""
    return 2 * float((prediction & reference).sum()) / float(prediction.sum() + reference.sum())


def plain_distance(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float]) -> float:
    """Mean over the voxels of both surfaces of the distance to the other surface, in the unit of `spacing`."""
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (prediction, reference)]
    to_other = [ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in reversed(surfaces)]
    return float(np.concatenate([d[s] for d, s in zip(to_other, surfaces, strict=True)]).mean())


def plain_scores(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], labels: Sequence[int], spacing: Sequence[float]
) -> list[tuple[float, float]]:
    """Dice and distance of each class that both masks have."""
    pairs = ((prediction == label, reference == label) for label in labels)
    return [(plain_dice(p, r), plain_distance(p, r, spacing)) for p, r in pairs]
