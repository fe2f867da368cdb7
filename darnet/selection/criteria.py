"""What tells good from bad predictions without labels, and the choice that follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from darnet.evaluation import dice

MARGIN = 0.01  # by which an earlier candidate must be better than the last one


@dataclass(frozen=True)
class Criteria:
    """Criteria of one candidate, means over the target scans. Each is from 0 to 1, and 1 is best.

    Attributes:
        certainty: 1 less the entropy of the prediction, see `certainty`.
        stability: Agreement with its own prediction of the same scan in other contrast.
        agreement: Agreement with the other candidates.
        plausibility: How much predicted shapes are like those of the source labels.
        shapes: Plausibility of each class, by its name.
    """

    certainty: float
    stability: float
    agreement: float
    plausibility: float
    shapes: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Mean of the criteria that apply; 0 where none does."""
        values = [v for v in (self.certainty, self.stability, self.agreement, self.plausibility) if math.isfinite(v)]
        return float(np.mean(values)) if values else 0.0


def certainty(probabilities: NDArray[np.floating]) -> float:
    """1 less the mean entropy, in units of its largest value, where a voxel counts as much as it may be foreground.

    Without these weights all that counted were how much of a scan is plainly background.

    Args:
        probabilities: (K, D, H, W), background first.

    Returns:
        1 where all that may be foreground is certain, 0 where all classes are alike; nan where no voxel is foreground.
    """
    entropies = weights = 0.0
    found = False
    for plane in range(probabilities.shape[1]):  # one by one: scans may be large
        p = np.asarray(probabilities[:, plane], np.float64)
        weight = 1.0 - p[0]
        entropies -= float((np.sum(p * np.log(np.maximum(p, 1e-12)), axis=0) * weight).sum())
        weights += float(weight.sum())
        found = found or bool(p.argmax(axis=0).any())
    return 1.0 - entropies / (weights * math.log(len(probabilities))) if found else math.nan


def agreement(a: NDArray[np.integer], b: NDArray[np.integer], classes: Sequence[int]) -> float:
    """Mean Dice of two label volumes over the classes that either shows; nan where neither shows any."""
    values = [dice(a, b, label) for label in classes]
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def change_contrast(image: NDArray[np.float32], brighter: bool) -> NDArray[np.float32]:
    """The same scan with its middle intensities brighter or darker; -1 and 1 stay."""
    unit = np.clip((image + 1.0) / 2.0, 0.0, 1.0)
    return np.asarray(2.0 * unit ** (0.75 if brighter else 4.0 / 3.0) - 1.0, np.float32)


def choose(candidates: Mapping[str, Criteria]) -> str:
    """The candidate of the best score; the last one, which was trained most, unless another is better by `MARGIN`.

    Args:
        candidates: Criteria by name, in the order of training; at least one.
    """
    last = list(candidates)[-1]
    best = max(reversed(list(candidates)), key=lambda name: candidates[name].score)  # the later one of equals
    return best if candidates[best].score > candidates[last].score + MARGIN else last
