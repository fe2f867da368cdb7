"""A picture of a prediction: its labels on an axial, a coronal and a sagittal plane of the scan, and their surfaces."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.imaging import (
    PlaneView,
    body_axes,
    colour_of,
    cut_plane,
    determine_orientation,
    label_colours,
    plane_of_most_labels,
    plane_views,
    render_surfaces,
    spacing_of,
    to_canonical,
)
from darnet.io import atomic_write
from darnet.plans import Plans

# Degrees round the patient from which the surfaces are seen.
SIDES = {"from the front": 0.0, "from the patient's left": 90.0}
# In the head of the file: no other picture is ever taken for a preview and removed.
MARK = "darnet_predict --preview"


def write_preview(
    path: Path, array: NDArray[Any], labels: NDArray[Any], affine: NDArray[np.float64], plans: Plans
) -> None:
    """Draw three planes of a scan with their labels, and the labels' surfaces from two sides, into a PNG file.

    Args:
        path: The picture.
        array: Voxels (i, j, k).
        labels: Labels of the same shape.
        affine: Voxels to mm in R, A, S, (4, 4).
        plans: Names the labels and the through-plane axis.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

    orientation = determine_orientation(affine, plans.preprocessing.through_plane)
    image, masks = to_canonical(array, orientation), to_canonical(labels, orientation)
    axes, spacing = body_axes(affine, orientation), spacing_of(affine, orientation)
    low, high = np.percentile(image[:: max(len(image) // 8, 1)], (0.5, 99.5))
    colours = label_colours(plans.num_classes)
    views = plane_views(axes)
    figure = Figure(figsize=(4 * (len(views) + len(SIDES)), 4.7), layout=ConstrainedLayoutEngine(h_pad=0.2))
    panels = figure.subplots(1, len(views) + len(SIDES), squeeze=False)[0]
    for panel, view in zip(panels, views, strict=False):
        index = plane_of_most_labels(masks, view)
        aspect = spacing[view.rows] / spacing[view.columns]
        panel.imshow(cut_plane(image, view, index), cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)
        panel.imshow(colours[cut_plane(masks, view, index)], aspect=aspect)
        panel.set_title(f"{view.name}, plane {index + 1} of {image.shape[view.across]}", fontsize=9)
        _letter_edges(panel, view)
    for panel, (side, azimuth) in zip(panels[len(views) :], SIDES.items(), strict=True):
        panel.imshow(render_surfaces(masks, spacing, axes, azimuth, size=240))
        panel.set_title(f"surfaces {side}" if masks.any() else "nothing is labelled", fontsize=9)
        panel.axis("off")
    handles = [Patch(color=colour_of(value), label=name) for name, value in plans.foreground.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False, fontsize=9)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=80, format="png", metadata={"Software": MARK})
    atomic_write(path, picture.getvalue())


def is_preview(path: Path) -> bool:
    """Whether a file is a picture that `write_preview` wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK.encode() in file.read(512)


def _letter_edges(panel: Any, view: PlaneView) -> None:
    """Directions of the body at the edges of a plane."""
    places = ((0.5, 0.98, "center", "top"), (0.5, 0.02, "center", "bottom"),
              (0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"))  # fmt: skip
    for letter, (x, y, horizontal, vertical) in zip(view.edges, places, strict=True):
        panel.text(x, y, letter, color="white", fontsize=8, ha=horizontal, va=vertical, transform=panel.transAxes)
    panel.axis("off")
