"""Arrays as pictures of a page: planes of volumes, rows of planes that a slider goes through, surfaces."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.imaging import PlaneView, cut_plane, label_colours, plane_of_most_labels, plane_views, render_surfaces
from darnet.report.records import Picture, Stack

MOST_PIXELS = 256  # of a picture's side: larger planes are thinned out
MOST_STEPS = 16  # positions of a slider
DIRECTIONS = {
    "S": "from feet to head", "I": "from head to feet", "P": "from front to back",
    "A": "from back to front", "L": "from right to left", "R": "from left to right",
}  # fmt: skip
SIDES = {"front": 0.0, "left": 90.0, "back": 180.0, "right": 270.0}


@dataclass(frozen=True)
class Volume:
    """A volume to look at.

    Attributes:
        name: Its title.
        image: (D, H, W).
        spacing: mm of its axes.
        axes: Directions in which its axes run, such as ("S", "P", "L").
        window: Values that are black and white.
        labels: (D, H, W), or None.
    """

    name: str
    image: NDArray[Any]
    spacing: tuple[float, float, float]
    axes: tuple[str, str, str]
    window: tuple[float, float] = (-1.0, 1.0)
    labels: NDArray[np.integer] | None = None

    def view(self, plane: str) -> PlaneView:
        """The view of this name."""
        return next(view for view in plane_views(self.axes) if view.name == plane)

    def depth(self, plane: str) -> int:
        """Number of planes of this kind."""
        return int(self.image.shape[self.view(plane).across])


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """Grey (rows, columns) or coloured (rows, columns, 3 or 4) pixels as the data URI of a PNG."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    imsave(file, np.ascontiguousarray(pixels), format="png", metadata={"Software": ""})
    return _uri(file.getvalue())


def picture_file(path: Path, alt: str, caption: str = "") -> Picture:
    """A PNG file as a picture in its own proportions."""
    content = path.read_bytes()
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    return Picture(_uri(content), alt, max(width, 1), max(height, 1), caption=caption)


def plane_picture(volume: Volume, plane: str, index: int, caption: str = "") -> Picture:
    """One plane of a volume, with its labels to be laid over it."""
    view = volume.view(plane)
    low, high = volume.window
    cut = _thin(cut_plane(volume.image, view, index)).astype(np.float32)
    grey = np.clip(255 * (cut - low) / max(high - low, 1e-6), 0, 255).astype(np.uint8)
    overlay, shown = "", ""
    if volume.labels is not None:
        labels = _thin(cut_plane(volume.labels, view, index))
        colours = label_colours(int(volume.labels.max()) + 1, opacity=0.55)
        if labels.any():
            overlay, shown = png_uri(colours[labels]), " with its labels"
    rows, columns = volume.image.shape[view.rows], volume.image.shape[view.columns]
    alt = f"{volume.name}{shown}: {plane} plane {index + 1} of {volume.depth(plane)}"
    width, height = columns * volume.spacing[view.columns], rows * volume.spacing[view.rows]
    return Picture(png_uri(grey), alt, max(round(width), 1), max(round(height), 1), overlay, caption, view.edges)


def middle_plane(volume: Volume, plane: str, caption: str = "") -> Picture:
    """The plane of most labels where there are any, else the middle one."""
    depth = volume.depth(plane)
    index = depth // 2 if volume.labels is None else plane_of_most_labels(volume.labels, volume.view(plane))
    return plane_picture(volume, plane, index, caption)


def plane_stack(volumes: Sequence[Volume], plane: str, most: int = MOST_STEPS) -> Stack:
    """Volumes side by side, with a slider from one end of all of them to the other."""
    positions = min(max(volume.depth(plane) for volume in volumes), most)
    # The ends of a volume often show nothing.
    shares = np.linspace(0.04, 0.96, positions)
    steps = tuple(
        tuple(
            plane_picture(volume, plane, index, f"plane {index + 1} of {volume.depth(plane)}")
            for volume in volumes
            for index in [round(float(share) * (volume.depth(plane) - 1))]
        )
        for share in shares
    )
    start = positions // 2
    labelled = next((v for v in volumes if v.labels is not None and v.labels.any()), None)
    if labelled is not None and labelled.labels is not None:
        best = plane_of_most_labels(labelled.labels, labelled.view(plane)) / max(labelled.depth(plane) - 1, 1)
        start = int(np.abs(shares - best).argmin())
    towards = volumes[0].axes[volumes[0].view(plane).across]
    return Stack(f"{plane} planes, {DIRECTIONS[towards]}", tuple(v.name for v in volumes), steps, start)


def surface_pictures(volume: Volume, classes: Sequence[str]) -> tuple[Picture, ...]:
    """The surfaces of a volume's labels from four sides."""
    if volume.labels is None or not volume.labels.any():
        return ()
    found = []
    for side, azimuth in SIDES.items():
        pixels = render_surfaces(volume.labels, volume.spacing, volume.axes, azimuth)
        seen = "behind" if side == "back" else f"the {'patient’s ' if side in ('left', 'right') else ''}{side}"
        alt = f"{volume.name}: surfaces of {', '.join(classes)} seen from {seen}"
        found.append(Picture(png_uri(pixels), alt, pixels.shape[1], pixels.shape[0], caption=f"from {seen}"))
    return tuple(found)


def _thin(plane: NDArray[Any]) -> NDArray[Any]:
    """Every n-th row and column of a plane that is too large."""
    rows, columns = (max(-(-size // MOST_PIXELS), 1) for size in plane.shape)
    return plane[::rows, ::columns]


def _uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
