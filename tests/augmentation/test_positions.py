"""Intensities that target scans are expected to have, from where tissues lie: against those that were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from darnet.augmentation import (
    draw_near,
    expect_curve,
    intensities_of_places,
    measure_quantiles,
    shares_of_places,
)

SHAPE = (16, 60, 60)
# A ring, two tissues and an organ in its place. Of background left is the darkest in source volumes, the ring the
# brightest; their ranks are in the middle of as many voxels as they have.
SOURCE = {"ring": 0.9, "left": -0.5, "right": 0.1, "organ": 0.3}
TARGETS = [
    {"ring": -0.8, "left": 0.2, "right": -0.4, "organ": 0.8},
    {"ring": 0.5, "left": -0.7, "right": 0.0, "organ": -0.3},
]


def body(seed, intensities):
    """A scan (1, D, H, W), its labels, and what each voxel is."""
    rng = np.random.default_rng(seed)
    _, h, w = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    r, shift = np.hypot(h, w), rng.normal(0, 0.04, 2)
    organ = np.hypot(h - 0.3 - shift[0], w - shift[1]) < 0.3
    tissue = np.select([organ, r >= 0.9, r >= 0.75, w < 0], ["organ", "air", "ring", "left"], "right")
    image = np.full(SHAPE, -1.0)
    for name, value in intensities.items():
        image[tissue == name] = value
    noise = np.where(tissue != "air", 0.05 * rng.standard_normal(SHAPE), 0)
    return np.clip(image + noise, -1, 1).astype(np.float32)[None], organ.astype(np.uint8), tissue


def curve_of(target, sources=range(8), targets=range(20, 28)):
    shares = [shares_of_places(*body(seed, SOURCE)[:2], 2) for seed in sources]
    scans = [target(seed) for seed in targets]
    return expect_curve(shares, [intensities_of_places(s) for s in scans], [measure_quantiles(s) for s in scans])


@pytest.mark.parametrize("intensities", TARGETS)
def test_background_is_as_bright_as_target_scans_are_in_its_places(intensities):
    curve = curve_of(lambda seed: body(seed, intensities)[0])
    assert curve.dtype == np.float32
    image, _, tissue = body(0, SOURCE)
    target, _, of_target = body(20, intensities)
    own, other = image[0][tissue != "air"], target[0][of_target != "air"]
    for name in ("left", "right", "ring"):
        rank = (own <= np.median(image[0][tissue == name])).mean()
        expected = (other <= np.median(target[0][of_target == name])).mean()
        found = np.interp(rank, np.linspace(0, 1, len(curve)), curve)
        assert found == pytest.approx(expected, abs=0.15), name


def test_scans_that_show_nothing_in_its_place_tell_nothing():
    def shuffled(seed):
        image, *_ = body(seed, TARGETS[0])
        inside = image > -0.95
        image[inside] = np.random.default_rng(seed).permutation(image[inside])
        return image

    assert curve_of(shuffled) is None
    assert curve_of(lambda seed: body(seed, TARGETS[0])[0], sources=()) is None
    assert curve_of(lambda seed: body(seed, TARGETS[0])[0], targets=()) is None


def test_volumes_without_a_body():
    air = np.full((1, *SHAPE), -1, np.float32)
    assert shares_of_places(air, np.zeros(SHAPE, np.uint8), 3) is None
    assert intensities_of_places(air) is None


def test_shares_are_those_of_cells():
    image, labels, tissue = body(0, SOURCE)
    shares = shares_of_places(image, labels, 2)
    np.testing.assert_allclose(shares.sum(0), 1, atol=0.15)  # cubics overshoot a little at edges
    inside = (tissue != "air").sum()
    assert shares[-2].sum() / shares[:-1].sum() == pytest.approx((labels == 1).sum() / inside, rel=0.1)


def test_what_is_drawn_lies_about_what_is_expected():
    rng, curve = np.random.default_rng(1), np.linspace(0.8, 0.2, 12)
    drawn = np.stack([draw_near(rng, curve) for _ in range(300)])
    assert drawn.min() >= 0 and drawn.max() <= 1
    np.testing.assert_allclose(np.median(drawn, 0), curve, atol=0.04)
    assert drawn.std(0).min() > 0.05
