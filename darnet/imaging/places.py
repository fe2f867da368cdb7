"""Which piece of a class is the class: by its size, and by where it lies among the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darnet.imaging.components import numbered_components
from darnet.imaging.crop import box_of, slices_of
from darnet.plans import Place

LEAST_SPREAD = 10.0  # mm: a pair of classes is never expected more exactly, since patients of both domains differ
LEAST_VOLUME = 0.05  # of the expected volume: smaller pieces are looked at only where there is no larger one
MOST_PIECES = 6  # of a class, the largest ones
ADVANTAGE = 2.0  # of the largest piece: patients of another size than the source's have everything elsewhere
SWEEPS = 5  # over all classes, each time with the pieces chosen so far


@dataclass(frozen=True)
class _Pieces:
    """The largest pieces of one class, from the largest on: their numbers, volumes in ml, and centres (N, 3) in mm."""

    numbers: NDArray[np.int64]
    volumes: NDArray[np.float64]
    centres: NDArray[np.float64]


def keep_in_place(
    labels: NDArray[np.integer], affine: NDArray[np.float64], places: Mapping[int, Place]
) -> NDArray[np.integer]:
    """Keep one 26-connected component of some labels; the rest of each becomes background.

    Of class c with pieces of volume v and centre x the one is kept for which

        log min(v / v_c, 1) - 1/2 mean over o of |x - x_o - (d_c - d_o)|^2 / max(s_c^2 + s_o^2, 10^2)

    is largest, v_c, d_c and s_c its `Place`, and x_o the centre of the piece that is kept of each other class o that
    was found; the largest piece counts 2 more than that. The largest pieces are the first choice; then all are chosen
    again a few times. A single class keeps the largest piece.

    Args:
        labels: Label volume, any axis order.
        affine: (4, 4) from its indices to mm towards right, anterior and superior.
        places: Of the labels to clean; others stay as they are.
    """
    cleaned, pieces = np.array(labels), {}
    for label, place in places.items():
        box, components, own = _pieces(labels == label, affine, place.ml)
        if len(own.numbers) > 0:
            pieces[label] = own
        if len(own.numbers) == 1:
            _drop_others(cleaned[box], components, own.numbers[0])
    chosen = dict.fromkeys(pieces, 0)
    for _ in range(SWEEPS):
        before = dict(chosen)
        for label, own in pieces.items():
            others = [o for o in pieces if o != label]
            centres = [pieces[o].centres[chosen[o]] for o in others]
            chosen[label] = int(np.argmax(_score(own, places[label], [places[o] for o in others], centres)))
        if chosen == before:
            break
    for label, own in pieces.items():
        if len(own.numbers) > 1:
            # Made again rather than held: those of many classes would take more memory than the scan.
            box, components, _ = _pieces(labels == label, affine, places[label].ml)
            _drop_others(cleaned[box], components, own.numbers[chosen[label]])
    return cleaned


def _drop_others(labels: NDArray[np.integer], components: NDArray[np.integer], kept: int) -> None:
    labels[(components > 0) & (components != kept)] = 0


def _score(
    own: _Pieces, place: Place, others: Sequence[Place], centres: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """How well each piece (N,) fits, by its volume and its place among the pieces of other classes."""
    score = np.log(np.minimum(own.volumes / place.ml, 1))
    for other, centre in zip(others, centres, strict=True):
        expected = np.subtract(place.offset, other.offset)
        variance = max(place.spread**2 + other.spread**2, LEAST_SPREAD**2)
        score -= 0.5 * ((own.centres - centre - expected) ** 2).sum(axis=1) / variance / len(others)
    score[0] += ADVANTAGE  # pieces come from the largest on
    return np.asarray(score)


def _pieces(
    mask: NDArray[np.bool_], affine: NDArray[np.float64], ml: float
) -> tuple[tuple[slice, ...], NDArray[np.integer], _Pieces]:
    """Box of a class, all components within it, and the largest ones of them; none of an empty mask."""
    box = slices_of(box_of(mask)) if mask.any() else (slice(0, 0),) * 3
    components, counts, centroids = numbered_components(mask[box], 26)
    axes = np.asarray(affine)[:3, :3]
    volumes = counts * abs(np.linalg.det(axes)) / 1000
    order = np.argsort(-volumes, kind="stable")[:MOST_PIECES]
    order = order[volumes[order] >= min(LEAST_VOLUME * ml, volumes.max(initial=0))]
    centres = (centroids[order] + np.array([part.start for part in box])) @ axes.T
    return box, components, _Pieces(order + 1, volumes[order], centres)
