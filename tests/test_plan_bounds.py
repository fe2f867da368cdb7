"""Numbers that a plan edited by hand may hold."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from darnet.errors import ConfigurationError
from darnet.plans import Plans
from darnet.plans.bounds import BOUNDS, Bounds

# Numbers that are judged together with others, or with names.
TOGETHER = {"labels", "translation.window", "inference.largest_component", "inference.places", "schema_version"}
TOGETHER |= {f"{domain}.intensity.{end}" for domain in ("source", "target") for end in ("low", "high")}

Path = tuple[str | int, ...]


@pytest.fixture(scope="module")
def values(make_small_plans):
    """A valid plan with a number wherever one may be."""
    values = make_small_plans(source_depth=100.0, largest_component=(1,)).to_json()
    values["preprocessing"] |= {"source_height": 200.0, "source_width": 200.0}
    values["translation"] |= {"window": [32, 32], "content_curves": 0.5, "mirror_axes": [1, 2]}
    values["synthesis"] |= {"styles_a_case": 2}
    values["segmentation"] |= {"expected_appearance": 0.5, "random_tissues": 0.5, "mirror_axes": [0, 1, 2]}
    values["self_training"] |= {"matched_translated": 0.5, "expected_background": 0.5}
    values["inference"] |= {"places": {"cube": {"offset": [1.0, 2.0, 3.0], "spread": 4.0, "ml": 5.0}}}
    values["target"]["intensity"] |= {"rule": "percentile", "low": 0.5, "high": 99.5}
    values["most_scans"] = 60
    Plans.from_json(values)
    return values


def numbers(values: Any, path: Path = ()) -> Iterator[Path]:
    """Where the numbers are, by keys and places in lists."""
    if isinstance(values, dict | list):
        for key, inner in values.items() if isinstance(values, dict) else enumerate(values):
            yield from numbers(inner, (*path, key))
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield path


def key_of(path: Path) -> str:
    """The dotted key that a number, or the list or the names that it is among, has in messages."""
    key = ".".join(str(part) for part in path if isinstance(part, str))
    return next((whole for whole in ("labels", "inference.places") if key.startswith(f"{whole}.")), key)


def read_with(values: dict[str, Any], path: Path, value: object, folder: Any) -> Plans:
    """The plan with another value at one place, as it is read from a file."""
    changed: Any = copy.deepcopy(values)
    inner = changed
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    file = folder / "plans.json"
    file.write_text(json.dumps(changed))
    return Plans.read(file)


def test_every_number_has_bounds(values):
    assert {key_of(path) for path in numbers(values)} == set(BOUNDS) | TOGETHER
    assert not set(BOUNDS) & TOGETHER


@pytest.mark.parametrize("value", [-1, 0, 10**9, 1e9, 10**30, 1e30, 10**400, math.nan, math.inf, -math.inf, "1", None])
def test_a_number_makes_a_plan_or_is_refused_by_name(values, tmp_path, value):
    for path in numbers(values):
        try:
            assert isinstance(read_with(values, path, value, tmp_path), Plans)
        except ConfigurationError as error:
            assert key_of(path) in str(error)
        else:
            assert value is None or abs(value) < 1e18


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("target.intensity.low", [-1.0, 99.5]),
        ("target.intensity.high", [0.5, 200.0]),
        ("preprocessing.spacing", [[1e9, 1e9, 1e9], [1.0, 1.0, 1001.0]]),
        ("translation.residual_blocks", [-1]),
        ("translation.discriminator_width", [-1, 0]),
        ("translation.discriminator_layers", [-1, 0, 5, 10**6, 1e30]),
        ("translation.discriminator_scales", [-1, 0, 6, 12, 10**6]),
        ("translation.content_discriminator_layers", [-1, 0, 3, 10**6, 1e30]),
        ("translation.learning_rate_generator", [0.0, math.inf, math.nan]),
        ("translation.weight_image", [-1.0, math.nan]),
        ("translation.weight_content", [-1.0]),
        ("translation.weight_style", [-1.0]),
        ("translation.weight_cycle", [-1.0]),
        ("translation.ema_decay", [-1.0, 2.0, math.nan]),
        ("translation.rotation_degrees", [-1.0, 181.0, 1e308, math.nan]),
        ("translation.shift", [-1.0, 1.5, 1e9]),
        ("translation.mirror_axes", [[0], [3], [-1], [1, 3]]),
        ("synthesis.minimum_foreground", [-1.0, 1.5, math.nan]),
        ("synthesis.batch_size", [-1, 0]),
        ("segmentation.strides", [[[1, 2, 0]], [[1, 2, 4]]]),
        ("segmentation.channels", [[4, 0]]),
        ("segmentation.final_learning_rate", [-1.0, math.nan]),
        ("segmentation.weight_decay", [-1.0, math.nan]),
        ("segmentation.focal_weight", [-1.0]),
        ("segmentation.focal_gamma", [-1.0]),
        ("segmentation.foreground_fraction", [-1.0, 1.5, math.nan]),
        ("segmentation.rotation_degrees", [-5.0, math.inf]),
        ("segmentation.shift", [-1.0, 2.5, math.inf]),
        ("segmentation.elastic", [-1.0, 100.0, math.nan]),
        ("segmentation.contrast", [-1.0, 2.0, math.inf]),
        ("segmentation.appearance", [-1.0, 1.5]),
        ("segmentation.random_convolution", [-1.0, 2.0]),
        ("segmentation.class_gain", [-1.0, 1e9]),
        ("segmentation.mirror_axes", [[3], [-1]]),
        ("inference.places", [{"cube": {"offset": [0.0, math.nan, 0.0], "spread": 1.0, "ml": 1.0}}]),
        ("seed", [-1, 2**32]),  # k-means takes no larger one
        ("most_scans", [-1]),
        ("memory_target_gb", [0.0]),
        ("predicted_memory_gb", [-1.0]),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(values, tmp_path, key, bad):
    for value in bad:
        with pytest.raises(ConfigurationError, match="wrong value") as caught:
            read_with(values, tuple(key.split(".")), value, tmp_path)
        assert key in str(caught.value)


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("target.intensity.low", [0.0]),
        ("target.intensity.high", [100.0]),
        ("translation.residual_blocks", [0]),
        ("translation.discriminator_scales", [4, 5]),
        ("translation.ema_decay", [0.0, 1.0]),
        ("translation.rotation_degrees", [0.0, 180.0]),
        ("translation.mirror_axes", [[], [2]]),
        ("segmentation.final_learning_rate", [0.0]),
        ("segmentation.shift", [0.0, 2.0]),
        ("seed", [2**32 - 1]),
    ],
)
def test_ends_of_the_bounds_are_within_them(values, tmp_path, key, good):
    for value in good:
        read_with(values, tuple(key.split(".")), value, tmp_path)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(0), "0 or more"),
        (Bounds(0, above=True), "above 0"),
        (Bounds(0, 1), "0 to 1"),
        (Bounds(0, 1, above=True, null=True), "above 0, at most 1, or null"),
        (Bounds(0, 1, below=True), "0 or more, below 1"),
    ],
)
def test_bounds_in_words(bounds, words):
    assert str(bounds) == words
    assert (None in bounds) == words.endswith("null")
