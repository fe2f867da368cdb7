"""How target scans show classes and background, told from where these lie in the body: no label of theirs is read.

Over patients, tissues lie at about the same place: the same part of the box about the body, and as deep below its
surface. So what target scans show in a place x is nearly a mixture with known shares:

    p(i | x) = sum over k of S_k(x) h_k(i),

p the distribution of intensities of the target scans in place x, S_k the mean over source volumes of the share of one
degree of brightness of background, of a class, or of air. The distributions h_k are found by expectation maximisation
(Dempster, Laird and Rubin 1977), blurred a little after each iteration.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from darnet.augmentation.matching import LEAST_VOXELS, LEVELS, Appearance, draw_appearance, draw_curve
from darnet.imaging import AIR, box_of, crop, depth_in_planes

GRID = (8, 12, 12)  # parts of the box about the body
DEPTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60)  # mm below the surface, between two layers
LAYERS = len(DEPTHS) + 1
BLUR = (0.75, 0.75, 0.75, 0.5)  # parts and layers, standard deviations: how far the same place differs between patients
DEGREES = 12  # of the brightness of background
STEPS = np.linspace(-1.0, 1.0, 41)  # of the distributions
ITERATIONS = 30
SMOOTHING = (0.5, 0.7)  # degrees of background and bins, standard deviations of the blur after each iteration
PRIOR = 4e-5  # of the body, showing what all of it shows, added to what each class, degree or air is told by
LEAST_BODY = 0.05  # of a place: air counts a little, so that its intensity is told too
LEAST_EXPLAINED = 0.2  # of the variance within the mean target scan
LEAST_AGREEMENT = 0.5  # correlation of what the upper and the lower half of the body tell of the background
LEAST_PEAK = 0.2  # share of a class in the place where it is likeliest: places of small or wandering ones tell little
QUARTILES = (0.25, 0.5, 0.75)
NEAR = 0.5  # share of drawn appearances whose background is about as bright as expected; others: in any order
BENDS, DEVIATION = 6, 0.15  # places at which a drawn curve leaves the expected one, and by how many ranks
TINY = 1e-9

FloatArray = NDArray[np.float32]


def shares_of_places(
    image: FloatArray, labels: NDArray[np.integer], num_classes: int, spacing: tuple[float, float]
) -> FloatArray | None:
    """Share of a source volume that is background of each degree of brightness, each class, and air, in each place.

    Args:
        image: (1, D, H, W) in -1..1; voxels up to `AIR` are outside the body.
        labels: (D, H, W).
        num_classes: K, with background.
        spacing: mm of a voxel along H and W.

    Returns:
        (DEGREES + K, *GRID, LAYERS) with a sum of 1, the classes from 1 on before air; None where there is next to no
        background in the body.
    """
    body = image[0] > AIR
    background = image[0][body & (labels == 0)]
    if len(background) < LEAST_VOXELS:
        return None
    box, ranks = box_of(body), np.quantile(background, LEVELS)
    x, of_voxel = crop(image[0], box), crop(labels, box)
    kinds = DEGREES + num_classes
    counts = np.zeros((kinds, *GRID, LAYERS))
    for plane, (part, layers) in enumerate(_places(crop(body, box), spacing)):  # one by one: scans may be large
        seen, label = x[plane] > AIR, of_voxel[plane].astype(np.intp)
        degree = np.interp(x[plane], ranks, LEVELS) * (DEGREES - 1)
        lower = np.minimum(degree.astype(np.intp), DEGREES - 2)
        outside = label == 0
        upper = np.where(seen & outside, degree - lower, 0.0)  # between two degrees it counts in part for either
        apart = np.where(outside, kinds - 1, DEGREES - 1 + label)
        counts[:, part] += _count(np.where(seen & outside, lower, apart), kinds, layers, 1.0 - upper)
        counts[:, part] += _count(lower + 1, kinds, layers, upper)
    return _as_shares(counts)


def histogram_of_places(image: FloatArray, spacing: tuple[float, float]) -> FloatArray | None:
    """Share (bins of `STEPS`, *GRID, LAYERS) of a target scan (1, D, H, W) in -1..1 that has each intensity, by place.

    Air counts as -1. None where there is next to no body. The spacing is that of H and W in mm.
    """
    body = image[0] > AIR
    if np.count_nonzero(body) < LEAST_VOXELS:
        return None
    box, bins = box_of(body), len(STEPS) - 1
    x = crop(image[0], box)
    counts = np.zeros((bins, *GRID, LAYERS))
    for plane, (part, layers) in enumerate(_places(crop(body, box), spacing)):
        shown = np.where(x[plane] > AIR, x[plane], np.float32(-1))
        counts[:, part] += _count(np.clip(np.digitize(shown, STEPS) - 1, 0, bins - 1), bins, layers)
    return _as_shares(counts)


def _places(body: NDArray[np.bool_], spacing: tuple[float, float]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Part along D, and layer (H, W) of each voxel, of each plane of the box about a body."""
    for part, plane in zip(_parts(len(body), GRID[0]), body, strict=True):
        yield int(part), np.digitize(depth_in_planes(plane[None], spacing)[0], DEPTHS)


def _parts(size: int, number: int) -> NDArray[np.intp]:
    """Part of each of `size` voxels along an axis."""
    return (2 * np.arange(size) + 1) * number // (2 * size)


