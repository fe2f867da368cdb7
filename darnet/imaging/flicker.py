"""How much a volume changes from plane to plane: planes that are translated one by one may flicker."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BODY_ABOVE = -0.9  # an intensity in -1..1 that is no longer air


def differences_along(volume: NDArray[np.floating], body: NDArray[np.bool_], axis: int = 0) -> NDArray[np.float64]:
    """Mean absolute difference of each plane across an axis from the next, where both show the body; nan where neither.

    Args:
        volume: (D, H, W).
        body: Which voxels show the body.
        axis: 0 compares neighbouring planes of the scan, 1 its rows, 2 its columns.

    Returns:
        One value fewer than there are planes across the axis.
    """
    turned, inside = np.moveaxis(volume, axis, 0).astype(np.float64), np.moveaxis(body, axis, 0)
    both = inside[1:] & inside[:-1]
    counts = both.sum(axis=(1, 2))
    total = (np.abs(np.diff(turned, axis=0)) * both).sum(axis=(1, 2))
    return np.asarray(np.where(counts > 0, total / np.maximum(counts, 1), np.nan))


def relative_difference(volume: NDArray[np.floating], body: NDArray[np.bool_], axis: int = 0) -> float:
    """Mean of `differences_along` over the standard deviation within the body; nan where nothing can be compared."""
    differences = differences_along(volume, body, axis)
    known = differences[np.isfinite(differences)]
    deviation = float(volume[body].std()) if body.any() else 0.0
    return float(known.mean()) / deviation if len(known) and deviation > 1e-6 else float("nan")


def flicker(translated: NDArray[np.floating], source: NDArray[np.floating]) -> float:
    """How many times as much a translated volume changes from plane to plane as its source.

    Both changes are mean absolute differences of neighbouring planes within the source's body, each over the standard
    deviation of its own volume there, so that more contrast alone is no flicker.

    Args:
        translated: (D, H, W).
        source: (D, H, W) in -1..1, what it was translated from.

    Returns:
        1 where no flicker was added; nan where nothing can be compared.
    """
    body = source > BODY_ABOVE
    before = relative_difference(source, body)
    return relative_difference(translated, body) / before if before > 0 else float("nan")
