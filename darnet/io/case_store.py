"""Preprocessed cases on disk: a compressed, chunked array each for image and labels, and a JSON record."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import blosc2
import numpy as np
from numpy.typing import NDArray

from darnet.errors import DataError
from darnet.io.case_record import REMEDY, Box, CaseRecord, read_record, write_record
from darnet.io.files import atomic_write, sha256_of

PLANES_PER_CHUNK = 8
_COMPUTED = (b"LazyArray", b"proxy-source", b"b2o")


class CaseStore:
    """A folder of preprocessed cases.

    A case is CASE.json, CASE_image.b2nd and, where it has labels, CASE_labels.b2nd. The JSON is written last: a case
    that has one is complete. It holds the hashes of the arrays and its own.
    Images are stored in half precision, one plane a block, so that a patch is read alone.

    Args:
        folder: Where the cases lie; made by the first `write`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._records: dict[str, tuple[tuple[int, int], CaseRecord]] = {}
        self._sound: dict[tuple[str, str], CaseRecord] = {}

    def write(self, record: CaseRecord, image: NDArray[np.floating], labels: NDArray[np.integer] | None) -> None:
        """Store a case, in place of a former one of its name.

        Args:
            record: Its record; `shape` and `has_labels` must tell of the arrays.
            image: (1, D, H, W).
            labels: (D, H, W) with values 0 to 255, or None.

        Raises:
            DataError: Record and arrays do not agree, or values cannot be stored.
            ResourceError: The disk is full.
        """
        case_id = record.case_id
        _check(record, image, labels)
        self.folder.mkdir(parents=True, exist_ok=True)
        # Without its record a half replaced case does not count.
        self._json(case_id).unlink(missing_ok=True)
        hashes = {}
        for kind, content in _packed(image, labels):
            atomic_write(self._array(kind, case_id), content)
            hashes[kind] = hashlib.sha256(content).hexdigest()
        if labels is None:
            self._array("labels", case_id).unlink(missing_ok=True)
        write_record(self._json(case_id), dataclasses.replace(record, array_hashes=hashes))

    def remove(self, case_id: str) -> None:
        """Forget a case; its record goes first, so that half a case is never seen."""
        for path in (self._json(case_id), self._array("image", case_id), self._array("labels", case_id)):
            path.unlink(missing_ok=True)

    def case_ids(self) -> tuple[str, ...]:
        """Names of all complete cases, sorted. Other JSON files in the folder do not count."""
        names = (path.name.removesuffix(".json") for path in self.folder.glob("*.json"))
        return tuple(sorted(name for name in names if self._array("image", name).exists()))

    def has(self, case_id: str, content_hash: str) -> bool:
        """Whether the case is stored whole, undamaged, and was made from what the hash tells of."""
        self._sound = {key: record for key, record in self._sound.items() if key[1] != case_id}
        try:
            record = self.record(case_id)
            kinds = ["image", "labels"] if record.has_labels else ["image"]
            return record.content_hash == content_hash and all(self._is_sound(kind, case_id) for kind in kinds)
        except (DataError, OSError):
            return False

    def record(self, case_id: str) -> CaseRecord:
        """Record of a case.

        Raises:
            DataError: There is no such case, or its record is damaged.
        """
        path = self._json(case_id)
        try:
            state = path.stat()
        except FileNotFoundError:
            raise DataError(
                f"case {case_id} is not in the case store",
                where=path,
                remedy="run darnet_plan_and_preprocess, or the stage of darnet_train that makes it, again",
            ) from None
        stamp = (state.st_mtime_ns, state.st_ino)
        known = self._records.get(case_id)
        if known is None or known[0] != stamp:
            known = (stamp, read_record(path))
            self._records[case_id] = known
        return known[1]

    def image(self, case_id: str) -> NDArray[np.float32]:
        """Image (1, D, H, W) of a case."""
        return self.read_patch(case_id, self._whole(case_id))

    def labels(self, case_id: str) -> NDArray[np.uint8]:
        """Labels (D, H, W) of a case."""
        return cast("NDArray[np.uint8]", self.read_patch(case_id, self._whole(case_id), labels=True))

    def read_patch(self, case_id: str, box: tuple[tuple[int, int], ...], labels: bool = False) -> NDArray[Any]:
        """Part of a case, without reading the rest.

        Args:
            case_id: Name of the case.
            box: Half-open box for (D, H, W) within the stored shape.
            labels: Read labels instead of the image.

        Returns:
            Image (1, d, h, w) in float32, or labels (d, h, w) in uint8.

        Raises:
            DataError: There is no such case, it has no labels, its file is damaged, or the box leaves the volume.
        """
        record = self.record(case_id)
        path = self._array("labels" if labels else "image", case_id)
        if labels and not record.has_labels:
            raise DataError(f"case {case_id} has no labels", where=path, remedy="only labelled source cases have them")
        if not all(0 <= start < stop <= size for (start, stop), size in zip(box, record.shape, strict=True)):
            raise DataError(
                "a patch lies outside of its case", where=path, found=box, expected=f"within {record.shape}"
            )
        region = tuple(slice(start, stop) for start, stop in box)
        try:
            _refuse_code(path)
            if not self._is_sound("labels" if labels else "image", case_id):
                raise ValueError("its content does not have the hash that was written with it")
            stored = blosc2.open(str(path), mode="r", dparams={"nthreads": 1})
            if labels:
                return np.asarray(stored[region])
            with_channel = (slice(0, 1), *region)
            return np.asarray(stored[with_channel]).astype(np.float32)
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError("a stored array cannot be read", where=path, found=error, remedy=REMEDY) from None

    def _is_sound(self, kind: str, case_id: str) -> bool:
        """Whether an array has the bytes that were written. Looked at once, as long as the record stays as it is."""
        record = self.record(case_id)
        if self._sound.get((kind, case_id)) is not record:
            if sha256_of(self._array(kind, case_id)) != record.array_hashes.get(kind):
                return False
            self._sound[kind, case_id] = record
        return True

    def _whole(self, case_id: str) -> Box:
        d, h, w = self.record(case_id).shape
        return (0, d), (0, h), (0, w)

    def _json(self, case_id: str) -> Path:
        return self._file(case_id, ".json")

    def _array(self, kind: str, case_id: str) -> Path:
        return self._file(case_id, f"_{kind}.b2nd")

    def _file(self, case_id: str, ending: str) -> Path:
        """A file of a case. Names of cases come from files too: none leads out of the folder."""
        if not isinstance(case_id, str) or not case_id or set(case_id) & set("/\\\0"):
            raise DataError(
                "the name of a case cannot be a file name",
                where=self.folder,
                found=repr(case_id),
                expected="a name without / and \\",
                remedy="rename the case, or mend the file that names it (splits.json, preprocessing.json)",
            )
        return self.folder / f"{case_id}{ending}"