def _count(
    kinds: NDArray[np.intp], number: int, layers: NDArray[np.intp], weights: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Voxels (number, *GRID[1:], LAYERS) of each kind in each place of a plane whose voxels have the kinds (H, W)."""
    shape = (number, *GRID[1:], LAYERS)
    rows, columns = (_parts(size, parts) for size, parts in zip(kinds.shape, GRID[1:], strict=True))
    place = np.ravel_multi_index((kinds, rows[:, None], columns[None], layers), shape)
    each = None if weights is None else weights.ravel()
    return np.bincount(place.ravel(), each, minlength=math.prod(shape)).reshape(shape).astype(np.float64)


def _as_shares(counts: NDArray[np.float64]) -> FloatArray:
    return np.asarray(counts / counts.sum(), np.float32)


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
        agreement: Correlation of `background` as the upper and the lower half of the body tell it.
    """

    background: FloatArray
    classes: FloatArray
    quantiles: tuple[FloatArray, ...]
    explained: float | None
    agreement: float = 0.0

    @property
    def enough(self) -> bool:
        """Whether it may be used: of scans of other parts of the body, places tell too little."""
        explained = self.explained is not None and self.explained >= LEAST_EXPLAINED
        return explained and self.agreement >= LEAST_AGREEMENT


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
    told = _Told.by(known, shown)
    found = told.unmix()
    ranks = _ranks(found, quantiles)
    classes = ranks[DEGREES - 1 : -1].copy()
    classes[0] = np.nan
    classes[1:][told.shares[DEGREES:-1].max(1) < LEAST_PEAK] = np.nan
    upper = np.arange(known.shape[1]) < known.shape[1] // 2  # the parts along D come first
    one, other = (_ranks(told.unmix(half), quantiles)[:DEGREES, 1] for half in (upper, ~upper))
    agreement = _correlation(one, other, told.shares[:DEGREES] @ told.weights)
    return Expected(ranks[:DEGREES, 1], classes, tuple(quantiles), told.explained(found), agreement)


def _mean(volumes: Iterable[FloatArray]) -> NDArray[np.float64] | None:
    """Mean (kinds, places) of volumes (kinds, *GRID, LAYERS), each place with a little of those about it.

    None of no volume.
    """
    total: NDArray[np.float64] | float = 0.0
    count = 0
    for volume in volumes:
        total = total + volume.astype(np.float64)
        count += 1
    if not count:
        return None
    near = ndimage.gaussian_filter(total / count, (0, *BLUR), mode="nearest")
    return np.asarray(near.reshape(len(near), -1))


def _ranks(distributions: NDArray[np.float64], quantiles: Sequence[FloatArray]) -> FloatArray:
    """Quartiles (kinds, 3) of distributions of intensities, as ranks among the voxels of the target's bodies."""
    quartiles = np.array([np.interp(QUARTILES, np.cumsum(h), STEPS[1:]) for h in distributions])
    return np.asarray(np.interp(quartiles, np.mean(quantiles, 0), LEVELS), np.float32)


def _correlation(a: FloatArray, b: FloatArray, weights: NDArray[np.float64]) -> float:
    """Weighted correlation; 0 where one is constant."""
    (aa, ab), (_, bb) = np.cov([a, b], aweights=weights)
    scale = float(np.sqrt(aa * bb))
    return float(ab) / scale if scale > TINY else 0.0


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


@dataclass(frozen=True)
class _Told:
    """What the places tell.

    Attributes:
        shares: (DEGREES + K, places) of what each place holds; air is the last.
        shown: (bins, places) distributions of the intensities of each place.
        weights: (places,) with a sum of 1: how much of both domains' bodies lies there.
    """

    shares: NDArray[np.float64]
    shown: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def by(cls, known: NDArray[np.float64], shown: NDArray[np.float64]) -> _Told:
        """Out of the shares of all voxels that are of each kind, or have each intensity, and lie in each place."""
        of_source, of_target = known.sum(0), shown.sum(0)
        shares = known / np.maximum(of_source, TINY)
        weights = np.minimum(of_source, of_target) * np.clip(1 - shares[-1], LEAST_BODY, 1)
        return cls(shares, shown / np.maximum(of_target, TINY), weights / max(weights.sum(), TINY))

    def unmix(self, where: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Distributions (DEGREES + K, bins) that are likeliest, by all places or those `where` (places,) is true."""
        every = slice(None) if where is None else where
        shares, weighted = self.shares[:, every], self.shown[:, every] * self.weights[every]
        prior = PRIOR * weighted.sum(1)
        found = np.tile(prior / max(prior.sum(), TINY), (len(shares), 1))
        for _ in range(ITERATIONS):
            found = found * (shares @ (weighted / np.maximum(found.T @ shares, TINY)).T) + prior
            found[:DEGREES] = ndimage.gaussian_filter1d(found[:DEGREES], SMOOTHING[0], axis=0, mode="nearest")
            found = ndimage.gaussian_filter1d(found, SMOOTHING[1], axis=1, mode="nearest")
            found /= np.maximum(found.sum(1, keepdims=True), TINY)
        return found

    def explained(self, found: NDArray[np.float64]) -> float:
        """Share of the variance of mean intensities that one of the body and one of air leave and these explain.

        Against both, since where the body ends says nothing of what it shows.
        """
        middles, root = (STEPS[1:] + STEPS[:-1]) / 2, np.sqrt(self.weights)
        mean, two = middles @ self.shown, np.stack([1 - self.shares[-1], self.shares[-1]])
        plain = np.linalg.lstsq((two * root).T, mean * root, rcond=None)[0] @ two
        mixtures = ((found @ middles) @ self.shares, plain)
        left, whole = (float((((mean - mixture) * root) ** 2).sum()) for mixture in mixtures)
        return 1 - left / whole if whole else 0.0
