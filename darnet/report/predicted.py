"""Predicted labels over their scans in three planes, reference labels beside them, and surfaces from four sides."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.errors import ConfigurationError, DataError
from darnet.imaging import body_axes, determine_orientation, plane_of_most_labels, spacing_of, to_canonical
from darnet.io import Scan, corners_apart, list_labels, most_apart, read_json, read_scan
from darnet.layout import DatasetLayout
from darnet.plans import Plans
from darnet.report.domains import PLANES
from darnet.report.images import Volume, middle_plane, plane_picture, plane_stack, surface_pictures
from darnet.report.records import Picture, Stack, Table
from darnet.report.trained import BASELINES, go_on
from darnet.spread import spread
from darnet.words import number

RECORD = "prediction.json"
MOST_SHOWN = 8
STEPS = 8
SCAN_FOLDERS = ("imagesTs", "imagesTr_target", "imagesTr")
ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True)
class PredictedCase:
    """One segmented scan.

    Attributes:
        case_id: Its name.
        thumbnail: Its axial plane of most labels.
        reference: The same plane with the reference labels; None where there are none.
        stacks: Planes with a slider, by plane; those with the reference labels beside them.
        surfaces: From four sides; empty where nothing was found.
        volumes_ml: Volume of each class in ml.
        reference_ml: The same of the reference labels; empty where there are none.
        without_scan: Whether its scan was not found, so that labels are shown on black.
    """

    case_id: str
    thumbnail: Picture
    reference: Picture | None
    stacks: Mapping[str, Stack]
    surfaces: tuple[Picture, ...]
    volumes_ml: Mapping[str, float]
    without_scan: bool
    reference_ml: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictionsSection:
    """What the page says of predictions.

    Attributes:
        missing: Sentences on what is not there.
        folder: Name of the folder.
        cases: The cases shown.
        total: How many cases the folder has.
        volumes: Volume of each class in each case shown.
        found: The cases shown, by name.
        steps: Largest number of planes shown in a direction.
    """

    missing: tuple[str, ...] = ()
    folder: str = ""
    cases: tuple[PredictedCase, ...] = ()
    total: int = 0
    volumes: Table | None = None
    found: Mapping[str, PredictedCase] = field(default_factory=dict)
    steps: int = STEPS


def find_predictions(layout: DatasetLayout) -> Path | None:
    """The folder of predictions that lies nearest to the results' top, leaving baselines aside."""
    records = [
        path
        for path in layout.results.glob(f"**/{RECORD}")
        if not set(path.relative_to(layout.results).parts) & set(BASELINES)
    ]
    return min(records, key=lambda path: (len(path.parts), str(path))).parent if records else None


def gather_predictions(
    layout: DatasetLayout,
    plans: Plans | None,
    folder: Path | None,
    scans: Path | None,
    references: Path | None = None,
    worst: Sequence[str] = (),
) -> PredictionsSection:
    """Read predicted labels and the scans they belong to. Reference labels are read from the folder given alone.

    Args:
        layout: Where the data set lies.
        plans: Names the classes; without it nothing can be shown.
        folder: Predicted labels, CASE.nii.gz; None where there are none.
        scans: Folder of CASE_0000.nii.gz; else those of the data set.
        references: Folder of reference labels to show beside the predictions.
        worst: Case ids that come first.

    Raises:
        ConfigurationError: The folder has no predictions, or there is none and reference labels are given.
        DataError: A file is damaged, or labels and scan lie on different grids, or no reference has a case's name.
    """
    if folder is None and references is not None:
        raise ConfigurationError(
            "there are no predictions to show reference labels with",
            where=layout.results,
            remedy="name the folder of the predicted labels with -p",
        )
    if folder is None:
        return PredictionsSection(
            missing=(
                "No predictions were found. Run darnet_predict, and name its output with -p if it lies elsewhere.",
            )
        )
    if plans is None:
        return PredictionsSection(missing=("Predictions cannot be shown without a plan that names the classes.",))
    _refuse_other_labels(folder, plans)
    paths = _list(folder)
    true = {} if references is None else _references(references, paths)
    order = (*worst, *sorted(set(true) & set(paths)), *spread(sorted(paths), MOST_SHOWN))
    shown = [case for case in dict.fromkeys(order) if case in paths][:MOST_SHOWN]
    cases = tuple(_read_case(c, paths[c], _find_scan(c, layout, scans), true.get(c), plans) for c in shown)
    missing = _unfinished(folder / RECORD, layout.name)
    if any(case.without_scan for case in cases):
        missing.append(
            "Some scans were not found; their labels are shown on black. Name the folder of the scans with -i."
        )
    names = list(plans.foreground)
    rows = tuple((c.case_id, *(_volume_text(c, n) for n in names)) for c in cases)
    caption = "Volume of each predicted class" + (", and of its reference in brackets." if true else ".")
    table = Table(("case", *(n.replace("_", " ") for n in names)), rows, caption)
    return PredictionsSection(
        tuple(missing), folder.name, cases, len(paths), table, {case.case_id: case for case in cases}
    )


def _refuse_other_labels(folder: Path, plans: Plans) -> None:
    """Masks of another set of classes would be shown under wrong names."""
    record = folder / RECORD
    if not record.exists():
        return
    values = read_json(record)
    labels = values.get("labels") if isinstance(values, dict) else None
    if labels != plans.labels:
        raise ConfigurationError(
            "the predictions have other labels than the plan",
            where=record,
            found=labels,
            expected=plans.labels,
            remedy="give the predictions of this data set with -p",
        )


