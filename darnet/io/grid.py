"""Whether two arrays lie on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LOOSE = 0.1  # mm, or of a voxel where that is more: headers are written with few digits
MOST = 0.5  # of a voxel, where voxels are smaller than twice `LOOSE`


def corners_apart(a: NDArray[np.floating], b: NDArray[np.floating], shape: Sequence[int]) -> float:
    """Largest distance in mm between the corner voxels of two grids.

    Args:
        a: (4, 4) map from voxel (i, j, k) to mm.
        b: Another one.
        shape: Voxels (i, j, k) of both.
    """
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(shape[:3]) - 1
    return float(np.linalg.norm((corners @ (np.asarray(a) - np.asarray(b)).T)[:, :3], axis=1).max())


def most_apart(spacing: Sequence[float]) -> float:
    """Distance in mm that the corners of one grid, written twice, may be apart.

    Args:
        spacing: mm, any order of axes.
    """
    finest = min(spacing)
    return max(LOOSE * finest, min(LOOSE, MOST * finest))
