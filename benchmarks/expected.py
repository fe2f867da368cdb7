"""How well places in the body tell how bright target scans show each class.

    python -m benchmarks.expected -d 101 [--root ROOT] [-o expected.json]

What is expected is learned from the preprocessed source volumes and unlabelled target scans, as training does, and
compared with the medians of the classes in the labelled target scans of `imagesTs` and `labelsTs`. These labels change
nothing of what is expected. All intensities are ranks: the share of the voxels of the body that are darker.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.on_data import print_table


def measure(data: str, root: Path | None = None) -> list[dict[str, Any]]:
    """One row a class: quartiles that are expected, None where places tell too little; true medians, one a scan."""
    from darnet.augmentation import measure_quantiles
    from darnet.augmentation.matching import LEVELS
    from darnet.io import CaseStore, read_scan
    from darnet.layout import find_dataset
    from darnet.plans import Plans
    from darnet.preprocessing import preprocess_arrays
    from darnet.training.looks import learn_expected

    layout = find_dataset(data, root)
    plans = Plans.read(layout.plans)
    source, target = (CaseStore(layout.cases(domain)) for domain in ("source", "target"))
    expected = learn_expected(plans, source, source.case_ids(), target)
    grid = dataclasses.replace(plans.preprocessing, source_depth=None, source_height=None, source_width=None)
    whole = dataclasses.replace(plans, preprocessing=grid)  # labels would crop scans about them
    ranks: dict[str, list[float]] = {name: [] for name in plans.foreground}
    for path in sorted((layout.raw / "labelsTs").glob("*.nii.gz")):
        scan = read_scan(layout.raw / "imagesTs" / path.name.replace(".nii.gz", "_0000.nii.gz"))
        case = preprocess_arrays(scan.array, scan.affine, whole, "target", read_scan(path, labels=True).array)
        quantiles = measure_quantiles(case.image)
        for name, value in plans.foreground.items():
            voxels = case.image[0][case.labels == value]
            if quantiles is not None and len(voxels):
                ranks[name].append(float(np.interp(np.median(voxels), quantiles, LEVELS)))
    rows = []
    for name, value in plans.foreground.items():
        told = expected.classes[value].tolist() if expected.enough else [np.nan]
        quartiles = None if np.isnan(told).any() else told
        rows.append({"class": name, "expected": quartiles, "true": ranks[name]})
    return rows


def as_table(rows: list[dict[str, Any]]) -> str:
    """Expected quartiles, and mean and range of the true medians, as Markdown."""
    lines = ["| class | expected: quartiles | true median | lowest, highest scan |", "|---|---|---|---|"]
    for row in rows:
        told = "not told" if row["expected"] is None else ", ".join(f"{rank:.2f}" for rank in row["expected"])
        true = row["true"]
        ends = f"{np.mean(true):.2f} | {min(true):.2f}, {max(true):.2f}" if true else "- | -"
        lines.append(f"| {row['class'].replace('_', ' ')} | {told} | {ends} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print_table(__doc__, measure, as_table)
