"""Patches of source and translated volumes in the appearance of target scans."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from darnet.augmentation import draw_curve, keep_order, measure_appearance
from darnet.io import CaseStore
from darnet.plans import SegmentationPlan
from darnet.self_training import run
from darnet.self_training.matched import (
    MATCHED_GAIN,
    looks_of_targets,
    matched_patches,
    partly_near,
    target_appearances,
)
from darnet.training import RunOptions
from darnet.training.loaders import MixedLoader, PatchLoader
from darnet.training.looks import learn_expected
from tests.cases import write_case

SHAPE = (8, 24, 24)
INSIDE = (slice(2, 6), slice(8, 16), slice(8, 16))
BESIDE = (slice(None), slice(3, 5), slice(3, 21))  # background away from the organ
PLAN = SegmentationPlan(
    patch_size=SHAPE,
    batch_size=1,
    channels=(8, 16),
    strides=((1, 2, 2),),
    rotation_degrees=0.0,
    scale=0.0,
    shift=0.0,
    elastic=0.0,
    contrast=0.0,
    appearance=1.0,
    random_convolution=1.0,
)
AIR = (np.full((1, *SHAPE), -1.0, np.float32), np.zeros(SHAPE, np.uint8))


def organ_in_body(seed, organ, background=(-0.6, -0.2)):
    rng = np.random.default_rng(seed)
    image = np.full((1, *SHAPE), -1.0, np.float32)
    image[:, :, 2:-2, 2:-2] = rng.uniform(*background, (1, 8, 20, 20))
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:7, 6:18, 6:18] = 1
    image[0][labels == 1] = rng.normal(organ, 0.03, int((labels == 1).sum()))
    return image, labels


@pytest.fixture
def source(tmp_path):
    store = CaseStore(tmp_path / "source")
    for seed, name in enumerate(("a", "b")):
        write_case(store, name, *organ_in_body(seed, 0.1))
    return store


@pytest.fixture
def translated(tmp_path):
    """Case a in two styles, b in one."""
    store = CaseStore(tmp_path / "translated")
    for seed, name in enumerate(("a_0", "a_1", "b_0")):
        write_case(store, name, *organ_in_body(10 + seed, 0.5, (-0.5, 0.1)))
    return store


@pytest.fixture
def target(tmp_path):
    store = CaseStore(tmp_path / "target")
    write_case(store, "t", *organ_in_body(7, 0.8, (0.0, 0.4)))
    return store


@pytest.fixture
def air(tmp_path):
    store = CaseStore(tmp_path / "air")
    for name in ("t", "a_0", "a_1", "b_0"):
        write_case(store, name, *AIR)
    return store


VARIANTS = {"a": ("a_0", "a_1"), "b": ("b_0",)}


def drawn(loader, number=40):
    return [loader.patch(np.random.default_rng(seed)) for seed in range(number)]


def rises(patch, volume):
    """Whether the background of a patch has the order of the volume's intensities."""
    return np.corrcoef(patch[0].numpy()[0][BESIDE].ravel(), volume[0][BESIDE].ravel())[0, 1] > 0.98


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_patches_show_true_labels_in_target_intensities(source, translated, target, share):
    looks = target_appearances(target, 2)
    for image, labels, name in drawn(matched_patches(translated, source, VARIANTS, looks, PLAN, share), 8):
        np.testing.assert_array_equal(labels.numpy(), source.labels(name[0]))
        assert float(image[0][INSIDE].mean()) == pytest.approx(0.8, abs=0.03)
        # No made-up contrast on top: the curves and convolutions of the plan are left out.
        assert float(image[0][INSIDE].std()) == pytest.approx(0.03, abs=0.012)


def test_translated_volumes_keep_the_order_of_their_background(source, translated, target):
    looks = target_appearances(target, 2)
    names = {"a": ("a_1",)}
    of_translated = drawn(matched_patches(translated, source, names, looks, PLAN, 1.0))
    assert all(rises(patch, translated.image("a_1")) for patch in of_translated)
    of_source = drawn(matched_patches(translated, source, names, looks, PLAN, 0.0))
    assert sum(rises(patch, source.image("a")) for patch in of_source) < len(of_source) / 2


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_the_share_is_that_of_translated_volumes(source, translated, target, share):
    loader = matched_patches(translated, source, VARIANTS, target_appearances(target, 2), PLAN, share)
    assert isinstance(loader, MixedLoader)
    assert [(part.images, chance) for part, chance in zip(loader.loaders, loader.shares, strict=True)] == [
        (source, 1.0 - share),
        (translated, share),
    ]
    assert loader.loaders[1].variants == VARIANTS


def test_other_cases_are_not_drawn(source, translated, target):
    loader = matched_patches(translated, source, {"b": ("b_0",)}, target_appearances(target, 2), PLAN, 0.5)
    assert {name for _, _, name in drawn(loader, 12)} == {"b", "b_0"}


