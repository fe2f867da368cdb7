"""Which file lies where below one root folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from darnet.errors import ConfigurationError

DOMAINS = ("source", "target")


@dataclass(frozen=True)
class DatasetLayout:
    """All folders and files of one data set. Nothing is read or created here."""

    root: Path
    name: str

    @property
    def raw(self) -> Path:
        return self.root / "raw" / self.name

    @property
    def dataset_json(self) -> Path:
        return self.raw / "dataset.json"

    def images(self, domain: str) -> Path:
        """Folder of the training scans of a domain."""
        return self.raw / ("imagesTr" if domain == "source" else "imagesTr_target")

    @property
    def labels(self) -> Path:
        """Folder of the labels of the source scans. The target has none."""
        return self.raw / "labelsTr"

    @property
    def preprocessed(self) -> Path:
        return self.root / "preprocessed" / self.name

    @property
    def fingerprint(self) -> Path:
        return self.preprocessed / "fingerprint.json"

    @property
    def plans(self) -> Path:
        return self.preprocessed / "plans.json"

    @property
    def planned(self) -> Path:
        """The plan as it was made; `plans` may have been changed by hand."""
        return self.preprocessed / "planned.json"

    @property
    def splits(self) -> Path:
        return self.preprocessed / "splits.json"

    @property
    def preprocessing(self) -> Path:
        """Which cases the stores hold and what they were made with; written when all of them are there."""
        return self.preprocessed / "preprocessing.json"

    def cases(self, domain: str) -> Path:
        """Case store of a domain."""
        return self.preprocessed / domain

    @property
    def synthetic(self) -> Path:
        """Case store of the target-like source volumes and the style bank."""
        return self.preprocessed / "synthetic"

    @property
    def results(self) -> Path:
        return self.root / "results" / self.name

    @property
    def translation(self) -> Path:
        return self.results / "translation"

    def segmentation(self, fold: int | str) -> Path:
        return self.results / "segmentation" / f"fold_{fold}"

    def self_training(self, fold: int | str, round_number: int) -> Path:
        return self.results / "self_training" / f"round_{round_number}" / f"fold_{fold}"

    def pseudo_labels(self, fold: int | str, round_number: int) -> Path:
        """Case store of target scans labelled by a fold's network of the round before."""
        return self.preprocessed / "pseudo_labels" / f"round_{round_number}" / f"fold_{fold}"


@dataclass(frozen=True)
class DerivedLayout(DatasetLayout):
    """Scans and folds of a data set, and places of its own for what is made of them.

    Attributes:
        base: The data set.
    """

    base: DatasetLayout

    @property
    def raw(self) -> Path:
        return self.base.raw

    @property
    def splits(self) -> Path:
        return self.base.splits


def find_root(root: str | Path | None = None) -> Path:
    """The root folder: the argument, else DARNET_ROOT, else ./darnet_data."""
    return Path(root or os.environ.get("DARNET_ROOT") or "darnet_data")


def find_dataset(dataset: str, root: str | Path | None = None) -> DatasetLayout:
    """Find a data set by id (`101`), name (`Dataset101_AbdomenCT2MR`) or path of its raw folder.

    A path outside `ROOT/raw` keeps its folder as it is: only `preprocessed` and `results` are put below the root. Where
    nothing else is meant, results are found by any name that they have, such as that of an imported model.

    Raises:
        ConfigurationError: There is no such data set, or an id belongs to several.
    """
    base = find_root(root)
    folders = sorted(
        {p.name for stage in ("raw", "preprocessed", "results") for p in (base / stage).glob("Dataset*") if p.is_dir()}
    )
    if dataset in folders:
        return DatasetLayout(base, dataset)
    if re.fullmatch(r"\d{1,3}", dataset):
        matches = [n for n in folders if re.fullmatch(rf"Dataset0*{int(dataset)}_.*", n)]
        if len(matches) == 1:
            return DatasetLayout(base, matches[0])
        if len(matches) > 1:
            raise ConfigurationError(
                f"data set id {dataset} is not unique",
                where=base,
                found=", ".join(matches),
                remedy="give the full name",
            )
    path = Path(dataset)
    if path.is_dir():
        inside = _data_sets_in(path)
        if inside and not (path / "dataset.json").exists():
            raise ConfigurationError(
                "the folder is no data set, but holds some",
                where=path.absolute(),
                found=", ".join(inside),
                remedy="give one of them with -d",
            )
        return _ExternalLayout(base, path.resolve().name, path.resolve())
    models = {plans.parent.name for plans in (base / "results").glob("*/plans.json")}
    if dataset in models:
        return DatasetLayout(base, dataset)
    raise _no_such_data_set(dataset, base, sorted(models.union(folders)))


def _no_such_data_set(dataset: str, base: Path, folders: list[str]) -> ConfigurationError:
    raw = base / "raw"
    remedy = "put the data set there, name another root with --root or DARNET_ROOT, or give -d the folder's path"
    if not base.exists() and not base.is_absolute():
        remedy = (
            f"run the command in the folder that holds {base}, name that of {base.name} with --root or DARNET_ROOT, or "
            "give -d the folder's path"
        )
    if not folders and _data_sets_in(base):
        above = base.name in ("raw", "preprocessed", "results")
        remedy = f"give --root {base.absolute().parent}" if above else "move the data set to raw/ below the root"
    file = next((path for path in (base, raw) if path.is_file()), None)
    there = f"{file} is a file, no folder" if file else "no data set" if raw.is_dir() else "no such folder"
    return ConfigurationError(
        f"there is no data set {dataset}",
        where=raw.absolute(),
        found=", ".join(folders) or there,
        expected="a folder named DatasetNNN_Name",
        remedy=remedy,
    )


def _data_sets_in(folder: Path) -> list[str]:
    """Names of the data sets that lie in a folder itself."""
    return sorted(path.name for path in folder.glob("Dataset*_*") if path.is_dir())


@dataclass(frozen=True)
class _ExternalLayout(DatasetLayout):
    """A data set whose raw folder lies outside the root."""

    raw_folder: Path = Path()

    @property
    def raw(self) -> Path:
        return self.raw_folder


def fold_lock(results: Path, fold: str | int) -> Path:
    """The lock of a fold: one process trains it at a time."""
    return results / f".fold_{fold}.lock"


def volumes_lock(results: Path, fold: str | int) -> Path:
    """The lock of a fold that reads the translated volumes: as long as one is held they stay as they are."""
    return results / f".volumes_fold_{fold}.lock"


def translation_lock(results: Path) -> Path:
    """The lock of the translator and its volumes, which folds share."""
    return results / ".translation.lock"
