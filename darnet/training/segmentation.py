"""Training of the DAR-UNet (section III.B)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from darnet.losses import segmentation_loss
from darnet.networks import build_segmentation
from darnet.plans import SegmentationPlan
from darnet.training.device import autocast, to_device
from darnet.training.loaders import MixedLoader, PatchLoader
from darnet.training.optimizer import AdaBelief, cosine_learning_rate, finite_step
from darnet.training.seeds import generator_for, seed_weights
from darnet.training.state import load_module, load_optimizer, module_tensors, optimizer_tensors

BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class SegmentationLosses:
    """Losses of one iteration."""

    loss: float
    learning_rate: float
    cases: tuple[str, ...]

    def values(self) -> dict[str, float]:
        """Name and value of each loss."""
        return {"loss": self.loss, "learning_rate": self.learning_rate}


class SegmentationStep:
    """One iteration of the DAR-UNet on a batch of patches.

    Args:
        plan: Network, length and learning rate.
        num_classes: With background.
        loader: Gives the batches.
        device: Where to compute.
        seed: Of weights and batches.
        stage: Its name in logs and in the draw of random numbers.
        unknown: Label of voxels that have no say.
    """

    def __init__(
        self,
        plan: SegmentationPlan,
        num_classes: int,
        loader: PatchLoader | MixedLoader,
        device: torch.device,
        seed: int,
        stage: str,
        unknown: int | None = None,
    ) -> None:
        self.plan, self.loader, self.device, self.seed = plan, loader, device, seed
        self.stage, self.unknown = stage, unknown
        seed_weights(seed, self.stage)
        self.network = build_segmentation(plan, num_classes)
        cast(Any, self.network).to(device=device, memory_format=torch.channels_last_3d)
        self.optimizer = AdaBelief(
            self.network.parameters(),
            lr=plan.learning_rate,
            betas=BETAS,
            eps=1e-16,
            weight_decay=plan.weight_decay,
        )

    def update(self, iteration: int) -> SegmentationLosses:
        """See `TrainingStep`."""
        images, labels, cases = self.loader.batch(generator_for(self.seed, self.stage, iteration))
        images = to_device(images, self.device).contiguous(memory_format=torch.channels_last_3d)
        labels = to_device(labels, self.device)
        rate = cosine_learning_rate(
            iteration, self.plan.iterations, self.plan.learning_rate, self.plan.final_learning_rate
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        with autocast(self.device):
            outputs = self.network(images)
        loss = segmentation_loss(outputs, labels, self.plan.focal_weight, self.plan.focal_gamma, self.unknown)
        value = float(loss.detach()) if finite_step(loss, self.optimizer) else math.nan
        return SegmentationLosses(value, rate, cases)

    def tensors(self) -> dict[str, Tensor]:
        """See `TrainingStep`."""
        return {**module_tensors("network", self.network), **optimizer_tensors("optimizer", self.optimizer)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """See `TrainingStep`."""
        load_module("network", self.network, tensors)
        load_optimizer("optimizer", self.optimizer, tensors)
