"""A folder of DICOM slices as one volume: sorted by their positions along the normal, with all checks of geometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darnet.errors import DataError
from darnet.io.nifti_header import SHEAR_TOLERANCE, NiftiHeader
from darnet.io.scans import Scan, nifti_image

DICOMDIR = "DICOMDIR"  # table of contents of a medium, no slice
POSITION_TOLERANCE = 0.02  # of the distance between slices
POSITION, ORIENTATION, PIXEL_SPACING, SERIES = "0020|0032", "0020|0037", "0028|0030", "0020|000e"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class DicomVolume:
    """The slices of one series.

    Attributes:
        array: Intensities (i, j, k), rescaled as the files say: i along rows, j down columns, k along the normal.
        affine: (4, 4) from voxel (i, j, k) to mm in R, A, S.
        files: The file of each slice k.
    """

    array: NDArray[np.float32]
    affine: NDArray[np.float64]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _Slice:
    path: Path
    pixels: NDArray[np.float32]  # (i, j)
    origin: NDArray[np.float64]  # of the first pixel's centre, mm in L, P, S
    axes: NDArray[np.float64]  # (3, 2): steps along i and j, mm in L, P, S
    series: str


def list_slices(folder: str | Path) -> list[Path]:
    """DICOM files of a folder, sorted by name. Other and hidden files are passed over.

    Raises:
        DataError: The folder is missing or has none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("the folder is missing", where=folder.absolute(), expected="a folder of DICOM slices")
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    slices = [p for p in files if p.suffix.lower() == ".dcm" or _has_magic(p)]
    slices = [p for p in slices if p.name.upper() != DICOMDIR]
    if not slices:
        raise DataError(
            "the folder has no DICOM slices",
            where=folder.absolute(),
            found=", ".join(p.name for p in files[:5]) or "no file",
            remedy="mend the path",
        )
    return slices


def read_dicom(folder: str | Path) -> DicomVolume:
    """Read the slices of a folder as one volume.

    Raises:
        DataError: A slice is damaged or has no geometry; the slices are of several series or sizes; one is missing or
            there twice; they are not stacked at right angles.
    """
    folder = Path(folder)
    slices = [_read_slice(path) for path in list_slices(folder)]
    if len(slices) < 2:
        raise DataError(
            "the folder has one slice only",
            where=slices[0].path,
            expected="at least two slices of one plane each",
            remedy="export the series again, as single slices",
        )
    _check_alike(slices, folder)
    normal = np.cross(slices[0].axes[:, 0], slices[0].axes[:, 1])
    slices.sort(key=lambda one: float(one.origin @ normal))
    step = _check_stack(slices, folder)
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 2], affine[:3, 3] = slices[0].axes, step, slices[0].origin
    affine[:3] = LPS_TO_RAS @ affine[:3]
    return DicomVolume(np.stack([one.pixels for one in slices], -1), affine, tuple(one.path for one in slices))


def read_dicom_scan(folder: str | Path) -> Scan:
    """The slices of a folder as a scan, so that labels can be written on their grid as NIfTI.

    Raises:
        DataError: As `read_dicom`.
    """
    volume = read_dicom(folder)
    header: NiftiHeader = nifti_image(volume.array, volume.affine).header
    header.set_xyzt_units("mm")
    return Scan(volume.array, volume.affine, Path(folder), header, slices=volume.files)


def is_dicom_folder(folder: str | Path) -> bool:
    """Whether a folder has DICOM slices and no NIfTI scan."""
    files = [p for p in Path(folder).iterdir() if p.is_file() and not p.name.startswith(".")]
    if any(p.name.lower().endswith((".nii", ".nii.gz")) for p in files):
        return False
    return any(_has_magic(p) for p in files if p.name.upper() != DICOMDIR)


