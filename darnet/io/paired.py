"""Patients that a data set has in both domains, told by the names of their cases."""

from __future__ import annotations

from collections.abc import Iterable

from darnet.words import several


def paired_notes(source: Iterable[str], target: Iterable[str], test: Iterable[str]) -> list[str]:
    """Notes on cases of one name in both domains. A name is no proof, so nothing is refused.

    Args:
        source: Labelled source cases.
        target: Unlabelled target cases.
        test: Target cases for testing.

    Returns:
        One note on names of source and test cases, one on names of source and target cases, where there are any.
    """
    learned = set(source)
    notes = []
    tested, paired = sorted(learned & set(test)), sorted(learned & set(target))
    if tested:
        notes.append(
            f"cases of one name in imagesTr and imagesTs ({len(tested)}): {several(tested)}; if these are the same "
            "patients, the network learns from the labels that it is tested on, and scores on them are too good: "
            "take these cases out of imagesTr and labelsTr, or out of imagesTs and labelsTs"
        )
    if paired:
        notes.append(
            f"cases of one name in imagesTr and imagesTr_target ({len(paired)}): {several(paired)}; if these are the "
            "same patients, results are better than those of unpaired scans would be"
        )
    return notes
