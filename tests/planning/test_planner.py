from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from darnet.errors import ConfigurationError
from darnet.io import DatasetInfo
from darnet.networks import build_discriminators, build_segmentation, build_translator
from darnet.planning import PRESETS, Fingerprint, find_preset, make_plans
from darnet.planning.intensities import intensity_rule
from darnet.planning.places import plan_inference
from darnet.planning.planner import (
    mirror_axes,
    plan_most_scans,
    plan_preprocessing,
    round_to,
)
from darnet.planning.topology import divisor
from darnet.plans import Plans, check_plans

LABELS = {"background": 0, "liver": 1, "spleen": 2}


def info_of(labels=None, source="CT", target="MR T2-SPIR"):
    return DatasetInfo("Abdomen", labels or LABELS, source, target, ".nii.gz", {"0": source})


def plans_of(fingerprint, preset="paper", info=None):
    return make_plans(fingerprint, info or info_of(), "Dataset101_Abdomen", PRESETS[preset], seed=4)


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize(
    ("spacing", "extent"),
    [
        ((4.0, 1.0, 1.0), (128.0, 256.0, 256.0)),
        ((1.0, 1.0, 1.0), (160.0, 200.0, 180.0)),
        ((9.0, 1.4, 1.4), (90.0, 180.0, 300.0)),
        ((8.0, 1.0, 1.0), (24.0, 40.0, 30.0)),
        ((1.0, 1.0, 1.0), (5.0, 100.0, 100.0)),
        ((0.1, 0.05, 0.05), (3.0, 4.0, 5.0)),
    ],
)
def test_every_plan_can_be_carried_out(fingerprint_of, preset, spacing, extent):
    fields = {"spacing": spacing, "extent": extent, "class_ml": {"liver": 1.0, "spleen": 0.5}}
    plans = plans_of(fingerprint_of(fields, fields), preset)
    check_plans(plans)
    segmentation = plans.segmentation
    assert all(p % d == 0 for p, d in zip(segmentation.patch_size, divisor(segmentation.strides), strict=True))
    assert segmentation.patch_size[0] // divisor(segmentation.strides)[0] >= 4
    assert plans.predicted_memory_gb <= plans.memory_target_gb
    assert segmentation.iterations > 0
    assert plans.translation.iterations > 0
    build_translator(plans.translation)
    build_discriminators(plans.translation)
    build_segmentation(segmentation, plans.num_classes)
    assert Plans.from_json(json.loads(json.dumps(plans.to_json()))) == plans


@pytest.mark.parametrize("preset", list(PRESETS))
def test_numbers_of_a_plan_are_those_that_are_read_back(fingerprint_of, preset):
    fields = {"labelled_percentiles": (-903.2, 1.0, 2.0, 3.0, 741.0)}
    plans = plans_of(fingerprint_of(fields, fields), preset)
    written = json.dumps(plans.to_json())
    assert json.dumps(Plans.from_json(json.loads(written)).to_json()) == written  # 745 is not 745.0 to a hash


def test_every_choice_has_its_reason(fingerprint_of):
    plans = plans_of(fingerprint_of())
    parts = (plans.preprocessing, plans.translation, plans.synthesis, plans.segmentation, plans.inference)
    for part in parts:
        assert part.why
        assert all(reason and hasattr(part, key) for key, reason in part.why.items())
    assert plans.source.intensity.why
    assert plans.target.intensity.why


def test_a_plan_follows_from_fingerprint_and_preset_alone(fingerprint_of):
    assert plans_of(fingerprint_of()) == plans_of(fingerprint_of())
    assert plans_of(fingerprint_of()).seed == 4


def test_strides_and_widths_of_the_paper(fingerprint_of):
    fields = {"spacing": (4.0, 1.0, 1.0), "extent": (128.0, 250.0, 250.0)}
    segmentation = plans_of(fingerprint_of(fields, fields)).segmentation
    assert segmentation.strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert segmentation.channels == (16, 32, 64, 128, 256)
    assert segmentation.batch_size == 2


def test_length_of_the_paper_preset(fingerprint_of):
    fields = {"spacing": (4.0, 1.0, 1.0), "extent": (128.0, 250.0, 250.0)}
    plans = plans_of(fingerprint_of(fields, fields, count=8))
    assert plans.translation.iterations == 50 * 8 * 32 // 4  # 50 epochs of 8 scans of 32 planes, 4 an iteration
    assert plans.segmentation.iterations == 100 * 8 * 5 // 2  # 100 epochs of 8 scans in 5 styles, 2 an iteration


