"""Folds over source cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def make_splits(cases: Sequence[str], folds: int, seed: int) -> list[dict[str, list[str]]]:
    """Deal the cases into folds: each case is held out once. Fewer cases than folds give as many folds as cases.

    Args:
        cases: Names of the source cases.
        folds: Number of folds.
        seed: Seed of the shuffle.

    Returns:
        {"train": [...], "val": [...]} for each fold.
    """
    shuffled = np.random.default_rng(seed).permutation(sorted(cases)).tolist()
    parts = [shuffled[k :: min(folds, len(shuffled))] for k in range(min(folds, len(shuffled)))]
    return [{"train": sorted(c for p in parts if p is not part for c in p), "val": sorted(part)} for part in parts]
