"""What kind of scan a domain holds: by its name, and whether its values agree."""

from __future__ import annotations

import re

import numpy as np

from darnet.planning.fingerprint import Fingerprint

HOUNSFIELD = (-1024.0, 3071.0)  # what scanners store
BRIGHTEST_CT = 400.0  # HU that the median of no body reaches
FAT = -50.0  # HU: every CT of a body has darker voxels, and hardly any other scan has values below 0
SOFT_TISSUE = 150.0  # HU that the median of a body lies below


def is_ct(modality: str) -> bool:
    """Whether a name of scans, as in `domains` of dataset.json, means computed tomography."""
    return re.search(r"(?<![a-z])(cb)?ct(?![a-z])|computed", modality.lower()) is not None


def has_hounsfield_units(median: float) -> bool:
    """Whether the median within the body may be one of a CT."""
    return HOUNSFIELD[0] < median < BRIGHTEST_CT


def doubtful_kinds(fingerprint: Fingerprint, source: str, target: str) -> list[str]:
    """A sentence for each domain whose values do not look like its name, as when both names are swapped.

    Args:
        fingerprint: All cases.
        source: Modality of the source scans.
        target: Modality of the target scans.
    """
    doubts = []
    for domain, modality in (("source", source), ("target", target)):
        cases = fingerprint.of(domain)
        if not cases:
            continue
        lowest, median = (float(np.median([case.percentiles[n] for case in cases])) for n in (0, 2))
        found = f"the {domain} scans, called {modality}, have values from {lowest:.0f} within the body"
        if is_ct(modality) and lowest >= 0:
            doubts.append(
                f'{found}, but fat has about -100 in CT: see whether "domains" of dataset.json names the right kind, '
                "and whether the scans were converted without their offset; if they show no fat, or were clipped on "
                "purpose, go on"
            )
        elif not is_ct(modality) and HOUNSFIELD[0] <= lowest <= FAT and median < SOFT_TISSUE:
            doubts.append(
                f'{found}, as CT has: if they are CT, name them CT in "domains" of dataset.json, so that they are '
                "clipped in Hounsfield units, and plan again"
            )
    return doubts
