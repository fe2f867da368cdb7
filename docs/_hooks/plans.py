"""The table of all keys of a plan, out of its dataclasses: `python docs/_hooks/plans.py` writes it into its page."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path

from darnet.plans import Plans

PAGE = Path(__file__).parents[1] / "reference" / "plans.md"
BEGIN, END = "<!-- keys: begin -->\n", "<!-- keys: end -->"


def with_table(page: str) -> str:
    """The page with the table between its marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n\n{END}{rest.split(END)[1]}"


def table() -> str:
    """All keys as Markdown."""
    lines = ["| Key | Default | Meaning |", "|---|---|---|"]
    lines += [f"| `{key}` | {default} | {meaning} |" for key, default, meaning in keys(Plans)]
    return "\n".join(lines)


def keys(kind: type, above: str = "") -> Iterator[tuple[str, str, str]]:
    """Dotted key, default and meaning of each field, those of parts included."""
    types, said = typing.get_type_hints(kind), meanings(kind)
    for field in dataclasses.fields(kind):
        name = f"{above}{field.name}"
        if dataclasses.is_dataclass(types[field.name]):
            yield from keys(types[field.name], f"{name}.")
        elif field.name != "why":
            default = "planned" if field.default is dataclasses.MISSING else f"`{json.dumps(field.default)}`"
            yield name, default, said[field.name]


def meanings(kind: type) -> dict[str, str]:
    """What the docstring says of each field below "Attributes:"."""
    text = (kind.__doc__ or "").split("Attributes:\n")[1]
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", text, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
