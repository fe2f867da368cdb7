from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darnet.augmentation import (
    Appearance,
    draw_any_curve,
    draw_appearance,
    draw_curve,
    fill_unseen,
    keep_order,
    match_appearance,
    measure_appearance,
    measure_quantiles,
)
from darnet.augmentation.matching import LEVELS

RISING = np.array([0.0, 1.0], np.float32)
FALLING = np.array([1.0, 0.0], np.float32)


def volume(seed=0, organ=0.2, deviation=0.05, background=(-0.8, 0.6)):
    """A body in air with one organ, labelled 1, in its middle."""
    rng = np.random.default_rng(seed)
    image = np.full((1, 6, 24, 24), -1.0, np.float32)
    image[:, :, 2:22, 2:22] = rng.uniform(*background, (1, 6, 20, 20))
    labels = np.zeros((6, 24, 24), np.uint8)
    labels[1:5, 6:18, 6:18] = 1
    image[0][labels == 1] = rng.normal(organ, deviation, int((labels == 1).sum()))
    return image, labels


def test_measured_values_are_those_of_plain_numpy():
    image, labels = volume()
    found = measure_appearance(image, labels, 3)
    values = image[0][labels == 1]
    ordered = np.sort(values)
    median = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    distances = np.sort(np.abs(values - median))
    deviation = 1.4826 * (distances[(len(ordered) - 1) // 2] + distances[len(ordered) // 2]) / 2
    assert found.medians[1] == pytest.approx(median, abs=1e-6)
    assert found.deviations[1] == pytest.approx(deviation, abs=1e-6)
    assert np.isnan(found.medians[[0, 2]]).all()
    background = image[0][(labels == 0) & (image[0] > -0.95)]
    np.testing.assert_allclose(found.quantiles, [np.quantile(background, q) for q in LEVELS], rtol=1e-6)


def test_a_quarter_of_wrong_voxels_moves_what_is_measured_little():
    image, labels = volume(organ=0.2, deviation=0.05)
    wrong = labels.copy()
    wrong[:, 4:6, 4:20] = 1  # background that a pseudo-label takes for the organ
    assert ((wrong == 1) & (labels == 0)).sum() == (wrong == 1).sum() / 4
    found = measure_appearance(image, wrong, 2)
    assert found.medians[1] == pytest.approx(0.2, abs=0.05)
    assert found.deviations[1] < 0.12
    assert image[0][wrong == 1].std() > 0.2


def mostly_wrong(organ, seed=0, wrong_share=0.6):
    """An organ of 0.05 deviation whose pseudo-label holds more voxels from elsewhere in the body than its own."""
    image, labels = volume(seed, organ=organ, deviation=0.05)
    pseudo = np.zeros_like(labels)
    own, elsewhere = (np.flatnonzero(mask.ravel()) for mask in (labels == 1, (labels == 0) & (image[0] > -0.95)))
    rng = np.random.default_rng(seed)
    right = rng.choice(own, 200, replace=False)
    pseudo.ravel()[right] = 1
    pseudo.ravel()[rng.choice(elsewhere, round(200 * wrong_share / (1 - wrong_share)), replace=False)] = 1
    return image, pseudo, image[0].ravel()[right]


@given(st.integers(0, 50), st.sampled_from([-0.6, -0.2, 0.3, 0.75, 0.9]))
def test_pseudo_labels_are_measured_where_a_class_differs_from_the_body(seed, organ):
    image, pseudo, right = mostly_wrong(organ, seed)
    found = measure_appearance(image, pseudo, 2, excess=True)
    assert found.medians[1] == pytest.approx(np.median(right), abs=0.06)
    assert 0.02 <= found.deviations[1] < 0.12


def test_the_median_of_voxels_is_off_where_most_are_wrong():
    image, pseudo, _ = mostly_wrong(0.9)
    assert measure_appearance(image, pseudo, 2).medians[1] < 0.6


def test_a_voxel_counts_by_the_excess_of_its_intensity():
    image, pseudo, _ = mostly_wrong(0.3, seed=3)
    taps = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)

    def frequencies(values):
        counts = np.zeros(64)
        for value in values:
            counts[min(int((value + 1) * 32), 63)] += 1
        padded = np.pad(counts, 6, mode="edge")
        smooth = np.array([(padded[n : n + 13] * taps / taps.sum()).sum() for n in range(64)])
        return smooth / smooth.sum()

    values = np.sort(image[0][pseudo == 1])
    own, body = frequencies(values), frequencies(image[0][image[0] > -0.95])
    bins = np.minimum(((values + 1) * 32).astype(int), 63)
    weights = np.array([max(1 - body[b] / own[b], 0.0) for b in bins])

    def middle(values, weights):
        order = np.argsort(values)
        return values[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)]

    found = measure_appearance(image, pseudo, 2, excess=True)
    median = middle(values, weights)
    assert found.medians[1] == pytest.approx(median, abs=0.005)
    assert found.deviations[1] == pytest.approx(1.4826 * middle(np.abs(values - median), weights), abs=0.005)


