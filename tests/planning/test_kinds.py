"""Names of scans, and names that their values contradict."""

from __future__ import annotations

import dataclasses

import pytest

from darnet.planning import CaseFingerprint, Fingerprint, doubtful_kinds, odd_values
from darnet.plans import is_ct, is_mr

CT, WINDOWED_CT, OFFSET_CT = (-180, -90, 40, 200, 600), (-125, -90, 40, 200, 275), (844, 934, 1064, 1224, 1624)
MR, SCALED_MR, BRIGHT_MR = (3, 20, 250, 700, 1200), (-2, -1, 0, 1, 3), (3, 60, 700, 1500, 2500)


def fingerprint_of(source, target):
    cases = [
        CaseFingerprint(f"{domain}{n}", domain, "", (9, 9, 9), (1.0, 1.0, 1.0), ("S", "P", "L"), (9.0, 9.0, 9.0),
                        (9.0, 9.0, 9.0), tuple(float(v) for v in values))
        for domain, values in (("source", source), ("target", target))
        for n in range(3)
    ]  # fmt: skip
    return Fingerprint(tuple(cases))


@pytest.mark.parametrize(
    ("name", "ct"), [("CT", True), ("low-dose ct", True), ("CBCT", True), ("CTA", True), ("CECT", True), ("MR", False),
                     ("Computed tomography", True), ("OCT", False), ("T2-SPIR", False), ("ceT1", False),
                     ("abdomen", False), ("spectral", False), ("AbdomenCT", True), ("ceCT", True),
                     ("SpectCTrial", False), ("HRCT", True), ("MDCT", True), ("4DCT", True)],
)  # fmt: skip
def test_names_of_ct(name, ct):
    assert is_ct(name) == ct


@pytest.mark.parametrize(
    ("name", "mr"), [("MR", True), ("MRI", True), ("MR T2-SPIR", True), ("T1", True), ("ceT1", True), ("hrT2", True),
                     ("contrast-enhanced T1", True), ("bSSFP", True), ("T1ce", True), ("FLAIR", True), ("CT", False),
                     ("PET", False), ("unknown", False), ("ultrasound", False), ("CECT", False),
                     ("AbdomenMR", True), ("headT1", True), ("MRA", True), ("cine", True), ("PSIR", True),
                     ("STIR", True), ("SPAIR", True), ("MPRAGE", True), ("PDw", True), ("PD-FS", True), ("PDFS", True),
                     ("VIBE", True), ("HASTE", True), ("DCE", True), ("DCE-CT", False), ("grey", False),
                     ("PDus", False), ("PET", False)],
)  # fmt: skip
def test_names_of_mr(name, mr):
    assert is_mr(name) == mr


@pytest.mark.parametrize(
    ("source", "target", "names", "words"),
    [(CT, MR, ("CT", "MR"), []), (WINDOWED_CT, MR, ("CT", "MR"), []), (CT, SCALED_MR, ("CT", "MR"), []),
     (MR, SCALED_MR, ("T1", "T2"), []),
     (CT, MR, ("MR", "CT"), ["the source scans, called MR, have values from -180 within the body, as CT has",
                             "the target scans, called CT, have values from 3 within the body, but fat"]),
     (OFFSET_CT, MR, ("CT", "MR"), ["the source scans, called CT, have values from 844"]),
     (SCALED_MR, MR, ("CT", "MR"), ["the source scans, called CT, have values from -2 within the body to 3 (median"]),
     (BRIGHT_MR, CT, ("CT", "CT"), ["the source scans, called CT, have values from 3"]),
     (CT, MR, ("abdomen", "MR"), ["the source scans, called abdomen"])],
)  # fmt: skip
def test_values_that_contradict_the_name(source, target, names, words):
    doubts = doubtful_kinds(fingerprint_of(source, target), *names)
    assert len(doubts) == len(words)
    for doubt, start in zip(doubts, words, strict=True):
        assert doubt.startswith(start)
        assert '"domains" of dataset.json' in doubt


@pytest.mark.parametrize(
    ("values", "others", "name", "words"),
    [(OFFSET_CT, CT, "CT", "844 to 1624, median 1064, hardly Hounsfield units"),
     (MR, CT, "CT", "3 to 1200, median 250, hardly Hounsfield units"),
     ((0, 0.1, 0.3, 0.7, 1), CT, "CT", "0 to 1, median 0.3, hardly Hounsfield units"),
     (CT, MR, "T2", "-180 to 600, median 40, as of CT"),
     (WINDOWED_CT, CT, "CT", None), (SCALED_MR, MR, "T2", None), (BRIGHT_MR, MR, "T2", None)],
)  # fmt: skip
def test_single_scans_of_another_kind_are_named(values, others, name, words):
    source = fingerprint_of(others, MR)
    odd = dataclasses.replace(source.cases[0], case_id="odd", percentiles=tuple(float(v) for v in values))
    cases = (odd, *source.cases)
    assert odd_values(Fingerprint(source.cases), name, "MR") == []
    sentences = odd_values(Fingerprint(cases), name, "MR")
    if words is None:
        assert sentences == []
        return
    (sentence,) = sentences
    assert sentence.startswith(
        f"most source scans, called {name}, have other values within the body than odd ({words});"
    )


def test_scans_that_are_all_of_another_kind_are_not_named_one_by_one():
    assert odd_values(fingerprint_of(OFFSET_CT, MR), "CT", "MR") == []
