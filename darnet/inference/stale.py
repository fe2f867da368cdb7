"""What lies beside masks and tells of them: it must not stay when the masks are made anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError
from darnet.inference.inputs import InputCase
from darnet.inference.preview import is_preview
from darnet.io import read_json
from darnet.words import several

SCORES = "summary.json"


def remove_stale(
    cases: Sequence[InputCase], folder: Path, written: Sequence[Path], notice: Callable[[str], None]
) -> None:
    """Remove previews and scores of earlier masks of these cases. Only what darnet wrote is removed; the rest is named.

    Args:
        cases: Their masks are about to be made.
        folder: Where the masks lie.
        written: Files that will be made beside them.
        notice: Gets a sentence on what was removed, and one on what was kept.
    """
    kept = set(written)
    removed = [case.preview(folder) for case in cases if case.preview(folder) not in kept]
    removed = [path for path in removed if is_preview(path)]
    if _has_scores_of({case.case_id for case in cases}, folder / SCORES):
        removed.append(folder / SCORES)
    for path in removed:
        path.unlink(missing_ok=True)  # a run of another part may have been quicker
    beside = [p for case in cases for p in (case.probabilities(folder), case.dicom_seg(folder), case.preview(folder))]
    left = [path.name for path in beside if path not in kept and path.exists()]
    if removed:
        notice(f"removed, as they tell of earlier masks: {several([path.name for path in removed])}")
    if left:
        notice(f"kept, but perhaps of earlier masks: {several(left)}")


def _has_scores_of(cases: set[str], path: Path) -> bool:
    """Whether a file is an evaluation by darnet_evaluate that scores one of the cases."""
    if not path.is_file():
        return False
    try:
        values: Any = read_json(path)
        return "mean" in values and "classes" in values and bool(cases & {case["case"] for case in values["cases"]})
    except (ConfigurationError, KeyError, TypeError):
        return False
