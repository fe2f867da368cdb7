"""How far pseudo-labels are believed: as far as the shapes of a class are like those of the source labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darnet.inference import LEAST_OF_ALL, LEAST_OF_ONE
from darnet.io import CaseStore
from darnet.plans import Plans
from darnet.selection import describe_cases, learn_shapes, plausibility, usual_plausibility


def class_trust(plans: Plans, source: CaseStore, pseudo: CaseStore) -> NDArray[np.float64]:
    """Trust (K,) in the pseudo-labels of each class, from 0 to 1.

    With p the mean plausibility of a class in the target scans that show it, as a share of the one that source cases
    that show it have among the others: 0 up to `LEAST_OF_ONE`, 1 from `LEAST_OF_ALL` on, and in between in proportion.
    A class that no scan shows, or of which source cases tell too little, is trusted: there is nothing to mistrust.

    Args:
        plans: The plan.
        source: Store of the source cases and their labels.
        pseudo: Store of the target scans with pseudo-labels.
    """
    classes = list(plans.foreground.values())
    shapes = describe_cases(plans, source, plans.some_of(source.case_ids()))
    usual, reference = usual_plausibility(shapes, classes, shown=True), learn_shapes(shapes, classes)
    found = [(case, plausibility(case, reference)) for case in describe_cases(plans, pseudo, pseudo.case_ids())]
    trust = np.ones(plans.num_classes)
    for value, expected in usual.items():
        scores = [likely[value] for shown, likely in found if value in shown]
        if scores and expected:
            share = float(np.mean(scores)) / expected
            trust[value] = np.clip((share - LEAST_OF_ONE) / (LEAST_OF_ALL - LEAST_OF_ONE), 0.0, 1.0)
    return trust
