from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from darnet.errors import DataError
from darnet.evaluation import (
    CaseScores,
    Scores,
    average_symmetric_surface_distance,
    dice,
    evaluate_pair,
    format_table,
    summarize,
)

INF, NAN = math.inf, math.nan
ABSENT = Scores(NAN, NAN, NAN)
CASES = (
    CaseScores("a", {"liver": Scores(0.9, 1.0, 2.0), "spleen": Scores(0.8, 2.0, 4.0)}),
    CaseScores("b", {"liver": Scores(0.7, 3.0, 6.0), "spleen": Scores(0.0, INF, INF)}),
    CaseScores("c", {"liver": Scores(0.8, 2.0, 4.0), "spleen": ABSENT}),
)
LABELS = {"background": 0, "liver": 1, "spleen": 2}
PAIRS = hnp.array_shapes(min_dims=3, max_dims=3, max_side=6).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.int16, shape, elements=st.integers(0, 3))] * 2)
)


@given(PAIRS, st.tuples(*[st.floats(0.5, 5)] * 3))
@settings(deadline=None)
def test_a_pair_has_the_measures_of_the_whole_arrays(pair, spacing):
    scores = evaluate_pair(*pair, LABELS, spacing)
    assert list(scores) == ["liver", "spleen"]
    for name, found in scores.items():
        label = LABELS[name]
        assert found.dice == pytest.approx(dice(*pair, label), nan_ok=True)
        in_mm = average_symmetric_surface_distance(*pair, label, spacing)
        assert found.asd_mm == pytest.approx(in_mm, nan_ok=True)
        assert found.asd_voxels == pytest.approx(average_symmetric_surface_distance(*pair, label), nan_ok=True)


def test_what_applies_and_what_failed():
    full, empty = np.ones((2, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8)
    missed = evaluate_pair(empty, full, {"x": 1}, (1, 1, 1))["x"]
    invented = evaluate_pair(full, empty, {"x": 1}, (1, 1, 1))["x"]
    absent = evaluate_pair(empty, empty, {"x": 1}, (1, 1, 1))["x"]
    assert missed == invented == Scores(0.0, INF, INF)
    assert missed.applicable and missed.failed
    assert not absent.applicable and not absent.failed


def test_a_pair_of_other_shapes_is_refused():
    with pytest.raises(DataError, match="differ in shape"):
        evaluate_pair(np.zeros((2, 2, 2)), np.zeros((1, 2, 2)), {"x": 1}, (1, 1, 1))


def test_statistics_of_a_class():
    liver = summarize(CASES).classes["liver"]
    assert (liver.n, liver.failures) == (3, 0)
    assert (liver.dice_mean, liver.dice_std) == pytest.approx((0.8, math.sqrt(0.02 / 3)))
    assert (liver.asd_mm_mean, liver.asd_mm_std) == pytest.approx((2.0, math.sqrt(2 / 3)))
    assert (liver.asd_voxels_mean, liver.asd_voxels_std) == pytest.approx((4.0, math.sqrt(8 / 3)))
    assert (liver.asd_mm_finite_mean, liver.asd_voxels_finite_mean) == (2.0, 4.0)


def test_an_infinite_distance_is_counted_and_not_dropped():
    spleen = summarize(CASES).classes["spleen"]
    assert (spleen.n, spleen.failures) == (2, 1)
    assert spleen.dice_mean == pytest.approx(0.4)
    assert spleen.asd_mm_mean == spleen.asd_voxels_mean == INF
    assert math.isnan(spleen.asd_mm_std)
    assert (spleen.asd_mm_finite_mean, spleen.asd_voxels_finite_mean) == (2.0, 4.0)


def test_all_classes_together():
    mean = summarize(CASES).mean
    assert (mean.n, mean.failures) == (5, 1)
    assert mean.dice_mean == pytest.approx((0.8 + 0.4) / 2)
    assert mean.dice_std == pytest.approx(np.std([0.85, 0.35, 0.8]))
    assert mean.asd_mm_mean == INF
    assert math.isnan(mean.asd_mm_std)
    assert mean.asd_mm_finite_mean == 2.0


def test_without_failures_the_spread_is_that_of_the_cases():
    mean = summarize(CASES[:1] + CASES[2:]).mean
    assert mean.asd_mm_mean == pytest.approx(1.75)
    assert mean.asd_mm_std == pytest.approx(np.std([1.5, 2.0]))


@pytest.mark.parametrize("cases", [(), (CaseScores("a", {"liver": ABSENT}),)])
def test_nothing_to_summarize(cases):
    summary = summarize(cases)
    assert (summary.mean.n, summary.mean.failures) == (0, 0)
    assert math.isnan(summary.mean.dice_mean) and math.isnan(summary.mean.asd_mm_finite_mean)
    assert format_table(summary)


def test_a_class_that_applies_nowhere_does_not_spoil_the_mean():
    cases = [CaseScores(c.case_id, {**c.classes, "kidney": ABSENT}) for c in CASES]
    assert summarize(cases).mean.dice_mean == pytest.approx(0.6)


def test_json_has_no_infinity_and_no_nan():
    values = json.loads(json.dumps(summarize(CASES, ["a note"]).to_json(), allow_nan=False))
    assert list(values) == ["mean", "classes", "cases", "notes"]
    assert values["classes"]["spleen"]["asd_mm_mean"] == "inf"
    assert values["classes"]["spleen"]["asd_mm_std"] is None
    assert values["classes"]["spleen"]["failures"] == 1
    assert values["cases"][1] == {
        "case": "b",
        "missing": False,
        "classes": {
            "liver": {"dice": 0.7, "asd_mm": 3.0, "asd_voxels": 6.0},
            "spleen": {"dice": 0.0, "asd_mm": "inf", "asd_voxels": "inf"},
        },
    }
    assert values["cases"][2]["classes"]["spleen"] == {"dice": None, "asd_mm": None, "asd_voxels": None}
    assert values["notes"] == ["a note"]
