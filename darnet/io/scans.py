"""NIfTI scans and labels: read with all checks that header, checksum and voxels allow; written whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from darnet.errors import DataError
from darnet.io.files import atomic_write
from darnet.io.nifti_header import NiftiHeader, ScanHeader, bytes_of_header, check_header, parse_header

LARGEST_TAIL = 4096  # zero bytes that may fill up a file behind its voxels
GZIP_LIMIT = 1040  # deflate never shrinks more than this
BLOCK = 1 << 20


@dataclass(frozen=True)
class Scan:
    """A scan or its labels as they lie in the file.

    Attributes:
        array: Voxels (i, j, k): float32 of a scan, integers of labels.
        affine: (4, 4) from voxel (i, j, k) to mm in R, A, S.
        path: The file.
        header: What is needed to write labels on the same grid.
        notes: What a user should know though it is no error.
        slices: Of a scan in DICOM, the file of each slice k.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    path: Path
    header: NiftiHeader
    notes: tuple[str, ...] = ()
    slices: tuple[Path, ...] = ()

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Mm along (i, j, k)."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)


def read_header(path: str | Path, whole: bool = False) -> ScanHeader:
    """Shape, affine and notes of a scan without its voxels.

    Args:
        path: The file.
        whole: Read the file to its end, as `read_scan` does, but keep no voxel.

    Raises:
        DataError: As `read_scan`, as far as the header shows it or, with `whole`, anything but the voxels' values.
    """
    path = Path(path)
    with _reading(path) as file:
        header = parse_header(file, path)
        checked = check_header(header, path)
        if whole:
            _check_length(path, header, checked.shape)
            _scaling(header, path)
            for _ in _blocks(file, path, header, checked.shape):
                pass
    return checked


def read_scan(path: str | Path, labels: bool = False, replace_non_finite: bool = False) -> Scan:
    """Read a scan, or labels, from .nii.gz or .nii.

    The gzip stream is read to its end, so that its checksum is compared. Nothing is allocated before the header has
    been found sound and the file long enough.

    Args:
        path: The file.
        labels: The voxels are class values: they must be whole numbers and not negative.
        replace_non_finite: Give NaN and infinite voxels of a scan its lowest finite value, with a note, instead of
            refusing them.

    Raises:
        DataError: The file is missing, empty, truncated, damaged, longer than its header says, or no NIfTI; its
            geometry is undefined, sheared or contradictory; it holds several volumes, colours or complex numbers;
            voxels are not finite; labels are no whole numbers.
    """
    path = Path(path)
    with _reading(path) as file:
        header = parse_header(file, path)
        checked = check_header(header, path)
        _check_length(path, header, checked.shape)
        raw = _voxels(file, path, header, checked.shape)
    slope, inter = _scaling(header, path)
    if labels:
        return Scan(_as_labels(raw, slope, inter, path), checked.affine, path, header, checked.notes)
    array, notes = _as_image(raw, slope, inter, path, replace_non_finite)
    return Scan(array, checked.affine, path, header, checked.notes + notes)


def write_labels(path: str | Path, array: NDArray[np.integer], like: Scan, description: str = "") -> None:
    """Write labels (i, j, k) on the grid of a scan, with its affine and its sform and qform as they are.

    Args:
        path: The file.
        array: The labels.
        like: The scan.
        description: Text for the header, at most 79 characters of ASCII.

    Raises:
        DataError: The labels have another shape than the scan.
        ResourceError: The disk is full.
    """
    kind = np.uint8 if array.size == 0 or (array.min() >= 0 and array.max() <= 255) else np.int32
    if array.shape != like.array.shape:
        raise DataError("a result does not fit its scan", where=path, found=array.shape, expected=like.array.shape)
    header = type(like.header)(endianness="<")
    header.set_data_dtype(kind)
    header.set_data_shape(array.shape)
    for key in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
                "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"):  # fmt: skip
        header[key] = like.header[key]
    header["pixdim"][:4] = like.header["pixdim"][:4]
    header["descrip"] = description.encode("ascii")
    _write(Path(path), nifti_image(array.astype(kind), None, header))


def write_new_image(path: str | Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write voxels (i, j, k) as a scan of int16 where they are whole numbers that fit, else of float32."""
    whole = np.array_equal(array, np.rint(array)) and np.abs(array).max(initial=0) < 2**15
    _write(Path(path), nifti_image(array.astype(np.int16 if whole else np.float32), affine))


def write_new_labels(path: str | Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write labels (i, j, k) of values 0 to 255."""
    _write(Path(path), nifti_image(array.astype(np.uint8), affine))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    """The file as a stream of NIfTI bytes. What the disk or the gzip stream raises becomes a `DataError`."""
    try:
        with _open(path) as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "the file is truncated or damaged",
            where=path,
            found=error,
            expected="a gzip stream that ends with its own checksum",
            remedy="copy or export it again",
        ) from None
    except OSError as error:
        raise DataError(
            "the file cannot be read", where=path, found=error, remedy="mend the file or its rights"
        ) from None


def _open(path: Path) -> IO[bytes]:
    """The file as a stream of NIfTI bytes."""
    if not path.is_file():
        raise DataError("the file is missing", where=path.absolute(), remedy="mend the path or the link")
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=path, remedy="copy or export it again")
    if not path.name.lower().endswith(".gz"):
        return path.open("rb")
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise DataError(
                "the file is named .gz but is not compressed", where=path, remedy="rename it to .nii, or compress it"
            )
    return cast("IO[bytes]", gzip.open(path, "rb"))


