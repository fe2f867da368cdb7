"""Distance transform of edt against SciPy's, in pairs in one process.

python benchmarks/distance_transform.py
"""

from __future__ import annotations

import statistics
import time

import edt
import numpy as np
from scipy import ndimage

PAIRS = 7
SHAPE = (60, 160, 160)
SPACING = (3.0, 1.5, 1.5)


def seconds(function: object, *arguments: object, **keywords: object) -> float:
    """Time of one call."""
    start = time.perf_counter()
    function(*arguments, **keywords)  # type: ignore[operator]
    return time.perf_counter() - start


def main() -> None:
    """Print the ratio of times, median and range over the pairs after a warm-up."""
    mask = np.ones(SHAPE, bool)
    mask[20:40:3, 40:120:5, 40:120:5] = False
    ratios = []
    for _ in range(PAIRS + 1):
        plain = seconds(ndimage.distance_transform_edt, mask, sampling=SPACING)
        quick = seconds(edt.edt, mask, anisotropy=SPACING, parallel=1)
        ratios.append(quick / plain)
    ratios = sorted(ratios[1:])
    print(f"edt / scipy: {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), {PAIRS} pairs, {SHAPE}")


if __name__ == "__main__":
    main()
