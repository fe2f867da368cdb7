"""The probe on volumes of which it is known what a translation kept of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from darnet.health import assess_translation, recover_labels
from darnet.health.probe import Sample, fit_and_score, neighbourhoods, sample_voxels
from darnet.io import CaseRecord, CaseStore
from darnet.layout import DatasetLayout

SHAPE = (8, 40, 40)
CASES = ("a", "b", "c", "d")


def scan(seed):
    """A body with two organs that lie elsewhere in each scan; their intensities differ little from the body's."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    for value, left in ((1, 4), (2, 22)):
        d, h, w = (int(rng.integers(low, high)) for low, high in ((1, 3), (6, 22), (left, left + 4)))
        labels[d : d + 5, h : h + 11, w : w + 11] = value
    image = np.full(SHAPE, -1.0, np.float32)
    image[:, 2:-2, 2:-2] = -0.3
    image[labels == 1], image[labels == 2] = 0.1, 0.4
    image[:, 2:-2, 2:-2] += rng.normal(0, 0.05, (8, 36, 36))
    return image, labels


def write(store, name, image, labels=None):
    box = tuple((0, n) for n in SHAPE)
    rows = tuple(tuple(row) for row in np.eye(4).tolist())
    record = CaseRecord(
        name, name, SHAPE[::-1], rows, (2, 1, 0), (False, False, False), (1.0, 1.0, 1.0), box, SHAPE, SHAPE,
        ("S", "P", "L"), labels is not None,
    )  # fmt: skip
    store.write(record, image[None], labels)


def without(image, labels, value):
    """An organ painted over with body."""
    rng = np.random.default_rng(9)
    painted = image.copy()
    painted[labels == value] = -0.3 + rng.normal(0, 0.05, int((labels == value).sum()))
    return painted


TRANSLATIONS = {
    "inverted": lambda image, labels: np.where(image > -0.9, -image, image),
    "noise": lambda image, labels: np.random.default_rng(labels.argmax()).normal(0, 0.3, SHAPE).astype(np.float32),
    "one organ gone": lambda image, labels: without(image, labels, 2),
    "moved": lambda image, labels: np.roll(image, np.random.default_rng(labels.argmax()).integers(10, 28, 2), (1, 2)),
}


@pytest.fixture
def plans(make_small_plans):
    return make_small_plans(spacing=(3.0, 2.0, 2.0))


@pytest.fixture
def stores(tmp_path):
    source, synthetic = CaseStore(tmp_path / "source"), CaseStore(tmp_path / "synthetic")
    for seed, case in enumerate(CASES):
        image, labels = scan(seed)
        write(source, case, image, labels)
        for number, translate in enumerate(TRANSLATIONS.values()):
            write(synthetic, f"{case}_{number}", translate(image, labels))
    return source, synthetic


def test_what_is_kept_and_what_is_lost(stores, plans):
    variants = {case: [f"{case}_{n}" for n in range(len(TRANSLATIONS))] for case in CASES}
    found = recover_labels(plans, *stores, variants)
    styles = dict(zip(TRANSLATIONS, found.styles, strict=True))
    assert min(found.source.values()) > 0.95
    assert min(styles["inverted"].values()) > 0.95
    assert max(styles["noise"].values()) < 0.65
    assert styles["one organ gone"]["cube"] > 0.95
    assert styles["one organ gone"]["rod"] < 0.75
    assert max(styles["moved"].values()) < 0.75
    assert recover_labels(plans, *stores, variants) == found


def test_one_case_is_too_few(stores, plans):
    assert recover_labels(plans, *stores, {"a": ["a_0"]}) is None


