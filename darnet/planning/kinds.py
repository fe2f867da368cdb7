"""What kind of scan a domain holds: by its name, and whether its values agree."""

from __future__ import annotations

import numpy as np

from darnet.planning.fingerprint import Fingerprint
from darnet.planning.presets import Preset
from darnet.plans import is_ct, is_mr, names_sequence
from darnet.words import several

HOUNSFIELD = (-1024.0, 3071.0)  # what scanners store
BRIGHTEST_CT = 400.0  # HU that the median of no body reaches
FAT = -50.0  # HU: every CT of a body has darker voxels, and hardly any other scan has values below 0
WHITE = 255.0  # of a picture
LEAST_SPAN = 50.0  # HU between the darkest and the brightest tissue of any body
SOFT_TISSUE = 150.0  # HU that the median of a body lies below
SHOWN = 5  # cases listed in a sentence


def has_hounsfield_units(lowest: float, median: float, highest: float) -> bool:
    """Whether values within the body may be those of a CT, and not brought to 0..1, to mean 0 and deviation 1, or to
    the grey values of a picture."""
    grey = lowest >= 0 and highest <= WHITE
    return HOUNSFIELD[0] < median < BRIGHTEST_CT and highest - lowest >= LEAST_SPAN and not grey


def _looks_like_ct(lowest: float, median: float, highest: float) -> bool:
    return HOUNSFIELD[0] <= lowest <= FAT and median < SOFT_TISSUE <= highest


def contradiction(lowest: float, median: float, highest: float, hounsfield: bool) -> str | None:
    """What speaks against the unit of a scan, such as a CT without its offset among others, or an MR in place of a CT.

    Args:
        lowest: Value within the body below which hardly any lies.
        median: Median of the body.
        highest: Value that hardly any exceeds.
        hounsfield: Whether it should be in Hounsfield units.

    Returns:
        Its values and what they look like; None where nothing does.
    """
    found = f"{lowest:.5g} to {highest:.5g}, median {median:.5g}"
    if hounsfield and not (has_hounsfield_units(lowest, median, highest) and (lowest < 0 or median < SOFT_TISSUE)):
        return f"{found}, hardly Hounsfield units"
    if not hounsfield and _looks_like_ct(lowest, median, highest):
        return f"{found}, as of CT"
    return None


def odd_values(fingerprint: Fingerprint, source: str, target: str) -> list[str]:
    """A sentence for each domain in which single scans have values of another kind than most.

    Args:
        fingerprint: All cases.
        source: Modality of the source scans.
        target: Modality of the target scans.
    """
    sentences = []
    for domain, modality in (("source", source), ("target", target)):
        found = {
            case.case_id: contradiction(case.percentiles[0], case.percentiles[2], case.percentiles[-1], is_ct(modality))
            for case in fingerprint.of(domain)
        }
        odd = [f"{case_id} ({what})" for case_id, what in found.items() if what]
        if odd and 2 * len(odd) < len(found):
            sentences.append(
                f"most {domain} scans, called {modality}, have other values within the body than "
                f"{several(odd, SHOWN)}; see whether these are another kind of scan or were converted without their "
                "offset, and mend them or leave them out"
            )
    return sentences


def appearance_share(preset: Preset, source: str, target: str) -> tuple[float, str]:
    """Share of the patches that get a curve which rises or falls, and why.

    Of two sequences of MR, such as T1 and T2, one often shows bright what the other shows dark, nearly everywhere.
    Between CT and MR the order of a few tissues changes, and more curves cost more than they help. MR whose sequence is
    not named may be of two.

    Args:
        preset: Shares of both.
        source: Modality of the source scans.
        target: Modality of the target scans.
    """
    same_sequence = source.lower() == target.lower() and names_sequence(source)
    if is_mr(source) and is_mr(target) and not same_sequence:
        share, why = preset.appearance_of_sequences, "between two sequences nearly all that is bright may become dark"
    else:
        share, why = preset.appearance, "what is bright in one kind of scan may be dark in another"
    return (
        share,
        f"curves that rise or fall: {why}" if share else f"preset {preset.name}: the paper's augmentations alone",
    )


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
        lowest, median, highest = (float(np.median([case.percentiles[n] for case in cases])) for n in (0, 2, -1))
        found = f"the {domain} scans, called {modality}, have values from {lowest:.5g} within the body"
        if is_ct(modality) and not has_hounsfield_units(lowest, median, highest):
            doubts.append(
                f"{found} to {highest:.5g} (median {median:.5g}), which are no Hounsfield units, so percentiles of "
                'each scan are planned in place of a window: see whether "domains" of dataset.json names the right '
                "kind, and whether the scans were normalised or converted without their offset; give them as they "
                "were, or go on"
            )
        elif is_ct(modality) and lowest >= 0:
            doubts.append(
                f'{found}, but fat has about -100 in CT: see whether "domains" of dataset.json names the right kind, '
                "and whether the scans were converted without their offset; if they show no fat, or were clipped on "
                "purpose, go on"
            )
        elif not is_ct(modality) and _looks_like_ct(lowest, median, highest):
            doubts.append(
                f'{found}, as CT has: if they are CT, name them CT in "domains" of dataset.json, so that they are '
                "clipped in Hounsfield units, and plan again"
            )
    return doubts
