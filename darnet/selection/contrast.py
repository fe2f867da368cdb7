"""Whether source scans suit target scans better with bright and dark turned round: told by what a forest finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.imaging import foreground_mask, invert_contrast, keep_largest, neighbour_offsets
from darnet.selection.shapes import ShapeReference, describe_shapes, learn_shapes, plausibility

TREES = 40
VOXELS_A_CLASS, VOXELS_OF_CLASSES, VOXELS_OF_BACKGROUND = 400, 4000, 1500  # of each source volume, at most
RADII = (1, 2, 4, 8)  # voxels in plane from a voxel to the rings that the forest sees
OUTSIDE = -0.5  # what air counts as, where the body is 0 to 1
SMOOTH = (0.7, 1.0, 1.0)  # voxels by which chances are smoothed: single voxels are no shapes
SUREST = 0.05  # of the voxels of a body: those whose chances tell how sure the forest is
LEAST_CASES = 3  # of the source, to know what shapes are like
LEAST_SHOWN = 0.5  # of them, that show a class on the coarse grid: of others it would count not to be found
LEAST_SCORE = 0.2  # of the better one: what finds hardly anything tells nothing
TURNED = 1.15  # times the score as it is that the score turned round needs
KEPT = 1.5  # times the score turned round that the score as it is needs


@dataclass(frozen=True)
class Volume:
    """A preprocessed scan.

    Attributes:
        image: (D, H, W) in [-1, 1].
        labels: (D, H, W), of a source scan; None for a target scan.
        body_axes: Directions in which D, H and W run.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.integer] | None
    body_axes: tuple[str, str, str]


@dataclass(frozen=True)
class Contrasts:
    """How well a forest that learned from source scans does on target scans, 0 to 1: plausibility of the shapes that it
    finds times how sure it is.

    Attributes:
        as_is: Of source scans as they are.
        inverted: Of source scans with bright and dark turned round.
    """

    as_is: float
    inverted: float

    @property
    def choice(self) -> bool | None:
        """Whether source scans are to be turned round; None where neither is good or clearly better."""
        if max(self.as_is, self.inverted) < LEAST_SCORE:
            return None
        if self.inverted > TURNED * self.as_is:
            return True
        return False if self.as_is > KEPT * self.inverted else None


def compare_contrasts(
    source: Sequence[Volume],
    target: Sequence[Volume],
    classes: Mapping[str, int],
    single: Sequence[int],
    spacing: Sequence[float],
    seed: int,
) -> Contrasts | None:
    """Fit a forest to source volumes as they are, and another to the same turned round, and score both on target ones.

    No label of a target scan is used.

    Args:
        source: Labelled volumes.
        target: Others, on the same grid.
        classes: Value of each class by name.
        single: Values of classes of which the largest component alone counts.
        spacing: mm (D, H, W) of the grid: its rings and planes are made for about 60 voxels across the body.
        seed: Of the voxels that are drawn and of the forests.

    Returns:
        None where source or target scans are too few, or most source scans show no class on this grid.
    """
    if len(source) < LEAST_CASES or not target:
        return None
    every = list(classes.values())
    shapes = [describe_shapes(v.labels, every, spacing, v.body_axes) for v in source if v.labels is not None]
    values = [value for value in every if sum(value in shown for shown in shapes) >= LEAST_SHOWN * len(source)]
    if not values:
        return None
    reference = learn_shapes(shapes, values)
    samples = [_draw(volume, values, np.random.default_rng([seed, n])) for n, volume in enumerate(source)]
    bodies = [_body(volume.image) for volume in target]
    seen = [neighbourhoods(v.image, body, np.argwhere(body)) for v, body in zip(target, bodies, strict=True)]

    def score(inverted: bool) -> float:
        """That of source volumes as they are, or turned round."""
        forest = _fit(source, samples, inverted, seed)
        found = [
            _score(forest, values, single, volume, body, features, reference, spacing)
            for volume, body, features in zip(target, bodies, seen, strict=True)
        ]
        likely, sure = np.mean(found, axis=0)
        return float(likely * sure)

    return Contrasts(score(False), score(True))


