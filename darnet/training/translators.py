"""Which translator a plan has: its training, and its weights to translate with."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from darnet.io import CaseStore
from darnet.networks import AnyTranslator, build_entangled, build_translator
from darnet.plans import TranslationPlan
from darnet.training.cycle_gan import CycleGANStep
from darnet.training.loaders import SliceLoader, SliceTable
from darnet.training.loop import TrainingStep
from darnet.training.translation import TranslationStep

Slices = tuple[CaseStore, SliceTable]


class TranslatorStep(TrainingStep, Protocol):
    """One iteration of a translator."""

    def preview(self, a: Tensor, b: Tensor) -> list[list[np.ndarray]]:
        """Rows of pictures (H, W) for slices (N, 1, H, W): input, reconstruction, translation, cycle; both ways."""

    def trained(self) -> AnyTranslator:
        """The weights to translate with."""


def translation_step(
    plan: TranslationPlan, num_classes: int, source: Slices, target: Slices, device: torch.device, seed: int
) -> TranslatorStep:
    """The training of the plan's translator.

    Args:
        plan: Of the translation.
        num_classes: With background.
        source: Store of source cases, and which of their slices to learn on.
        target: The same of target cases.
        device: Where to compute.
        seed: Of weights and batches.
    """
    from_source = SliceLoader(*source, plan, labels=plan.segmentation_weight > 0, neighbours=plan.depth_consistency > 0)
    from_target = SliceLoader(*target, plan)
    if plan.method == "entangled":
        return CycleGANStep(plan, from_source, from_target, device, seed)
    return TranslationStep(plan, from_source, from_target, device, seed, num_classes)


def blank_translator(plan: TranslationPlan) -> tuple[AnyTranslator, str]:
    """The plan's translator without its weights, and the prefix that these have in a checkpoint."""
    if plan.method == "entangled":
        return build_entangled(plan), "translator"
    return build_translator(plan), "average"