def test_true_labels_measured_as_pseudo_labels_give_nearly_the_same():
    image, labels = volume(organ=0.8)
    plain, excess = (measure_appearance(image, labels, 2, e) for e in (False, True))
    assert excess.medians[1] == pytest.approx(plain.medians[1], abs=0.01)
    assert excess.deviations[1] == pytest.approx(plain.deviations[1], rel=0.15)
    np.testing.assert_array_equal(excess.quantiles, plain.quantiles)


@pytest.mark.parametrize("number", [30, 100, 300, 1000])
def test_voxels_of_the_body_at_random_have_their_plain_median(number):
    image, labels = volume()
    body = np.flatnonzero(image[0].ravel() > -0.95)
    plain, excess = [], []
    for seed in range(30):
        chosen = np.zeros_like(labels)
        chosen.ravel()[np.random.default_rng(seed).choice(body, number, replace=False)] = 1
        for found, e in ((plain, False), (excess, True)):
            found.append(float(measure_appearance(image, chosen, 2, e).medians[1]))
    assert np.mean(np.isclose(plain, excess, atol=0.02)) > 0.9


def test_a_class_like_the_body_or_as_dark_as_air_has_its_plain_median():
    image, labels = volume()
    everywhere = (image[0] > -0.95).astype(np.uint8)
    everywhere[0, 2, 2:22] = 0  # some background is left
    for pseudo in (everywhere, labels):
        plain, excess = (measure_appearance(image, pseudo, 2, e) for e in (False, True))
        assert excess.medians[1] == pytest.approx(plain.medians[1], abs=0.01)
        image[0][labels == 1] = -1.0  # as dark as air from here on


def test_unknown_voxels_are_not_measured():
    image, labels = volume()
    doubted = labels.copy()
    doubted[:3][doubted[:3] == 1] = 255
    image[0][doubted == 255] = 0.9
    assert measure_appearance(image, doubted, 2).medians[1] == pytest.approx(0.2, abs=0.02)


def test_a_volume_of_air_cannot_be_measured():
    assert measure_appearance(np.full((1, 2, 8, 8), -1.0, np.float32), np.zeros((2, 8, 8), np.uint8), 2) is None


def test_classes_that_a_volume_does_not_show_are_taken_from_the_others():
    nan = float("nan")
    quantiles = np.zeros(len(LEVELS), np.float32)
    volumes = [
        Appearance(np.array([nan, mean, nan], np.float32), np.array([nan, mean / 2, nan], np.float32), quantiles)
        for mean in (0.1, nan, 0.3, 0.8)
    ]
    filled = fill_unseen(volumes)
    assert [round(float(a.medians[1]), 3) for a in filled] == [0.1, 0.3, 0.3, 0.8]
    assert [round(float(a.deviations[1]), 3) for a in filled] == [0.05, 0.15, 0.15, 0.4]
    assert np.isnan([a.medians[2] for a in filled]).all()
    assert np.isnan(volumes[1].medians[1])


