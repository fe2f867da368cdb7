"""The plan, from the fingerprint and a preset alone. Each section says why."""

from __future__ import annotations

import math

import numpy as np

from darnet.errors import ConfigurationError
from darnet.io import DatasetInfo
from darnet.layout import DOMAINS
from darnet.planning.fields import determine_fields, median_shape
from darnet.planning.fingerprint import Fingerprint
from darnet.planning.intensities import intensity_rule
from darnet.planning.kinds import appearance_share
from darnet.planning.memory import largest_patch, predict_memory
from darnet.planning.places import plan_inference
from darnet.planning.presets import Preset
from darnet.planning.sides import sided_names
from darnet.planning.spacing import determine_source_depth, determine_spacing, determine_through_plane
from darnet.planning.topology import determine_discriminator, determine_slice_size, determine_strides, determine_window
from darnet.plans import (
    COMPARED_SHARE,
    LARGEST_COMPARISON,
    DomainPlan,
    Plans,
    PreprocessingPlan,
    SegmentationPlan,
    SelfTrainingPlan,
    SynthesisPlan,
    TranslationPlan,
    check_plans,
)

ANISOTROPIC_PLANES = 1.5  # through-plane over in-plane spacing from which planes are interpolated linearly
MEMORY_TARGET_GB = 24.0
MEMORY_SHARE = 0.9  # of the target; the rest is left to the packages and the device's own needs
BATCH_SIZE = 2
TRANSLATION_BATCH = 4
STYLES = 5
TARGET_SHARE = 0.3  # of the patches of a round, from the second on
MOST_ITERATIONS = 4000  # of the segmentation: tiny patches take little less time than small ones
LEAST_SCANS = 6  # that training segments at once, however large they are


def make_plans(
    fingerprint: Fingerprint,
    info: DatasetInfo,
    dataset: str,
    preset: Preset,
    seed: int = 0,
    memory_gb: float = MEMORY_TARGET_GB,
) -> Plans:
    """Decide everything.

    Args:
        fingerprint: Of the data set.
        info: Labels and modalities.
        dataset: Its name.
        preset: How much computing to spend.
        seed: Seed of folds, training and synthesis.
        memory_gb: Memory that training may take.

    Raises:
        ConfigurationError: The memory does not suffice for any patch.
    """
    fingerprint = fingerprint.turned(determine_through_plane(fingerprint)[0])
    preprocessing = plan_preprocessing(fingerprint, preset)
    segmentation, memory = plan_segmentation(fingerprint, info, preset, preprocessing, memory_gb)
    if memory > memory_gb * 2**30:
        raise ConfigurationError(
            "even the smallest patch does not fit the memory",
            where=dataset,
            found=f"{memory / 2**30:.2g} GB",
            expected=f"at most {memory_gb:g} GB",
            remedy="allow more memory" + (", or take the preset fast" if preset.name != "fast" else ""),
        )
    plans = Plans(
        dataset=dataset,
        preset=preset.name,
        labels=info.labels,
        source=DomainPlan(info.source_modality, intensity_rule(fingerprint, "source", info.source_modality)),
        target=DomainPlan(info.target_modality, intensity_rule(fingerprint, "target", info.target_modality)),
        preprocessing=preprocessing,
        translation=plan_translation(fingerprint, info, preset, preprocessing),
        synthesis=plan_synthesis(fingerprint, preset),
        segmentation=segmentation,
        self_training=plan_self_training(segmentation, preset),
        inference=plan_inference(fingerprint, info),
        seed=seed,
        most_scans=plan_most_scans(fingerprint, preset, preprocessing),
        memory_target_gb=memory_gb,
        predicted_memory_gb=round(memory / 2**30, 2),
    )
    check_plans(plans)
    return plans


