"""Slices along random curves, against NumPy's interpolation."""

import numpy as np
import pytest
import torch

from darnet.augmentation import slices_along_curves
from darnet.augmentation.curves import CURVE_POINTS, DARKEST, along_curve, curve_of, draw_steps
from darnet.imaging import AIR

BODY = torch.linspace(AIR + 0.01, 1, 63)


def slices(n: int) -> torch.Tensor:
    """Slices (n, 1, 8, 8): one pixel of air, then the body from its darkest to its brightest."""
    one = torch.cat((torch.full((1,), -1.0), BODY)).reshape(1, 1, 8, 8)
    return one.repeat(n, 1, 1, 1)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_curve_reaches_both_ends_and_is_straight_between_its_knots(sign):
    steps = sign * np.random.default_rng(0).dirichlet(np.ones(CURVE_POINTS))
    knots = curve_of(steps)
    assert knots[0] == pytest.approx(-sign) and knots[-1] == pytest.approx(sign)
    np.testing.assert_allclose(np.diff(knots), 2 * steps, atol=1e-6)
    x = np.random.default_rng(1).uniform(-1.2, 1.2, (2, 3, 5)).astype(np.float32)
    expected = np.interp(x, np.linspace(-1, 1, CURVE_POINTS + 1), knots)
    np.testing.assert_allclose(along_curve(torch.from_numpy(x), knots).numpy(), expected, atol=1e-4)


def test_half_of_the_curves_fall():
    rng = np.random.default_rng(0)
    steps = [draw_steps(rng) for _ in range(200)]
    assert all((s > 0).all() or (s < 0).all() for s in steps)
    assert 70 < sum(s[0] < 0 for s in steps) < 130


def test_each_slice_has_its_own_rising_or_falling_curve_and_air_stays():
    shown = slices_along_curves(slices(40), np.random.default_rng(0), 1.0).flatten(1)
    assert (shown[:, 0] == -1).all()
    steps = shown[:, 1:].diff(dim=1)
    rising, falling = (steps >= 0).all(1), (steps <= 0).all(1)
    assert (rising ^ falling).all() and 8 < int(rising.sum()) < 32
    assert len({tuple(s.tolist()) for s in shown}) == 40
    assert float(shown[:, 1:].min()) >= DARKEST - 1e-6 and float(shown.max()) <= 1 + 1e-6


def test_share_of_the_slices_that_get_a_curve():
    given = slices(400)
    rng = np.random.default_rng(0)
    assert torch.equal(slices_along_curves(given, rng, 0.0), given)
    changed = (slices_along_curves(given, rng, 0.25) != given).flatten(1).any(1)
    assert 70 < int(changed.sum()) < 130


def test_half_precision_stays_half_precision():
    assert slices_along_curves(slices(2).half(), np.random.default_rng(0), 1.0).dtype == torch.float16
