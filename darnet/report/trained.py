"""Training curves, validation and pseudo-labels of all stages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darnet.baselines import NO_ADAPTATION, NO_TRANSLATION, SUPERVISED
from darnet.errors import collect
from darnet.io import CaseStore, is_held, read_json, read_meta
from darnet.layout import DatasetLayout, fold_lock, translation_lock
from darnet.plans import Plans
from darnet.report.charts import Points, line_chart
from darnet.report.chosen import Choice, fold_in_words, gather_choices, round_in_words
from darnet.report.places import Places, gather_places
from darnet.report.records import Table
from darnet.self_training import missing_classes
from darnet.training import CHECKPOINT, stage_hash
from darnet.training.hooks import read_log, seconds_of
from darnet.words import dice_text, duration, number, percent

LOG = "log.jsonl"
# What the losses of the translator are, by their names in the log.
TRANSLATION_CHARTS = (
    (
        "How well slices come back",
        {
            "image": "reconstruction",
            "cycle": "there and back",
            "identity": "left as they are by their own domain's generator",
        },
    ),
    (
        "How well content and style come back",
        {"content": "content", "style": "style", "segmentation": "classes in the content"},
    ),
    ("Difference of neighbouring translated planes", {"depth": "where source planes agree"}),
    ("All together", {"generator": "translator", "discriminator": "its critics"}),
)
BASELINES = (NO_ADAPTATION, NO_TRANSLATION, SUPERVISED)
ELSEWHERE = "There are networks without a log: the model was trained elsewhere. Use it with darnet_predict."


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        title: Its name in words.
        stage: "translation", "segmentation" or "self_training".
        done: Iterations in the log.
        planned: Iterations that it was to have when it ran; 0 where that is not known.
        skipped: Iterations left out because a loss was not finite.
        first: Loss at the start; nan where a single one is known.
        last: Loss at the end.
        charts: Title and drawing of each chart.
        dice: Validation Dice of each class on held-out source volumes; empty without validation.
        baseline: Whether it is a baseline that is not used for prediction.
        fold: Its fold; empty for the translation.
        running: Whether a process trains it now.
        network: What a choice of rounds calls it; empty for the translation and baselines.
        go_on: The command that goes on with it; empty where it is another each time.
        other_plan: Whether the plan has changed since, so that it cannot be gone on with.
    """

    title: str
    stage: str
    done: int
    planned: int
    skipped: int
    first: float
    last: float
    seconds: float
    charts: tuple[tuple[str, str], ...]
    dice: Mapping[str, float | None] = field(default_factory=dict)
    baseline: bool = False
    fold: str = ""
    running: bool = False
    network: str = ""
    go_on: str = ""
    other_plan: bool = False


@dataclass(frozen=True)
class PseudoLabels:
    """Labels that a network gave to target scans in a round.

    Attributes:
        title: Round and fold in words.
        table: In how many scans each class was found.
        missed: Classes found in less than half as many scans as in the source.
    """

    title: str
    table: Table
    missed: tuple[str, ...]


@dataclass(frozen=True)
class TrainingSection:
    """What the page says of the trainings.

    Attributes:
        missing: Sentences on what is not there yet.
        runs: All trainings with a log.
        overview: They in one table.
        validation: Dice of each class in each run.
        places: What places in the body told, one a fold.
        pseudo_labels: One a round and fold.
        choices: One a fold whose rounds were compared.
    """

    missing: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    overview: Table | None = None
    validation: Table | None = None
    places: tuple[Places, ...] = ()
    pseudo_labels: tuple[PseudoLabels, ...] = ()
    choices: tuple[Choice, ...] = ()

    def speaks_for(self, run: Run) -> bool:
        """Whether its validation is that of the network of its fold that prediction takes, else of the last one."""
        rounds = [other.network for other in self.runs if other.fold == run.fold and other.network and other.dice]
        used = [choice.used for choice in self.choices if choice.fold == run.fold and choice.used in rounds]
        return run.network in (used or rounds)[-1:]