def test_tiny_patches_do_not_make_a_long_training(fingerprint_of):
    small = {"spacing": (8.0, 8.0, 8.0), "extent": (64.0, 128.0, 128.0)}
    segmentation = plans_of(fingerprint_of(small, small), "fast").segmentation
    assert segmentation.iterations == 4000
    assert "at most 4000 iterations" in segmentation.why["iterations"]
    assert "at most" not in plans_of(fingerprint_of(), "fast").segmentation.why["iterations"]


def test_fast_patches_are_small(fingerprint_of):
    segmentation = plans_of(fingerprint_of(), "fast").segmentation
    assert math.prod(segmentation.patch_size) <= 150_000
    assert max(segmentation.patch_size[1:]) <= 112


@pytest.mark.parametrize(
    ("modality", "rule"),
    [
        ("CT", "window"),
        ("ct", "window"),
        ("contrast-enhanced CT", "window"),
        ("CT_venous", "window"),
        ("CBCT", "window"),
        ("computed tomography", "window"),
        ("MR", "percentile"),
        ("MR T2-SPIR", "percentile"),
        ("contrast-enhanced T1", "percentile"),
        ("spect", "percentile"),
        ("SPECT", "percentile"),
        ("ectopic", "percentile"),
        ("PET", "percentile"),
        ("unknown", "percentile"),
        ("bSSFP", "percentile"),
    ],
)
def test_intensity_rule_by_modality(fingerprint_of, modality, rule):
    plan = intensity_rule(fingerprint_of(), "source", modality)
    assert plan.rule == rule
    assert (plan.low, plan.high) == ((-125.0, 275.0) if rule == "window" else (0.5, 99.5))
    assert plan.why


@pytest.mark.parametrize(
    ("labelled", "low", "high"),
    [
        ((0.0, 1.0, 2.0, 3.0, 150.0), -125.0, 275.0),
        ((-903.0, 1.0, 2.0, 3.0, 150.0), -905.0, 275.0),
        ((-10.0, 1.0, 2.0, 3.0, 741.0), -125.0, 745.0),
        ((-5000.0, 1.0, 2.0, 3.0, 9000.0), -1024.0, 3071.0),
        ((), -125.0, 275.0),
    ],
)
def test_window_shows_what_is_labelled(fingerprint_of, labelled, low, high):
    plan = intensity_rule(fingerprint_of({"labelled_percentiles": labelled}), "source", "CT")
    assert (plan.rule, plan.low, plan.high) == ("window", low, high)


@pytest.mark.parametrize("median", [900.0, 400.0, -1500.0])
def test_ct_without_hounsfield_units(fingerprint_of, median):
    fingerprint = fingerprint_of({"percentiles": (0.0, 1.0, median, 2.0, 3.0)})
    plan = intensity_rule(fingerprint, "source", "CT")
    assert plan.rule == "percentile"
    assert "no Hounsfield units" in plan.why


@pytest.mark.parametrize(
    "values", [(-2.0, -1.0, 0.1, 1.0, 3.0), (0.0, 0.2, 0.5, 0.7, 1.0), (0.0, 30.0, 110.0, 200.0, 255.0)]
)
def test_normalised_ct_has_no_window(fingerprint_of, values):
    plan = intensity_rule(fingerprint_of({"percentiles": values}), "source", "CT")
    assert plan.rule == "percentile"
    assert "no Hounsfield units" in plan.why


@pytest.mark.parametrize(
    ("names", "axes", "expected"),
    [
        (("liver", "spleen"), ("S", "P", "L"), (1, 2)),
        (("left_kidney", "right_kidney"), ("S", "P", "L"), (1,)),
        (("Left Atrium", "myocardium"), ("S", "P", "L"), (1,)),
        (("kidney-L", "kidney-R"), ("S", "P", "L"), (1,)),
        (("kidney_lt", "kidney_rt"), ("S", "P", "L"), (1,)),
        (("LeftKidney", "RightKidney"), ("S", "P", "L"), (1,)),
        (("kidneyL", "kidneyR"), ("S", "P", "L"), (1,)),
        (("LKidney", "RKidney"), ("S", "P", "L"), (1,)),
        (("LK", "RK"), ("S", "P", "L"), (1,)),
        (("leftkidney", "rightkidney"), ("S", "P", "L"), (1,)),
        (("kidneyl", "kidneyr"), ("S", "P", "L"), (1,)),
        (("LV", "MYO", "Liver", "portal"), ("S", "P", "L"), (1, 2)),
        (("cleft", "bright", "lateral", "artery"), ("S", "P", "L"), (1, 2)),
        (("L1", "L2", "sacrum"), ("S", "P", "L"), (1, 2)),  # lumbar vertebrae
        (("L1", "R1", "sacrum"), ("S", "P", "L"), (1,)),
        (("rib_l1", "rib_r1"), ("S", "P", "L"), (1,)),
        (("KidneyL1", "KidneyR1"), ("S", "P", "L"), (1,)),
        # Coronal planes have left and right along W too; sagittal ones along D, which is never mirrored.
        (("kidney left", "liver"), ("P", "I", "L"), (1,)),
        (("kidney left", "liver"), ("R", "I", "P"), (1, 2)),
    ],
)
def test_mirror_axes(fingerprint_of, names, axes, expected):
    info = info_of({"background": 0} | {name: n for n, name in enumerate(names, 1)})
    fingerprint = fingerprint_of({"body_axes": axes}, {"body_axes": axes})
    assert mirror_axes(fingerprint, info, PRESETS["paper"])[0] == expected
    assert mirror_axes(fingerprint, info, PRESETS["fast"])[0] == ()


