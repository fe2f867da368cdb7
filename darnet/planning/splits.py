"""Folds over source cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def classes_without_case(
    fold: Mapping[str, Sequence[str]], shown: Mapping[str, Mapping[str, float]], name: object
) -> list[str]:
    """Notes on classes that a fold cannot learn or cannot be validated on, as none of its cases shows them.

    Args:
        fold: {"train": [...], "val": [...]}; held-out cases may be none.
        shown: How much of each class each case shows.
        name: Of the fold.
    """
    classes = {c for amounts in shown.values() for c in amounts}
    notes = []
    for part, what in (("train", "trains on no case with"), ("val", "validates on no case with")):
        cases = fold[part]
        absent = sorted(c for c in classes if not any(shown.get(case, {}).get(c, 0) > 0 for case in cases))
        if cases and absent:
            notes.append(f"fold {name} {what} {', '.join(absent)}")
    return notes
