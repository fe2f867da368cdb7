"""Inference of the DAR-UNet at the paper's widths on 2 x 32 x 128 x 128 voxels, as prediction calls it: darnet's
arrangement against the paper's word for word.

    python -m benchmarks.inference
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.models import keep_freed_memory
from benchmarks.operations import dar_unet, distance_from_limit
from benchmarks.pairs import DARNET, Row, make_row, peak_memories, run_row, sides_apart, time_pairs, use_threads
from benchmarks.training_step import SHAPE, batch, build


def prepare(side: str, threads: int, shape: tuple[int, ...] = SHAPE) -> Callable[[], Tensor]:
    """A function that gives the logits of a batch of patches."""
    use_threads(threads)
    if side == DARNET:
        keep_freed_memory()
    network = build(side).eval()
    images, _ = batch(shape)

    def infer() -> Tensor:
        with torch.inference_mode():
            return network(images)

    return infer


def measure(pairs: int, threads: int) -> Row:
    """DAR-UNet's inference against the paper's arrangement."""
    memory = peak_memories(prepare, threads)
    with sides_apart(prepare, threads) as (darnet, plain):
        times = time_pairs(darnet, plain, pairs)
    note = distance_from_limit(dar_unet(SHAPE, training=False).operations, times, threads)
    return make_row("DAR-UNet inference, 2 x 32 x 128 x 128", "plain", times, 0.5, memory, 0.4, note)


if __name__ == "__main__":
    run_row(measure)
