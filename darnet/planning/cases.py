"""The files of one case: read, seen to fit each other, and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from darnet.errors import DarnetError, DataError, collect, raise_together
from darnet.io import Scan, corners_apart, most_apart, read_scan, sha256_of
from darnet.planning.verify import CaseFiles
from darnet.words import several

MANY_VALUES = 50  # a file with more of them than that may be a scan


def read_case(files: CaseFiles, classes: Mapping[str, int]) -> tuple[Scan, Scan | None]:
    """Read a case's scan and labels and see that they fit.

    Args:
        files: Its files.
        classes: Value of each class, background included.

    Raises:
        DataError: A file is damaged, the scan is constant or holds labels, the labels lie on another grid or have
            values of no class; all that is wrong with either file.
    """
    faults: list[DarnetError] = []
    path, labels_path = files.image, files.labels
    scan = collect(faults, lambda: read_scan(path, replace_non_finite=files.replace_non_finite))
    labels = None if labels_path is None else collect(faults, lambda: read_scan(labels_path, labels=True))
    if scan is not None:
        collect(faults, lambda: _refuse_constant(scan))
        collect(faults, lambda: _refuse_labels(scan, classes))
    if labels is not None:
        collect(faults, lambda: _refuse_unknown_values(labels, classes))
    if labels is not None and scan is not None:
        collect(faults, lambda: _refuse_other_grid(scan, labels))
    raise_together(faults, f"case {files.case_id} cannot be used")
    assert scan is not None
    return scan, labels


def _refuse_constant(scan: Scan) -> None:
    if scan.array.min() == scan.array.max():
        raise DataError("the scan is constant", where=scan.path, found=f"all voxels are {scan.array.flat[0]}",
                        remedy="export it again, or take it away")  # fmt: skip


def _refuse_labels(scan: Scan, classes: Mapping[str, int]) -> None:
    """A file of labels in the place of a scan: all its values are those of classes."""
    few = scan.array.flat[:: max(1, scan.array.size // 10_000)]  # of a scan these tell it at once
    if not np.isin(few, list(classes.values())).all():
        return
    values = np.unique(scan.array)
    if len(values) > 1 and set(values.tolist()) <= set(classes.values()):
        raise DataError("the scan holds nothing but values of labels", where=scan.path,
                        found=several([f"{value:g}" for value in values]), expected="intensities",
                        remedy="put the scan in its place; labels of source scans belong into labelsTr")  # fmt: skip


def _refuse_unknown_values(labels: Scan, classes: Mapping[str, int]) -> None:
    values, counts = np.unique(labels.array, return_counts=True)
    unknown = {int(v): int(n) for v, n in zip(values, counts, strict=True) if int(v) not in classes.values()}
    if unknown:
        remedy = (
            "mend the labels, or name all values in dataset.json; to keep some of the classes only, convert the data "
            "set with darnet_convert nnunet and --classes then"
        )
        if len(unknown) > MANY_VALUES:
            remedy = "is it a scan? put the labels of this case in its place"
        raise DataError(
            "labels have values that dataset.json does not name",
            where=labels.path,
            found=several([f"{value} ({count} voxels)" for value, count in unknown.items()], 5),
            expected=", ".join(f"{value} {name}" for name, value in classes.items()),
            remedy=remedy,
        )


def _refuse_other_grid(scan: Scan, labels: Scan) -> None:
    if labels.array.shape != scan.array.shape:
        raise DataError("labels and scan differ in shape", where=labels.path, found=labels.array.shape,
                        expected=scan.array.shape, remedy="resample the labels to the scan")  # fmt: skip
    apart = corners_apart(labels.affine, scan.affine, scan.array.shape)
    if apart > most_apart(scan.spacing):
        raise DataError("labels and scan lie on different grids", where=labels.path,
                        found=f"corners up to {apart:.2f} mm apart", expected="the affine of the scan",
                        remedy="resample the labels to the scan, or mend the header that is wrong")  # fmt: skip


def hash_of_files(files: CaseFiles) -> str:
    """Hash of all files of a case."""
    return "".join(sha256_of(path)[:32] for path in (files.image, files.labels) if path is not None)


def hash_of_voxels(scan: Scan) -> str:
    """Hash of the shape and the voxels of a scan."""
    digest = hashlib.sha256(str(scan.array.shape).encode())
    digest.update(np.ascontiguousarray(scan.array).data)
    return digest.hexdigest()[:32]


def trained_test_scans(test: Sequence[Path], training: Mapping[str, str]) -> list[str]:
    """Notes on test scans that are training scans too, on which results say little, and on those that cannot be read.

    Args:
        test: Test scans.
        training: Name of each training case by the hash of its voxels.
    """
    notes = []
    for path in test:
        try:
            case = training.get(hash_of_voxels(read_scan(path)))
        except DarnetError as error:
            notes.append(f"the test scan {path.name} cannot be used: {error.what}")
            continue
        if case is not None:
            notes.append(f"the test scan {path.name} is the training case {case} too: results on it say little")
    return notes
