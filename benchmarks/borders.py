"""How sharp the borders of classes are: in source scans, and in patches that are shown in another contrast.

    python -m benchmarks.borders -d 101 [--root ROOT] [-o borders.json]

At the border of a class a voxel holds some of either side. The share of the other side in the two voxels at a border in
plane is told by how much of the contrast between the voxels one further away is left between them: in the source scans
of a preprocessed data set as they are, and shown with classes far brighter or far darker than the rest, with several
blurs of their borders. No target scan is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks.on_data import print_table
from darnet.augmentation import Appearance, matching

BLURS = (0.0, 0.35, 0.5, 0.65, 0.82)  # voxels; the last is as wide as a mean of 3 x 3
MIDDLE, SPREAD, DEVIATION = 0.5, 0.3, 0.13  # of classes, on one side of 0, and of the rest, on the other


def other_side(image: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Share of the other side in the voxels at the borders of labels in plane; nan without borders.

    Args:
        image: (D, H, W).
        labels: (D, H, W).
    """
    left = whole = 0.0
    for axis in (1, 2):
        places = [np.arange(n, labels.shape[axis] - 3 + n) for n in range(4)]
        of = [np.take(labels, place, axis) for place in places]
        border = (of[0] == of[1]) & (of[2] == of[3]) & (of[1] != of[2])
        values = [np.take(image, place, axis)[border].astype(np.float64) for place in places]
        left += float(((values[1] - values[2]) * (values[0] - values[3])).sum())
        whole += float(((values[0] - values[3]) ** 2).sum())
    return (1 - left / whole) / 2 if whole else float("nan")


def made_up(num_classes: int, bright: bool) -> Appearance:
    """A scan with all classes far brighter, or far darker, than the rest."""
    middle = MIDDLE if bright else -MIDDLE
    rest = np.linspace(-middle - SPREAD, -middle + SPREAD, len(matching.LEVELS), dtype=np.float32)
    each = np.ones(num_classes, np.float32)
    return Appearance(middle * each, DEVIATION * each, rest)


def measure(data: str, root: Path | None = None) -> list[dict[str, Any]]:
    """One row a scan and way to show it, with the share of the other side at its borders."""
    from darnet.io import CaseStore
    from darnet.layout import find_dataset
    from darnet.plans import Plans

    layout = find_dataset(data, root)
    plans = Plans.read(layout.plans)
    source, rng, rows = CaseStore(layout.cases("source")), np.random.default_rng(0), []
    for case in source.case_ids():
        image, labels = source.image(case), source.labels(case)
        own = matching.measure_appearance(image, labels, plans.num_classes, excess=True)
        if own is None:
            continue
        rows.append({"case": case, "shown": "as scanned", "share": other_side(image[0], labels)})
        for blur in BLURS:
            for bright in (True, False):
                with mock.patch.object(matching, "BORDER", blur):
                    look = made_up(plans.num_classes, bright)
                    shown = matching.match_appearance(image, labels, own, look, matching.draw_curve(rng))
                share = other_side(shown[0], (labels > 0).astype(np.uint8))
                rows.append({"case": case, "shown": f"blur of {blur:g}", "share": share})
    return rows


def as_table(rows: list[dict[str, Any]]) -> str:
    """Mean share of each way to show the scans, as Markdown."""
    lines = ["| shown | share of the other side |", "|---|---|"]
    for way in dict.fromkeys(row["shown"] for row in rows):
        mean = np.nanmean([row["share"] for row in rows if row["shown"] == way])
        lines.append(f"| {way} | {mean:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print_table(__doc__, measure, as_table)
