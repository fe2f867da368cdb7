"""Presets: how much computing a plan may spend."""

from __future__ import annotations

from dataclasses import dataclass

from darnet.errors import ConfigurationError
from darnet.planning.memory import MIXED_PRECISION, SINGLE_PRECISION


@dataclass(frozen=True)
class Preset:
    """What a preset decides; everything else follows from the data.

    Attributes:
        name: "paper" or "fast".
        channels: Widths of the DAR-UNet.
        translator_width: Width of the translator's first layer.
        discriminator_scales: Most scales of the image discriminators.
        discriminator_layers: Most layers of each.
        plane_pixels: Pixels that the body, or as much of it as both domains show, fills along its longer in-plane axis;
            None keeps the data's own.
        patch_voxels: Most voxels of a patch; None leaves it to the memory.
        patch_plane: Most pixels of a patch along an in-plane axis.
        translation_plane: Most pixels along an axis of what the translator learns from at once; None has no limit.
        translation_epochs: Passes over all source slices; None takes `translation_pixels`.
        translation_pixels: Pixels of source slices seen in all.
        segmentation_epochs: Passes over all synthetic volumes; None takes `segmentation_voxels`.
        segmentation_voxels: Voxels of patches seen in all.
        learning_rate_generator: Of the translator; its discriminators get twice that (two time-scale update rule).
        learning_rate: Of the DAR-UNet at the start.
        translated_volumes: Source volumes of all styles together from which on a case has fewer styles; None for no
            limit.
        mirror: Whether patches and slices are mirrored at all.
        appearance: Share of patches with a random intensity curve, rising or falling.
        appearance_of_sequences: The same between two sequences of MR.
        random_convolution: Share of patches that a random shallow network changes.
        source_contrast: Whether bright and dark of source scans are turned round where that suits the target better.
        class_gain: Strength of the gains of single classes in patches.
        source_share: Share of patches out of source volumes as they are.
        expected_appearance: Share of those that look as target scans are expected to; None for none.
        rounds: Of self-training on target scans.
        round_length: Iterations of a round, as a share of the segmentation's.
        matched_share: Share of source patches of a round in the appearance of target scans.
        matched_translated: Share of those out of translated volumes; None for none.
        value_bytes: Bytes of a value of the DAR-UNet's features: mixed precision on a GPU, else single.
        scan_voxels: Voxels on the planned grid of the scans that training segments at once; None segments all.
        least_iterations: Fewest iterations of either training.
    """

    name: str
    channels: tuple[int, ...]
    translator_width: int
    discriminator_scales: int
    discriminator_layers: int
    plane_pixels: int | None
    patch_voxels: int | None
    patch_plane: int
    translation_plane: int | None
    translation_epochs: int | None
    translation_pixels: float
    segmentation_epochs: int | None
    segmentation_voxels: float
    learning_rate_generator: float
    learning_rate: float
    translated_volumes: int | None
    mirror: bool
    appearance: float
    appearance_of_sequences: float
    random_convolution: float
    source_contrast: bool
    class_gain: float
    source_share: float
    expected_appearance: float | None
    rounds: int
    round_length: float
    matched_share: float
    matched_translated: float | None
    value_bytes: float
    scan_voxels: float | None
    least_iterations: int = 50


PRESETS = {
    "paper": Preset(
        name="paper",
        channels=(16, 32, 64, 128, 256),
        translator_width=32,
        discriminator_scales=3,
        discriminator_layers=5,
        plane_pixels=None,
        patch_voxels=None,
        patch_plane=256,
        translation_plane=None,
        translation_epochs=50,
        translation_pixels=0,
        segmentation_epochs=100,
        segmentation_voxels=0,
        learning_rate_generator=1e-4,
        learning_rate=5e-4,
        translated_volumes=None,
        mirror=True,
        appearance=0.0,
        appearance_of_sequences=0.0,
        random_convolution=0.0,
        source_contrast=False,
        class_gain=0.0,
        source_share=0.0,
        expected_appearance=None,
        rounds=0,
        round_length=0.5,
        matched_share=0.0,
        matched_translated=None,
        value_bytes=MIXED_PRECISION,
        scan_voxels=None,
    ),
    "fast": Preset(
        name="fast",
        channels=(8, 16, 32, 64, 128),
        translator_width=16,
        discriminator_scales=2,
        discriminator_layers=4,
        plane_pixels=84,
        patch_voxels=110_000,
        patch_plane=80,
        translation_plane=96,
        translation_epochs=None,
        translation_pixels=1.6e7,
        segmentation_epochs=None,
        segmentation_voxels=2.6e8,
        learning_rate_generator=3e-4,
        learning_rate=3e-3,
        translated_volumes=120,
        mirror=False,
        appearance=0.2,
        appearance_of_sequences=1.0,
        random_convolution=0.4,
        source_contrast=True,
        class_gain=0.5,
        source_share=0.7,
        expected_appearance=0.8,
        rounds=2,
        round_length=0.4,
        matched_share=1.0,
        matched_translated=0.5,
        value_bytes=SINGLE_PRECISION,
        scan_voxels=4e7,
    ),
}


def find_preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        ConfigurationError: There is no such preset.
    """
    if name not in PRESETS:
        raise ConfigurationError("there is no such preset", found=name, expected=" or ".join(PRESETS))
    return PRESETS[name]
