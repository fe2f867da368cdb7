"""Values that no stage can work with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from darnet.plans.parse import wrong_value

if TYPE_CHECKING:
    from darnet.plans.schema import Plans


def check_plans(plans: Plans, where: str | Path = "plans.json") -> None:
    """Refuse values that no stage can work with.

    Raises:
        ConfigurationError: Naming the first such key.
    """
    segmentation, translation, learning = plans.segmentation, plans.translation, plans.self_training
    divisors = [1, 1, 1]
    for stride in segmentation.strides:
        divisors = [d * s for d, s in zip(divisors, stride, strict=True)]
    choices: list[tuple[str, object, bool, str]] = [
        ("preprocessing.spacing", plans.preprocessing.spacing, min(plans.preprocessing.spacing) > 0, "above 0 mm"),
        (
            "preprocessing.through_plane",
            plans.preprocessing.through_plane,
            plans.preprocessing.through_plane in "RAS",
            "R, A or S",
        ),
        ("labels", plans.labels, sorted(plans.labels.values()) == list(range(len(plans.labels))), "0, 1, 2, ..."),
        (
            "translation.slice_size",
            translation.slice_size,
            all(s >= 16 and s % 4 == 0 for s in translation.slice_size),
            "multiples of 4, at least 16",
        ),
        ("translation.width", translation.width, translation.width > 0, "above 0"),
        (
            "translation.style_norm",
            translation.style_norm,
            translation.style_norm in ("none", "instance"),
            "none or instance",
        ),
        ("translation.iterations", translation.iterations, translation.iterations > 0, "above 0"),
        ("translation.batch_size", translation.batch_size, translation.batch_size > 0, "above 0"),
        (
            "synthesis.number_of_styles",
            plans.synthesis.number_of_styles,
            plans.synthesis.number_of_styles > 0,
            "above 0",
        ),
        (
            "synthesis.choice",
            plans.synthesis.choice,
            plans.synthesis.choice in ("random", "medoid", "mean"),
            "random, medoid or mean",
        ),
        (
            "segmentation.channels",
            segmentation.channels,
            len(segmentation.channels) == len(segmentation.strides) + 1,
            "one more than strides",
        ),
        (
            "segmentation.strides",
            segmentation.strides,
            all(s in (1, 2) for t in segmentation.strides for s in t),
            "1 or 2 for each axis",
        ),
        (
            "segmentation.patch_size",
            segmentation.patch_size,
            all(p > 0 and p % d == 0 for p, d in zip(segmentation.patch_size, divisors, strict=True)),
            f"multiples of {tuple(divisors)}",
        ),
        ("segmentation.batch_size", segmentation.batch_size, segmentation.batch_size > 0, "above 0"),
        ("segmentation.iterations", segmentation.iterations, segmentation.iterations > 0, "above 0"),
        ("segmentation.folds", segmentation.folds, segmentation.folds >= 2, "at least 2"),
        ("self_training.rounds", learning.rounds, learning.rounds >= 0, "0 or more"),
        ("self_training.iterations", learning.iterations, learning.iterations > 0, "above 0"),
        ("self_training.target_share", learning.target_share, 0 <= learning.target_share <= 1, "between 0 and 1"),
        ("self_training.kept", learning.kept, 0 < learning.kept <= 1, "above 0, at most 1"),
        ("inference.step_size", plans.inference.step_size, 0 < plans.inference.step_size <= 1, "above 0, at most 1"),
        (
            "inference.average",
            plans.inference.average,
            plans.inference.average in ("probabilities", "logits"),
            "probabilities or logits",
        ),
    ]
    for name in ("source", "target"):
        rule = plans.domain(name).intensity
        choices.append(
            (f"{name}.intensity.rule", rule.rule, rule.rule in ("window", "percentile"), "window or percentile")
        )
        choices.append((f"{name}.intensity", (rule.low, rule.high), rule.low < rule.high, "low below high"))
    for key, found, good, expected in choices:
        if not good:
            raise wrong_value(key, str(where), found, expected)
