"""Whether two grids are one, told by their corners."""

from __future__ import annotations

import numpy as np
import pytest

from darnet.io import corners_apart, most_apart


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [((1.0, 1.0, 5.0), 0.1), ((3.0, 2.0, 2.0), 0.2), ((0.4, 0.4, 1.5), 0.1), ((0.05, 0.05, 0.05), 0.025)],
)
def test_tolerance_is_of_millimetres_and_of_voxels(spacing, expected):
    assert most_apart(spacing) == pytest.approx(expected)


def test_corners_tell_of_shifts_and_turns():
    straight = np.diag([2.0, 2.0, 5.0, 1.0])
    moved = straight.copy()
    moved[:3, 3] = 3.0, 4.0, 0.0
    assert corners_apart(straight, moved, (10, 10, 10)) == pytest.approx(5.0)
    turned = straight.copy()
    turned[1, 0] = 0.01
    assert corners_apart(straight, turned, (101, 5, 5)) == pytest.approx(1.0)
    assert corners_apart(straight, straight, (3, 3, 3)) == 0.0
