"""Bounds of the numbers of a plan."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """Numbers from one to another.

    Attributes:
        low: Least of them.
        high: Largest of them.
        above: Whether `low` itself is none of them.
        below: Whether `high` itself is none of them.
        null: Whether null may stand for a number.
    """

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False
    null: bool = False

    def __contains__(self, value: float | None) -> bool:
        if value is None:
            return self.null
        over = value > self.low if self.above else value >= self.low
        return over and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        if not (self.above or self.below or math.isinf(self.high)):
            words = f"{self.low} to {self.high}"
        else:
            words = f"above {self.low}" if self.above else f"{self.low} or more"
            if not math.isinf(self.high):
                words += f", {'below' if self.below else 'at most'} {self.high}"
        return f"{words}, or null" if self.null else words


COUNT, COUNT_OR_NULL = Bounds(1), Bounds(1, null=True)
ZERO_OR_MORE, ABOVE_ZERO = Bounds(0), Bounds(0, above=True)
SHARE = Bounds(0, 1)
SOME, SOME_OR_NULL = Bounds(0, 1, above=True), Bounds(0, 1, above=True, null=True)
CROP = Bounds(0, above=True, null=True)  # mm
DEGREES = Bounds(0, 180)
SIZE = Bounds(0, 1, below=True)  # a patch that shrinks by all of it is none
HALVINGS = Bounds(1, 16)  # more leave nothing of any slice

# Of each number, and of each one of a list.
BOUNDS = {
    "preprocessing.spacing": Bounds(0, 1000, above=True),  # mm; no body is wider
    "preprocessing.source_depth": CROP,
    "preprocessing.source_height": CROP,
    "preprocessing.source_width": CROP,
    "translation.slice_size": COUNT,
    "translation.width": COUNT,
    "translation.style_dim": COUNT,
    "translation.residual_blocks": ZERO_OR_MORE,
    "translation.discriminator_width": COUNT,
    "translation.discriminator_layers": HALVINGS,
    "translation.discriminator_scales": HALVINGS,
    "translation.content_discriminator_layers": HALVINGS,
    "translation.iterations": COUNT,
    "translation.batch_size": COUNT,
    "translation.learning_rate_generator": ABOVE_ZERO,
    "translation.learning_rate_discriminator": ABOVE_ZERO,
    "translation.weight_image": ZERO_OR_MORE,
    "translation.weight_content": ZERO_OR_MORE,
    "translation.weight_style": ZERO_OR_MORE,
    "translation.weight_cycle": ZERO_OR_MORE,
    "translation.segmentation_weight": ZERO_OR_MORE,
    "translation.depth_consistency": ZERO_OR_MORE,
    "translation.content_curves": SOME_OR_NULL,
    "translation.ema_decay": SHARE,
    "translation.rotation_degrees": DEGREES,
    "translation.scale": SIZE,
    "translation.shift": SHARE,  # of a slice: one that moves further is out of sight
    "translation.mirror_axes": Bounds(1, 2),
    "synthesis.number_of_styles": COUNT,
    "synthesis.styles_a_case": COUNT_OR_NULL,
    "synthesis.minimum_foreground": SHARE,
    "synthesis.batch_size": COUNT,
    "segmentation.patch_size": COUNT,
    "segmentation.batch_size": COUNT,
    "segmentation.channels": COUNT,
    "segmentation.strides": Bounds(1, 2),
    "segmentation.iterations": COUNT,
    "segmentation.learning_rate": ABOVE_ZERO,
    "segmentation.final_learning_rate": ZERO_OR_MORE,
    "segmentation.weight_decay": ZERO_OR_MORE,
    "segmentation.focal_weight": ZERO_OR_MORE,
    "segmentation.focal_gamma": ZERO_OR_MORE,
    "segmentation.foreground_fraction": SHARE,
    "segmentation.rotation_degrees": DEGREES,
    "segmentation.scale": SIZE,
    "segmentation.shift": Bounds(0, 2),  # of half a patch
    "segmentation.elastic": SHARE,
    "segmentation.contrast": SHARE,  # beyond 1, here and with gains of classes, bright turns into dark
    "segmentation.appearance": SHARE,
    "segmentation.random_convolution": SHARE,
    "segmentation.class_gain": SHARE,
    "segmentation.source_share": SHARE,
    "segmentation.expected_appearance": SOME_OR_NULL,
    "segmentation.random_tissues": SOME_OR_NULL,
    "segmentation.mirror_axes": Bounds(0, 2),
    "segmentation.folds": Bounds(2),
    "self_training.rounds": ZERO_OR_MORE,
    "self_training.iterations": COUNT,
    "self_training.learning_rate": ABOVE_ZERO,
    "self_training.target_share": SHARE,
    "self_training.kept": SOME,
    "self_training.matched_share": SHARE,
    "self_training.matched_translated": SOME_OR_NULL,
    "self_training.expected_background": SOME_OR_NULL,
    "inference.step_size": SOME,
    "seed": Bounds(0, 2**32 - 1),  # as k-means takes
    "most_scans": COUNT_OR_NULL,
    "memory_target_gb": ABOVE_ZERO,
    "predicted_memory_gb": ZERO_OR_MORE,
}
