"""Labels as pictures of their surfaces, seen from any side: no 3D library, just the first voxel along each ray."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from darnet.imaging.crop import box_of, crop
from darnet.imaging.planes import OPPOSITE, Axes, plane_views

# Okabe and Ito's colours, which colour-blind readers tell apart, in an order that suits grey pictures.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
AMBIENT = 0.35
LIGHT = np.array([-0.45, -0.8, -0.4])  # towards the lamp above the viewer's left shoulder, (rows, depth, columns)
SMOOTHING = 0.7  # voxels


def colour_of(label: int) -> str:
    """Colour of a label above 0, "#RRGGBB". From the eighth on, colours come again at half brightness."""
    colour = PALETTE[(label - 1) % len(PALETTE)]
    if (label - 1) // len(PALETTE) % 2 == 0:
        return colour
    return "#" + "".join(f"{int(colour[i : i + 2], 16) // 2:02X}" for i in (1, 3, 5))


def label_colours(num_classes: int, opacity: float = 0.5) -> NDArray[np.uint8]:
    """Red, green, blue and opacity of each label, (num_classes, 4); the background is clear."""
    colours = np.zeros((num_classes, 4), np.uint8)
    for label in range(1, num_classes):
        colours[label, :3] = _rgb(label)
        colours[label, 3] = round(255 * opacity)
    return colours


def render_surfaces(
    labels: NDArray[np.integer], spacing: Sequence[float], axes: Axes, azimuth: float, size: int = 160
) -> NDArray[np.uint8]:
    """Surfaces of all labels as seen by a viewer who walks round the patient.

    Args:
        labels: (D, H, W), 0 is clear.
        spacing: mm of its axes.
        axes: Directions in which its axes run, such as ("S", "P", "L").
        azimuth: Degrees: 0 from the front, 90 from the patient's left, 180 from behind.
        size: Pixels of the longer side of the picture.

    Returns:
        (rows, columns, 4) red, green, blue and opacity; clear where no surface is.
    """
    upright, mm = _upright(labels, spacing, axes)
    if not upright.any():
        return np.zeros((size, size, 4), np.uint8)
    box = box_of(upright > 0)
    # Voxels that are finer than the picture are passed over, so that large scans take no more time or memory.
    fine = max((stop - start) * step for (start, stop), step in zip(box, mm, strict=True)) / size
    strides = np.maximum((fine / mm).astype(int), 1)
    upright = np.pad(crop(upright, box)[tuple(slice(None, None, int(n)) for n in strides)], 2)
    mm = mm * strides
    extent = np.array(upright.shape) * mm
    # The picture is as wide as the diagonal, so that all azimuths have one scale.
    width = math.hypot(extent[1], extent[2])
    step = max(extent[0], width) / size
    shape = (math.ceil(extent[0] / step), math.ceil(width / step), math.ceil(width / step))
    turn = _rotation(azimuth)
    matrix = np.diag(1 / mm) @ turn * step
    offset = (np.array(upright.shape) - 1) / 2 - matrix @ ((np.array(shape) - 1) / 2)
    picture = np.zeros((shape[0], shape[2], 4), np.uint8)
    nearest = np.full(picture.shape[:2], np.inf)
    for label in (int(v) for v in np.unique(upright) if v):
        field = ndimage.gaussian_filter((upright == label).astype(np.float32), SMOOTHING)
        level = min(0.5, 0.6 * float(field.max()))  # what is thinner than the smoothing is still drawn
        seen = ndimage.affine_transform(field, matrix, offset, output_shape=shape, order=1)
        depth, shade = _first_hit(seen, level)
        closer = depth < nearest
        nearest[closer] = depth[closer]
        picture[closer, :3] = np.clip(shade[closer, None] * np.array(_rgb(label)), 0, 255)
        picture[closer, 3] = 255
    return picture


def _upright(labels: NDArray[Any], spacing: Sequence[float], axes: Axes) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Labels with axes towards inferior, posterior and left, and their spacing."""
    coronal = plane_views(axes)[1]
    order = (coronal.rows, coronal.across, coronal.columns)
    steps = tuple(
        slice(None, None, 1 if axes[n] == wanted else -1) for n, wanted in zip(order, ("I", "P", "L"), strict=True)
    )
    assert all(axes[n] in (w, OPPOSITE[w]) for n, w in zip(order, ("I", "P", "L"), strict=True))
    return np.transpose(labels, order)[steps], np.array([spacing[n] for n in order])


def _rotation(azimuth: float) -> NDArray[np.float64]:
    """Turns (rows, depth, columns) of the picture into (inferior, posterior, left)."""
    cos, sin = math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin, cos]])


def _first_hit(field: NDArray[np.float32], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth at which each ray along axis 1 enters the surface, inf where it does not, and how bright it is there."""
    inside = field >= level
    first = np.maximum(inside.argmax(axis=1), 1)
    hit = inside.any(axis=1)
    rows, columns = np.indices(first.shape)
    after, before = field[rows, first, columns], field[rows, first - 1, columns]
    part = np.clip((level - before) / np.maximum(after - before, 1e-6), 0, 1)
    depth = np.where(hit, first - 1 + part, np.inf)
    normal = np.stack([_slope(field, first, rows, columns, axis) for axis in range(3)])
    length = np.maximum(np.linalg.norm(normal, axis=0), 1e-6)
    light = LIGHT / np.linalg.norm(LIGHT)
    facing = np.clip(np.tensordot(light, normal, 1) / length, 0, 1)
    return depth, AMBIENT + (1 - AMBIENT) * facing


def _slope(
    field: NDArray[np.float32], first: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], axis: int
) -> NDArray[np.float64]:
    """How fast the field falls along an axis at the hits: the outward normal, not yet of length 1."""
    place = [rows, first, columns]
    ahead, behind = list(place), list(place)
    ahead[axis] = np.minimum(place[axis] + 1, field.shape[axis] - 1)
    behind[axis] = np.maximum(place[axis] - 1, 0)
    return np.asarray(field[tuple(behind)] - field[tuple(ahead)], np.float64)


def _rgb(label: int) -> tuple[int, int, int]:
    colour = colour_of(label)
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue
