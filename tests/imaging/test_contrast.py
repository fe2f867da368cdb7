"""Bright and dark turned round within the body, against the formula worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darnet.imaging import AIR, invert_contrast

SHAPE = (4, 24, 24)


def body_of(value: float) -> np.ndarray:
    """A block of one intensity in air."""
    image = np.full(SHAPE, -1, np.float32)
    image[:, 4:20, 4:20] = value
    return image


@pytest.mark.parametrize(("before", "after"), [(1.0, -0.8), (0.0, 0.1), (0.5, -0.35), (-0.5, 0.55), (-0.8, 0.82)])
def test_tissue_is_turned_round(before, after):
    turned = invert_contrast(body_of(before))
    np.testing.assert_allclose(turned[:, 6:18, 6:18], after, atol=1e-6)


def test_air_stays_about_the_body_and_within_it():
    image = body_of(0.4)
    image[:, 9:14, 9:14] = -1
    turned = invert_contrast(image)
    outside = image == -1
    outside[:, 9:14, 9:14] = False
    assert (turned[outside] == -1).all()
    assert (turned[:, 10:13, 10:13] == -1).all()


def test_noise_about_the_body_stays():
    rng = np.random.default_rng(0)
    image = body_of(0.4)
    noise = image == -1
    image[noise] = rng.uniform(-1, -0.8, noise.sum())
    np.testing.assert_array_equal(invert_contrast(image)[noise], image[noise])


def test_a_voxel_of_dark_noise_in_tissue_is_tissue():
    image = body_of(0.4)
    image[2, 12, 12] = AIR
    assert invert_contrast(image)[2, 12, 12] > 0.9


def test_dark_tissue_at_the_edge_of_a_scan_is_tissue():
    image = np.full(SHAPE, 0.3, np.float32)
    image[1:, 8:16, 14:] = -0.7
    np.testing.assert_allclose(invert_contrast(image)[1:, 9:15, 15:], 0.73, atol=1e-6)


def test_nothing_stands_out():
    image = np.full(SHAPE, -1, np.float32)
    np.testing.assert_array_equal(invert_contrast(image), image)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_is_turned_round_and_values_stay_within_the_range(seed):
    rng = np.random.default_rng(seed)
    image = body_of(0)
    inside = np.zeros(SHAPE, bool)
    inside[:, 5:19, 5:19] = True
    image[:, 4:20, 4:20] = rng.uniform(-0.2, 1, (4, 16, 16))
    turned = invert_contrast(image)
    assert turned.dtype == np.float32
    assert turned.min() >= -1 and turned.max() <= 1
    assert (np.diff(turned[inside][np.argsort(image[inside])]) <= 1e-6).all()
