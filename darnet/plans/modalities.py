"""What the name of a kind of scan means."""

from __future__ import annotations

import re

CT = r"(?<![a-z])(cb|ce|ld|nc|hr|md|mv|kv|de|ds|pc|4d)?cta?(?![a-z])|computed"
MR = r"(?<![a-z])mr(i|a|cp)?(?![a-z])|magnetic"
SEQUENCE = (
    r"(?<![a-z])(ce|hr)?(t1|t2|flair|dwi|adc|swi|b?ssfp|lge|psir|cine|tof|stir|spair|mprage)|spir|dixon"
    r"|(?<![a-z])(pd(w|fs)?|vibe|haste|fisp|gre|qsm|dce|asl)(?![a-z])"
)


def is_ct(modality: str) -> bool:
    """Whether a name of scans, as in `domains` of dataset.json, means computed tomography."""
    return re.search(CT, _in_words(modality)) is not None


def is_mr(modality: str) -> bool:
    """Whether a name of scans means magnetic resonance: by its name, or that of a sequence."""
    return re.search(f"{MR}|{SEQUENCE}", _in_words(modality)) is not None and not is_ct(modality)


def names_sequence(modality: str) -> bool:
    """Whether a name of scans means a sequence of magnetic resonance."""
    return re.search(SEQUENCE, _in_words(modality)) is not None


def _in_words(modality: str) -> str:
    """In small letters; a capital after small ones, as in AbdomenCT, begins a word."""
    return re.sub("(?<=[a-z]{2})(?=[A-Z])", " ", modality).lower()
