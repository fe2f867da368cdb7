from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from darnet.errors import DataError
from darnet.evaluation import average_symmetric_surface_distance as asd

SHAPE = (12, 14, 16)
SPACINGS = st.tuples(*[st.floats(0.25, 8.0)] * 3)
VOLUMES = hnp.array_shapes(min_dims=3, max_dims=3, max_side=7).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.uint8, shape, elements=st.integers(0, 2))] * 2)
)


def oracle(prediction, reference, label, spacing=(1.0, 1.0, 1.0)):
    """Whole arrays, SciPy's erosion and SciPy's exact distances."""
    surfaces = []
    for array in (prediction, reference):
        mask = array == label
        surfaces.append(mask & ~ndimage.binary_erosion(mask, ndimage.generate_binary_structure(3, 1), border_value=0))
    if not surfaces[0].any() or not surfaces[1].any():
        return math.inf if surfaces[0].any() or surfaces[1].any() else math.nan
    there = ndimage.distance_transform_edt(~surfaces[1], sampling=spacing)[surfaces[0]]
    back = ndimage.distance_transform_edt(~surfaces[0], sampling=spacing)[surfaces[1]]
    return np.concatenate((there, back)).mean()


def volume(*index):
    array = np.zeros(SHAPE, np.uint8)
    array[index] = 1
    return array


def ball(center, radius, shape=(30, 32, 34)):
    grid = np.indices(shape) - np.reshape(center, (3, 1, 1, 1))
    return ((grid**2).sum(axis=0) <= radius**2).astype(np.uint8)


@pytest.mark.parametrize(
    ("prediction", "reference", "spacing", "expected"),
    [
        (volume(3), volume(3), (1, 1, 1), 0.0),
        (volume(3), volume(7), (1, 1, 1), 4.0),
        (volume(3), volume(7), (2.5, 1, 1), 10.0),
        (volume(3), volume(7), (1, 9, 9), 4.0),
        (volume(slice(None), 2), volume(slice(None), 5), (9, 0.5, 9), 1.5),
        (volume(slice(None), slice(None), 0), volume(slice(None), slice(None), 15), (9, 9, 2), 30.0),
        (volume(1, 1, 1), volume(1, 1, 2), (1, 1, 3), 3.0),
        (volume(1, 1, 1), volume(4, 5, 1), (1, 1, 1), 5.0),
        (volume(1, 1, 1), volume(4, 5, 1), (2, 0.5, 1), math.hypot(6, 2)),
    ],
)
def test_points_and_parallel_planes(prediction, reference, spacing, expected):
    assert asd(prediction, reference, 1, spacing) == pytest.approx(expected, rel=1e-6)


def test_both_surfaces_are_pooled_by_their_voxels():
    # One voxel against four in a row: 0 from the one; 0, 1, 2, 3 from the four.
    assert asd(volume(5, 5, 5), volume(5, 5, slice(5, 9)), 1) == pytest.approx(6 / 5)


def test_the_inside_is_no_surface():
    cube, shell = volume(slice(2, 9), slice(2, 9), slice(2, 9)), volume(slice(2, 9), slice(2, 9), slice(2, 9))
    shell[3:8, 3:8, 3:8] = 0
    assert asd(cube, shell, 1) == 0.0


def test_corners_alone_do_not_make_a_surface():
    # The erosion is 6-connected: a voxel that lacks only a diagonal neighbour lies inside.
    cube = volume(slice(2, 5), slice(2, 5), slice(2, 5))
    chipped = cube.copy()
    chipped[2, 2, 2] = 0
    assert asd(chipped, cube, 1) == pytest.approx(1 / (25 + 26))


def test_the_border_of_the_array_counts_as_outside():
    full, single = np.ones((3, 3, 3), np.uint8), np.zeros((3, 3, 3), np.uint8)
    single[0, 0, 0] = 1
    assert asd(full, single, 1) == pytest.approx(oracle(full, single, 1), rel=1e-6)
    padded = [np.pad(a, 2) for a in (full, single)]
    assert asd(*padded, 1) == asd(full, single, 1)


def test_empty_masks():
    empty, some = np.zeros((3, 3, 3), np.uint8), np.ones((3, 3, 3), np.uint8)
    assert asd(some, empty, 1) == math.inf
    assert asd(empty, some, 1) == math.inf
    assert math.isnan(asd(empty, empty, 1))
    assert math.isnan(asd(some, some, 2))


@pytest.mark.parametrize("spacing", [(1, 1, 1), (4.0, 1.1719, 1.1719), (0.7, 0.7, 5.0)])
def test_balls_against_the_oracle(spacing):
    near = ball((14, 15, 16), 11), ball((15, 15, 18), 12)
    far = ball((4, 5, 5), 3), ball((24, 26, 27), 4)
    for prediction, reference in (near, far):
        assert asd(prediction, reference, 1, spacing) == pytest.approx(
            oracle(prediction, reference, 1, spacing), rel=1e-6
        )


def test_memory_order_does_not_matter():
    pair = ball((14, 15, 16), 9), ball((15, 18, 12), 7)
    found = asd(*pair, 1, (3, 1, 0.5))
    assert asd(*(np.asfortranarray(a) for a in pair), 1, (3, 1, 0.5)) == found
    turned = [np.moveaxis(a, 0, 2) for a in pair]
    assert asd(*turned, 1, (1, 0.5, 3)) == pytest.approx(found, rel=1e-6)
    flipped = [a[::-1, :, ::-1] for a in pair]
    assert asd(*flipped, 1, (3, 1, 0.5)) == pytest.approx(found, rel=1e-6)


def test_inputs_are_not_changed():
    pair = ball((14, 15, 16), 9), ball((15, 18, 12), 7)
    before = [a.copy() for a in pair]
    for array in pair:
        array.setflags(write=False)
    asd(*pair, 1)
    assert all(np.array_equal(a, b) for a, b in zip(pair, before, strict=True))


@given(VOLUMES, SPACINGS)
@settings(deadline=None, max_examples=200)
def test_equals_the_oracle_and_is_symmetric(pair, spacing):
    expected = oracle(*pair, 1, spacing)
    found = asd(*pair, 1, spacing)
    assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert asd(*pair[::-1], 1, spacing) == pytest.approx(found, rel=1e-6, nan_ok=True)


@given(VOLUMES, st.floats(0.25, 8.0))
@settings(deadline=None)
def test_grows_with_the_spacing(pair, scale):
    assert asd(*pair, 1, (scale,) * 3) == pytest.approx(scale * asd(*pair, 1), rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, 1, -1), (1, math.nan, 1), (math.inf, 1, 1)])
def test_a_wrong_spacing_is_refused(spacing):
    with pytest.raises(DataError, match="spacing"):
        asd(volume(3), volume(4), 1, spacing)


def test_wrong_shapes_are_refused():
    with pytest.raises(DataError, match="differ in shape"):
        asd(volume(3), volume(3)[1:], 1)
    with pytest.raises(DataError, match="need volumes"):
        asd(volume(3)[0], volume(3)[0], 1)


def test_the_measures_do_not_import_torch():
    code = "import sys, darnet.evaluation; sys.exit(bool({'torch', 'nibabel', 'tqdm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
