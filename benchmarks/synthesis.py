"""One volume of 32 x 128 x 128 voxels into five styles by a translator of the paper's widths: darnet's arrangement
against the paper's word for word.

    python -m benchmarks.synthesis
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.models import keep_freed_memory
from benchmarks.operations import cost, distance_from_limit
from benchmarks.pairs import DARNET, Row, make_row, peak_memories, run_row, sides_apart, time_pairs, use_threads
from benchmarks.plain_translation import plain_synthesis, plain_translator
from darnet.networks import Translator
from darnet.plans import SynthesisPlan
from darnet.synthesis import translate_volume

SHAPE = (1, 32, 128, 128)
STYLES, STYLE_DIM, WIDTH, BLOCKS = 5, 8, 32, 4


def prepare(side: str, threads: int, shape: tuple[int, ...] = SHAPE, width: int = WIDTH) -> Callable[[], np.ndarray]:
    """A function that gives the translations (K, D, H, W)."""
    use_threads(threads)
    torch.manual_seed(0)
    translator = Translator(width, STYLE_DIM, BLOCKS).eval()
    rng = np.random.default_rng(1)
    volume = rng.uniform(-1, 1, shape).astype(np.float32)
    codes = rng.normal(size=(STYLES, STYLE_DIM)).astype(np.float32)
    if side == DARNET:
        keep_freed_memory()
        batch_size, device = SynthesisPlan().batch_size, torch.device("cpu")
        return lambda: translate_volume(translator, volume, codes, batch_size, device)
    plain = plain_translator(translator, width, STYLE_DIM, BLOCKS).eval()
    return lambda: plain_synthesis(plain, volume, codes)


def measure(pairs: int, threads: int) -> Row:
    """Synthesis of a volume in five styles against the paper's arrangement."""
    memory = peak_memories(prepare, threads)
    with sides_apart(prepare, threads) as (darnet, plain):
        times = time_pairs(darnet, plain, pairs)
    note = distance_from_limit(cost(prepare(DARNET, threads), voxels=1).operations, times, threads)
    return make_row("synthesis of 32 x 128 x 128 voxels in five styles", "plain", times, 0.25, memory, note=note)


if __name__ == "__main__":
    run_row(measure)
