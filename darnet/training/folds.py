"""Which source cases each fold trains on and which it holds out."""

from __future__ import annotations

from pathlib import Path

from darnet.errors import ConfigurationError
from darnet.io import read_json


def read_fold(splits: Path, fold: int | str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and held-out cases of a fold; fold "all" trains on every case and holds none out.

    Raises:
        ConfigurationError: No splits file, or no such fold.
    """
    if not splits.exists():
        raise ConfigurationError("there are no folds", where=splits, remedy="run darnet_plan_and_preprocess first")
    folds = read_json(splits)
    if fold == "all":
        return tuple(sorted({case for f in folds for case in (*f["train"], *f["val"])})), ()
    if not str(fold).isdigit() or int(fold) >= len(folds):
        raise ConfigurationError(f"there is no fold {fold}", where=splits, expected=f"0 to {len(folds) - 1}, or all")
    chosen = folds[int(fold)]
    return tuple(chosen["train"]), tuple(chosen["val"])