@given(st.integers(0, 50), st.floats(-0.6, 0.6), st.floats(0.03, 0.15))
def test_an_organ_gets_median_and_deviation_of_the_other_volume(seed, mean, deviation):
    image, labels = volume(seed)
    other_image, _ = volume(seed + 1, mean, deviation)
    own, other = (measure_appearance(i, labels, 2) for i in (image, other_image))
    matched = match_appearance(image, labels, own, other, RISING)
    # Deep inside, each voxel keeps its distance from the median, in deviations, up to 2.5 of them.
    distance = np.clip((image[0][2:4, 8:16, 8:16] - own.medians[1]) / own.deviations[1], -2.5, 2.5)
    expected = np.clip(other.medians[1] + other.deviations[1] * distance, -1, 1)
    np.testing.assert_allclose(matched[0][2:4, 8:16, 8:16], expected, atol=1e-5)


@pytest.mark.parametrize("curve", [RISING, FALLING])
def test_background_gets_the_other_intensities_in_the_order_of_the_curve(curve):
    image, labels = volume(background=(-0.8, 0.6))
    other_image, _ = volume(5, background=(0.1, 0.4))
    own, other = (measure_appearance(i, labels, 2) for i in (image, other_image))
    matched = match_appearance(image, labels, own, other, curve)
    far = np.zeros_like(labels, bool)
    far[:, 3:5, 3:21] = True  # away from the organ
    before, after = image[0][far], matched[0][far]
    assert after.min() >= 0.1 - 1e-3 and after.max() <= 0.4 + 1e-3
    assert np.corrcoef(before, after)[0, 1] * (1 if curve is RISING else -1) > 0.95
    assert np.quantile(after, 0.5) == pytest.approx(0.25, abs=0.03)


@given(st.integers(0, 100))
def test_air_stays_air_and_the_range_is_kept(seed):
    image, labels = volume(seed)
    before = image.copy()
    own, other = measure_appearance(image, labels, 2), measure_appearance(volume(seed + 1, 0.95, 0.3)[0], labels, 2)
    matched = match_appearance(image, labels, own, other, draw_curve(np.random.default_rng(seed)))
    assert matched.shape == image.shape and matched.dtype == np.float32
    assert (matched[image <= -0.95] == -1).all()
    assert matched.min() >= -1 and matched.max() <= 1
    np.testing.assert_array_equal(image, before)


def test_an_organ_that_is_as_black_as_air_gets_the_other_median():
    """A style may draw it so; its voxels have a label and are not air."""
    image, labels = volume(organ=-0.99, deviation=0.005)
    own = measure_appearance(image, labels, 2)
    bright = measure_appearance(*volume(1, organ=0.8), 2)
    found = match_appearance(image, labels, own, bright, RISING)
    middle = (0, slice(2, 4), slice(9, 15), slice(9, 15))
    assert image[middle].max() < -0.95
    assert np.median(found[middle]) == pytest.approx(0.8, abs=0.05)
    assert found[middle].min() > 0.5


@pytest.mark.parametrize(("organ", "deviation"), [(0.1, 0.03), (-0.2, 0.35), (-0.5, 0.2)])
def test_gas_within_an_organ_stays_gas(organ, deviation):
    image, labels = volume(organ=organ, deviation=deviation)
    image[0, 2, 10:12, 10:12] = -1.0
    bright = measure_appearance(*volume(1, organ=0.8), 2)
    found = match_appearance(image, labels, measure_appearance(image, labels, 2), bright, RISING)
    assert (labels[2, 10:12, 10:12] == 1).all()
    np.testing.assert_array_equal(found[0, 2, 10:12, 10:12], -1.0)
    assert np.median(found[0, 3, 9:15, 9:15]) == pytest.approx(0.8, abs=0.05)


def test_a_class_that_the_other_volumes_never_show_stays_as_it_is():
    image, labels = volume()
    own = measure_appearance(image, labels, 2)
    unseen = Appearance(np.full(2, np.nan, np.float32), np.full(2, np.nan, np.float32), own.quantiles)
    matched = match_appearance(image, labels, own, unseen, RISING)
    np.testing.assert_allclose(matched[0][2:4, 8:16, 8:16], image[0][2:4, 8:16, 8:16], atol=1e-6)


