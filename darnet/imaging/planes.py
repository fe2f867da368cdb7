"""Axial, coronal and sagittal planes of a volume, turned as radiologists look at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from darnet.errors import DataError
from darnet.imaging.crop import Scalar

Axes: TypeAlias = tuple[str, str, str]

OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
# Body axis across which each plane lies.
ACROSS = {"axial": "SI", "coronal": "AP", "sagittal": "LR"}
# Rows run down to inferior, else to posterior; columns run to the left of the patient, else to posterior.
DOWN_OR_RIGHT = "IPL"


@dataclass(frozen=True)
class PlaneView:
    """How one kind of plane is cut out of a volume.

    Attributes:
        name: "axial", "coronal" or "sagittal".
        across: Array axis that runs through the planes.
        rows: Array axis that runs down the picture.
        columns: Array axis that runs to the right of the picture.
        flip_rows: Whether the rows are turned round.
        flip_columns: Whether the columns are turned round.
        edges: Letters of the body's directions at the top, bottom, left and right of the picture.
    """

    name: str
    across: int
    rows: int
    columns: int
    flip_rows: bool
    flip_columns: bool
    edges: tuple[str, str, str, str]


def plane_across(code: str) -> str:
    """Plane, "axial", "coronal" or "sagittal", across a direction of the body, such as "S" or "I"."""
    return next(name for name, pair in ACROSS.items() if code in pair)


def plane_views(axes: Axes) -> tuple[PlaneView, ...]:
    """The axial, coronal and sagittal view of volumes whose axes run towards `axes`, such as ("S", "P", "L").

    Raises:
        DataError: The letters do not name each body axis once.
    """
    along = {pair: [n for n, code in enumerate(axes) if code in pair] for pair in ("SI", "AP", "LR")}
    if any(len(found) != 1 for found in along.values()):
        raise DataError("the directions of a volume do not name each body axis once", found=axes)
    views = []
    for name, pair in ACROSS.items():
        down = "AP" if name == "axial" else "SI"
        right = "AP" if name == "sagittal" else "LR"
        rows, columns = along[down][0], along[right][0]
        flips = [axes[n] not in DOWN_OR_RIGHT for n in (rows, columns)]
        bottom, end = (OPPOSITE[axes[n]] if f else axes[n] for n, f in zip((rows, columns), flips, strict=True))
        edges = (OPPOSITE[bottom], bottom, OPPOSITE[end], end)
        views.append(PlaneView(name, along[pair][0], rows, columns, flips[0], flips[1], edges))
    return tuple(views)


def cut_plane(volume: NDArray[Scalar], view: PlaneView, index: int) -> NDArray[Scalar]:
    """One plane (rows, columns) of a volume of three axes."""
    plane = np.take(volume, index, axis=view.across)
    if view.rows > view.columns:
        plane = plane.T
    turned: NDArray[Scalar] = plane[:: -1 if view.flip_rows else 1, :: -1 if view.flip_columns else 1]
    return turned


def plane_of_most_labels(labels: NDArray[np.integer], view: PlaneView) -> int:
    """Index of the plane that shows most of the labels, each class by its share of its own largest area; the middle
    plane where nothing is labelled."""
    others = tuple(axis for axis in range(3) if axis != view.across)
    areas = [np.count_nonzero(labels == value, axis=others) for value in np.unique(labels) if value]
    if not areas:
        return int(labels.shape[view.across]) // 2
    return int(np.argmax(np.sum([area / area.max() for area in areas], axis=0)))
