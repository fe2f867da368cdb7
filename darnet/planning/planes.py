"""Domains whose planes lie in different directions."""

from __future__ import annotations

from collections import Counter

from darnet.imaging import plane_across
from darnet.planning.fingerprint import Fingerprint
from darnet.planning.spacing import determine_through_plane
from darnet.words import several

SHOWN = 5  # cases listed in a sentence


def mixed_planes(fingerprint: Fingerprint) -> list[str]:
    """Sentences where scans, as they are preprocessed, have planes of other directions: most source scans than most
    target scans, or single scans than the others of their domain. The networks work plane by plane, and organs look
    unlike in them."""
    turned = fingerprint.turned(determine_through_plane(fingerprint)[0])
    most, sentences = {}, []
    for domain in ("source", "target"):
        planes = {case.case_id: plane_across(case.through_plane) for case in turned.of(domain)}
        if not planes:
            return []
        most[domain], count = Counter(planes.values()).most_common(1)[0]
        share = "half of the" if 2 * count == len(planes) else "most"
        others = [f"{case} ({name})" for case, name in planes.items() if name != most[domain]]
        if others:
            sentences.append(
                f"{share} {domain} scans have {most[domain]} planes, but not {several(others, SHOWN)}: the networks "
                f"learn plane by plane; leave these out, or resample them to {most[domain]} planes"
            )
    if most["source"] != most["target"]:
        return [
            f"most source scans have {most['source']} planes, most target scans {most['target']} ones, and slices are "
            f"translated plane by plane; resample the source scans to {most['target']} planes, or to equal voxels, "
            "which darnet turns by itself"
        ]
    return sentences