def test_borders_hold_some_of_either_side():
    image, labels = volume(organ=0.0, deviation=0.03, background=(-0.5, -0.49))
    other_image, _ = volume(1, 0.8, 0.03, background=(-0.2, -0.19))
    own, other = (measure_appearance(i, labels, 2) for i in (image, other_image))
    row = match_appearance(image, labels, own, other, RISING)[0, 3, 12]
    assert row[10] == pytest.approx(0.8, abs=0.1) and row[3] == pytest.approx(-0.2, abs=0.02)
    inner, outer = 1.0, np.exp(-(1**2) / (2 * 0.5**2))  # of a normal distribution half a voxel wide
    share = outer / (inner + 2 * outer)
    assert row[5] == pytest.approx(-0.2 + share, abs=0.05)
    assert row[6] == pytest.approx(0.8 - share, abs=0.1)


def test_curves_keep_within_the_ranks_and_half_of_them_rise():
    curves = [draw_curve(np.random.default_rng(seed)) for seed in range(200)]
    assert all(c.min() >= 0 and c.max() <= 1 + 1e-6 for c in curves)
    rising = sum(bool((np.diff(c) >= 0).all()) for c in curves)
    assert 70 < rising < 140


def test_a_background_in_its_own_order_gets_the_other_volumes_quantiles():
    image, labels = volume(background=(-0.6, -0.2))
    other = measure_appearance(volume(1, background=(0.1, 0.5))[0], labels, 2)
    own = measure_appearance(image, labels, 2)
    same = match_appearance(image, labels, own, own, keep_order(np.random.default_rng(0)))
    far = np.zeros_like(labels, bool)
    far[:, 3:5, 3:21] = True  # away from the organ
    np.testing.assert_allclose(same[0][far], image[0][far], atol=0.01)
    matched = match_appearance(image, labels, own, other, keep_order(np.random.default_rng(0)))
    expected = np.interp(image[0][far], own.quantiles, other.quantiles)
    np.testing.assert_allclose(matched[0][far], expected, atol=1e-3)


def test_quantiles_of_the_body_are_those_of_numpy():
    image, _ = volume()
    body = image[0][:, 2:22, 2:22]
    np.testing.assert_allclose(measure_quantiles(image), np.quantile(body, LEVELS), atol=1e-6)
    assert measure_quantiles(np.full((1, 4, 4, 4), -1.0, np.float32)) is None


def test_a_drawn_appearance_has_intensities_of_the_scan_in_any_class():
    quantiles = np.interp(LEVELS, (0.0, 0.5, 1.0), (-0.9, -0.7, 0.8)).astype(np.float32)
    rng = np.random.default_rng(0)
    drawn = [draw_appearance(rng, quantiles, 3) for _ in range(2000)]
    medians = np.array([appearance.medians[1:] for appearance in drawn])
    for column in medians.T:  # as common as in the scan
        np.testing.assert_allclose(np.quantile(column, (0.25, 0.5, 0.75)), (-0.8, -0.7, 0.05), atol=0.06)
    assert abs(np.corrcoef(medians.T)[0, 1]) < 0.1
    deviations = np.array([appearance.deviations[1:] for appearance in drawn])
    assert 0.03 <= deviations.min() < 0.035
    assert 0.145 < deviations.max() <= 0.15
    assert all(appearance.quantiles is quantiles for appearance in drawn)


def test_any_curve_rises_falls_or_does_both():
    rng = np.random.default_rng(0)
    curves = [draw_any_curve(rng) for _ in range(2000)]
    steps = np.array([np.diff(curve) for curve in curves])
    assert np.mean((steps >= 0).all(1)) == pytest.approx(0.25, abs=0.04)
    assert np.mean((steps <= 0).all(1)) == pytest.approx(0.25, abs=0.04)
    assert all(curve.min() >= 0 and curve.max() <= 1 for curve in curves)
