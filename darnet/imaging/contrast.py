"""A normalised scan with bright and dark turned round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darnet.imaging.foreground import foreground_mask

BACKGROUND = -1.0  # of a normalised scan
AIR = -0.95  # up to here a normalised scan is background: air of a translation, or beside an edge, is not exactly -1
DARKEST = -0.8  # that turned tissue becomes, apart from air
NEIGHBOURS = (3, 3)  # in plane, whose mean tells tissue from air: that of single voxels is lost in noise


def invert_contrast(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Show within the body bright what is dark, and dark what is bright; air stays dark.

    Where the mean of a voxel and its neighbours in plane is that of air, nothing changes; from `DARKEST` on all does,
    and in between in proportion, so that edges to air get no bright rim. Outside of the mask of the body, which may
    leave out dark tissue at the edge of a scan, the median must be that of tissue: noise of air has none.

    Args:
        image: (D, H, W) in [-1, 1].

    Returns:
        float32 (D, H, W) in [-1, 1]; tissue is `DARKEST` to 1.
    """
    from scipy.ndimage import binary_fill_holes, median_filter, uniform_filter

    result = np.empty(image.shape, np.float32)
    for index, body in enumerate(foreground_mask(image)):  # plane by plane: scans may be large
        plane = image[index]
        tissue = binary_fill_holes(body) | (median_filter(plane, NEIGHBOURS, mode="nearest") >= DARKEST)
        mean = uniform_filter(plane, NEIGHBOURS, mode="nearest")
        share = np.clip((mean - AIR) / (DARKEST - AIR), 0, 1) * tissue
        turned = DARKEST + (1 - DARKEST) / 2 * (1 - plane)
        result[index] = plane + share * (turned - plane)
    return result
