"""A raw data set as it should be: names, pairs and folders, before a voxel is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darnet.errors import DarnetError, DataError, raise_together
from darnet.io import DatasetInfo, list_cases, list_labels, read_dataset_json
from darnet.layout import DatasetLayout


@dataclass(frozen=True)
class CaseFiles:
    """Files of one training case; `labels` is None for target cases."""

    case_id: str
    domain: str
    image: Path
    labels: Path | None


@dataclass(frozen=True)
class VerifiedDataset:
    """A data set whose names and pairs are in order.

    Attributes:
        info: What dataset.json says.
        source: Labelled cases.
        target: Unlabelled cases.
        notes: What a user should know though it is no error.
    """

    info: DatasetInfo
    source: tuple[CaseFiles, ...]
    target: tuple[CaseFiles, ...]
    notes: tuple[str, ...]

    @property
    def cases(self) -> tuple[CaseFiles, ...]:
        """All training cases."""
        return self.source + self.target


def verify_dataset(layout: DatasetLayout) -> VerifiedDataset:
    """Check a raw data set and find its training cases. Labels of the target are never looked for.

    Raises:
        DataError: Everything that is wrong, at once.
    """
    info = read_dataset_json(layout.dataset_json)
    ending = info.file_ending
    faults: list[DarnetError] = []
    listed: list[dict[str, Path]] = []
    for lister, folder in (
        (list_cases, layout.images("source")),
        (list_labels, layout.labels),
        (list_cases, layout.images("target")),
    ):
        try:
            listed.append(lister(folder, ending))
        except DarnetError as error:
            faults.append(error)
            listed.append({})
    images, labels, targets = listed
    if not faults:
        faults += _pairs(images, labels, layout, ending)
        faults += _domains(images, targets, layout)
    raise_together(faults, f"the data set {layout.name} cannot be used")
    notes = []
    if len(targets) < 3:
        notes.append(f"only {len(targets)} target scans: few styles can be learnt from them")
    return VerifiedDataset(
        info,
        tuple(CaseFiles(c, "source", images[c], labels[c]) for c in sorted(images)),
        tuple(CaseFiles(c, "target", targets[c], None) for c in sorted(targets)),
        tuple(notes),
    )


def _pairs(images: dict[str, Path], labels: dict[str, Path], layout: DatasetLayout, ending: str) -> list[DataError]:
    """Images without labels and labels without image."""
    faults = []
    for case in sorted(set(images) - set(labels)):
        faults.append(
            DataError(
                f"source case {case} has no labels",
                where=images[case],
                expected=layout.labels / f"{case}{ending}",
                remedy="add its labels, or take the scan away",
            )
        )
    for case in sorted(set(labels) - set(images)):
        faults.append(
            DataError(
                f"labels of {case} have no scan",
                where=labels[case],
                expected=layout.images("source") / f"{case}_0000{ending}",
                remedy="add the scan, or take the labels away",
            )
        )
    return faults


def _domains(images: dict[str, Path], targets: dict[str, Path], layout: DatasetLayout) -> list[DataError]:
    """Too few scans, or the same scans in both domains."""
    faults = []
    if len(images) < 2:
        faults.append(
            DataError(
                "there are too few labelled scans",
                where=layout.images("source"),
                found=len(images),
                expected="at least 2, one to train on and one to validate",
                remedy="add labelled source scans",
            )
        )
    same = {path.resolve() for path in images.values()} & {path.resolve() for path in targets.values()}
    if same:
        faults.append(
            DataError(
                "scans are in both domains",
                where=layout.images("target"),
                found=", ".join(sorted(path.name for path in same)[:5]),
                expected="target scans of another kind than the source scans",
                remedy="put the scans of the other kind into imagesTr_target",
            )
        )
    return faults
