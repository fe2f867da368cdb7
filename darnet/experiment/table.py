"""The table of an experiment: mean and spread over seeds of all that is done, as JSON, Markdown and a chart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darnet.experiment.chart import draw_table
from darnet.experiment.rows import ROWS
from darnet.experiment.run import Experiment
from darnet.io import atomic_write, write_json
from darnet.words import duration

NO_ADAPTATION, SUPERVISED = "no_adaptation", "supervised"
NAN = float("nan")


@dataclass(frozen=True)
class Spread:
    """A measure over seeds: mean, and standard deviation (divided by n), nan for a single seed."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        found = list(values)
        several = len(found) > 1 and all(map(math.isfinite, found))
        return cls(float(np.mean(found)) if found else NAN, float(np.std(found)) if several else NAN)

    def text(self, digits: int) -> str:
        """Mean, and spread where there is one."""
        if math.isnan(self.mean):
            return "-"
        return f"{self.mean:.{digits}f}" + ("" if math.isnan(self.std) else f" ± {self.std:.{digits}f}")

    def to_json(self) -> dict[str, float | str | None]:
        return {"mean": _plain(self.mean), "std": _plain(self.std)}


@dataclass(frozen=True)
class Line:
    """What a row has come to.

    Attributes:
        name: Of the row.
        description: What it is.
        note: Why there is nothing of it, or which row it shares its runs with.
        seeds: Those that are scored.
        dice: Mean over classes and scans.
        asd_mm: Mean over classes and scans; infinite where an organ was missed.
        missed: Organs of scans that were missed, all seeds together.
        out_of: Organs of scans in all.
        classes: Dice and ASD in mm of each class.
        closed: Share of the gap between no adaptation and supervised; nan where one of them is missing.
        seconds: Of training, a shared translator included.
        memory_gb: Of training the DAR-UNet.
    """

    name: str
    description: str
    note: str
    seeds: tuple[int, ...]
    dice: Spread
    asd_mm: Spread
    missed: int
    out_of: int
    classes: Mapping[str, tuple[Spread, Spread]]
    closed: float
    seconds: Spread
    memory_gb: float

    def to_json(self) -> dict[str, Any]:
        """Plain values: an infinite distance is "inf", what is not known null."""
        classes = {name: {"dice": d.to_json(), "asd_mm": a.to_json()} for name, (d, a) in self.classes.items()}
        return {
            "row": self.name,
            "description": self.description,
            "note": self.note,
            "seeds": list(self.seeds),
            "dice": self.dice.to_json(),
            "asd_mm": self.asd_mm.to_json(),
            "missed": self.missed,
            "out_of": self.out_of,
            "classes": classes,
            "gap_closed": _plain(self.closed),
            "seconds": self.seconds.to_json(),
            "memory_gb": _plain(self.memory_gb),
        }


def make_table(experiment: Experiment, failed: Mapping[str, object] | None = None) -> list[Line]:
    """A line for each row of which something is done, or which was asked for.

    What is done of another plan, or of cases or test scans that are no longer there, is named but not counted.

    Args:
        experiment: The experiment; what former ones of this data set and fold have done counts too.
        failed: What went wrong, by row and seed.
    """
    asked = {row.name for row in experiment.rows}
    lines = []
    for row in ROWS:
        same_as, records = experiment.records(row)
        notes = [] if same_as == row.name else [f"the same plan as {same_as}"]
        notes += [f"{name} failed" for name in failed or {} if name.startswith(f"{row.name}, ")]
        left_out = [str(record["seed"]) for record in records if record["left_out"]]
        notes += [f"self-training left out with seed {', '.join(left_out)}"] if left_out else []
        former = experiment.left_out(row)
        notes += [f"seed {', '.join(map(str, seeds))} left out: {differs}" for differs, seeds in former.items()]
        if not records:
            if row.name not in asked and not former:
                continue
            notes += [] if former else [experiment.unavailable(row) or "not run yet"]
        lines.append(_line(row.name, row.description, "; ".join(notes), records))
    dice = {line.name: line.dice.mean for line in lines}
    low, high = (dice.get(name, NAN) for name in (NO_ADAPTATION, SUPERVISED))
    return [_with_gap(line, low, high) for line in lines]


