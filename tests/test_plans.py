from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest

from darnet.errors import ConfigurationError
from darnet.plans import Plans, SynthesisPlan
from darnet.training import plan_hash


@pytest.fixture
def values(make_small_plans):
    return make_small_plans().to_json()


def test_round_trip(make_small_plans):
    for plans in (make_small_plans(), make_small_plans(source_depth=120.0, rule="percentile", low=1.0, high=99.0)):
        assert Plans.from_json(json.loads(json.dumps(plans.to_json()))) == plans


def test_foreground_and_classes(make_small_plans):
    plans = make_small_plans()
    assert plans.num_classes == 3
    assert plans.foreground == {"cube": 1, "rod": 2}
    assert plans.domain("target").modality == "MR"


def test_translated_volumes_of_a_case(values):
    assert Plans.from_json(values).translations_a_case == values["synthesis"]["number_of_styles"]
    assert Plans.from_json(changed(values, "synthesis.choice", "mean")).translations_a_case == 1
    assert Plans.from_json(changed(values, "translation.method", "entangled")).translations_a_case == 1


@pytest.mark.parametrize("few", [1, 2, 3, 4])
@pytest.mark.parametrize("number", [18, 36, 60, 71, 106])
def test_cases_take_turns_with_the_styles(make_small_plans, number, few):
    plans = make_small_plans()
    plans = dataclasses.replace(plans, synthesis=SynthesisPlan(number_of_styles=5, styles_a_case=few))
    cases = [f"case_{n:03d}" for n in range(number)]
    styles = plans.styles_of_cases(cases)
    assert list(styles) == cases
    complete = [case for case in cases if len(styles[case]) == 5]
    assert len(complete) == 8 and {cases[0], cases[-1]} <= set(complete)
    assert all(len(set(styles[case])) == few for case in cases if case not in complete)
    counts = np.bincount([style for own in styles.values() for style in own], minlength=5)
    assert len(counts) == 5 and counts.max() - counts.min() <= 1


@pytest.mark.parametrize("few", [None, 5, 9])
def test_all_cases_in_all_styles(make_small_plans, few):
    plans = make_small_plans()
    plans = dataclasses.replace(plans, synthesis=SynthesisPlan(number_of_styles=5, styles_a_case=few))
    assert set(plans.styles_of_cases([f"case_{n}" for n in range(30)]).values()) == {(0, 1, 2, 3, 4)}


def changed(values, key, value):
    values = copy.deepcopy(values)
    *path, last = key.split(".")
    inner = values
    for part in path:
        inner = inner[part]
    inner[last] = value
    return values


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("preprocessing.spacing", [0, 1, 1]),
        ("preprocessing.spacing", [1, 1]),
        ("preprocessing.spacing", "1, 1, 1"),
        ("preprocessing.through_plane", "Z"),
        ("preprocessing.anisotropic", 1),
        ("labels", {"background": 0, "liver": 2}),
        ("labels", ["liver"]),
        ("translation.slice_size", [30, 32]),
        ("most_scans", 0),
        ("translation.window", [30, 32]),
        ("translation.window", [1024, 32]),
        ("translation.discriminator_layers", 5),  # nothing would be left of 32 pixels
        ("translation.content_discriminator_layers", 3),
        ("translation.window", [12, 16]),
        ("translation.window", 32),
        ("translation.width", 0),
        ("translation.width", 1.5),
        ("translation.width", True),
        ("translation.style_norm", "batch"),
        ("translation.method", "cyclegan"),
        ("translation.segmentation_weight", -1.0),
        ("translation.depth_consistency", -1.0),
        ("translation.content_curves", 0.0),
        ("translation.content_curves", 1.5),
        ("translation.iterations", 0),
        ("translation.batch_size", -1),
        ("synthesis.number_of_styles", 0),
        ("synthesis.choice", "best"),
        ("synthesis.styles_a_case", 0),
        ("segmentation.channels", [8]),
        ("segmentation.strides", [[1, 3, 2]]),
        ("segmentation.patch_size", [8, 15, 16]),
        ("segmentation.batch_size", 0),
        ("segmentation.iterations", 0),
        ("segmentation.folds", 1),
        ("segmentation.learning_rate", 0),
        ("segmentation.scale", 1.0),
        ("segmentation.mirror_axes", [3]),
        ("translation.learning_rate_generator", -1e-4),
        ("translation.style_dim", 0),
        ("self_training.rounds", -1),
        ("self_training.iterations", 0),
        ("self_training.target_share", 1.5),
        ("self_training.kept", 0),
        ("self_training.matched_share", -0.1),
        ("segmentation.expected_appearance", 1.1),
        ("segmentation.expected_appearance", 0.0),
        ("segmentation.random_tissues", 1.1),
        ("segmentation.random_tissues", 0.0),
        ("preprocessing.source_inverted", False),
        ("preprocessing.source_depth", 0.0),
        ("preprocessing.source_height", -1.0),
        ("preprocessing.source_height", math.inf),
        ("preprocessing.source_width", 0.0),
        ("self_training.matched_translated", 1.1),
        ("self_training.expected_background", 1.1),
        ("self_training.expected_background", 0.0),
        ("self_training.matched_translated", 0.0),
        ("self_training.matched_translated", -0.1),
        ("inference.largest_component", [0]),
        ("inference.largest_component", [9]),
        ("inference.places", {"lung": {"offset": [0, 0, 0], "spread": 1, "ml": 1}}),
        ("inference.places", {"liver": {"offset": [0, 0, 0], "spread": 1, "ml": 0}}),
        ("inference.places", {"liver": {"offset": [0, 0, 0], "spread": -1, "ml": 1}}),
        ("inference.places", {"liver": {"offset": [0, 0], "spread": 1, "ml": 1}}),
        ("seed", -1),
        ("inference.step_size", 0.0),
        ("inference.step_size", 1.5),
        ("inference.average", "median"),
        ("source.intensity.rule", "zscore"),
        ("target.intensity", {"rule": "window", "low": 5.0, "high": 1.0, "why": ""}),
        ("source.modality", 3),
    ],
)
def test_wrong_edits_are_refused_by_name(values, key, value):
    with pytest.raises(ConfigurationError) as caught:
        Plans.from_json(changed(values, key, value), "here/plans.json")
    message = str(caught.value)
    assert key.split(".")[-1] in message or key in message
    assert "here/plans.json" in message
    assert "remedy" in message


