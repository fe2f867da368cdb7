"""Source volumes in the appearance of a target scan: class by class, from statistics of labels and pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from darnet.imaging import AIR, BACKGROUND

LEVELS = np.linspace(0.0, 1.0, 33)  # of the quantiles that describe a background
LEAST_VOXELS = 20  # of a class, for its median and deviation to count
LEAST_DEVIATION = 0.02
STEPS = np.linspace(-1.0, 1.0, 65)  # of the histograms that tell a class from the body
SMOOTHING = 1.5  # bins, standard deviation
NOISE = 2.0  # excess, as a share of N voxels, that chance gives N voxels of the body: up to this over the root of N
NORMAL = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
DARK = -0.8  # median up to which a class is taken to be shown as dark as air
FARTHEST = 2.5  # deviations from the median of a class at which its texture is cut
BORDER = 0.5  # voxels, standard deviation of the blur in plane that mixes classes at their borders
CURVE_KNOTS = 6
RANDOM_DEVIATIONS = (0.03, 0.15)  # of a class in an appearance that is drawn

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Appearance:
    """How a volume shows each class.

    Attributes:
        medians: (K,) median intensity of each class; nan where it is not shown. Class 0 is described by `quantiles`.
        deviations: (K,) median absolute deviations, in the unit of a standard deviation.
        quantiles: Intensities of the background within the body at `LEVELS`.
    """

    medians: FloatArray
    deviations: FloatArray
    quantiles: FloatArray


def measure_appearance(
    image: FloatArray, labels: NDArray[np.integer], num_classes: int, excess: bool = False
) -> Appearance | None:
    """Measure a volume; None where it shows no background within the body.

    A class has the median and the median absolute deviation of its voxels. More than half of the voxels of a
    pseudo-label may be wrong, and are mostly like the body anywhere: with `excess` each voxel counts as far as its
    intensity is more frequent in the class than in the body. That makes deviations smaller, since the tails of a class
    are in the body too, so two volumes that are to be matched are both measured so.

    Args:
        image: (1, D, H, W) in -1..1; voxels up to `AIR` are outside the body.
        labels: (D, H, W); values from `num_classes` on are unknown and not measured.
        num_classes: K, with background.
        excess: Whether voxels count so, and not alike.
    """
    medians = np.full(num_classes, np.nan, np.float32)
    deviations = np.full(num_classes, np.nan, np.float32)
    body = image[0] > AIR
    everywhere = _histogram(image[0][body]) if excess else None
    for label in range(1, num_classes):
        values = image[0][labels == label]
        if len(values) >= LEAST_VOXELS:
            weights = None if everywhere is None else _excess(values, everywhere)
            medians[label] = _median(values, weights)
            deviation = NORMAL * _median(np.abs(values - medians[label]), weights)
            deviations[label] = max(deviation, LEAST_DEVIATION)
    background = image[0][(labels == 0) & body]
    if len(background) < LEAST_VOXELS:
        return None
    return Appearance(medians, deviations, np.quantile(background, LEVELS).astype(np.float32))


def _excess(values: FloatArray, everywhere: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight (N,) of each value: the share of its bin that is in excess of a histogram of the body.

    Air counts for nothing, unless most of the class is as dark. Without an excess all count alike.
    """
    seen = values > AIR
    own = _histogram(values[seen])
    shares = np.maximum(own - everywhere, 0.0) / np.maximum(own, np.finfo(np.float64).tiny)
    weights = np.where(seen, shares[np.clip(np.digitize(values, STEPS) - 1, 0, len(shares) - 1)], 0.0)
    dark = 2 * seen.sum() < len(values)
    return np.ones(len(values)) if dark or weights.sum() < NOISE * np.sqrt(len(values)) else weights


def _histogram(values: FloatArray) -> NDArray[np.float64]:
    """Smoothed shares (64,) of the values in the bins of `STEPS`."""
    counts = ndimage.gaussian_filter1d(np.histogram(values, STEPS)[0].astype(np.float64), SMOOTHING, mode="nearest")
    return np.asarray(counts / max(counts.sum(), 1.0))


def _median(values: FloatArray, weights: NDArray[np.float64] | None) -> float:
    """The value below which half of the weight lies."""
    if weights is None:
        return float(np.median(values))
    order = np.argsort(values)
    below = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(weights.sum() / 2, below, values[order]))


