"""Connected components of masks and label volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from darnet.imaging.crop import box_of, slices_of


def large_components(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """All 6-connected components of a mask (D, H, W) that have at least a share of the largest one's voxels.

    Args:
        mask: Mask (D, H, W); an empty one stays empty.
        share: 0 keeps all, 1 the largest alone.
    """
    components, sizes, _ = numbered_components(mask, 6)
    if sizes.size == 0:
        return np.zeros(mask.shape, dtype=np.bool_)
    kept = np.concatenate(([False], sizes >= share * sizes.max()))
    return np.asarray(kept[components])


def largest_fraction(mask: NDArray[np.bool_]) -> float:
    """Share of a mask's voxels that its largest 26-connected component holds; 0 where the mask is empty."""
    if not mask.any():
        return 0.0
    _, sizes, _ = numbered_components(mask[slices_of(box_of(mask))], 26)
    return float(sizes.max() / sizes.sum())


def count_components(mask: NDArray[np.bool_]) -> int:
    """Number of a mask's 26-connected components."""
    if not mask.any():
        return 0
    _, sizes, _ = numbered_components(mask[slices_of(box_of(mask))], 26)
    return len(sizes)


def keep_largest(
    labels: NDArray[np.integer], which: Sequence[int], weights: NDArray[np.floating] | None = None
) -> NDArray[np.integer]:
    """Keep only the largest 26-connected component of some labels; the rest of each becomes background.

    Args:
        labels: Label volume (D, H, W).
        which: Labels to clean; others stay as they are. Labels that do not occur are passed over.
        weights: (D, H, W) how much a voxel counts; None counts all alike.
    """
    cleaned = np.array(labels)
    for label in which:
        mask = np.asarray(labels == label)
        if label == 0 or not mask.any():
            continue
        box = slices_of(box_of(mask))
        components, counts = numbered_components(mask[box], 26)[:2]
        if weights is not None:
            counts = np.bincount(components.ravel(), weights[box].ravel())[1:]
        cleaned[box][(components > 0) & (components != 1 + np.argmax(counts))] = 0
    return cleaned


def numbered_components(
    mask: NDArray[np.bool_], connectivity: Literal[6, 26]
) -> tuple[NDArray[np.integer], NDArray[np.int64], NDArray[np.float64]]:
    """Connected components of a mask (D, H, W).

    Returns:
        Their numbers (D, H, W), from 1 on, 0 outside; the voxels (N,) and the mean index (N, 3) of each.
    """
    # Without a margin cc3d reserves too few numbers for single voxels at the faces of a box, and fails. It numbers
    # components in the order of memory, which must be the same each time.
    margin = np.pad(np.ascontiguousarray(mask), 1)
    components = cc3d.connected_components(margin, connectivity=connectivity)
    statistics = cc3d.statistics(components, no_slice_conversion=True)
    counts = np.asarray(statistics["voxel_counts"][1:], np.int64)
    return components[1:-1, 1:-1, 1:-1], counts, np.asarray(statistics["centroids"][1:], np.float64) - 1