def _has_magic(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _read_slice(path: Path) -> _Slice:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        shape, bands = reader.GetSize(), reader.GetNumberOfComponents()
        values = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
        if bands != 1 or any(n != 1 for n in shape[2:]):
            raise DataError(
                "a DICOM file is no grey slice",
                where=path,
                found=f"{bands} colours, size {shape}",
                expected="one plane of grey values",
                remedy="export the series as single slices",
            )
        reader.SetOutputPixelType(sitk.sitkFloat32)
        pixels = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        found = str(error).strip().splitlines()[-1]
        raise DataError(
            "a DICOM slice cannot be read", where=path, found=found, remedy="copy or export it again"
        ) from None
    pixels = pixels.reshape(pixels.shape[-2:]).T
    if not np.isfinite(pixels).all():
        raise DataError("pixels are not finite", where=path, remedy="export the slice again")
    origin, turn, gaps = (_numbers(values, key, path) for key in (POSITION, ORIENTATION, PIXEL_SPACING))
    # DICOM gives the distance between rows first, but the direction along a row first.
    axes = np.stack([turn[:3] * gaps[1], turn[3:] * gaps[0]], 1)
    return _Slice(path, np.ascontiguousarray(pixels), origin, axes, values.get(SERIES, ""))


def _numbers(values: dict[str, str], key: str, path: Path) -> NDArray[np.float64]:
    """The numbers of a field."""
    name, count = {
        POSITION: ("Image Position (Patient)", 3),
        ORIENTATION: ("Image Orientation (Patient)", 6),
        PIXEL_SPACING: ("Pixel Spacing", 2),
    }[key]
    text = values.get(key, "").strip()
    try:
        numbers = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        numbers = np.array([np.nan])
    sound = numbers.shape == (count,) and bool(np.isfinite(numbers).all())
    if sound and key == PIXEL_SPACING:
        sound = bool((numbers > 0).all())
    if sound and key == ORIENTATION:
        row, column = numbers[:3], numbers[3:]
        unit = np.allclose([row @ row, column @ column], 1, atol=0.01)
        sound = bool(unit and abs(row @ column) <= SHEAR_TOLERANCE)
    if not sound:
        raise DataError(
            f"a DICOM slice has no usable {name}",
            where=path,
            found=text or "nothing",
            remedy="export the series again, as CT or MR slices with their geometry",
        )
    return numbers


def _check_alike(slices: list[_Slice], folder: Path) -> None:
    """Refuse slices that are not of one series and one kind."""
    first = slices[0]
    series = {one.series for one in slices}
    if len(series) > 1:
        raise DataError(
            f"the folder holds {len(series)} DICOM series",
            where=folder,
            found="; ".join(f"{s or 'no number'} from {next(o.path.name for o in slices if o.series == s)}"
                            for s in sorted(series)[:3]),
            expected="the slices of one series",
            remedy="put each series into a folder of its own",
        )  # fmt: skip
    for one in slices:
        if one.pixels.shape != first.pixels.shape or not np.allclose(one.axes, first.axes, atol=1e-3):
            raise DataError(
                "the slices differ in size, spacing or orientation",
                where=one.path,
                found=f"{one.pixels.shape} pixels, axes {np.round(one.axes.T, 3).tolist()}",
                expected=f"as {first.path.name}: {first.pixels.shape}, {np.round(first.axes.T, 3).tolist()}",
                remedy="put the slices of each stack into a folder of its own",
            )


def _check_stack(slices: list[_Slice], folder: Path) -> NDArray[np.float64]:
    """The step from slice to slice, mm in L, P, S.

    Raises:
        DataError: Slices lie on each other, unevenly, or not at right angles.
    """
    origins = np.stack([one.origin for one in slices])
    step: NDArray[np.float64] = (origins[-1] - origins[0]) / (len(slices) - 1)
    gap = float(np.linalg.norm(step))
    distances = np.linalg.norm(np.diff(origins, axis=0), axis=1)
    nearest = int(distances.argmin())
    if distances[nearest] < 1e-3:
        raise DataError(
            "two slices lie at the same position",
            where=folder,
            found=f"{slices[nearest].path.name} and {slices[nearest + 1].path.name}",
            remedy="remove the one that is too many; put each series into a folder of its own",
        )
    off = np.linalg.norm(origins - origins[0] - np.outer(np.arange(len(slices)), step), axis=1)
    if off.max() > POSITION_TOLERANCE * gap:
        widest = int(distances.argmax())
        raise DataError(
            "the slices are not evenly spaced",
            where=folder,
            found=f"{distances.min():.3f} to {distances.max():.3f} mm, the latter between "
            f"{slices[widest].path.name} and {slices[widest + 1].path.name}",
            expected="one distance from slice to slice",
            remedy="add the slices that are missing, or export the series again",
        )
    axes = slices[0].axes / np.linalg.norm(slices[0].axes, axis=0)
    shear = float(np.abs(step / gap @ axes).max())
    if shear > SHEAR_TOLERANCE:
        raise DataError(
            "the slices are not stacked at right angles",
            where=folder,
            found=f"a cosine of {shear:.3f} between the planes and the way from slice to slice",
            expected=f"at most {SHEAR_TOLERANCE}",
            remedy="resample the scan to a grid with right angles (a tilted gantry needs its tilt undone)",
        )
    return step
