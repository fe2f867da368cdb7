from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darnet.imaging import (
    resample_image,
    resample_labels,
    resample_planes_to_labels,
    resample_probabilities,
    shape_at_spacing,
)

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def triangle_matrix(old: int, new: int) -> np.ndarray:
    """Antialiased linear interpolation of areas, written from its definition."""
    scale = old / new
    width = max(scale, 1.0)
    matrix = np.zeros((new, old))
    for i in range(new):
        centre = (i + 0.5) * scale
        matrix[i] = np.clip(1 - np.abs(np.arange(old) + 0.5 - centre) / width, 0, None)
    return matrix / matrix.sum(1, keepdims=True)


def resample_linearly(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    for axis, new in enumerate(shape):
        if array.shape[axis] != new:
            array = np.moveaxis(np.tensordot(triangle_matrix(array.shape[axis], new), array, (1, axis)), 0, axis)
    return array


@settings(max_examples=30, deadline=None)
@given(SHAPES, SHAPES, st.floats(-5, 5))
def test_a_constant_stays_so(old, new, value):
    result = resample_image(np.full(old, value, np.float32), new, True)
    assert result.shape == new
    np.testing.assert_allclose(result, np.float32(value), rtol=1e-6, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(SHAPES, SHAPES, st.booleans())
def test_no_overshoot(old, new, anisotropic):
    volume = np.random.default_rng(0).choice([-1.0, 1.0], old).astype(np.float32)
    result = resample_image(volume, new, anisotropic)
    assert volume.min() <= result.min() and result.max() <= volume.max()


def test_depth_of_anisotropic_scans_is_linear():
    volume = np.random.default_rng(1).normal(size=(5, 4, 4)).astype(np.float32)
    expected = resample_linearly(volume, (12, 4, 4))
    np.testing.assert_allclose(resample_image(volume, (12, 4, 4), True), expected, atol=1e-5)
    assert np.abs(resample_image(volume, (12, 4, 4), False) - expected).max() > 1e-3


@settings(max_examples=30, deadline=None)
@given(SHAPES, SHAPES)
def test_probabilities_are_linear_and_sum_to_one(old, new):
    logits = np.random.default_rng(2).normal(size=(3, *old))
    probabilities = (np.exp(logits) / np.exp(logits).sum(0)).astype(np.float32)
    result = resample_probabilities(probabilities, new)
    expected = np.stack([resample_linearly(p, new) for p in probabilities])
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_allclose(result.sum(0), 1, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(SHAPES, SHAPES)
def test_running_argmax_is_the_argmax(old, new):
    probabilities = np.random.default_rng(3).random((4, *old)).astype(np.float32)
    full = np.stack([resample_linearly(p, new) for p in probabilities])
    labels = resample_planes_to_labels([torch.from_numpy(probabilities)], old, new)
    best, chosen = full.max(0), np.take_along_axis(full, labels[None].astype(int), 0)[0]
    assert labels.dtype == np.uint8
    assert (best - chosen).max() < 1e-4


@settings(max_examples=30, deadline=None)
@given(SHAPES, SHAPES, st.lists(st.integers(1, 4), min_size=9, max_size=9))
def test_blocks_of_planes_give_the_same_labels(old, new, sizes):
    probabilities = torch.from_numpy(np.random.default_rng(4).random((3, *old)).astype(np.float32))
    stops = np.minimum(np.cumsum(sizes), old[0])
    blocks = [probabilities[:, a:b] for a, b in zip([0, *stops], stops, strict=False) if b > a]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("darnet.imaging.resample.SLAB_VOXELS", 1)  # a slab a plane
        found = resample_planes_to_labels(iter(blocks), old, new)
    np.testing.assert_array_equal(found, resample_planes_to_labels([probabilities], old, new))


def test_labels_take_the_largest_share():
    labels = np.random.default_rng(4).integers(0, 3, (6, 7, 8)).astype(np.uint8)
    new = (4, 9, 5)
    shares = np.stack([resample_linearly((labels == k).astype(float), new) for k in range(3)])
    chosen = np.take_along_axis(shares, resample_labels(labels, new)[None].astype(int), 0)[0]
    assert (shares.max(0) - chosen).max() < 1e-4


def test_blocks_survive_there_and_back():
    labels = np.zeros((8, 24, 24), np.uint8)
    labels[2:6, 4:12, 6:18], labels[2:6, 14:22, 6:18] = 1, 2
    finer = resample_labels(labels, (16, 48, 48))
    assert finer.dtype == np.uint8
    np.testing.assert_array_equal(resample_labels(finer, labels.shape), labels)


def test_ties_go_to_the_lower_label():
    labels = np.array([3, 1], np.int16).reshape(1, 1, 2)
    assert resample_labels(labels, (1, 1, 1))[0, 0, 0] == 1


def test_the_same_shape_is_a_copy():
    volume = np.zeros((2, 3, 4), np.float32)
    result = resample_image(volume, (2, 3, 4), True)
    assert result is not volume
    np.testing.assert_array_equal(result, volume)


def test_slabs_do_not_show(monkeypatch):
    volume = np.random.default_rng(5).normal(size=(20, 8, 8)).astype(np.float32)
    whole = resample_image(volume, (31, 10, 6), False)
    monkeypatch.setattr("darnet.imaging.resample.SLAB_VOXELS", 200)
    np.testing.assert_allclose(resample_image(volume, (31, 10, 6), False), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "old", "new", "expected"),
    [
        ((10, 20, 30), (2.0, 1.0, 1.0), (1.0, 2.0, 3.0), (20, 10, 10)),
        ((3, 3, 3), (1.0, 1.0, 1.0), (9.0, 2.0, 1.0), (1, 2, 3)),
        ((1, 1, 1), (0.1, 0.1, 0.1), (5.0, 5.0, 5.0), (1, 1, 1)),
    ],
)
def test_shape_at_another_spacing(shape, old, new, expected):
    assert shape_at_spacing(shape, old, new) == expected
