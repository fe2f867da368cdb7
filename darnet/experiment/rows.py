"""Rows of an experiment: each a set of fields of the plan, and what the DAR-UNet learns from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from darnet.baselines import with_rounds
from darnet.errors import ConfigurationError
from darnet.planning import find_preset
from darnet.planning.kinds import appearance_share
from darnet.planning.topology import round_up
from darnet.plans import Plans, check_plans

# What the DAR-UNet of a row learns from.
TRANSLATED, SOURCE, LABELLED_TARGET = "translated volumes", "source volumes", "labelled target scans"

Value = object  # of a field, or a function of the plan that gives it
Changes = Mapping[str, Mapping[str, Value]]  # part of the plan -> field -> value


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        name: On the command line, and of its folder of results.
        description: What it is, in a few words.
        changes: Part of the plan -> field -> value, or a function that takes the plan and gives the value.
        images: What the DAR-UNet learns from.
        as_planned: The changes are made to the plan as it stands, not to the paper's method.
    """

    name: str
    description: str
    changes: Changes = field(default_factory=dict)
    images: str = TRANSLATED
    as_planned: bool = False


def planned(part: str, name: str, otherwise: Value) -> Callable[[Plans], Value]:
    """The plan's own value of a field where it is not the default, else another, or what that gives for the plan."""

    def value(plans: Plans) -> Value:
        own: Value = getattr(getattr(plans, part), name)
        if own != _default(getattr(plans, part), name):
            return own
        return otherwise(plans) if callable(otherwise) else otherwise

    return value


def merge(*several: Changes) -> Changes:
    """All changes together; the later ones count where two change the same field."""
    merged: dict[str, dict[str, Value]] = {}
    for changes in several:
        for part, fields in changes.items():
            merged.setdefault(part, {}).update(fields)
    return merged


def _halved_everywhere(plans: Plans) -> tuple[tuple[int, int, int], ...]:
    return ((2, 2, 2),) * len(plans.segmentation.strides)


def _patch_halved_everywhere(plans: Plans) -> tuple[int, ...]:
    multiple = 2 ** len(plans.segmentation.strides)
    return tuple(round_up(n, multiple) for n in plans.segmentation.patch_size)


def _finest_spacing(plans: Plans) -> tuple[float, ...]:
    return (min(plans.preprocessing.spacing),) * 3


def _patch_on_finest(plans: Plans) -> tuple[int, ...]:
    """Voxels of as many mm as the planned patch has, on the finest grid."""
    multiple, finest = 2 ** len(plans.segmentation.strides), min(plans.preprocessing.spacing)
    sizes = zip(plans.segmentation.patch_size, plans.preprocessing.spacing, strict=True)
    return tuple(round_up(round(n * spacing / finest), multiple) for n, spacing in sizes)


def _network(quartet: bool, voxel: bool, deep: bool, **more: Value) -> Changes:
    attention = {"quartet_attention": quartet, "voxel_attention": voxel, "deep_supervision": deep}
    return {"segmentation": {**attention, **more}}


def _upgrade(part: str, **fields: Value) -> Changes:
    return {part: {name: planned(part, name, otherwise) for name, otherwise in fields.items()}}


def _matched_translated(plans: Plans) -> Value:
    """The plan's own share where it matches patches, none included: all upgrades are then the plan itself."""
    return (plans.self_training if plans.self_training.matched_share else _FAST).matched_translated


def _expected_background(plans: Plans) -> Value:
    return plans.self_training.expected_background


def _source_share(plans: Plans) -> Value:
    """The plan's own share, but not all: a row on top of the paper's method has translated volumes too."""
    own = plans.segmentation.source_share
    return own if 0 < own < 1 else _FAST.source_share


def _own_source_share(plans: Plans) -> Value:
    return plans.segmentation.source_share or _FAST.source_share


def _curves(plans: Plans) -> Value:
    """The plan's own share of curves, but with source scans as they are not the few that suit them turned round."""
    own = plans.segmentation.appearance
    return own if own and not plans.preprocessing.source_inverted else _appearance(plans)


