"""Intensities that target scans are expected to have, from where tissues lie: against those that were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from darnet.augmentation import (
    Expected,
    draw_expected,
    draw_near,
    expect_appearance,
    histogram_of_places,
    measure_quantiles,
    shares_of_places,
)
from darnet.augmentation.matching import LEVELS
from darnet.augmentation.positions import DEGREES, GRID, NEAR, STEPS, _unmix

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


def expected_of(target, sources=range(8), targets=range(20, 28), source=body, num_classes=2):
    shares = [shares_of_places(*source(seed, SOURCE)[:2], num_classes) for seed in sources]
    scans = [target(seed) for seed in targets]
    histograms, quantiles = [histogram_of_places(s) for s in scans], [measure_quantiles(s) for s in scans]
    return expect_appearance(shares, histograms, quantiles)


def rank_of(value, image):
    """Share of the voxels of the body that are at most as bright."""
    return (image[image > -0.95] <= value).mean()


@pytest.mark.parametrize("intensities", TARGETS)
def test_background_is_as_bright_as_target_scans_are_in_its_places(intensities):
    curve = expected_of(lambda seed: body(seed, intensities)[0]).background
    assert curve.shape == (DEGREES,) and curve.dtype == np.float32
    image, _, tissue = body(0, SOURCE)
    target, _, of_target = body(20, intensities)
    own, other = image[0][tissue != "air"], target[0][of_target != "air"]
    for name in ("left", "right", "ring"):
        rank = (own <= np.median(image[0][tissue == name])).mean()
        expected = (other <= np.median(target[0][of_target == name])).mean()
        found = np.interp(rank, np.linspace(0, 1, len(curve)), curve)
        assert found == pytest.approx(expected, abs=0.15), name


@pytest.mark.parametrize("intensities", TARGETS)
def test_a_class_is_as_bright_as_target_scans_are_in_its_place(intensities):
    classes = expected_of(lambda seed: body(seed, intensities)[0]).classes
    assert classes.shape == (2, 3) and classes.dtype == np.float32
    assert np.isnan(classes[0]).all()
    image, of_target, _ = body(20, intensities)
    assert classes[1, 1] == pytest.approx(rank_of(np.median(image[0][of_target == 1]), image), abs=0.1)
    assert (np.diff(classes[1]) >= 0).all()


def test_ranks_of_background_are_those_among_background():
    """A bright organ fills half of the body: background of two kinds still has all ranks."""

    def large(seed, left, right, organ):
        rng = np.random.default_rng(seed)
        image, labels = np.full((1, *SHAPE), -1.0, np.float32), np.zeros(SHAPE, np.uint8)
        image[0, :, 6:54, 6:30], image[0, :, 6:54, 30:54] = left, right
        image[0, :, 14:50, 10:48], labels[:, 14:50, 10:48] = organ, 1
        return np.where(image > -1, image + rng.normal(0, 0.03, image.shape), -1).astype(np.float32), labels

    shares = [shares_of_places(*large(seed, -0.6, 0.1, 0.8), 2) for seed in range(4)]
    scans = [large(seed, 0.5, -0.5, 0.0)[0] for seed in range(4)]
    quantiles = [measure_quantiles(scan) for scan in scans]
    curve = expect_appearance(shares, [histogram_of_places(scan) for scan in scans], quantiles).background
    found = np.interp(curve, LEVELS, np.mean(quantiles, 0))
    np.testing.assert_allclose(found[[2, -3]], [0.5, -0.5], atol=0.12)


def test_quartiles_tell_how_patients_differ():
    """Half of the target scans show the organ bright, half dark."""
    shown = [dict(TARGETS[0], organ=value) for value in (0.9, -0.9)]
    alike = expected_of(lambda seed: body(seed, dict(TARGETS[0], organ=0.0))[0]).classes[1]
    mixed = expected_of(lambda seed: body(seed, shown[seed % 2])[0]).classes[1]
    assert mixed[2] - mixed[0] > 2 * (alike[2] - alike[0])


def test_a_class_in_a_place_of_its_own_in_each_patient_is_not_told():
    def wandering(seed, intensities):
        image, labels, tissue = body(seed, intensities)
        spot = np.zeros(SHAPE, bool)
        d, h, w = np.random.default_rng(seed).integers((2, 12, 12), (10, 40, 40))
        spot[d : d + 4, h : h + 6, w : w + 6] = True
        labels[spot] = 2
        image[0][spot] = 0.7
        return image, labels, tissue

    classes = expected_of(lambda seed: wandering(seed, TARGETS[0])[0], source=wandering, num_classes=3).classes
    assert np.isnan(classes[2]).all()
    assert np.isfinite(classes[1]).all()


def test_distributions_are_found_again():
    """Cells that hold known shares of known tissues."""
    rng, tissues = np.random.default_rng(2), DEGREES + 2
    shares = rng.dirichlet(np.full(tissues, 0.1), 400).T
    true = np.exp(-(((STEPS[1:] + STEPS[:-1]) / 2 - rng.uniform(-0.9, 0.9, (tissues, 1))) ** 2) / 0.02)
    true[:DEGREES] = true[0]  # those of neighbouring degrees are blurred into each other
    true /= true.sum(1, keepdims=True)
    found, explained = _unmix(shares, true.T @ shares)
    np.testing.assert_allclose(found.sum(1), 1)
    assert explained > 0.9
    error = np.abs(found @ STEPS[1:] - true @ STEPS[1:])
    assert error[:-1].max() < 0.06 and error[-1] < 0.12  # air counts little


def test_what_is_drawn_is_told_or_random():
    rng, quantiles = np.random.default_rng(4), np.linspace(-0.9, 0.5, len(LEVELS)).astype(np.float32)
    classes = np.array([[np.nan] * 3, [0.2, 0.3, 0.6], [np.nan] * 3], np.float32)
    expected = Expected(np.linspace(1, 0, DEGREES, dtype=np.float32), classes, (quantiles,), 0.5)
    drawn = [draw_expected(rng, expected) for _ in range(600)]
    ranks = np.interp([look.medians for look, _ in drawn], quantiles, LEVELS)
    assert ranks[:, 1].min() >= 0.2 - 1e-3 and ranks[:, 1].max() <= 0.6 + 1e-3
    assert np.median(ranks[:, 1]) == pytest.approx(0.3, abs=0.02)
    assert np.quantile(ranks[:, 2], [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.05)
    assert all(look.quantiles is quantiles for look, _ in drawn)
    falling = [np.corrcoef(curve, -np.arange(len(curve)))[0, 1] > 0.7 for _, curve in drawn if len(curve) == DEGREES]
    assert np.mean(falling) > 0.9
    assert len(falling) / len(drawn) == pytest.approx(NEAR, abs=0.07)


def test_scans_that_show_nothing_in_its_place_tell_nothing():
    def shuffled(seed):
        image, *_ = body(seed, TARGETS[0])
        inside = image > -0.95
        image[inside] = np.random.default_rng(seed).permutation(image[inside])
        return image

    assert not expected_of(shuffled).enough
    assert expected_of(lambda seed: body(seed, TARGETS[0])[0]).enough
    assert expected_of(lambda seed: body(seed, TARGETS[0])[0], sources=()).explained is None
    assert expected_of(lambda seed: body(seed, TARGETS[0])[0], targets=()).explained is None


def test_volumes_without_a_body():
    air = np.full((1, *SHAPE), -1, np.float32)
    assert shares_of_places(air, np.zeros(SHAPE, np.uint8), 3) is None
    assert histogram_of_places(air) is None


def test_shares_are_those_of_cells():
    image, labels, tissue = body(0, SOURCE)
    shares = shares_of_places(image, labels, 2)
    assert shares.shape == (DEGREES + 2, *GRID) and shares.min() >= 0
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)
    inside = (tissue != "air").sum()
    assert shares[-2].sum() / shares[:-1].sum() == pytest.approx((labels == 1).sum() / inside, rel=0.1)


def test_histograms_are_those_of_cells():
    """Cells of two voxels along D and H and one along W, unblurred but for what is about them."""
    image = np.full((1, 24, 48, 24), -1.0, np.float32)
    image[0, :12] = 0.42
    image[0, 12:] = -0.33
    found = histogram_of_places(image)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    middles = (STEPS[1:] + STEPS[:-1]) / 2
    mean = np.tensordot(middles, found, 1)
    np.testing.assert_allclose(mean[0], 0.425, atol=1e-3)
    np.testing.assert_allclose(mean[-1], -0.325, atol=1e-3)


def test_cells_that_no_target_voxel_is_near_say_nothing():
    image, labels = np.full((1, 9, 30, 30), 0.5, np.float32), np.zeros((9, 30, 30), np.uint8)
    image[0, :, :, :15], image[0, :, 8:20, 3:10], labels[:, 8:20, 3:10] = -0.5, 0.0, 1
    shares, histogram = shares_of_places(image, labels, 2), histogram_of_places(image[:, :1])
    assert not histogram.any(0).all()
    flat = [a.reshape(len(a), -1).astype(float) for a in (shares, histogram)]
    assert _unmix(*flat)[1] > 0.7


@pytest.mark.parametrize("planes", [1, 3])
def test_fewer_planes_than_cells(planes):
    image, labels = np.full((1, planes, 30, 30), 0.5, np.float32), np.zeros((planes, 30, 30), np.uint8)
    image[0, :, :, :15], labels[:, 8:20, 3:10] = -0.5, 1
    shares, histogram = shares_of_places(image, labels, 2), histogram_of_places(image)
    assert np.isfinite(shares).all() and np.isfinite(histogram).all()
    expected = expect_appearance([shares], [histogram], [measure_quantiles(image)])
    assert np.isfinite(expected.explained) and np.isfinite(expected.classes[1]).all()


def test_what_is_drawn_lies_about_what_is_expected():
    rng, curve = np.random.default_rng(1), np.linspace(0.8, 0.2, 12)
    drawn = np.stack([draw_near(rng, curve) for _ in range(300)])
    assert drawn.min() >= 0 and drawn.max() <= 1
    np.testing.assert_allclose(np.median(drawn, 0), curve, atol=0.04)
    assert drawn.std(0).min() > 0.05
