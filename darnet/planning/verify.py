"""A raw data set as it should be: names, pairs and folders, before a voxel is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darnet.errors import DarnetError, DataError, collect, raise_together
from darnet.io import DatasetInfo, paired_notes, read_dataset_json
from darnet.io.dataset_json import FILE_ENDINGS, Listing, survey_folder
from darnet.layout import DatasetLayout
from darnet.words import counted, several


@dataclass(frozen=True)
class CaseFiles:
    """Files of one training case; `labels` is None for target cases.

    `replace_non_finite` says that NaN and infinite voxels of the scan are replaced instead of refused; `modality` names
    its kind of scan, and is empty where that does not matter.
    """

    case_id: str
    domain: str
    image: Path
    labels: Path | None
    replace_non_finite: bool = False
    modality: str = ""


@dataclass(frozen=True)
class VerifiedDataset:
    """A data set whose names and pairs are in order.

    Attributes:
        info: What dataset.json says.
        source: Labelled cases.
        target: Unlabelled cases.
        notes: What a user should know though it is no error.
        test: Test scans by case. They are compared with the training scans and never learned from.
    """

    info: DatasetInfo
    source: tuple[CaseFiles, ...]
    target: tuple[CaseFiles, ...]
    notes: tuple[str, ...]
    test: tuple[Path, ...] = ()

    @property
    def cases(self) -> tuple[CaseFiles, ...]:
        """All training cases."""
        return self.source + self.target


@dataclass(frozen=True)
class Survey:
    """A raw data set as it is.

    Attributes:
        info: What dataset.json says; None where it cannot be used.
        source: Labelled cases whose names and pairs are in order.
        target: Unlabelled cases whose names are in order.
        notes: What a user should know though it is no error.
        test: Test scans.
        faults: All that is wrong with names, pairs and folders.
    """

    info: DatasetInfo | None
    source: tuple[CaseFiles, ...]
    target: tuple[CaseFiles, ...]
    notes: tuple[str, ...]
    test: tuple[Path, ...]
    faults: tuple[DarnetError, ...]

    @property
    def cases(self) -> tuple[CaseFiles, ...]:
        """All training cases whose names and pairs are in order."""
        return self.source + self.target


def verify_dataset(layout: DatasetLayout, replace_non_finite: bool = False) -> VerifiedDataset:
    """Check a raw data set and find its training cases. Labels of the target are never looked for.

    Args:
        layout: Where it lies.
        replace_non_finite: Replace NaN and infinite voxels instead of refusing them.

    Raises:
        DataError: Everything that is wrong, at once.
    """
    return as_verified(survey_dataset(layout, replace_non_finite), layout)


def as_verified(survey: Survey, layout: DatasetLayout) -> VerifiedDataset:
    """A survey without faults as a data set.

    Raises:
        DataError: The faults of the survey.
    """
    raise_together(survey.faults, f"the data set {layout.name} cannot be used")
    assert survey.info is not None
    return VerifiedDataset(survey.info, survey.source, survey.target, survey.notes, survey.test)


def survey_dataset(layout: DatasetLayout, replace_non_finite: bool = False) -> Survey:
    """Look at names, pairs and folders of a raw data set, to the end, whatever is wrong. Nothing is raised."""
    faults: list[DarnetError] = []
    info = collect(faults, lambda: read_dataset_json(layout.dataset_json))
    ending = info.file_ending if info else FILE_ENDINGS[0]
    if not layout.dataset_json.exists() and not any(layout.images(d).exists() for d in ("source", "target")):
        return Survey(None, (), (), (), (), tuple(faults))  # no data set at all: one fault says it
    images = survey_folder(layout.images("source"), ending, images=True)
    labels = survey_folder(layout.labels, ending, images=False)
    targets = survey_folder(layout.images("target"), ending, images=True)
    faults += [*images.faults, *labels.faults, *targets.faults]
    # Where a folder is missing or empty, that is the one fault: not each case that lacks its other half.
    if images.seen and labels.seen:
        faults += _pairs(images, labels, layout, ending)
    faults += _domains(images, targets, layout)
    notes = []
    if len(targets.seen) < 3:
        notes.append(f"only {counted(len(targets.seen), 'target scan')}: few styles can be learnt from them")
    test = survey_folder(layout.raw / "imagesTs", ending, images=True)
    if (layout.raw / "imagesTs").exists():
        notes += [f"imagesTs: {fault.what} ({fault.where})" for fault in test.faults]
    notes += paired_notes(images.cases, targets.cases, test.cases)
    kinds = (info.source_modality, info.target_modality) if info else ("", "")
    both = sorted(set(images.cases) & set(labels.cases))
    sources = {path.resolve() for path in images.cases.values()}
    return Survey(
        info,
        tuple(CaseFiles(c, "source", images.cases[c], labels.cases[c], replace_non_finite, kinds[0]) for c in both),
        tuple(
            CaseFiles(case, "target", path, None, replace_non_finite, kinds[1])
            for case, path in targets.cases.items()
            if path.resolve() not in sources
        ),
        tuple(notes),
        tuple(test.cases.values()),
        tuple(faults),
    )


def _pairs(images: Listing, labels: Listing, layout: DatasetLayout, ending: str) -> list[DataError]:
    """Images without labels and labels without image. A file whose name alone is wrong is no missing one."""
    faults = []
    # Labels under the names of their scans have a scan, and the scan has labels: their names alone are wrong.
    misnamed = sorted(c for c in images.seen - labels.seen if f"{c}_0000" in set(labels.cases) - images.seen)
    if misnamed:
        names = [labels.cases[f"{case}_0000"].name for case in misnamed]
        faults.append(
            DataError(
                "labels have the names of their scans, with _0000",
                where=layout.labels,
                found=several(names, 5),
                expected=f"CASE{ending}, such as {misnamed[0]}{ending}",
                remedy="take _0000 off the names of the label files",
            )
        )
    for case in sorted(set(images.cases) - labels.seen - set(misnamed)):
        faults.append(
            DataError(
                f"source case {case} has no labels",
                where=images.cases[case],
                expected=layout.labels / f"{case}{ending}",
                remedy="add its labels, or take the scan away",
            )
        )
    for case in sorted(set(labels.cases) - images.seen - {f"{case}_0000" for case in misnamed}):
        faults.append(
            DataError(
                f"labels of {case} have no scan",
                where=labels.cases[case],
                expected=layout.images("source") / f"{case}_0000{ending}",
                remedy="add the scan, or take the labels away",
            )
        )
    return faults


def _domains(images: Listing, targets: Listing, layout: DatasetLayout) -> list[DataError]:
    """Too few scans, or the same scans in both domains."""
    faults = []
    if len(images.seen) == 1:
        faults.append(
            DataError(
                "there are too few labelled scans",
                where=layout.images("source"),
                found=len(images.seen),
                expected="at least 2, one to train on and one to validate",
                remedy="add labelled source scans",
            )
        )
    same = {p.resolve() for p in images.cases.values()} & {p.resolve() for p in targets.cases.values()}
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
