"""Preprocessing of one case, arrays in and arrays out: turn, crop, normalise, resample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.errors import DataError
from darnet.imaging import (
    Box,
    Orientation,
    box_of,
    canonical_view,
    crop,
    determine_orientation,
    foreground_mask,
    invert_contrast,
    normalize,
    resample_image,
    resample_labels,
    shape_at_spacing,
    shorten,
    spacing_of,
    to_canonical,
    without_padding,
)
from darnet.plans import LABEL_MARGIN, Plans

BODY_MARGIN = 5.0  # mm around the body that a crop keeps in plane
LARGEST_PLANNED = 2**30  # voxels on the planned grid


@dataclass(frozen=True)
class PreprocessedCase:
    """A case on the planned grid, and how it came there.

    Attributes:
        image: (1, D, H, W) in [-1, 1], float32.
        labels: (D, H, W), or None.
        orientation: How the input's axes became (D, H, W).
        crop_box: The part of the turned scan that was kept.
        spacing: mm (D, H, W) of the turned scan before resampling.
    """

    image: NDArray[np.float32]
    labels: NDArray[Any] | None
    orientation: Orientation
    crop_box: Box
    spacing: tuple[float, float, float]


def preprocess_arrays(
    image: NDArray[np.float32],
    affine: NDArray[np.float64],
    plans: Plans,
    domain: str,
    labels: NDArray[Any] | None = None,
) -> PreprocessedCase:
    """Bring one scan to the planned grid and intensities.

    Every scan is cropped to its body. Labels guide the crop of labelled source scans alone; target scans are cropped
    without them, in training as in prediction.

    Args:
        image: Voxels (i, j, k).
        affine: (4, 4) from voxel to mm in R, A, S.
        plans: The plan.
        domain: "source" or "target": whose intensity rule applies.
        labels: Labels (i, j, k) of a source scan.

    Raises:
        DataError: The scan is constant, or would be too large on the planned grid.
    """
    plan = plans.preprocessing
    orientation = determine_orientation(affine, plan.through_plane)
    volume = canonical_view(np.asarray(image, np.float32), orientation)  # one copy less of a large scan
    if volume.min() == volume.max():
        raise DataError("the scan is constant", found=f"all voxels are {volume.flat[0]}", remedy="export it again")
    kind = plans.domain(domain)
    rule = kind.intensity
    if kind.padded:
        volume = without_padding(volume)
    spacing = spacing_of(affine, orientation)
    turned = None if labels is None else to_canonical(labels, orientation)
    whole = find_crop(volume, spacing, turned, plan.source_depth, kind.hounsfield)
    box = crop_plane(whole, spacing, turned, plan.source_limits[1:])
    part = np.array(crop(volume, whole), order="C")
    d, h, w = (stop - start for start, stop in box)
    shape = shape_at_spacing((d, h, w), spacing, plan.spacing)
    if int(np.prod(shape, dtype=object)) > LARGEST_PLANNED:
        raise DataError(
            "the scan is too large on the planned grid",
            found=f"{shape} voxels of {plan.spacing} mm, from a spacing of {np.round(spacing, 3).tolist()} mm",
            expected=f"at most {LARGEST_PLANNED} voxels",
            remedy="look whether the spacing in its header is right; crop the scan if it is",
        )
    # All of the body tells what is air, and how bright tissue is.
    normalized = normalize(part, rule.rule, rule.low, rule.high, in_place=True)
    if box != whole:
        (d0, _), (h0, _), (w0, _) = whole
        within = ((box[0][0] - d0, box[0][1] - d0), (box[1][0] - h0, box[1][1] - h0), (box[2][0] - w0, box[2][1] - w0))
        normalized = np.ascontiguousarray(crop(normalized, within))
    resampled = resample_image(normalized, shape, plan.anisotropic)
    if domain == "source" and plan.source_inverted:
        resampled = invert_contrast(resampled)
    stored = None if turned is None else resample_labels(np.ascontiguousarray(crop(turned, box)), shape)
    return PreprocessedCase(resampled[None], stored, orientation, box, spacing)


def find_crop(
    volume: NDArray[np.float32],
    spacing: tuple[float, float, float],
    labels: NDArray[Any] | None = None,
    depth: float | None = None,
    hounsfield: bool = False,
) -> Box:
    """Box that is kept of a turned scan (D, H, W): the body, and along D at most `depth` mm about the labels.

    Args:
        volume: The scan.
        spacing: mm (D, H, W).
        labels: Labels of a source scan, or None.
        depth: mm along D, or None to keep all.
        hounsfield: As in `foreground_mask`.
    """
    d, h, w = (int(np.ceil(BODY_MARGIN / s)) for s in spacing)
    box = box_of(foreground_mask(volume, hounsfield), (d, h, w))
    if labels is None or not labels.any():
        return box
    labelled = box_of(labels)
    # Nothing that is labelled is cut off, whatever the intensities say.
    d0, h0, w0 = ((min(a, c), max(b, d)) for (a, b), (c, d) in zip(box, labelled, strict=True))
    box = (d0, h0, w0)
    if depth is None:
        return box
    start, stop = labelled[0]
    planes = max(round(depth / spacing[0]), stop - start)
    return shorten(((0, volume.shape[0]), *box[1:]), 0, (start, stop), planes)


def crop_plane(
    box: Box, spacing: tuple[float, float, float], labels: NDArray[Any] | None, plane: Sequence[float]
) -> Box:
    """Shorten a box along H and W to `plane` mm about the labels, or to labels and `LABEL_MARGIN` where that is more.

    Args:
        box: Box of a turned scan (D, H, W) that holds its labels.
        spacing: mm (D, H, W).
        labels: Labels of a source scan, or None, which leaves the box.
        plane: mm along (H, W).
    """
    if labels is None or not labels.any():
        return box
    for axis, about, limit in zip((1, 2), box_of(labels)[1:], plane, strict=True):
        extent = max(limit, (about[1] - about[0]) * spacing[axis] + 2 * LABEL_MARGIN)
        if math.isfinite(extent):
            box = shorten(box, axis, about, math.ceil(extent / spacing[axis]))
    return box
