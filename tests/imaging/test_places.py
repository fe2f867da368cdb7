"""One piece of a class, by its size and by its place among the others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from darnet.imaging import keep_in_place, keep_largest
from darnet.plans import Place

AFFINE = np.array([[-2.0, 0, 0, 30], [0, 0, 3, -7], [0, 4, 0, 11], [0, 0, 0, 1]])  # turned, 24 mm3 a voxel
VOXEL = 0.024  # ml


def place_of(labels, label, spread=5.0):
    """As planned from these labels, offsets from the origin of the body: only their differences count."""
    at = np.argwhere(labels == label)
    centre = AFFINE[:3, :3] @ at.mean(axis=0) + AFFINE[:3, 3]
    return Place(tuple(float(c) for c in centre), spread, len(at) * VOXEL)


@pytest.fixture
def bodies():
    """True labels of three classes, and the same with a larger wrong piece of class 1 and a small one of class 3."""
    true = np.zeros((40, 30, 40), np.uint8)
    true[10:14, 10:14, 10:14] = 1
    true[16:22, 10:15, 10:16] = 2
    true[10:14, 18:22, 10:13] = 3
    found = true.copy()
    found[30:38, 22:29, 30:38] = 1
    found[2:4, 2:4, 30:32] = 3
    return true, found


def test_a_larger_piece_elsewhere_is_dropped(bodies):
    true, found = bodies
    places = {label: place_of(true, label) for label in (1, 2, 3)}
    assert (keep_largest(found, (1, 2, 3)) == 1).sum() == 8 * 7 * 8  # the wrong one
    np.testing.assert_array_equal(keep_in_place(found, AFFINE, places), true)
    # Only differences between offsets count.
    moved = {n: Place(tuple(np.add(p.offset, 100.0)), p.spread, p.ml) for n, p in places.items()}
    np.testing.assert_array_equal(keep_in_place(found, AFFINE, moved), true)


def test_labels_without_a_place_stay(bodies):
    true, found = bodies
    places = {label: place_of(true, label) for label in (2, 3)}
    cleaned = keep_in_place(found, AFFINE, places)
    np.testing.assert_array_equal(cleaned == 1, found == 1)
    np.testing.assert_array_equal(cleaned == 3, true == 3)
    assert keep_in_place(found, AFFINE, {}).tolist() == found.tolist()


def test_one_class_alone_keeps_its_largest_piece(bodies):
    true, found = bodies
    found[found > 1] = 0
    cleaned = keep_in_place(found, AFFINE, {1: place_of(true, 1), 2: place_of(true, 2)})
    np.testing.assert_array_equal(cleaned, keep_largest(found, (1,)))
    assert not keep_in_place(np.zeros_like(found), AFFINE, {1: place_of(true, 1)}).any()


def test_a_far_smaller_patient_keeps_its_organs():
    """Organs at 0.6 of the distances, and a spurious piece a quarter as large as one of them where an adult has it."""
    true = np.zeros((16, 16, 64), np.uint8)
    true[5:11, 5:11, 56:62] = 1
    true[5:11, 5:11, 32:38] = 2
    found = true.copy()
    found[6:10, 6:10, 17:21] = 2
    adult = {n: place_of(true, n, 15.0) for n in (1, 2)}
    gap = np.subtract(adult[1].offset, adult[2].offset)
    away = tuple(np.subtract(adult[2].offset, gap * (1 / 0.6 - 1)).tolist())
    places = {1: Place(adult[1].offset, 15.0, 5 * adult[1].ml), 2: Place(away, 15.0, 5 * adult[2].ml)}
    np.testing.assert_array_equal(keep_in_place(found, AFFINE, places), true)


@pytest.mark.parametrize("seed", range(8))
def test_choice_is_that_of_the_formula(seed):
    """No piece of another class than chosen fits better, by the score of the docstring written again."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((24, 24, 24), np.uint8)
    for label in (1, 2, 3):
        for _ in range(3):
            z, y, x = rng.integers(0, 19, 3)
            labels[z : z + rng.integers(2, 6), y : y + rng.integers(2, 6), x : x + rng.integers(2, 6)] = label
    places = {
        n: Place(tuple(rng.normal(0, 20, 3).tolist()), float(rng.uniform(1, 20)), float(rng.uniform(0.5, 3)))
        for n in (1, 2, 3)
    }
    cleaned = keep_in_place(labels, AFFINE, places)
    pieces = {}
    for n, place in places.items():
        components, count = ndimage.label(labels == n, np.ones((3, 3, 3)))
        for k in range(1, count + 1):
            at = np.argwhere(components == k)
            if len(at) * VOXEL >= 0.05 * place.ml:
                pieces.setdefault(n, []).append((at, AFFINE[:3, :3] @ at.mean(axis=0), len(at) * VOXEL))
    kept = {n: next(k for k, (at, _, _) in enumerate(own) if cleaned[tuple(at[0])] == n) for n, own in pieces.items()}
    for n, own in pieces.items():
        assert (cleaned == n).sum() == len(own[kept[n]][0])
        others = [o for o in pieces if o != n]

        largest = max((at for at, _, _ in own), key=len)

        def score(piece, n=n, others=others, largest=largest):
            at, centre, ml = piece
            far = [
                np.sum((centre - pieces[o][kept[o]][1] - np.subtract(places[n].offset, places[o].offset)) ** 2)
                / max(places[n].spread ** 2 + places[o].spread ** 2, 100)
                for o in others
            ]
            return np.log(min(ml / places[n].ml, 1)) - np.mean(far) / 2 + 2 * (at is largest)

        assert score(own[kept[n]]) == pytest.approx(max(map(score, own)))


def test_axes_and_origin_of_a_file_do_not_matter(bodies):
    true, found = bodies
    places = {label: place_of(true, label) for label in (1, 2, 3)}
    expected = keep_in_place(found, AFFINE, places)
    for axes in itertools.permutations(range(3)):
        turned = AFFINE.copy()
        turned[:3, :3] = AFFINE[:3, :3][:, axes]
        turned[:3, 3] += 50
        np.testing.assert_array_equal(keep_in_place(found.transpose(axes), turned, places), expected.transpose(axes))
