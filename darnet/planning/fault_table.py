"""All faults of a data set as a table."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from darnet.errors import DarnetError

HEAD = ("no", "where", "fault", "found", "expected", "remedy")
WIDEST = (4, 40, 34, 34, 34, 40)  # characters of each column


def format_faults(faults: Sequence[DarnetError], folder: Path) -> str:
    """A table with a row for each fault, sorted by file.

    Args:
        faults: Single faults.
        folder: The data set; paths within it are shown from there.

    Returns:
        Lines of aligned columns; long cells go on in the next line.
    """
    rows = sorted([_text(v, folder) for v in (f.where, f.what, f.found, f.expected, f.remedy)] for f in faults)
    numbered = [[str(n), *row] for n, row in enumerate(rows, 1)]
    cells = [[_wrap(text, width) for text, width in zip(row, WIDEST, strict=True)] for row in (list(HEAD), *numbered)]
    widths = [max(len(line) for row in cells for line in row[column]) for column in range(len(HEAD))]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([*_lines(cells[0], widths), rule, *(line for row in cells[1:] for line in _lines(row, widths))])


def _text(value: object, folder: Path) -> str:
    """A cell; paths within the folder start there. Its relative path within another path is no start."""
    starts = "|".join(re.escape(str(start)) for start in (folder.absolute(), folder))
    return "" if value is None else re.sub(rf"(?<![^\s\"'(])(?:{starts})/", "", str(value))


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def _lines(row: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    height = max(len(cell) for cell in row)
    padded = [[*cell, *[""] * (height - len(cell))] for cell in row]
    return [
        "  ".join(cell[n].ljust(width) for cell, width in zip(padded, widths, strict=True)).rstrip()
        for n in range(height)
    ]
