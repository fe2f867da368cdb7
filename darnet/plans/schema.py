"""The plan of a data set: frozen dataclasses that go to JSON and back. Planning fills them, every stage reads them."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError
from darnet.plans.checks import check_plans
from darnet.plans.parse import build

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class IntensityPlan:
    """How the intensities of one domain become [-1, 1].

    `rule` is "window" (clip to `low`..`high` in the scan's own units, fixed for all scans) or "percentile" (clip each
    scan to its own percentiles `low`..`high`, taken over its foreground).
    """

    rule: str
    low: float
    high: float
    why: str = ""


@dataclass(frozen=True)
class DomainPlan:
    """What is planned for each domain on its own."""

    modality: str
    intensity: IntensityPlan


@dataclass(frozen=True)
class PreprocessingPlan:
    """Grid that all scans are brought to.

    `spacing` is in mm in array-axis order (D, H, W). `through_plane` names the body axis ("R", "A" or "S") that D
    follows where a scan is isotropic; an anisotropic scan keeps its own through-plane axis. `anisotropic` says
    whether the through-plane axis is resampled linearly instead of with cubics. `source_depth` is the extent in mm
    along D to which labelled source scans are cropped around their labels (None keeps all of it).
    """

    spacing: tuple[float, float, float]
    through_plane: str
    anisotropic: bool
    source_depth: float | None
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TranslationPlan:
    """The 2D translator (section III.A) and its training.

    `method` is "disentangled" (content and style) or "entangled" (CycleGAN). CycleGAN takes from here the sizes of
    slices and networks, length, batches, augmentation and `weight_cycle`; the rest of it is as published, and a source
    volume has one translation.

    `segmentation_weight` is that of a head that finds the classes in the content of source slices, before and after
    their translation; 0 leaves it out. It learns from the labels of all source scans, those of held-out folds included.
    `depth_consistency` is the weight of the difference between neighbouring translated planes where the source planes
    agree; 0 leaves it out.
    """

    slice_size: tuple[int, int]
    width: int
    method: str = "disentangled"
    style_dim: int = 8
    residual_blocks: int = 4
    style_norm: str = "none"
    discriminator_width: int = 32
    discriminator_layers: int = 4
    discriminator_scales: int = 3
    content_discriminator_layers: int = 2
    iterations: int = 1000
    batch_size: int = 4
    learning_rate_generator: float = 1e-4
    learning_rate_discriminator: float = 2e-4
    weight_image: float = 10.0
    weight_content: float = 1.0
    weight_style: float = 1.0
    weight_cycle: float = 10.0
    segmentation_weight: float = 0.0
    depth_consistency: float = 0.0
    ema_decay: float = 0.999
    rotation_degrees: float = 30.0
    scale: float = 0.1
    shift: float = 0.1
    mirror_axes: tuple[int, ...] = ()
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SynthesisPlan:
    """How target-like volumes are made. `choice` is "random" (seeded), "medoid" or "mean"."""

    number_of_styles: int = 5
    choice: str = "random"
    minimum_foreground: float = 0.05
    batch_size: int = 16
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SegmentationPlan:
    """The 3D DAR-UNet (section III.B) and its training. `mirror_axes` count (D, H, W) as 0, 1, 2.

    `source_share` of the patches come from source volumes as they are, the others from translated ones.
    """

    patch_size: tuple[int, int, int]
    batch_size: int
    channels: tuple[int, ...]
    strides: tuple[tuple[int, int, int], ...]
    quartet_attention: bool = True
    voxel_attention: bool = True
    deep_supervision: bool = True
    quartet_norm: bool = True
    voxel_sigmoid: bool = False
    iterations: int = 1000
    learning_rate: float = 5e-4
    final_learning_rate: float = 5e-7
    weight_decay: float = 1e-4
    focal_weight: float = 10.0
    focal_gamma: float = 2.0
    foreground_fraction: float = 1.0 / 3.0
    rotation_degrees: float = 15.0
    scale: float = 0.1
    shift: float = 0.1
    elastic: float = 0.05
    contrast: float = 0.25
    appearance: float = 0.0
    random_convolution: float = 0.0
    class_gain: float = 0.0
    source_share: float = 0.0
    mirror_axes: tuple[int, ...] = ()
    folds: int = 5
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SelfTrainingPlan:
    """Training that goes on with pseudo-labelled target scans. No target label is read.

    A round segments the target training scans with the network of the round before and trains it on. From the second
    round on `target_share` of the patches are of target scans, the others of source volumes. Of each class in each scan
    the `kept` share of voxels that the network is surest of count; the others have no say. `matched_share` of the
    patches of source volumes have the appearance of a target scan, class by class, as the pseudo-labels tell it.
    `choose` has prediction take the round that was chosen without labels of target scans (`choice.json`) instead of the
    last.
    """

    rounds: int = 0
    iterations: int = 250
    learning_rate: float = 5e-4
    target_share: float = 0.5
    kept: float = 0.8
    matched_share: float = 0.0
    choose: bool = False
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InferencePlan:
    """Sliding window. `average` is "probabilities" or "logits"; `largest_component` lists the labels of which only
    the largest connected component is kept."""

    step_size: float = 0.5
    average: str = "probabilities"
    largest_component: tuple[int, ...] = ()
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plans:
    """Everything that planning decided for one data set."""

    dataset: str
    preset: str
    labels: dict[str, int]
    source: DomainPlan
    target: DomainPlan
    preprocessing: PreprocessingPlan
    translation: TranslationPlan
    synthesis: SynthesisPlan
    segmentation: SegmentationPlan
    self_training: SelfTrainingPlan
    inference: InferencePlan
    seed: int = 0
    memory_target_gb: float = 24.0
    predicted_memory_gb: float = 0.0
    schema_version: int = SCHEMA_VERSION

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.labels)

    @property
    def foreground(self) -> dict[str, int]:
        """Labels without background."""
        return {name: value for name, value in self.labels.items() if value != 0}

    @property
    def translations_a_case(self) -> int:
        """Number of translated volumes of each source scan."""
        one = self.translation.method == "entangled" or self.synthesis.choice == "mean"
        return 1 if one else self.synthesis.number_of_styles

    def domain(self, name: str) -> DomainPlan:
        return self.source if name == "source" else self.target

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives an equal plan back."""
        return typing.cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(self))))

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str | Path = "plans.json") -> Plans:
        """Build a plan from JSON values.

        Raises:
            ConfigurationError: An unknown or missing key, a value of the wrong type, or another schema version.
        """
        version = values.get("schema_version") if isinstance(values, dict) else None
        if version != SCHEMA_VERSION:
            raise ConfigurationError(
                "the plan has another schema version",
                where=where,
                found=version,
                expected=SCHEMA_VERSION,
                remedy="plan again with darnet_plan_and_preprocess",
            )
        plans: Plans = build(cls, values, str(where), "")
        check_plans(plans, where)
        return plans

    @classmethod
    def read(cls, path: str | Path) -> Plans:
        """Read a plan from a file.

        Raises:
            ConfigurationError: No such file, not JSON, or not a valid plan.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(
                "there is no plan", where=path, remedy="run darnet_plan_and_preprocess first"
            ) from None
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(
                "the plan is not valid JSON", where=path, found=error, remedy="mend the line or plan again"
            ) from None
        return cls.from_json(values, path)