def measure_quantiles(image: FloatArray) -> FloatArray | None:
    """Intensities at `LEVELS` of the body in a volume (1, D, H, W) in -1..1; None where it shows next to none."""
    body = image[image > AIR]
    return None if len(body) < LEAST_VOXELS else np.quantile(body, LEVELS).astype(np.float32)


def draw_appearance(rng: np.random.Generator, quantiles: FloatArray, num_classes: int) -> Appearance:
    """An appearance with intensities of a scan, in which any class may have any of them.

    Args:
        rng: Source of the medians and deviations.
        quantiles: Of `measure_quantiles`.
        num_classes: K, with background.
    """
    medians = np.interp(rng.random(num_classes), LEVELS, quantiles).astype(np.float32)
    return Appearance(medians, rng.uniform(*RANDOM_DEVIATIONS, num_classes).astype(np.float32), quantiles)


def fill_unseen(appearances: Sequence[Appearance]) -> list[Appearance]:
    """Give classes that a volume does not show the median and deviation that they have in the others."""
    filled = []
    with np.errstate(all="ignore"):
        for own in appearances:
            medians, deviations = own.medians.copy(), own.deviations.copy()
            for values, name in ((medians, "medians"), (deviations, "deviations")):
                for label in np.flatnonzero(np.isnan(values)):
                    seen = [v for a in appearances if not np.isnan(v := getattr(a, name)[label])]
                    values[label] = np.median(seen) if seen else np.nan
            filled.append(Appearance(medians, deviations, own.quantiles))
    return filled


def draw_curve(rng: np.random.Generator) -> FloatArray:
    """Random map of ranks 0..1 to ranks 0..1, (CURVE_KNOTS,): half of the curves rise, the others go up and down."""
    if rng.random() < 0.5:
        steps = np.cumsum(rng.dirichlet(np.full(CURVE_KNOTS - 1, 2.0)))
        return np.concatenate([[0.0], steps]).astype(np.float32)
    return rng.random(CURVE_KNOTS).astype(np.float32)


def draw_any_curve(rng: np.random.Generator) -> FloatArray:
    """As `draw_curve`, but a quarter of the curves rise and a quarter fall."""
    curve = draw_curve(rng)
    return curve[::-1].copy() if rng.random() < 0.5 else curve


def keep_order(rng: np.random.Generator) -> FloatArray:
    """The map of ranks that leaves them as they are, in place of `draw_curve`'s."""
    return np.linspace(0.0, 1.0, CURVE_KNOTS, dtype=np.float32)


def match_appearance(
    image: FloatArray, labels: NDArray[np.integer], own: Appearance, other: Appearance, curve: FloatArray
) -> FloatArray:
    """Show an image as another volume would be shown.

    Each class gets the other volume's median and deviation. The background gets its intensities, in the order that
    `curve` gives to the ranks. At the borders of classes both are mixed, as voxels there hold some of either.

    Args:
        image: (1, D, H, W) in -1..1.
        labels: (D, H, W).
        own: Of the volume that the image is cut out of.
        other: Of the volume to look like.
        curve: From `draw_curve` or `keep_order`.

    Returns:
        (1, D, H, W) in -1..1; air stays air, but for the voxels of a class that the volume shows as dark as air; a
        class that either volume does not show stays as it is.
    """
    x = image[0]
    ranks = np.interp(np.interp(x, own.quantiles, LEVELS), np.linspace(0, 1, len(curve)), curve)
    mixed = np.interp(ranks, LEVELS, other.quantiles).astype(np.float32)
    shown = [k for k in np.unique(labels) if 0 < k < len(own.medians)]
    blur = (0.0, BORDER, BORDER)
    weights = {k: ndimage.gaussian_filter((labels == k).astype(np.float32), blur, mode="nearest") for k in shown}
    out = mixed * (1.0 - sum(weights.values(), np.float32(0)))
    visible = x > AIR
    for k, weight in weights.items():
        values = x
        if not (np.isnan(own.medians[k]) or np.isnan(other.medians[k])):
            texture = (x - own.medians[k]) / own.deviations[k]
            values = np.clip(texture, -FARTHEST, FARTHEST) * other.deviations[k] + other.medians[k]
            if own.medians[k] <= DARK:  # a style may draw an organ so; gas within a brighter organ stays gas
                visible |= (labels == k) & (np.abs(texture) <= FARTHEST)
        out = out + weight * values
    out = np.where(visible, np.clip(out, -1.0, 1.0), BACKGROUND)
    return out[None].astype(np.float32)
