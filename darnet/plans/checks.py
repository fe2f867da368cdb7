"""Values that no stage can work with."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

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
    rules = [*_of_data(plans), *_of_translation(plans), *_of_segmentation(plans), *_of_self_training(plans)]
    for key, found, good, expected in rules:
        if not good:
            raise wrong_value(key, str(where), found, expected)


def _of_data(plans: Plans) -> list[Rule]:
    grid, inference = plans.preprocessing, plans.inference
    rules: list[Rule] = [
        ("preprocessing.spacing", grid.spacing, min(grid.spacing) > 0, "above 0 mm"),
        _one_of("preprocessing.through_plane", grid.through_plane, "R", "A", "S"),
        *(
            (f"preprocessing.{name}", value, value is None or 0 < value < math.inf, "above 0 mm, or null")
            for name, value in (
                ("source_depth", grid.source_depth),
                ("source_height", grid.source_height),
                ("source_width", grid.source_width),
            )
        ),
        ("preprocessing.source_inverted", grid.source_inverted, grid.source_inverted is not False, "true or null"),
        ("labels", plans.labels, sorted(plans.labels.values()) == list(range(len(plans.labels))), "0, 1, 2, ..."),
        ("inference.step_size", inference.step_size, 0 < inference.step_size <= 1, "above 0, at most 1"),
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
                name in plans.foreground
                and place.spread >= 0
                and place.ml > 0
                and all(map(math.isfinite, place.offset))
                for name, place in (inference.places or {}).items()
            ),
            "null, or for names of classes a spread of 0 or more and a volume above 0",
        ),
        ("seed", plans.seed, plans.seed >= 0, "0 or more"),
        ("most_scans", plans.most_scans, plans.most_scans is None or plans.most_scans > 0, "null, or 1 or more"),
        _one_of("inference.average", inference.average, "probabilities", "logits"),
    ]
    for name in ("source", "target"):
        rule = plans.domain(name).intensity
        rules.append(_one_of(f"{name}.intensity.rule", rule.rule, "window", "percentile"))
        rules.append((f"{name}.intensity", (rule.low, rule.high), rule.low < rule.high, "low below high"))
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
            f"at least {_least_side(plan)} pixels on each axis, or fewer translation.discriminator_layers or "
            "content_discriminator_layers",
        ),
        _positive("translation.width", plan.width),
        _one_of("translation.method", plan.method, "disentangled", "entangled"),
        _one_of("translation.style_norm", plan.style_norm, "none", "instance"),
        _positive("translation.iterations", plan.iterations),
        _positive("translation.batch_size", plan.batch_size),
        _positive("translation.style_dim", plan.style_dim),
        _positive("translation.learning_rate_generator", plan.learning_rate_generator),
        _positive("translation.learning_rate_discriminator", plan.learning_rate_discriminator),
        _only_disentangled(plans, "segmentation_weight"),
        _only_disentangled(plans, "depth_consistency"),
        (
            "translation.content_curves",
            plan.content_curves,
            plan.content_curves is None or (0 < plan.content_curves <= 1 and plan.method == "disentangled"),
            'above 0 and at most 1, or null for none, as where translation.method is "entangled"',
        ),
        ("translation.scale", plan.scale, 0 <= plan.scale < 1, "0 or more, below 1"),
        _positive("synthesis.number_of_styles", synthesis.number_of_styles),
        (
            "synthesis.styles_a_case",
            synthesis.styles_a_case,
            synthesis.styles_a_case is None or synthesis.styles_a_case > 0,
            "null, or 1 or more",
        ),
        _one_of("synthesis.choice", synthesis.choice, "random", "medoid", "mean"),
    ]


def _least_side(plan: TranslationPlan) -> int:
    """Pixels of which 2 x 2 verdicts are left by the image discriminators, and by that of contents (a quarter)."""
    return max(2 << plan.discriminator_layers, 8 << plan.content_discriminator_layers)


def _of_segmentation(plans: Plans) -> list[Rule]:
    plan = plans.segmentation
    divisors = [1, 1, 1]
    for stride in plan.strides:
        divisors = [d * s for d, s in zip(divisors, stride, strict=True)]
    fits = all(p > 0 and p % d == 0 for p, d in zip(plan.patch_size, divisors, strict=True))
    halved = all(s in (1, 2) for stride in plan.strides for s in stride)
    levels = len(plan.channels) == len(plan.strides) + 1
    sound = 1 <= len(plan.channels) <= 16 and min(plan.channels) > 0
    return [
        ("segmentation.channels", plan.channels, levels, "one more than strides"),
        ("segmentation.channels", plan.channels, sound, "1 to 16 widths above 0"),
        (
            "segmentation.strides",
            plan.strides,
            halved,
            "1 or 2 on each axis",
        ),
        ("segmentation.patch_size", plan.patch_size, fits, f"multiples of {tuple(divisors)}"),
        _positive("segmentation.batch_size", plan.batch_size),
        _positive("segmentation.iterations", plan.iterations),
        _positive("segmentation.learning_rate", plan.learning_rate),
        ("segmentation.scale", plan.scale, 0 <= plan.scale < 1, "0 or more, below 1"),
        ("segmentation.source_share", plan.source_share, 0 <= plan.source_share <= 1, "between 0 and 1"),
        (
            "segmentation.random_tissues",
            plan.random_tissues,
            plan.random_tissues is None or 0 < plan.random_tissues <= 1,
            "above 0 and at most 1, or null",
        ),
        (
            "segmentation.expected_appearance",
            plan.expected_appearance,
            plan.expected_appearance is None or 0 < plan.expected_appearance <= 1,
            "above 0 and at most 1, or null",
        ),
        ("segmentation.mirror_axes", plan.mirror_axes, set(plan.mirror_axes) <= {0, 1, 2}, "axes 0, 1 or 2"),
        ("segmentation.folds", plan.folds, plan.folds >= 2, "at least 2"),
    ]


def _of_self_training(plans: Plans) -> list[Rule]:
    plan = plans.self_training
    return [
        ("self_training.rounds", plan.rounds, plan.rounds >= 0, "0 or more"),
        _positive("self_training.iterations", plan.iterations),
        _positive("self_training.learning_rate", plan.learning_rate),
        ("self_training.target_share", plan.target_share, 0 <= plan.target_share <= 1, "between 0 and 1"),
        ("self_training.matched_share", plan.matched_share, 0 <= plan.matched_share <= 1, "between 0 and 1"),
        (
            "self_training.matched_translated",
            plan.matched_translated,
            plan.matched_translated is None or 0 < plan.matched_translated <= 1,
            "above 0 and at most 1, or null for none",
        ),
        (
            "self_training.expected_background",
            plan.expected_background,
            plan.expected_background is None or 0 < plan.expected_background <= 1,
            "above 0 and at most 1, or null for none",
        ),
        ("self_training.kept", plan.kept, 0 < plan.kept <= 1, "above 0, at most 1"),
    ]


def _only_disentangled(plans: Plans, name: str) -> Rule:
    """A weight that only the content/style translator's training knows."""
    value = getattr(plans.translation, name)
    good = value == 0 or (value > 0 and plans.translation.method == "disentangled")
    return f"translation.{name}", value, good, '0 or more, and 0 where translation.method is "entangled"'


def _positive(key: str, value: float) -> Rule:
    return key, value, value > 0, "above 0"


def _one_of(key: str, value: str, *choices: str) -> Rule:
    return key, value, value in choices, " or ".join((", ".join(choices[:-1]), choices[-1]))
