"""The parts of a plan. Lengths are in mm and axes in the order (D, H, W) unless said otherwise."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from darnet.plans.modalities import is_ct, is_mr

# Null in these fields is as if there was no such key: a plan or weights without it are of the same training.
LABEL_MARGIN = 20.0  # mm beyond the labels that a cropped source scan keeps
NOTHING_IF_NULL = (
    "window",
    "content_curves",
    "styles_a_case",
    "matched_translated",
    "expected_background",
    "source_inverted",
    "source_height",
    "source_width",
    "random_tissues",
    "expected_appearance",
    "places",
)


def settings_of(part: Any) -> dict[str, Any]:
    """Fields of a part of the plan, without its reasons and without those that are as if not there."""
    return {k: v for k, v in asdict(part).items() if k != "why" and not (k in NOTHING_IF_NULL and v is None)}


@dataclass(frozen=True)
class IntensityPlan:
    """How the intensities of one domain become [-1, 1].

    Attributes:
        rule: "window" clips all scans to `low`..`high` in their own unit; "percentile" clips each scan to its own
            percentiles `low`..`high`, taken over its body.
        low: What becomes -1: in the scans' unit, or a percentile.
        high: What becomes 1.
    """

    rule: str
    low: float
    high: float
    why: str = ""


@dataclass(frozen=True)
class DomainPlan:
    """What is planned for each domain on its own.

    Attributes:
        modality: What its scans are, as dataset.json says.
        intensity: How their intensities become [-1, 1].
    """

    modality: str
    intensity: IntensityPlan

    @property
    def hounsfield(self) -> bool:
        """Whether its scans are CT in Hounsfield units."""
        return is_ct(self.modality) and self.intensity.rule == "window"

    @property
    def padded(self) -> bool:
        """Whether its scans are MR, in which a constant frame is no air but was added."""
        return is_mr(self.modality) and self.intensity.rule == "percentile"

    @property
    def told_by_name(self) -> dict[str, bool]:
        """What its modality tells preprocessing, by name."""
        return {"hounsfield": self.hounsfield, "padded": self.padded}


@dataclass(frozen=True)
class PreprocessingPlan:
    """Grid that all scans are brought to.

    Attributes:
        spacing: mm of the planned grid (D, H, W): through the planes, then in plane.
        through_plane: Body axis ("R", "A" or "S") that D follows where a scan is isotropic; an anisotropic scan keeps
            its own.
        anisotropic: Whether scans are resampled linearly along D instead of with cubics.
        source_depth: mm along D to which labelled source scans are cropped about their labels; null keeps all.
        source_height: mm along H to which they are cropped about their labels; null keeps the body.
        source_width: mm along W to which they are cropped about their labels; null keeps the body.
        source_inverted: true turns bright and dark of source scans round, as between T1 and T2; null leaves them.
    """

    spacing: tuple[float, float, float]
    through_plane: str
    anisotropic: bool
    source_depth: float | None
    source_inverted: bool | None = None
    source_height: float | None = None
    source_width: float | None = None
    why: dict[str, str] = field(default_factory=dict)

    @property
    def source_limits(self) -> tuple[float, float, float]:
        """Mm along (D, H, W) that source scans are cropped to, infinite where they are not."""
        depth, height, width = self.source_depth, self.source_height, self.source_width
        return depth or math.inf, height or math.inf, width or math.inf


@dataclass(frozen=True)
class TranslationPlan:
    """The 2D translator (section III.A) and its training.

    CycleGAN takes from here the sizes of slices and networks, length, batches, augmentation and `weight_cycle`; the
    rest of it is as published, and a source volume has one translation.

    Attributes:
        slice_size: Pixels (H, W) that slices are cut or padded to.
        window: Pixels (H, W) of the random window of each slice that an iteration learns from, mirrored at its edges
            where it is turned and moved; null learns from whole slices. Translation itself is of whole slices.
        width: Channels at full size in encoders and decoder; deeper layers have up to four times as many.
        method: "disentangled" (content and style) or "entangled" (CycleGAN: one translation of each source volume).
        style_dim: Numbers of a style code.
        residual_blocks: Of the content encoder, and of the decoder.
        style_norm: "none" or "instance": norm in the style encoders.
        discriminator_width: Channels of the discriminators' first layer.
        discriminator_layers: Layers of each image discriminator at full size; each smaller image has one less, but at
            least one.
        discriminator_scales: Image sizes that are judged, each half of the one before.
        content_discriminator_layers: Layers of the content discriminator.
        iterations: Length of the training.
        batch_size: Slices of each domain an iteration.
        learning_rate_generator: Of encoders and decoder.
        learning_rate_discriminator: Of the discriminators.
        weight_image: Of the difference of a slice from its reconstruction.
        weight_content: Of the difference of a content after translation.
        weight_style: Of the difference of a style after translation.
        weight_cycle: Of the difference of a slice that was translated there and back.
        segmentation_weight: Of a head that finds the classes in the content of source slices, before and after their
            translation; 0 leaves it out. It learns from the labels of all source scans, those of held-out folds
            included.
        depth_consistency: Of the difference of neighbouring translated planes where the source planes agree; 0 leaves
            it out. It costs one more encoding and decoding of the source slices an iteration.
        content_curves: Share of the slices that training shows to the content encoder along a random intensity curve,
            rising or falling, so that content does not tell bright from dark; null for none. Styles and losses are of
            the slices as they are, and so is translation itself.
        ema_decay: Share that the averaged weights, which translate, keep at each iteration.
        rotation_degrees: Slices are turned by at most that.
        scale: Slices grow or shrink by at most that share.
        shift: Slices move by at most that share of their size.
        mirror_axes: Axes along which slices are mirrored: 1 for H, 2 for W.
    """

    slice_size: tuple[int, int]
    width: int
    window: tuple[int, int] | None = None
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
    content_curves: float | None = None
    ema_decay: float = 0.999
    rotation_degrees: float = 30.0
    scale: float = 0.1
    shift: float = 0.1
    mirror_axes: tuple[int, ...] = ()
    why: dict[str, str] = field(default_factory=dict)

    @property
    def training_size(self) -> tuple[int, int]:
        """Pixels (H, W) that an iteration sees of each slice."""
        return self.window or self.slice_size


@dataclass(frozen=True)
class SynthesisPlan:
    """How target-like volumes are made.

    Attributes:
        number_of_styles: Clusters of target styles. Each source volume gets a translation a cluster; one in all where
            `choice` is "mean" or `translation.method` is "entangled".
        styles_a_case: Clusters that a source volume is translated into, the cases taking turns; null for all. A few
            cases get all of them nevertheless, for pictures and checks.
        choice: Style of a cluster: "random" (a new one for each volume, from the seed), "medoid" (its middle), or one
            "mean" of all styles.
        minimum_foreground: Least share of body in a slice that is learned from or gives a style.
        batch_size: Slices translated at once.
    """

    number_of_styles: int = 5
    styles_a_case: int | None = None
    choice: str = "random"
    minimum_foreground: float = 0.05
    batch_size: int = 16
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SegmentationPlan:
    """The 3D DAR-UNet (section III.B) and its training.

    Attributes:
        patch_size: Voxels (D, H, W) of a patch.
        batch_size: Patches an iteration.
        channels: Width of each level.
        strides: Between the levels, (D, H, W) each: 2 halves an axis.
        quartet_attention: Whether each block has QAM.
        voxel_attention: Whether VAM weighs the decoder's features at each level.
        deep_supervision: Whether each level gives a result with a loss of its own, and all are fused.
        quartet_norm: Batch norm within QAM.
        voxel_sigmoid: Sigmoid on VAM's map.
        iterations: Length of the training.
        learning_rate: At the start; it falls along a cosine.
        final_learning_rate: At the end.
        weight_decay: Of the weights.
        focal_weight: Of the focal loss; the Dice loss has 1.
        focal_gamma: Exponent of the focal loss.
        foreground_fraction: Share of the patches that are put about a voxel of a random class; the others lie anywhere.
        rotation_degrees: Patches are turned in plane by at most that.
        scale: Patches grow or shrink by at most that share.
        shift: Patches move by at most that share of half their size.
        elastic: Spread of the bending of half of the patches, as a share of half their size.
        contrast: Strength of random contrast, brightness and noise.
        appearance: Share of the patches with a random intensity curve, rising or falling; none of those that look like
            target scans.
        random_convolution: Share of the same patches with the made-up contrast of a random shallow network.
        class_gain: Strength of the gains of single classes.
        source_share: Share of the patches out of source volumes as they are; the others are translated ones.
        expected_appearance: Share of the patches of untranslated source volumes that look as target scans are expected
            to, from where classes and background lie in the body, without made-up contrasts; null for none.
        random_tissues: Share of the other patches of source volumes that show each class at a random intensity of a
            target scan, and the rest along a curve that goes anywhere; null for none.
        mirror_axes: Axes of (D, H, W), as 0, 1, 2, along which patches are mirrored.
        folds: Parts that the source cases are dealt into; fewer where there are fewer cases.
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
    expected_appearance: float | None = None
    random_tissues: float | None = None
    mirror_axes: tuple[int, ...] = ()
    folds: int = 5
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SelfTrainingPlan:
    """Training that goes on with pseudo-labelled target scans. No target label is read.

    A round segments the target training scans with the network of the round before and trains it on.

    Attributes:
        rounds: How many; 0 for none.
        iterations: Of each round.
        learning_rate: At the start of each round; it falls along a cosine.
        target_share: Share of the patches out of pseudo-labelled target scans, from the second round on; the others
            are of source volumes.
        kept: Share of the voxels of each class, background left out, in each scan that the network is surest of, which
            count; the others have no say. As many voxels of background have no say as of all classes together.
        matched_share: Share of the patches of source volumes that get the appearance of a target scan, class by class,
            as the pseudo-labels tell it.
        matched_translated: Share of these patches out of translated volumes, the others out of untranslated ones; null
            for none.
        expected_background: Share of those out of untranslated volumes whose background is about as bright as target
            scans mostly are in the same places of the body; null for none.
        choose: Whether prediction takes the round that was chosen without labels of target scans (`choice.json`)
            instead of the last.
    """

    rounds: int = 0
    iterations: int = 250
    learning_rate: float = 5e-4
    target_share: float = 0.5
    kept: float = 0.8
    matched_share: float = 0.0
    matched_translated: float | None = None
    expected_background: float | None = None
    choose: bool = False
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a class lies among the others, and how large it is.

    Attributes:
        offset: mm towards right, anterior and superior, from the mean of the centres of all classes with a place.
        spread: mm, standard deviation between patients along an axis.
        ml: Volume.
    """

    offset: tuple[float, float, float]
    spread: float
    ml: float


@dataclass(frozen=True)
class InferencePlan:
    """Sliding window.

    Attributes:
        step_size: Of the window, as a share of the patch.
        average: What overlapping windows average: "probabilities" or "logits".
        largest_component: Labels of which only one connected component is kept: the largest, or that in its place.
        places: Where these classes lie in source scans, by name, as `offset` in mm (right, anterior, superior),
            `spread` in mm and volume in `ml`; null keeps the largest components.
    """

    step_size: float = 0.5
    average: str = "probabilities"
    largest_component: tuple[int, ...] = ()
    places: dict[str, Place] | None = None
    why: dict[str, str] = field(default_factory=dict)
