"""The table of all keys of a plan, out of its dataclasses, each time the documentation is built."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from typing import Any

from darnet.plans import Plans

PAGE, MARK = "reference/plans.md", "<!-- keys -->"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the table where the page has its mark."""
    return markdown.replace(MARK, table()) if page.file.src_uri == PAGE else markdown


def table() -> str:
    """All keys as Markdown."""
    lines = ["| Key | Type | Default |", "|---|---|---|"]
    for key, kind, default in keys(Plans):
        lines.append(f"| `{key}` | `{kind.replace(' | None', ' or null')}` | {default} |")
    return "\n".join(lines)


def keys(kind: type, above: str = "") -> Iterator[tuple[str, str, str]]:
    """Dotted key, type and default of each field, those of parts included."""
    types = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name = f"{above}{field.name}"
        if dataclasses.is_dataclass(types[field.name]):
            yield from keys(types[field.name], f"{name}.")
        elif field.name != "why":
            default = "planned" if field.default is dataclasses.MISSING else f"`{json.dumps(field.default)}`"
            yield name, str(field.type), default
