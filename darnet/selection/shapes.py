"""Shapes of predicted classes against those of the source labels: volume, extent, position, number of pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darnet.imaging import count_components

MOST_DEVIATIONS = 4.0  # from which on a feature is as odd as can be
# Least deviation of each feature: few source cases tell little of how much patients differ.
LEAST_VOLUME, LEAST_EXTENT, LEAST_PIECES = 0.2, 0.15, 0.7  # of natural logarithms
LEAST_PLACE = 10.0  # mm
LEAST = np.array([LEAST_VOLUME, *[LEAST_EXTENT] * 3, *[LEAST_PLACE] * 3, LEAST_PIECES])
KINDS = (slice(0, 1), slice(1, 4), slice(4, 7), slice(7, 8))  # volume, extent, position, pieces
LEAST_SHOWN = 3  # cases that tell how much a class differs between patients
TAIL = 5.0  # percent of the voxels at either end that an extent leaves out
BODY = ("LR", "PA", "SI")  # body axes, each with the direction that counts as positive first


def describe_shapes(
    labels: NDArray[np.integer], classes: Sequence[int], spacing: Sequence[float], body_axes: Sequence[str]
) -> dict[int, NDArray[np.float64]]:
    """Features of each class that labels (D, H, W) show.

    Args:
        labels: Labels, of source or as predicted.
        classes: Values to describe.
        spacing: mm (D, H, W).
        body_axes: Directions in which D, H and W run, as in ("S", "P", "L").

    Returns:
        Of each class, (8,): logarithm of the volume in mm3; logarithms of the extents in mm along the body axes L, P
        and S; its centre in mm along them, from the middle of the centres of all classes (nan where it is the only
        one); logarithm of the number of pieces.
    """
    order, signs = _to_body(body_axes)
    size = np.asarray(spacing, np.float64)
    shapes: dict[int, NDArray[np.float64]] = {}
    centres: dict[int, NDArray[np.float64]] = {}
    for value in classes:
        mask = labels == value
        places = np.argwhere(mask)
        if not len(places):
            continue
        low, high = np.percentile(places, [TAIL, 100.0 - TAIL], axis=0)
        extent = ((high - low + 1.0) * size)[order]
        centres[value] = (places.mean(axis=0) * size)[order] * signs
        pieces = count_components(mask)
        volume = np.log(len(places) * size.prod())
        shapes[value] = np.array([volume, *np.log(extent), np.nan, np.nan, np.nan, np.log(pieces)])
    if len(centres) > 1:
        middle = np.mean(list(centres.values()), axis=0)
        for value, centre in centres.items():
            shapes[value][4:7] = centre - middle
    return shapes


def _to_body(body_axes: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which array axis runs along each body axis, and whether with or against it."""
    order, signs = [], []
    for pair in BODY:
        axis = next(n for n, letter in enumerate(body_axes) if letter in pair)
        order.append(axis)
        signs.append(1.0 if body_axes[axis] == pair[0] else -1.0)
    return np.array(order), np.array(signs)


@dataclass(frozen=True)
class ShapeReference:
    """What the shapes of the source labels are like.

    Attributes:
        shown: Share of the source cases that show each class.
        middle: Median (8,) of each class's features.
        spread: Their standard deviation (8,), no smaller than `LEAST`.
    """

    shown: Mapping[int, float]
    middle: Mapping[int, NDArray[np.float64]]
    spread: Mapping[int, NDArray[np.float64]]


def learn_shapes(cases: Sequence[Mapping[int, NDArray[np.float64]]], classes: Sequence[int]) -> ShapeReference:
    """Gather the shapes of all source cases. Classes that none of them shows are left out."""
    shown: dict[int, float] = {}
    middle: dict[int, NDArray[np.float64]] = {}
    spread: dict[int, NDArray[np.float64]] = {}
    for value in classes:
        found = [case[value] for case in cases if value in case]
        if found:
            shown[value] = len(found) / len(cases)
            # A column without a number stays nan; NumPy would warn of it.
            columns = [column[np.isfinite(column)] for column in np.transpose(found)]
            middle[value] = np.array([np.median(c) if len(c) else np.nan for c in columns])
            spread[value] = np.maximum([c.std() if len(c) else 0.0 for c in columns], LEAST)
    return ShapeReference(shown, middle, spread)


def plausibility(shapes: Mapping[int, NDArray[np.float64]], reference: ShapeReference) -> dict[int, float]:
    """How much each predicted class is like the source's: 1 where its features are the medians, 0 where all are odd.

    A class is the mean of volume, extent, position and pieces, each 1 less the distance of its features from their
    medians in deviations over `MOST_DEVIATIONS`; one that is absent is the share of source cases that do not show it.
    """
    scores = {}
    for value, shown in reference.shown.items():
        if value not in shapes:
            scores[value] = 1.0 - shown
            continue
        deviations = np.abs(shapes[value] - reference.middle[value]) / reference.spread[value]
        kinds = [float(np.minimum(deviations[kind], MOST_DEVIATIONS).mean()) for kind in KINDS]
        scores[value] = 1.0 - float(np.nanmean(kinds)) / MOST_DEVIATIONS
    return scores


def usual_plausibility(
    cases: Sequence[Mapping[int, NDArray[np.float64]]], classes: Sequence[int], shown: bool = False
) -> dict[int, float]:
    """Plausibility of each class of a source case against all others, on average: of all cases, or of those that show
    the class.

    None for a class that fewer than `LEAST_SHOWN` cases show, unless all do, and without others.
    """
    counts = {value: sum(value in case for case in cases) for value in classes}
    known = [value for value in classes if counts[value] >= min(LEAST_SHOWN, len(cases))]
    found = [plausibility(case, learn_shapes([*cases[:n], *cases[n + 1 :]], classes)) for n, case in enumerate(cases)]
    values = {
        value: [
            scores[value]
            for case, scores in zip(cases, found, strict=True)
            if value in scores and (value in case or not shown)
        ]
        for value in known
    }
    return {value: float(np.mean(scores)) for value, scores in values.items() if scores}