def test_sampled_voxels_are_of_a_class_or_near_it(plans):
    _, labels = scan(0)
    sample = sample_voxels(labels, plans, np.random.default_rng(0))
    np.testing.assert_array_equal(sample.labels, labels[tuple(sample.places.T)])
    spacing = np.array(plans.preprocessing.spacing)
    for value in (1, 2):
        own = np.argwhere(labels == value)
        about = sample.places[sample.about == value]
        is_own = sample.labels[sample.about == value] == value
        assert 50 < is_own.sum() == min(200, len(own))
        assert (~is_own).sum() > 20
        distances = np.abs(about[:, None] - own[None]) * spacing
        assert (distances.max(axis=2).min(axis=1) <= 16 + spacing.max()).all()


def test_neighbourhoods_look_where_they_should():
    image = np.zeros((5, 21, 21), np.float32)
    image[2, 9:12, 13:16] = 9.0  # seen from (2, 10, 10): four voxels of 2 mm along the last axis
    found = neighbourhoods(image, np.array([[2, 10, 10], [0, 0, 0]]), (3.0, 2.0, 2.0))
    assert found.shape == (2, 1 + 4 + 3 * 8)
    assert found[0].max() == pytest.approx(9.0)
    assert np.flatnonzero(found[0] > 8.9).tolist() == [5 + 8]  # the ring of 8 mm, at angle 0
    assert found[1].max() == 0


def test_nothing_is_told_where_one_half_shows_no_class():
    sample = Sample(np.zeros((4, 3), np.int64), np.array([0, 1, 0, 1], np.uint8), np.ones(4, np.int64))
    none = Sample(np.zeros((0, 3), np.int64), np.zeros(0, np.uint8), np.zeros(0, np.int64))
    seen, nothing = np.zeros((4, 2), np.float32), np.zeros((0, 2), np.float32)
    assert fit_and_score([seen, nothing], [sample, none], {"organ": 1}) == {}
    assert fit_and_score([nothing, seen], [none, sample], {"organ": 1}) == {}
    assert fit_and_score([nothing, nothing], [none, none], {"organ": 1}) == {}


def test_scores_of_features_that_tell_all_or_nothing():
    labels = np.array([0, 1] * 50, np.uint8)
    sample = Sample(np.zeros((100, 3), np.int64), labels, np.ones(100, np.int64))
    clear, blank = labels[:, None].astype(np.float32), np.zeros((100, 1), np.float32)
    assert fit_and_score([clear, clear], [sample, sample], {"organ": 1, "absent": 2}) == {"organ": 1.0}
    assert fit_and_score([clear, blank], [sample, sample], {"organ": 1}) == {"organ": 0.5}
    # Learned the wrong way round: worse than guessing.
    assert fit_and_score([clear, 1 - clear], [sample, sample], {"organ": 1}) == {"organ": 0.0}


def test_the_record_is_kept_and_read_again(tmp_path, stores, plans, monkeypatch):
    layout = DatasetLayout(tmp_path / "root", "Dataset007_Small")
    for domain in ("source", "target"):
        for seed, case in enumerate(CASES):
            image, labels = scan(seed)
            write(CaseStore(layout.cases(domain)), case, image, labels if domain == "source" else None)
            write(CaseStore(layout.synthetic), f"{case}_0", np.where(image > -0.9, 0.8 - image, image))
    layout.results.mkdir(parents=True)
    variants = {case: [f"{case}_0"] for case in CASES}
    first = assess_translation(plans, layout, variants)
    assert not list(layout.results.iterdir())
    assert assess_translation(plans, layout, variants, keep=True).findings == first.findings
    again = assess_translation(plans, layout, variants, keep=True).to_json()

    class Measured(Exception):
        pass

    def measured(*_):
        raise Measured

    monkeypatch.setattr("darnet.health.run.measure", measured)
    assert assess_translation(plans, layout, variants).to_json() == again == first.to_json()
    with pytest.raises(Measured):
        assess_translation(dataclasses.replace(plans, seed=1), layout, variants)
    (layout.results / "health.json").write_text("[]")
    with pytest.raises(Measured):
        assess_translation(plans, layout, variants)
