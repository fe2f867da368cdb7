"""Training of CycleGAN (Zhu et al. 2017), the translator that keeps content and style entangled.

Least squares, cycle and identity losses, discriminators that see translations of former iterations too, Adam. What the
plan does not hold is as published.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from darnet.losses import l1, lsgan_discriminator, lsgan_generator
from darnet.networks import EntangledTranslator, build_entangled, build_patch_discriminators
from darnet.plans import TranslationPlan
from darnet.training.device import autocast, format_of_slices
from darnet.training.loaders import SliceLoader
from darnet.training.optimizer import finite_step, linear_learning_rate
from darnet.training.seeds import generator_for, seed_weights
from darnet.training.state import load_module, load_optimizer, module_tensors, optimizer_tensors

LEARNING_RATE, BETAS = 2e-4, (0.5, 0.999)
WEIGHT_IDENTITY = 5.0
POOL_SIZE = 50
DEVIATION = 0.02  # of the first weights


@dataclass(frozen=True)
class CycleGANLosses:
    """Losses of one iteration; each sums both domains."""

    generator: float
    discriminator: float
    cycle: float
    identity: float
    adversarial_image: float
    learning_rate: float
    cases: tuple[str, ...]

    def values(self) -> dict[str, float]:
        """Name and value of each loss."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "cases"}


