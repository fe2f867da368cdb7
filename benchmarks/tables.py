"""Tables of measurements within pages of the documentation, between markers that stay."""

from __future__ import annotations

from pathlib import Path


def replace_between(page: Path, name: str, text: str) -> None:
    """Put text between `<!-- NAME: begin -->` and `<!-- NAME: end -->` of a page.

    Args:
        page: A Markdown file.
        name: Of the markers.
        text: Markdown.

    Raises:
        ValueError: The page has not each marker once, in this order.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    whole = page.read_text("utf-8")
    if whole.count(begin) != 1 or whole.count(end) != 1 or whole.index(begin) > whole.index(end):
        raise ValueError(f"{page} needs the lines {begin} and {end}, each once")
    before, after = whole.split(begin)[0], whole.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")