def plan_preprocessing(fingerprint: Fingerprint, preset: Preset) -> PreprocessingPlan:
    """Grid and crop."""
    spacing, why_spacing = determine_spacing(fingerprint, preset)
    through_plane, why_axis = determine_through_plane(fingerprint)
    depth, why_depth = determine_source_depth(fingerprint)
    fields = determine_fields(fingerprint)
    height, width = fields.source
    ratio = max(
        fingerprint.median(domain, "spacing")[0] / max(fingerprint.median(domain, "spacing")[1:])
        for domain in ("source", "target")
    )
    return PreprocessingPlan(
        spacing=spacing,
        through_plane=through_plane,
        anisotropic=ratio >= ANISOTROPIC_PLANES,
        source_depth=depth,
        source_height=height,
        source_width=width,
        why={
            "spacing": why_spacing,
            "through_plane": why_axis,
            "anisotropic": f"through-plane spacing is up to {ratio:.2g} times that in plane; from {ANISOTROPIC_PLANES} "
            "on planes are interpolated linearly",
            "source_depth": why_depth,
            "source_height": fields.why_source[0],
            "source_width": fields.why_source[1],
        },
    )


def mirror_axes(fingerprint: Fingerprint, info: DatasetInfo, preset: Preset) -> tuple[tuple[int, ...], str]:
    """Axes of (D, H, W) along which patches are mirrored: never one that swaps left and right labels."""
    if not preset.mirror:
        return (), "short runs learn no more from mirrored anatomy than from their own"
    sided = sided_names(list(info.labels))
    axes = [{code for case in fingerprint.cases for code in case.body_axes[axis]} for axis in range(3)]
    # Along D of axial planes neighbours are too unlike their mirror image; in plane as the paper does.
    kept = tuple(a for a in (1, 2) if not (sided and axes[a] & {"L", "R"}))
    why = "in-plane axes" + (f", but for left to right, which would swap {', '.join(sided)}" if sided else "")
    return kept, why


def plan_translation(
    fingerprint: Fingerprint, info: DatasetInfo, preset: Preset, preprocessing: PreprocessingPlan
) -> TranslationPlan:
    """Slice size, discriminators and length of the translator's training."""
    spacing = preprocessing.spacing[1:]
    fields = determine_fields(fingerprint)
    size, why_size = determine_slice_size((fields.body[0] / spacing[0], fields.body[1] / spacing[1]))
    narrow = [n / s if n < body else None for n, s, body in zip(fields.shared, spacing, fields.body, strict=True)]
    window, why_window = determine_window(size, preset.translation_plane, (narrow[0], narrow[1]))
    layers, scales, content_layers, why_maps = determine_discriminator(
        window or size, preset.discriminator_layers, preset.discriminator_scales
    )
    slices = _source_slices(fingerprint, preprocessing)
    if preset.translation_epochs is None:
        a_batch = TRANSLATION_BATCH * math.prod(window or size)
        iterations = round_to(preset.translation_pixels / a_batch, preset.least_iterations)
        why_length = f"{preset.translation_pixels:.2g} pixels in all, for a CPU: the summary tells the time"
    else:
        iterations = max(round(preset.translation_epochs * slices / TRANSLATION_BATCH), 100)
        seen = f"{slices} source slices" + (", a window of each" if window else "")
        why_length = f"{preset.translation_epochs} epochs of {seen}, {TRANSLATION_BATCH} an iteration"
    mirrored, why_mirror = mirror_axes(fingerprint, info, preset)
    return TranslationPlan(
        slice_size=size,
        window=window,
        width=preset.translator_width,
        discriminator_layers=layers,
        discriminator_scales=scales,
        content_discriminator_layers=content_layers,
        iterations=iterations,
        batch_size=TRANSLATION_BATCH,
        learning_rate_generator=preset.learning_rate_generator,
        learning_rate_discriminator=2 * preset.learning_rate_generator,
        mirror_axes=mirrored,
        why={
            "slice_size": why_size,
            "window": why_window,
            "width": f"preset {preset.name}",
            "discriminator_layers": why_maps,
            "discriminator_scales": why_maps,
            "batch_size": "as many slices as the paper's authors take",
            "iterations": why_length,
            "learning_rate_generator": f"preset {preset.name}; the discriminators, its judges, learn twice as fast",
            "mirror_axes": why_mirror,
        },
    )