@pytest.mark.parametrize("weight", ["segmentation_weight", "depth_consistency", "content_curves"])
def test_what_needs_a_content_code_is_refused_without_one(values, weight):
    values = changed(values, f"translation.{weight}", 0.5)
    assert getattr(Plans.from_json(values).translation, weight) == 0.5
    with pytest.raises(ConfigurationError, match="entangled") as caught:
        Plans.from_json(changed(values, "translation.method", "entangled"))
    assert f"translation.{weight}" in str(caught.value)


def test_unknown_and_missing_keys(values):
    values["segmentation"]["patchsize"] = values["segmentation"].pop("patch_size")
    with pytest.raises(ConfigurationError, match="unknown: patchsize; missing: patch_size"):
        Plans.from_json(values)


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_other_schemas(values, version):
    with pytest.raises(ConfigurationError, match="schema"):
        Plans.from_json({**values, "schema_version": version})


def test_a_whole_number_may_stand_for_a_real_one(values):
    assert Plans.from_json(changed(values, "segmentation.learning_rate", 1)).segmentation.learning_rate == 1.0


def test_files(tmp_path):
    with pytest.raises(ConfigurationError, match="remedy: +run darnet_plan_and_preprocess first$"):
        Plans.read(tmp_path / "plans.json")
    with pytest.raises(ConfigurationError, match="remedy: +train first$"):
        Plans.read(tmp_path / "plans.json", "train first")
    with pytest.raises(ConfigurationError, match="the file cannot be read"):
        Plans.read(tmp_path)
    (tmp_path / "plans.json").write_text("{")
    with pytest.raises(ConfigurationError, match="JSON"):
        Plans.read(tmp_path / "plans.json")
    (tmp_path / "plans.json").write_text('{"seed": 1,\n "seed": 2}')
    with pytest.raises(ConfigurationError, match=r'the key "seed" is there twice\n  where: .*plans\.json, line 2\n'):
        Plans.read(tmp_path / "plans.json")
    (tmp_path / "plans.json").write_text("[1]")
    with pytest.raises(ConfigurationError, match="schema"):
        Plans.read(tmp_path / "plans.json")


@pytest.mark.parametrize(
    ("names", "most", "expected", "compared"),
    [
        ("abcdef", None, "abcdef", 6),
        ("abcdef", 6, "abcdef", 2),
        ("abcdef", 1, "a", 2),
        ("abcdef", 2, "af", 2),
        ("abcdef", 3, "acf", 2),
        ("abcdefgh", 7, "abcefgh", 2),
        ("abcdefghijklm", 12, "abcdefhijklm", 4),
        ("", 3, "", 2),
        ("ab", 60, "ab", 6),
    ],
)
def test_scans_that_training_segments(make_small_plans, names, most, expected, compared):
    plans = dataclasses.replace(make_small_plans(), most_scans=most)
    assert "".join(plans.some_of(names)) == expected
    assert plans.most_compared == compared


def test_keys_that_are_null_by_default_may_be_missing(make_small_plans):
    plans = make_small_plans()
    values = plans.to_json()
    del values["most_scans"], values["translation"]["window"], values["self_training"]["matched_translated"]
    assert Plans.from_json(values) == plans
    del values["translation"]["width"]
    with pytest.raises(ConfigurationError, match="missing: width"):
        Plans.from_json(values)


@pytest.mark.parametrize(
    ("stage", "field", "value"),
    [
        ("translation", "window", (32, 32)),
        ("translation", "content_curves", 0.5),
        ("self_training", "matched_translated", 0.5),
        ("self_training", "expected_background", 0.5),
        ("preprocessing", "source_inverted", True),
        ("preprocessing", "source_height", 150.0),
        ("preprocessing", "source_width", 150.0),
        ("segmentation", "random_tissues", 0.5),
        ("segmentation", "expected_appearance", 0.5),
    ],
)
def test_a_field_that_is_null_leaves_the_hash_of_a_plan_without_it(make_small_plans, stage, field, value):
    """Weights of a plan that lacks the key can still be used."""
    plans = make_small_plans()
    other = dataclasses.replace(plans, **{stage: dataclasses.replace(getattr(plans, stage), **{field: value})})
    values = plans.to_json()
    parts = {key: values[key] for key in ("labels", "preprocessing", stage)}
    kinds = {"source": {"hounsfield": True, "padded": False}, "target": {"hounsfield": False, "padded": False}}
    parts |= {domain: values[domain]["intensity"] | kinds[domain] for domain in kinds}
    nothing = (
        "window",
        "content_curves",
        "source_inverted",
        "source_height",
        "source_width",
        "random_tissues",
        "expected_appearance",
        "matched_translated",
        "expected_background",
    )
    assert parts[stage].pop(field) is None
    for part in parts.values():
        part.pop("why", None)
        part.pop("choose", None)
        for name in nothing:
            if part.get(name, ()) is None:
                del part[name]
    expected = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    assert plan_hash(plans, stage) == expected
    assert plan_hash(other, stage) != expected
