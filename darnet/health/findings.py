"""One health check in plain words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["good", "doubtful", "bad"]


@dataclass(frozen=True)
class Finding:
    """One health check.

    Attributes:
        level: How it is.
        title: What was looked at, in a few words.
        found: What was found, with numbers and units.
        remedy: What to do; empty where nothing is to be done.
        expected: What a sound data set shows; empty where that is plain.
        cases: Scans that it names.
    """

    level: Level
    title: str
    found: str
    remedy: str = ""
    expected: str = ""
    cases: tuple[str, ...] = ()

    def __str__(self) -> str:
        expected = f"Expected: {self.expected}" if self.expected else ""
        return " ".join(part for part in (f"{self.title}: {self.found}", expected, self.remedy) if part)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal one back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Finding:
        """Build a check from what `to_json` gave.

        Raises:
            KeyError, TypeError: The values are of another form.
        """
        return cls(**{**values, "cases": tuple(values["cases"])})
