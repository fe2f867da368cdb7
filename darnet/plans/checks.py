"""Values that no stage can work with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darnet.plans.bounds import BOUNDS
from darnet.plans.parse import wrong_value

if TYPE_CHECKING:
    from darnet.plans.parts import TranslationPlan
    from darnet.plans.schema import Plans


Rule = tuple[str, object, bool, str]  # key, found, whether it is good, what is expected


def check_plans(plans: Plans, where: str | Path = "plans.json") -> None:
    """Refuse values that no stage can work with.

    Raises:
        ConfigurationError: Naming the first such key.
    """
    # Single numbers first: what the other rules reckon with is then sound.
    for rules in (_of_numbers, _of_data, _of_translation, _of_segmentation):
        for key, found, good, expected in rules(plans):
            if not good:
                raise wrong_value(key, str(where), found, expected)


def _of_numbers(plans: Plans) -> list[Rule]:
    values = {key: attrgetter(key)(plans) for key in BOUNDS}
    return [
        (key, values[key], all(n in bounds for n in _single(values[key])), str(bounds))
        for key, bounds in BOUNDS.items()
    ]


def _single(value: Any) -> Iterator[float | None]:
    """The numbers of a value that is one, or a list of them or of such lists."""
    if isinstance(value, tuple):
        for part in value:
            yield from _single(part)
    else:
        yield value


def _of_data(plans: Plans) -> list[Rule]:
    grid, inference = plans.preprocessing, plans.inference
    rules: list[Rule] = [
        _one_of("preprocessing.through_plane", grid.through_plane, "R", "A", "S"),
        ("preprocessing.source_inverted", grid.source_inverted, grid.source_inverted is not False, "true or null"),
        ("labels", plans.labels, sorted(plans.labels.values()) == list(range(len(plans.labels))), "0, 1, 2, ..."),
        (
            "inference.largest_component",
            inference.largest_component,
            set(inference.largest_component) <= set(plans.foreground.values()),
            "labels of the plan, without background",
        ),
        (
            "inference.places",
            None if inference.places is None else {name: asdict(place) for name, place in inference.places.items()},
            all(
                name in plans.foreground and place.spread >= 0 and place.ml > 0
                for name, place in (inference.places or {}).items()
            ),
            "null, or for names of classes a spread of 0 or more and a volume above 0",
        ),
        _one_of("inference.average", inference.average, "probabilities", "logits"),
    ]
    for name in ("source", "target"):
        rule = plans.domain(name).intensity
        low, high, key = rule.low, rule.high, f"{name}.intensity"
        rules.append(_one_of(f"{key}.rule", rule.rule, "window", "percentile"))
        rules.append((key, (low, high), low < high, f"{key}.low below {key}.high"))
        shares = rule.rule != "percentile" or (low >= 0 and high <= 100)
        rules.append((key, (low, high), shares, f"percentiles {key}.low and {key}.high of 0 to 100"))
    return rules


def _of_translation(plans: Plans) -> list[Rule]:
    plan, synthesis = plans.translation, plans.synthesis
    size, window = plan.slice_size, plan.training_size
    return [
        ("translation.slice_size", size, all(s >= 16 and s % 4 == 0 for s in size), "multiples of 4, at least 16"),
        (
            "translation.window",
            plan.window,
            all(16 <= w <= s and w % 4 == 0 for w, s in zip(window, size, strict=True)),
            "null, or multiples of 4 from 16 to translation.slice_size",
        ),
        (
            "translation.window" if plan.window else "translation.slice_size",
            window,
            plan.method == "entangled" or min(window) >= _least_side(plan),
            f"at least {_least_side(plan)} pixels on each axis, or fewer translation.discriminator_layers, "
            "translation.discriminator_scales or translation.content_discriminator_layers",
        ),
        _one_of("translation.method", plan.method, "disentangled", "entangled"),
        _one_of("translation.style_norm", plan.style_norm, "none", "instance"),
        _only_disentangled(plans, "segmentation_weight", "0"),
        _only_disentangled(plans, "depth_consistency", "0"),
        _only_disentangled(plans, "content_curves", "null"),
        _one_of("synthesis.choice", synthesis.choice, "random", "medoid", "mean"),
    ]


def _least_side(plan: TranslationPlan) -> int:
    """Pixels of which 2 x 2 verdicts are left by the image discriminators, and by that of contents (a quarter).

    A smaller image has a layer less, but one at least.
    """
    scales = 1 << plan.discriminator_scales
    return max(2 << plan.discriminator_layers, scales, 8 << plan.content_discriminator_layers)


def _of_segmentation(plans: Plans) -> list[Rule]:
    plan = plans.segmentation
    divisors = [1, 1, 1]
    for stride in plan.strides:
        divisors = [d * s for d, s in zip(divisors, stride, strict=True)]
    fits = all(p % d == 0 for p, d in zip(plan.patch_size, divisors, strict=True))
    levels = len(plan.channels) == len(plan.strides) + 1
    return [
        ("segmentation.channels", plan.channels, levels, "one more than strides"),
        ("segmentation.channels", plan.channels, 1 <= len(plan.channels) <= 16, "1 to 16 widths"),
        ("segmentation.patch_size", plan.patch_size, fits, f"multiples of {tuple(divisors)}"),
    ]


def _only_disentangled(plans: Plans, name: str, without: str) -> Rule:
    """What only the content/style translator's training knows."""
    value, method = getattr(plans.translation, name), plans.translation.method
    expected = f'{without} where translation.method is "entangled"'
    return f"translation.{name}", value, not value or method == "disentangled", expected


def _one_of(key: str, value: str, *choices: str) -> Rule:
    return key, value, value in choices, " or ".join((", ".join(choices[:-1]), choices[-1]))
