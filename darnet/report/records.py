"""What the pieces of a report are made of. The template draws them, nothing else passes between the two."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A picture within the page.

    Attributes:
        source: PNG as a data URI.
        alt: What it shows, for readers who cannot see it.
        width: Its width, in the unit of its height: mm where it shows a plane, so that it has true proportions.
        height: Its height.
        overlay: PNG of the labels, to be laid over it; empty without labels.
        caption: What stands below it.
        edges: Letters at the top, bottom, left and right; empty where there are none.
    """

    source: str
    alt: str
    width: int
    height: int
    overlay: str = ""
    caption: str = ""
    edges: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """Pictures in a row that one slider goes through together.

    Attributes:
        name: What the slider moves along.
        columns: Titles of the pictures that are seen at once.
        steps: The pictures of each position, one a column.
        start: The position that is shown first.
    """

    name: str
    columns: tuple[str, ...]
    steps: tuple[tuple[Picture, ...], ...]
    start: int


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
