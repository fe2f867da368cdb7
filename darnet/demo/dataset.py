"""The demo's data set: CT phantoms with labels, MR phantoms without, as a raw data set of darnet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darnet.demo.anatomy import LABELS, draw_anatomy, organ_labels
from darnet.demo.phantom import draw_style, render
from darnet.io import write_json, write_new_image, write_new_labels

SUPERVISED = "supervised"


@dataclass(frozen=True)
class Protocol:
    """Grid of the scans of one modality.

    `shape` in voxels and `spacing` in mm are (D, H, W) towards head, back and the patient's left. `codes` says how
    scans are stored: the body directions of the array axes (i, j, k) of the file.
    """

    modality: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    codes: str


CT = Protocol("CT", (40, 96, 96), (5.0, 3.0, 3.0), "LPS")
T1 = replace(CT, modality="T1")
MR = Protocol("MR", (34, 96, 96), (6.0, 3.0, 3.0), "ARI")


def write_demo_dataset(
    folder: Path,
    seed: int = 0,
    source_cases: int = 10,
    target_cases: int = 10,
    test_cases: int = 4,
    *,
    source: Protocol = CT,
    target: Protocol = MR,
) -> None:
    """Write a raw data set of phantoms. The same seed gives the same voxels, and every case is another body.

    `folder` gets `dataset.json`, `imagesTr`, `labelsTr` (source), `imagesTr_target` (target, no labels), `imagesTs`
    and `labelsTs` (target, for evaluation). `folder/supervised` is a data set of the target's training scans with their
    labels, which only the supervised upper bound of the demo reads.

    Args:
        folder: Raw folder of the data set; made where it is missing.
        seed: Seed of everything drawn.
        source_cases: Number of labelled source scans.
        target_cases: Number of unlabelled target scans.
        test_cases: Number of labelled target test scans.
        source: Grid and modality of the source scans.
        target: Grid and modality of the target scans.
    """
    folder, supervised = Path(folder), Path(folder) / SUPERVISED
    names = source.modality.lower(), target.modality.lower()
    for n in range(source_cases):
        scan = _draw(seed, 0, n, source)
        _write(scan, source, f"{names[0]}_{n + 1:02d}", folder / "imagesTr", folder / "labelsTr")
    for n in range(target_cases):
        scan = _draw(seed, 1, n, target)
        _write(scan, target, f"{names[1]}_{n + 1:02d}", folder / "imagesTr_target", None)
        _write(scan, target, f"{names[1]}_{n + 1:02d}", supervised / "imagesTr", supervised / "labelsTr")
    for n in range(test_cases):
        scan = _draw(seed, 2, n, target)
        _write(scan, target, f"{names[1]}_test_{n + 1:02d}", folder / "imagesTs", folder / "labelsTs")
    _write_dataset_json(folder, source.modality, target.modality, source_cases)
    _write_dataset_json(supervised, target.modality, target.modality, target_cases)


def _write_dataset_json(folder: Path, source: str, target: str, cases: int) -> None:
    values = {
        "name": "Phantoms",
        "channel_names": {"0": "intensity"},
        "labels": LABELS,
        "domains": {"source": source, "target": target},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", values)


@dataclass(frozen=True)
class _Scan:
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    offset: NDArray[np.float64]


def _draw(seed: int, group: int, number: int, protocol: Protocol) -> _Scan:
    """One body and its scan. The seed of a case does not depend on how many others there are."""
    rng = np.random.default_rng((seed, group, number))
    tissue = draw_anatomy(rng, protocol.shape, protocol.spacing)
    style = draw_style(rng, protocol.modality)
    image = np.rint(render(tissue, protocol.modality, style, rng, protocol.spacing))
    return _Scan(image, organ_labels(tissue), rng.uniform(-40, 40, 3))


def _write(scan: _Scan, protocol: Protocol, case: str, images: Path, labels: Path | None) -> None:
    affine = stored_affine(protocol, scan.offset)
    images.mkdir(parents=True, exist_ok=True)
    write_new_image(images / f"{case}_0000.nii.gz", to_stored(scan.image, protocol.codes), affine)
    if labels is not None:
        labels.mkdir(parents=True, exist_ok=True)
        write_new_labels(labels / f"{case}.nii.gz", to_stored(scan.labels, protocol.codes), affine)


# The axis and sign of each code among the phantom's axes (D, H, W), and in NIfTI's frame (right, anterior, superior).
_PHANTOM_AXES = {"S": (0, 1), "I": (0, -1), "P": (1, 1), "A": (1, -1), "L": (2, 1), "R": (2, -1)}
_BODY_AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def to_stored(array: NDArray[np.generic], codes: str) -> NDArray[np.generic]:
    """Turn a phantom (D, H, W) into the axes (i, j, k) of a file, which run towards the body directions `codes`."""
    axes = [_PHANTOM_AXES[code] for code in codes]
    turned = np.transpose(array, [axis for axis, _ in axes])
    return np.ascontiguousarray(turned[tuple(slice(None, None, sign) for _, sign in axes)])


def stored_affine(protocol: Protocol, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affine (4, 4) from voxels of the file to mm (right, anterior, superior); the volume's middle lies at `offset`."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    middle = np.zeros(3)
    for column, code in enumerate(protocol.codes):
        (row, sign), (axis, _) = _BODY_AXES[code], _PHANTOM_AXES[code]
        affine[row, column] = sign * protocol.spacing[axis]
        middle[column] = (protocol.shape[axis] - 1) / 2
    affine[:3, 3] = offset - affine[:3, :3] @ middle
    return affine
