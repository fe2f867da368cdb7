"""Pseudo-labels are believed as far as their shapes are like those of the source labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from darnet.io import CaseStore
from darnet.self_training import trust
from darnet.self_training.trust import class_trust
from tests.cases import write_case

SHAPE = (12, 40, 40)


def block(z, y, x):
    """Labels (D, H, W) with a block of so many voxels an axis, and a small organ 2 apart from it."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[2 : 2 + z, 4 : 4 + y, 4 : 4 + x] = 1
    labels[4:8, 32:38, 32:38] = 2
    return labels


def store_of(folder, *labels):
    store = CaseStore(folder)
    for number, one in enumerate(labels):
        write_case(store, f"case{number}", np.zeros((1, *SHAPE)), one)
    return store


@pytest.fixture
def trust_in(make_small_plans, tmp_path):
    plans = dataclasses.replace(make_small_plans(), labels={"background": 0, "organ": 1, "other": 2})
    source = store_of(tmp_path / "source", *(block(8, 16 + n, 16 + n) for n in range(4)))

    def found(*labels):
        return class_trust(plans, source, store_of(tmp_path / "pseudo", *labels))

    return found


def test_shapes_of_source_labels_are_trusted(trust_in):
    np.testing.assert_array_equal(trust_in(block(8, 17, 17), block(8, 18, 18)), [1, 1, 1])


def test_a_class_of_other_shape_is_not_trusted_and_the_others_are(trust_in):
    scattered = block(8, 17, 17)
    scattered[scattered == 1] = 0
    scattered[::4, ::6, ::6] = 1
    found = trust_in(scattered, scattered)
    assert found[0] == 1 and found[1] == 0 and found[2] > 0.5


@pytest.mark.parametrize(
    ("likeness", "expected"), [(0.5, 0), (0.75, 0), (0.7925, 0.25), (0.835, 0.5), (0.92, 1), (1.2, 1)]
)
def test_trust_rises_in_proportion_to_the_likeness_of_source_cases(trust_in, monkeypatch, likeness, expected):
    monkeypatch.setattr(trust, "usual_plausibility", lambda shapes, classes, shown: {1: 0.8})
    monkeypatch.setattr(trust, "plausibility", lambda shapes, reference: {1: 0.8 * likeness, 2: 0.0})
    np.testing.assert_allclose(trust_in(block(8, 17, 17)), [1, expected, 1], atol=1e-12)


def test_scans_that_do_not_show_a_class_say_nothing_against_it(trust_in):
    gone = block(8, 17, 17)
    gone[gone == 2] = 0
    assert trust_in(gone, gone, block(8, 17, 17))[2] == 1
    assert trust_in(gone)[2] == 1


def test_without_target_scans_nothing_is_doubted(trust_in):
    np.testing.assert_array_equal(trust_in(), [1, 1, 1])


def test_a_class_that_some_source_cases_lack_is_doubted_like_one_that_all_show(make_small_plans, tmp_path):
    plans = dataclasses.replace(make_small_plans(), labels={"background": 0, "organ": 1, "other": 2})
    own = [block(8, 16 + n % 4, 16 + n % 4) for n in range(10)]
    for labels in own[6:]:
        labels[labels == 2] = 0
    elsewhere = block(8, 17, 17)
    elsewhere[elsewhere == 2] = 0
    elsewhere[1:11, 24:28, 1:5] = 2
    source, pseudo = store_of(tmp_path / "source", *own), store_of(tmp_path / "pseudo", elsewhere, elsewhere)
    found = class_trust(plans, source, pseudo)
    assert found[1] == 1 and found[2] == 0


def test_what_was_doubted_in_one_round_stays_doubted(make_small_plans, tmp_path):
    plans = dataclasses.replace(make_small_plans(), labels={"background": 0, "organ": 1, "other": 2})
    source = store_of(tmp_path / "source", *(block(8, 16 + n, 16 + n) for n in range(4)))
    scattered = block(8, 17, 17)
    scattered[scattered == 1] = 0
    scattered[::4, ::6, ::6] = 1
    sound, odd = store_of(tmp_path / "sound", block(8, 17, 17)), store_of(tmp_path / "odd", scattered)
    assert class_trust(plans, source, sound)[1] == 1
    for stores in ((odd, sound), (sound, odd)):
        assert class_trust(plans, source, *stores)[1] == 0
