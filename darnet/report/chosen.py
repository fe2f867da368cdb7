"""The rounds of self-training as they were compared without labels of target scans."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError
from darnet.inference import CHOICE, doubtful_shapes
from darnet.io import read_json
from darnet.plans import Plans
from darnet.report.records import Table
from darnet.selection import MARGIN
from darnet.training import CHECKPOINT
from darnet.words import dice_text, several

CRITERIA = ("certainty", "stability", "agreement", "plausibility")
HEAD = (
    "network",
    "certainty: sure of its labels",
    "stability: the same labels in another contrast",
    "agreement with the other networks",
    "plausibility: shapes as in source labels",
    "mean",
)


@dataclass(frozen=True)
class Choice:
    """The networks of one fold.

    Attributes:
        fold: Its name.
        chosen: The network that was chosen, in words.
        last: The one that was trained last.
        scores: Mean of the criteria of each network, by its name in words; nan where none applies.
        used: The one that darnet_predict takes if no flag says otherwise.
        table: All criteria of all networks.
        doubt: A sentence where the shapes that `used` finds are little like those of the source labels, else None.
    """

    fold: str
    chosen: str
    last: str
    scores: dict[str, float]
    used: str
    table: Table
    doubt: str | None = None

    @property
    def title(self) -> str:
        """The fold in words."""
        return fold_in_words(self.fold)


def gather_choices(results: Path, plans: Plans | None) -> tuple[Choice, ...]:
    """Read `choice.json`; none where there is no plan or no such file.

    Raises:
        ConfigurationError: It cannot be read.
    """
    path = results / CHOICE
    if plans is None or not path.exists():
        return ()
    values = read_json(path)
    # Prediction reads the plan beside the weights.
    beside = results / "plans.json"
    plans = Plans.read(beside) if beside.exists() else plans
    try:
        return tuple(_read(results, plans, str(fold), values["folds"][fold]) for fold in sorted(values["folds"]))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            "the choice of rounds has another form",
            where=path,
            found=f"{type(error).__name__}: {error}",
            remedy="remove the file and run darnet_train --continue, which writes it again",
        ) from None


def _read(results: Path, plans: Plans, fold: str, values: dict[str, Any]) -> Choice:
    words = {name: round_in_words(name) for name in values["candidates"]}
    found = {words[name]: {key: _float(own[key]) for key in (*CRITERIA, "score")}
             for name, own in values["candidates"].items()}  # fmt: skip
    chosen, last = words[values["chosen"]], list(words.values())[-1]
    caption = (
        f"Each from 0 to 1, and 1 is best, on {len(values['scans'])} target scans ({several(values['scans'])}) without "
        "their labels."
    )
    if len(found) > 1:
        caption += f" The last network is chosen unless another is better by more than {MARGIN}."
    rows = tuple((name, *map(dice_text, own.values())) for name, own in found.items())
    scores = {name: own["score"] for name, own in found.items()}
    taken = values["chosen"] if plans.self_training.choose else list(words)[-1]
    stage = taken if taken == "segmentation" else f"self_training/{taken}"
    checkpoint = results / stage / f"fold_{fold}" / CHECKPOINT
    doubt = doubtful_shapes(results, fold, checkpoint, plans) if checkpoint.exists() else None
    return Choice(fold, chosen, last, scores, words[taken], Table(HEAD, rows, caption), doubt)


def fold_in_words(fold: str) -> str:
    """What a fold is called: "0" or "all" in files."""
    return "all source scans" if fold == "all" else f"fold {fold}"


def round_in_words(name: str) -> str:
    """What a network is called: "segmentation" or "round_1" in files."""
    return "before self-training" if name == "segmentation" else name.replace("_", " ")


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