def test_isotropic_scans_are_planned_as_they_will_be_turned(fingerprint_of):
    trunk = {"spacing": (3.0, 3.0, 3.0), "extent": (600.0, 300.0, 420.0), "label_extent": (150.0, 90.0, 120.0)}
    coronal = {"spacing": (8.0, 1.5, 1.5), "extent": (240.0, 380.0, 390.0), "body_axes": ("P", "I", "L")}
    plans = plans_of(fingerprint_of(trunk, coronal), "fast")
    assert plans.preprocessing.through_plane == "A"
    assert plans.preprocessing.source_depth == 240.0  # of the 300 mm from front to back
    # Of 600 mm target scans show 380.
    assert plans.preprocessing.source_height == 380.0
    assert plans.preprocessing.source_width is None
    assert plans.preprocessing.spacing[1] == 5.0
    assert plans.translation.slice_size == (80, 96)
    assert plans.translation.window is None


def test_one_scan_with_left_to_right_elsewhere_is_enough(case_fingerprint):
    # Oblique stacks may have left and right along either in-plane axis.
    cases = [case_fingerprint("source", "a"), case_fingerprint("target", "b", body_axes=("S", "R", "P"))]
    info = info_of({"background": 0, "left kidney": 1, "right kidney": 2})
    assert mirror_axes(Fingerprint(tuple(cases)), info, PRESETS["paper"])[0] == ()


def test_plans_never_mirror_left_to_right(fingerprint_of):
    info = info_of({"background": 0, "left kidney": 1, "spleen": 2})
    plans = plans_of(fingerprint_of(), "paper", info)
    assert 2 not in plans.segmentation.mirror_axes
    assert 2 not in plans.translation.mirror_axes


def test_places_are_those_of_the_cases_that_show_all_classes(case_fingerprint):
    def case(n, at, ml=1000.0):
        spleen = {} if at is None else {"spleen": at}
        return case_fingerprint(
            "source", f"s{n}", class_centre={"liver": (100.0 + n, 0.0, -20.0), **spleen},
            class_ml={"liver": ml, "spleen": 200.0},
        )  # fmt: skip

    cases = [case(n, (10.0 + n + d, 30.0, -20.0)) for n, d in enumerate((0.0, 0.0, 0.0, 20.0))]
    plan = plan_inference(Fingerprint((*cases, case(9, None, ml=9.0))), info_of())
    liver, spleen = plan.places["liver"], plan.places["spleen"]
    assert np.subtract(liver.offset, spleen.offset) == pytest.approx([90.0, -30.0, 0.0])
    assert liver.offset == pytest.approx(np.negative(spleen.offset))
    # Half of 0, 0, 0 and 20 mm, along one of three axes.
    assert liver.spread == pytest.approx(np.std([0, 0, 0, 10]) / math.sqrt(3), abs=0.06)
    assert (liver.ml, spleen.ml) == (1000.0, 200.0)
    assert "4 source cases" in plan.why["places"]
    assert plan_inference(Fingerprint(tuple(cases[:2])), info_of()).places is None
    alone = DatasetInfo("Abdomen", {"background": 0, "liver": 1}, "CT", "MR", ".nii.gz", {"0": "CT"})
    assert plan_inference(Fingerprint(tuple(cases)), alone).places is None


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([1.0] * 10, (1,)),
        ([0.95] * 10, (1,)),
        ([0.94] * 10, ()),
        ([1.0] * 9 + [0.2], (1,)),
        ([1.0] * 8 + [0.2] * 2, ()),
        ([1.0] * 4 + [None] * 6, (1,)),
        ([None] * 10, ()),
    ],
)
def test_single_components(case_fingerprint, shares, expected):
    cases = [
        case_fingerprint("source", f"s{n}", class_largest={"spleen": 0.5} | ({} if s is None else {"liver": s}))
        for n, s in enumerate(shares)
    ]
    plan = plan_inference(Fingerprint(tuple(cases)), info_of())
    assert plan.largest_component == expected
    assert 0 not in plan.largest_component


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ((1.0, 1.0, 1.0), (1.4, 1.0, 1.0), False),
        ((1.0, 1.0, 1.0), (1.5, 1.0, 1.0), True),
        ((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), True),
    ],
)
def test_planes_of_anisotropic_scans_are_interpolated_linearly(fingerprint_of, source, target, expected):
    fingerprint = fingerprint_of({"spacing": source}, {"spacing": target})
    assert plan_preprocessing(fingerprint, PRESETS["paper"]).anisotropic is expected


