from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darnet.imaging import (
    box_of,
    crop,
    keep_largest,
    largest_fraction,
    pad_to,
    paste,
    patch_box,
    shorten,
)
from darnet.imaging.components import large_components, numbered_components


def test_box_of_a_mask_with_margins():
    mask = np.zeros((6, 8, 9), bool)
    mask[2:4, 1, 5:8] = True
    assert box_of(mask) == ((2, 4), (1, 2), (5, 8))
    assert box_of(mask, (1, 3, 5)) == ((1, 5), (0, 5), (0, 9))


def test_box_of_nothing_is_everything():
    assert box_of(np.zeros((2, 3, 4), bool)) == ((0, 2), (0, 3), (0, 4))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=3, max_size=3), st.booleans())
def test_paste_undoes_crop(spans, channels):
    box = tuple((start, start + size) for start, size in spans)
    shape = (2, 8, 8, 8) if channels else (8, 8, 8)
    array = np.random.default_rng(0).integers(1, 9, shape)
    back = paste(crop(array, box), box, (8, 8, 8), 0)
    inside = np.zeros((8, 8, 8), bool)
    inside[tuple(slice(*span) for span in box)] = True
    np.testing.assert_array_equal(back, np.where(inside, array, 0))


@pytest.mark.parametrize(
    ("span", "planes", "expected"),
    [((4, 8), 6, (3, 9)), ((0, 2), 6, (0, 6)), ((18, 20), 6, (14, 20)), ((3, 5), 50, (0, 20)), ((2, 12), 4, (5, 9))],
)
def test_depth_of_a_box(span, planes, expected):
    box = shorten(((0, 20), (1, 2), (3, 4)), 0, span, planes)
    assert box == (expected, (1, 2), (3, 4))


@pytest.mark.parametrize(
    ("span", "extent", "expected"),
    [((6, 8), 4, (5, 9)), ((2, 4), 6, (2, 8)), ((13, 15), 4, (11, 15)), ((6, 8), 50, (2, 15)), ((6, 9), 4, (5, 9))],
)
def test_a_box_is_shortened_about_a_span(span, extent, expected):
    for axis in range(3):
        box = [(1, 2), (3, 9), (0, 7)]
        box[axis] = (2, 15)
        shortened = list(shorten(tuple(box), axis, span, extent))
        assert shortened[axis] == expected
        box[axis] = expected
        assert shortened == box


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(1, 12)] * 3), st.tuples(*[st.integers(1, 12)] * 3), st.data())
def test_patches_lie_inside_and_hold_their_centre(shape, patch, data):
    centre = [data.draw(st.integers(0, n - 1)) for n in shape]
    for middle, (start, stop), wanted, size in zip(centre, patch_box(centre, patch, shape), patch, shape, strict=True):
        assert 0 <= start <= middle < stop <= size
        assert stop - start == min(wanted, size)


def test_padding():
    array = np.arange(6.0).reshape(1, 2, 3)
    padded, box = pad_to(array, (4, 5), -1)
    assert padded.shape == (1, 4, 5)
    assert box == ((1, 3), (1, 4))
    np.testing.assert_array_equal(padded[:, 1:3, 1:4], array)
    assert (padded == -1).sum() == 20 - 6
    same, _ = pad_to(array, (1, 2), -1)
    assert same is array


def two_pieces() -> np.ndarray:
    labels = np.zeros((5, 8, 8), np.uint8)
    labels[1:4, 1:4, 1:4] = 1
    labels[1, 6, 6] = 1
    labels[4, 4, 4] = 2  # touches the cube of label 1 at a corner only
    return labels


def test_only_the_largest_piece_is_kept():
    labels = two_pieces()
    cleaned = keep_largest(labels, (1, 3))
    assert cleaned[1, 6, 6] == 0
    assert (cleaned == 1).sum() == 27
    assert cleaned[4, 4, 4] == 2
    assert labels[1, 6, 6] == 1, "the input is left as it is"
    np.testing.assert_array_equal(keep_largest(labels, ()), labels)


def test_share_of_the_largest_piece():
    labels = two_pieces()
    assert largest_fraction(labels == 1) == pytest.approx(27 / 28)
    assert largest_fraction(labels == 9) == 0.0


def test_corners_join_by_26_neighbours_alone():
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert keep_largest(mask.astype(np.uint8), (1,)).sum() == 2
    assert numbered_components(mask, 26)[1].tolist() == [2]
    assert numbered_components(mask, 6)[1].tolist() == [1, 1]
    assert keep_largest(np.zeros((2, 2, 2), np.uint8), (1,)).sum() == 0
    assert large_components(np.zeros((2, 2, 2), bool), 1.0).sum() == 0
