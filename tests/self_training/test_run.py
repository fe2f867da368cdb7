from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from darnet.io import CaseRecord, CaseStore
from darnet.plans import SegmentationPlan, SelfTrainingPlan
from darnet.self_training.run import looks_of_targets, matched_patches, patch_shares

SHAPE = (8, 24, 24)
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


def organ_in_body(seed, organ):
    rng = np.random.default_rng(seed)
    image = np.full((1, *SHAPE), -1.0, np.float32)
    image[:, :, 2:-2, 2:-2] = rng.uniform(-0.6, -0.2, (1, 8, 20, 20))
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
def stores(tmp_path):
    source, pseudo = CaseStore(tmp_path / "source"), CaseStore(tmp_path / "pseudo")
    for seed, name in enumerate(("a", "b")):
        write(source, name, *organ_in_body(seed, 0.1))
    write(pseudo, "t", *organ_in_body(7, 0.8))
    return source, pseudo


def test_matched_patches_show_source_labels_in_target_intensities(stores):
    source, pseudo = stores
    loader = matched_patches(source, ("a", "b"), pseudo, PLAN, 2)
    image, labels, case = loader.patch(np.random.default_rng(0))
    assert case in ("a", "b")
    np.testing.assert_array_equal(labels.numpy(), source.labels(case))
    assert float(image[0, 2:6, 8:16, 8:16].mean()) == pytest.approx(0.8, abs=0.03)
    # No made-up contrast on top: the curves and convolutions of the plan are left out.
    assert float(image[0, 2:6, 8:16, 8:16].std()) == pytest.approx(0.03, abs=0.01)


def test_cases_that_are_held_out_are_not_drawn(stores):
    source, pseudo = stores
    loader = matched_patches(source, ("b",), pseudo, PLAN, 2)
    assert {loader.patch(np.random.default_rng(seed))[2] for seed in range(8)} == {"b"}


def test_none_where_nothing_can_be_measured(stores, tmp_path):
    source, _ = stores
    air = CaseStore(tmp_path / "air")
    write(air, "t", np.full((1, *SHAPE), -1.0, np.float32), np.zeros(SHAPE, np.uint8))
    assert matched_patches(source, ("a",), air, PLAN, 2) is None
    assert matched_patches(air, ("t",), source, dataclasses.replace(PLAN), 2) is None


@pytest.mark.parametrize(
    ("round_number", "matched", "expected"),
    [
        (1, True, (0.1, 0.0, 0.9)),
        (2, True, (0.07, 0.3, 0.63)),
        (3, True, (0.07, 0.3, 0.63)),
        (1, False, (1.0, 0.0, 0.0)),
        (2, False, (0.7, 0.3, 0.0)),
    ],
)
def test_target_scans_come_in_from_the_second_round_on(round_number, matched, expected):
    settings = SelfTrainingPlan(rounds=3, target_share=0.3, matched_share=0.9)
    assert patch_shares(settings, round_number, matched) == pytest.approx(expected)


def test_held_out_cases_are_validated_as_target_scans_look(stores):
    source, pseudo = stores
    cases, restyle = looks_of_targets(source, ("a", "b"), pseudo, 2)
    image, labels = source.image(cases[0]), source.labels(cases[0])
    shown = restyle(cases[0], image, labels, np.random.default_rng(0))
    inside = labels == 1
    target = pseudo.image(pseudo.case_ids()[0])[0][pseudo.labels(pseudo.case_ids()[0]) == 1]
    assert (
        abs(np.median(shown[0][inside]) - np.median(target))
        < 0.1
        < abs(np.median(image[0][inside]) - np.median(target))
    )
