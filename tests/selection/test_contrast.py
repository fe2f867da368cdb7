"""Which contrast of the source suits the target: told on volumes where it is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from darnet.planning import find_preset
from darnet.selection import (
    Contrasts,
    Volume,
    compare_contrasts,
    contrast,
    describe_shapes,
    learn_shapes,
    with_contrast,
)
from darnet.selection.contrast import neighbourhoods
from darnet.selection.source_contrast import COARSE, on_coarse_grid

CLASSES = {"organ": 1, "other": 2}
SPACING = (5.0, 4.0, 4.0)
AXES = ("S", "P", "L")
FAST = find_preset("fast")


def draw(seed: int, organ: float, other: float, labelled: bool = True) -> Volume:
    """A body of grey noise with a large organ on one side, a small one on the other, and a vessel like the other."""
    rng = np.random.default_rng(seed)
    image = np.full((10, 32, 32), -1, np.float32)
    labels = np.zeros(image.shape, np.uint8)
    image[:, 3:29, 3:29] = 0
    y, x = rng.integers(-1, 2, 2)
    labels[2:8, 8 + y : 19 + y, 6 + x : 14 + x] = 1
    labels[3:7, 13 + y : 18 + y, 20 + x : 25 + x] = 2
    image[labels == 1], image[labels == 2] = organ, other
    image[:, 23:26, 14:17] = other
    body = image > -1
    image[body] += rng.normal(0, 0.05, body.sum()).astype(np.float32)
    return Volume(np.clip(image, -1, 1), labels if labelled else None, AXES)


def compare(source: tuple[float, float], target: tuple[float, float]) -> Contrasts | None:
    return compare_contrasts(
        [draw(n, *source) for n in range(4)],
        [draw(10 + n, *target, labelled=False) for n in range(3)],
        CLASSES,
        (1, 2),
        SPACING,
        seed=0,
    )


@pytest.mark.parametrize(
    ("source", "target", "inverted"),
    [
        ((0.5, -0.5), (0.5, -0.5), False),
        ((0.5, -0.5), (0.8, -0.3), False),
        ((0.5, -0.5), (-0.5, 0.5), True),
        ((-0.6, 0.3), (0.4, -0.4), True),
    ],
)
def test_the_contrast_that_suits_is_told(source, target, inverted):
    found = compare(source, target)
    assert found is not None
    assert found.choice is inverted


def test_the_same_again():
    assert compare((0.5, -0.5), (-0.5, 0.5)) == compare((0.5, -0.5), (-0.5, 0.5))


def test_a_target_that_shows_nothing_tells_nothing():
    found = compare((0.5, -0.5), (0.0, 0.0))
    assert found is not None
    assert found.choice is None


@pytest.mark.parametrize(("source", "target"), [(2, 3), (4, 0)])
def test_too_few_scans(source, target):
    few = [draw(n, 0.5, -0.5) for n in range(source)], [draw(n, 0.5, -0.5) for n in range(target)]
    assert compare_contrasts(*few, CLASSES, (), SPACING, seed=0) is None


@pytest.mark.parametrize(
    ("as_is", "inverted", "choice"),
    [(0.4, 0.2, False), (0.2, 0.4, True), (0.4, 0.3, None), (0.4, 0.44, None), (0.15, 0.02, None), (0.02, 0.15, None)],
)
def test_choice(as_is, inverted, choice):
    assert Contrasts(as_is, inverted).choice is choice


def test_a_class_that_most_scans_do_not_show_tells_nothing(recwarn):
    source = [draw(n, 0.5, -0.5) for n in range(4)]
    for volume in source:
        volume.labels[:] = 0
    source[0].labels[5, 10, 10] = 1
    target = [draw(9, 0.5, -0.5, labelled=False)]
    assert compare_contrasts(source, target, CLASSES, (), SPACING, seed=0) is None
    assert not recwarn


class Forest:
    """Gives voxels of each class a chance, and what is left to background."""

    def __init__(self, labels: np.ndarray, chance: float) -> None:
        self.labels, self.chance, self.classes_ = labels, chance, np.array([0, 1, 2])

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        own = np.eye(3)[self.labels]
        return own * self.chance + (1 - self.chance) * np.eye(3)[0]


def score(found: np.ndarray, chance: float = 1.0, single: tuple[int, ...] = ()) -> tuple[float, float]:
    """Plausibility and certainty of labels, each voxel with this chance."""
    volume = draw(3, 0.5, -0.5)
    shapes = [describe_shapes(draw(n, 0.5, -0.5).labels, (1, 2), SPACING, AXES) for n in range(6)]
    body = np.ones(found.shape, bool)
    forest = Forest(found[body], chance)
    return contrast._score(forest, (1, 2), single, volume, body, np.zeros(0), learn_shapes(shapes, (1, 2)), SPACING)


def test_the_score_knows_shapes_and_chances():
    labels = draw(3, 0.5, -0.5).labels
    likely, sure = score(labels)
    assert likely > 0.8
    assert sure > 0.8
    shifted = score(np.roll(np.where(labels == 2, labels, 0), 6, axis=1) + np.where(labels == 1, labels, 0))
    assert shifted[0] < likely
    assert score(labels, chance=0.7)[1] == pytest.approx(0.7 * sure, rel=0.01)


def test_pieces_of_a_class_that_is_one_piece_do_not_count():
    labels = draw(3, 0.5, -0.5).labels
    pieces = labels.copy()
    pieces[0:3, 26:32, 26:32] = 1
    pieces[0:3, 0:6, 26:32] = 1
    assert score(pieces)[0] < score(pieces, single=(1,))[0] == pytest.approx(score(labels)[0])


def test_many_classes_do_not_draw_more_voxels():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(100, dtype=np.uint8), 256).reshape(10, 40, 64)
    volume = Volume(rng.uniform(0, 1, labels.shape).astype(np.float32), labels, AXES)
    _, places, drawn = contrast._draw(volume, range(1, 100), rng)
    assert np.unique(drawn).size == 100
    assert len(places) <= contrast.VOXELS_OF_CLASSES + contrast.VOXELS_OF_BACKGROUND


def test_ranks_know_no_rising_curve():
    volume = draw(0, 0.5, -0.5)
    body = volume.image > -0.95
    places = np.argwhere(body)[::7]
    seen = neighbourhoods(volume.image, body, places)
    curved = np.where(body, np.tanh(2 * volume.image), -1).astype(np.float32)
    np.testing.assert_array_equal(neighbourhoods(curved, body, places), seen)


def test_what_the_forest_sees():
    image = np.full((5, 9, 9), -1, np.float32)
    body = np.zeros(image.shape, bool)
    body[:, 2:7, 2:7] = True
    image[body] = np.arange(body.sum(), dtype=np.float32) / body.sum()
    place = np.array([[2, 4, 6]])
    seen = neighbourhoods(image, body, place)[0]
    rank = {tuple(p): n / body.sum() for n, p in enumerate(np.argwhere(body))}
    assert seen[0] == pytest.approx(rank[2, 4, 6])
    assert seen[2:6] == pytest.approx([rank[n, 4, 6] for n in (0, 1, 3, 4)])
    ring = [
        (4, 7),
        (5, 7),
        (5, 6),
        (5, 5),
        (4, 5),
        (3, 5),
        (3, 6),
        (3, 7),
    ]  # at one voxel, from the left round by posterior
    assert seen[6:14] == pytest.approx([rank.get((2, y, x), -0.5) for y, x in ring])
    assert seen[-2:] == pytest.approx([4 / 8, 6 / 8])


@pytest.fixture
def between_sequences(make_small_plans):
    """A plan with a share of curves and some patches out of translated volumes."""

    def plan(appearance):
        plans = make_small_plans()
        return dataclasses.replace(
            plans,
            segmentation=dataclasses.replace(plans.segmentation, appearance=appearance, source_share=0.7),
            self_training=dataclasses.replace(plans.self_training, matched_translated=0.5),
        )

    return plan


@pytest.mark.parametrize(
    ("contrasts", "inverted", "appearance", "source_share", "matched_translated", "why"),
    [
        (None, None, 1.0, 1.0, None, "as they are: too few"),
        (Contrasts(0.3, 0.29), None, 1.0, 1.0, None, "as they are, in doubt: "),
        (Contrasts(0.1, 0.4), True, FAST.appearance, 0.7, 0.5, "turned round: "),
        (Contrasts(0.4, 0.1), None, FAST.appearance, 0.7, 0.5, "as they are: a quick forest"),
    ],
)
def test_what_follows_for_the_plan(
    between_sequences, contrasts, inverted, appearance, source_share, matched_translated, why
):
    changed = with_contrast(between_sequences(1.0), FAST, contrasts)
    assert changed.segmentation.source_share == source_share
    assert changed.self_training.matched_translated == matched_translated
    assert changed.preprocessing.source_inverted is inverted
    assert changed.segmentation.appearance == appearance
    assert why in changed.preprocessing.why["source_inverted"]


@pytest.mark.parametrize("contrasts", [None, Contrasts(0.3, 0.29), Contrasts(0.1, 0.4), Contrasts(0.4, 0.1)])
def test_patches_are_translated_as_planned_where_no_two_sequences_are_in_doubt(between_sequences, contrasts):
    plans = between_sequences(FAST.appearance)
    changed = with_contrast(plans, FAST, contrasts)
    assert (changed.segmentation, changed.self_training) == (plans.segmentation, plans.self_training)


def test_a_grid_of_as_many_voxels_whatever_is_planned(make_small_plans, fingerprint_of):
    fingerprint = fingerprint_of()
    for spacing in ((3.0, 1.0, 1.0), (6.0, 0.5, 0.5)):
        coarse = on_coarse_grid(make_small_plans(spacing), fingerprint).preprocessing.spacing
        extents = [fingerprint.median(domain, "body_extent") for domain in ("source", "target")]
        voxels = np.mean([np.prod(np.divide(extent, coarse)) for extent in extents])
        assert voxels == pytest.approx(COARSE)
        assert np.divide(coarse, spacing) == pytest.approx(coarse[0] / spacing[0])
    assert on_coarse_grid(make_small_plans((40.0, 30.0, 30.0)), fingerprint).preprocessing.spacing == (40.0, 30.0, 30.0)
