"""Values that were put about a scan and that no scanner measured."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.number[Any])

SAMPLES = 1_000_000
FILLED = 0.05  # of the scan
SMALLEST = 0.005  # of the scan: fewer voxels the robust percentiles of a scan pass over
BETWEEN = 0.05  # of the rest: so many lie between padding and scan where the scan was interpolated afterwards
ROBUST_PERCENTILES = (0.5, 99.5)


def find_fill(volume: NDArray[np.floating]) -> float | None:
    """The value that fills all corners of a scan and much else, where tissue has values on both sides of it.

    Args:
        volume: Scan (D, H, W).
    """
    corners = _corners(volume)
    value = float(corners.flat[0])
    if (corners != value).any() or np.count_nonzero(volume < value) < FILLED * volume.size:
        return None
    return value if np.count_nonzero(volume == value) >= FILLED * volume.size else None


def without_padding(volume: NDArray[Scalar]) -> NDArray[Scalar]:
    """A scan that has no unit, dark where it was padded with a value such as -1000 or 32767.

    Such a value is the lowest of many voxels where hardly any other is below 0: 0 takes its place. Or it is the
    highest, fills all corners and is as far above the rest as the rest is wide: the lowest takes its place. Left there,
    it makes air count for tissue, or all tissue look alike.

    Args:
        volume: Scan (D, H, W), not in Hounsfield units.

    Returns:
        (D, H, W) of the same type; the same array where nothing was padded.
    """
    samples = volume.flat[:: max(1, volume.size // SAMPLES)]
    lowest, highest = volume.min(), volume.max()
    rest = samples[samples != lowest]
    if lowest < 0 and _is_much(samples, rest) and (rest < 0).mean() <= BETWEEN:
        positive: NDArray[Scalar] = np.maximum(volume, 0)
        return positive
    rest = samples[samples != highest]
    if (_corners(volume) == highest).all() and _is_much(samples, rest):
        low, high = np.percentile(rest, ROBUST_PERCENTILES)
        if highest - high > high - low:
            return np.where(volume == highest, rest.min(), volume)
    return volume


def _corners(volume: NDArray[Any]) -> NDArray[Any]:
    d, h, w = (max(n - 1, 1) for n in volume.shape)
    return volume[::d, ::h, ::w]


def _is_much(samples: NDArray[Any], rest: NDArray[Any]) -> bool:
    """Whether the value that `rest` leaves out of `samples` is that of many voxels, and not of all."""
    return 0 < rest.size <= (1 - SMALLEST) * samples.size
