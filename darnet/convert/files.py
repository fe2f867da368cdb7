"""One scan or its labels from a download into a data set: linked where its bytes can stay, else converted."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.convert.found import FoundCase
from darnet.errors import DataError
from darnet.io import read_dicom, read_header, read_scan, write_labels, write_new_image, write_new_labels
from darnet.io.dicom import DicomVolume

LINKED, COPIED, CONVERTED = "linked", "copied", "converted"
POSITION_TOLERANCE = 0.1  # mm between slices of two phases that share their masks


def put_image(case: FoundCase, path: Path, copy: bool = False) -> str:
    """Put the scan of a case at `path`, and say how: linked, copied or converted.

    Raises:
        DataError: The scan cannot be read. Voxels of NIfTI that are not finite are no fault yet: planning may be asked
            to replace them.
    """
    if case.image.is_dir():
        volume = read_dicom(case.image)
        write_new_image(path, volume.array, volume.affine)
        return CONVERTED
    read_header(case.image, whole=True)
    return _put_nifti(case.image, path, copy)


def put_labels(case: FoundCase, path: Path, values: Mapping[int, int], copy: bool = False) -> tuple[str, list[int]]:
    """Put the labels of a case at `path`, each of their values replaced.

    Returns:
        How: linked, copied or converted; and which values of the file became background.

    Raises:
        DataError: They cannot be read, do not belong to the scan, or have a value that is not in `values`.
    """
    assert case.labels is not None
    if case.labels.is_dir():
        volume = read_dicom(case.image)
        masks = read_masks(case.labels, volume, case.masks_named_after)
        there = known_values(masks, values, case.labels)
        write_new_labels(path, replace_values(masks, there, values), volume.affine)
        return CONVERTED, _dropped(there, values)
    scan = read_scan(case.labels, labels=True)
    shape = read_header(case.image).shape
    if scan.array.shape != shape:
        raise DataError(
            "labels have another shape than their scan",
            where=case.labels,
            found=f"{scan.array.shape} voxels",
            expected=f"{shape} voxels, as {case.image}",
            remedy="put the labels that belong to this scan there, or mend the label file",
        )
    there = known_values(scan.array, values, case.labels)
    if all(old == new for old, new in values.items()):
        return _put_nifti(case.labels, path, copy), []
    write_labels(path, replace_values(scan.array, there, values), scan)
    return CONVERTED, _dropped(there, values)


def replace_values(array: NDArray[Any], there: Sequence[int], values: Mapping[int, int]) -> NDArray[np.uint8]:
    """Labels with each of the values that are there replaced."""
    out = np.zeros(array.shape, np.uint8)
    for value in there:
        out[array == value] = values[value]
    return out


def _dropped(there: Sequence[int], values: Mapping[int, int]) -> list[int]:
    """Values of classes that become background."""
    return [value for value in there if value and not values[value]]


def known_values(array: NDArray[Any], values: Mapping[int, int], where: Path) -> list[int]:
    """The values in labels.

    Raises:
        DataError: Some are not in `values`.
    """
    there, counts = np.unique(array, return_counts=True)
    unknown = [(int(v), int(n)) for v, n in zip(there, counts, strict=True) if int(v) not in values]
    if unknown:
        raise DataError(
            "labels have values that stand for no class",
            where=where,
            found=", ".join(f"{v} ({n} voxels)" for v, n in unknown[:10]),
            expected=", ".join(map(str, sorted(values))),
            remedy="mend the label file; where these are classes that are not wanted, name them in the dataset.json of "
            "the data set of nnU-Net too, and choose the others with --classes",
        )
    return [int(value) for value in there]


def read_masks(folder: Path, volume: DicomVolume, named_after: Path | None = None) -> NDArray[np.uint8]:
    """Masks (i, j, k) in the order of the slices of a volume, out of one PNG a slice.

    Args:
        folder: The PNG files. Each has the name of its slice, but for the ending.
        volume: The slices.
        named_after: Folder of other slices at the same positions whose names they bear instead.

    Raises:
        DataError: A mask is missing, left over or of another size, or the positions differ.
    """
    names = [path.stem for path in volume.files]
    if named_after is not None:
        names = _names_at(volume, named_after)
    masks = {p.stem: p for p in sorted(folder.glob("*.png")) if not p.name.startswith(".")}
    missing, surplus = sorted(set(names) - set(masks)), sorted(set(masks) - set(names))
    if missing or surplus:
        raise DataError(
            "masks and slices do not belong together",
            where=folder,
            found=f"slices without a mask: {', '.join(missing[:5]) or 'none'}; "
            f"masks without a slice: {', '.join(surplus[:5]) or 'none'}",
            expected="a PNG of the same name for each DICOM slice",
            remedy="unpack the download again",
        )
    return np.stack([_read_mask(masks[name], volume.array.shape[:2]) for name in names], -1)


def _names_at(volume: DicomVolume, folder: Path) -> list[str]:
    """Names, without ending, of the slices in a folder that lie where those of a volume do."""
    other = read_dicom(folder)
    fits = other.array.shape == volume.array.shape
    if not fits or not np.allclose(other.affine, volume.affine, atol=POSITION_TOLERANCE):
        raise DataError(
            "slices that should lie at the same positions do not",
            where=folder,
            found=f"{other.array.shape} voxels from {np.round(other.affine[:3, 3], 2).tolist()} mm",
            expected=f"{volume.array.shape} voxels from {np.round(volume.affine[:3, 3], 2).tolist()} mm, as "
            f"{volume.files[0].parent}",
            remedy="unpack the download again",
        )
    return [path.stem for path in other.files]


def _read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A mask (i, j) out of an image of rows and columns."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = sitk.ReadImage(str(path), imageIO="PNGImageIO")
    except RuntimeError as error:
        raise DataError(
            "a mask cannot be read", where=path, found=str(error).strip().splitlines()[-1], remedy="copy it again"
        ) from None
    array = sitk.GetArrayFromImage(image)
    if array.ndim != 2 or array.dtype.kind != "u":
        raise DataError("a mask is no grey picture", where=path, found=f"{array.shape} of {array.dtype}")
    if array.T.shape != tuple(shape):
        raise DataError("a mask has another size than its slice", where=path, found=array.T.shape, expected=shape)
    mask: NDArray[np.uint8] = array.T
    return mask


def _put_nifti(source: Path, path: Path, copy: bool) -> str:
    """Link or copy a file; compress or decompress it where the ending asks for that."""
    packed, wanted = (p.name.lower().endswith(".gz") for p in (source, path))
    if packed != wanted:
        reader, writer = (gzip.open, open) if packed else (open, gzip.open)
        with reader(source, "rb") as old, writer(path, "wb") as new:  # type: ignore[operator]
            shutil.copyfileobj(old, new, 1 << 20)
        return CONVERTED
    source = source.resolve()
    if not copy:
        for link in (os.symlink, os.link):
            with contextlib.suppress(OSError, NotImplementedError):
                link(source, path)
                return LINKED
    shutil.copyfile(source, path)
    return COPIED
