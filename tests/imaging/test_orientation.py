from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from darnet.errors import ConfigurationError, DataError
from darnet.imaging import (
    Orientation,
    body_axes,
    determine_orientation,
    from_canonical,
    spacing_of,
    to_canonical,
)
from darnet.imaging.orientation import CANONICAL_CODES, world_axis

CODES = ["".join(c) for p in itertools.permutations(("RL", "AP", "SI")) for c in itertools.product(*p)]


def affine_for(codes: str, spacing=(1.0, 1.0, 1.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        row = next(i for i, pair in enumerate(("RL", "AP", "SI")) if code in pair)
        affine[row, axis] = spacing[axis] * (1 if code in "RAS" else -1)
    return affine


@pytest.mark.parametrize("codes", CODES)
def test_isotropic_scans_all_come_out_alike(codes):
    affine = affine_for(codes)
    assert nib.aff2axcodes(affine) == tuple(codes)
    orientation = determine_orientation(affine, "S")
    assert body_axes(affine, orientation) == ("S", "P", "L")


@pytest.mark.parametrize("codes", CODES)
def test_voxels_go_where_the_axes_say(codes):
    # A voxel far to the left, behind and below must be the corner (first, last, last) of (S, P, L).
    affine = affine_for(codes)
    array = np.zeros((3, 4, 5), np.int16)
    corner = [0 if code in "RAS" else -1 for code in codes]  # the end towards L, P and I
    array[tuple(corner)] = 7
    turned = to_canonical(array, determine_orientation(affine, "S"))
    assert turned[0, -1, -1] == 7


@pytest.mark.parametrize(
    ("through", "expected"), [("S", ("S", "P", "L")), ("A", ("P", "I", "L")), ("R", ("R", "I", "P"))]
)
def test_through_plane_axis_of_isotropic_scans(through, expected):
    affine = affine_for("LPS")
    assert body_axes(affine, determine_orientation(affine, through)) == expected


@pytest.mark.parametrize(
    ("codes", "spacing", "axis"),
    [("LPS", (1, 1, 5), "S"), ("PSR", (1, 1, 4), "R"), ("RSA", (1, 1, 3), "P"), ("SLP", (6, 1, 1), "S")],
)
def test_anisotropic_scans_keep_their_own_planes(codes, spacing, axis):
    affine = affine_for(codes, spacing)
    orientation = determine_orientation(affine, "S")
    assert body_axes(affine, orientation)[0] == axis
    assert spacing_of(affine, orientation)[0] == max(spacing)


def test_all_canonical_axes_have_one_handedness():
    hands = set()
    for codes in CANONICAL_CODES.values():
        lines = np.eye(3)[[world_axis(code) for code in codes]]
        signs = np.array([1.0 if code in "RAS" else -1.0 for code in codes])
        hands.add(round(float(np.linalg.det(lines * signs[:, None]))))
    assert len(hands) == 1


@pytest.mark.parametrize(("degrees", "turned_over"), [(40.0, False), (50.0, False), (-40.0, False), (-50.0, True)])
def test_oblique_stacks_are_no_mirror_images(degrees, turned_over):
    """From axial to coronal planes: beyond 45 degrees a stack that is tilted backwards is turned as before, one that is
    tilted forwards by half a turn more, which is no mirror image either."""
    array = np.arange(60).reshape(3, 4, 5)
    upright = affine_for("LPS", (1, 1, 5))
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix() @ upright[:3, :3]
    expected = to_canonical(array, determine_orientation(upright))
    if turned_over:
        expected = expected[::-1, ::-1]
    np.testing.assert_array_equal(to_canonical(array, determine_orientation(turned)), expected)


@st.composite
def orientations(draw):
    return Orientation(
        tuple(draw(st.permutations([0, 1, 2]))), tuple(draw(st.lists(st.booleans(), min_size=3, max_size=3)))
    )


@settings(max_examples=40, deadline=None)
@given(orientations(), st.tuples(*[st.integers(1, 6)] * 3))
def test_turning_back_is_exact(orientation, shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    turned = to_canonical(array, orientation)
    assert turned.flags.c_contiguous
    assert turned.shape == tuple(shape[a] for a in orientation.axes)
    np.testing.assert_array_equal(from_canonical(turned, orientation), array)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CODES), st.tuples(*[st.floats(-15, 15)] * 3), st.sampled_from([(1, 1, 1), (2, 1, 5), (4, 1, 1)]))
def test_oblique_scans_keep_their_nearest_axes(codes, degrees, spacing):
    straight = affine_for(codes, spacing)
    oblique = np.eye(4)
    oblique[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ straight[:3, :3]
    assert determine_orientation(oblique) == determine_orientation(straight)
    np.testing.assert_allclose(
        spacing_of(oblique, determine_orientation(oblique)), spacing_of(straight, determine_orientation(straight))
    )


def test_what_cannot_be_turned():
    with pytest.raises(ConfigurationError, match="through-plane"):
        determine_orientation(np.eye(4), "Z")
    with pytest.raises(DataError, match="axis"):
        determine_orientation(np.diag([1.0, 0.0, 1.0, 1.0]))
