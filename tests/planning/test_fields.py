from __future__ import annotations

import pytest

from darnet.planning.fields import largest_body, median_shape, shared_extent
from darnet.planning.planner import plan_preprocessing
from darnet.planning.presets import PRESETS


@pytest.mark.parametrize(
    ("source", "target", "expected", "why"),
    [
        # Whole bodies, one a little larger than the other.
        ((260.0, 330.0), (240.0, 320.0), (260.0, 330.0), ""),
        # A field that ends in the arms.
        ((260.0, 400.0), (240.0, 330.0), (260.0, 400.0), ""),
        # A field about the heart, and one of the chest.
        ((150.0, 160.0), (250.0, 340.0), (150.0, 160.0), "source scans after 150 mm along H and source scans after"),
        ((250.0, 340.0), (150.0, 160.0), (150.0, 160.0), "target scans after 150 mm along H and target scans after"),
        # Each is narrow along another axis.
        (
            (150.0, 340.0),
            (250.0, 160.0),
            (150.0, 160.0),
            "source scans after 150 mm along H and target scans after 160",
        ),
        ((150.0, 300.0), (250.0, 340.0), (150.0, 340.0), "within the body end source scans after 150 mm along H"),
    ],
)
def test_shared_extent(fingerprint_of, source, target, expected, why):
    fingerprint = fingerprint_of({"extent": (128.0, *source)}, {"extent": (128.0, *target)})
    extent, reason = shared_extent(fingerprint)
    assert extent == expected
    assert why in reason
    assert bool(reason) == bool(why)
    assert largest_body(fingerprint) == (max(source[0], target[0]), max(source[1], target[1]))


def test_a_small_body_with_air_about_it_does_not_end(fingerprint_of):
    child = {"extent": (128.0, 150.0, 200.0), "field_of_view": (128.0, 200.0, 240.0)}
    fingerprint = fingerprint_of(child, {"extent": (128.0, 250.0, 340.0)})
    assert shared_extent(fingerprint) == ((250.0, 340.0), "")


def test_median_shape_has_the_planes_of_the_cropped_source(fingerprint_of):
    fingerprint = fingerprint_of({"extent": (600.0, 100.0, 100.0)}, {"extent": (200.0, 300.0, 200.0)})
    plan = plan_preprocessing(fingerprint, PRESETS["paper"])
    assert plan.source_depth == 200.0
    assert plan.spacing == (4.0, 1.0, 1.0)
    assert median_shape(fingerprint, plan, (300.0, 200.0)) == (50, 300, 200)
