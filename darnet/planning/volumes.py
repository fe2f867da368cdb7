"""Labelled volumes that are far from those of the same class in other scans."""

from __future__ import annotations

import math

import numpy as np

from darnet.planning.fingerprint import CaseFingerprint, Fingerprint
from darnet.words import number

LEAST_CASES = 5  # that show a class, to know what is usual
FAR = 4.0  # times as large or small as the median
DEVIATIONS = 5.0  # and this many standard deviations away, estimated from the median absolute deviation of logarithms
TO_DEVIATION = 1.4826  # of a normal distribution


def odd_volumes(fingerprint: Fingerprint) -> list[str]:
    """A sentence for each case with a class far smaller or larger than in other source cases, as where the scan ends
    within an organ, or a label is another organ's.

    Lesions vary by more than organs do: what counts as far grows with how much the other cases differ.
    """
    cases = fingerprint.of("source")
    names = dict.fromkeys(name for case in cases for name in case.class_ml)
    return [sentence for name in names for sentence in _odd_volumes(cases, name)]


def _odd_volumes(cases: tuple[CaseFingerprint, ...], name: str) -> list[str]:
    found = {case.case_id: case.class_ml[name] for case in cases if case.class_ml.get(name, 0) > 0}
    if len(found) < LEAST_CASES:
        return []
    logs = np.log(list(found.values()))
    median = float(np.median(logs))
    deviation = TO_DEVIATION * float(np.median(np.abs(logs - median)))
    limit = max(math.log(FAR), DEVIATIONS * deviation)
    usual = f"the median of {len(found)} scans is {number(float(np.median(list(found.values()))))} ml"
    return [
        f"{case}: {name} has {number(ml)} ml, but {usual}; look whether the scan cuts it off or its label is another's"
        for case, ml in found.items()
        if abs(math.log(ml) - median) > limit
    ]
