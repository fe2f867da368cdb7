"""Preprocessing of one case, arrays in and arrays out: turn, crop, normalise, resample."""

from __future__ import annotations

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
    crop_to_depth,
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
from darnet.plans import Plans, is_mr

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

    Every scan is cropped to its body. Labels guide the crop of labelled source scans alone, and only along D; target
    scans are cropped without them, in training as in prediction.

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
    if is_mr(kind.modality) and rule.rule == "percentile":
        volume = without_padding(volume)
    spacing = spacing_of(affine, orientation)
    turned = None if labels is None else to_canonical(labels, orientation)
    limits = plan.source_depth, plan.source_height, plan.source_width
    box = find_crop(volume, spacing, turned, limits, kind.hounsfield)
    part = np.array(crop(volume, box), order="C")
    shape = shape_at_spacing((part.shape[0], part.shape[1], part.shape[2]), spacing, plan.spacing)
    if int(np.prod(shape, dtype=object)) > LARGEST_PLANNED:
        raise DataError(
            "the scan is too large on the planned grid",
            found=f"{shape} voxels of {plan.spacing} mm, from a spacing of {np.round(spacing, 3).tolist()} mm",
            expected=f"at most {LARGEST_PLANNED} voxels",
            remedy="look whether the spacing in its header is right; crop the scan if it is",
        )
    normalized = normalize(part, rule.rule, rule.low, rule.high, in_place=True)
    resampled = resample_image(normalized, shape, plan.anisotropic)
    if domain == "source" and plan.source_inverted:
        resampled = invert_contrast(resampled)
    stored = None if turned is None else resample_labels(np.ascontiguousarray(crop(turned, box)), shape)
    return PreprocessedCase(resampled[None], stored, orientation, box, spacing)


def find_crop(
    volume: NDArray[np.float32],
    spacing: tuple[float, float, float],
    labels: NDArray[Any] | None = None,
    limits: tuple[float | None, float | None, float | None] = (None, None, None),
    hounsfield: bool = False,
) -> Box:
    """Box that is kept of a turned scan (D, H, W): the body, and where that is limited, so much about the labels.

    Args:
        volume: The scan.
        spacing: mm (D, H, W).
        labels: Labels of a source scan, or None.
        limits: mm along D, H and W, or None to keep all. Labels that reach further are kept.
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
    depth, *plane = limits
    for axis, limit in enumerate(plane, 1):
        if limit is not None:
            start, stop = labelled[axis]
            box = shorten(box, axis, (start, stop), max(round(limit / spacing[axis]), stop - start))
    if depth is None:
        return box
    start, stop = labelled[0]
    planes = max(round(depth / spacing[0]), stop - start)
    return crop_to_depth(((start, stop), *box[1:]), volume.shape, planes)