def _check_length(path: Path, header: NiftiHeader, shape: tuple[int, int, int]) -> None:
    """Refuse a file that cannot hold its voxels, before room for them is made."""
    needed = int(header["vox_offset"]) + int(np.prod(shape, dtype=np.int64)) * header.get_data_dtype().itemsize
    there = path.stat().st_size * (GZIP_LIMIT if path.name.lower().endswith(".gz") else 1)
    if there < needed:
        raise DataError(
            "the file is shorter than its header says",
            where=path,
            found=f"{path.stat().st_size} bytes",
            expected=f"{needed} bytes of header and voxels {shape}",
            remedy="copy or export it again",
        )


def _voxels(file: IO[bytes], path: Path, header: NiftiHeader, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Voxels (i, j, k) as stored, and the rest of the stream read to its end."""
    array = np.empty(int(np.prod(shape, dtype=np.int64)), header.get_data_dtype())
    view, done = memoryview(cast(Any, array)).cast("B"), 0
    for block in _blocks(file, path, header, shape):
        view[done : done + len(block)] = block
        done += len(block)
    return array.reshape(shape, order="F")


def _blocks(file: IO[bytes], path: Path, header: NiftiHeader, shape: tuple[int, int, int]) -> Iterator[bytes]:
    """The bytes of the voxels from behind the header on; after the last the stream is read to its end."""
    _skip(file, int(header["vox_offset"]) - bytes_of_header(header))
    length, done = int(np.prod(shape, dtype=np.int64)) * header.get_data_dtype().itemsize, 0
    while done < length:
        block = file.read(min(BLOCK, length - done))
        if not block:
            raise DataError(
                "the file is truncated",
                where=path,
                found=f"{done} bytes of voxels",
                expected=f"{length} bytes",
                remedy="copy or export it again",
            )
        yield block
        done += len(block)
    _check_tail(file, path)


def _skip(file: IO[bytes], length: int) -> None:
    """Pass over the bytes between header and voxels, block by block: a damaged header may ask for many."""
    while length > 0 and (block := file.read(min(BLOCK, length))):
        length -= len(block)


def _check_tail(file: IO[bytes], path: Path) -> None:
    """Read the stream to its end, so that its checksum is compared. What follows the voxels must be filling.

    More than that says that the header is wrong: of a volume that was cut short nothing else would tell.
    """
    tail = 0
    while block := file.read(BLOCK):
        tail += len(block)
        if tail > LARGEST_TAIL or any(block):
            raise DataError(
                "the file is longer than its header says",
                where=path,
                found="more bytes after the last voxel",
                expected=f"the end of the file, or at most {LARGEST_TAIL} zero bytes that fill it up",
                remedy="find out whether the dimensions of the header are right, or export the scan again",
            )


def _scaling(header: NiftiHeader, path: Path) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or NaN means none, as NIfTI has it."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return 1.0, 0.0
    if not (np.isfinite([slope, inter]).all() and 1e-12 < abs(slope) < 1e12 and abs(inter) < 1e12):
        raise DataError(
            "the intensity scaling of the header is absurd",
            where=path,
            found=f"scl_slope {slope}, scl_inter {inter}",
            expected="finite values of ordinary size",
            remedy="export the scan again",
        )
    return slope, inter


def _as_image(
    raw: NDArray[Any], slope: float, inter: float, path: Path, replace_non_finite: bool
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Intensities, and a note where some were replaced."""
    with np.errstate(over="ignore", invalid="ignore"):
        if slope == 1.0 and inter == 0.0:
            array = np.asarray(raw, np.float32)
        else:
            array = (raw.astype(np.float64) * slope + inter).astype(np.float32)
    finite = np.isfinite(array)
    wrong = array.size - int(np.count_nonzero(finite))
    if not wrong:
        return np.asarray(array), ()
    nan = int(np.isnan(array).sum())
    found = f"{nan} NaN and {wrong - nan} infinite of {array.size} voxels"
    if not replace_non_finite or wrong == array.size:
        raise DataError(
            "voxels are not finite",
            where=path,
            found=found,
            remedy="replace them (--replace_non_finite gives them the scan's lowest value), or export the scan again",
        )
    lowest = array[finite].min()
    return np.where(finite, array, lowest), (f"{found} replaced by the scan's lowest value, {lowest:g}",)


def _as_labels(raw: NDArray[Any], slope: float, inter: float, path: Path) -> NDArray[np.integer]:
    with np.errstate(invalid="ignore", over="ignore"):  # a NaN that signals warns when it is converted
        whole = (slope, inter) == (1.0, 0.0) and raw.dtype.kind in "iu"
        values = raw if whole else raw.astype(np.float64) * slope + inter
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            wrong = ~(np.isfinite(values) & (np.abs(values - np.rint(values)) < 1e-4))
        if wrong.any():
            raise DataError(
                "labels are no whole numbers",
                where=path,
                found=f"{int(wrong.sum())} voxels, such as {values[wrong].flat[0]}",
                remedy="export the labels with nearest-neighbour interpolation",
            )
        values = np.rint(values)
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if low < 0 or high > 65535:
        raise DataError(
            "labels are negative or too large",
            where=path,
            found=f"values {low} to {high}",
            expected="the values of dataset.json",
            remedy="mend the label file",
        )
    return np.asarray(values.astype(np.uint8 if high <= 255 else np.uint16))


def nifti_image(array: NDArray[Any], affine: NDArray[np.float64] | None, header: NiftiHeader | None = None) -> Any:
    """An image of nibabel, whose stubs have no types."""
    image: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    return image(array, affine, header)


def _write(path: Path, image: Any) -> None:
    content = image.to_bytes()
    # Without a time stamp the same voxels give the same bytes.
    atomic_write(path, gzip.compress(content, 5, mtime=0) if path.name.endswith(".gz") else content)
