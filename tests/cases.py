"""Cases of a store, on an upright grid of 1 mm."""

from __future__ import annotations

import numpy as np

from darnet.io import CaseRecord, CaseStore


def write_case(
    store: CaseStore, name: str, image: np.ndarray, labels: np.ndarray | None = None, content_hash: str = "0"
) -> None:
    """Store a volume (1, D, H, W) and, where they are given, its labels (D, H, W)."""
    d, h, w = image.shape[1:]
    found = [] if labels is None else [k for k in np.unique(labels) if k]
    record = CaseRecord(
        case_id=name,
        content_hash=content_hash,
        original_shape=(w, h, d),
        affine=((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
        axes=(2, 1, 0),
        flips=(False, False, False),
        spacing=(1.0, 1.0, 1.0),
        crop_box=((0, d), (0, h), (0, w)),
        cropped_shape=(d, h, w),
        shape=(d, h, w),
        body_axes=("S", "P", "L"),
        has_labels=labels is not None,
        class_locations={f"class{k}": np.argwhere(labels == k).tolist() for k in found},
    )
    store.write(record, image.astype(np.float32), labels)