def _source_slices(fingerprint: Fingerprint, plan: PreprocessingPlan) -> int:
    """Planes of all source scans on the planned grid."""
    limit = plan.source_limits[0]
    return sum(max(round(min(case.field_of_view[0], limit) / plan.spacing[0]), 1) for case in fingerprint.of("source"))


def plan_segmentation(
    fingerprint: Fingerprint,
    info: DatasetInfo,
    preset: Preset,
    preprocessing: PreprocessingPlan,
    memory_gb: float = MEMORY_TARGET_GB,
) -> tuple[SegmentationPlan, float]:
    """Patch, strides and length of the DAR-UNet's training, and its predicted memory in bytes."""
    fields, spacing = determine_fields(fingerprint), preprocessing.spacing
    shape = median_shape(fingerprint, preprocessing, fields.shared)

    def fits(patch: tuple[int, int, int], strides: tuple[tuple[int, int, int], ...]) -> bool:
        memory = predict_memory(patch, BATCH_SIZE, preset.channels, strides, preset.value_bytes, len(info.labels))
        small = preset.patch_voxels is None or math.prod(patch) <= preset.patch_voxels
        return memory <= MEMORY_SHARE * memory_gb * 2**30 and small

    patch, strides = largest_patch(
        shape, preset.patch_plane, fits, lambda planes: determine_strides(spacing, planes)[0]
    )
    iterations, why_length = _segmentation_length(preset, patch, len(fingerprint.of("source")))
    mirrored, why_mirror = mirror_axes(fingerprint, info, preset)
    appearance, why_appearance = appearance_share(preset, info.source_modality, info.target_modality)
    memory = predict_memory(patch, BATCH_SIZE, preset.channels, strides, preset.value_bytes, len(info.labels))
    plan = SegmentationPlan(
        patch_size=patch,
        batch_size=BATCH_SIZE,
        channels=preset.channels,
        strides=strides,
        iterations=iterations,
        learning_rate=preset.learning_rate,
        appearance=appearance,
        random_convolution=preset.random_convolution,
        class_gain=preset.class_gain,
        source_share=preset.source_share,
        expected_appearance=preset.expected_appearance,
        mirror_axes=mirrored,
        why={
            "patch_size": f"the largest within {memory_gb:g} GB (predicted: {memory / 2**30:.2g} GB)"
            + (f" and {preset.patch_voxels} voxels" if preset.patch_voxels else "")
            + f", for volumes of about {shape[0]} x {shape[1]} x {shape[2]}"
            + (f": {fields.why}" if fields.why else ""),
            "strides": determine_strides(spacing, patch[0])[1],
            "channels": f"preset {preset.name}",
            "batch_size": "the paper's; memory that is left makes the patch larger",
            "folds": "each source case is held out once",
            "iterations": why_length,
            "learning_rate": f"preset {preset.name}",
            "mirror_axes": why_mirror,
            "class_gain": "an organ's brightness differs between kinds of scan"
            if preset.class_gain
            else f"preset {preset.name}: the paper's augmentations alone",
            "source_share": "a short training of the translator blurs; source volumes show the borders as they are"
            if preset.source_share
            else f"preset {preset.name}: the paper trains on translated volumes alone",
            "expected_appearance": "places in the body tell how bright target scans show classes before they are found"
            if preset.expected_appearance
            else f"preset {preset.name}: the paper's augmentations alone",
            "appearance": why_appearance,
            "random_convolution": "made-up contrasts besides the translator's, so that shape counts more than intensity"
            if preset.random_convolution
            else f"preset {preset.name}: the paper's augmentations alone",
        },
    )
    return plan, memory


