from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from darnet.errors import DataError
from darnet.plans import DomainPlan, IntensityPlan
from darnet.preprocessing import find_crop, preprocess_arrays
from darnet.preprocessing.case import crop_plane

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


@pytest.fixture
def scan(small_scan):
    image, labels = small_scan(0, shape=(20, 18, 12))
    return image.astype(np.float32), labels


def test_source_case(scan, make_small_plans):
    image, labels = scan
    kept = image.copy(), labels.copy()
    plans = make_small_plans((5.0, 2.0, 2.0), low=-200.0, high=300.0)
    case = preprocess_arrays(image, AFFINE, plans, "source", labels)
    assert case.image.dtype == np.float32
    assert case.image.shape == (1, *case.labels.shape)
    assert -1 <= case.image.min() < case.image.max() <= 1
    assert case.spacing == (5.0, 2.0, 2.0)
    # 5 mm about the body: one plane, three pixels, but no further than the scan goes.
    assert case.crop_box == ((0, 12), (0, 18), (0, 20))
    assert [int((case.labels == n).sum()) for n in (1, 2)] == [int((labels == n).sum()) for n in (1, 2)]
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(labels, kept[1])


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((5.0, 2.0, 2.0), (12, 18, 20)),
        ((2.5, 2.0, 2.0), (24, 18, 20)),
        ((5.0, 4.0, 4.0), (12, 9, 10)),
        ((10.0, 1.0, 3.0), (6, 36, 13)),
        ((1000.0, 1000.0, 1000.0), (1, 1, 1)),
    ],
)
def test_shape_on_the_planned_grid(scan, make_small_plans, spacing, expected):
    image, labels = scan
    case = preprocess_arrays(image, AFFINE, make_small_plans(spacing), "source", labels)
    assert case.image.shape == (1, *expected)
    assert case.labels.shape == expected


def test_target_crop_never_depends_on_labels(scan, make_small_plans):
    # The field of view alone: labels in a corner of the scan move the crop of a source scan only along D.
    image, labels = scan
    moved = np.zeros_like(labels)
    moved[3:5, 3:5, 9:11] = 1
    plans = make_small_plans((5.0, 2.0, 2.0), source_depth=20.0)
    target = preprocess_arrays(image, AFFINE, plans, "target")
    assert target.labels is None
    assert target.crop_box == ((0, 12), (0, 18), (0, 20))
    for other in (labels, moved):
        source = preprocess_arrays(image, AFFINE, plans, "source", other)
        assert source.crop_box[1:] == target.crop_box[1:]
        assert source.crop_box[0][1] - source.crop_box[0][0] == 4


def test_target_scan_equals_the_same_scan_in_prediction(scan, make_small_plans):
    image, _ = scan
    plans = make_small_plans((4.0, 3.0, 3.0), rule="percentile", low=0.5, high=99.5, source_depth=10.0)
    first, second = (preprocess_arrays(image, AFFINE, plans, "target") for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)


def body_of(shape=(20, 30, 40), box=((4, 12), (10, 20), (15, 35))):
    volume = np.full(shape, -1000.0, np.float32)
    volume[tuple(slice(*span) for span in box)] = 40
    return volume


@pytest.mark.parametrize(
    ("spacing", "labelled", "depth", "expected"),
    [
        ((5.0, 1.0, 1.0), None, None, ((3, 13), (5, 25), (10, 40))),
        ((5.0, 2.0, 2.0), None, 10.0, ((3, 13), (7, 23), (12, 38))),
        ((5.0, 9.0, 9.0), (5, 7), None, ((3, 13), (9, 21), (14, 36))),
        ((5.0, 5.0, 5.0), (5, 7), 20.0, ((4, 8), (9, 21), (14, 36))),
        ((5.0, 5.0, 5.0), (5, 11), 20.0, ((5, 11), (9, 21), (14, 36))),
        # At an end of the scan, and with a depth beyond it.
        ((5.0, 5.0, 5.0), (0, 2), 50.0, ((0, 10), (9, 21), (14, 36))),
        ((5.0, 5.0, 5.0), (18, 20), 50.0, ((10, 20), (9, 21), (14, 36))),
        ((5.0, 5.0, 5.0), (5, 7), 900.0, ((0, 20), (9, 21), (14, 36))),
    ],
)
def test_crop(spacing, labelled, depth, expected):
    volume = body_of()
    labels = None
    if labelled is not None:
        labels = np.zeros(volume.shape, np.uint8)
        labels[slice(*labelled), 15, 20] = 1
    assert find_crop(volume, spacing, labels, depth) == expected


def test_nothing_labelled_is_cut_off():
    volume = body_of()
    labels = np.zeros(volume.shape, np.uint8)
    labels[1, 2, 3] = 1
    assert find_crop(volume, (5.0, 5.0, 5.0), labels) == ((1, 13), (2, 21), (3, 36))


def test_two_legs_are_both_the_body():
    volume = np.full((6, 20, 40), -1000.0, np.float32)
    volume[:, 5:15, 4:16] = 40.0
    volume[:, 5:15, 22:32] = 40.0
    volume[:, 5:6, 38:39] = 40.0  # a wire
    assert find_crop(volume, (90.0, 90.0, 90.0)) == ((0, 6), (4, 16), (3, 33))


def test_empty_labels_crop_to_the_body():
    volume = body_of()
    labels = np.zeros(volume.shape, np.uint8)
    assert find_crop(volume, (5.0, 5.0, 5.0), labels, 20.0) == find_crop(volume, (5.0, 5.0, 5.0))


