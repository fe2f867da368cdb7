"""How far scans reach in plane, and how far they do so in both domains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from darnet.layout import DOMAINS
from darnet.planning.fingerprint import Fingerprint
from darnet.plans import LABEL_MARGIN, PreprocessingPlan

NARROW = 0.8  # of the other domain's body: fields that reach as far hold it but for its margins
FILLED = 0.95  # of a field: a body that fills as much of it goes on beyond it

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
        why_source: Reasons of `source`.
    """

    body: Plane
    shared: Plane
    source: tuple[float | None, float | None]
    why: str
    why_source: tuple[str, str]


def determine_fields(fingerprint: Fingerprint) -> Fields:
    """Which of the two domains' fields of view are narrow, and what follows from it."""
    body, shared = list(largest_body(fingerprint)), list(largest_body(fingerprint))
    cropped: list[float | None] = [None, None]
    why_source = ["target scans show all of the body, or hardly less of it than source scans"] * 2
    ends: dict[str, list[str]] = {}
    for n, name in enumerate("HW"):
        bodies = {domain: fingerprint.median(domain, "body_extent")[n + 1] for domain in DOMAINS}
        narrow = min(bodies, key=lambda domain: bodies[domain])
        field = fingerprint.median(narrow, "field_of_view")[n + 1]
        if bodies[narrow] < FILLED * field or bodies[narrow] >= NARROW * max(bodies.values()):
            continue
        shared[n] = bodies[narrow]
        ends.setdefault(narrow, []).append(f"{field:.0f} mm along {name}")
        if narrow == "source":
            why_source[n] = f"source scans end after {field:.0f} mm, within the body"
            continue
        labels = [case.label_extent[n + 1] for case in fingerprint.of("source")]
        kept = max(bodies["target"], float(np.percentile(labels, 90)) + 2 * LABEL_MARGIN)
        if kept < NARROW * bodies["source"]:
            body[n], cropped[n] = kept, float(math.ceil(kept))
        why_source[n] = (
            f"target scans end after {field:.0f} mm, within the body: source scans are cropped about their labels to "
            f"that, or to the labels with {LABEL_MARGIN:.0f} mm on both sides where that is more"
            + ("" if cropped[n] else f", here {kept:.0f} mm, which is nearly all of their body")
        )
    told = [f"{domain} scans end after {' and '.join(fields)}" for domain, fields in ends.items()]
    why = f"{', '.join(told)}, within the body" if told else ""
    return Fields(
        (body[0], body[1]), (shared[0], shared[1]), (cropped[0], cropped[1]), why, (why_source[0], why_source[1])
    )


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
    depth = min(*depths, plan.source_limits[0])
    d, h, w = (max(round(e / s), 1) for e, s in zip((depth, *plane), plan.spacing, strict=True))
    return d, h, w
