"""Values that were put about a scan and that no scanner measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 1_000_000
FILLED = 0.05  # of the scan
SMALLEST = 0.005  # of the scan: fewer voxels the robust percentiles of a scan pass over
BETWEEN = 0.1  # of the rest: so many lie between padding and scan where the scan was interpolated afterwards
UNDERSHOOT = 0.05  # of the highest intensity: so far below 0 interpolation takes a scan that has no negative ones
NEAR, MOST = 0.8, 0.7  # of the lowest value, and of all that is nearer to it than to 0: values of tissue are spread
VERY_FAR = 10.0  # widths of the rest: air of one value, as of CT, is less far
FAR_BELOW = -100.0  # what padding is at most: scans of -1 to 1, or of mean 0, have nothing so low
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


def without_padding(volume: NDArray[Any]) -> NDArray[Any]:
    """A scan that has no unit, dark where it was padded with a value such as -1000 or 32767.

    Left there, such a value makes air count for tissue, or all tissue look alike. It is taken for padding

    - where many voxels are near it, far below 0, and hardly any others are below 0: 0 takes its place;
    - where many are near it and it is ten times as far below the rest as the rest is wide: the rest's lowest does;
    - where it is the highest, lies in a corner and is further above the rest than the rest is wide: likewise.

    Args:
        volume: Scan (D, H, W), such as MR, not in Hounsfield units.

    Returns:
        (D, H, W) of the same type; the same array where nothing was padded.
    """
    samples = volume.flat[:: max(1, volume.size // SAMPLES)]
    lowest, highest = float(volume.min()), float(volume.max())
    # Where a padded scan was interpolated afterwards, values overshoot the padding and lie between it and the scan.
    rest, near = samples[samples > lowest / 2], np.count_nonzero(samples <= NEAR * lowest)
    if lowest <= FAR_BELOW and _is_much(samples, rest) and near >= MOST * (samples.size - rest.size):
        low, high = (float(value) for value in np.percentile(rest, ROBUST_PERCENTILES))
        if (rest < -UNDERSHOOT * high).mean() <= BETWEEN:
            return np.asarray(np.maximum(volume, volume.dtype.type(0)))
        if low - lowest > VERY_FAR * (high - low) > 0:
            return np.asarray(np.maximum(volume, volume.dtype.type(low)))
    rest = samples[samples != highest]
    if (_corners(volume) == highest).any() and _is_much(samples, rest):
        low, high = (float(value) for value in np.percentile(rest, ROBUST_PERCENTILES))
        if highest - high > high - low:
            return np.where(volume == highest, volume.dtype.type(low), volume)
    return volume


def _corners(volume: NDArray[Any]) -> NDArray[Any]:
    d, h, w = (max(n - 1, 1) for n in volume.shape)
    return volume[::d, ::h, ::w]


def _is_much(samples: NDArray[Any], rest: NDArray[Any]) -> bool:
    """Whether the value that `rest` leaves out of `samples` is that of many voxels, and not of all."""
    return 0 < rest.size <= (1 - SMALLEST) * samples.size
