from __future__ import annotations

import pytest

from darnet.planning.fields import determine_fields, largest_body, median_shape
from darnet.planning.planner import plan_preprocessing
from darnet.planning.presets import PRESETS


@pytest.mark.parametrize(
    ("source", "target", "expected", "why"),
    [
        # Whole bodies, one a little larger than the other.
        ((260.0, 330.0), (240.0, 320.0), (260.0, 330.0), ""),
        # Fields that hold the body but for its margins, and just no longer.
        ((260.0, 400.0), (209.0, 321.0), (260.0, 400.0), ""),
        ((260.0, 400.0), (207.0, 321.0), (207.0, 400.0), "target scans end after 207 mm along H, within the body"),
        # A field about the heart, and one of the chest.
        ((150.0, 160.0), (250.0, 340.0), (150.0, 160.0), "source scans end after 150 mm along H and 160 mm along W"),
        ((250.0, 340.0), (150.0, 160.0), (150.0, 160.0), "target scans end after 150 mm along H and 160 mm along W"),
        # Each is narrow along another axis.
        ((150.0, 340.0), (250.0, 160.0), (150.0, 160.0), "source scans end after 150 mm along H, target scans end"),
    ],
)
def test_shared_extent(fingerprint_of, source, target, expected, why):
    fingerprint = fingerprint_of({"extent": (128.0, *source)}, {"extent": (128.0, *target)})
    fields = determine_fields(fingerprint)
    assert fields.shared == expected
    assert why in fields.why
    assert bool(fields.why) == bool(why)
    assert largest_body(fingerprint) == (max(source[0], target[0]), max(source[1], target[1]))


@pytest.mark.parametrize(
    ("source", "target", "labels", "cropped", "body", "shared"),
    [
        # A narrow target: source scans are cropped to it, or to their labels with a margin.
        ((250.0, 340.0), (150.0, 160.0), (80.0, 90.0), (150.0, 160.0), (150.0, 160.0), (150.0, 160.0)),
        ((250.0, 340.0), (150.0, 160.0), (120.0, 200.4), (160.0, 241.0), (160.0, 240.4), (150.0, 160.0)),
        ((250.0, 340.0), (150.4, 159.6), (80.0, 90.0), (151.0, 160.0), (150.4, 159.6), (150.4, 159.6)),
        # Labels that reach nearly as far as the body.
        ((250.0, 340.0), (150.0, 160.0), (161.0, 90.0), (None, 160.0), (250.0, 160.0), (150.0, 160.0)),
        ((250.0, 340.0), (240.0, 160.0), (80.0, 90.0), (None, 160.0), (250.0, 160.0), (250.0, 160.0)),
        # A narrow source, or none.
        ((150.0, 160.0), (250.0, 340.0), (80.0, 90.0), (None, None), (250.0, 340.0), (150.0, 160.0)),
        ((250.0, 340.0), (240.0, 330.0), (80.0, 90.0), (None, None), (250.0, 340.0), (250.0, 340.0)),
    ],
)
def test_source_scans_are_cropped_to_a_narrow_target(fingerprint_of, source, target, labels, cropped, body, shared):
    scans = {"extent": (128.0, *source), "label_extent": (60.0, *labels)}
    fields = determine_fields(fingerprint_of(scans, {"extent": (128.0, *target)}))
    assert fields.source == cropped
    assert fields.body == body
    assert fields.shared == shared


@pytest.mark.parametrize(
    ("source", "target", "labels", "why"),
    [
        (250.0, 150.0, 80.0, "target scans end after 150 mm, within the body: source scans are cropped"),
        (250.0, 150.0, 170.0, "here 210 mm, which is nearly all of their body"),
        (250.0, 240.0, 80.0, "hardly less of it than source scans"),
        (150.0, 250.0, 80.0, "source scans end after 150 mm, within the body"),
    ],
)
def test_reasons_of_the_crop_are_those_of_its_axis(fingerprint_of, source, target, labels, why):
    scans = {"extent": (128.0, source, 200.0), "label_extent": (60.0, labels, 90.0)}
    fields = determine_fields(fingerprint_of(scans, {"extent": (128.0, target, 120.0)}))
    assert why in fields.why_source[0]
    assert "target scans end after 120 mm" in fields.why_source[1]


@pytest.mark.parametrize(("body", "ends"), [(146.0, True), (143.0, True), (142.0, False)])
def test_a_body_that_fills_its_field_goes_on_beyond_it(fingerprint_of, body, ends):
    heart = {"extent": (128.0, body, 200.0), "field_of_view": (128.0, 150.0, 200.0)}
    fields = determine_fields(fingerprint_of(heart, {"extent": (128.0, 250.0, 200.0)}))
    assert fields.shared == (body if ends else 250.0, 200.0)
    assert ("source scans end after 150 mm" in fields.why) == ends


def test_a_small_body_with_air_about_it_does_not_end(fingerprint_of):
    child = {"extent": (128.0, 150.0, 200.0), "field_of_view": (128.0, 200.0, 240.0)}
    fingerprint = fingerprint_of(child, {"extent": (128.0, 250.0, 340.0)})
    fields = determine_fields(fingerprint)
    assert (fields.body, fields.shared, fields.source, fields.why) == ((250.0, 340.0),) * 2 + ((None, None), "")


def test_median_shape_has_the_planes_of_the_cropped_source(fingerprint_of):
    fingerprint = fingerprint_of({"extent": (600.0, 100.0, 100.0)}, {"extent": (200.0, 300.0, 200.0)})
    plan = plan_preprocessing(fingerprint, PRESETS["paper"])
    assert plan.source_depth == 200.0
    assert plan.spacing == (4.0, 1.0, 1.0)
    assert median_shape(fingerprint, plan, (300.0, 200.0)) == (50, 300, 200)
