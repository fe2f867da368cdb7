"""The mask of the body, from intensities alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darnet.imaging.components import large_components
from darnet.imaging.padding import ROBUST_PERCENTILES, SAMPLES, find_fill

BINS = 256
BODY_PART = 0.2  # of the largest component: smaller ones are couch, wires and ghosts
TOWARDS_BACKGROUND = 0.25  # where the threshold lies between background (0) and Otsu's threshold (1)
TWO_MODES = 0.75  # share of the variance that lies between two modes; that of any one mode in halves is less
NO_AIR = 0.4  # of the way from no signal to Otsu's threshold: air is darker
TISSUE = 0.2  # of that way: tissue is brighter
LEAST_HU = -1024.0  # what scanners write below it, about a round field of view, is no measurement
NO_LUNG, HU_SPAN = -300.0, 50.0  # HU: below fat and noise, above air and lung; a width that scaled values have not
CLIPPED = 0.01  # of the scan: with more voxels of the lowest value, air was clipped to it
UNDERSHOOT = 0.1  # of the highest intensity: so far below 0 interpolation takes a scan that has no negative ones


def foreground_mask(volume: NDArray[np.floating], hounsfield: bool = False) -> NDArray[np.bool_]:
    """Body of a scan, its dark inside not filled: the largest component, and others nearly as large (two legs).

    Otsu's threshold over a robust range splits bright tissue from the rest; fat in a CT window and dark tissue in MR
    lie below it. So the threshold is moved towards the median of what is below, which is air. Where it would still cut
    off dark tissue (a brain beside bright fluid, a scan with little air), what is below is split once more; a scan
    whose dark part is all tissue has no air, and all of it is body. Air that was filled with a value among those of
    tissue, as about a brain of mean 0, is known by that value.

    Args:
        volume: Scan (D, H, W) in any unit in which air is dark.
        hounsfield: Whether that is known to be Hounsfield units: a scan that ends within the body and shows no air,
            such as one of a spine, is all body then, though fat and muscle are far darker than bone.

    Returns:
        Mask (D, H, W): empty where the scan is constant, else never empty.
    """
    low, high = float(volume.min()), float(volume.max())
    if low == high:
        return np.zeros(volume.shape, dtype=np.bool_)
    if hounsfield and NO_LUNG < low < 0 and high - low > HU_SPAN and (volume == low).mean() < CLIPPED:
        return np.ones(volume.shape, dtype=np.bool_)
    fill = find_fill(volume)
    mask = np.asarray(volume > _threshold(volume, low, high, fill))
    if fill is not None:
        mask &= volume != fill
    return large_components(mask, BODY_PART)


def _threshold(volume: NDArray[np.floating], low: float, high: float, fill: float | None) -> float:
    """Intensity below `high` that splits air from body; -inf where there is no air."""
    samples = volume.flat[:: max(1, volume.size // SAMPLES)].astype(np.float64)  # ravel would copy a turned view
    if fill is not None:
        samples = samples[samples != fill]
    hounsfield = low < LEAST_HU / 2 and bool(np.median(samples) >= LEAST_HU)
    if hounsfield:
        np.maximum(samples, LEAST_HU, out=samples)
    robust_low, robust_high = (float(value) for value in np.percentile(samples, ROBUST_PERCENTILES))
    negative = low < -UNDERSHOOT * robust_high
    if robust_low < robust_high:
        low, high = robust_low, robust_high
    samples = np.clip(samples, low, high)
    otsu = _otsu(samples)
    dark = samples[samples <= otsu]
    air = float(np.median(dark)) if dark.size else low
    threshold = air + TOWARDS_BACKGROUND * (otsu - air)
    if hounsfield:
        return threshold
    nothing = low if negative else 0.0  # the intensity of no signal, as far as the scan tells
    split = _otsu(dark)
    if _between(dark, split) < TWO_MODES:
        return threshold if air - nothing <= NO_AIR * (otsu - nothing) else -np.inf
    darkest, tissue = (float(value) for value in np.percentile(dark[dark > split], (25, 50)))
    cut_off = darkest < threshold and tissue >= nothing + TISSUE * (otsu - nothing)
    return split if cut_off else threshold


def _between(samples: NDArray[np.float64], split: float) -> float:
    """Share of the variance that lies between the two sides of `split`: 0.64 for a Gaussian in halves, at most 1."""
    below = samples <= split
    share, variance = float(below.mean()), float(samples.var())
    if variance == 0 or share in (0.0, 1.0):
        return 0.0
    return share * (1 - share) * float(samples[below].mean() - samples[~below].mean()) ** 2 / variance


def _otsu(samples: NDArray[np.float64]) -> float:
    """Inner edge of a histogram that maximises the variance between the two sides (Otsu 1979)."""
    counts, edges = np.histogram(samples, bins=BINS)
    counts = counts.astype(np.float64)
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
