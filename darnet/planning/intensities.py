"""Which intensities of a kind of scan become black and white."""

from __future__ import annotations

import math

import numpy as np

from darnet.planning.fingerprint import Fingerprint
from darnet.planning.kinds import HOUNSFIELD, has_hounsfield_units
from darnet.plans import IntensityPlan, is_ct

CT_WINDOW = (-125.0, 275.0)  # HU: soft tissue
PERCENTILE_RULE = (0.5, 99.5)


def intensity_rule(fingerprint: Fingerprint, domain: str, modality: str) -> IntensityPlan:
    """A fixed window for CT, percentiles of each scan for everything else."""
    cases = fingerprint.of(domain)
    lowest, median, highest = (float(np.median([case.percentiles[n] for case in cases])) for n in (0, 2, -1))
    if not is_ct(modality):
        return IntensityPlan(
            "percentile", *PERCENTILE_RULE, why=f"{modality} has no unit: percentiles of each scan's body"
        )
    if not has_hounsfield_units(lowest, median, highest):
        found = f"{lowest:.4g} to {highest:.4g}, median {median:.4g}"
        return IntensityPlan(
            "percentile", *PERCENTILE_RULE, why=f"CT, but values within the body are {found}: no Hounsfield units"
        )
    low, high = CT_WINDOW
    labelled = [case.labelled_percentiles for case in cases if case.labelled_percentiles]
    why = "CT: a window of soft tissue in Hounsfield units"
    if labelled:
        # The window must show what is labelled, as far as half of the cases have it.
        low = max(min(low, 5.0 * math.floor(float(np.median([p[0] for p in labelled])) / 5)), HOUNSFIELD[0])
        high = min(max(high, 5.0 * math.ceil(float(np.median([p[-1] for p in labelled])) / 5)), HOUNSFIELD[1])
        why += ", wide enough for the labelled classes"
    return IntensityPlan("window", low, high, why=why)
