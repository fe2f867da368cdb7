"""Labelled target scans: the one place of an experiment that learns from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from darnet.baselines import as_labelled
from darnet.errors import ConfigurationError, DataError
from darnet.io import list_cases, list_labels, read_json
from darnet.layout import DatasetLayout
from darnet.planning import VerifiedDataset, hash_of_files, verify_dataset

LABELS = "labelsTr_target"
UNAVAILABLE = f"needs labels of the target training scans in {LABELS}, or --labelled_target IMAGES LABELS"


@dataclass(frozen=True)
class LabelledTarget:
    """Target scans with labels.

    Attributes:
        images: Folder of the scans.
        labels: Folder of their labels.
        left_out: Each scan is segmented by a network that was not trained on it; else one network, trained on all,
            segments the test scans.
    """

    images: Path
    labels: Path
    left_out: bool

    def dataset(self, layout: DatasetLayout, replace_non_finite: bool = False) -> VerifiedDataset:
        """The scans that have labels, as if they were the source scans of a data set.

        Args:
            layout: The data set that is adapted.
            replace_non_finite: Replace NaN and infinite voxels instead of refusing them.

        Raises:
            DataError: Labels without scan, fewer than two scans, or files that cannot be used.
        """
        verified = verify_dataset(layout, replace_non_finite)
        ending = verified.info.file_ending
        images, labels = list_cases(self.images, ending), list_labels(self.labels, ending)
        alone = sorted(set(labels) - set(images))
        if alone or len(labels) < 2:
            raise DataError(
                "labels of target scans have no scan" if alone else "there are too few labelled target scans",
                where=self.labels,
                found=", ".join(alone) or len(labels),
                expected=f"scans of these names in {self.images}" if alone else "at least 2",
                remedy="mend the names, or leave out the row supervised",
            )
        return as_labelled(verified, {case: images[case] for case in labels}, labels)


def find_labelled(layout: DatasetLayout, given: tuple[Path, Path] | None) -> LabelledTarget | None:
    """Labelled target scans: those named, else the training scans with `labelsTr_target`; None where there are none.

    Raises:
        ConfigurationError: A folder that was named is not there.
    """
    for folder in given or ():
        if not folder.is_dir():
            raise ConfigurationError(
                "there is no such folder",
                where=folder.absolute(),
                remedy="name two folders: --labelled_target IMAGES LABELS",
            )
    if given:
        return LabelledTarget(*given, left_out=True)
    labels = layout.raw / LABELS
    return LabelledTarget(layout.images("target"), labels, left_out=False) if labels.is_dir() else None


def hash_of_labelled(dataset: VerifiedDataset) -> str:
    """Hash of the scans and their labels."""
    return " ".join(f"{files.case_id} {hash_of_files(files)}" for files in dataset.source)


def held_out(splits: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Number and held-out cases of each fold."""
    for number, fold in enumerate(read_json(splits)):
        yield number, tuple(fold["val"])
