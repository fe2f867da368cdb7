"""Random generators that depend on seed, stage and iteration alone, so that a resumed run draws what it would have."""

from __future__ import annotations

import zlib

import numpy as np
import torch


def generator_for(seed: int, stage: str, iteration: int) -> np.random.Generator:
    """A NumPy generator for one iteration of one stage."""
    return np.random.default_rng([seed, zlib.crc32(stage.encode()), iteration])


def seed_weights(seed: int, stage: str) -> None:
    """Seed torch's global generator before the weights of a stage are drawn."""
    torch.manual_seed(int(generator_for(seed, stage, 0).integers(2**31)))
