"""Training of the content/style translator (section III.A). That of CycleGAN is in `cycle_gan`."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from darnet.augmentation import slices_along_curves
from darnet.losses import (
    content_discriminator_loss,
    content_generator_loss,
    content_segmentation_loss,
    depth_consistency_loss,
    l1,
    lsgan_discriminator,
    lsgan_generator,
)
from darnet.networks import ContentHead, Translator, build_discriminators, build_translator
from darnet.plans import TranslationPlan
from darnet.training.device import autocast, format_of_slices
from darnet.training.loaders import SliceBatch, SliceLoader
from darnet.training.optimizer import AdaBelief, finite_step
from darnet.training.seeds import generator_for, seed_weights
from darnet.training.state import (
    ExponentialMovingAverage,
    load_module,
    load_optimizer,
    module_tensors,
    optimizer_tensors,
)

BETAS = (0.5, 0.9)


@dataclass(frozen=True)
class TranslationLosses:
    """Losses of one iteration; each sums both domains. What the plan has no weight for is None."""

    generator: float
    discriminator: float
    image: float
    content: float
    style: float
    cycle: float
    adversarial_image: float
    adversarial_content: float
    cases: tuple[str, ...]
    segmentation: float | None = None
    depth: float | None = None

    def values(self) -> dict[str, float]:
        """Name and value of each loss."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "cases"}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Translations:
    """All images and codes of one batch: a is the source, b the target; `ab` is source content in target style."""

    a: Tensor
    b: Tensor
    content_a: Tensor
    content_b: Tensor
    style_a: Tensor
    style_b: Tensor
    reconstructed_a: Tensor
    reconstructed_b: Tensor
    ab: Tensor
    ba: Tensor
    content_ab: Tensor
    content_ba: Tensor
    style_ab: Tensor
    style_ba: Tensor
    cycled_a: Tensor
    cycled_b: Tensor


def translate_both_ways(translator: Translator, a: Tensor, b: Tensor, shown: Tensor | None = None) -> Translations:
    """Reconstruct, translate and cycle slices (N, 1, H, W) of both domains.

    The shared networks see both domains, and the decoder all four pairs of content and style, as one batch each.

    Args:
        translator: Networks.
        a: Source slices.
        b: Target slices.
        shown: What the content encoder sees in their place, (2 N, 1, H, W), source first; the slices themselves where
            it is None.
    """
    contents = translator.content(torch.cat((a, b)) if shown is None else shown)
    content_a, content_b = contents.chunk(2)
    style_a, style_b = translator.style(a, "source"), translator.style(b, "target")
    begun = translator.decoder.begin(contents)
    reconstructed_a, reconstructed_b, ab, ba = translator.decoder(
        torch.cat((contents, contents)), torch.cat((style_a, style_b, style_b, style_a)), torch.cat((begun, begun))
    ).chunk(4)
    content_ab, content_ba = translator.content(torch.cat((ab, ba))).chunk(2)
    style_ab, style_ba = translator.style(ab, "target"), translator.style(ba, "source")
    cycled_a, cycled_b = translator.decoder(torch.cat((content_ab, content_ba)), torch.cat((style_a, style_b))).chunk(2)
    return Translations(
        a, b, content_a, content_b, style_a, style_b, reconstructed_a, reconstructed_b,
        ab, ba, content_ab, content_ba, style_ab, style_ba, cycled_a, cycled_b,
    )  # fmt: skip