def test_intensities_follow_the_rule_of_the_domain(make_small_plans, scan):
    image, _ = scan
    plans = make_small_plans((5.0, 2.0, 2.0), low=-1000.0, high=1000.0)
    plans = dataclasses.replace(plans, target=DomainPlan("MR", IntensityPlan("percentile", 0.0, 100.0)))
    source = preprocess_arrays(image, AFFINE, plans, "source").image
    target = preprocess_arrays(image, AFFINE, plans, "target").image
    np.testing.assert_allclose(source.max(), image.max() / 1000, atol=1e-6)
    assert target.min() == -1
    assert target.max() == pytest.approx(1, abs=1e-5)


def test_padding_of_a_scan_without_unit_changes_nothing(make_small_plans, scan):
    image = np.maximum(scan[0], 0)
    zeros, padded = image.copy(), image.copy()
    zeros[:3], padded[:3] = 0, -1000
    plans = make_small_plans((5.0, 2.0, 2.0), rule="percentile", low=0.5, high=99.5)
    assert plans.target.modality == "MR"
    expected = preprocess_arrays(zeros, AFFINE, plans, "target")
    found = preprocess_arrays(padded, AFFINE, plans, "target")
    assert found.crop_box == expected.crop_box
    np.testing.assert_array_equal(found.image, expected.image)
    window = make_small_plans((5.0, 2.0, 2.0), low=-1000.0, high=1000.0)  # of a unit -1000 is air
    assert preprocess_arrays(padded, AFFINE, window, "target").image.min() == -1


@pytest.mark.parametrize("value", [0.0, -1000.0, 7.0])
def test_constant_scan(make_small_plans, value):
    with pytest.raises(DataError, match="the scan is constant"):
        preprocess_arrays(np.full((4, 5, 6), value, np.float32), AFFINE, make_small_plans(), "target")


def test_absurd_spacing_is_refused_before_room_is_made(make_small_plans, scan):
    affine = np.diag([2000.0, 2000.0, 5000.0, 1.0])
    with pytest.raises(DataError, match="too large on the planned grid") as caught:
        preprocess_arrays(scan[0], affine, make_small_plans((1.0, 0.5, 0.5)), "target")
    assert "spacing in its header" in str(caught.value)


@pytest.mark.parametrize("shape", [(20, 18, 1), (3, 3, 3), (1, 18, 12)])
def test_thin_scans(make_small_plans, shape):
    image = np.zeros(shape, np.float32)
    image[tuple(slice(n // 3, n) for n in shape)] = 500
    case = preprocess_arrays(image, AFFINE, make_small_plans((5.0, 2.0, 2.0)), "target")
    assert case.image.ndim == 4
    assert min(case.image.shape) >= 1
    assert case.image.max() > case.image.min()


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (math.inf, math.inf, ((1, 25), (1, 39))),
        # 16 and 20 voxels about labels whose centres are at 9 and 30.
        (80.0, 100.0, ((1, 17), (19, 39))),
        (80.0, math.inf, ((1, 17), (1, 39))),
        # Never less than the labels and 20 mm on both sides, nor more than the body.
        (5.0, 20.0, ((2, 16), (24, 36))),
        (900.0, 900.0, ((1, 25), (1, 39))),
    ],
)
def test_crop_in_plane_about_the_labels(height, width, expected):
    labels = np.zeros((10, 26, 40), np.uint8)
    labels[2:5, 6:12, 28:32] = 1
    body = ((0, 10), (1, 25), (1, 39))
    box = crop_plane(body, (5.0, 5.0, 5.0), labels, (height, width))
    assert box == ((0, 10), *expected)
    assert crop_plane(body, (5.0, 5.0, 5.0), None, (height, width)) == body
    assert crop_plane(body, (5.0, 5.0, 5.0), np.zeros_like(labels), (height, width)) == body


def test_source_scans_are_cropped_in_plane_once_all_of_the_body_has_told_what_is_air(make_small_plans):
    """Of a scan brought to a mean of 0 and filled with 0 the crop shows hardly any air."""
    rng = np.random.default_rng(0)
    image = np.zeros((40, 40, 12), np.float32)
    image[4:36, 4:36] = rng.normal(0.0, 1.0, (32, 32, 12)) + 0.5
    image[16:18, 16:18] = 0.0
    labels = np.zeros(image.shape, np.uint8)
    labels[18:22, 18:22, 4:8] = 1
    plans = make_small_plans((5.0, 2.0, 2.0), rule="percentile", low=0.5, high=99.5)
    whole = preprocess_arrays(image, AFFINE, plans, "source", labels)
    cropped = preprocess_arrays(image, AFFINE, with_plane(plans, 20.0, 20.0), "source", labels)
    assert cropped.image.shape[2] < 30
    (_, (h0, h1), (w0, w1)), (_, (first_h, _), (first_w, _)) = cropped.crop_box, whole.crop_box
    part = whole.image[:, :, h0 - first_h : h1 - first_h, w0 - first_w : w1 - first_w]
    np.testing.assert_allclose(cropped.image, part, atol=1e-5)
    assert (cropped.image == -1).any()
    np.testing.assert_array_equal(cropped.labels > 0, labels.transpose(2, 1, 0)[:, h0:h1, w0:w1][:, ::-1, ::-1] > 0)
    target = preprocess_arrays(image, AFFINE, with_plane(plans, 20.0, 20.0), "target")
    assert target.crop_box == whole.crop_box


def with_plane(plans, height, width):
    """The plan with source scans cropped in plane."""
    grid = dataclasses.replace(plans.preprocessing, source_height=height, source_width=width)
    return dataclasses.replace(plans, preprocessing=grid)