def gather_training(layout: DatasetLayout, plans: Plans | None) -> TrainingSection:
    """Read all logs, validations and pseudo-labels below the results."""
    runs = [
        run for path in _logs(layout.results) for run in [_read_run(layout.results, path, plans)] if run is not None
    ]
    stages = {run.stage for run in runs if not run.baseline}
    networks = any(layout.results.glob(f"segmentation/fold_*/{CHECKPOINT}"))
    return TrainingSection(
        (ELSEWHERE,) if networks and "segmentation" not in stages else tuple(_missing(stages, plans)),
        tuple(runs),
        _overview(runs),
        _validation(runs, plans),
        gather_places(layout.results),
        _pseudo_labels(layout, plans),
        gather_choices(layout.results, plans),
    )


def _missing(stages: set[str], plans: Plans | None) -> Iterator[str]:
    """Sentences on stages of training that have no log."""
    if "translation" not in stages and (plans is None or plans.translates):
        yield "The translator has no training log yet. Run darnet_train."
    if "segmentation" not in stages:
        yield "The segmentation network has not been trained yet. Run darnet_train."
    if plans is not None and plans.self_training.rounds and "self_training" not in stages:
        yield "Self-training has not been done yet. darnet_train does it after the segmentation."


def _logs(results: Path) -> list[Path]:
    patterns = ("translation", "segmentation/fold_*", "self_training/round_*/fold_*")
    found = [p for pattern in patterns for p in sorted(results.glob(f"{pattern}/{LOG}"))]
    return found + [p for name in BASELINES for p in sorted(results.glob(f"{name}/segmentation/fold_*/{LOG}"))]