@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_a_field_within_the_body_bounds_patches_and_windows(fingerprint_of, preset):
    heart = {"spacing": (2.0, 1.0, 1.0), "extent": (140.0, 150.0, 160.0)}
    chest = {"spacing": (8.0, 1.0, 1.0), "extent": (160.0, 250.0, 340.0)}
    plans = plans_of(fingerprint_of(heart, chest), preset)
    _, height, width = plans.preprocessing.spacing
    size, window = plans.translation.slice_size, plans.translation.window
    assert size[0] * height >= 250
    assert size[1] * width >= 340
    assert 150 - 8 * height < window[0] * height <= 150
    assert 160 - 8 * width < window[1] * width <= 160
    assert "both domains show" in plans.translation.why["window"]
    # A patch is rounded up to what its strides divide.
    _, high, wide = plans.segmentation.patch_size
    assert high * height < 150 + 16 * height
    assert wide * width < 160 + 16 * width
    assert "source scans end after 150 mm along H" in plans.segmentation.why["patch_size"]
    assert ("140 source slices, a window of each, 4" in plans.translation.why["iterations"]) == (preset == "paper")


def test_source_scans_are_cropped_where_target_scans_are_narrow(fingerprint_of):
    pelvis = {"spacing": (3.0, 1.0, 1.0), "extent": (300.0, 250.0, 380.0), "label_extent": (40.0, 40.0, 50.0)}
    prostate = {"spacing": (3.0, 0.6, 0.6), "extent": (90.0, 160.0, 170.0)}
    plans = plans_of(fingerprint_of(pelvis, prostate), "fast")
    grid = plans.preprocessing
    assert (grid.source_depth, grid.source_height, grid.source_width) == (90.0, 160.0, 170.0)
    assert "target scans end after 170 mm, within the body" in grid.why["source_width"]
    # As if source scans had ended there too.
    assert plans.translation.window is None
    assert plans.translation.slice_size == (80, 96)
    assert grid.spacing[1:] == (2.0, 2.0)
    whole = plans_of(fingerprint_of(pelvis, pelvis), "fast").preprocessing
    assert whole.source_height is whole.source_width is None
    assert "hardly less of it than source scans" in whole.why["source_height"]


def test_the_grid_says_which_field_it_is_made_for(fingerprint_of):
    heart = {"spacing": (2.0, 1.0, 1.0), "extent": (140.0, 150.0, 160.0)}
    chest = {"spacing": (2.0, 1.0, 1.0), "extent": (160.0, 250.0, 340.0)}
    why = plans_of(fingerprint_of(heart, chest), "fast").preprocessing.why["spacing"]
    assert "so that 160 mm of the body fills about 84 pixels: source scans end after 150 mm" in why
    # Narrow along the shorter axis alone: the grid is that of the whole body.
    narrow = {"spacing": (2.0, 1.0, 1.0), "extent": (140.0, 150.0, 330.0)}
    why = plans_of(fingerprint_of(narrow, chest), "fast").preprocessing.why["spacing"]
    assert "so that the body of 340 mm fills about 84 pixels" in why
    assert "scans end" not in why


@pytest.mark.parametrize(("value", "expected"), [(0.0, 50), (74.0, 50), (76.0, 100), (1000.0, 1000)])
def test_round_to(value, expected):
    assert round_to(value, 50) == expected


def test_presets_by_name():
    assert find_preset("fast") is PRESETS["fast"]
    from darnet.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="no such preset"):
        find_preset("slow")


def test_the_patch_on_scans_like_those_of_the_paper(fingerprint_of):
    fields = {"spacing": (4.0, 1.0, 1.0), "extent": (240.0, 256.0, 256.0)}
    plans = plans_of(fingerprint_of(fields, fields), "paper")
    assert plans.segmentation.patch_size == (32, 256, 256)
    assert plans.segmentation.batch_size == 2
    assert plans.segmentation.strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))


