"""A picture of a prediction: the labels as coloured outlines and areas on three planes of the scan."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.imaging import determine_orientation, spacing_of, to_canonical
from darnet.io import atomic_write
from darnet.plans import Plans

PLANES = 3


def write_preview(
    path: Path, array: NDArray[Any], labels: NDArray[Any], affine: NDArray[np.float64], plans: Plans
) -> None:
    """Draw three planes of a scan with their labels into a PNG file.

    Args:
        path: The picture.
        array: Voxels (i, j, k).
        labels: Labels of the same shape.
        affine: Voxels to mm in R, A, S, (4, 4).
        plans: Names the labels and the through-plane axis.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    orientation = determine_orientation(affine, plans.preprocessing.through_plane)
    image, masks = to_canonical(array, orientation), to_canonical(labels, orientation)
    _, row, column = spacing_of(affine, orientation)
    low, high = np.percentile(image[:: max(len(image) // 8, 1)], (0.5, 99.5))
    colours = label_colours(plans.num_classes)
    figure = Figure(figsize=(4 * PLANES, 4.4), layout="constrained")
    for axes, index in zip(figure.subplots(1, PLANES, squeeze=False)[0], _planes_to_show(masks), strict=True):
        axes.imshow(image[index], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=row / column)
        axes.imshow(colours[masks[index]], aspect=row / column)
        axes.set_title(f"plane {index}", fontsize=9)
        axes.axis("off")
    handles = [Patch(color=tuple(colours[value, :3].tolist()), label=name) for name, value in plans.foreground.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False, fontsize=9)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=80, format="png")
    atomic_write(path, picture.getvalue())


def label_colours(num_classes: int) -> NDArray[np.float64]:
    """Red, green, blue and opacity of each label, (num_classes, 4); the background is clear."""
    from matplotlib import colormaps

    colours = np.zeros((num_classes, 4))
    colours[1:] = colormaps["turbo"](np.linspace(0.1, 0.9, num_classes - 1))
    colours[1:, 3] = 0.5
    return colours


def _planes_to_show(labels: NDArray[Any]) -> list[int]:
    """Planes at a quarter, half and three quarters of the labelled extent, or of the volume where nothing is."""
    labelled = np.flatnonzero(labels.any(axis=(1, 2)))
    first, last = (labelled[0], labelled[-1]) if len(labelled) else (0, len(labels) - 1)
    return [int(i) for i in np.linspace(first, last, PLANES + 2)[1:-1].round()]
