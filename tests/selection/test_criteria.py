"""Criteria on probabilities and shapes of which it is known how good they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from darnet.selection import (
    MARGIN,
    Criteria,
    agreement,
    certainty,
    change_contrast,
    choose,
    describe_shapes,
    learn_shapes,
    plausibility,
    usual_plausibility,
)

SHAPE = (12, 40, 40)
CLASSES = (1, 2)
SPACING = (4.0, 2.0, 2.0)
AXES = ("S", "P", "L")


def one_hot(labels, sure=1.0, classes=3):
    """Probabilities (K, D, H, W) with `sure` for the label and the rest shared by the others."""
    rest = (1.0 - sure) / (classes - 1)
    return np.stack([np.where(labels == k, sure, rest) for k in range(classes)]).astype(np.float32)


def organs(shift=(0, 0, 0), size=8, second=True):
    labels = np.zeros(SHAPE, np.uint8)
    d, h, w = shift
    labels[2 + d : 8 + d, 6 + h : 6 + h + size, 4 + w : 4 + w + size] = 1
    if second:
        labels[3:9, 20:28, 24:34] = 2
    return labels


def test_certainty_of_what_is_sure_and_what_is_not():
    labels = organs()
    assert certainty(one_hot(labels)) == pytest.approx(1.0)
    unsure = np.full((3, *SHAPE), 1 / 3)
    unsure[1] += 1e-9
    assert certainty(unsure) == pytest.approx(0.0, abs=1e-6)
    assert math.isnan(certainty(one_hot(np.zeros(SHAPE, np.uint8))))  # finds nothing
    values = [certainty(one_hot(labels, sure)) for sure in (0.5, 0.7, 0.9, 0.99)]
    assert values == sorted(values)


def test_certainty_is_the_weighted_entropy():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), (3, 4, 5)).transpose(3, 0, 1, 2)
    total = weights = 0.0
    for place in np.ndindex(3, 4, 5):
        own = p[(slice(None), *place)]
        total += -sum(v * math.log(v) for v in own) * (1 - own[0])
        weights += 1 - own[0]
    assert certainty(p) == pytest.approx(1 - total / weights / math.log(4))


def test_certainty_does_not_depend_on_the_background_around():
    small = one_hot(organs(), 0.8)
    large = np.zeros((3, *SHAPE[:2], 400), np.float32)
    large[0] = 1.0
    large[..., :40] = small
    assert certainty(large) == pytest.approx(certainty(small))


def test_agreement_is_mean_dice():
    labels = organs()
    assert agreement(labels, labels, CLASSES) == 1.0
    assert agreement(labels, organs(second=False), CLASSES) == pytest.approx(0.5)
    moved = organs(shift=(0, 0, 4))
    assert agreement(labels, moved, CLASSES) == pytest.approx((0.5 + 1.0) / 2)
    empty = np.zeros_like(labels)
    assert math.isnan(agreement(empty, empty, CLASSES))
    assert agreement(empty, labels, CLASSES) == 0.0


def test_contrast_changes_the_middle_alone():
    image = np.array([[-1.0, -0.5, 0.0, 0.5, 1.0]], np.float32)
    for brighter in (True, False):
        changed = change_contrast(image, brighter)
        np.testing.assert_allclose(changed[0, [0, -1]], [-1, 1], atol=1e-6)
        assert ((changed - image)[0, 1:4] > 0).all() == brighter
        assert (np.diff(changed[0]) > 0).all()
    assert image[0, 2] == 0.0


def test_shapes_of_boxes():
    shape = describe_shapes(organs(), CLASSES, SPACING, AXES)[1]
    assert np.exp(shape[0]) == pytest.approx(6 * 8 * 8 * 16)
    # 90 % between the tails of evenly filled boxes, along L, P and S.
    np.testing.assert_allclose(np.exp(shape[1:4]), [8 * 2, 8 * 2, 6 * 4], rtol=0.2)
    centres = {1: np.array([7.5 * 2, 9.5 * 2, 4.5 * 4]), 2: np.array([28.5 * 2, 23.5 * 2, 5.5 * 4])}
    np.testing.assert_allclose(shape[4:7], (centres[1] - centres[2]) / 2)
    assert shape[7] == 0.0


def test_shapes_are_those_of_the_body_however_the_array_lies():
    labels = organs()
    turned = np.flip(labels.transpose(2, 0, 1), (0, 2))  # (L, S, P) with L and P reversed: (R, S, A)
    spacing = (SPACING[2], SPACING[0], SPACING[1])
    before = describe_shapes(labels, CLASSES, SPACING, AXES)
    after = describe_shapes(turned, CLASSES, spacing, ("R", "S", "A"))
    for value in CLASSES:
        np.testing.assert_allclose(after[value], before[value], atol=1e-9)


def test_pieces_are_counted():
    labels = organs()
    labels[10:12, 36:39, 36:39] = 1
    labels[0, 0, 0] = 1
    assert np.exp(describe_shapes(labels, CLASSES, SPACING, AXES)[1][7]) == pytest.approx(3)


def test_a_class_alone_has_no_place():
    shape = describe_shapes(organs(second=False), CLASSES, SPACING, AXES)
    assert set(shape) == {1}
    assert np.isnan(shape[1][4:7]).all()
    assert np.isfinite(shape[1][[0, 1, 2, 3, 7]]).all()


def reference_of(*labels):
    return learn_shapes([describe_shapes(one, CLASSES, SPACING, AXES) for one in labels], CLASSES)


def plausible(labels, reference):
    return np.mean(list(plausibility(describe_shapes(labels, CLASSES, SPACING, AXES), reference).values()))


def test_plausibility_falls_with_what_is_odd():
    reference = reference_of(organs(), organs((1, 0, 1)), organs((0, 1, 0)))
    good = plausible(organs(), reference)
    assert good > 0.9
    speckled = organs()
    speckled[0:2, ::8, ::8] = 2
    odd = {
        "too large": organs(size=14),
        "moved": organs(shift=(0, 24, 20)),
        "one organ missed": organs(second=False),
        "in pieces": speckled,
        "nothing": np.zeros(SHAPE, np.uint8),
    }
    values = {name: plausible(labels, reference) for name, labels in odd.items()}
    assert max(values.values()) < good - 0.03, values
    assert values["nothing"] == 0.0
    assert values["one organ missed"] == pytest.approx(0.5, abs=0.01)


def test_plausibility_is_in_deviations():
    """Source volumes e times apart: a deviation of 0.5. A volume off by that loses 1 of 4, in 1 of 4 kinds."""
    first, second = np.zeros(8), np.array([1.0, *[0.0] * 7])
    reference = learn_shapes([{1: first}, {1: second}], [1, 2])
    assert set(reference.shown) == {1}
    assert plausibility({1: np.array([1.0, *[0.0] * 7])}, reference) == pytest.approx({1: 1 - 1 / 4 / 4})
    assert plausibility({1: np.array([99.0, *[0.0] * 7])}, reference) == pytest.approx({1: 1 - 1 / 4})


def test_a_class_that_sources_often_lack_may_be_absent():
    shape = np.zeros(8)
    reference = learn_shapes([{1: shape}, {}, {}, {}], [1])
    assert plausibility({}, reference) == pytest.approx({1: 0.75})
    assert plausibility({}, learn_shapes([{}], [1])) == {}


def test_usual_plausibility_holds_each_case_against_the_others():
    """Volumes 0, 1 and 3 (logarithms): medians of the others 2, 1.5 and 0.5, deviations 1, 1.5 and 0.5."""
    cases = [{1: np.array([volume, *[0.0] * 7])} for volume in (0.0, 1.0, 3.0)]
    off = [min(2 / 1, 4), min(0.5 / 1.5, 4), min(2.5 / 0.5, 4)]
    assert usual_plausibility(cases, [1, 2]) == pytest.approx({1: np.mean([1 - o / 4 / 4 for o in off])})
    assert usual_plausibility(cases[:1], [1]) == {}
    assert usual_plausibility([*cases[:2], {}], [1]) == {}  # two of three are too few to tell
    assert set(usual_plausibility(cases[:2], [1])) == {1}


def criteria(value):
    return Criteria(value, value, value, value)


def test_the_last_is_chosen_unless_another_is_clearly_better():
    first, last = criteria(0.8), criteria(0.8)
    assert choose({"segmentation": first, "round_1": last}) == "round_1"
    assert choose({"segmentation": criteria(0.8 + 0.5 * MARGIN), "round_1": last}) == "round_1"
    assert choose({"segmentation": criteria(0.8 + 2 * MARGIN), "round_1": last}) == "segmentation"
    three = {"segmentation": criteria(0.5), "round_1": criteria(0.9), "round_2": criteria(0.7)}
    assert choose(three) == "round_1"
    assert choose({"segmentation": first}) == "segmentation"


def test_criteria_that_do_not_apply_are_left_out():
    assert Criteria(0.8, math.nan, math.nan, 0.6).score == pytest.approx(0.7)
    assert Criteria(math.nan, math.nan, math.nan, math.nan).score == 0.0
