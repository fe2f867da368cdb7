"""Preprocessing of a data set: raw files into case stores, in parallel, case by case."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darnet.errors import DarnetError, raise_together
from darnet.imaging import body_axes
from darnet.imaging.orientation import CANONICAL_CODES
from darnet.io import CaseRecord, CaseStore
from darnet.layout import DOMAINS, DatasetLayout
from darnet.planning import Fingerprint, VerifiedDataset, hash_of_files, read_case
from darnet.planning.verify import CaseFiles
from darnet.plans import Plans, settings_of
from darnet.preprocessing.case import PreprocessedCase, preprocess_arrays
from darnet.workers import run_cases

LOCATIONS_A_CLASS = 300
LEAST_KEPT = 0.5  # of the volume of a class on the planned grid


@dataclasses.dataclass(frozen=True)
class _Task:
    files: CaseFiles
    plans: Plans
    folder: Path
    content_hash: str


def preprocess_dataset(
    dataset: VerifiedDataset, layout: DatasetLayout, plans: Plans, processes: int = 1, quiet: bool = True
) -> tuple[int, int]:
    """Fill the case stores of both domains. Cases that are there, of the same files and plan, are kept.

    Args:
        dataset: The verified raw data set.
        layout: Where the stores lie.
        plans: The plan.
        processes: Most cases at once.
        quiet: No progress bar.

    Returns:
        How many cases were made and how many were there.

    Raises:
        DataError: Everything that is wrong with any case, at once; the other cases are kept.
        ResourceError: Disk or memory do not suffice.
    """
    tasks: dict[str, _Task] = {}
    there = 0
    for files in dataset.cases:
        store = CaseStore(layout.cases(files.domain))
        content_hash = case_hash(files, plans)
        if store.has(files.case_id, content_hash):
            there += 1
        else:
            tasks[f"{files.domain} {files.case_id}"] = _Task(files, plans, store.folder, content_hash)
    faults: list[DarnetError] = []
    for _, result in run_cases(_preprocess_task, tasks, processes, "preprocess", quiet):
        if isinstance(result, DarnetError):
            faults.append(result)
    raise_together(faults, "some cases could not be preprocessed")
    _drop_others(dataset, layout)
    return len(tasks), there


def case_hash(files: CaseFiles, plans: Plans) -> str:
    """Hash of all that a stored case depends on: its files, the plan's part on preprocessing, and how
    scans are turned."""
    return _stored_hash(hash_of_files(files), files.domain, plans)


def _stored_hash(of_files: str, domain: str, plans: Plans) -> str:
    """As `case_hash`, with the hash of the files."""
    kind = plans.domain(domain)
    plan = settings_of(plans.preprocessing) | settings_of(kind.intensity) | kind.told_by_name
    if domain == "target":
        for of_source in ("source_inverted", "source_depth", "source_height", "source_width"):
            plan.pop(of_source, None)
    values = [of_files, plan, plans.labels, CANONICAL_CODES]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _preprocess_task(task: _Task) -> None:
    """Read, preprocess and store one case."""
    scan, labels = read_case(task.files, task.plans.labels)
    try:
        case = preprocess_arrays(
            scan.array, scan.affine, task.plans, task.files.domain, None if labels is None else labels.array
        )
    except DarnetError as error:
        raise type(error)(
            error.what, where=task.files.image, found=error.found, expected=error.expected, remedy=error.remedy
        ) from None
    shape = (scan.array.shape[0], scan.array.shape[1], scan.array.shape[2])
    record = make_record(task.files.case_id, task.content_hash, shape, scan.affine, case, task.plans)
    CaseStore(task.folder).write(record, case.image, case.labels)


def make_record(
    case_id: str,
    content_hash: str,
    original_shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    case: PreprocessedCase,
    plans: Plans,
) -> CaseRecord:
    """The record of a preprocessed case."""
    d, h, w = case.image.shape[1:]
    rows = np.asarray(affine, np.float64).tolist()
    spans = [(int(start), int(stop)) for start, stop in case.crop_box]
    voxels, locations = locate_classes(case.labels, plans.foreground)
    return CaseRecord(
        case_id=case_id,
        content_hash=content_hash,
        original_shape=original_shape,
        affine=(tuple(rows[0]), tuple(rows[1]), tuple(rows[2]), tuple(rows[3])),
        axes=case.orientation.axes,
        flips=case.orientation.flips,
        spacing=case.spacing,
        crop_box=(spans[0], spans[1], spans[2]),
        cropped_shape=(spans[0][1] - spans[0][0], spans[1][1] - spans[1][0], spans[2][1] - spans[2][0]),
        shape=(d, h, w),
        body_axes=body_axes(affine, case.orientation),
        has_labels=case.labels is not None,
        class_voxels=voxels,
        class_locations=locations,
    )


def locate_classes(
    labels: NDArray[np.integer] | None, classes: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, list[list[int]]]]:
    """Voxel count of each class, and some of its voxels (d, h, w), the same for the same labels."""
    voxels: dict[str, int] = {}
    locations: dict[str, list[list[int]]] = {}
    if labels is not None:
        for name, value in classes.items():
            points = np.argwhere(labels == value)
            voxels[name] = len(points)
            picks = np.random.default_rng(0).permutation(len(points))[:LOCATIONS_A_CLASS]
            locations[name] = points[np.sort(picks)].tolist()
    return voxels, locations


def thin_classes(source: CaseStore, fingerprint: Fingerprint, plans: Plans) -> list[str]:
    """A sentence for each class that loses most of its volume on the planned grid, since it is thinner than voxels.

    Cases whose files have changed since the fingerprint was taken say nothing.

    Args:
        source: Store of the preprocessed source cases.
        fingerprint: With the volumes of the classes in the scans.
        plans: The plan.
    """
    voxel_ml = float(np.prod(plans.preprocessing.spacing)) / 1000
    records = {case: source.record(case) for case in source.case_ids()}
    known = [
        case
        for case in fingerprint.of("source")
        if case.case_id in records
        and records[case.case_id].content_hash == _stored_hash(case.content_hash, "source", plans)
    ]
    sentences = []
    for name in plans.foreground:
        shares = [
            records[case.case_id].class_voxels.get(name, 0) * voxel_ml / case.class_ml[name]
            for case in known
            if case.class_ml.get(name, 0) > 0
        ]
        if shares and np.median(shares) < LEAST_KEPT:
            sentences.append(
                f"{name} keeps {np.median(shares):.0%} of its volume on the planned grid (median of {len(shares)} "
                "source scans): it is thinner than voxels, and will be found badly; make preprocessing.spacing finer "
                "in plans.json and preprocess again with --keep_plan"
                + ("" if plans.preset == "paper" else ", or plan with --preset paper")
            )
    return sentences


def _drop_others(dataset: VerifiedDataset, layout: DatasetLayout) -> None:
    """Forget stored cases that are no longer in the raw data set."""
    for domain in DOMAINS:
        store = CaseStore(layout.cases(domain))
        wanted = {files.case_id for files in dataset.cases if files.domain == domain}
        for case in set(store.case_ids()) - wanted:
            store.remove(case)
