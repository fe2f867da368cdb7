"""What places in the body told of how target scans show each class, before a network had found any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet.augmentation import LEAST_EXPLAINED
from darnet.errors import ConfigurationError
from darnet.io import read_json
from darnet.report.chosen import fold_in_words
from darnet.report.records import Table
from darnet.training import EXPECTED
from darnet.words import percent

HEAD = ("class", "share of the body that is darker: median", "from … to (quartiles)")
CAPTION = (
    "How much of the body of a target scan is expected to be darker than the class. A part of the training patches "
    "shows source scans so. If a scan clearly shows a class otherwise, set segmentation.expected_appearance in "
    "plans.json to null and train again."
)
UNUSED = "no patch is shown as target scans are expected to look"
NOT_TOLD = "not told (small, or in another place in each patient): shown at random brightness"


@dataclass(frozen=True)
class Places:
    """What places told in one fold.

    Attributes:
        title: The fold in words.
        sentence: How far the places explain target scans.
        table: How bright each class is expected to be; None where places tell too little.
    """

    title: str
    sentence: str
    table: Table | None = None


def gather_places(results: Path) -> tuple[Places, ...]:
    """Read `expected.json` of all folds.

    Raises:
        ConfigurationError: One cannot be read.
    """
    return tuple(_read(path) for path in sorted(results.glob(f"segmentation/fold_*/{EXPECTED}")))


def _read(path: Path) -> Places:
    values = read_json(path)
    title = fold_in_words(path.parent.name.removeprefix("fold_"))
    try:
        return Places(title, _sentence(values), _table(values["classes"]) if values["used"] else None)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            "what places in the body tell has another form",
            where=path,
            found=f"{type(error).__name__}: {error}",
            remedy="remove the file: it is only shown here",
        ) from None


def _sentence(values: dict[str, Any]) -> str:
    if values["explained"] is None:
        return f"Target scans show too little of a body, or source scans too little of it without labels: {UNUSED}."
    explained = max(float(values["explained"]), 0.0)
    if not values["used"]:
        explained = min(explained, LEAST_EXPLAINED - 0.01)  # never rounded to what is needed
    found = (
        f"Where classes and other tissues lie explains {percent(explained)} of how brightness differs within the body "
        f"of the mean target scan, and {percent(LEAST_EXPLAINED)} are needed"
    )
    if values["used"]:
        return f"{found}."
    return f"{found}: {UNUSED}. Often the two kinds of scans show different parts of the body."


def _table(classes: dict[str, list[float] | None]) -> Table:
    rows = []
    for name, quartiles in classes.items():
        told = (NOT_TOLD, "–")
        if quartiles is not None:
            low, median, high = map(percent, quartiles)
            told = (median, f"{low} … {high}")
        rows.append((name.replace("_", " "), *told))
    return Table(HEAD, tuple(rows), CAPTION)
