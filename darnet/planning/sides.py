"""Names of classes that tell the side of the body."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Left and right in Latin, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Polish, Chinese and Japanese.
LEFT = "sinist|links|gauche|izquierd|esquerd|vänster|lew[aey]|左"
RIGHT = "dext|rechts|droit|derech|destr|direit|höger|praw[aey]|右"
# Abbreviations that tell a side only where another name is the same with the other one.
ABBREVIATIONS = (("lh", "rh"), ("li", "re"), ("sin", "dx"), ("sn", "dx"), ("sin", "dex"), ("g", "d"), ("izq", "der"))


def sided_names(names: Sequence[str]) -> list[str]:
    """Names that tell the side of the body: by a word of their own (`left_kidney`, `KidneyL`, `Niere_links`), or
    because another name is the same but for the side (`LK` and `RK`, `rib_l1` and `rib_r1`). `L1` alone may be a
    vertebra."""
    whole = {_apart(name) for name in names}
    swaps = [("left", "right"), ("^l", "r"), ("l$", "r"), (r"(?<![a-z])l(?![a-z])", "r")]
    swaps += [("right", "left"), ("^r", "l"), ("r$", "l"), (r"(?<![a-z])r(?![a-z])", "l")]
    for pair in ABBREVIATIONS:
        swaps += [(rf"(?<![a-z]){a}(?![a-z])", b) for a, b in (pair, pair[::-1])]

    def has_twin(name: str) -> bool:
        return any(re.sub(a, b, name) in whole - {name} for a, b in swaps)

    def has_word(name: str) -> bool:
        english = r"(?<![a-z])((left|right)(?![a-z])|(l|r|lt|rt)(?![a-z0-9]))"
        return re.search(f"{english}|{LEFT}|{RIGHT}", name) is not None

    return [name for name in names if has_word(_apart(name)) or has_twin(_apart(name))]


def _apart(name: str) -> str:
    """In small letters, words that capitals begin set apart."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()
