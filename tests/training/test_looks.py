"""Patches of source volumes at random intensities of target scans, and at those that are expected."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from darnet.augmentation import LEAST_EXPLAINED, Expected, expect_appearance
from darnet.augmentation.matching import LEVELS
from darnet.io import CaseStore
from darnet.training import run
from darnet.training.loaders import labelled_patches
from darnet.training.looks import (
    NOT_EXPECTED,
    expected_looks,
    looks_of,
    planned_expected,
    random_tissues,
    record_expected,
)
from tests.cases import write_case

SHAPE = (4, 24, 24)
ORGAN = (slice(1, 3), slice(8, 16), slice(8, 16))
INSIDE = (slice(1, 3), slice(9, 15), slice(9, 15))  # away from the border, where both sides are mixed


def store_of(folder, images, labels=None):
    store = CaseStore(folder)
    for name, image in images.items():
        write_case(store, name, image, labels)
    return store


def body(rng, low, high):
    image = np.full((1, *SHAPE), -1.0, np.float32)
    image[:, :, 2:22, 2:22] = rng.uniform(low, high, (1, 4, 20, 20))
    return image


@pytest.fixture
def labels():
    out = np.zeros(SHAPE, np.uint8)
    out[ORGAN] = 1
    return out


@pytest.fixture
def source(tmp_path, labels):
    rng = np.random.default_rng(0)
    images = {name: body(rng, -0.6, 0.0) for name in "ab"}
    for image in images.values():
        image[0][ORGAN] = rng.normal(0.8, 0.02, image[0][ORGAN].shape)
    return store_of(tmp_path / "source", images, labels)


@pytest.fixture
def target(tmp_path):
    return store_of(tmp_path / "target", {"t": body(np.random.default_rng(1), -0.9, 0.3)})


@pytest.fixture
def plans_with(make_small_plans):
    def make(share):
        small = make_small_plans()
        segmentation = dataclasses.replace(
            small.segmentation, random_tissues=share, source_share=1.0, patch_size=SHAPE, batch_size=1
        )
        return dataclasses.replace(small, labels={"background": 0, "organ": 1}, segmentation=segmentation)

    return make


def test_organs_and_background_get_intensities_of_the_target_in_any_order(plans_with, source, target, labels):
    restyle = random_tissues(plans_with(1.0), source, ["a", "b"], target)
    rng = np.random.default_rng(0)
    organs, brighter, correlations = [], [], []
    image = source.image("a")
    beside = (image[0] > -0.95) & (labels == 0)
    beside[:, 7:17, 7:17] = False
    for _ in range(300):
        shown = restyle("a", image, labels, rng)
        assert shown.dtype == np.float32
        np.testing.assert_array_equal(shown[image <= -0.95], -1.0)
        organs.append(np.median(shown[0][INSIDE]))
        brighter.append(organs[-1] > np.median(shown[0][beside]))
        correlations.append(np.corrcoef(shown[0][beside], image[0][beside])[0, 1])
        assert shown[0][beside].min() >= -0.9 - 1e-5
        assert shown[0][beside].max() <= 0.3 + 1e-5
    found, expected = np.quantile(organs, LEVELS[4:-4]), np.quantile(target.image("t")[:, :, 2:22, 2:22], LEVELS[4:-4])
    np.testing.assert_allclose(found, expected, atol=0.15)
    assert 0.3 < np.mean(brighter) < 0.7
    assert np.mean(np.array(correlations) > 0.9) > 0.2  # rising
    assert np.mean(np.array(correlations) < -0.9) > 0.2  # falling
    assert np.mean(np.abs(correlations) < 0.5) > 0.1  # up and down


def test_share_of_the_patches(plans_with, source, target, labels):
    restyle = random_tissues(plans_with(0.3), source, ["a", "b"], target)
    rng, image = np.random.default_rng(0), source.image("b")
    same = [restyle("b", image, labels, rng) is image for _ in range(1000)]
    assert np.mean(same) == pytest.approx(0.7, abs=0.05)


def test_the_same_generator_gives_the_same_patch(plans_with, source, target, labels):
    restyle = random_tissues(plans_with(1.0), source, ["a"], target)
    one, other = (restyle("a", source.image("a"), labels, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_volume_that_cannot_be_measured_stays_as_it_is(plans_with, tmp_path, target, labels):
    rng = np.random.default_rng(0)
    images = {"a": body(rng, -0.6, 0.0), "air": np.full((1, *SHAPE), -1.0, np.float32)}
    source = store_of(tmp_path / "mixed", images, labels)
    restyle = random_tissues(plans_with(1.0), source, ["a", "air"], target)
    assert restyle("air", images["air"], labels, rng) is images["air"]
    assert list(looks_of(source, source, {"a": ("a",), "air": ("air",)}, 2)) == ["a"]


def test_none_where_there_is_nothing_to_show(plans_with, source, target, tmp_path):
    air = store_of(tmp_path / "empty", {"t": np.full((1, *SHAPE), -1.0, np.float32)})
    assert random_tissues(plans_with(None), source, ["a"], target) is None
    assert random_tissues(plans_with(1.0), source, ["a"], None) is None
    assert random_tissues(plans_with(1.0), source, ["a"], air) is None


def test_translated_volumes_stay_as_they_are(plans_with, source, target, tmp_path):
    """Of the patches, only those of source volumes get random tissues; both keep their labels."""
    rng = np.random.default_rng(2)
    names = {"a": ("a_0",), "b": ("b_0",)}
    translated = store_of(tmp_path / "translated", {name: body(rng, 0.5, 0.6) for (name,) in names.values()})
    plans = plans_with(1.0)
    plan = dataclasses.replace(
        plans.segmentation,
        source_share=0.5,
        rotation_degrees=0.0,
        scale=0.0,
        shift=0.0,
        elastic=0.0,
        contrast=0.0,
        foreground_fraction=0.0,
    )
    loader = labelled_patches(translated, source, names, plan, random_tissues(plans, source, ["a", "b"], target))
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(30):
        image, picked, name = loader.patch(rng)
        seen.add(name)
        assert int((picked == 1).sum()) == 2 * 8 * 8
        if name in source.case_ids():
            assert float(image.max()) < 0.85  # the target's intensities, not the organ's own
        else:
            torch.testing.assert_close(image, torch.from_numpy(translated.image(name)))
    assert seen == {"a", "b", "a_0", "b_0"}


@pytest.fixture
def shown(tmp_path):
    """Two target scans that show the organ, in its place, darker than all the rest."""
    images = {name: body(np.random.default_rng(seed), -0.2, 0.6) for seed, name in enumerate("tu")}
    for image in images.values():
        image[0][ORGAN] = -0.7
    return store_of(tmp_path / "shown", images)


@pytest.fixture
def expecting(make_small_plans):
    def make(share, source_share=1.0):
        small = make_small_plans()
        segmentation = dataclasses.replace(
            small.segmentation,
            expected_appearance=share,
            source_share=source_share,
            patch_size=SHAPE,
            batch_size=1,
            contrast=0.0,
        )
        return dataclasses.replace(small, labels={"background": 0, "organ": 1}, segmentation=segmentation)

    return make


def looking_of(plans, source, cases, target):
    """What shows patches as target scans are expected to look, of a plan."""
    return expected_looks(plans, source, cases, planned_expected(plans, source, cases, target))


@pytest.fixture
def noise(tmp_path):
    rng = np.random.default_rng(3)
    return store_of(tmp_path / "noise", {name: body(rng, -0.9, 0.9) for name in ("t", "u")})


def refuse(case):
    raise AssertionError(f"labels of {case}")


def test_the_organ_is_expected_as_dark_as_target_scans_are_in_its_place(expecting, source, shown, labels):
    cases, restyle = looking_of(expecting(1.0), source, ["a", "b"], shown)
    assert cases == ("a", "b")
    rng, image = np.random.default_rng(0), source.image("a")
    beside = (image[0] > -0.95) & (labels == 0)
    beside[:, 7:17, 7:17] = False
    for _ in range(20):
        patch = restyle("a", image, labels, rng)
        assert np.median(patch[0][INSIDE]) < -0.4
        assert np.median(patch[0][beside]) > -0.2
        np.testing.assert_array_equal(patch[image <= -0.95], -1.0)


def test_the_labels_of_target_scans_are_not_read(expecting, source, shown, labels, monkeypatch):
    image = source.image("a")

    def patch():
        _, restyle = looking_of(expecting(1.0), source, ["a", "b"], shown)
        return restyle("a", image, labels, np.random.default_rng(5))

    before = patch()
    monkeypatch.setattr(shown, "labels", refuse)
    np.testing.assert_array_equal(patch(), before)


def test_a_volume_without_background_is_left_out(expecting, source, shown, labels):
    write_case(source, "full", np.full((1, *SHAPE), 0.5, np.float32), np.ones(SHAPE, np.uint8))
    cases, _ = looking_of(expecting(1.0), source, ["a", "b", "full"], shown)
    assert cases == ("a", "b")


def test_where_places_tell_too_little_no_patch_looks_as_expected(expecting, source, noise, tmp_path):
    air = store_of(tmp_path / "air", {"t": np.full((1, *SHAPE), -1, np.float32)})
    for target, nothing in ((noise, False), (air, True)):
        expected = planned_expected(expecting(1.0), source, ["a", "b"], target)
        assert not expected.enough and (expected.explained is None) is nothing
        assert looking_of(expecting(1.0), source, ["a", "b"], target) is None


@pytest.mark.parametrize(("share", "source_share"), [(None, 1.0), (0.5, 0.0)])
def test_nothing_is_expected_where_the_plan_has_none_of_it(expecting, source, shown, share, source_share):
    assert planned_expected(expecting(share, source_share), source, ["a", "b"], shown) is None
    assert looking_of(expecting(share, source_share), source, ["a", "b"], shown) is None


def test_without_target_scans_nothing_is_expected(expecting, source):
    assert looking_of(expecting(1.0), source, ["a", "b"], None) is None


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_share_of_the_source_patches_looks_as_expected(expecting, source, shown, tmp_path, share):
    rng, plans = np.random.default_rng(2), expecting(share, 0.5)
    names = {"a": ("a_0",), "b": ("b_0",)}
    translated = store_of(tmp_path / "translated", {name: body(rng, 0.5, 0.6) for (name,) in names.values()})
    plan = dataclasses.replace(
        plans.segmentation, rotation_degrees=0.0, scale=0.0, shift=0.0, elastic=0.0, foreground_fraction=0.0
    )
    expected = looking_of(plans, source, ["a", "b"], shown)
    loader = labelled_patches(translated, source, names, plan, None, expected)
    found = []
    for _ in range(300):
        image, _, name = loader.patch(rng)
        dark = float(image[0][INSIDE].median()) < -0.3
        found.append("translated" if name.endswith("_0") else "expected" if dark else "as it is")
    shares = {kind: found.count(kind) / len(found) for kind in ("translated", "expected", "as it is")}
    assert shares["translated"] == pytest.approx(0.5, abs=0.1)
    assert shares["expected"] == pytest.approx(0.5 * share, abs=0.1)


def test_what_places_tell_is_put_down(tmp_path):
    def put_down(expected):
        record_expected(tmp_path / "expected.json", expected, {"organ": 1, "tumour": 2})
        return json.loads((tmp_path / "expected.json").read_text())

    classes = np.array([[np.nan] * 3, [0.25, 0.5, 0.75], [np.nan] * 3], np.float32)
    expected = Expected(np.linspace(0, 1, 12, dtype=np.float32), classes, (), 0.5)
    nothing = {"organ": None, "tumour": None}
    told = {"used": True, "explained": 0.5, "classes": {"organ": [0.25, 0.5, 0.75], "tumour": None}}
    assert put_down(expected) == told
    assert put_down(dataclasses.replace(expected, explained=0.1)) == told | {
        "used": False, "explained": 0.1, "classes": nothing,
    }  # fmt: skip
    assert put_down(expect_appearance([], [], [])) == {"used": False, "explained": None, "classes": nothing}


@pytest.fixture
def train(expecting, source, shown, tmp_path, monkeypatch):
    """Trains a fold as far as the first iteration; gives what is told in its folder, and what was said."""
    folder = tmp_path / "fold_0"

    def started(*arguments, begin):
        begin()

    def run_it(target=shown, share=1.0, fit=started):
        said = []
        monkeypatch.setattr(run, "fit", fit)
        options = run.RunOptions(torch.device("cpu"), quiet=True, notice=said.append)
        own, fold = {name: (name,) for name in ("a", "b")}, (("a", "b"), ())
        run.train_segmentation(expecting(share), source, source, own, fold, "0", folder, options, target)
        path = folder / run.EXPECTED
        return json.loads(path.read_text()) if path.exists() else None, said

    folder.mkdir()
    return run_it


def test_a_training_puts_down_what_places_tell(train, noise):
    told, said = train()
    assert told["used"] and told["classes"]["organ"] is not None and told["explained"] >= LEAST_EXPLAINED
    assert said == []
    told, said = train(noise)
    assert not told["used"] and told["classes"]["organ"] is None and told["explained"] < LEAST_EXPLAINED
    assert said == [NOT_EXPECTED]


@pytest.mark.parametrize("other", [{"share": None}, {"target": None}])
def test_a_training_without_expected_appearances_removes_what_another_was_told(train, other):
    assert train()[0] is not None
    assert train(**other)[0] is None


def test_a_training_that_is_done_or_refused_keeps_what_it_was_told(train, noise):
    told, _ = train()
    assert train(noise, fit=lambda *arguments, begin: None)[0] == told
