"""How far scans reach in plane, and how far they do so in both domains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from darnet.planning.fingerprint import Fingerprint
from darnet.plans import PreprocessingPlan

DOMAINS = ("source", "target")
NARROW = 0.8  # of the other domain's body: fields that reach as far hold it but for its margins
FILLED = 0.95  # of a field: a body that fills as much of it goes on beyond it
LABEL_MARGIN = 20.0  # mm beyond the labels that a cropped source scan keeps

Plane = tuple[float, float]


@dataclass(frozen=True)
class Fields:
    """What scans show in plane, in mm along (H, W).

    Attributes:
        body: Median body of the larger domain, source scans as they are cropped.
        shared: What networks learn from at most: the body, or the narrower field of the two domains where that ends
            within the body and shows far less of it. More would be surroundings in one domain and padding in the other.
        source: What source scans are cropped to about their labels: the target's narrower field, or their labels with
            a margin where that is more. None along an axis where all is kept.
        why: Which fields are narrow; empty where none is.
    """

    body: Plane
    shared: Plane
    source: tuple[float | None, float | None]
    why: str


def determine_fields(fingerprint: Fingerprint) -> Fields:
    """Which of the two domains' fields of view are narrow, and what follows from it."""
    body, shared = list(largest_body(fingerprint)), list(largest_body(fingerprint))
    cropped: list[float | None] = [None, None]
    ends: dict[str, list[str]] = {}
    for n, name in enumerate("HW"):
        bodies = {domain: fingerprint.median(domain, "body_extent")[n + 1] for domain in DOMAINS}
        narrow = min(bodies, key=lambda domain: bodies[domain])
        field = fingerprint.median(narrow, "field_of_view")[n + 1]
        if bodies[narrow] < FILLED * field or bodies[narrow] >= NARROW * max(bodies.values()):
            continue
        shared[n] = bodies[narrow]
        ends.setdefault(narrow, []).append(f"{field:.0f} mm along {name}")
        labels = [case.label_extent[n + 1] for case in fingerprint.of("source")]
        kept = float(round(max(bodies["target"], np.percentile(labels, 90) + 2 * LABEL_MARGIN)))
        if narrow == "target" and kept < bodies["source"]:
            cropped[n] = body[n] = kept
    told = [f"{domain} scans end after {' and '.join(fields)}" for domain, fields in ends.items()]
    why = f"{', '.join(told)}, within the body" if told else ""
    return Fields((body[0], body[1]), (shared[0], shared[1]), (cropped[0], cropped[1]), why)


def largest_body(fingerprint: Fingerprint) -> Plane:
    """Extent (H, W) in mm of the median body of the larger domain."""
    h, w = np.max([fingerprint.median(domain, "body_extent")[1:] for domain in DOMAINS], axis=0)
    return float(h), float(w)


def median_shape(fingerprint: Fingerprint, plan: PreprocessingPlan, plane: Plane) -> tuple[int, int, int]:
    """Voxels (D, H, W) on the planned grid of what both domains show.

    Args:
        fingerprint: Of the data set.
        plan: Grid and crop.
        plane: Extent (H, W) in mm of what counts in plane; D is that of the domain with fewer planes.
    """
    depths = [fingerprint.median(domain, "field_of_view")[0] for domain in DOMAINS]
    depth = min(depths[0], plan.source_depth or math.inf, depths[1])
    d, h, w = (max(round(e / s), 1) for e, s in zip((depth, *plane), plan.spacing, strict=True))
    return d, h, w
