"""Domains whose planes lie in different directions."""

from __future__ import annotations

from collections import Counter

from darnet.planning.fingerprint import Fingerprint
from darnet.planning.spacing import determine_through_plane

PLANES = {"S": "axial", "A": "coronal", "R": "sagittal"}


def mixed_planes(fingerprint: Fingerprint) -> list[str]:
    """A sentence where most source and most target scans, as they are preprocessed, have planes of other directions:
    the translator works plane by plane, and organs look unlike in them."""
    turned = fingerprint.turned(determine_through_plane(fingerprint)[0])
    most = {}
    for domain in ("source", "target"):
        axes = Counter(case.body_axes[0] for case in turned.of(domain))
        if not axes:
            return []
        most[domain] = axes.most_common(1)[0][0]
    if most["source"] == most["target"]:
        return []
    source, target = (PLANES[most[domain]] for domain in ("source", "target"))
    return [
        f"most source scans have {source} planes, most target scans {target} ones, and slices are translated plane by "
        f"plane; resample the source scans to {target} planes, or to equal voxels, which darnet turns by itself"
    ]
