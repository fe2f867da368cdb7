"""Labelled volumes that are far from those of other scans."""

from __future__ import annotations

import pytest

from darnet.planning import CaseFingerprint, Fingerprint, odd_volumes


def fingerprint_of(**volumes):
    """A fingerprint whose n-th source case has the n-th volume of each class in ml."""
    count = max(map(len, volumes.values()))
    cases = [
        CaseFingerprint(f"ct_{n}", "source", "", (9, 9, 9), (1.0, 1.0, 1.0), ("S", "P", "L"), (9.0, 9.0, 9.0),
                        (9.0, 9.0, 9.0), (0.0, 1.0, 2.0, 3.0, 4.0),
                        class_ml={name: float(own[n]) for name, own in volumes.items()})
        for n in range(count)
    ]  # fmt: skip
    return Fingerprint(tuple(cases))


USUAL = (140, 150, 160, 170, 180, 190)


@pytest.mark.parametrize(
    ("kidney", "odd"),
    [
        ((*USUAL, 8), ["ct_6"]),  # cut off
        ((*USUAL, 42), []),  # small, less than four times
        ((*USUAL, 39), ["ct_6"]),
        ((*USUAL, 1500), ["ct_6"]),  # a label of another organ
        ((*USUAL, 0), []),  # not there at all is no volume
        ((*USUAL, 8, 9), ["ct_6", "ct_7"]),
        ((150, 160, 170, 8), []),  # too few to know
        ((0.1, 0.5, 2, 10, 50, 200, 1), []),  # lesions
    ],
)
def test_volumes(kidney, odd):
    found = odd_volumes(fingerprint_of(kidney=kidney))
    assert [sentence.split(":")[0] for sentence in found] == odd


def test_the_sentence_names_case_class_and_volumes():
    (found,) = odd_volumes(fingerprint_of(liver=(*USUAL, 160), left_kidney=(*USUAL, 8)))
    assert found.startswith("ct_6: left_kidney has 8 ml, but the median of 7 scans is 160 ml")


def test_without_labelled_cases():
    assert odd_volumes(Fingerprint(())) == []
