"""How well the intensity of a class is measured where its label is mostly wrong.

    python -m benchmarks.measured -d 101 [--root ROOT] [-o measured.json]

The true labels of a preprocessed data set's source scans are spoilt in three ways: moved by a third of their extent,
grown beyond it, or doubled by a copy beside them. The intensity of each class is measured from them as darnet measures
pseudo-labels, and as the plain median of their voxels, and compared with the median of the true label's voxels. No
target scan is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.on_data import print_table

Mask = NDArray[np.bool_]
LEAST_VOXELS = 100  # of a class, true or spoilt
MOVED, BESIDE = 0.35, 1.1  # of the extent
GROWN = 0.12  # of the extent in plane, to every side
SPOILS = ("as it is", "moved", "grown", "doubled")


def spoil(mask: Mask, kind: str, rng: np.random.Generator) -> Mask:
    """A label (D, H, W) spoilt in one of the ways of `SPOILS`."""
    places = np.argwhere(mask)
    extent = places.max(0) - places.min(0) + 1
    way = rng.normal(size=3)
    if kind == "moved":
        return moved(mask, MOVED * extent * way / np.linalg.norm(way))
    if kind == "grown":
        reach = 2 * max(round(GROWN * extent[1:].mean()), 1) + 1
        return np.asarray(ndimage.binary_dilation(mask, np.ones((3, reach, reach), bool)))
    if kind == "doubled":
        way[0] = 0.0
        return mask | moved(mask, BESIDE * extent * way / np.linalg.norm(way))
    return np.array(mask)


def moved(mask: Mask, by: NDArray[np.floating]) -> Mask:
    """A mask moved by so many voxels (D, H, W), rounded."""
    return np.asarray(ndimage.shift(mask.astype(np.uint8), np.round(by), order=0) > 0)


def measure(data: str, root: Path | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """One row a class, scan and way to spoil it: Dice of the spoilt label, and both errors, of intensities in -1..1."""
    from darnet.augmentation import measure_appearance
    from darnet.imaging import AIR
    from darnet.io import CaseStore
    from darnet.layout import find_dataset
    from darnet.plans import Plans

    layout = find_dataset(data, root)
    plans = Plans.read(layout.plans)
    source, rng, rows = CaseStore(layout.cases("source")), np.random.default_rng(seed), []
    for case in source.case_ids():
        image, labels = source.image(case), source.labels(case)
        for name, value in plans.foreground.items():
            true = (labels == value) & (image[0] > AIR)
            for kind in SPOILS:
                spoilt = spoil(true, kind, rng) & (image[0] > AIR) if true.sum() >= LEAST_VOXELS else true
                if spoilt.sum() < LEAST_VOXELS:
                    continue
                middle = float(np.median(image[0][true]))
                dice = 2 * float((spoilt & true).sum()) / float(spoilt.sum() + true.sum())
                row: dict[str, Any] = {"case": case, "class": name, "label": kind, "dice": dice}
                for column, excess in (("median", False), ("excess", True)):
                    found = measure_appearance(image, spoilt.astype(np.uint8), 2, excess)
                    row[column] = float("nan") if found is None else abs(float(found.medians[1]) - middle)
                rows.append(row)
    return rows


def as_table(rows: list[dict[str, Any]]) -> str:
    """Mean Dice of the spoilt labels and mean errors, as Markdown."""
    lines = ["| label | Dice | error of the median | error of the excess |", "|---|---|---|---|"]
    for kind in SPOILS:
        own = [row for row in rows if row["label"] == kind]
        means = (float(np.nanmean([row[column] for row in own])) for column in ("dice", "median", "excess"))
        lines.append(f"| {kind} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print_table(__doc__, measure, as_table)
