"""Which contrast of the source suits the target: told on volumes where it is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from darnet.planning import find_preset
from darnet.selection import Contrasts, Volume, compare_contrasts, with_contrast
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


@pytest.mark.parametrize(
    ("contrasts", "inverted", "appearance", "why"),
    [
        (None, False, 1.0, "too few"),
        (Contrasts(0.3, 0.29), False, 1.0, "does not tell"),
        (Contrasts(0.1, 0.4), True, FAST.appearance, "0.40 where its bright and dark"),
        (Contrasts(0.4, 0.1), False, FAST.appearance, "0.40 where the source was as it is"),
    ],
)
def test_what_follows_for_the_plan(make_small_plans, contrasts, inverted, appearance, why):
    plans = make_small_plans()
    plans = dataclasses.replace(plans, segmentation=dataclasses.replace(plans.segmentation, appearance=1.0))
    changed = with_contrast(plans, FAST, contrasts)
    assert changed.preprocessing.source_inverted is inverted
    assert changed.segmentation.appearance == appearance
    assert why in changed.preprocessing.why["source_inverted"]


def test_a_grid_of_as_many_voxels_whatever_is_planned(make_small_plans, fingerprint_of):
    fingerprint = fingerprint_of()
    for spacing in ((3.0, 1.0, 1.0), (6.0, 0.5, 0.5)):
        coarse = on_coarse_grid(make_small_plans(spacing), fingerprint).preprocessing.spacing
        extents = [fingerprint.median(domain, "body_extent") for domain in ("source", "target")]
        voxels = np.mean([np.prod(np.divide(extent, coarse)) for extent in extents])
        assert voxels == pytest.approx(COARSE)
        assert np.divide(coarse, spacing) == pytest.approx(coarse[0] / spacing[0])
    assert on_coarse_grid(make_small_plans((40.0, 30.0, 30.0)), fingerprint).preprocessing.spacing == (40.0, 30.0, 30.0)
