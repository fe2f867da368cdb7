from __future__ import annotations

import math

import numpy as np
import pytest

from darnet.imaging import differences_along, flicker, relative_difference


def test_differences_along():
    rng = np.random.default_rng(1)
    volume, body = rng.standard_normal((4, 5, 6)), rng.random((4, 5, 6)) > 0.4
    for axis in range(3):
        found = differences_along(volume, body, axis)
        assert len(found) == volume.shape[axis] - 1
        for n, value in enumerate(found):
            pairs = [
                abs(volume[i] - volume[j])
                for i in np.ndindex(volume.shape)
                if i[axis] == n
                for j in [tuple(v + (a == axis) for a, v in enumerate(i))]
                if body[i] and body[j]
            ]
            assert value == pytest.approx(np.mean(pairs))
    assert np.isnan(differences_along(volume, np.zeros_like(body))).all()
    assert math.isnan(relative_difference(np.ones((3, 3, 3)), np.ones((3, 3, 3), bool)))


def smooth_body() -> np.ndarray:
    """A ramp along depth and rows in the middle of air."""
    volume = np.full((6, 8, 8), -1.0)
    volume[:, 2:6, 2:6] = 0.05 * np.arange(6)[:, None, None] + 0.2 * np.arange(4)[:, None] - 0.4
    return volume


def test_flicker_against_planes_one_by_one():
    rng = np.random.default_rng(0)
    source, translated = smooth_body(), rng.uniform(-1, 1, (6, 8, 8))
    body = source > -0.9
    changes = [
        np.mean([np.abs(v[d + 1] - v[d])[body[d]].mean() for d in range(5)]) / v[body].std()
        for v in (translated, source)
    ]
    assert flicker(translated, source) == pytest.approx(changes[0] / changes[1])


def test_contrast_is_no_flicker_and_jumping_planes_are():
    source = smooth_body()
    assert flicker(-0.7 * source + 0.1, source) == pytest.approx(1.0)
    jumping = source + 0.2 * (-1.0) ** np.arange(6)[:, None, None]
    assert flicker(jumping, source) > 3
    air = np.full((4, 4, 4), -1.0)
    assert math.isnan(flicker(air, air))
