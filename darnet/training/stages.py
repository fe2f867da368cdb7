"""What the weights of each stage depend on: the parts of the plan, and how long it trains."""

from __future__ import annotations

import hashlib
import json

from darnet.errors import ConfigurationError
from darnet.plans import NOTHING_IF_NULL, Plans

# The parts of the plan that the weights of a stage depend on.
STAGE_PARTS = {
    "translation": ("translation",),
    "segmentation": ("segmentation",),
    "self_training": ("segmentation", "self_training"),
}
NOT_OF_WEIGHTS = ("why", "choose")  # fields of these parts that may change after training


def plan_hash(plans: Plans, *stages: str) -> str:
    """Hash of the parts of the plan that weights depend on, the labels included."""
    values = plans.to_json()
    parts = {k: values[k] for k in ("labels", "preprocessing", *stages)}
    for domain in ("source", "target"):
        parts[domain] = values[domain]["intensity"] | plans.domain(domain).told_by_name
    for part in parts.values():
        for name in NOT_OF_WEIGHTS:
            part.pop(name, None)
        for name in NOTHING_IF_NULL:
            if part.get(name, ()) is None:
                del part[name]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def stage_hash(plans: Plans, stage: str) -> str:
    """Hash of all parts of the plan that the weights of a stage depend on.

    Raises:
        ConfigurationError: There is no such stage. Names of stages come from checkpoints too.
    """
    return plan_hash(plans, *_known_stage(stage))


def stage_iterations(plans: Plans, stage: str) -> int:
    """Iterations that a plan has for a stage.

    Raises:
        ConfigurationError: There is no such stage.
    """
    _known_stage(stage)
    lengths = {
        "translation": plans.translation.iterations,
        "segmentation": plans.segmentation.iterations,
        "self_training": plans.self_training.iterations,
    }
    return lengths[stage]


def _known_stage(stage: object) -> tuple[str, ...]:
    if not isinstance(stage, str) or stage not in STAGE_PARTS:
        raise ConfigurationError(
            "a checkpoint is of a stage that does not exist",
            found=repr(stage),
            expected=", ".join(STAGE_PARTS),
            remedy="use a checkpoint that darnet wrote",
        )
    return STAGE_PARTS[stage]
