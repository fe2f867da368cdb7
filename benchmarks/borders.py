"""How sharp the borders of classes are: in source scans, and in patches that are shown like another scan.

    python -m benchmarks.borders -d 101 [--root ROOT] [-o borders.json]

At the border of a class a voxel holds some of either side. For the voxels just within and just outside of it in plane:
the share of the other side that their intensity tells, in the scans as they are and shown like themselves, with several
blurs of the borders. Intensities of either side are those of the class and of the nearest voxels two to three voxels
outside. No target scan is read.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from darnet.augmentation import matching

BLURS = (0.0, 0.35, 0.5, 0.65, 0.82)  # voxels; the last is as wide as a mean of 3 x 3
LEAST_VOXELS = 100  # of a class
LEAST_CONTRAST = 0.3  # between both sides
FAR = 50.0  # voxels from plane to plane, so that distances are taken within planes


def distance_within(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """In-plane distance (D, H, W) to the border of a mask in voxels: 1 and more within it, -1 and less outside."""
    within = ndimage.distance_transform_edt(mask, sampling=(FAR, 1, 1))
    outside = ndimage.distance_transform_edt(~mask, sampling=(FAR, 1, 1))
    return np.asarray(within - outside)


def other_side(image: NDArray[np.floating], labels: NDArray[np.integer], value: int) -> tuple[float, float]:
    """Median share of the other side in the voxels just within and just outside of a class; nan without a contrast.

    Args:
        image: (D, H, W).
        labels: (D, H, W).
        value: The class.
    """
    distance, unclaimed = distance_within(labels == value), labels == 0
    beyond = unclaimed & (distance > -3.5) & (distance < -1.9)
    if not beyond.any():
        return float("nan"), float("nan")
    nearest = ndimage.distance_transform_edt(~beyond, (FAR, 1, 1), return_distances=False, return_indices=True)
    inner = float(np.median(image[labels == value]))
    contrast = image[tuple(nearest)] - inner
    clear = np.abs(contrast) > LEAST_CONTRAST
    shares = np.divide(image - inner, contrast, out=np.zeros_like(image), where=clear)
    rings = (distance == 1) & clear, (distance == -1) & clear & unclaimed
    within, outside = (float(np.median(shares[ring])) if ring.any() else float("nan") for ring in rings)
    return within, 1 - outside


def measure(data: str, root: Path | None = None) -> list[dict[str, Any]]:
    """One row a class, scan and way to show it: shares of the other side within and outside of the border."""
    from darnet.io import CaseStore
    from darnet.layout import find_dataset
    from darnet.plans import Plans

    layout = find_dataset(data, root)
    plans = Plans.read(layout.plans)
    source, rows = CaseStore(layout.cases("source")), []
    for case in source.case_ids():
        image, labels = source.image(case), source.labels(case)
        own = matching.measure_appearance(image, labels, plans.num_classes, excess=True)
        if own is None:
            continue
        order = matching.keep_order(np.random.default_rng(0))
        shown = {"as scanned": image}
        for blur in BLURS:
            with mock.patch.object(matching, "BORDER", blur):
                shown[f"blur of {blur:g}"] = matching.match_appearance(image, labels, own, own, order)
        for name, value in plans.foreground.items():
            if (labels == value).sum() < LEAST_VOXELS:
                continue
            for way, pixels in shown.items():
                within, outside = other_side(pixels[0], labels, value)
                rows.append({"case": case, "class": name, "shown": way, "within": within, "outside": outside})
    return rows


def as_table(rows: list[dict[str, Any]]) -> str:
    """Mean shares of either ring, as Markdown."""
    lines = ["| shown | within | outside |", "|---|---|---|"]
    for way in dict.fromkeys(row["shown"] for row in rows):
        own = [row for row in rows if row["shown"] == way]
        means = (float(np.nanmean([row[column] for row in own])) for column in ("within", "outside"))
        lines.append(f"| {way} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print a table and write the rows."""
    from darnet.io import write_json

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-d", dest="data", required=True, help="number or name of a preprocessed data set")
    parser.add_argument("--root", type=Path, help="root folder of all data (darnet_data)")
    parser.add_argument("-o", type=Path, dest="output", help="also write all rows as JSON")
    args = parser.parse_args()
    rows = measure(args.data, args.root)
    if args.output:
        write_json(args.output, rows)
    print(as_table(rows))


if __name__ == "__main__":
    main()