def _refuse_code(path: Path) -> None:
    """Refuse arrays that are to be computed when they are opened: old versions of blosc2 would run what they say."""
    with path.open("rb") as file:
        # Bytes 11 to 14 hold the length of the header, which names what the frame holds; voxels may be anything.
        start = file.read(15)
        length = min(int.from_bytes(start[11:], "big"), 1 << 16)
        header = start + file.read(max(length - len(start), 0))
    if any(name in header for name in _COMPUTED):
        raise ValueError("it holds instructions instead of values")


def _check(record: CaseRecord, image: NDArray[Any], labels: NDArray[Any] | None) -> None:
    where = f"case {record.case_id}"
    if image.shape != (1, *record.shape) or (labels is not None and labels.shape != record.shape):
        found = f"image {image.shape}, labels {None if labels is None else labels.shape}"
        raise DataError("arrays do not fit the record", where=where, found=found, expected=f"(1,) + {record.shape}")
    if record.has_labels != (labels is not None):
        raise DataError("the record does not tell whether there are labels", where=where)
    largest = float(np.finfo(np.float16).max)
    if not (np.isfinite(image).all() and np.abs(image).max() <= largest):
        raise DataError("image values cannot be stored", where=where, expected=f"finite values up to {largest}")
    if labels is not None and not (labels.min() >= 0 and labels.max() <= 255):
        raise DataError("labels cannot be stored", where=where, expected="values 0 to 255")


def _packed(image: NDArray[Any], labels: NDArray[Any] | None) -> Iterator[tuple[str, bytes]]:
    yield "image", _compress(image.astype(np.float16), (1,))
    if labels is not None:
        yield "labels", _compress(labels.astype(np.uint8), ())


def _compress(array: NDArray[Any], leading: tuple[int, ...]) -> bytes:
    """The bytes of a .b2nd file: the same array always gives the same bytes."""
    depth, *plane = array.shape[len(leading) :]
    # One thread: the order in which threads end would show in the file.
    stored = blosc2.asarray(
        np.ascontiguousarray(array),
        chunks=(*leading, min(PLANES_PER_CHUNK, depth), *plane),
        blocks=(*leading, 1, *plane),
        cparams={"codec": blosc2.Codec.ZSTD, "clevel": 3, "nthreads": 1},
    )
    return cast(bytes, stored.to_cframe())
