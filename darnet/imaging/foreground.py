"""The mask of the body, from intensities alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darnet.imaging.components import large_components

BINS = 256
SAMPLES = 1_000_000
ROBUST_PERCENTILES = (0.5, 99.5)
BODY_PART = 0.2  # of the largest component: smaller ones are couch, wires and ghosts
TOWARDS_BACKGROUND = 0.25  # where the threshold lies between background (0) and Otsu's threshold (1)


def foreground_mask(volume: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Body of a scan, its dark inside not filled: the largest component, and others nearly as large (two legs).

    Otsu's threshold over a robust range splits bright tissue from the rest; fat in a CT window and dark tissue in MR
    lie below it. So the threshold is moved towards the median of what is below, which is air.

    Args:
        volume: Scan (D, H, W) in any unit in which air is dark.

    Returns:
        Mask (D, H, W): empty where the scan is constant, else never empty.
    """
    low, high = float(volume.min()), float(volume.max())
    if low == high:
        return np.zeros(volume.shape, dtype=np.bool_)
    mask = np.asarray(volume > _threshold(volume, low, high))
    return large_components(mask, BODY_PART, connectivity=6)


def _threshold(volume: NDArray[np.floating], low: float, high: float) -> float:
    """Intensity in `low` <= threshold < `high` that splits air from body."""
    samples = volume.flat[:: max(1, volume.size // SAMPLES)].astype(np.float64)  # ravel would copy a turned view
    robust_low, robust_high = (float(value) for value in np.percentile(samples, ROBUST_PERCENTILES))
    if robust_low < robust_high:
        low, high = robust_low, robust_high
    samples = np.clip(samples, low, high)
    counts, edges = np.histogram(samples, bins=BINS, range=(low, high))
    otsu = _otsu(counts.astype(np.float64), edges)
    dark = samples[samples <= otsu]
    air = float(np.median(dark)) if dark.size else low
    return air + TOWARDS_BACKGROUND * (otsu - air)


def _otsu(counts: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """Inner edge of a histogram that maximises the variance between the two sides (Otsu 1979)."""
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sum_below = np.cumsum(counts * centres)[:-1]
    sum_above = (counts * centres).sum() - sum_below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sum_below / below - sum_above / above) ** 2
    between = np.nan_to_num(between)
    # All edges within a gap without voxels are equally good; its middle keeps away from the noise of air.
    best = np.flatnonzero(between == between.max())
    return float(edges[1:-1][best[len(best) // 2]])
