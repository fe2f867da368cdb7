"""Evaluation of a folder of predicted labels against a folder of reference labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from darnet.errors import ConfigurationError, DarnetError, DataError, raise_together
from darnet.evaluation.summary import CaseScores, Summary, evaluate_pair, summarize

if TYPE_CHECKING:
    from darnet.io import Scan

T = TypeVar("T")
Progress = Callable[[Iterable[T]], Iterable[T]]

SHOWN = 10  # names or values listed in a message


def evaluate_folders(
    predictions: str | Path,
    references: str | Path,
    labels: Mapping[str, int],
    progress: Progress[str] = iter,
) -> Summary:
    """Compare predicted with reference labels, CASE.nii.gz or CASE.nii in either folder, case by case.

    A reference without a prediction counts as predicted empty: Dice 0 and an infinite distance for each class that it
    has. Predictions without a reference are passed over. Both are stated in the notes of the summary, and so is a file
    that is prediction and reference at once.

    Args:
        predictions: Folder of predicted labels.
        references: Folder of reference labels.
        labels: Value of each class by name; a background, 0, is passed over.
        progress: Wraps the case ids that are gone through, such as `darnet.progress.track`.

    Returns:
        Scores and statistics, the cases sorted by name.

    Raises:
        ConfigurationError: A folder is missing, or `labels` has no class.
        DataError: Files that cannot be used, all of them together: unreadable, a prediction on another grid than its
            reference, values that are in no class. Or no reference has a prediction.
    """
    if not any(labels.values()):
        raise ConfigurationError("there is no class to evaluate", found=dict(labels), expected="a class besides 0")
    predicted, true = _list(predictions), _list(references)
    missing = sorted(true.keys() - predicted.keys())
    surplus = sorted(predicted.keys() - true.keys())
    if len(missing) == len(true):
        raise DataError(
            "no prediction has the name of a reference",
            where=predictions,
            found=_listing(surplus),
            expected=_listing(missing),
            remedy="give the right folders, or rename the files",
        )
    faults: list[DarnetError] = []
    cases: list[CaseScores] = []
    for case_id in progress(sorted(true)):
        pair = _read_pair(predicted.get(case_id), true[case_id], labels, faults)
        if pair is None or faults:  # after a fault the rest is only read, to name all faults at once
            continue
        prediction, reference = pair
        spacing = np.linalg.norm(reference.affine[:3, :3], axis=0)
        predicted_array = np.zeros_like(reference.array) if prediction is None else prediction.array
        scores = evaluate_pair(predicted_array, reference.array, labels, spacing.tolist())
        cases.append(CaseScores(case_id, scores, missing=prediction is None))
    raise_together(faults, "labels cannot be evaluated")
    notes = []
    same = [case_id for case_id in sorted(true) if _same_file(predicted.get(case_id), true[case_id])]
    if same:
        notes.append(f"prediction and reference are the same file, so these scores say nothing: {_listing(same)}")
    if missing:
        notes.append(
            f"references without a prediction, counted as predicted empty ({len(missing)}): " + _listing(missing)
        )
    if surplus:
        notes.append(f"predictions without a reference, passed over ({len(surplus)}): {_listing(surplus)}")
    return summarize(cases, notes)


def find_labels(references: str | Path, progress: Progress[Path] = iter) -> dict[str, int]:
    """Classes named "1", "2", ... after the values that a folder of reference labels holds, without 0.

    Raises:
        ConfigurationError: The folder is missing.
        DataError: Files cannot be read, all of them together, or all labels are background.
    """
    from darnet.io import read_scan  # darnet.io brings torch, which the measures do without

    values: set[int] = set()
    faults: list[DarnetError] = []
    for path in progress(list(_list(references).values())):
        try:
            values.update(np.unique(read_scan(path, labels=True).array).tolist())
        except DataError as error:
            faults.append(error)
    raise_together(faults, "labels cannot be evaluated")
    if not values - {0}:
        raise DataError("all reference labels are background", where=references, remedy="mend the path")
    return {str(value): value for value in sorted(values - {0})}


def _list(folder: str | Path) -> dict[str, Path]:
    """Label files of a folder by case. They are .nii where no .nii.gz is there."""
    from darnet.io import list_labels

    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigurationError(
            "there is no such folder",
            where=folder.absolute(),
            expected="a folder of labels named CASE.nii.gz",
            remedy="mend the path",
        )
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    plain = any(n.endswith(".nii") for n in names) and not any(n.endswith(".nii.gz") for n in names)
    return list_labels(folder, ".nii" if plain else ".nii.gz")


def _read_pair(
    prediction: Path | None, reference: Path, labels: Mapping[str, int], faults: list[DarnetError]
) -> tuple[Scan | None, Scan] | None:
    """Both label arrays, the first None where there is no prediction. Appends what is wrong and returns None."""
    before = len(faults)
    true = _read(reference, labels, faults)
    if _same_file(prediction, reference):  # read once, so that its faults are told once
        return None if true is None or len(faults) > before else (true, true)
    predicted = _read(prediction, labels, faults) if prediction else None
    if true is not None and predicted is not None:
        faults += _grid_faults(predicted, true)
    return None if true is None or len(faults) > before else (predicted, true)


def _same_file(prediction: Path | None, reference: Path) -> bool:
    return prediction is not None and prediction.samefile(reference)


def _read(path: Path, labels: Mapping[str, int], faults: list[DarnetError]) -> Scan | None:
    """Labels whose values all are in a class or 0."""
    from darnet.io import read_scan

    try:
        scan = read_scan(path, labels=True)
    except DataError as error:
        faults.append(error)
        return None
    unknown = sorted(set(np.unique(scan.array).tolist()) - {0, *labels.values()})
    if unknown:
        counts = [f"{value} ({np.count_nonzero(scan.array == value)} voxels)" for value in unknown[:SHOWN]]
        faults.append(
            DataError(
                "labels have values of no class",
                where=path,
                found=", ".join(counts) + (f" and {len(unknown) - SHOWN} more values" if unknown[SHOWN:] else ""),
                expected=", ".join(f"{value} {name}" for name, value in {"background": 0, **labels}.items()),
                remedy="mend the labels, or give the dataset.json that describes them; references of a download with "
                "values of their own are renumbered by darnet_convert with --test_cases, into labelsTs",
            )
        )
    return scan


def _grid_faults(prediction: Scan, reference: Scan) -> list[DarnetError]:
    """What differs between the grids of a prediction and its reference: one fault or none."""
    from darnet.io import corners_apart, most_apart

    remedy = "evaluate labels on the grid of the scan that was segmented, as darnet_predict writes them"
    if prediction.array.shape != reference.array.shape:
        found, expected = f"shape {prediction.array.shape}", f"shape {reference.array.shape} of {reference.path}"
    else:
        apart = corners_apart(prediction.affine, reference.affine, reference.array.shape)
        if apart <= most_apart(reference.spacing):
            return []
        found = f"corners up to {apart:.3g} mm apart"
        expected = f"the affine of {reference.path} within {most_apart(reference.spacing):.2g} mm"
    what = "a prediction is on another grid than its reference"
    return [DataError(what, where=prediction.path, found=found, expected=expected, remedy=remedy)]


def _listing(names: list[str]) -> str:
    """Names as text, the first few where they are many."""
    return (", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")) or "none"