def test_source_volumes_alone_where_no_translated_one_can_be_measured(source, target, air):
    loader = matched_patches(air, source, VARIANTS, target_appearances(target, 2), PLAN, 0.5)
    assert loader.images is source


def test_a_style_that_cannot_be_measured_is_left_out(source, translated, target):
    write_case(translated, "a_1", *AIR)
    loader = matched_patches(translated, source, VARIANTS, target_appearances(target, 2), PLAN, 1.0)
    assert loader.variants == {"a": ("a_0",), "b": ("b_0",)}


def test_none_where_nothing_can_be_measured(source, target, air):
    looks = target_appearances(target, 2)
    assert target_appearances(air, 2) == []
    assert matched_patches(air, source, VARIANTS, [], PLAN, 0.5) is None
    assert matched_patches(air, air, {"t": ("a_0",)}, looks, PLAN, 0.5) is None
    assert matched_patches(air, source, VARIANTS, looks, PLAN, 1.0) is None


def test_a_volume_is_shown_in_the_medians_and_quantiles_of_a_target_scan(source, target):
    names, restyle = looks_of_targets(source, source, {"a": ("a",)}, target_appearances(target, 2), keep_order)
    assert names == {"a": ("a",)}
    shown = restyle("a", source.image("a"), source.labels("a"), np.random.default_rng(0))
    inside = source.labels("a") == 1
    assert np.median(shown[0][inside]) == pytest.approx(
        np.median(target.image("t")[0][target.labels("t") == 1]), abs=0.02
    )
    expected = measure_appearance(target.image("t"), target.labels("t"), 2).quantiles
    found = np.quantile(shown[0][BESIDE], [0.1, 0.5, 0.9])
    np.testing.assert_allclose(found, np.interp([0.1, 0.5, 0.9], np.linspace(0, 1, 33), expected), atol=0.03)


def test_a_class_too_small_to_be_measured_is_shown_as_in_other_volumes(source, target):
    image, labels = organ_in_body(0, 0.1)
    few = np.zeros_like(labels)
    few[3, 8:11, 6:12] = 1
    image[0][(labels == 1) & (few == 0)] = -0.4
    inner = (3, 9, slice(7, 11))  # beyond the reach of the background
    write_case(source, "small", image, few)
    cases = {"a": ("a",), "b": ("b",), "small": ("small",)}
    _, restyle = looks_of_targets(source, source, cases, target_appearances(target, 2), keep_order)
    shown = restyle("small", image, few, np.random.default_rng(0))
    assert np.median(shown[0][inner]) == pytest.approx(0.8, abs=0.1)
    _, keep = looks_of_targets(source, source, {"small": ("small",)}, target_appearances(target, 2), keep_order)
    kept = keep("small", image, few, np.random.default_rng(0))
    assert np.median(kept[0][inner]) == pytest.approx(0.1, abs=0.1)


def test_a_round_tells_where_nothing_can_be_matched(started, target):
    write_case(target, "t", *AIR, content_hash="air")
    told = []
    step, _ = started(matched_share=1.0, round_number=1, notice=told.append)
    assert not [part for part, _ in parts_of(step.loader) if part.restyle is not None]
    assert "round 1 has no patches in the appearance of target scans" in told[0]
    assert started(matched_share=0.0, round_number=1, notice=told.append)
    assert len(told) == 1


def parts_of(loader, share=1.0):
    """Each loader of patches within one that mixes, with its share of all patches."""
    if isinstance(loader, PatchLoader):
        return [(loader, share)]
    return [part for one, own in zip(loader.loaders, loader.shares, strict=True) for part in parts_of(one, share * own)]


@pytest.fixture
def started(source, translated, target, make_small_plans, tmp_path, monkeypatch):
    """What a round hands to the training: its step and what the checkpoint says."""

    def start(round_number=2, train=("b",), notice=print, **settings):
        plans = make_small_plans()
        plans = dataclasses.replace(
            plans,
            labels={"background": 0, "organ": 1},
            segmentation=dataclasses.replace(plans.segmentation, class_gain=0.5, source_share=0.25),
            self_training=dataclasses.replace(plans.self_training, rounds=2, target_share=0.5, **settings),
        )
        seen = []
        monkeypatch.setattr(run, "fit", lambda step, iterations, folder, meta, options: seen.append((step, meta)))
        monkeypatch.setattr(run, "load_checkpoint", lambda path: ({}, {}))
        monkeypatch.setattr(run, "load_module", lambda *arguments: None)
        monkeypatch.setattr(run, "sha256_of", lambda path: "0")
        options = RunOptions(torch.device("cpu"), quiet=True, notice=notice)
        run.train_student(
            plans,
            tmp_path / "teacher",
            translated,
            source,
            VARIANTS,
            target,
            {"t": ("t",)},
            (train, ()),
            "0",
            round_number,
            tmp_path,
            options,
        )
        return seen[0]

    return start


