"""The fingerprint: what planning needs to know of each case, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import cc3d
import numpy as np
from numpy.typing import NDArray

from darnet.errors import ConfigurationError, DarnetError, DataError
from darnet.imaging import (
    body_axes,
    box_of,
    crop,
    determine_orientation,
    foreground_mask,
    largest_fraction,
    spacing_of,
    to_canonical,
    without_padding,
)
from darnet.imaging.orientation import ANISOTROPIC_RATIO, BODY, CANONICAL_CODES, world_axis
from darnet.io import read_json
from darnet.planning.cases import hash_of_files, hash_of_voxels, read_case
from darnet.planning.verify import CaseFiles
from darnet.plans import is_ct, is_mr
from darnet.workers import run_cases

Triple: TypeAlias = tuple[float, float, float]

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)


@dataclass(frozen=True)
class CaseFingerprint:
    """One case. Sizes are in canonical axis order (D, H, W).

    Attributes:
        case_id: Its name.
        domain: "source" or "target".
        content_hash: SHA-256 of its files.
        voxel_hash: SHA-256 of the voxels of its scan; the same for a copy that was packed again.
        shape: Voxels of the scan.
        spacing: mm.
        body_axes: Directions in which D, H and W run.
        field_of_view: mm of the whole scan.
        body_extent: mm of the box around the body.
        percentiles: `PERCENTILES` of the intensities within the body.
        class_ml: Volume of each class in ml; empty for target cases.
        class_largest: Share of each class in its largest component; classes that the case shows alone.
        class_centre: Centre of each such class in mm towards right, anterior and superior.
        labelled_percentiles: `PERCENTILES` of the intensities of all labelled voxels.
        label_extent: mm of the box around the labels; 0 without labels.
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
    class_centre: dict[str, Triple] = dataclasses.field(default_factory=dict)
    labelled_percentiles: tuple[float, ...] = ()
    label_extent: Triple = (0.0, 0.0, 0.0)
    notes: tuple[str, ...] = ()
    voxel_hash: str = ""

    @property
    def has_planes(self) -> bool:
        """Whether the scan has planes of its own, which D runs through whatever the plan says."""
        return self.spacing[0] >= ANISOTROPIC_RATIO * max(self.spacing[1:])

    @property
    def through_plane(self) -> str:
        """Body axis that D runs along, either way: R, A or S."""
        return BODY[world_axis(self.body_axes[0])]

    def turned(self, through_plane: str) -> CaseFingerprint:
        """The case as it is preprocessed with that body axis as D: a scan without planes of its own may be turned."""
        codes = CANONICAL_CODES[through_plane]
        if self.has_planes or self.body_axes == codes:
            return self
        lines = [world_axis(code) for code in self.body_axes]
        axes = [lines.index(world_axis(code)) for code in codes]
        fields = ("shape", "spacing", "field_of_view", "body_extent", "label_extent")
        moved = {field: tuple(getattr(self, field)[axis] for axis in axes) for field in fields}
        return dataclasses.replace(self, body_axes=codes, **cast(Any, moved))


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

    def turned(self, through_plane: str) -> Fingerprint:
        """All cases as they are preprocessed with that body axis ("R", "A" or "S") as D of scans without planes."""
        return Fingerprint(tuple(case.turned(through_plane) for case in self.cases))

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


def survey_cases(
    cases: Sequence[CaseFiles], classes: Mapping[str, int], processes: int = 1, quiet: bool = True
) -> tuple[Fingerprint, list[DarnetError]]:
    """Look into every case, in parallel, whatever is wrong with the others.

    Args:
        cases: The cases.
        classes: Value of each class, background included.
        processes: Most cases at once.
        quiet: No progress bar.

    Returns:
        The fingerprint of the cases that are in order, and all that is wrong.

    Raises:
        ResourceError: A worker was killed.
    """
    tasks = {f"{files.domain} {files.case_id}": (files, classes) for files in cases}
    faults: dict[str, DarnetError] = {}
    found: dict[str, CaseFingerprint] = {}
    for name, result in run_cases(_fingerprint_task, tasks, processes, "fingerprint", quiet):
        if isinstance(result, DarnetError):
            faults[name] = result
        else:
            found[name] = result
    fingerprint = Fingerprint(tuple(found[name] for name in sorted(found)))
    listed = [faults[name] for name in sorted(faults)]
    # A class may be in a case that cannot be read.
    if not any(name.startswith("source") for name in faults):
        listed += _absent_classes(fingerprint, classes, cases)
    return fingerprint, listed + _equal_scans(fingerprint)