def _own_curves(plans: Plans) -> Value:
    return plans.segmentation.appearance or _appearance(plans)


def _source_inverted(plans: Plans) -> Value:
    return plans.preprocessing.source_inverted


def _appearance(plans: Plans) -> Value:
    return appearance_share(_FAST, plans.source.modality, plans.target.modality)[0]


_FAST = find_preset("fast")
_ISOTROPIC = {"strides": _halved_everywhere}
_SELF_TRAINING = _upgrade("self_training", rounds=_FAST.rounds)
_MATCHED = merge(_SELF_TRAINING, _upgrade("self_training", matched_share=_FAST.matched_share))
UPGRADES: dict[str, tuple[str, Changes]] = {
    "class_gain": ("+ gains of single classes", _upgrade("segmentation", class_gain=_FAST.class_gain)),
    "random_appearance": (
        "+ random convolutions and intensity curves",
        merge(
            _upgrade("segmentation", random_convolution=_FAST.random_convolution),
            {"segmentation": {"appearance": _curves}},
        ),
    ),
    "source_share": (
        "+ patches of source volumes as they are",
        {"segmentation": {"source_share": _source_share}},
    ),
    "expected_appearance": (
        "+ the same, most of them as target scans are expected to look",
        merge(
            _upgrade("segmentation", expected_appearance=_FAST.expected_appearance),
            {"segmentation": {"source_share": _source_share}},
        ),
    ),
    "self_training": ("+ rounds on pseudo-labelled target scans", _SELF_TRAINING),
    "matched_appearance": (
        "+ self-training with source patches in the appearance of target scans",
        _MATCHED,
    ),
    "matched_translated": (
        "+ the same, part of the patches out of translated volumes",
        merge(_MATCHED, _upgrade("self_training", matched_translated=_FAST.matched_translated)),
    ),
    "expected_background": (
        "+ matched patches alike, part of their backgrounds as bright as places in the body tell",
        merge(_MATCHED, _upgrade("self_training", expected_background=0.5)),
    ),
}
_ALL = merge(
    *(changes for _, changes in UPGRADES.values()),
    {"self_training": {"matched_translated": _matched_translated, "expected_background": _expected_background}},
    {"preprocessing": {"source_inverted": _source_inverted}},
    {"segmentation": {"appearance": _own_curves, "source_share": _own_source_share}},
)

ROWS: tuple[Row, ...] = (
    Row("no_adaptation", "trained on source volumes as they are", images=SOURCE),
    Row("supervised", "trained on labelled target scans: an upper bound", images=LABELLED_TARGET),
    Row("entangled", "Table III: CycleGAN", {"translation": {"method": "entangled"}}),
    Row("mean_style", "Table III: one mean style", {"synthesis": {"choice": "mean"}}),
    Row("multi_style", "the paper's method: several styles, its augmentations alone"),
    Row(
        "isotropic_grid",
        "Table IV: isotropic voxels and strides, no attention",
        merge(
            _network(False, False, False, **_ISOTROPIC, patch_size=_patch_on_finest),
            {"preprocessing": {"spacing": _finest_spacing, "anisotropic": False}},
        ),
    ),
    Row(
        "isotropic_strides",
        "Table IV: isotropic strides on the planned grid, no attention",
        _network(False, False, False, **_ISOTROPIC, patch_size=_patch_halved_everywhere),
    ),
    Row("anisotropic", "Table IV: + anisotropic strides", _network(False, False, False)),
    Row("anisotropic_qam", "Table IV: + QAM", _network(True, False, False)),
    Row("anisotropic_vam", "Table IV: + VAM", _network(False, True, False)),
    Row("anisotropic_qam_vam", "Table IV: + QAM and VAM", _network(True, True, False)),
    Row("deep_supervision", "Table IV: + QAM, VAM and deep supervision", _network(True, True, True)),
    *(Row(name, text, changes) for name, (text, changes) in UPGRADES.items()),
    Row(
        "segmentation_head",
        "+ a segmentation head on the translator's content",
        _upgrade("translation", segmentation_weight=1.0),
    ),
    Row(
        "depth_consistency",
        "+ neighbouring planes translated alike",
        _upgrade("translation", depth_consistency=1.0),
    ),
    Row(
        "content_curves",
        "+ contents learned along random intensity curves",
        _upgrade("translation", content_curves=1.0),
    ),
    Row(
        "random_tissues",
        "+ patches of source volumes, half of them with every tissue at a random intensity of a target scan",
        merge(_upgrade("segmentation", random_tissues=0.5), {"segmentation": {"source_share": _source_share}}),
    ),
    Row(
        "inverted_source",
        "+ bright and dark of source scans turned round, whatever is planned",
        {"preprocessing": {"source_inverted": True}},
    ),
    Row("all_upgrades", "all upgrades of the DAR-UNet together", _ALL),
    Row("default", "the plan as it stands", as_planned=True),
)


