"""Which source cases each fold trains on and which it holds out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from darnet.errors import ConfigurationError
from darnet.io import read_json


def read_fold(splits: Path, fold: int | str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and held-out cases of a fold; fold "all" trains on every case and holds none out.

    Raises:
        ConfigurationError: No splits file, or no such fold.
    """
    if not splits.exists():
        raise ConfigurationError("there are no folds", where=splits, remedy="run darnet_plan_and_preprocess first")
    folds = _checked(read_json(splits), splits)
    if fold == "all":
        return tuple(sorted({case for f in folds for case in (*f["train"], *f["val"])})), ()
    if not str(fold).isdigit() or int(fold) >= len(folds):
        raise ConfigurationError(
            f"there is no fold {fold}",
            where=splits,
            expected=f"0 to {len(folds) - 1}, or all",
            remedy="give one of these folds",
        )
    chosen = folds[int(fold)]
    return tuple(chosen["train"]), tuple(chosen["val"])


def _checked(folds: Any, splits: Path) -> list[dict[str, list[str]]]:
    """What was read, if it has the form of folds."""
    good = isinstance(folds, list) and len(folds) > 0
    for fold in folds if good else ():
        parts = [fold.get("train"), fold.get("val")] if isinstance(fold, dict) else [None]
        good = good and all(isinstance(p, list) and all(isinstance(case, str) for case in p) for p in parts)
    if not good:
        raise ConfigurationError(
            "the file has no folds",
            where=splits,
            expected='[{"train": ["CASE", ...], "val": [...]}, ...]',
            remedy="mend the file, or move it away and run darnet_plan_and_preprocess --keep_plan",
        )
    return cast("list[dict[str, list[str]]]", folds)
