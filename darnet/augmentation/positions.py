"""How bright target scans show background, told from where it lies in the body: no label of theirs is read.

Over patients, tissues lie at about the same place of the box about the body. So the mean target scan is nearly a
mixture of a few unknown intensities with known shares:

    T(x) = sum over k of S_k(x) c_k,

T the mean of the target scans at place x, S_k the mean over source volumes of the share of one degree of brightness of
background, of a class, or of air. The c_k are those of least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from darnet.augmentation.matching import LEAST_VOXELS, LEVELS
from darnet.imaging import AIR, box_of, crop, resample_image

GRID = (24, 48, 48)  # cells of the box about the body
BLUR = 1.5  # cells, standard deviation: how far the same place differs between patients
DEGREES = 12  # of the brightness of background
SMOOTH = 0.02  # weight of the second differences of neighbouring degrees, against the mean square over cells
LEAST_BODY = 0.05  # of a cell: air counts a little, so that its intensity is told too
LEAST_EXPLAINED = 0.3  # of the variance within the mean target scan
BENDS, DEVIATION = 6, 0.15  # places at which a drawn curve leaves the expected one, and by how many ranks

FloatArray = NDArray[np.float32]


def shares_of_places(image: FloatArray, labels: NDArray[np.integer], num_classes: int) -> FloatArray | None:
    """Share of each place that is background of each degree of brightness, each class, and air.

    Args:
        image: (1, D, H, W) in -1..1, a source volume; voxels up to `AIR` are outside the body.
        labels: (D, H, W).
        num_classes: K, with background.

    Returns:
        (DEGREES + K, *GRID), the classes from 1 on before air; None where there is next to no body.
    """
    body = image[0] > AIR
    if np.count_nonzero(body) < LEAST_VOXELS:
        return None
    box = box_of(body)
    x, body, of_voxel = crop(image[0], box), crop(body, box), crop(labels, box)
    degree = np.interp(x, np.quantile(x[body], LEVELS), LEVELS) * (DEGREES - 1)
    outside = of_voxel == 0
    parts = chain(  # one after the other: scans may be large
        (np.where(body & outside, np.maximum(1 - np.abs(degree - k), 0), 0) for k in range(DEGREES)),
        (of_voxel == k for k in range(1, num_classes)),
        (~body & outside,),
    )
    return np.stack([_on_grid(np.asarray(part, np.float32)) for part in parts])


def intensities_of_places(image: FloatArray) -> FloatArray | None:
    """Intensity of each place (*GRID) in a target scan (1, D, H, W) in -1..1; None where there is next to no body."""
    body = image[0] > AIR
    if np.count_nonzero(body) < LEAST_VOXELS:
        return None
    return _on_grid(crop(np.where(body, image[0], np.float32(-1)), box_of(body)))


def _on_grid(volume: FloatArray) -> FloatArray:
    return np.asarray(ndimage.gaussian_filter(resample_image(volume, GRID, False), BLUR, mode="nearest"))


def expect_curve(
    shares: Sequence[FloatArray], targets: Sequence[FloatArray], quantiles: Sequence[FloatArray]
) -> FloatArray | None:
    """How bright target scans are expected to show background, by how bright source volumes show it.

    Args:
        shares: Of `shares_of_places`, of the source volumes.
        targets: Of `intensities_of_places`, of the target scans.
        quantiles: Of `measure_quantiles`, of the target scans.

    Returns:
        (DEGREES,) ranks, 0 to 1, among the voxels of the body, for ranks 0 to 1 in source volumes; None where there is
        nothing to tell it from, or where places tell too little, as of scans of other parts of the body.
    """
    if not shares or not targets:
        return None
    known = np.mean(shares, 0).reshape(len(shares[0]), -1)
    found, explained = _solve(known, np.mean(targets, 0).ravel())
    if explained < LEAST_EXPLAINED:
        return None
    return np.interp(found[:DEGREES], np.mean(quantiles, 0), LEVELS).astype(np.float32)


def draw_near(rng: np.random.Generator, curve: FloatArray) -> FloatArray:
    """A random curve near one of ranks 0..1."""
    places = np.linspace(0, 1, BENDS)
    bend = np.interp(np.linspace(0, 1, len(curve)), places, rng.normal(0, DEVIATION, BENDS))
    return np.clip(curve + bend, 0, 1).astype(np.float32)


def _solve(shares: NDArray[np.floating], target: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """Intensities of least squares, and how much they explain of the variance within the body.

    Args:
        shares: (DEGREES + K, cells), means; air is the last.
        target: (cells,), mean.
    """
    from scipy.optimize import lsq_linear

    weight = np.sqrt(np.clip(1 - shares[-1], LEAST_BODY, 1))
    bends = np.zeros((DEGREES - 2, len(shares)))
    for k, row in enumerate(bends):
        row[k : k + 3] = SMOOTH * np.sqrt(target.size) * np.array([1, -2, 1])
    system = np.concatenate([(shares * weight).T, bends])
    found = lsq_linear(system, np.concatenate([target * weight, np.zeros(len(bends))]), bounds=(-1.0, 1.0)).x
    # Against one intensity for all of the body and one for air: where the body ends says nothing of what it shows.
    two = np.stack([1 - shares[-1], shares[-1]])
    plain = np.linalg.lstsq((two * weight).T, target * weight, rcond=None)[0] @ two
    left, whole = (float((((target - mixture) * weight) ** 2).sum()) for mixture in (found @ shares, plain))
    return found, 1 - left / whole if whole else 0.0