class ImagePool(nn.Module):
    """Translations of former iterations (Shrivastava et al. 2017), so that a discriminator does not forget them.

    A module, so that a checkpoint holds its images.
    """

    def __init__(self, slice_size: tuple[int, int], size: int = POOL_SIZE) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, 1, *slice_size))
        self.register_buffer("held", torch.zeros((), dtype=torch.int64))
        self.images: Tensor
        self.held: Tensor

    def exchange(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Images (N, 1, H, W) to show the discriminator instead of the given ones.

        While there is room, an image is kept and shown. Later, half of the time a random one of the pool is shown and
        the new one takes its place.
        """
        shown = []
        for image in images.detach().float():
            held = int(self.held)
            if held < len(self.images):
                self.images[held] = image
                self.held += 1
            elif rng.random() < 0.5:
                place = int(rng.integers(held))
                former = self.images[place].clone()
                self.images[place] = image
                image = former
            shown.append(image)
        return torch.stack(shown)


@dataclass(frozen=True)
class Cycles:
    """All images of one batch: a is the source, b the target; `identity_a` is a given to the generator of its own."""

    a: Tensor
    b: Tensor
    ab: Tensor
    ba: Tensor
    identity_a: Tensor
    identity_b: Tensor
    cycled_a: Tensor
    cycled_b: Tensor


def cycle_both_ways(translator: EntangledTranslator, a: Tensor, b: Tensor) -> Cycles:
    """Translate slices (N, 1, H, W) of both domains, translate them back, and give each to its own domain's generator.

    Inputs of one generator that are there at the same time are one batch.
    """
    ab, identity_b = translator.to_target(torch.cat((a, b))).chunk(2)
    ba, identity_a, cycled_a = translator.to_source(torch.cat((b, a, ab))).chunk(3)
    return Cycles(a, b, ab, ba, identity_a, identity_b, cycled_a, translator.to_target(ba))


class CycleGANStep:
    """One iteration: the generators against the present discriminators, then these on translations out of the pool."""

    stage = "translation"

    def __init__(
        self, plan: TranslationPlan, source: SliceLoader, target: SliceLoader, device: torch.device, seed: int
    ) -> None:
        self.plan, self.source, self.target, self.device, self.seed = plan, source, target, device, seed
        seed_weights(seed, self.stage)
        self.translator = build_entangled(plan)
        self.discriminators = build_patch_discriminators(plan)
        for module in (self.translator, self.discriminators):
            initialise(module)
            cast(Any, module).to(device=device, memory_format=format_of_slices(device))
        self.pools = nn.ModuleDict({name: ImagePool(plan.training_size) for name in ("source", "target")}).to(device)
        self.generator_optimizer = torch.optim.Adam(self.translator.parameters(), LEARNING_RATE, BETAS)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminators.parameters(), LEARNING_RATE, BETAS)

    def update(self, iteration: int) -> CycleGANLosses:
        """See `TrainingStep`."""
        rng = generator_for(self.seed, self.stage, iteration)
        a = self.source.batch(rng).to(self.device)
        b = self.target.batch(rng).to(self.device)
        rate = linear_learning_rate(iteration, self.plan.iterations, LEARNING_RATE)
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = rate
        with autocast(self.device):
            cycles = cycle_both_ways(self.translator, a.images, b.images)
            parts = self._generator_losses(cycles)
            generator = self._weighted(parts)
        discriminator = math.nan
        finite = finite_step(generator, self.generator_optimizer)
        if finite:  # else the pools would keep images that are not finite
            with autocast(self.device):
                loss = self._discriminator_loss(cycles, rng)
            finite = finite_step(loss, self.discriminator_optimizer)
            discriminator = float(loss.detach())
        values = {name: float(value.detach()) for name, value in parts.items()}
        total = float(generator.detach()) if finite else math.nan
        return CycleGANLosses(total, discriminator, **values, learning_rate=rate, cases=a.cases + b.cases)

    def _generator_losses(self, c: Cycles) -> dict[str, Tensor]:
        """Cycle, identity and adversarial losses as the generators see them."""
        self.discriminators.requires_grad_(False)  # the gradient passes through, none is kept for the discriminators
        adversarial = lsgan_generator(self.discriminators["source"](c.ba)) + lsgan_generator(
            self.discriminators["target"](c.ab)
        )
        self.discriminators.requires_grad_(True)
        return {
            "cycle": l1(c.cycled_a, c.a) + l1(c.cycled_b, c.b),
            "identity": l1(c.identity_a, c.a) + l1(c.identity_b, c.b),
            "adversarial_image": adversarial,
        }

    def _weighted(self, parts: Mapping[str, Tensor]) -> Tensor:
        return (
            self.plan.weight_cycle * parts["cycle"] + WEIGHT_IDENTITY * parts["identity"] + parts["adversarial_image"]
        )

    def _discriminator_loss(self, c: Cycles, rng: np.random.Generator) -> Tensor:
        """Half of the least-squares loss of each discriminator, which slows them down against the generators."""
        loss = torch.zeros((), device=self.device)
        for name, real, fake in (("source", c.a, c.ba), ("target", c.b, c.ab)):
            shown = cast(ImagePool, self.pools[name]).exchange(fake, rng)
            (scores,) = self.discriminators[name](torch.cat((real, shown)))
            loss = loss + 0.5 * lsgan_discriminator([scores[: len(real)]], [scores[len(real) :]])
        return loss

    def tensors(self) -> dict[str, Tensor]:
        """See `TrainingStep`."""
        return {
            **module_tensors("translator", self.translator),
            **module_tensors("discriminators", self.discriminators),
            **module_tensors("pools", self.pools),
            **optimizer_tensors("generator_optimizer", self.generator_optimizer),
            **optimizer_tensors("discriminator_optimizer", self.discriminator_optimizer),
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """See `TrainingStep`."""
        load_module("translator", self.translator, tensors)
        load_module("discriminators", self.discriminators, tensors)
        load_module("pools", self.pools, tensors)
        load_optimizer("generator_optimizer", self.generator_optimizer, tensors)
        load_optimizer("discriminator_optimizer", self.discriminator_optimizer, tensors)

    def trained(self) -> EntangledTranslator:
        """The generators, ready to translate."""
        return self.translator.eval()

    @torch.no_grad()
    def preview(self, a: Tensor, b: Tensor) -> list[list[np.ndarray]]:
        """Rows of pictures (H, W): input, identity by its own domain's generator, translation, cycle; both ways."""
        c = cycle_both_ways(self.translator, a.to(self.device), b.to(self.device))
        columns_a, columns_b = (c.a, c.identity_a, c.ab, c.cycled_a), (c.b, c.identity_b, c.ba, c.cycled_b)
        return [
            [column[i, 0].float().cpu().numpy() for column in columns]
            for columns in (columns_a, columns_b)
            for i in range(len(a))
        ]


def initialise(module: nn.Module) -> None:
    """Normal weights of deviation 0.02, zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, DEVIATION)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
