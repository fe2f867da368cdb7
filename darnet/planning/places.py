"""Which classes are one piece, and where they lie among each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darnet.io import DatasetInfo
from darnet.planning.fingerprint import Fingerprint
from darnet.plans import InferencePlan, Place

SINGLE_COMPONENT = 0.95
LEAST_CASES = 3  # that show all of the classes


def plan_inference(fingerprint: Fingerprint, info: DatasetInfo) -> InferencePlan:
    """Which labels are one piece in the source cases, so that smaller pieces are dropped from predictions."""
    single = []
    for name, value in info.labels.items():
        shares = [case.class_largest[name] for case in fingerprint.of("source") if name in case.class_largest]
        if value and shares and float(np.mean([share >= SINGLE_COMPONENT for share in shares])) >= 0.9:
            single.append(value)
    names = [name for name, value in info.labels.items() if value in single]
    places, why_places = determine_places(fingerprint, names)
    why = f"{', '.join(names) or 'no class'}: one piece in at least nine of ten source cases"
    return InferencePlan(
        largest_component=tuple(single),
        places=places,
        why={
            "largest_component": why,
            "places": why_places,
            "step_size": "as in the paper: half a patch",
            "average": "no window counts more for being surer of itself",
        },
    )


def determine_places(fingerprint: Fingerprint, names: Sequence[str]) -> tuple[dict[str, Place] | None, str]:
    """Place of each class of one piece in the source scans that show all of them, and the reason; None where it cannot
    be told.

    Args:
        fingerprint: Of the data set.
        names: Classes of which predictions keep one piece.
    """
    if len(names) < 2:
        return None, "there are no two classes of one piece: the largest is kept"
    cases = [case for case in fingerprint.of("source") if all(name in case.class_centre for name in names)]
    if len(cases) < LEAST_CASES:
        return None, f"{len(cases)} source cases show all classes of one piece: the largest pieces are kept"
    centres = np.array([[case.class_centre[name] for name in names] for case in cases])  # (cases, classes, 3)
    offsets = centres - centres.mean(axis=1, keepdims=True)
    middle, spread = np.median(offsets, axis=0), np.sqrt(offsets.var(axis=0).mean(axis=-1))
    volumes = np.median([[case.class_ml[name] for name in names] for case in cases], axis=0)
    places = {
        name: Place(
            (round(float(at[0]), 1), round(float(at[1]), 1), round(float(at[2]), 1)),
            round(float(width), 1),
            float(f"{volume:.3g}"),
        )
        for name, at, width, volume in zip(names, middle, spread, volumes, strict=True)
    }
    return places, f"medians of the {len(cases)} source cases that show all classes of one piece"
