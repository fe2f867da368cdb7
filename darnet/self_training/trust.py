"""How far pseudo-labels are believed: as far as the shapes of a class are like those of the source labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darnet.inference import LEAST_OF_ALL, LEAST_OF_ONE
from darnet.io import CaseStore
from darnet.plans import Plans
from darnet.selection import describe_cases, learn_shapes, plausibility, usual_plausibility


def class_trust(plans: Plans, source: CaseStore, *pseudo: CaseStore) -> NDArray[np.float64]:
    """Trust (K,) in the pseudo-labels of each class, from 0 to 1.

    With p the mean plausibility of a class in the target scans that show it, as a share of the one that source cases
    that show it have among the others: 0 up to `LEAST_OF_ONE`, 1 from `LEAST_OF_ALL` on, and in between in proportion.
    A class that no scan shows, or of which source cases tell too little, is trusted: there is nothing to mistrust. Of
    several rounds the smallest trust counts: what was doubted in one stays doubted.

    Args:
        plans: The plan.
        source: Store of the source cases and their labels.
        pseudo: Stores of the target scans with pseudo-labels, one a round.
    """
    classes = list(plans.foreground.values())
    shapes = describe_cases(plans, source, plans.some_of(source.case_ids()))
    usual, reference = usual_plausibility(shapes, classes, shown=True), learn_shapes(shapes, classes)
    trust = np.ones(plans.num_classes)
    for store in pseudo:
        found = [(case, plausibility(case, reference)) for case in describe_cases(plans, store, store.case_ids())]
        for value, expected in usual.items():
            scores = [likely[value] for shown, likely in found if value in shown]
            if scores and expected:
                share = float(np.mean(scores)) / expected
                trust[value] = min(trust[value], max((share - LEAST_OF_ONE) / (LEAST_OF_ALL - LEAST_OF_ONE), 0.0))
    return trust
