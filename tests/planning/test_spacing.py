from __future__ import annotations

import math

import pytest

from darnet.planning import PRESETS, Fingerprint
from darnet.planning.spacing import (
    determine_source_depth,
    determine_spacing,
    determine_through_plane,
    round_spacing,
)


@pytest.mark.parametrize(("value", "expected"), [(1.234, 1.2), (0.0876, 0.088), (12.6, 13.0), (5.0, 5.0)])
def test_round_spacing(value, expected):
    assert round_spacing(value) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ((4.0, 1.0, 1.0), (4.0, 1.0, 1.0), (4.0, 1.0, 1.0)),
        ((2.0, 1.0, 1.0), (8.0, 1.0, 1.0), (4.0, 1.0, 1.0)),
        ((3.0, 0.8, 0.8), (3.0, 1.25, 1.25), (3.0, 1.0, 1.0)),
        ((3.0, 0.5, 2.0), (3.0, 1.0, 1.0), (3.0, 1.0, 1.0)),
        ((1.0, 1.0, 1.0), (10.0, 1.0, 1.0), (3.2, 1.0, 1.0)),
        # Planes are never thinner than pixels.
        ((0.5, 1.0, 1.0), (0.5, 1.0, 1.0), (1.0, 1.0, 1.0)),
    ],
)
def test_spacing_of_the_paper_preset(fingerprint_of, source, target, expected):
    fingerprint = fingerprint_of({"spacing": source}, {"spacing": target})
    spacing, why = determine_spacing(fingerprint, PRESETS["paper"])
    assert spacing == expected
    assert "geometric mean" in why


def test_spacing_is_that_of_the_median_case(case_fingerprint):
    spacings = [(4.0, 1.0, 1.0), (4.0, 1.0, 1.0), (40.0, 0.1, 0.1)]
    cases = [case_fingerprint(d, f"{d}{n}", spacing=s) for d in ("source", "target") for n, s in enumerate(spacings)]
    assert determine_spacing(Fingerprint(tuple(cases)), PRESETS["paper"])[0] == (4.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("extent", "ml", "expected"),
    [
        # 240 mm over 84 pixels, and planes of at least two pixels.
        ((128.0, 200.0, 240.0), 1000.0, (5.7, 2.9, 2.9)),
        ((128.0, 432.0, 240.0), 1000.0, (10.0, 5.1, 5.1)),
        # A body that fits already.
        ((128.0, 60.0, 60.0), 1000.0, (4.0, 1.0, 1.0)),
        # 3.2 ml are 200 voxels of 4 x 2 x 2 mm.
        ((128.0, 432.0, 240.0), 3.2, (4.0, 2.0, 2.0)),
        # A tiny class never makes the grid finer than the data's own.
        ((128.0, 432.0, 240.0), 0.001, (4.0, 1.0, 1.0)),
    ],
)
def test_spacing_of_the_fast_preset(fingerprint_of, extent, ml, expected):
    source = {"extent": extent, "class_ml": {"liver": 5000.0, "gland": ml, "absent": 0.0}}
    fingerprint = fingerprint_of(source, {"extent": extent})
    spacing, why = determine_spacing(fingerprint, PRESETS["fast"])
    assert spacing == expected
    assert ("smallest class" in why) == (ml < 10 and extent[1] > 400)
    assert ("made coarser" in why) == (extent[1] > 60)
    assert ("not made coarser" in why) == (ml < 0.01)
    assert ("planes made thicker" in why) == (expected[0] > 4.0)


@pytest.mark.parametrize(("ml", "thick"), [(0.1, 1.0), (0.3, 1.5), (1.0, 2.0)])
def test_planes_are_made_thicker_as_far_as_the_smallest_class_keeps_its_voxels(fingerprint_of, ml, thick):
    scan = {"spacing": (1.0, 1.0, 1.0), "extent": (128.0, 60.0, 60.0)}
    spacing, why = determine_spacing(fingerprint_of({**scan, "class_ml": {"gland": ml}}, scan), PRESETS["fast"])
    assert spacing == (thick, 1.0, 1.0)
    assert ("planes made thicker" in why) == (thick > 1.0)
    assert ("smallest class" in why) == (thick < 2.0)
    assert ("less than 200 voxels even so" in why) == (ml == 0.1)