def test_a_round_draws_what_the_plan_says_and_no_held_out_case(started, source, translated, target):
    step, _ = started(matched_share=0.8, matched_translated=0.25)
    untouched, matched = {"b": ("b",)}, {"b": ("b_0",)}
    found = [(part.images, part.variants, part.restyle is not None, share) for part, share in parts_of(step.loader)]
    expected = [
        (source, untouched, False, 0.5 * 0.2 * 0.25),
        (translated, matched, False, 0.5 * 0.2 * 0.75),
        (target, {"t": ("t",)}, False, 0.5),
        (source, untouched, True, 0.5 * 0.8 * 0.75),
        (translated, matched, True, 0.5 * 0.8 * 0.25),
    ]
    by_share = lambda rows: sorted(rows, key=lambda row: row[-1])  # noqa: E731
    for one, other in zip(by_share(found), by_share(expected), strict=True):
        assert one[:3] == other[:3]
        assert one[3] == pytest.approx(other[3])


def test_gains_of_classes_are_weak_where_pseudo_labels_tell_the_intensities(started):
    step, _ = started(matched_share=1.0, matched_translated=0.5, round_number=1)
    matched = [part.plan for part, share in parts_of(step.loader) if part.restyle is not None]
    assert [plan.class_gain for plan in matched] == [pytest.approx(MATCHED_GAIN * 0.5)] * 2
    assert 0 < MATCHED_GAIN < 1
    assert {(plan.appearance, plan.random_convolution) for plan in matched} == {(0.0, 0.0)}


def test_a_checkpoint_tells_when_a_translated_volume_was_made_again(started, translated):
    before = started(matched_share=1.0, matched_translated=0.5)[1]["data"]
    write_case(translated, "a_0", *organ_in_body(3, 0.2), content_hash="held out")
    assert started(matched_share=1.0, matched_translated=0.5)[1]["data"] == before
    write_case(translated, "b_0", *organ_in_body(3, 0.2), content_hash="other")
    assert started(matched_share=1.0, matched_translated=0.5)[1]["data"] != before


def shown_medians(restyle, source, number=60):
    inside = source.labels("a") == 1
    images = (
        restyle("a", source.image("a"), source.labels("a"), np.random.default_rng(seed)) for seed in range(number)
    )
    return np.array([np.median(image[0][inside]) for image in images])


def test_a_class_that_is_not_trusted_has_any_intensity_of_the_target_scan(source, target):
    looks = target_appearances(target, 2)
    cases = {"a": ("a",)}
    background = looks[0].quantiles
    restyled = [
        looks_of_targets(source, source, cases, looks, keep_order, trust)[1]
        for trust in (None, np.ones(2), np.array([1.0, 0.5]), np.array([1.0, 0.0]))
    ]
    untouched, trusted, half, doubted = (shown_medians(restyle, source) for restyle in restyled)
    np.testing.assert_array_equal(untouched, trusted)
    assert trusted.min() > 0.75
    assert 0.3 < (half > 0.75).mean() < 0.7
    assert doubted.max() <= background.max() + 0.05 and doubted.min() >= background.min() - 0.05
    assert doubted.std() > 0.05


def test_a_round_tells_which_class_it_doubts(started, target):
    scattered = np.zeros(SHAPE, np.uint8)
    scattered[::3, 2:-2:5, 2:-2:5] = 1
    write_case(target, "t", target.image("t"), scattered, content_hash="scattered")
    for share in (1.0, 0.0):
        told = []
        step, _ = started(matched_share=share, round_number=2, notice=told.append)
        assert len(told) == 1 and "round 2: what was found of organ in target scans is little like" in told[0]
        assert not [share for part, share in parts_of(step.loader) if part.images is target and share]


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_a_share_of_the_backgrounds_goes_along_the_curve_that_is_expected(source, translated, target, share):
    looks, draw = target_appearances(target, 2), partly_near(np.linspace(1, 0, 12), share)
    patches = drawn(matched_patches(translated, source, VARIANTS, looks, PLAN, 0.0, None, draw), 100)
    found = [
        np.corrcoef(image.numpy()[0][BESIDE].ravel(), source.image(name)[0][BESIDE].ravel())[0, 1] < -0.8
        for image, _, name in patches
    ]
    assert share - 0.15 <= np.mean(found) <= share + 0.2


def test_without_an_expected_curve_all_are_drawn_as_ever():
    generators = [np.random.default_rng(3) for _ in range(2)]
    draws = partly_near(None, 0.7), draw_curve
    one, other = ([draw(rng) for _ in range(5)] for draw, rng in zip(draws, generators, strict=True))
    np.testing.assert_array_equal(one, other)


def test_places_tell_a_curve_or_none(source, target, air, make_small_plans):
    plans = dataclasses.replace(make_small_plans(), labels={"background": 0, "organ": 1})
    curve = learn_expected(plans, source, ["a", "b"], target).background
    assert curve.max() < 0.6  # the organ is brighter
    assert not learn_expected(plans, source, ["a", "b"], air).enough
