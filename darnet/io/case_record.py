"""What is known of a preprocessed case beside its voxels, as a JSON file that knows its own hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.errors import ConfigurationError, DataError
from darnet.io.files import write_json
from darnet.strict_json import read_json

Triple = tuple[int, int, int]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
Row = tuple[float, float, float, float]

RECORD_HASH = "record_hash"
REMEDY = "run darnet_plan_and_preprocess --keep_plan, or the stage of darnet_train that made it: it is made again"


@dataclass(frozen=True)
class CaseRecord:
    """What is known of a stored case beside its voxels. Boxes are half open, in voxels.

    Attributes:
        case_id: Its name.
        content_hash: Hash of all that the stored arrays were made from.
        original_shape: Voxels (i, j, k) of the input file.
        affine: (4, 4) of the input file, from voxel (i, j, k) to mm in R, A, S.
        axes: Canonical axis n is the input's axis `axes[n]`.
        flips: Whether canonical axis n runs against the input's axis.
        spacing: mm (D, H, W) of the input in canonical order.
        crop_box: The part of the canonical scan that was kept.
        cropped_shape: Voxels (D, H, W) of that part.
        shape: Voxels (D, H, W) as stored.
        body_axes: Directions in which the stored D, H and W run, as in ("S", "P", "L").
        has_labels: Whether labels are stored.
        class_voxels: Stored voxels of each class by its name.
        class_locations: Some stored voxels (d, h, w) of each class by its name.
        foreground_box: The part of the stored array that shows the body; None where it was not sought.
        array_hashes: SHA-256 of the files of "image" and "labels"; `CaseStore.write` fills it in.
    """

    case_id: str
    content_hash: str
    original_shape: Triple
    affine: tuple[Row, Row, Row, Row]
    axes: Triple
    flips: tuple[bool, bool, bool]
    spacing: tuple[float, float, float]
    crop_box: Box
    cropped_shape: Triple
    shape: Triple
    body_axes: tuple[str, str, str]
    has_labels: bool
    class_voxels: dict[str, int] = dataclasses.field(default_factory=dict)
    class_locations: dict[str, list[list[int]]] = dataclasses.field(default_factory=dict)
    foreground_box: Box | None = None
    array_hashes: dict[str, str] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def stored_affine(self) -> NDArray[np.float64]:
        """(4, 4) from stored voxels (d, h, w) to mm in R, A, S, the middle of the stored part at 0."""
        columns = np.asarray(self.affine)[:3, :3][:, self.axes]
        signs = np.where(self.flips, -1, 1)
        affine = np.eye(4)
        affine[:3, :3] = columns * signs * np.divide(self.cropped_shape, self.shape)
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        return affine

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal record back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any, where: str | Path = "record") -> CaseRecord:
        """Build a record from JSON values.

        Raises:
            DataError: A missing or unknown key.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            differing = sorted(names ^ set(values)) if isinstance(values, dict) else "no object"
            raise DataError("the record of a case has other keys", where=where, found=differing, remedy=REMEDY)
        # Its own hash has told that the values are those that were written.
        return cls(**{name: _frozen(value) for name, value in values.items()})


def _frozen(value: Any) -> Any:
    """Lists, as JSON has them, back to tuples."""
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


def write_record(path: Path, record: CaseRecord) -> None:
    """Write a record together with the hash of its values."""
    values = record.to_json()
    write_json(path, {**values, RECORD_HASH: _hash_of(values)}, indent=None)


def read_record(path: Path) -> CaseRecord:
    """Read a record that `write_record` wrote.

    Raises:
        DataError: It is damaged.
    """
    try:
        values = read_json(path)
    except ConfigurationError as error:
        raise DataError("the record of a case is damaged", where=path, found=error.found, remedy=REMEDY) from None
    if not isinstance(values, dict) or values.pop(RECORD_HASH, None) != _hash_of(values):
        found = "values that do not have the hash that was written with them"
        raise DataError("the record of a case is damaged", where=path, found=found, remedy=REMEDY)
    return CaseRecord.from_json(values, path)


def _hash_of(values: Any) -> str:
    """SHA-256 of a record's values, as a flipped bit of an affine would pass for another affine."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
