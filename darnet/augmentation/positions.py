"""How target scans show classes and background, told from where these lie in the body: no label of theirs is read.

Over patients, tissues lie at about the same place of the box about the body. So what target scans show in a place x is
nearly a mixture with known shares:

    p(i | x) = sum over k of S_k(x) h_k(i),

p the distribution of intensities of the target scans in place x, S_k the mean over source volumes of the share of one
degree of brightness of background, of a class, or of air. The distributions h_k are found by expectation maximisation
(Dempster, Laird and Rubin 1977), blurred a little after each iteration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from darnet.augmentation.matching import LEAST_VOXELS, LEVELS, Appearance, draw_appearance, draw_curve
from darnet.imaging import AIR, box_of, crop

GRID = (12, 24, 24)  # cells of the box about the body
BLUR = 0.75  # cells, standard deviation: how far the same place differs between patients
DEGREES = 12  # of the brightness of background
STEPS = np.linspace(-1.0, 1.0, 41)  # of the distributions
ITERATIONS = 30
SMOOTHING = (0.5, 0.7)  # degrees of background and bins, standard deviations of the blur after each iteration
PRIOR = 0.2  # cells that show what all of the body shows, added to what each class, degree or air is told by
LEAST_BODY = 0.05  # of a cell: air counts a little, so that its intensity is told too
LEAST_EXPLAINED = 0.3  # of the variance within the mean target scan
LEAST_PEAK = 1 / 3  # share of a class in the cell where it is likeliest: places of small or wandering ones tell little
QUARTILES = (0.25, 0.5, 0.75)
NEAR = 0.5  # share of drawn appearances whose background is about as bright as expected; others: in any order
BENDS, DEVIATION = 6, 0.15  # places at which a drawn curve leaves the expected one, and by how many ranks
TINY = 1e-9

FloatArray = NDArray[np.float32]


def shares_of_places(image: FloatArray, labels: NDArray[np.integer], num_classes: int) -> FloatArray | None:
    """Share of each place that is background of each degree of brightness, each class, and air.

    Args:
        image: (1, D, H, W) in -1..1, a source volume; voxels up to `AIR` are outside the body.
        labels: (D, H, W).
        num_classes: K, with background.

    Returns:
        (DEGREES + K, *GRID), the classes from 1 on before air; None where there is next to no background in the body.
    """
    body = image[0] > AIR
    background = image[0][body & (labels == 0)]
    if len(background) < LEAST_VOXELS:
        return None
    box, ranks = box_of(body), np.quantile(background, LEVELS)
    x, of_voxel = crop(image[0], box), crop(labels, box)
    kinds = DEGREES + num_classes
    counts = np.zeros((kinds, *GRID))
    for plane, place in enumerate(_places(len(x), GRID[0])):  # one after the other: scans may be large
        seen, label = x[plane] > AIR, of_voxel[plane].astype(np.intp)
        degree = np.interp(x[plane], ranks, LEVELS) * (DEGREES - 1)
        lower = np.minimum(degree.astype(np.intp), DEGREES - 2)
        outside = label == 0
        upper = np.where(seen & outside, degree - lower, 0.0)  # between two degrees it counts in part for either
        apart = np.where(outside, kinds - 1, DEGREES - 1 + label)
        counts[:, place] += _count(np.where(seen & outside, lower, apart), kinds, 1.0 - upper)
        counts[:, place] += _count(lower + 1, kinds, upper)
    return _as_shares(counts)


def histogram_of_places(image: FloatArray) -> FloatArray | None:
    """Distribution (bins of `STEPS`, *GRID) of the intensities of each place in a target scan (1, D, H, W) in -1..1.

    Air counts as -1. None where there is next to no body.
    """
    body = image[0] > AIR
    if np.count_nonzero(body) < LEAST_VOXELS:
        return None
    x, bins = crop(image[0], box_of(body)), len(STEPS) - 1
    counts = np.zeros((bins, *GRID))
    for plane, place in enumerate(_places(len(x), GRID[0])):
        shown = np.where(x[plane] > AIR, x[plane], np.float32(-1))
        counts[:, place] += _count(np.clip(np.digitize(shown, STEPS) - 1, 0, bins - 1), bins)
    return _as_shares(counts)


def _places(size: int, cells: int) -> NDArray[np.intp]:
    """Cell of each of `size` voxels along an axis."""
    return (2 * np.arange(size) + 1) * cells // (2 * size)


def _count(kinds: NDArray[np.intp], number: int, weights: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
    """Voxels (number, *GRID[1:]) of each kind in each cell of a plane whose voxels have the kinds (H, W)."""
    cell = np.ravel_multi_index(np.ix_(*(_places(n, g) for n, g in zip(kinds.shape, GRID[1:], strict=True))), GRID[1:])
    cells = GRID[1] * GRID[2]
    each = None if weights is None else weights.ravel()
    found = np.bincount((kinds * cells + cell).ravel(), each, minlength=number * cells)
    return found.reshape(number, *GRID[1:]).astype(np.float64)


def _as_shares(counts: NDArray[np.float64]) -> FloatArray:
    """Shares of the kinds in each cell and about it; 0 of all far from any voxel."""
    near = ndimage.gaussian_filter(counts, (0, BLUR, BLUR, BLUR), mode="nearest")
    return np.asarray(near / np.maximum(near.sum(0), TINY), np.float32)


@dataclass(frozen=True)
class Expected:
    """How target scans are expected to show source volumes: ranks 0..1 among the voxels of their bodies.

    Attributes:
        background: (DEGREES,) of background at ranks 0..1 in source volumes; empty where `explained` is None.
        classes: (K, 3) quartiles of each class over voxels and patients; nan for class 0 and for classes of which
            places tell too little; empty where `explained` is None.
        quantiles: Of `measure_quantiles`, of each target scan.
        explained: Share of the variance within the mean target scan that places explain; None where there is nothing to
            tell it from.
    """

    background: FloatArray
    classes: FloatArray
    quantiles: tuple[FloatArray, ...]
    explained: float | None

    @property
    def enough(self) -> bool:
        """Whether it may be used: of scans of other parts of the body, places tell too little."""
        return self.explained is not None and self.explained >= LEAST_EXPLAINED


def expect_appearance(
    shares: Iterable[FloatArray], histograms: Iterable[FloatArray], quantiles: Sequence[FloatArray]
) -> Expected:
    """How bright target scans are expected to show what source volumes show.

    Args:
        shares: Of `shares_of_places`, of the source volumes.
        histograms: Of `histogram_of_places`, of the target scans.
        quantiles: Of `measure_quantiles`, of the target scans.
    """
    known, shown = _mean(shares), _mean(histograms)
    if known is None or shown is None:
        return Expected(np.empty(0, np.float32), np.empty((0, len(QUARTILES)), np.float32), tuple(quantiles), None)
    found, explained = _unmix(known, shown)
    quartiles = np.array([np.interp(QUARTILES, np.cumsum(h), STEPS[1:]) for h in found])
    ranks = np.asarray(np.interp(quartiles, np.mean(quantiles, 0), LEVELS), np.float32)
    classes = ranks[DEGREES - 1 : -1].copy()
    classes[0] = np.nan
    classes[1:][known[DEGREES:-1].max(1) < LEAST_PEAK] = np.nan
    return Expected(ranks[:DEGREES, 1], classes, tuple(quantiles), explained)


def _mean(volumes: Iterable[FloatArray]) -> NDArray[np.float64] | None:
    """Mean (kinds, cells) of volumes (kinds, *GRID), with a sum of 1 where it is not 0; None of no volume."""
    total: NDArray[np.float64] | float = 0.0
    count = 0
    for volume in volumes:
        total = total + volume.reshape(len(volume), -1).astype(np.float64)
        count += 1
    return total / np.maximum(np.sum(total, 0), TINY) if count else None


def draw_expected(rng: np.random.Generator, expected: Expected) -> tuple[Appearance, FloatArray]:
    """An appearance that a random one of the target scans may well have, and the order of its background's intensities.

    The median of a class lies between its quartiles. A class of which places tell too little may have any intensity of
    the scan.

    Args:
        rng: Source of the draws.
        expected: How target scans are expected to show source volumes.

    Returns:
        What `match_appearance` takes as the other appearance and as the curve.
    """
    quantiles = expected.quantiles[int(rng.integers(len(expected.quantiles)))]
    look = draw_appearance(rng, quantiles, len(expected.classes))
    told = [np.interp(rng.uniform(QUARTILES[0], QUARTILES[-1]), QUARTILES, ranks) for ranks in expected.classes]
    medians = np.where(np.isnan(told), look.medians, np.interp(told, LEVELS, quantiles)).astype(np.float32)
    curve = draw_near(rng, expected.background) if rng.random() < NEAR else draw_curve(rng)
    return Appearance(medians, look.deviations, quantiles), curve


def draw_near(rng: np.random.Generator, curve: FloatArray) -> FloatArray:
    """A random curve near one of ranks 0..1."""
    places = np.linspace(0, 1, BENDS)
    bend = np.interp(np.linspace(0, 1, len(curve)), places, rng.normal(0, DEVIATION, BENDS))
    return np.clip(curve + bend, 0, 1).astype(np.float32)


def _unmix(shares: NDArray[np.float64], shown: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Distributions (DEGREES + K, bins) that are likeliest, and the share of the variance that they explain.

    Args:
        shares: (DEGREES + K, cells) of what the cells hold; air is the last.
        shown: (bins, cells) distributions of intensities.
    """
    weight = np.clip(1 - shares[-1], LEAST_BODY, 1) * (shares.sum(0) > 0) * (shown.sum(0) > 0)
    weighted = shown * weight
    anything = weighted.sum(1) / weighted.sum()
    found = np.tile(anything, (len(shares), 1))
    for _ in range(ITERATIONS):
        found = found * (shares @ (weighted / np.maximum(found.T @ shares, TINY)).T) + PRIOR * anything
        found[:DEGREES] = ndimage.gaussian_filter1d(found[:DEGREES], SMOOTHING[0], axis=0, mode="nearest")
        found = ndimage.gaussian_filter1d(found, SMOOTHING[1], axis=1, mode="nearest")
        found /= found.sum(1, keepdims=True)
    # Against one intensity for all of the body and one for air: where the body ends says nothing of what it shows.
    middles, root = (STEPS[1:] + STEPS[:-1]) / 2, np.sqrt(weight)
    mean, two = middles @ shown, np.stack([1 - shares[-1], shares[-1]])
    plain = np.linalg.lstsq((two * root).T, mean * root, rcond=None)[0] @ two
    left, whole = (float((((mean - mixture) * root) ** 2).sum()) for mixture in ((found @ middles) @ shares, plain))
    return found, 1 - left / whole if whole else 0.0
