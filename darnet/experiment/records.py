"""Records of rows that are done, but of something else than is there now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ANOTHER_PLAN = (
    "of another plan or other scans: run the row again; where that is refused, put them back or move its folder away"
)
_OTHER = {  # by the key of a record
    "cases": "trained on other cases than the fold has now: put splits.json back, or move the row's folder away and "
    "run the row again",
    "tested": "scored on other test scans or labels than are there now: run the row again, which trains nothing",
}


def difference(record: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """How a record differs from what is there now, and what to do; None where it does not.

    Args:
        record: Of a row and a seed. What it does not tell is taken to be the same.
        now: Cases of the fold, and hash of the test scans and labels.
    """
    return next((_OTHER[name] for name, value in now.items() if record.get(name, value) != value), None)
