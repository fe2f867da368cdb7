"""How far scans reach in plane, and how far they do so in both domains."""

from __future__ import annotations

import math

import numpy as np

from darnet.planning.fingerprint import Fingerprint
from darnet.plans import PreprocessingPlan

DOMAINS = ("source", "target")
NARROW = 0.8  # of the other domain's body: fields that reach as far hold it but for its margins
FILLED = 0.95  # of a field: a body that fills as much of it goes on beyond it


def largest_body(fingerprint: Fingerprint) -> tuple[float, float]:
    """Extent (H, W) in mm of the median body of the larger domain."""
    h, w = np.max([fingerprint.median(domain, "body_extent")[1:] for domain in DOMAINS], axis=0)
    return float(h), float(w)


def shared_extent(fingerprint: Fingerprint) -> tuple[tuple[float, float], str]:
    """Extent (H, W) in mm that networks learn from at most, and where it is less than the body, why.

    It is the larger domain's body. Where the other domain's fields of view end within the body and show far less of
    it, it is that field: more than a field shows one domain's surroundings and the other's padding.

    Args:
        fingerprint: Of the data set.

    Returns:
        The extent and its reason, which is empty where all of the body is meant.
    """
    extent = list(largest_body(fingerprint))
    ends: dict[str, list[str]] = {}
    for axis, name in ((1, "H"), (2, "W")):
        bodies = {domain: fingerprint.median(domain, "body_extent")[axis] for domain in DOMAINS}
        narrow = min(bodies, key=lambda domain: bodies[domain])
        field = fingerprint.median(narrow, "field_of_view")[axis]
        if bodies[narrow] >= FILLED * field and bodies[narrow] < NARROW * max(bodies.values()):
            extent[axis - 1] = bodies[narrow]
            ends.setdefault(narrow, []).append(f"{field:.0f} mm along {name}")
    told = [f"{domain} scans end after {' and '.join(fields)}" for domain, fields in ends.items()]
    return (extent[0], extent[1]), f"{', '.join(told)}, within the body" if told else ""


def median_shape(fingerprint: Fingerprint, plan: PreprocessingPlan, plane: tuple[float, float]) -> tuple[int, int, int]:
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
