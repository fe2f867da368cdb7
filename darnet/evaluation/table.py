"""A summary as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from darnet.evaluation.summary import CaseScores, Statistics, Summary

_HEAD = ["class", "n", "failures", "Dice", "std", "ASD mm", "std", "finite", "ASD voxels", "std", "finite"]


def format_table(summary: Summary, worst: int | None = 10) -> str:
    """A table of the classes and one of the cases, those of lowest Dice first.

    Args:
        summary: What is shown.
        worst: Number of cases shown; None shows all.

    Returns:
        Lines of aligned columns. "-" is what does not apply; "finite" is the mean without infinite distances, whose
        number stands under "failures".
    """
    rows = [_row(name, statistics) for name, statistics in summary.classes.items()]
    text = _align([_HEAD, *rows, _row("mean", summary.mean)])
    shown = sorted(summary.cases, key=_badness)[:worst]
    names = list(summary.classes)
    head = ["case, worst first", "Dice", "ASD mm", *(f"Dice {name}" for name in names)]
    text += "\n\n" + _align([head, *(_case_row(case, names) for case in shown)])
    if len(shown) < len(summary.cases):
        text += f"\n... and {len(summary.cases) - len(shown)} better ones"
    return "\n".join([text, *(f"note: {note}" for note in summary.notes)])


def _row(name: str, s: Statistics) -> list[str]:
    numbers = [_number(s.dice_mean, 4), _number(s.dice_std, 4)]
    numbers += [_number(value, 2) for value in (s.asd_mm_mean, s.asd_mm_std, s.asd_mm_finite_mean)]
    numbers += [_number(value, 2) for value in (s.asd_voxels_mean, s.asd_voxels_std, s.asd_voxels_finite_mean)]
    return [name, str(s.n), str(s.failures), *numbers]


def _case_row(case: CaseScores, names: Sequence[str]) -> list[str]:
    dices = [_number(case.classes[name].dice if name in case.classes else math.nan, 4) for name in names]
    name = f"{case.case_id} (no prediction)" if case.missing else case.case_id
    return [name, _number(case.mean("dice"), 4), _number(case.mean("asd_mm"), 2), *dices]


def _badness(case: CaseScores) -> tuple[float, float, str]:
    """Sorts by falling badness: low Dice, then large distance; cases to which nothing applies come last."""
    mean = case.mean("dice")
    return (math.inf, 0.0, case.case_id) if math.isnan(mean) else (mean, -case.mean("asd_mm"), case.case_id)


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _align(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart, names to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