def test_memory_bounds_the_patch(fingerprint_of):
    fields = {"spacing": (1.0, 1.0, 1.0), "extent": (160.0, 200.0, 180.0)}
    fingerprint = fingerprint_of(fields, fields)
    volumes = []
    for memory in (4.0, 12.0, 48.0):
        plans = make_plans(fingerprint, info_of(), "Dataset101_Abdomen", PRESETS["paper"], memory_gb=memory)
        assert plans.memory_target_gb == memory
        assert plans.predicted_memory_gb <= memory
        volumes.append(np.prod(plans.segmentation.patch_size))
    assert volumes[0] < volumes[1] < volumes[2]
    for preset, smaller in (("paper", True), ("fast", False)):
        with pytest.raises(ConfigurationError, match="smallest patch") as caught:
            make_plans(fingerprint, info_of(), "Dataset101_Abdomen", PRESETS[preset], memory_gb=0.01)
        assert ("the preset fast" in (caught.value.remedy or "")) == smaller


@pytest.mark.parametrize(
    ("preset", "planes", "most"),
    [
        ("paper", 300, None),
        ("fast", 36, None),  # 4e7 voxels are 144 scans of 36 x 80 x 96
        ("fast", 300, 17),  # 17.4
        ("fast", 270, 19),  # 19.3
        ("fast", 250, None),  # 20.8, and there are 20
        ("fast", 4000, 6),  # never fewer
    ],
)
def test_scans_that_are_segmented_at_once(fingerprint_of, preset, planes, most):
    """The deeper scans count, as those of the target may be."""
    shallow = {"spacing": (3.0, 2.0, 2.0), "extent": (30.0, 160.0, 192.0), "class_ml": {"liver": 900.0}}
    deep = shallow | {"extent": (3.0 * planes, 160.0, 192.0)}
    fingerprint = fingerprint_of(shallow, deep, count=20)
    plan = dataclasses.replace(plan_preprocessing(fingerprint, PRESETS[preset]), spacing=(3.0, 2.0, 2.0))
    assert plan_most_scans(fingerprint, PRESETS[preset], plan) == most


def test_few_large_scans_are_all_segmented_but_not_all_compared(fingerprint_of):
    fields = {"spacing": (3.0, 2.0, 2.0), "extent": (900.0, 160.0, 192.0), "class_ml": {"liver": 900.0}}
    fingerprint = fingerprint_of(fields, fields, count=4)
    plan = dataclasses.replace(plan_preprocessing(fingerprint, PRESETS["fast"]), spacing=(3.0, 2.0, 2.0))
    assert plan_most_scans(fingerprint, PRESETS["fast"], plan) == 17


@pytest.mark.parametrize(
    ("preset", "cases", "styles"),
    [("fast", 24, None), ("fast", 40, 3), ("fast", 105, 1), ("fast", 500, 1), ("paper", 105, None)],
)
def test_many_source_cases_are_translated_into_fewer_styles_each(fingerprint_of, preset, cases, styles):
    plans = plans_of(fingerprint_of(count=cases), preset)
    assert plans.synthesis.styles_a_case == styles
    volumes = sum(map(len, plans.styles_of_cases([f"scan_{n:03d}" for n in range(cases)]).values()))
    assert volumes == 5 * cases if styles is None else volumes == cases * styles + 8 * (5 - styles)


@pytest.mark.parametrize(
    ("preset", "source", "target", "share"),
    [
        ("fast", "CT", "MR T2-SPIR", 0.2),
        ("fast", "MR", "CT", 0.2),
        ("fast", "CT", "CT", 0.2),
        ("fast", "MR", "MR", 1.0),
        ("fast", "T2", "t2", 0.2),
        ("fast", "T1", "unknown", 0.2),
        ("fast", "ultrasound", "MR", 0.2),
        ("fast", "CECT", "MR T1", 0.2),
        ("fast", "T1ce", "T2", 1.0),
        ("fast", "MR T1-DUAL", "MR T2-SPIR", 1.0),
        ("fast", "contrast-enhanced T1", "high-resolution T2", 1.0),
        ("paper", "CT", "MR", 0.0),
        ("paper", "T1", "T2", 0.0),
    ],
)
def test_two_sequences_get_more_curves(fingerprint_of, preset, source, target, share):
    plans = plans_of(fingerprint_of(), preset, info_of(source=source, target=target))
    assert plans.segmentation.appearance == share
    assert ("sequences" in plans.segmentation.why["appearance"]) == (share == 1.0)
