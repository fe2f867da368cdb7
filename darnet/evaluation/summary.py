"""Scores of cases and what they amount to. An infinite distance is counted, never dropped from a mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.evaluation.dice import dice, require_same_shape
from darnet.evaluation.surface_distance import average_symmetric_surface_distance, box_of

NAN = float("nan")


@dataclass(frozen=True)
class Scores:
    """Agreement on one class of one case: nan where neither prediction nor reference has the class.

    Attributes:
        dice: From 0 to 1.
        asd_mm: Average symmetric surface distance in mm; inf where only one of the two has the class.
        asd_voxels: The same with every voxel taken as a cube of size 1.
    """

    dice: float
    asd_mm: float
    asd_voxels: float

    @property
    def applicable(self) -> bool:
        """Whether prediction or reference has the class."""
        return not math.isnan(self.dice)

    @property
    def failed(self) -> bool:
        """Whether only one of the two has the class, so that no distance can be measured."""
        return math.isinf(self.asd_mm)


@dataclass(frozen=True)
class CaseScores:
    """Scores of one case by the name of the class. `missing`: it has no prediction and counts as predicted empty."""

    case_id: str
    classes: Mapping[str, Scores]
    missing: bool = False

    def mean(self, measure: str) -> float:
        """Mean of "dice", "asd_mm" or "asd_voxels" over the classes that apply; nan where none does."""
        return _mean(getattr(s, measure) for s in self.classes.values() if s.applicable)


@dataclass(frozen=True)
class Statistics:
    """Scores of one class over all cases, or of all classes together.

    Of a class, means and standard deviations (divided by n) are over the cases where it applies. Of all classes
    together, a mean is that of the classes' means, each class weighing the same, and a standard deviation is that of
    the cases' means over classes.

    Attributes:
        n: Number of scores, without those that do not apply.
        failures: How many of them have an infinite distance. One of them makes the mean distance infinite and its
            standard deviation nan.
        dice_mean: nan where n is 0, as the others.
        dice_std: Spread of Dice.
        asd_mm_mean: Mean distance in mm.
        asd_mm_std: Spread of the distance in mm.
        asd_mm_finite_mean: Mean of the finite distances alone, to be read beside `failures`.
        asd_voxels_mean: Mean distance in voxels.
        asd_voxels_std: Spread of the distance in voxels.
        asd_voxels_finite_mean: As for mm.
    """

    n: int
    failures: int
    dice_mean: float
    dice_std: float
    asd_mm_mean: float
    asd_mm_std: float
    asd_mm_finite_mean: float
    asd_voxels_mean: float
    asd_voxels_std: float
    asd_voxels_finite_mean: float


@dataclass(frozen=True)
class Summary:
    """What an evaluation found.

    Attributes:
        cases: Scores of each case.
        classes: Statistics of each class by its name.
        mean: Statistics of all classes together.
        notes: What the reader of the numbers should know.
    """

    cases: tuple[CaseScores, ...]
    classes: Mapping[str, Statistics]
    mean: Statistics
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON: inf is the string "inf", nan is null."""
        values: dict[str, Any] = _plain(
            {
                "mean": asdict(self.mean),
                "classes": {name: asdict(statistics) for name, statistics in self.classes.items()},
                "cases": [
                    {
                        "case": case.case_id,
                        "missing": case.missing,
                        "classes": {name: asdict(scores) for name, scores in case.classes.items()},
                    }
                    for case in self.cases
                ],
                "notes": list(self.notes),
            }
        )
        return values


def evaluate_pair(
    prediction: NDArray[np.generic],
    reference: NDArray[np.generic],
    labels: Mapping[str, int],
    spacing: Sequence[float],
) -> dict[str, Scores]:
    """Scores of each class of one case.

    Args:
        prediction: Predicted labels, three axes.
        reference: Reference labels, the same shape.
        labels: Value of each class by name; a background, 0, is passed over.
        spacing: Size of a voxel in mm in the order of the axes.

    Raises:
        DataError: The shapes differ, or shape or spacing cannot be used.
    """
    require_same_shape(prediction, reference)
    scores = {}
    for name, label in labels.items():
        if label == 0:
            continue
        box = box_of((prediction == label) | (reference == label))
        if box is None:
            scores[name] = Scores(NAN, NAN, NAN)
            continue
        # Nothing of the class lies outside of the box, so all measures are the same in it, and quicker.
        predicted, true = prediction[box], reference[box]
        in_mm = average_symmetric_surface_distance(predicted, true, label, spacing)
        in_voxels = average_symmetric_surface_distance(predicted, true, label)
        scores[name] = Scores(dice(predicted, true, label), in_mm, in_voxels)
    return scores


def summarize(cases: Sequence[CaseScores], notes: Sequence[str] = ()) -> Summary:
    """Statistics of each class and of all classes together.

    Args:
        cases: Scores of each case. A case need not have all classes.
        notes: Handed on to the summary.
    """
    names = list(dict.fromkeys(name for case in cases for name in case.classes))
    classes = {name: _of_class([case.classes[name] for case in cases if name in case.classes]) for name in names}
    return Summary(tuple(cases), classes, _of_all(cases, list(classes.values())), tuple(notes))


def _of_class(scores: Sequence[Scores]) -> Statistics:
    """Statistics over the cases where a class applies."""
    found = [s for s in scores if s.applicable]
    dices, mm, voxels = [s.dice for s in found], [s.asd_mm for s in found], [s.asd_voxels for s in found]
    return Statistics(
        n=len(found),
        failures=sum(s.failed for s in found),
        dice_mean=_mean(dices),
        dice_std=_std(dices),
        asd_mm_mean=_mean(mm),
        asd_mm_std=_std(mm),
        asd_mm_finite_mean=_mean(v for v in mm if math.isfinite(v)),
        asd_voxels_mean=_mean(voxels),
        asd_voxels_std=_std(voxels),
        asd_voxels_finite_mean=_mean(v for v in voxels if math.isfinite(v)),
    )


def _of_all(cases: Sequence[CaseScores], classes: Sequence[Statistics]) -> Statistics:
    """Mean over classes, spread over cases."""

    def over_classes(name: str) -> float:
        return _mean(value for c in classes if not math.isnan(value := getattr(c, name)))

    def over_cases(measure: str) -> float:
        return _std([value for case in cases if not math.isnan(value := case.mean(measure))])

    return Statistics(
        n=sum(c.n for c in classes),
        failures=sum(c.failures for c in classes),
        dice_mean=over_classes("dice_mean"),
        dice_std=over_cases("dice"),
        asd_mm_mean=over_classes("asd_mm_mean"),
        asd_mm_std=over_cases("asd_mm"),
        asd_mm_finite_mean=over_classes("asd_mm_finite_mean"),
        asd_voxels_mean=over_classes("asd_voxels_mean"),
        asd_voxels_std=over_cases("asd_voxels"),
        asd_voxels_finite_mean=over_classes("asd_voxels_finite_mean"),
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else NAN


def _std(values: Sequence[float]) -> float:
    # NumPy warns of inf - inf, where nan is just what is meant.
    return float(np.std(values)) if values and all(map(math.isfinite, values)) else NAN


def _plain(value: Any) -> Any:
    """The same values as JSON knows them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