def _fingerprint_task(task: tuple[CaseFiles, Mapping[str, int]]) -> CaseFingerprint:
    return fingerprint_case(*task)


def fingerprint_case(files: CaseFiles, classes: Mapping[str, int]) -> CaseFingerprint:
    """Look into one case.

    Args:
        files: Its files.
        classes: Value of each class, background included.

    Raises:
        DataError: The case cannot be used; all that is wrong with its files.
    """
    scan, labels = read_case(files, classes)
    orientation = determine_orientation(scan.affine)
    volume = to_canonical(scan.array, orientation)
    hounsfield = is_ct(files.modality)
    if is_mr(files.modality):
        volume = without_padding(volume)
    spacing = spacing_of(scan.affine, orientation)
    body = foreground_mask(volume, hounsfield)
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
        notes=(
            *(f"{files.case_id}: {note}" for note in scan.notes),
            *(f"{files.case_id}, labels: {note}" for note in (labels.notes if labels else ())),
        ),
        voxel_hash=hash_of_voxels(scan),
    )
    if labels is None:
        return case
    case = dataclasses.replace(case, class_centre=_centres(labels.array, scan.affine, classes))
    return _with_labels(case, volume, to_canonical(labels.array, orientation), classes)


def _centres(labels: NDArray[Any], affine: NDArray[np.float64], classes: Mapping[str, int]) -> dict[str, Triple]:
    """Centre of each class that is there; labels (i, j, k)."""
    centres = cc3d.statistics(labels.astype(np.uint32), no_slice_conversion=True)["centroids"]
    there = {name: centres[value] for name, value in classes.items() if 0 < value < len(centres)}
    return {name: _triple(affine[:3, :3] @ at + affine[:3, 3]) for name, at in there.items() if not np.isnan(at).any()}


def _with_labels(
    case: CaseFingerprint, volume: NDArray[Any], labels: NDArray[Any], classes: Mapping[str, int]
) -> CaseFingerprint:
    """Add what the labels (D, H, W) tell."""
    values, counts = np.unique(labels, return_counts=True)
    there = dict(zip((int(v) for v in values), (int(n) for n in counts), strict=True))
    labelled = labels > 0
    notes, extent = case.notes, (0.0, 0.0, 0.0)
    percentiles: tuple[float, ...] = ()
    if labelled.any():
        extent = _triple(np.array([stop - start for start, stop in box_of(labelled)]) * case.spacing)
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
        label_extent=extent,
        notes=notes,
    )


def _percentiles(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(p) for p in np.percentile(values, PERCENTILES))


def _triple(values: NDArray[Any]) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])


def _absent_classes(
    fingerprint: Fingerprint, classes: Mapping[str, int], cases: Sequence[CaseFiles]
) -> list[DataError]:
    """Classes that no labelled case shows."""
    folder = next((files.labels.parent for files in cases if files.labels), None)
    return [
        DataError(
            f"no case shows the class {name}",
            where=folder,
            expected=f"label {value} in at least one case",
            remedy="add labels of it, or take the class out of dataset.json",
        )
        for name, value in classes.items()
        if value and folder and not any(case.class_ml.get(name, 0) > 0 for case in fingerprint.of("source"))
    ]


def _equal_scans(fingerprint: Fingerprint) -> list[DataError]:
    """Cases with the same voxels as one before them."""
    faults = []
    seen: dict[str, CaseFingerprint] = {}
    for case in fingerprint.cases:
        other = seen.setdefault(case.voxel_hash, case)
        if other is not case:
            faults.append(
                DataError(
                    "two cases are the same scan",
                    found=f"{other.domain} {other.case_id} and {case.domain} {case.case_id}",
                    expected="another scan in each case",
                    remedy="take one of them away",
                )
            )
    return faults