class TranslationStep:
    """One iteration: discriminators on the translations of the present generator, then the generator against them.

    Both use the same translations, so the generator runs once an iteration.

    Args:
        plan: Networks, weights of the losses and learning rates.
        source: Batches of source slices, with labels and neighbours where the plan has weights for what needs them.
        target: Batches of target slices.
        device: Where to compute.
        seed: Of weights and batches.
        num_classes: With background; for the segmentation of contents.
    """

    stage = "translation"

    def __init__(
        self,
        plan: TranslationPlan,
        source: SliceLoader,
        target: SliceLoader,
        device: torch.device,
        seed: int,
        num_classes: int = 1,
    ) -> None:
        self.plan, self.source, self.target, self.device, self.seed = plan, source, target, device, seed
        seed_weights(seed, self.stage)
        self.translator = build_translator(plan)
        initialise(self.translator)
        self.discriminators = build_discriminators(plan)
        for module in self.discriminators.values():
            initialise(module)
        learners = nn.ModuleList([self.translator])
        self.head: ContentHead | None = None
        if plan.segmentation_weight:
            self.head = ContentHead(plan.width, num_classes)
            initialise(self.head)
            learners.append(self.head)
        for module in (learners, *self.discriminators.values()):
            cast(Any, module).to(device=device, memory_format=format_of_slices(device))
        self.average = ExponentialMovingAverage(self.translator, copy.deepcopy(self.translator), plan.ema_decay)
        self.generator_optimizer = AdaBelief(
            learners.parameters(), lr=plan.learning_rate_generator, betas=BETAS, eps=1e-16
        )
        self.discriminator_optimizer = AdaBelief(
            self.discriminators.parameters(), lr=plan.learning_rate_discriminator, betas=BETAS, eps=1e-16
        )

    def update(self, iteration: int) -> TranslationLosses:
        """See `TrainingStep`."""
        rng = generator_for(self.seed, self.stage, iteration)
        a, b = self._batch(rng)
        shown, beside = self._shown(a, b, rng)
        with autocast(self.device):
            t = translate_both_ways(self.translator, a.images, b.images, shown)
            discriminator = self._discriminator_loss(t)
        finite = finite_step(discriminator, self.discriminator_optimizer)
        with autocast(self.device):
            parts = {**self._generator_losses(t), **self._source_losses(t, a, beside)}
            generator = self._weighted(parts)
        finite = finite and finite_step(generator, self.generator_optimizer)
        if finite:
            self.average.update(iteration)
        values = {name: float(value.detach()) for name, value in parts.items()}
        total = float(generator.detach()) if finite else math.nan
        return TranslationLosses(total, float(discriminator.detach()), **values, cases=a.cases + b.cases)

    def _batch(self, rng: np.random.Generator) -> tuple[SliceBatch, SliceBatch]:
        a = self.source.batch(rng)
        return a.to(self.device), self.target.batch(rng).to(self.device)

    def _shown(self, a: SliceBatch, b: SliceBatch, rng: np.random.Generator) -> tuple[Tensor | None, Tensor | None]:
        """What the content encoder sees of both domains, and of the neighbours of source slices.

        As far as the plan says so, slices are shown along curves, a neighbour along its slice's.
        """
        share = self.plan.content_curves
        if not share:
            return None, a.neighbours
        with_neighbours = a.images if a.neighbours is None else torch.cat((a.images, a.neighbours), dim=1)
        source = slices_along_curves(with_neighbours, rng, share)
        shown = torch.cat((source[:, :1], slices_along_curves(b.images, rng, share)))
        return shown, None if a.neighbours is None else source[:, 1:]

    def _discriminator_loss(self, t: Translations) -> Tensor:
        """L_GAN of both image discriminators and of the content discriminator, to be made small by them."""
        n = len(t.a)
        d = self.discriminators
        loss = torch.zeros((), device=self.device)
        for discriminator, real, fake in ((d["source"], t.a, t.ba), (d["target"], t.b, t.ab)):
            maps = discriminator(torch.cat((real, fake.detach())))
            loss = loss + lsgan_discriminator([m[:n] for m in maps], [m[n:] for m in maps])
        maps = d["content"](torch.cat((t.content_a, t.content_b)).detach())
        return loss + content_discriminator_loss([m[:n] for m in maps], [m[n:] for m in maps])

    def _generator_losses(self, t: Translations) -> dict[str, Tensor]:
        """L_rec of each level, the cycle loss, and both adversarial losses as the generator sees them."""
        n = len(t.a)
        d = self.discriminators.requires_grad_(False)  # the gradient passes through, none is kept for them
        adversarial = lsgan_generator(d["source"](t.ba)) + lsgan_generator(d["target"](t.ab))
        maps = d["content"](torch.cat((t.content_a, t.content_b)))
        content = content_generator_loss([m[:n] for m in maps], [m[n:] for m in maps])
        d.requires_grad_(True)
        return {
            "image": l1(t.reconstructed_a, t.a) + l1(t.reconstructed_b, t.b),
            "content": l1(t.content_ab, t.content_a) + l1(t.content_ba, t.content_b),
            "style": l1(t.style_ba, t.style_a) + l1(t.style_ab, t.style_b),
            "cycle": l1(t.cycled_a, t.a) + l1(t.cycled_b, t.b),
            "adversarial_image": adversarial,
            "adversarial_content": content,
        }

    def _source_losses(self, t: Translations, a: SliceBatch, shown_beside: Tensor | None) -> dict[str, Tensor]:
        """What source slices alone are asked for, as far as the plan has weights for it."""
        losses = {}
        if self.head is not None and a.labels is not None:
            logits = self.head(torch.cat((t.content_a, t.content_ab)))
            losses["segmentation"] = content_segmentation_loss(logits, a.labels.repeat(2, 1, 1))
        if self.plan.depth_consistency and a.neighbours is not None and shown_beside is not None:
            beside = self.translator(shown_beside, t.style_b)
            losses["depth"] = depth_consistency_loss(t.a, a.neighbours, t.ab, beside)
        return losses

    def _weighted(self, parts: Mapping[str, Tensor]) -> Tensor:
        plan = self.plan
        total = (
            plan.weight_image * parts["image"]
            + plan.weight_content * parts["content"]
            + plan.weight_style * parts["style"]
            + plan.weight_cycle * parts["cycle"]
            + parts["adversarial_image"]
            + parts["adversarial_content"]
        )
        if "segmentation" in parts:
            total = total + plan.segmentation_weight * parts["segmentation"]
        if "depth" in parts:
            total = total + plan.depth_consistency * parts["depth"]
        return total

    def tensors(self) -> dict[str, Tensor]:
        """See `TrainingStep`."""
        return {
            **module_tensors("translator", self.translator),
            **module_tensors("average", self.average.average),
            **module_tensors("discriminators", self.discriminators),
            **({} if self.head is None else module_tensors("head", self.head)),
            **optimizer_tensors("generator_optimizer", self.generator_optimizer),
            **optimizer_tensors("discriminator_optimizer", self.discriminator_optimizer),
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """See `TrainingStep`."""
        load_module("translator", self.translator, tensors)
        load_module("average", self.average.average, tensors)
        load_module("discriminators", self.discriminators, tensors)
        if self.head is not None:
            load_module("head", self.head, tensors)
        load_optimizer("generator_optimizer", self.generator_optimizer, tensors)
        load_optimizer("discriminator_optimizer", self.discriminator_optimizer, tensors)

    def trained(self) -> Translator:
        """The averaged weights, ready to translate."""
        return self.average.average.eval()  # type: ignore[return-value]

    @torch.no_grad()
    def preview(self, a: Tensor, b: Tensor) -> list[list[np.ndarray]]:
        """Rows of pictures (H, W) by the averaged weights: input, reconstruction, translation, cycle; both ways."""
        t = translate_both_ways(self.average.average, a.to(self.device), b.to(self.device))  # type: ignore[arg-type]
        columns_a = (t.a, t.reconstructed_a, t.ab, t.cycled_a)
        columns_b = (t.b, t.reconstructed_b, t.ba, t.cycled_b)
        return [
            [column[i, 0].float().cpu().numpy() for column in columns]
            for columns in (columns_a, columns_b)
            for i in range(len(a))
        ]


def initialise(module: nn.Module) -> None:
    """Kaiming-normal weights for all convolutions and linear layers, zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, a=0.0, mode="fan_in")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
