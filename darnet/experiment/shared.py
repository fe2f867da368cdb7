"""What rows share: each stage lies in a folder that is named after all it depends on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError
from darnet.experiment.rows import LABELLED_TARGET, TRANSLATED, Row
from darnet.io import CaseStore, read_json, sha256_of, write_json
from darnet.layout import DOMAINS, DatasetLayout, DerivedLayout
from darnet.plans import Plans, settings_of
from darnet.training import plan_hash

FOLDER = "experiment"
MADE_FROM = "made_from.json"


@dataclass(frozen=True)
class Keys:
    """Hashes of all that each stage of a row depends on: equal ones are computed once.

    Attributes:
        preprocessing: Of the preprocessed scans.
        translation: Of the translator.
        synthesis: Of the translated volumes.
        training: Of the DAR-UNet.
        scores: Of its predictions.
    """

    preprocessing: str
    translation: str
    synthesis: str
    training: str
    scores: str


def keys_of(row: Row, plans: Plans, data: str) -> Keys:
    """The keys of a row.

    Args:
        row: The row.
        plans: Its own plan, with its seed.
        data: Hash of the scans that are learned from.
    """
    translation = _digest(plan_hash(plans, "translation"), plans.synthesis.minimum_foreground, plans.seed, data)
    synthesis = _digest(translation, settings_of(plans.synthesis))
    learned = synthesis if row.images == TRANSLATED else ""
    rounds = None
    if plans.self_training.rounds:
        rounds = settings_of(plans.self_training) | {"choose": False}  # whatever prediction takes, the same is trained
    if rounds is not None and plans.most_scans is not None:
        rounds["most_scans"] = plans.most_scans
    looked = plans.segmentation.expected_appearance or plans.segmentation.random_tissues  # at most_scans target scans
    some = [plans.most_scans] if looked and plans.most_scans is not None else []
    training = _digest(row.images, learned, plan_hash(plans, "segmentation"), rounds, plans.seed, data, *some)
    scores = _digest(training, settings_of(plans.inference), *(["chosen"] if plans.self_training.choose else []))
    return Keys(plan_hash(plans), translation, synthesis, training, scores)


def plan_key(row: Row, plans: Plans) -> str:
    """Hash of all of the plan that the scores of a row depend on."""
    return keys_of(row, plans, "").scores


def is_of(record: Mapping[str, Any], row: Row, plans: Plans, data: str) -> bool:
    """Whether a record is of this plan and, unless the row learns from labelled target scans, of this data."""
    if row.images == LABELLED_TARGET:
        return bool(record["plan"] == plan_key(row, plans))
    return bool(record["key"] == keys_of(row, plans, data).scores)


def hash_of_data(layout: DatasetLayout) -> str:
    """Hash of the preprocessed scans of a data set and the labels of its source scans."""
    stores = {domain: CaseStore(layout.cases(domain)) for domain in DOMAINS}
    return _digest({d: {case: s.record(case).content_hash for case in s.case_ids()} for d, s in stores.items()})


def hash_of_tested(scans: Path | None, references: Path | None) -> str:
    """Hash of test scans, by name, size and time of change, and of the labels that they are scored with.

    All voxels of many scans would take minutes to read. A file that cannot be read does not count.
    """
    found: dict[str, object] = {}
    for folder in (scans, references):
        for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")) if folder is not None else ():
            with contextlib.suppress(OSError):
                state = path.stat()
                known = (state.st_size, state.st_mtime_ns) if folder == scans else sha256_of(path)
                found[f"{path.parent.name}/{path.name}"] = known
    return _digest(found)


@dataclass(frozen=True)
class RunLayout(DerivedLayout):
    """One row with one seed: results of its own, everything else where the rows that have the same find it.

    Attributes:
        row: Name of the row.
        seed: Its seed.
        keys: Of its stages.
        own_grid: Whether it needs preprocessed scans other than the data set's.
    """

    row: str
    seed: int
    keys: Keys
    own_grid: bool

    @property
    def preprocessed(self) -> Path:
        shared = self.base.preprocessed / FOLDER / f"preprocessed_{self.keys.preprocessing[:12]}"
        return shared if self.own_grid else self.base.preprocessed

    @property
    def synthetic(self) -> Path:
        return self.base.preprocessed / FOLDER / f"synthetic_{self.keys.synthesis}"

    @property
    def results(self) -> Path:
        return self.base.results / FOLDER / self.row / f"seed_{self.seed}"

    @property
    def translation(self) -> Path:
        return self.base.results / FOLDER / "shared" / f"translation_{self.keys.translation}"

    def pseudo_labels(self, fold: int | str, round_number: int) -> Path:
        own = self.base.preprocessed / FOLDER / "pseudo_labels" / self.row / f"seed_{self.seed}"
        return own / f"round_{round_number}" / f"fold_{fold}"

    def record(self, fold: int | str) -> Path:
        """What a fold has come to; written when it is trained and scored."""
        return self.results / f"fold_{fold}.json"

    def predictions(self, fold: int | str) -> Path:
        """Masks of the test scans."""
        return self.results / "predictions" / f"fold_{fold}"


@dataclass(frozen=True)
class Run:
    """One row with one seed. `layout.row` is the first row of the same plan: such rows share one run."""

    row: Row
    plans: Plans
    layout: RunLayout


def claim(layout: RunLayout) -> None:
    """Take the folder of a run, or refuse one that holds weights of something else.

    Raises:
        ConfigurationError: The folder was made with another plan or of other scans.
    """
    path = layout.results / MADE_FROM
    if path.exists() and read_json(path) != {"training": layout.keys.training}:
        raise ConfigurationError(
            "the row was trained with another plan, or on other scans",
            where=layout.results,
            remedy="move the folder away to train it again, or put back the plan and the scans",
        )
    layout.results.mkdir(parents=True, exist_ok=True)
    write_json(path, {"training": layout.keys.training})


def clear(layout: RunLayout, fold: str) -> None:
    """Remove masks, of which some may be of scans that are gone, and the record of their scores."""
    layout.record(fold).unlink(missing_ok=True)
    shutil.rmtree(layout.predictions(fold), ignore_errors=True)


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


OF_LEARNED = hash_of_tested(None, None)  # of a record that was scored on scans that the row learns from too
