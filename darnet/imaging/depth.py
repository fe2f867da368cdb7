"""How deep voxels lie below the surface of the body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CLOSED = 3  # pixels: a gap in the surface up to twice as wide, such as noise in fat or an ear, is closed
CUT = 0.5  # of an edge of a plane: with more of it in the body, the scan ends within the body there


def depth_in_planes(body: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.float32]:
    """Distance in mm of each voxel of the body to the air about it, within its plane.

    Dark parts within the body, such as lung and bone, are no air about it. Beyond an edge of a plane there is air,
    unless more than half of the edge lies in the body.

    Args:
        body: (D, H, W).
        spacing: mm of a voxel along H and W.

    Returns:
        (D, H, W): 0 outside the body, infinity in a plane that shows no air about it.
    """
    depth = np.zeros(body.shape, np.float32)
    margin = CLOSED + 1
    outer, within = ((slice(width, -width),) * 2 for width in (CLOSED, margin))  # closing takes the outer voxels away
    for plane, inside in enumerate(body):
        closed = ndimage.binary_closing(_beyond(inside, CLOSED + margin), iterations=CLOSED)
        filled = ndimage.binary_fill_holes(closed[outer])
        depth[plane] = np.inf if filled.all() else ndimage.distance_transform_edt(filled, sampling=spacing)[within]
        depth[plane][~filled[within]] = 0
    return depth


def _beyond(inside: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """A plane of a body with what lies beyond its edges: air, or more of the body."""
    wide = np.pad(inside, margin, mode="edge")
    for edge, beyond in (
        (inside[0], wide[:margin]),
        (inside[-1], wide[-margin:]),
        (inside[:, 0], wide[:, :margin]),
        (inside[:, -1], wide[:, -margin:]),
    ):
        if edge.mean() <= CUT:
            beyond[...] = False
    return wide
