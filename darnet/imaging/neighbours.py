"""Which neighbours of a voxel a quick forest sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PLANES = (-2, -1, 1, 2)  # above and below, at the same place
ANGLES = 8


def neighbour_offsets(radii: Sequence[float], pixel: tuple[float, float] = (1.0, 1.0)) -> list[tuple[int, int, int]]:
    """Steps (D, H, W) from a voxel to its neighbours: those in planes above and below, then rings about it in its own.

    Args:
        radii: Of the rings, in the unit of `pixel`.
        pixel: Size of a voxel along H and W.
    """
    angles = np.arange(ANGLES) * 2 * np.pi / ANGLES
    rings = [(0, round(r * np.sin(a) / pixel[0]), round(r * np.cos(a) / pixel[1])) for r in radii for a in angles]
    return [(plane, 0, 0) for plane in PLANES] + rings