@pytest.mark.parametrize("ml", [2.0, 5.0, 20.0, 60.0])
@pytest.mark.parametrize("through", [1.0, 4.0, 8.0])
def test_the_smallest_class_keeps_its_voxels(fingerprint_of, ml, through):
    source = {"spacing": (through, 1.0, 1.0), "extent": (128.0, 600.0, 600.0), "class_ml": {"gland": ml}}
    fingerprint = fingerprint_of(source, {"spacing": (through, 1.0, 1.0)})
    spacing, _ = determine_spacing(fingerprint, PRESETS["fast"])
    # Rounding to two digits may cost a few.
    assert ml * 1000 / math.prod(spacing) >= 0.9 * 200


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([((1.0, 1.0, 1.0), "S")], "S"),
        ([((1.2, 1.0, 1.0), "A")], "S"),
        ([((5.0, 1.0, 1.0), "S")], "S"),
        ([((5.0, 1.0, 1.0), "A")], "A"),
        ([((5.0, 1.0, 1.0), "L")], "R"),
        ([((5.0, 1.0, 1.0), "I"), ((5.0, 1.0, 1.0), "P"), ((5.0, 1.0, 1.0), "A")], "A"),
        ([((1.0, 1.0, 1.0), "S"), ((1.0, 1.0, 1.0), "S"), ((5.0, 1.0, 1.0), "R")], "R"),
        ([((1.0, 1.0, 1.0), "S")] * 19 + [((5.0, 1.0, 1.0), "R")], "S"),
        ([((1.0, 1.0, 1.0), "S")] * 18 + [((5.0, 1.0, 1.0), "R")] * 2, "R"),
    ],
)
def test_through_plane_axis(case_fingerprint, cases, expected):
    others = {"S": ("P", "L"), "I": ("P", "L"), "A": ("I", "L"), "P": ("I", "L"), "L": ("I", "P"), "R": ("I", "P")}
    made = [
        case_fingerprint("target", f"t{n}", spacing=spacing, body_axes=(axis, *others[axis]))
        for n, (spacing, axis) in enumerate(cases)
    ]
    assert determine_through_plane(Fingerprint(tuple(made)))[0] == expected


def test_target_scans_turn_many_isotropic_source_scans(case_fingerprint):
    cases = [case_fingerprint("source", f"s{n}", spacing=(1.0, 1.0, 1.0)) for n in range(40)]
    sagittal = {"spacing": (5.0, 1.0, 1.0), "body_axes": ("R", "I", "P")}
    cases += [
        case_fingerprint("target", f"t{n}", **(sagittal if n < 2 else {"spacing": (1.0, 1.0, 1.0)})) for n in range(4)
    ]
    assert determine_through_plane(Fingerprint(tuple(cases)))[0] == "R"
    assert determine_through_plane(Fingerprint(tuple(cases[:-3])))[0] == "R"
    assert determine_through_plane(Fingerprint((*cases[:41], *cases[42:])))[0] == "S"


@pytest.mark.parametrize(
    ("source_mm", "target_mm", "label_mm", "expected"),
    [
        (200.0, 200.0, 100.0, None),
        (219.0, 200.0, 100.0, None),
        (150.0, 300.0, 100.0, None),
        (600.0, 200.0, 100.0, 200.0),
        (600.0, 200.0, 160.0, 200.0),
        (600.0, 200.0, 220.0, 260.0),
        (600.0, 180.4, 20.0, 180.0),
    ],
)
def test_source_depth(fingerprint_of, source_mm, target_mm, label_mm, expected):
    fingerprint = fingerprint_of(
        {"extent": (source_mm, 200.0, 200.0), "label_extent": (label_mm, 100.0, 100.0)},
        {"extent": (target_mm, 200.0, 200.0)},
    )
    depth, why = determine_source_depth(fingerprint)
    assert depth == expected
    assert "source scans" in why