def _read_run(results: Path, log: Path, plans: Plans | None) -> Run | None:
    rows = read_log(log)
    if not rows:
        return None
    parts = log.parent.relative_to(results).parts
    baseline = parts[0] in BASELINES
    stage = parts[1] if baseline else parts[0]
    fold = next((p.removeprefix("fold_") for p in parts if p.startswith("fold_")), "")
    whole = ", trained on all source scans" if fold == "all" else f", fold {fold}"
    if stage == "translation":
        title, main, network = "Translation", "generator", ""
    elif stage == "self_training":
        network = round_in_words(parts[1])
        title, main = f"Self-training, {network}{whole}", "loss"
    else:
        title, main, network = f"Segmentation{whole}", "loss", round_in_words(stage)
    if baseline:
        title = f"Baseline “{parts[0].replace('_', ' ')}”: {title[0].lower()}{title[1:]}"
    losses = [float(row[main]) for row in rows if main in row]
    tail = max(len(losses) // 10, 1)
    meta = collect([], lambda: read_meta(log.parent / CHECKPOINT)) or {}
    planned = _planned(results / parts[0] if baseline else results, stage, None if baseline else plans)
    return Run(
        title=title,
        stage=stage,
        done=int(rows[-1]["iteration"]),
        planned=meta["iterations"] if type(meta.get("iterations")) is int else planned,
        skipped=sum(int(row.get("skipped", 0)) for row in rows),
        first=_mean(losses[:tail]) if len(losses) > 1 else math.nan,
        last=_mean(losses[-tail:]),
        seconds=seconds_of(rows),
        charts=_charts(rows, stage),
        dice=_read_dice(log.parent / "validation.json"),
        baseline=baseline,
        fold=fold,
        running=is_held(
            fold_lock(results / parts[0] if baseline else results, fold) if fold else translation_lock(results)
        ),
        network="" if baseline else network,
        go_on="" if parts[0] == SUPERVISED else go_on(results.name, fold or "0", parts[0] if baseline else ""),
        other_plan=not (baseline or plans is None or meta.get("plan") in (None, stage_hash(plans, stage))),
    )


def go_on(dataset: str, fold: str, baseline: str = "") -> str:
    """The command that goes on with the training of a fold; any fold goes on with the translator."""
    number_of = re.match(r"Dataset0*(\d+)_", dataset)
    flags = ["--" + baseline] if baseline else []
    return " ".join(["darnet_train", number_of[1] if number_of else dataset, fold, *flags, "--continue"])


def _planned(folder: Path, stage: str, plans: Plans | None) -> int:
    """Iterations that the plan has for a stage; a baseline has its own plan."""
    if plans is not None:
        return int(getattr(plans, stage).iterations)
    path = folder / "plans.json"
    return int(getattr(Plans.read(path), stage).iterations) if path.exists() else 0


def _charts(rows: Sequence[Mapping[str, Any]], stage: str) -> tuple[tuple[str, str], ...]:
    def points(name: str) -> Points:
        return [(float(r["iteration"]), float(r[name])) for r in rows if name in r and math.isfinite(float(r[name]))]

    if stage != "translation":
        wanted: Sequence[tuple[str, dict[str, str]]] = (
            ("Loss: how far the labels are from the true ones", {"loss": "loss"}),
        )
    else:
        wanted = TRANSLATION_CHARTS
    charts = []
    for title, names in wanted:
        series = {word: points(name) for name, word in names.items() if points(name)}
        if series:
            charts.append((title, line_chart(series, "iteration", "loss (no unit)", title)))
    return tuple(charts)


def _read_dice(path: Path) -> dict[str, float | None]:
    if not path.exists():
        return {}
    values = read_json(path)
    mean = values.get("mean") if isinstance(values, dict) else None
    return dict(mean) if isinstance(mean, dict) else {}


def _overview(runs: Sequence[Run]) -> Table | None:
    rows = tuple(
        (run.title, f"{run.done}" + (f" of {run.planned}" if run.planned else ""), duration(run.seconds),
         f"{number(run.seconds / max(run.done, 1))} s", f"{number(run.first)} → {number(run.last)}", f"{run.skipped}")
        for run in runs
    )  # fmt: skip
    head = (
        "training",
        "iterations done",
        "time",
        "time an iteration",
        "loss, start → end (no unit)",
        "iterations skipped",
    )
    return Table(head, rows) if rows else None


def _validation(runs: Sequence[Run], plans: Plans | None) -> Table | None:
    with_dice = [run for run in runs if run.dice]
    if not with_dice:
        return None
    names = list(plans.foreground) if plans is not None else sorted({n for run in with_dice for n in run.dice})
    rows = []
    for run in with_dice:
        found = [run.dice.get(name) for name in names]
        known = [v for v in found if v is not None]
        rows.append((run.title, *map(dice_text, (_mean(known), *found))))
    shown = "translated ones" if plans is None or plans.translates else "them as they are"
    caption = (
        f"Dice on held-out source volumes (0 none to 1 perfect, no unit): of the segmentation on {shown}, of "
        "self-training on ones in the appearance of target scans. It says nothing of target scans "
        "if the translation is wrong."
    )
    return Table(("training", "mean", *(n.replace("_", " ") for n in names)), tuple(rows), caption)


def _pseudo_labels(layout: DatasetLayout, plans: Plans | None) -> tuple[PseudoLabels, ...]:
    base = layout.preprocessed / "pseudo_labels"
    source = CaseStore(layout.cases("source"))
    found = []
    for folder in sorted(base.glob("round_*/fold_*")) if plans is not None and base.exists() else []:
        store = CaseStore(folder)
        cases = store.case_ids()
        match = re.fullmatch(r"round_(\w+)/fold_(\w+)", folder.relative_to(base).as_posix())
        if not cases or match is None or plans is None:
            continue
        rows = []
        for name in plans.foreground:
            shown = sum(store.record(c).class_voxels.get(name, 0) > 0 for c in cases)
            own = [source.record(c).class_voxels.get(name, 0) > 0 for c in source.case_ids()]
            in_source = percent(sum(own) / len(own)) if own else "–"
            rows.append((name.replace("_", " "), f"{shown} of {len(cases)} ({percent(shown / len(cases))})", in_source))
        head = ("class", "target scans where it was found", "source scans that show it")
        title = f"Round {match[1]}, {fold_in_words(match[2])}"
        found.append(PseudoLabels(title, Table(head, tuple(rows)), tuple(missing_classes(plans, source, store))))
    return tuple(found)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
