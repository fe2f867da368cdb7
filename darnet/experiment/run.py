"""Rows one after the other: trained, the test scans segmented, and scored; what is done is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet import baselines, pipeline
from darnet.errors import ConfigurationError, DarnetError, Interrupted, ResourceError, is_out_of_memory, out_of_memory
from darnet.evaluation import evaluate_folders
from darnet.experiment.measure import Estimate, memory_of_training, training_seconds
from darnet.experiment.records import ANOTHER_PLAN, difference
from darnet.experiment.rows import LABELLED_TARGET, SOURCE, TRANSLATED, Row, find_rows, missing_fields, plans_of
from darnet.experiment.shared import (
    FOLDER,
    OF_LEARNED,
    Run,
    RunLayout,
    claim,
    clear,
    hash_of_data,
    hash_of_tested,
    is_of,
    keys_of,
    plan_key,
)
from darnet.experiment.supervised import UNAVAILABLE, LabelledTarget, find_labelled, hash_of_labelled, held_out
from darnet.inference import FolderOptions, Predictor, find_inputs, predict_folder
from darnet.io import CaseStore, only_one, read_json, require_writable, write_json
from darnet.layout import DatasetLayout
from darnet.planning import verify_dataset
from darnet.plans import Plans
from darnet.training import (
    CHECKPOINT,
    REPLACED,
    RunOptions,
    check_preprocessed,
    plan_hash,
    read_fold,
)

Notice = Callable[[str], None]
Failures = dict[str, DarnetError]  # by row and seed
NOT_SCORED = "there are no test scans with labels (imagesTs, labelsTs): nothing is scored"


@dataclass(frozen=True)
class ExperimentOptions:
    """What an experiment runs.

    Attributes:
        rows: Names of rows; none for all.
        seeds: How many seeds, from the plan's on.
        fold: 0 to 4, or "all".
        labelled: Folders of target scans and of their labels for the row "supervised"; None takes `labelsTr_target`.
        processes: Cases preprocessed at once.
    """

    rows: tuple[str, ...] = ()
    seeds: int = 1
    fold: str = "0"
    labelled: tuple[Path, Path] | None = None
    processes: int = 1


class Experiment:
    """A matrix of rows and seeds over one fold of a data set.

    Args:
        layout: The data set, planned and preprocessed.
        plans: Its plan.
        options: Rows, seeds and fold.

    Raises:
        ConfigurationError: It is not preprocessed, or there is no such row or fold.
    """

    def __init__(self, layout: DatasetLayout, plans: Plans, options: ExperimentOptions) -> None:
        self.layout, self.plans, self.options = layout, plans, options
        self.rows = find_rows(options.rows)
        read_fold(layout.splits, options.fold)
        self.replaced = check_preprocessed(layout, plans).get(REPLACED, False)
        self.data = hash_of_data(layout)
        self.labelled = find_labelled(layout, options.labelled)
        self._labelled_hash: str | None = None
        self._tested: dict[tuple[Path | None, Path | None], str] = {}

    @property
    def folder(self) -> Path:
        """Where everything of experiments with this data set lies."""
        return self.layout.results / FOLDER

    def unavailable(self, row: Row) -> str | None:
        """Why a row cannot be run; None where it can."""
        missing = missing_fields(row, self.plans)
        if missing:
            return f"not available: the plan has no {', '.join(missing)}"
        return UNAVAILABLE if row.images == LABELLED_TARGET and self.labelled is None else None

    def runs(self, seeds: int | None = None) -> list[Run]:
        """Rows that can be run, for each seed; seed by seed, so that a whole table is there early."""
        numbers = range(self.options.seeds if seeds is None else seeds)
        rows = [row for row in self.rows if self.unavailable(row) is None]
        return [self.run_of(row, self.plans.seed + n) for n in numbers for row in rows]

    def run_of(self, row: Row, seed: int) -> Run:
        """A row with a seed: its plan, and where it lies."""
        plans = self._plans(row, seed)
        keys = keys_of(row, plans, self._data_of(row))
        same = (other for other in find_rows(()) if other.images == row.images and self.unavailable(other) is None)
        first = next(o for o in same if keys_of(o, self._plans(o, seed), self._data_of(o)).scores == keys.scores)
        own_grid = keys.preprocessing != plan_hash(self.plans)
        base = self.layout
        return Run(row, plans, RunLayout(base.root, base.name, base, first.name, seed, keys, own_grid))

    def done(self, run: Run) -> bool:
        """Whether a run is trained and, where there are labels, scored."""
        path = run.layout.record(self.options.fold)
        record = read_json(path) if path.exists() else {}
        same = record.get("key") == run.layout.keys.scores and not difference(record, self._beside_plan(run.row))
        return same and (record.get("scores") is not None or self.references(run.row) is None)

    def references(self, row: Row) -> Path | None:
        """Folder of the labels that a row is scored with; None where there are none."""
        if row.images == LABELLED_TARGET and self.labelled is not None and self.labelled.left_out:
            return self.labelled.labels
        scans, labels = (self.layout.raw / name for name in ("imagesTs", "labelsTs"))
        return labels if scans.is_dir() and labels.is_dir() else None

    def records(self, row: Row) -> tuple[str, list[dict[str, Any]]]:
        """All that is done of a row, with its present plan: the row that it shares its runs with, and a record a seed.

        The target labels that "supervised" learns from are not looked at, so its record stays when they change, and
        when it was scored on them.
        """
        name, found = self._written(row)
        return name, [record for record, differs in found if not differs]

    def left_out(self, row: Row) -> dict[str, list[int]]:
        """Seeds of a row that are done, but of something else than is there now, by how that differs."""
        seeds: dict[str, list[int]] = {}
        for record, differs in self._written(row)[1]:
            if differs:
                seeds.setdefault(differs, []).append(int(record["seed"]))
        return seeds

    def _written(self, row: Row) -> tuple[str, list[tuple[dict[str, Any], str | None]]]:
        """As `records`, all that are there: each with what it is of instead of what is there now, or None."""
        lacking, alone = bool(missing_fields(row, self.plans)), row.images == LABELLED_TARGET
        name = row.name if alone or lacking else self.run_of(row, self.plans.seed).layout.row
        found = []
        for path in sorted(self.folder.glob(f"{name}/seed_*/fold_{self.options.fold}.json")):
            record = read_json(path)
            own = alone and record.get("tested") == OF_LEARNED
            differs = None if own else difference(record, self._beside_plan(row))
            if lacking or not is_of(record, row, self._plans(row, int(record["seed"])), self.data):
                differs = ANOTHER_PLAN
            found.append((record, differs))
        return name, sorted(found, key=lambda pair: int(pair[0]["seed"]))

    def estimate(self, options: RunOptions) -> list[tuple[str, int, float | None]]:
        """Row, seed and seconds of training of each run that is not done; None where it cannot be measured."""
        stores = [CaseStore(self.layout.cases(domain)) for domain in ("source", "target")]
        expected, found, seen = Estimate(stores[0], stores[1], options.device), [], set()
        for run in self.runs():
            if self.done(run) or run.layout.results in seen:
                continue
            seen.add(run.layout.results)
            seconds: float | None
            try:
                seconds = expected.add(run.row, run.plans, run.layout.translation)
            except (DarnetError, MemoryError, RuntimeError):  # torch.OutOfMemoryError is a RuntimeError
                seconds = None
            found.append((run.row.name, run.layout.seed, seconds))
        return found

    def run(
        self, options: RunOptions, notice: Notice, after: Callable[[Failures], object] = lambda _: None
    ) -> Failures:
        """Run all that is not done. A row that fails is said and the others go on.

        Args:
            options: Device and quiet.
            notice: Gets a sentence at each step.
            after: Called after each run with what went wrong so far.

        Returns:
            What went wrong, by row and seed.

        Raises:
            ConfigurationError: Another process runs an experiment of this data set, or nothing can be written.
            Interrupted: A signal asked to stop; the same command goes on.
        """
        for folder in (self.folder, self.layout.preprocessed / FOLDER):
            require_writable(folder, "name another root with --root or DARNET_ROOT, or mend the permissions")
        failed: Failures = {}
        runs = self.runs()
        with only_one(self.folder / ".lock", "runs an experiment of this data set", notice=notice):
            for number, run in enumerate(runs, 1):
                name = f"{run.row.name}, seed {run.layout.seed}"
                if self.done(run):
                    same = f", as {run.layout.row} has the same plan" if run.layout.row != run.row.name else ""
                    notice(f"{number} of {len(runs)}: {name} is done{same}")
                    continue
                notice(f"{number} of {len(runs)}: {name}: {run.row.description}")
                try:
                    self._do(run, options, notice)
                except Interrupted:
                    raise
                except Exception as error:
                    failed[name] = _expected(error, run)
                    notice(f"{name} failed: {failed[name]}")
                after(failed)
        return failed

    def _do(self, run: Run, options: RunOptions, notice: Notice) -> None:
        """Train, segment, score and write it down. Labels of target scans are read by the last step alone."""
        fold, layout = self.options.fold, run.layout
        claim(layout)
        self._own_grid(run, options)
        output = layout.predictions(fold)
        if run.row.images == LABELLED_TARGET:
            seconds = self._supervised(run, options, output, notice)
        else:
            seconds = train_run(run, fold, options, notice)
            clear(layout, fold)
            self._predict(layout.results, fold, self.layout.raw / "imagesTs", output, options, notice)
        memory = self._memory(run, options)
        references, scores = self.references(run.row), None
        if references is None:
            notice(NOT_SCORED)
        else:
            scores = evaluate_folders(output, references, run.plans.foreground).to_json()
        keys = {"key": layout.keys.scores, "plan": plan_key(run.row, run.plans)}
        rounds = [layout.self_training(fold, n + 1) / CHECKPOINT for n in range(run.plans.self_training.rounds)]
        left_out = sum(not path.exists() for path in rounds)
        measured = {"device": options.device.type, "seconds": seconds, "memory_gb": memory, "left_out": left_out}
        write_json(
            layout.record(fold),
            {"row": layout.row, "seed": layout.seed, **keys, **measured, "scores": scores} | self._beside_plan(run.row),
        )

    def _beside_plan(self, row: Row) -> dict[str, Any]:
        """What scores depend on beside the plan and the scans that are learned from, for a record."""
        own = row.images == LABELLED_TARGET
        cases = None if own else sorted(read_fold(self.layout.splits, self.options.fold)[0])
        references = self.references(row)
        if own and self.labelled is not None and self.labelled.left_out:
            references = None  # scans that are learned from too
        scans = None if references is None else self.layout.raw / "imagesTs"
        if (scans, references) not in self._tested:
            self._tested[scans, references] = hash_of_tested(scans, references)
        return {"cases": cases, "tested": self._tested[scans, references]}

    def _memory(self, run: Run, options: RunOptions) -> float | None:
        source = CaseStore(self.layout.cases("source"))
        return memory_of_training(run.plans, source, options.device, self.folder / "shared" / "memory.json")

    def _own_grid(self, run: Run, options: RunOptions) -> None:
        """Preprocess for a row that has a grid of its own; what is there is kept."""
        if run.layout.own_grid and run.row.images != LABELLED_TARGET:
            dataset = verify_dataset(self.layout, self.replaced)
            pipeline.preprocess(run.layout, dataset, run.plans, self.options.processes, options.quiet, options.notice)

    def _predict(
        self, results: Path, fold: str, scans: Path, output: Path, options: RunOptions, notice: Notice
    ) -> None:
        if scans.exists():  # test scans are optional
            predictor = Predictor.from_results(results, (fold,), options.device, notice=notice)
            how = FolderOptions(quiet=options.quiet, replace_non_finite=self.replaced)
            predict_folder(scans, output, predictor, how, notice=lambda _: None)

    def _supervised(self, run: Run, options: RunOptions, output: Path, notice: Notice) -> dict[str, float]:
        """Train on labelled target scans: on all of them, or one network for each part that is left out.

        Several networks share the row's iterations.
        """
        labelled, layout = self._labelled(), run.layout
        root = self.layout.preprocessed / FOLDER
        dataset = labelled.dataset(self.layout, self.replaced)
        own, plans = baselines.prepare_supervised(root, dataset, run.plans, self.options.processes, options.quiet)
        parts = list(held_out(own.splits)) if labelled.left_out else [("all", ())]
        plans = baselines.with_share(plans, len(parts))
        seconds = []
        for fold, cases in parts:
            folder = layout.results / "segmentation" / f"fold_{fold}"
            resume = dataclasses.replace(options, resume=(folder / CHECKPOINT).exists())
            baselines.train_as_they_are(own, plans, fold, resume, layout.results)
            seconds.append(training_seconds(folder))
            if fold == parts[0][0]:
                clear(layout, self.options.fold)
            scans = [c.path for c in find_inputs(labelled.images) if c.case_id in cases]
            for path in scans if labelled.left_out else [self.layout.raw / "imagesTs"]:
                self._predict(layout.results, str(fold), path, output, options, notice)
        return {"segmentation": sum(seconds)}

    def _labelled(self) -> LabelledTarget:
        if self.labelled is None:
            raise ConfigurationError(f"the row supervised {UNAVAILABLE}", where=self.layout.raw)
        return self.labelled

    def _data_of(self, row: Row) -> str:
        """Hash of the scans that a row learns from."""
        if row.images != LABELLED_TARGET:
            return self.data
        if self._labelled_hash is None:
            labelled = self._labelled()
            scans = labelled.dataset(self.layout, self.replaced)
            self._labelled_hash = f"{labelled.left_out} {hash_of_labelled(scans)}"
        return self._labelled_hash

    def _plans(self, row: Row, seed: int) -> Plans:
        return dataclasses.replace(plans_of(row, self.plans), seed=seed)


def train_run(run: Run, fold: str, options: RunOptions, notice: Notice) -> dict[str, float]:
    """Train a row that learns without labels of the target, or go on.

    Returns:
        Seconds of each stage, those of a shared translator included.
    """
    layout = run.layout
    segmentation = layout.segmentation(fold)
    if run.row.images == SOURCE:
        resume = dataclasses.replace(options, resume=(segmentation / CHECKPOINT).exists())
        baselines.train_as_they_are(layout, run.plans, fold, resume, layout.results)
        return {"segmentation": training_seconds(segmentation)}
    assert run.row.images == TRANSLATED
    begun = any((folder / CHECKPOINT).exists() for folder in (layout.translation, segmentation))
    pipeline.train(layout, run.plans, fold, dataclasses.replace(options, resume=begun), notice=notice)
    rounds = range(1, run.plans.self_training.rounds + 1)
    return {
        "translation": training_seconds(layout.translation) if run.plans.translates else 0.0,
        "segmentation": training_seconds(segmentation),
        "self_training": sum(training_seconds(layout.self_training(fold, n)) for n in rounds),
    }


def _expected(error: Exception, run: Run) -> DarnetError:
    """An error that a row may fail with while others go on; anything else is raised."""
    if isinstance(error, DarnetError):
        return error
    if is_out_of_memory(error):
        remedy = "use a machine with more memory, or leave the row out"
        failure: ResourceError = out_of_memory("training", f"row {run.row.name}", remedy)
        return failure
    raise error