def find_rows(names: Sequence[str]) -> tuple[Row, ...]:
    """Rows by name, in the order of `ROWS`, each once; all of them for no name.

    Raises:
        ConfigurationError: There is no such row.
    """
    unknown = [name for name in names if name not in {row.name for row in ROWS}]
    if unknown:
        raise ConfigurationError(
            "there is no such row",
            found=", ".join(unknown),
            expected=", ".join(row.name for row in ROWS),
            remedy="mend --rows; --list shows all rows with what they are",
        )
    return tuple(row for row in ROWS if not names or row.name in names)


def missing_fields(row: Row, plans: Plans) -> list[str]:
    """Fields that a row changes and the plan does not have."""
    return [f"{part}.{name}" for part, name in _changed(row) if not hasattr(getattr(plans, part, None), name)]


def plans_of(row: Row, plans: Plans) -> Plans:
    """The plan of a row, with the budget of the given one.

    The paper's method is the plan with each field that any row changes at its default. Rows without self-training get
    its iterations added to the segmentation's; a larger patch has fewer iterations, so that each row sees as many
    voxels.

    Raises:
        ConfigurationError: The plan lacks a field that the row changes, or the row's plan cannot be used.
    """
    missing = missing_fields(row, plans)
    if missing:
        raise ConfigurationError(f"the row {row.name} is not available", found=f"the plan has no {', '.join(missing)}")
    values: dict[str, dict[str, Any]] = {} if row.as_planned else _paper(plans)
    for part, fields in row.changes.items():
        for name, value in fields.items():
            values.setdefault(part, {})[name] = value(plans) if callable(value) else value
    rounds = values.get("self_training", {}).get("rounds", plans.self_training.rounds)
    changed = with_rounds(plans, rounds)
    for part, fields in values.items():
        changed = dataclasses.replace(changed, **{part: dataclasses.replace(getattr(changed, part), **fields)})
    changed = _as_many_voxels(changed, plans)
    check_plans(changed, f"row {row.name}")
    return changed


def _paper(plans: Plans) -> dict[str, dict[str, Any]]:
    """Fields that rows change, and their defaults, as far as they have one."""
    values: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        for part, name in _changed(row):
            default = _default(getattr(plans, part, None), name)
            if default is not dataclasses.MISSING:
                values.setdefault(part, {})[name] = default
    return values


def _changed(row: Row) -> Iterator[tuple[str, str]]:
    return ((part, name) for part, fields in row.changes.items() for name in fields)


def _default(part: Any, name: str) -> Any:
    """The default of a field of a part of the plan; MISSING where it has none."""
    return part.__dataclass_fields__[name].default if hasattr(part, name) else dataclasses.MISSING


def _as_many_voxels(changed: Plans, plans: Plans) -> Plans:
    """The plan with iterations that see as many voxels as those of another plan with other patches."""
    new, old = changed.segmentation, plans.segmentation
    ratio = math.prod(old.patch_size) * old.batch_size / (math.prod(new.patch_size) * new.batch_size)
    if ratio == 1:
        return changed
    rounds = changed.self_training
    return dataclasses.replace(
        changed,
        segmentation=dataclasses.replace(new, iterations=max(round(new.iterations * ratio), 1)),
        self_training=dataclasses.replace(rounds, iterations=max(round(rounds.iterations * ratio), 1)),
    )
