"""One training step of the translator at the paper's widths, batch 4 of 128 x 128 pixels: darnet's arrangement against
the paper's word for word.

    python -m benchmarks.translation_step
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.operations import cost, distance_from_limit
from benchmarks.pairs import DARNET, OTHER, Row, make_row, peak_memories, run_row, time_pairs, use_threads
from benchmarks.plain_translation import PlainTranslationStep, plain_translator
from darnet.plans import TranslationPlan
from darnet.training.loaders import SliceBatch
from darnet.training.translation import TranslationStep

PLAN = TranslationPlan(slice_size=(128, 128), width=32, batch_size=4)


class SameSlices:
    """A loader that gives the same slices at all times."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def batch(self, rng: np.random.Generator) -> SliceBatch:
        """See `SliceLoader`."""
        return SliceBatch(self.images, ("case",) * len(self.images))


def slices(plan: TranslationPlan) -> tuple[Tensor, Tensor]:
    """Slices (N, 1, H, W) of both domains in -1..1."""
    generator = torch.Generator().manual_seed(1)
    shape = (plan.batch_size, 1, *plan.slice_size)
    return torch.rand(shape, generator=generator) * 2 - 1, torch.rand(shape, generator=generator) - 1


def prepare(side: str, threads: int, plan: TranslationPlan = PLAN) -> Callable[[], float]:
    """A function that does one step and gives the generator's loss before it; both sides start with equal weights."""
    use_threads(threads)
    a, b = slices(plan)
    step = TranslationStep(plan, SameSlices(a), SameSlices(b), torch.device("cpu"), seed=0)  # type: ignore[arg-type]
    if side == DARNET:
        return lambda: step.update(0).generator
    translator = plain_translator(step.translator, plan.width, plan.style_dim, plan.residual_blocks)
    modules = step.discriminators.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    rates = (plan.learning_rate_generator, plan.learning_rate_discriminator)
    plain = PlainTranslationStep(translator.train(), step.discriminators, rates)
    modules.train()
    return lambda: float(plain.update(a, b, 0))


def measure(pairs: int, threads: int) -> Row:
    """The translator's training step against the paper's arrangement."""
    memory = peak_memories(prepare, threads)
    step = prepare(DARNET, threads)
    times = time_pairs(step, prepare(OTHER, threads), pairs)
    note = distance_from_limit(cost(step, voxels=1).operations, times, threads)
    return make_row("translation training step, batch 4 of 128 x 128", "plain", times, 0.6, memory, note=note)


if __name__ == "__main__":
    run_row(measure)
