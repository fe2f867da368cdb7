"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without exponents for ordinary sizes."""
    if math.isnan(value):
        return "–"
    if value < 0:
        return f"−{number(-value, digits)}"
    if math.isinf(value):
        return "∞"
    if value and 1e-4 <= value < 1e7:
        magnitude = len(str(int(value))) if value >= 1 else 0
        text = f"{value:.{max(digits - magnitude, 0)}f}" if magnitude else f"{value:.{digits}g}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{digits}g}"


def dice_text(value: float | None) -> str:
    """A Dice with three decimals."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def cross(values: Sequence[float], digits: int = 3) -> str:
    """Numbers with crosses between them, as in "5 × 1.2 × 1.2"."""
    return " × ".join(number(v, digits) for v in values)


def percent(share: float) -> str:
    """A share of 0 to 1 as percent."""
    return f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """A time that a person reads at a glance: 12 s, 3 min, 2 h 05 min, 3.0 days."""
    minutes = round(seconds / 60)
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes < 48 * 60 else f"{seconds / 86400:.1f} days"


def counted(count: int, noun: str) -> str:
    """A number and what it counts, as in "1 case" and "2 cases"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def several(names: Sequence[str], shown: int = 6) -> str:
    """Names as text, the first few where they are many."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
