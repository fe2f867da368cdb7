from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from darnet.errors import DataError
from darnet.evaluation import dice

PAIRS = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.uint8, shape, elements=st.integers(0, 2))] * 2)
)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([1, 1, 0, 0], [0, 0, 1, 1], 0.0),
        ([1, 1, 0, 0], [0, 1, 1, 0], 0.5),
        ([1, 1, 1, 1], [1, 0, 0, 0], 0.4),
        ([2, 2, 0, 0], [1, 1, 0, 0], 0.0),
        ([0, 0, 0, 0], [1, 0, 0, 0], 0.0),
        ([1, 0, 0, 0], [0, 0, 0, 0], 0.0),
    ],
)
def test_values(prediction, reference, expected):
    assert dice(np.array(prediction), np.array(reference), 1) == expected


def test_does_not_apply_where_neither_has_the_class():
    assert math.isnan(dice(np.zeros((2, 2, 2), np.uint8), np.full((2, 2, 2), 2), 1))


def test_dtypes_may_differ():
    mask = np.arange(8).reshape(2, 2, 2) % 2
    assert dice(mask.astype(bool), mask.astype(np.int64), 1) == 1.0


def test_spacing_changes_nothing():
    prediction, reference = np.arange(27).reshape(3, 3, 3) < 9, np.arange(27).reshape(3, 3, 3) < 12
    assert dice(prediction, reference, 1, spacing=(5, 1, 1)) == dice(prediction, reference, 1)


def test_many_voxels_do_not_overflow():
    ones = np.ones((300, 300, 4), np.uint8)
    assert dice(ones, ones, 1) == 1.0


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 2, 2), (2, 2)])
def test_shapes_that_differ_are_refused(shape):
    with pytest.raises(DataError, match="differ in shape"):
        dice(np.zeros((2, 2, 2)), np.zeros(shape), 1)


@given(PAIRS)
@settings(deadline=None)
def test_equals_set_arithmetic_and_is_symmetric(pair):
    prediction, reference = pair
    p, r = (set(np.flatnonzero(a == 1).tolist()) for a in pair)
    expected = 2 * len(p & r) / (len(p) + len(r)) if p or r else math.nan
    found = dice(prediction, reference, 1)
    assert found == pytest.approx(expected, nan_ok=True)
    assert dice(reference, prediction, 1) == pytest.approx(found, nan_ok=True)
    assert math.isnan(found) or 0 <= found <= 1
