"""The fingerprint: what planning needs to know of each case, and nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from darnet.errors import ConfigurationError, DarnetError, DataError, raise_together
from darnet.imaging import (
    body_axes,
    box_of,
    crop,
    determine_orientation,
    foreground_mask,
    largest_fraction,
    spacing_of,
    to_canonical,
)
from darnet.io import Scan, read_json, read_scan, sha256_of
from darnet.io.workers import run_cases
from darnet.planning.verify import CaseFiles, VerifiedDataset

Triple: TypeAlias = tuple[float, float, float]

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)
AFFINE_TOLERANCE = 0.1  # mm by which labels may lie beside their scan


@dataclass(frozen=True)
class CaseFingerprint:
    """One case. Sizes are in canonical axis order (D, H, W).

    Attributes:
        case_id: Its name.
        domain: "source" or "target".
        content_hash: SHA-256 of its files.
        shape: Voxels of the scan.
        spacing: mm.
        body_axes: Directions in which D, H and W run.
        field_of_view: mm of the whole scan.
        body_extent: mm of the box around the body.
        percentiles: `PERCENTILES` of the intensities within the body.
        class_ml: Volume of each class in ml; empty for target cases.
        class_largest: Share of each class in its largest component; classes that the case shows alone.
        labelled_percentiles: `PERCENTILES` of the intensities of all labelled voxels.
        label_depth: mm of the labels along D; 0 without labels.
        notes: What a user should know though it is no error.
    """

    case_id: str
    domain: str
    content_hash: str
    shape: tuple[int, int, int]
    spacing: Triple
    body_axes: tuple[str, str, str]
    field_of_view: Triple
    body_extent: Triple
    percentiles: tuple[float, ...]
    class_ml: dict[str, float] = dataclasses.field(default_factory=dict)
    class_largest: dict[str, float] = dataclasses.field(default_factory=dict)
    labelled_percentiles: tuple[float, ...] = ()
    label_depth: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fingerprint:
    """All cases of a data set."""

    cases: tuple[CaseFingerprint, ...]

    def of(self, domain: str) -> tuple[CaseFingerprint, ...]:
        """The cases of a domain."""
        return tuple(case for case in self.cases if case.domain == domain)

    def median(self, domain: str, field: str) -> Triple:
        """Median over a domain's cases of a field of three values."""
        d, h, w = np.median([getattr(case, field) for case in self.of(domain)], axis=0)
        return float(d), float(h), float(w)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"percentiles_at": PERCENTILES, "cases": [dataclasses.asdict(case) for case in self.cases]}

    @classmethod
    def read(cls, path: Path) -> Fingerprint:
        """Read a fingerprint that `to_json` gave.

        Raises:
            ConfigurationError: No such file, not JSON, or of other keys.
        """
        values = read_json(path)
        try:
            cases: list[dict[str, Any]] = values["cases"]
            whole = [{k: tuple(v) if isinstance(v, list) else v for k, v in case.items()} for case in cases]
            return cls(tuple(CaseFingerprint(**cast(Any, case)) for case in whole))
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(
                "the fingerprint has other keys", where=path, found=error, remedy="run darnet_plan_and_preprocess again"
            ) from None


def fingerprint_dataset(dataset: VerifiedDataset, processes: int = 1, quiet: bool = True) -> Fingerprint:
    """Look into every training case, in parallel.

    Raises:
        DataError: Everything that is wrong with any case, at once.
        ResourceError: A worker was killed.
    """
    tasks = {f"{files.domain} {files.case_id}": (files, dataset.info.labels) for files in dataset.cases}
    faults: list[DarnetError] = []
    found: dict[str, CaseFingerprint] = {}
    for name, result in run_cases(_fingerprint_task, tasks, processes, "fingerprint", quiet):
        if isinstance(result, DarnetError):
            faults.append(result)
        else:
            found[name] = result
    raise_together(faults, "some cases cannot be used")
    fingerprint = Fingerprint(tuple(found[name] for name in sorted(found)))
    _refuse_absent_classes(fingerprint, dataset)
    _refuse_equal_scans(fingerprint)
    return fingerprint


def read_case(files: CaseFiles) -> tuple[Scan, Scan | None]:
    """Read a case's scan and labels and see that they fit.

    Raises:
        DataError: A file is damaged, the scan is constant, or the labels lie on another grid.
    """
    scan = read_scan(files.image)
    if scan.array.min() == scan.array.max():
        raise DataError("the scan is constant", where=files.image, found=f"all voxels are {scan.array.flat[0]}",
                        remedy="export it again, or take it away")  # fmt: skip
    if files.labels is None:
        return scan, None
    labels = read_scan(files.labels, labels=True)
    if labels.array.shape != scan.array.shape:
        raise DataError("labels and scan differ in shape", where=files.labels, found=labels.array.shape,
                        expected=scan.array.shape, remedy="resample the labels to the scan")  # fmt: skip
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(scan.array.shape) - 1
    apart = float(np.linalg.norm((corners @ (labels.affine - scan.affine).T)[:, :3], axis=1).max())
    if apart > max(AFFINE_TOLERANCE, 0.1 * min(scan.spacing)):
        raise DataError("labels and scan lie on different grids", where=files.labels,
                        found=f"corners up to {apart:.2f} mm apart", expected="the affine of the scan",
                        remedy="resample the labels to the scan, or mend the header that is wrong")  # fmt: skip
    return scan, labels


