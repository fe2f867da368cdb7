"""A normalised scan with bright and dark turned round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darnet.imaging.foreground import foreground_mask

AIR = -0.95  # up to here a normalised scan is background: air of a translation, or beside an edge, is not exactly -1
DARKEST = -0.8  # that turned tissue becomes, apart from air
NEIGHBOURS = (1, 3, 3)  # whose mean tells tissue from air: that of single voxels is lost in noise


def invert_contrast(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Show within the body bright what is dark, and dark what is bright; air stays dark.

    Where the mean of a voxel and its neighbours in plane is that of air, nothing changes; from `DARKEST` on all does,
    and in between in proportion, so that edges to air get no bright rim.

    Args:
        image: (D, H, W) in [-1, 1].

    Returns:
        float32 (D, H, W) in [-1, 1]; tissue is `DARKEST` to 1.
    """
    from scipy.ndimage import binary_fill_holes, uniform_filter

    body = np.stack([binary_fill_holes(plane) for plane in foreground_mask(image)])
    share = np.clip((uniform_filter(image, NEIGHBOURS, mode="nearest") - AIR) / (DARKEST - AIR), 0, 1) * body
    turned = DARKEST + (1 - DARKEST) / 2 * (1 - image)
    return np.asarray(image + share * (turned - image), np.float32)