def _segmentation_length(preset: Preset, patch: tuple[int, int, int], cases: int) -> tuple[int, str]:
    """Iterations of the DAR-UNet's training with so many source cases, and the reason."""
    if preset.segmentation_epochs is not None:
        volumes = cases * STYLES
        iterations = max(round(preset.segmentation_epochs * volumes / BATCH_SIZE), 100)
        return iterations, (
            f"{preset.segmentation_epochs} epochs of {volumes} translated volumes, {BATCH_SIZE} an iteration"
        )
    wanted = round_to(preset.segmentation_voxels / (BATCH_SIZE * math.prod(patch)), preset.least_iterations)
    iterations = min(wanted, MOST_ITERATIONS)
    most = f", but at most {iterations} iterations" if iterations < wanted else ""
    return iterations, f"{preset.segmentation_voxels:.2g} voxels in all{most}, for a CPU: the summary tells the time"


def plan_synthesis(fingerprint: Fingerprint, preset: Preset) -> SynthesisPlan:
    """Styles, and how many of them a source volume is translated into."""
    cases, most = len(fingerprint.of("source")), preset.translated_volumes
    few = None if most is None or cases * STYLES <= most else max(most // cases, 1)
    return SynthesisPlan(
        number_of_styles=STYLES,
        styles_a_case=few,
        why={
            "number_of_styles": "as many as in the paper",
            "styles_a_case": f"{cases} source cases: all styles are {cases * STYLES} volumes"
            + ("" if few is None else ", which would take longer to translate than the training needs them"),
            "choice": "as in the paper: the style of a random target slice out of each group of alike ones",
        },
    )


def plan_self_training(segmentation: SegmentationPlan, preset: Preset) -> SelfTrainingPlan:
    """Rounds on pseudo-labelled target scans, and their length."""
    why = f"preset {preset.name}" + ("" if preset.rounds else ": the paper trains on translated volumes alone")
    return SelfTrainingPlan(
        rounds=preset.rounds,
        iterations=max(round(preset.round_length * segmentation.iterations), 1),
        learning_rate=segmentation.learning_rate,
        target_share=TARGET_SHARE,
        matched_share=preset.matched_share,
        matched_translated=preset.matched_translated,
        why={
            "rounds": why,
            "iterations": f"{preset.round_length:.0%} of the segmentation's",
            "learning_rate": "the segmentation's: the appearance of target scans is new to the network",
            "target_share": "source volumes have true labels, target scans the true appearance; none in the first "
            "round, since the network has not learnt from target scans before it",
            "matched_share": "true labels and borders in the intensities that the classes have in target scans",
            "matched_translated": "source volumes have the sharper borders, translated ones the likelier surroundings",
            "kept": "the voxels that the network is less sure of are mostly at borders and in missed organs",
        },
    )


def plan_most_scans(fingerprint: Fingerprint, preset: Preset, preprocessing: PreprocessingPlan) -> int | None:
    """How many scans training may segment at once, or None where it may segment all.

    On a CPU a pass over many large scans would take longer than the training that it serves.

    Args:
        fingerprint: Of the data set.
        preset: How much computing to spend.
        preprocessing: The planned grid.
    """
    if preset.scan_voxels is None:
        return None
    extents = np.array([fingerprint.median(domain, "body_extent") for domain in DOMAINS])
    extents[:, 0] = [fingerprint.median(domain, "field_of_view")[0] for domain in DOMAINS]
    extents[0] = np.minimum(extents[0], preprocessing.source_limits)
    largest = float(extents.prod(axis=1).max())  # mm3
    most = max(int(preset.scan_voxels * math.prod(preprocessing.spacing) / largest), LEAST_SCANS)
    there = max(len(fingerprint.of(domain)) for domain in ("source", "target"))
    return None if most >= max(there, LARGEST_COMPARISON * COMPARED_SHARE) else most


def round_to(value: float, step: int) -> int:
    """The nearest multiple, at least one."""
    return max(round(value / step), 1) * step
