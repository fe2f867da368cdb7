"""Dice and surface distance of 10 masks with 4 classes against their formulas in plain SciPy.

python -m benchmarks.evaluation
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.pairs import LEAST_PAIRS, Row, make_row, run_row, time_pairs
from benchmarks.plain_evaluation import plain_scores
from darnet.evaluation import evaluate_pair

MASKS = 10
SHAPE = (256, 256, 100)
SPACING = (1.5, 1.5, 3.0)
LABELS = {"liver": 1, "right_kidney": 2, "left_kidney": 3, "spleen": 4}
# Centre and half axes of each organ, as shares of the volume: of the size and at the places of an abdominal CT.
ORGANS = {
    1: ((0.34, 0.45, 0.62), (0.17, 0.16, 0.30)),
    2: ((0.36, 0.66, 0.34), (0.06, 0.06, 0.20)),
    3: ((0.66, 0.66, 0.36), (0.06, 0.06, 0.20)),
    4: ((0.72, 0.54, 0.66), (0.07, 0.11, 0.18)),
}
EQUAL = 1e-6


def mask(rng: np.random.Generator, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint8]:
    """Labels (i, j, k) of four organs with rough borders, somewhere near their places."""
    axes = np.meshgrid(*(np.arange(n, dtype=np.float32) / n for n in shape), indexing="ij", sparse=True)
    coarse = rng.normal(size=[max(n // 16, 2) for n in shape]).astype(np.float32)
    rough = ndimage.zoom(coarse, [n / c for n, c in zip(shape, coarse.shape, strict=True)], order=1)
    labels = np.zeros(shape, np.uint8)
    for label, (centre, half) in ORGANS.items():
        moved = np.array(centre) + rng.normal(scale=0.01, size=3)
        parts = zip(axes, moved, half, strict=True)
        radius = sum(((axis - np.float32(c)) / np.float32(h)) ** 2 for axis, c, h in parts)
        labels[radius < 1 + 0.15 * rough] = label
    return labels


def measure(pairs: int, threads: int) -> Row:
    """Each pair is another mask. Both sides hold the arrays already; neither computes in several threads.

    Raises:
        ValueError: The two sides differ.
    """
    rng = np.random.default_rng(0)
    cases = [(mask(rng), mask(rng)) for _ in range(max(MASKS, LEAST_PAIRS, pairs))]
    found: list[list[tuple[float, float]]] = []
    expected: list[list[tuple[float, float]]] = []

    def darnet() -> None:
        prediction, reference = cases[len(found) % len(cases)]
        scores = evaluate_pair(prediction, reference, LABELS, SPACING)
        found.append([(s.dice, s.asd_mm) for s in scores.values()])

    def other() -> None:
        prediction, reference = cases[len(expected) % len(cases)]
        expected.append(plain_scores(prediction, reference, list(LABELS.values()), SPACING))

    times = time_pairs(darnet, other, len(cases))
    difference = float(np.abs(np.array(found) - np.array(expected)).max())
    if not difference < EQUAL:
        raise ValueError(f"darnet and the formula differ by {difference:.2g}")
    size = " x ".join(map(str, SHAPE))
    return make_row(
        f"Dice and surface distance of {len(cases)} masks of {size}, {len(LABELS)} classes, seconds of one",
        "the formulas in SciPy",
        times,
        target=0.2,
        note=f"darnet also gives the distance in voxels; all numbers equal to {difference:.0e}",
    )


if __name__ == "__main__":
    run_row(measure)