def hash_of_files(files: CaseFiles) -> str:
    """Hash of all files of a case."""
    return "".join(sha256_of(path)[:32] for path in (files.image, files.labels) if path is not None)


def _fingerprint_task(task: tuple[CaseFiles, dict[str, int]]) -> CaseFingerprint:
    return fingerprint_case(*task)


def fingerprint_case(files: CaseFiles, classes: dict[str, int]) -> CaseFingerprint:
    """Look into one case.

    Args:
        files: Its files.
        classes: Value of each class, background included.

    Raises:
        DataError: The case cannot be used.
    """
    scan, labels = read_case(files)
    orientation = determine_orientation(scan.affine)
    volume = to_canonical(scan.array, orientation)
    spacing = spacing_of(scan.affine, orientation)
    body = foreground_mask(volume)
    box = box_of(body)
    case = CaseFingerprint(
        case_id=files.case_id,
        domain=files.domain,
        content_hash=hash_of_files(files),
        shape=(volume.shape[0], volume.shape[1], volume.shape[2]),
        spacing=spacing,
        body_axes=body_axes(scan.affine, orientation),
        field_of_view=_triple(np.array(volume.shape) * spacing),
        body_extent=_triple(np.array([stop - start for start, stop in box]) * spacing),
        percentiles=_percentiles(volume[body]),
        notes=tuple(f"{files.case_id}: {note}" for note in scan.notes),
    )
    if labels is None:
        return case
    return _with_labels(case, files, volume, to_canonical(labels.array, orientation), classes)


def _with_labels(
    case: CaseFingerprint, files: CaseFiles, volume: NDArray[Any], labels: NDArray[Any], classes: dict[str, int]
) -> CaseFingerprint:
    """Add what the labels (D, H, W) tell."""
    values, counts = np.unique(labels, return_counts=True)
    unknown = {int(v): int(n) for v, n in zip(values, counts, strict=True) if int(v) not in classes.values()}
    if unknown:
        raise DataError(
            "labels have values that dataset.json does not name",
            where=files.labels,
            found=", ".join(f"{value} ({count} voxels)" for value, count in unknown.items()),
            expected=", ".join(f"{value} {name}" for name, value in classes.items()),
            remedy="mend the labels, or name the classes in dataset.json",
        )
    there = dict(zip((int(v) for v in values), (int(n) for n in counts), strict=True))
    labelled = labels > 0
    notes, depth = case.notes, 0.0
    percentiles: tuple[float, ...] = ()
    if labelled.any():
        (start, stop), *_ = box_of(labelled)
        depth = (stop - start) * case.spacing[0]
        percentiles = _percentiles(volume[labelled])
    else:
        notes = (*notes, f"{case.case_id}: its labels show background only")
    voxel_ml = float(np.prod(case.spacing)) / 1000
    foreground = {name: value for name, value in classes.items() if value}
    largest = {
        n: largest_fraction(np.asarray(crop(labels, box_of(labelled)) == v))
        for n, v in foreground.items()
        if v in there
    }
    return dataclasses.replace(
        case,
        class_ml={name: there.get(value, 0) * voxel_ml for name, value in foreground.items()},
        class_largest=largest,
        labelled_percentiles=percentiles,
        label_depth=depth,
        notes=notes,
    )


def _percentiles(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(p) for p in np.percentile(values, PERCENTILES))


def _triple(values: NDArray[Any]) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])


def _refuse_absent_classes(fingerprint: Fingerprint, dataset: VerifiedDataset) -> None:
    for name, value in dataset.info.labels.items():
        if value and not any(case.class_ml.get(name, 0) > 0 for case in fingerprint.of("source")):
            raise DataError(
                f"no case shows the class {name}",
                where=dataset.source[0].labels.parent if dataset.source[0].labels else None,
                expected=f"label {value} in at least one case",
                remedy="add labels of it, or take the class out of dataset.json",
            )


def _refuse_equal_scans(fingerprint: Fingerprint) -> None:
    seen: dict[str, CaseFingerprint] = {}
    for case in fingerprint.cases:
        image = case.content_hash[:32]
        if image in seen:
            raise DataError(
                "two cases are the same file",
                found=f"{seen[image].domain} {seen[image].case_id} and {case.domain} {case.case_id}",
                expected="another scan in each case",
                remedy="take one of them away",
            )
        seen[image] = case
