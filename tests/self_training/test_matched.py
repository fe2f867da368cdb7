"""Patches of source and translated volumes in the appearance of target scans."""

from __future__ import annotations

import numpy as np
import pytest

from darnet.augmentation import keep_order, measure_appearance
from darnet.io import CaseRecord, CaseStore
from darnet.plans import SegmentationPlan
from darnet.self_training.matched import looks_of_targets, matched_patches, target_appearances
from darnet.training.loaders import MixedLoader

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


def write(store: CaseStore, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    d, h, w = SHAPE
    record = CaseRecord(
        case_id=name,
        content_hash="0",
        original_shape=(w, h, d),
        affine=tuple(tuple(row) for row in np.eye(4).tolist()),
        axes=(2, 1, 0),
        flips=(False, False, False),
        spacing=(1.0, 1.0, 1.0),
        crop_box=((0, d), (0, h), (0, w)),
        cropped_shape=SHAPE,
        shape=SHAPE,
        body_axes=("S", "P", "L"),
        has_labels=True,
        class_locations={"organ": np.argwhere(labels == 1).tolist()},
    )
    store.write(record, image, labels)


@pytest.fixture
def source(tmp_path):
    store = CaseStore(tmp_path / "source")
    for seed, name in enumerate(("a", "b")):
        write(store, name, *organ_in_body(seed, 0.1))
    return store


@pytest.fixture
def translated(tmp_path):
    """Case a in two styles, b in one."""
    store = CaseStore(tmp_path / "translated")
    for seed, name in enumerate(("a_0", "a_1", "b_0")):
        write(store, name, *organ_in_body(10 + seed, 0.5, (-0.5, 0.1)))
    return store


@pytest.fixture
def target(tmp_path):
    store = CaseStore(tmp_path / "target")
    write(store, "t", *organ_in_body(7, 0.8, (0.0, 0.4)))
    return store


@pytest.fixture
def air(tmp_path):
    store = CaseStore(tmp_path / "air")
    for name in ("t", "a_0", "a_1", "b_0"):
        write(store, name, *AIR)
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


def test_cases_that_are_held_out_are_not_drawn(source, translated, target):
    loader = matched_patches(translated, source, {"b": ("b_0",)}, target_appearances(target, 2), PLAN, 0.5)
    assert {name for _, _, name in drawn(loader, 12)} == {"b", "b_0"}


def test_source_volumes_alone_where_no_translated_one_can_be_measured(source, target, air):
    loader = matched_patches(air, source, VARIANTS, target_appearances(target, 2), PLAN, 0.5)
    assert loader.images is source


def test_a_style_that_cannot_be_measured_is_left_out(source, translated, target):
    write(translated, "a_1", *AIR)
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
