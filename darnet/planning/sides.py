"""Names of classes that tell the side of the body."""

from __future__ import annotations

import re
from collections.abc import Sequence


def sided_names(names: Sequence[str]) -> list[str]:
    """Names that tell the side of the body: by a word of their own (`left_kidney`, `KidneyL`), or because another name
    is the same but for the side (`LK` and `RK`)."""
    whole = {name.lower() for name in names}

    def has_twin(name: str) -> bool:
        swaps = (("left", "right"), ("right", "left"), ("^l", "r"), ("^r", "l"), ("l$", "r"), ("r$", "l"))
        return any(re.sub(a, b, name) in whole - {name} for a, b in swaps)

    def has_word(name: str) -> bool:
        apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()
        return re.search(r"(?<![a-z])((left|right)(?![a-z])|(l|r|lt|rt)(?![a-z0-9]))", apart) is not None

    return [name for name in names if has_word(name) or has_twin(name.lower())]