def _line(name: str, description: str, note: str, records: Sequence[Mapping[str, Any]]) -> Line:
    scores = [record["scores"] for record in records if record["scores"] is not None]
    means = [score["mean"] for score in scores]

    def spread(values: Iterable[Mapping[str, Any]], key: str) -> Spread:
        return Spread.of(_number(value[key]) for value in values)

    classes = {}
    for label in scores[0]["classes"] if scores else ():
        own = [score["classes"][label] for score in scores if label in score["classes"]]
        classes[label] = (spread(own, "dice_mean"), spread(own, "asd_mm_mean"))
    memories = [record["memory_gb"] for record in records if record["memory_gb"] is not None]
    return Line(
        name,
        description,
        note,
        tuple(int(record["seed"]) for record in records),
        dice=spread(means, "dice_mean"),
        asd_mm=spread(means, "asd_mm_mean"),
        missed=sum(int(mean["failures"]) for mean in means),
        out_of=sum(int(mean["n"]) for mean in means),
        classes=classes,
        closed=NAN,
        seconds=Spread.of(sum(record["seconds"].values()) for record in records),
        memory_gb=max(memories, default=NAN),
    )


def _with_gap(line: Line, low: float, high: float) -> Line:
    closed = (line.dice.mean - low) / (high - low) if high > low else NAN
    return dataclasses.replace(line, closed=closed)


def write_table(experiment: Experiment, lines: Sequence[Line]) -> Path:
    """Write `table_fold_N.json`, `.md` and `.png` into the experiment's folder; returns the Markdown's path."""
    path = experiment.folder / f"table_fold_{experiment.options.fold}"
    plans = experiment.plans
    experiment.folder.mkdir(parents=True, exist_ok=True)
    values = {"dataset": plans.dataset, "preset": plans.preset, "fold": experiment.options.fold}
    write_json(path.with_suffix(".json"), {**values, "rows": [line.to_json() for line in lines]})
    title = f"# {plans.dataset}, preset {plans.preset}, fold {experiment.options.fold}\n\n"
    atomic_write(path.with_suffix(".md"), title + format_table(lines))
    scored = [line for line in lines if not math.isnan(line.dice.mean)]
    if scored:
        draw_table(scored, path.with_suffix(".png"))
    return path.with_suffix(".md")


def format_table(lines: Sequence[Line]) -> str:
    """The table as Markdown: one of all classes together, one of each class."""
    head = ["row", "seeds", "Dice", "ASD mm", "missed", "gap closed", "time", "memory", "what it is"]
    rows = [
        (
            line.name,
            str(len(line.seeds)),
            line.dice.text(3),
            line.asd_mm.text(2),
            f"{line.missed} of {line.out_of}" if line.out_of else "-",
            "-" if math.isnan(line.closed) else f"{line.closed:.0%}",
            "-" if math.isnan(line.seconds.mean) else duration(line.seconds.mean),
            "-" if math.isnan(line.memory_gb) else f"{line.memory_gb:.2f} GB",
            line.description + (f" ({line.note})" if line.note else ""),
        )
        for line in lines
    ]
    text = _markdown(head, rows)
    names = list(dict.fromkeys(name for line in lines for name in line.classes))
    if names:
        head = ["row", *(f"{name}: {measure}" for name in names for measure in ("Dice", "ASD mm"))]
        scored = [line for line in lines if line.classes]
        text += "\n" + _markdown(head, [(line.name, *_cells(line, names)) for line in scored])
    return text + (
        "\nMean ± standard deviation over seeds. Missed: organs of scans that only the mask or only the labels show; "
        "one makes the mean ASD infinite. Gap closed: (Dice - no_adaptation) / (supervised - no_adaptation). Time: of "
        "training, a shared translator included. Memory: of training the DAR-UNet.\n"
    )


def _cells(line: Line, names: Sequence[str]) -> list[str]:
    none = (Spread(NAN, NAN), Spread(NAN, NAN))
    return [cell for name in names for d, a in (line.classes.get(name, none),) for cell in (d.text(3), a.text(2))]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: object) -> float:
    """A value of a summary: null is nan, "inf" infinite."""
    return NAN if value is None else float(value)  # type: ignore[arg-type]


def _plain(value: float) -> float | str | None:
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)