def _unfinished(record: Path, dataset: str) -> list[str]:
    """A sentence where masks come from networks that were not trained to their end."""
    values = read_json(record) if record.exists() else {}
    try:
        found = {fold: (int(own["done"]), int(own["planned"])) for fold, own in values.get("iterations", {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            "the record of a prediction has another form", where=record, found=f"{type(error).__name__}: {error}",
            expected='"iterations": {"0": {"done": 100, "planned": 1000}}', remedy="predict again",
        ) from None  # fmt: skip
    early = {fold: (done, planned) for fold, (done, planned) in found.items() if done < planned}
    if not early:
        return []
    listed = "; ".join(f"fold {fold}, {done} of {planned} iterations" for fold, (done, planned) in early.items())
    commands = " and ".join(go_on(dataset, fold) for fold in early)
    return [
        f"These masks come from a network that was not trained to its end ({listed}): do not judge the method by them. "
        f"Train on with {commands}, if it is not running now, then predict again."
    ]


def _volume_text(case: PredictedCase, name: str) -> str:
    reference = f" ({number(case.reference_ml[name])} ml)" if case.reference_ml else ""
    return f"{number(case.volumes_ml[name])} ml{reference}"


def _references(folder: Path, predicted: Mapping[str, Path]) -> dict[str, Path]:
    """Reference labels by case."""
    found = _list(folder)
    if not set(found) & set(predicted):
        raise DataError(
            "no reference has the name of a prediction",
            where=folder,
            found=", ".join(sorted(found)[:3]) or "no .nii.gz and no .nii",
            expected=f"names such as {next(iter(sorted(predicted)), 'CASE')}.nii.gz",
            remedy="name the folder of the reference labels with -r",
        )
    return found


def _list(folder: Path) -> dict[str, Path]:
    plain = not any(folder.glob("*.nii.gz"))
    return list_labels(folder, ".nii" if plain else ".nii.gz")


def _find_scan(case_id: str, layout: DatasetLayout, scans: Path | None) -> Path | None:
    folders = [scans] if scans is not None else [layout.raw / name for name in SCAN_FOLDERS]
    names = [f"{case_id}{channel}{ending}" for channel in ("_0000", "") for ending in ENDINGS]
    return next((f / name for f in folders for name in names if (f / name).is_file()), None)


def _read_case(
    case_id: str, path: Path, scan_path: Path | None, reference_path: Path | None, plans: Plans
) -> PredictedCase:
    mask = _read_labels(path, "prediction", "give the predictions of this data set with -p", plans)
    image: NDArray[Any] = np.zeros(mask.array.shape, np.uint8)
    if scan_path is not None:
        scan = read_scan(scan_path)
        _require_one_grid(path, mask, "scan", scan_path, scan, "name the folder of the right scans with -i")
        image = scan.array
    orientation = determine_orientation(mask.affine, plans.preprocessing.through_plane)
    spacing = spacing_of(mask.affine, orientation)
    canonical = to_canonical(image, orientation)
    low, high = np.percentile(canonical[:: max(len(canonical) // 8, 1)], (0.5, 99.5))
    volume = Volume(
        case_id, canonical, spacing, body_axes(mask.affine, orientation), (float(low), float(high)),
        to_canonical(mask.array, orientation),
    )  # fmt: skip
    shown, thumbnail, beside, true = [volume], middle_plane(volume, "axial"), None, None
    if reference_path is not None:
        remedy = "name the folder of the right reference labels with -r"
        true = _read_labels(reference_path, "reference", remedy, plans)
        _require_one_grid(path, mask, "reference", reference_path, true, remedy)
        labels = to_canonical(true.array, orientation)
        shown = [
            dataclasses.replace(volume, name=f"{case_id}, predicted"),
            dataclasses.replace(volume, name=f"{case_id}, reference", labels=labels),
        ]
        best = plane_of_most_labels(to_canonical(mask.array, orientation) + labels, volume.view("axial"))
        thumbnail, beside = (plane_picture(one, "axial", best) for one in shown)
    voxel_ml = float(np.prod(spacing)) / 1000

    def volumes(array: NDArray[Any]) -> dict[str, float]:
        return {name: int(np.count_nonzero(array == value)) * voxel_ml for name, value in plans.foreground.items()}

    found = volumes(mask.array)
    return PredictedCase(
        case_id,
        thumbnail,
        beside,
        {plane: plane_stack(shown, plane, STEPS) for plane in PLANES},
        surface_pictures(volume, [name.replace("_", " ") for name, ml in found.items() if ml]),
        found,
        scan_path is None,
        {} if true is None else volumes(true.array),
    )


def _read_labels(path: Path, kind: str, remedy: str, plans: Plans) -> Scan:
    labels = read_scan(path, labels=True)
    unknown = sorted(set(np.unique(labels.array).tolist()) - set(plans.labels.values()))
    if unknown:
        raise DataError(
            f"a {kind} has values that the plan does not name",
            where=path,
            found=unknown[:10],
            expected=plans.labels,
            remedy=remedy,
        )
    return labels


def _require_one_grid(path: Path, mask: Scan, kind: str, other_path: Path, other: Scan, remedy: str) -> None:
    same_shape = other.array.shape == mask.array.shape
    if same_shape and corners_apart(other.affine, mask.affine, mask.array.shape) <= most_apart(mask.spacing):
        return
    raise DataError(
        f"prediction and {kind} lie on different grids",
        where=path,
        found=f"shape {mask.array.shape}",
        expected=f"shape {other.array.shape} and the affine of {other_path}",
        remedy=remedy,
    )
