"""An evaluation's Dice and surface distances, the worst cases first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError
from darnet.io import read_json
from darnet.report.records import Table
from darnet.words import dice_text, number


@dataclass(frozen=True)
class CaseScore:
    """Scores of one case.

    Attributes:
        case_id: Its name.
        dice: Mean over the classes that apply.
        asd_mm: Mean distance of surfaces in mm; inf where a class is missed or made up.
        classes: Dice of each class; None where it does not apply.
        missing: Whether it has no prediction.
    """

    case_id: str
    dice: float
    asd_mm: float
    classes: Mapping[str, float | None]
    missing: bool

    @property
    def by_words(self) -> dict[str, float | None]:
        """Dice by the name of the class as it is shown."""
        return {name.replace("_", " "): value for name, value in self.classes.items()}


@dataclass(frozen=True)
class ScoresSection:
    """What the page says of an evaluation.

    Attributes:
        missing: A sentence where there is none.
        path: Name of its file.
        classes: Table of the classes.
        cases: All cases, the worst first.
        class_dice: Mean Dice of each class.
        failures: Classes that were missed or made up, summed over the cases.
        notes: What the evaluation noted.
        changed: Masks and references that are newer than their scores.
    """

    missing: tuple[str, ...] = ()
    path: str = ""
    classes: Table | None = None
    cases: tuple[CaseScore, ...] = ()
    class_dice: Mapping[str, float] = field(default_factory=dict)
    failures: int = 0
    notes: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def gather_scores(path: Path | None, *folders: Path | None) -> ScoresSection:
    """Read the summary that darnet_evaluate wrote.

    Args:
        path: The summary; None where there is none.
        folders: Of the masks and of the references, as far as they are known.

    Raises:
        ConfigurationError: The file is no such summary.
    """
    if path is None:
        return ScoresSection(
            missing=("Nothing has been evaluated yet. Where target labels exist, darnet_evaluate compares with them.",)
        )
    values = read_json(path)
    try:
        cases = sorted((_case(case) for case in values["cases"]), key=_badness)
        rows = [
            _class_row(name, found) for name, found in (*values["classes"].items(), ("all classes", values["mean"]))
        ]
        dice = {str(name): _float(found["dice_mean"]) for name, found in values["classes"].items()}
        failures = sum(int(found["failures"]) for found in values["classes"].values())
        notes = tuple(str(note) for note in values.get("notes", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            "the file is no summary of darnet_evaluate", where=path, found=f"{type(error).__name__}: {error}",
            expected="keys mean, classes and cases", remedy="give the summary.json of darnet_evaluate with -e",
        ) from None  # fmt: skip
    head = ("class", "Dice, mean ± deviation", "ASD, mean ± deviation", "ASD without failures", "failures")
    caption = (
        "Dice: overlap with the reference, 0 none to 1 perfect, no unit. ASD: mean distance of the surfaces in mm; ∞ "
        "where a class is missed or made up in a case (a failure)."
    )
    scored, known = path.stat().st_mtime_ns, {case.case_id for case in cases}
    files = [file for folder in folders if folder is not None for file in sorted(folder.glob("*.nii*"))]
    changed = [f for f in files if f.name.partition(".nii")[0] in known and f.stat().st_mtime_ns > scored]
    return ScoresSection(
        (), path.name, Table(head, tuple(rows), caption), tuple(cases), dice, failures, notes,
        tuple(f"{file.parent.name}/{file.name}" for file in changed),
    )  # fmt: skip


def _class_row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    n = int(found["n"])
    dice = f"{dice_text(_float(found['dice_mean']))} ± {dice_text(_float(found['dice_std']))}"
    mean, deviation = _float(found["asd_mm_mean"]), _float(found["asd_mm_std"])
    asd = f"{number(mean)} ± {number(deviation, 2)} mm" if math.isfinite(mean) else f"{number(mean)} mm"
    finite = f"{number(_float(found['asd_mm_finite_mean']))} mm"
    return name.replace("_", " "), dice, asd, finite, f"{int(found['failures'])} of {n}"


def _case(values: Mapping[str, Any]) -> CaseScore:
    classes = {str(name): found["dice"] for name, found in values["classes"].items()}
    dices = [_float(v) for v in classes.values() if v is not None]
    distances = [_float(s["asd_mm"]) for s in values["classes"].values() if s["dice"] is not None]
    mean = sum(dices) / len(dices) if dices else math.nan
    distance = sum(distances) / len(distances) if distances else math.nan
    return CaseScore(
        str(values["case"]), mean, distance, {n: None if v is None else _float(v) for n, v in classes.items()},
        bool(values["missing"]),
    )  # fmt: skip


def _badness(case: CaseScore) -> tuple[float, float, str]:
    """Low Dice first, then large distances; what nothing applies to comes last."""
    if math.isnan(case.dice):
        return math.inf, 0.0, case.case_id
    return case.dice, -case.asd_mm, case.case_id


def _float(value: Any) -> float:
    """A number of the summary: "inf" is infinite, null does not apply."""
    return math.nan if value is None else float(value)
