from __future__ import annotations

import numpy as np
import pytest

from darnet.errors import ConfigurationError
from darnet.imaging import foreground_mask, normalize


def ball(air: float, tissue: float, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A scan of a ball, and where the ball is."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (12, 40, 40)], indexing="ij"))
    inside = (grid**2).sum(0) < 0.5
    rng = np.random.default_rng(seed)
    return (np.where(inside, tissue, air) + noise * rng.standard_normal(inside.shape)).astype(np.float32), inside


@pytest.mark.parametrize(
    ("air", "tissue", "noise"), [(-1000, 40, 20), (-125, 60, 5), (0, 300, 10), (0, 0.7, 0.02), (5, 900, 30)]
)
def test_body_in_air(air, tissue, noise):
    scan, inside = ball(air, tissue, noise)
    found = foreground_mask(scan)
    assert (found ^ inside).sum() < 0.02 * inside.sum()


def test_body_is_one_piece():
    scan, inside = ball(0, 300, 5)
    scan[0, 0, 0] = 300
    found = foreground_mask(scan)
    assert not found[0, 0, 0]
    assert found[inside].mean() > 0.98


def test_a_constant_scan_has_no_body():
    assert not foreground_mask(np.full((3, 4, 5), 7.0, np.float32)).any()


@pytest.mark.parametrize(
    ("value", "expected"), [(-1000.0, -1.0), (-125.0, -1.0), (75.0, 0.0), (175.0, 0.5), (275.0, 1.0), (3000.0, 1.0)]
)
def test_window(value, expected):
    assert normalize(np.full((1, 1, 1), value, np.float32), "window", -125, 275)[0, 0, 0] == pytest.approx(expected)


def test_percentiles_are_those_of_the_body():
    scan, _ = ball(0, 300, 20)
    body = scan[foreground_mask(scan)]
    low, high = np.percentile(body, [1, 99])
    expected = np.clip((scan - low) / (high - low) * 2 - 1, -1, 1)
    np.testing.assert_allclose(normalize(scan, "percentile", 1, 99), expected, atol=1e-4)


def test_percentiles_do_not_mind_the_unit():
    scan, _ = ball(0, 300, 20)
    np.testing.assert_allclose(
        normalize(scan * 13, "percentile", 0.5, 99.5), normalize(scan, "percentile", 0.5, 99.5), atol=1e-4
    )


def test_scans_of_few_values():
    assert (normalize(np.full((2, 2, 2), 3.0, np.float32), "percentile", 1, 99) == -1).all()
    two = np.zeros((2, 4, 4), np.float32)
    two[1] = 5
    assert set(np.unique(normalize(two, "percentile", 1, 99))) == {-1.0, 1.0}


@pytest.mark.parametrize(("rule", "low", "high"), [("zscore", 0, 1), ("window", 5, 5), ("percentile", 99, 1)])
def test_rules_that_cannot_be(rule, low, high):
    with pytest.raises(ConfigurationError):
        normalize(np.zeros((1, 1, 1), np.float32), rule, low, high)
