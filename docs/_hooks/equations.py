"""Equations between dollar signs become MathML when the documentation is built, so that no script is fetched."""

from __future__ import annotations

import re
from typing import Any

PAGES = ("explanation/method.md", "explanation/choice.md", "explanation/configuration.md")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace the equations of the pages that have any."""
    return convert(markdown) if page.file.src_uri in PAGES else markdown


def convert(markdown: str) -> str:
    """Replace `$$...$$` by blocks and `$...$` by inline MathML."""
    from latex2mathml.converter import convert as to_mathml

    def block(match: re.Match[str]) -> str:
        return to_mathml(match[1].strip(), display="block")

    def inline(match: re.Match[str]) -> str:
        # At the start of a line, Markdown would take <math> for a block.
        return f"<span>{to_mathml(match[1])}</span>"

    return re.sub(r"\$([^$\n]+)\$", inline, re.sub(r"\$\$(.+?)\$\$", block, markdown, flags=re.DOTALL))
