"""Intensities to [-1, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darnet.errors import ConfigurationError
from darnet.imaging.foreground import foreground_mask
from darnet.imaging.padding import find_fill

SAMPLES = 4_000_000


def normalize(
    volume: NDArray[np.float32], rule: str, low: float, high: float, in_place: bool = False
) -> NDArray[np.float32]:
    """Clip a scan to a range and map the range to [-1, 1].

    Args:
        volume: Scan (D, H, W).
        rule: "window": `low`..`high` in the scan's own units; "percentile": percentiles `low`..`high` over the voxels
            of its `foreground_mask`. Air lies below and becomes -1, as does a value that it was filled with.
        low: Goes to -1.
        high: Goes to 1.
        in_place: Put the result in place of the scan, which saves its memory.

    Returns:
        float32 (D, H, W). A scan whose percentiles coincide is spread over its whole range; a constant one is -1.

    Raises:
        ConfigurationError: Unknown rule, or `low` not below `high`.
    """
    if rule not in ("window", "percentile") or not low < high:
        raise ConfigurationError(
            "an intensity rule cannot be applied",
            found=f"rule {rule!r}, low {low}, high {high}",
            expected="window or percentile, low below high",
            remedy="mend the rule in plans.json",
        )
    filled = None
    if rule == "percentile":
        fill = find_fill(volume)
        filled = None if fill is None else volume == fill
        low, high = _percentiles(volume, low, high)
        if low == high:
            return np.full(volume.shape, -1, dtype=np.float32)
    scaled = volume if in_place else np.array(volume, np.float32)
    np.clip(scaled, np.float32(low), np.float32(high), out=scaled)
    scaled -= np.float32(low)
    scaled *= np.float32(2 / (high - low))
    scaled -= np.float32(1)
    if filled is not None:
        scaled[filled] = -1
    return np.clip(scaled, -1, 1, out=scaled)


def _percentiles(volume: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """Percentiles over the body, or the whole range where they coincide."""
    body = volume[foreground_mask(volume)]
    if body.size:
        found = np.percentile(body[:: max(1, body.size // SAMPLES)], (low, high))
        if found[0] < found[1]:
            return float(found[0]), float(found[1])
    return float(volume.min()), float(volume.max())
