"""A few out of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(many: Sequence[T], most: int) -> list[T]:
    """So many at most, evenly from the first to the last."""
    last = len(many) - 1
    if last < most:
        return list(many)
    return [many[round(n * last / max(most - 1, 1))] for n in range(most)]
