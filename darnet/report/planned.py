"""The plan in words, and the network level by level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from darnet.layout import DOMAINS
from darnet.plans import DomainPlan, Plans, settings_of
from darnet.report.domains import unit_of
from darnet.report.network import NetworkLevel, draw_network, network_levels
from darnet.report.records import Table
from darnet.words import cross, number

PARTS = {
    "preprocessing": "Grid that all scans are brought to",
    "translation": "Translation of slices",
    "synthesis": "Target-like volumes",
    "segmentation": "Segmentation network",
    "self_training": "Self-training on target scans",
    "inference": "Prediction",
}
WORDS = {
    "spacing": ("voxel (through plane × in plane)", "mm"),
    "through_plane": ("planes lie across the body axis", ""),
    "anisotropic": ("planes are thicker than pixels", ""),
    "source_depth": ("source scans are cut to", "mm along the body"),
    "source_height": ("height of source slices", "mm"),
    "source_width": ("width of source slices", "mm"),
    "source_inverted": ("bright and dark of source scans are turned round", ""),
    "slice_size": ("size of a slice", "pixels"),
    "window": ("part of a slice that is learned from at once", "pixels"),
    "patch_size": ("size of a patch", "voxels"),
    "batch_size": ("examples an iteration", ""),
    "iterations": ("length of training", "iterations"),
    "channels": ("features of each level", ""),
    "strides": ("strides between levels", ""),
    "method": ("kind of translator", ""),
    "width": ("features of the first layer", ""),
    "number_of_styles": ("styles", ""),
    "styles_a_case": ("styles that a source scan is translated into", ""),
    "choice": ("choice of the style", ""),
    "learning_rate": ("learning rate", ""),
    "learning_rate_generator": ("learning rate", ""),
    "mirror_axes": ("axes that may be mirrored", ""),
    "folds": ("folds", ""),
    "rounds": ("rounds", ""),
    "kept": ("share of voxels kept of each class", ""),
    "target_share": ("share of patches of target scans", ""),
    "matched_share": ("share of source patches made to look like target scans", ""),
    "matched_translated": ("share of those out of translated volumes", ""),
    "expected_background": ("share of the others with the background that places tell", ""),
    "source_share": ("share of patches of untranslated scans", ""),
    "expected_appearance": ("share of those that look as target scans are expected to", ""),
    "random_tissues": ("share of those with classes at random intensities", ""),
    "appearance": ("share of patches with a random intensity curve", ""),
    "random_convolution": ("share of patches with a made-up contrast", ""),
    "class_gain": ("strength of random brightness of single classes", ""),
    "step_size": ("step of the sliding window", "of a patch"),
    "average": ("what overlapping windows average", ""),
    "largest_component": ("classes kept in one piece", ""),
    "places": ("piece that is kept", ""),
}
OF_NULL = {
    "source_depth": "not cut", "source_height": "not cut", "source_width": "not cut", "styles_a_case": "all",
    "window": "all of it", "places": "the largest",
}  # fmt: skip
AXES = {"S": "from feet to head", "A": "from front to back", "R": "from left to right"}


@dataclass(frozen=True)
class PlanSection:
    """What the page says of the plan.

    Attributes:
        missing: Sentences on what is not there yet.
        summary: The plan in a few sentences.
        tables: Setting, value and reason, by the part of the plan.
        network: Drawing of the segmentation network.
        network_words: The same as text.
    """

    missing: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()
    tables: tuple[tuple[str, Table], ...] = ()
    network: str = ""
    network_words: Table | None = None


def gather_plan(plans: Plans | None, planned: Plans | None = None) -> PlanSection:
    """The plan of a data set; a sentence where there is none.

    Args:
        plans: The plan as it is used.
        planned: The plan as darnet made it: where the two differ, its reasons are not those of the value. None where it
            is not known.
    """
    if plans is None:
        return PlanSection(missing=("Nothing is planned yet. Run darnet_plan_and_preprocess.",))
    tables = [("Intensities", _intensity_table(plans, planned or plans))]
    for name, title in PARTS.items():
        rows = _settings(name, plans, planned or plans)
        if rows:
            tables.append((title, Table(("setting", "value", "reason"), rows)))
    levels = network_levels(plans)
    return PlanSection(
        summary=_summary(plans),
        tables=tuple(tables),
        network=draw_network(plans.segmentation, levels),
        network_words=_level_table(levels),
    )


def _settings(name: str, plans: Plans, planned: Plans) -> tuple[tuple[str, str, str], ...]:
    """Settings of a part that have a reason, or were changed by hand, in words."""
    part, before = getattr(plans, name), getattr(planned, name)
    reasons = {key: why for key, why in part.why.items() if hasattr(part, key)}
    for key in settings_of(part) | settings_of(before):
        if getattr(part, key) != getattr(before, key):
            reasons[key] = _by_hand(_in_words(key, getattr(before, key), planned)[1])
    return tuple((*_in_words(key, getattr(part, key), plans), why) for key, why in reasons.items())


def _by_hand(planned: str) -> str:
    return f"set by hand; planned: {planned}"


def _level_table(levels: Sequence[NetworkLevel]) -> Table:
    rows = tuple(
        (f"{n + 1}", f"{level.features}", f"{cross(level.shape)} voxels", f"{cross(level.spacing)} mm",
         "–" if level.stride is None else cross(level.stride))
        for n, level in enumerate(levels)
    )  # fmt: skip
    return Table(("level", "features", "size of a patch", "one voxel", "stride from the level above"), rows)


def _intensity_table(plans: Plans, planned: Plans) -> Table:
    rows = []
    for name in DOMAINS:
        domain = plans.domain(name)
        value, before = _window(domain), _window(planned.domain(name))
        why = domain.intensity.why if value == before else _by_hand(before)
        rows.append((f"{domain.modality} ({name})", f"{value} become black to white", why))
    return Table(("scans", "value", "reason"), tuple(rows))


def _window(domain: DomainPlan) -> str:
    rule = domain.intensity
    unit = unit_of(domain) if rule.rule == "window" else "% of the voxels of each scan's body"
    return f"{number(rule.low)} to {number(rule.high)} {unit}"


def _summary(plans: Plans) -> tuple[str, ...]:
    pre, tra, seg, own = plans.preprocessing, plans.translation, plans.segmentation, plans.self_training
    styles = plans.translations_a_case
    classes = ", ".join(name.replace("_", " ") for name in plans.foreground)
    rounds = f", then {own.rounds} × {own.iterations} iterations of self-training on target scans" if own.rounds else ""
    most = plans.most_scans
    some = "" if most is None else (
        f" It segments at most {most} scans at once, for labels of a round or a validation: more of them would take "
        "longer than the training."
    )  # fmt: skip
    return (
        f"Find {classes} in {plans.target.modality} scans, learning from labelled {plans.source.modality} scans.",
        f"All scans are brought to voxels of {cross(pre.spacing)} mm (through plane × in plane).",
        f"A translator learns for {tra.iterations} iterations to make {plans.source.modality} slices look like "
        f"{plans.target.modality}, in {styles} style{'s' if styles > 1 else ''}."
        if plans.translates
        else "No translator is trained: no patch comes out of a translated volume.",
        f"A 3D network of {len(seg.channels)} levels learns on patches of {cross(seg.patch_size)} voxels for "
        f"{seg.iterations} iterations{rounds}. A step needs about {number(plans.predicted_memory_gb)} GB of memory, "
        f"besides Python and the scans.{some}",
        f"The preset is “{plans.preset}”.",
    )


def _in_words(key: str, value: Any, plans: Plans) -> tuple[str, str]:
    name, unit = WORDS.get(key, (key.replace("_", " "), ""))
    if key == "source_inverted":
        return name, "yes" if value else "no"
    if value is None:
        return name, OF_NULL.get(key, "none")
    if key == "through_plane":
        return name, AXES.get(value, str(value))
    if key == "places":
        return name, "as large as source labels and where they lie among each other"
    if key == "largest_component":
        return name, ", ".join(n.replace("_", " ") for n, v in plans.foreground.items() if v in value) or "none"
    if key == "mirror_axes":
        return name, ", ".join(("through plane", "rows", "columns")[axis] for axis in value) or "none"
    if key == "strides":
        return name, ", ".join(cross(stride) for stride in value)
    if isinstance(value, bool):
        return name, "yes" if value else "no"
    if key == "channels":
        return name, ", ".join(map(str, value))
    if isinstance(value, tuple):
        return name, f"{cross(value)} {unit}".strip()
    if isinstance(value, float | int):
        return name, f"{number(value)} {unit}".strip()
    return name, f"{value} {unit}".strip()
