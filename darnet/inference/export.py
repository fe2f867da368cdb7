"""Way back from the planned grid to the grid of the input: resample, put the crop back, turn the axes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darnet.imaging import (
    Box,
    Orientation,
    from_canonical,
    keep_largest,
    paste,
    resample_planes_to_labels,
    resample_probabilities,
)

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Geometry:
    """What preprocessing did to the grid of a scan, as far as it must be undone.

    Attributes:
        original_shape: Voxels of the input in its own axis order (i, j, k).
        orientation: How the input's axes became (D, H, W).
        crop_box: The part of the turned scan that was kept, half open, for (D, H, W).
    """

    original_shape: Shape
    orientation: Orientation
    crop_box: Box

    @property
    def canonical_shape(self) -> Shape:
        """Voxels of the whole turned scan, (D, H, W)."""
        d, h, w = (self.original_shape[axis] for axis in self.orientation.axes)
        return d, h, w

    @property
    def cropped_shape(self) -> Shape:
        """Voxels of the crop before it was resampled, (D, H, W)."""
        d, h, w = (stop - start for start, stop in self.crop_box)
        return d, h, w


def labels_on_input_grid(
    probabilities: NDArray[np.float32], geometry: Geometry, largest_component: Sequence[int] = ()
) -> NDArray[Any]:
    """The most probable label of every voxel of the input.

    Probabilities are resampled and compared class by class, so that no full-size copy of all of them exists. Outside
    the crop the label is 0.

    Args:
        probabilities: (K, D, H, W) on the planned grid.
        geometry: How the scan came to that grid.
        largest_component: Labels of which only the largest connected component is kept.

    Returns:
        Integer labels (i, j, k) of shape `geometry.original_shape`.
    """
    whole = torch.as_tensor(probabilities)
    return planes_on_input_grid([whole], whole.shape[1:], geometry, largest_component)


def planes_on_input_grid(
    blocks: Iterable[Tensor], shape: Sequence[int], geometry: Geometry, largest_component: Sequence[int] = ()
) -> NDArray[Any]:
    """As `labels_on_input_grid`, of probabilities that come in blocks of planes (K, planes, H, W).

    Args:
        blocks: From the first plane to the last, on the planned grid.
        shape: (D, H, W) of all blocks together.
        geometry: How the scan came to that grid.
        largest_component: Labels of which only the largest connected component is kept.
    """
    labels = resample_planes_to_labels(blocks, shape, geometry.cropped_shape)
    if largest_component:
        labels = keep_largest(labels, largest_component)
    return from_canonical(paste(labels, geometry.crop_box, geometry.canonical_shape, 0), geometry.orientation)


def probabilities_on_input_grid(probabilities: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float16]:
    """Class probabilities of every voxel of the input; outside the crop background is certain.

    Args:
        probabilities: (K, D, H, W) on the planned grid.
        geometry: How the scan came to that grid.

    Returns:
        (K, i, j, k) in half precision.
    """
    result = np.empty((len(probabilities), *geometry.original_shape), np.float16)
    for label in range(len(probabilities)):
        resampled = resample_probabilities(probabilities[label : label + 1], geometry.cropped_shape)[0]
        whole = paste(resampled, geometry.crop_box, geometry.canonical_shape, 1.0 if label == 0 else 0.0)
        result[label] = from_canonical(whole, geometry.orientation)
    return result
