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


def remove_stale(case: InputCase, folder: Path, written: Sequence[Path], notice: Callable[[str], None]) -> None:
    """Remove previews and scores of an earlier mask of a case. Only what darnet wrote is removed; the rest is named.

    Args:
        case: Its mask is about to be written.
        folder: Where the mask lies.
        written: Files that will be written beside it.
        notice: Gets a sentence on what was removed, and one on what was kept.
    """
    kept = set(written)
    preview = case.preview(folder)
    removed = [preview] if preview not in kept and is_preview(preview) else []
    if _has_scores_of(case.case_id, folder / SCORES):
        removed.append(folder / SCORES)
    for path in removed:
        path.unlink(missing_ok=True)  # a run of another part may have been quicker
    beside = [case.probabilities(folder), case.dicom_seg(folder), preview]
    left = [path.name for path in beside if path not in kept and path.exists()]
    if removed:
        notice(f"removed, as they tell of earlier masks: {several([path.name for path in removed])}")
    if left:
        notice(f"kept, but perhaps of earlier masks: {several(left)}")


def _has_scores_of(case_id: str, path: Path) -> bool:
    """Whether a file is an evaluation by darnet_evaluate that scores the case."""
    if not path.is_file():
        return False
    try:
        values: Any = read_json(path)
        return "mean" in values and "classes" in values and case_id in {case["case"] for case in values["cases"]}
    except (ConfigurationError, KeyError, TypeError):
        return False