def neighbourhoods(
    image: NDArray[np.float32], body: NDArray[np.bool_], places: NDArray[np.int64]
) -> NDArray[np.float32]:
    """What the forest sees of voxels: ranks of intensities there and about them, and where they lie in the plane.

    A rank is the share of the body's voxels that are darker, so that any rising curve of intensities changes nothing.

    Args:
        image: (D, H, W).
        body: Mask (D, H, W).
        places: Voxels (N, 3).

    Returns:
        (N, features).
    """
    from scipy.ndimage import gaussian_filter

    ordered = np.sort(image[body])
    ranks = np.where(body, np.searchsorted(ordered, image) / max(len(ordered), 1), OUTSIDE).astype(np.float32)
    last = np.asarray(image.shape) - 1
    columns = [ranks[tuple(places.T)], gaussian_filter(ranks, (0.5, 1, 1))[tuple(places.T)]]
    for offset in neighbour_offsets(RADII):
        there = places + offset
        inside = ((there >= 0) & (there <= last))[:, 1:].all(axis=1)  # beyond the ends of a scan the body goes on
        columns.append(np.where(inside, ranks[tuple(np.clip(there, 0, last).T)], np.float32(OUTSIDE)))
    columns += [places[:, axis] / max(last[axis], 1) for axis in (1, 2)]
    return np.stack(columns, axis=1).astype(np.float32)


def _body(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The body of a volume, or all of it where nothing stands out."""
    mask = foreground_mask(image)
    return mask if mask.any() else np.ones(image.shape, np.bool_)


def _draw(
    volume: Volume, values: Sequence[int], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.integer]]:
    """Body of a labelled volume, some voxels (N, 3) of each class and of the rest of the body, and their labels."""
    assert volume.labels is not None
    body, a_class = _body(volume.image), min(VOXELS_A_CLASS, VOXELS_OF_CLASSES // len(values))
    places = []
    for value in (0, *values):
        own = np.argwhere((volume.labels == value) & (body | (volume.labels > 0)))
        places.append(own[rng.permutation(len(own))[: a_class if value else VOXELS_OF_BACKGROUND]])
    chosen = np.concatenate(places)
    return body, chosen, volume.labels[tuple(chosen.T)]


def _fit(
    source: Sequence[Volume],
    samples: Sequence[tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.integer]]],
    inverted: bool,
    seed: int,
) -> Any:
    """A forest that tells classes of voxels."""
    from sklearn.ensemble import ExtraTreesClassifier

    images = [invert_contrast(volume.image) if inverted else volume.image for volume in source]
    seen = [neighbourhoods(image, body, places) for image, (body, places, _) in zip(images, samples, strict=True)]
    forest = ExtraTreesClassifier(TREES, min_samples_leaf=5, class_weight="balanced", random_state=seed, n_jobs=1)
    return forest.fit(np.concatenate(seen), np.concatenate([labels for _, _, labels in samples]))


def _score(
    forest: Any,
    values: Sequence[int],
    single: Sequence[int],
    volume: Volume,
    body: NDArray[np.bool_],
    features: NDArray[np.float32],
    reference: ShapeReference,
    spacing: Sequence[float],
) -> tuple[float, float]:
    """Plausibility of what a forest finds in a volume, the mean of the classes, and how sure it is."""
    from scipy.ndimage import gaussian_filter

    known = list(forest.classes_)
    chances = np.zeros((len(values) + 1, *volume.image.shape), np.float32)
    chances[0] = 1
    found = forest.predict_proba(features)
    for channel, value in enumerate((0, *values)):
        chances[channel][body] = found[:, known.index(value)] if value in known else 0
    chances = np.stack([gaussian_filter(channel, SMOOTH) for channel in chances])
    labels = keep_largest(np.asarray((0, *values))[chances.argmax(axis=0)], single)
    likely = plausibility(describe_shapes(labels, values, spacing, volume.body_axes), reference)
    best = np.sort(chances[1:, body].max(axis=0))
    return float(np.mean(list(likely.values()))), float(best[-max(round(SUREST * len(best)), 1) :].mean())
