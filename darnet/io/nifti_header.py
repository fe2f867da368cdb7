"""Header of a NIfTI file: parsed from a stream and checked before any voxel is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from darnet.errors import DataError

NiftiHeader: TypeAlias = Any  # nibabel's Nifti1Header or Nifti2Header

LARGEST_SCAN = 2**31  # voxels
SHEAR_TOLERANCE = 0.01  # cosine between two axes, about half a degree
SPACING_TOLERANCE = 0.01  # relative
AFFINE_TOLERANCE = 0.01  # mm
LARGEST_CODE = 5  # of qform and sform
_OTHER_UNITS = {1: "metres", 3: "micrometres"}
_SIZES: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}


@dataclass(frozen=True)
class ScanHeader:
    """What the header of a scan says.

    Attributes:
        shape: Voxels (i, j, k).
        affine: (4, 4) from voxel (i, j, k) to mm in R, A, S.
        notes: What a user should know though it is no error.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    notes: tuple[str, ...]


def bytes_of_header(header: NiftiHeader) -> int:
    """Length of the header itself, 348 or 540."""
    return len(header.binaryblock)


def parse_header(file: IO[bytes], path: Path) -> NiftiHeader:
    """Read the header at the start of a stream. Nothing but its size and magic number is checked.

    Raises:
        DataError: It is no single-file NIfTI.
    """
    start = file.read(4)
    for order in ("<", ">"):
        kind = _SIZES.get(int(np.frombuffer(start, f"{order}i4")[0])) if len(start) == 4 else None
        if kind is None:
            continue
        block = start + file.read(kind.sizeof_hdr - 4)
        if len(block) < kind.sizeof_hdr:
            raise DataError("the file ends within its header", where=path, remedy="copy or export it again")
        header = kind(block, endianness=order, check=False)
        if bytes(header["magic"]).rstrip(b"\0")[:3] in (b"n+1", b"n+2"):
            return header
    raise DataError("the file is no NIfTI scan", where=path, expected=".nii or .nii.gz", remedy="convert it to NIfTI")


def check_header(header: NiftiHeader, path: Path) -> ScanHeader:
    """Check shape, type and geometry.

    Raises:
        DataError: Any of them cannot be used.
    """
    shape, squeezed = _shape(header, path)
    _check_type(header, path)
    _check_codes(header, path)
    with np.errstate(all="ignore"):  # what a damaged header makes of numbers is checked afterwards
        affine, notes = _affine(header, path)
    offset = float(header["vox_offset"])
    if not (np.isfinite(offset) and bytes_of_header(header) <= offset < 2**31 and offset == int(offset)):
        raise DataError("the header gives a wrong place of the voxels", where=path, found=f"vox_offset {offset}",
                        remedy="export the scan again")  # fmt: skip
    return ScanHeader(shape, affine, squeezed + notes)


def _shape(header: NiftiHeader, path: Path) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """Voxels (i, j, k), and a note where axes of one volume were left out."""
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise DataError("the header has wrong dimensions", where=path, found=f"dim {dim}", remedy="export it again")
    sizes = dim[1 : dim[0] + 1]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) > 3:
        raise DataError(
            "the file holds several volumes or channels",
            where=path,
            found=f"{len(sizes)} dimensions {tuple(sizes)}",
            expected="one volume of three dimensions",
            remedy="save the volume that is meant in a file of its own",
        )
    if len(sizes) < 3:
        raise DataError(
            "the file holds no volume",
            where=path,
            found=f"dimensions {tuple(sizes)}",
            expected="three dimensions",
            remedy="stack the slices into one volume",
        )
    voxels = int(np.prod(sizes, dtype=object))
    if voxels > LARGEST_SCAN:
        raise DataError(
            "the header asks for more voxels than darnet reads",
            where=path,
            found=f"{tuple(sizes)}: {voxels}",
            expected=f"at most {LARGEST_SCAN}",
            remedy="crop the scan, or mend the header",
        )
    notes = (f"the file has {dim[0]} dimensions but one volume, which is read",) if dim[0] > 3 else ()
    return (sizes[0], sizes[1], sizes[2]), notes


def _check_type(header: NiftiHeader, path: Path) -> None:
    try:
        kind = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        kind = None
    if kind is None or kind.kind not in "iuf" or kind.itemsize == 0:
        raise DataError(
            "voxels of this type are not read",
            where=path,
            found=f"datatype {int(header['datatype'])}" if kind is None else str(kind),
            expected="whole or real numbers, one a voxel",
            remedy="convert colours to grey values, complex numbers to their magnitude",
        )


def _check_codes(header: NiftiHeader, path: Path) -> None:
    """Refuse lengths in other units, and forms of a kind that the format does not know."""
    codes = int(header["qform_code"]), int(header["sform_code"])
    if not all(0 <= code <= LARGEST_CODE for code in codes):
        raise DataError(
            "the header has unknown codes of its geometry",
            where=path,
            found=f"qform_code {codes[0]}, sform_code {codes[1]}",
            expected=f"0 to {LARGEST_CODE}",
            remedy="mend the header, or export the scan again",
        )
    unit = _OTHER_UNITS.get(int(header["xyzt_units"]) & 7)
    if unit is not None:
        raise DataError(
            "the header gives lengths in another unit than mm",
            where=path,
            found=f"xyzt_units: {unit}",
            expected="mm, or no unit",
            remedy="convert the scan to mm, or mend the unit if the lengths are mm",
        )


def _undefined(path: Path, found: object) -> DataError:
    return DataError(
        "the geometry of the scan is undefined",
        where=path,
        found=found,
        expected="a finite affine and a spacing above 0 mm on each axis",
        remedy="mend the header, or export the scan again",
    )


def _affine(header: NiftiHeader, path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The sform where there is one, else the qform, else the spacing alone, with what is doubtful about it."""
    pixdim = np.asarray(header["pixdim"][1:4], np.float64)
    if header["pixdim"][0] == 0:  # qfac of a qform: the standard takes 0 for 1
        header["pixdim"][0] = 1
    try:
        qform = header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        raise _undefined(path, error) from None
    sform = header.get_sform(coded=True)[0]
    notes: list[str] = []
    if sform is None and qform is None:
        if not (np.isfinite(pixdim).all() and (pixdim > 0).all()):
            raise _undefined(path, f"pixdim {pixdim.tolist()}, no sform, no qform")
        notes.append("the header has neither sform nor qform: the orientation is taken for the first axis to the left")
        affine = header.get_base_affine()
    else:
        affine = qform if sform is None else sform
    affine = np.asarray(affine, np.float64)
    _check_affine(affine, path)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(spacing, np.abs(pixdim), rtol=SPACING_TOLERANCE):
        raise DataError(
            "the header contradicts itself about the spacing",
            where=path,
            found=f"affine {np.round(spacing, 4).tolist()} mm, pixdim {np.round(pixdim, 4).tolist()} mm",
            remedy="find out which is right and mend the header",
        )
    if sform is not None and qform is not None and not np.allclose(sform, qform, atol=AFFINE_TOLERANCE, rtol=1e-3):
        notes.append("sform and qform differ; the sform is used")
    return affine, tuple(notes)


def _check_affine(affine: NDArray[np.float64], path: Path) -> None:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and (spacing > 1e-6).all() and (spacing < 1e4).all()):
        raise _undefined(path, np.round(affine, 6).tolist())
    axes = affine[:3, :3] / spacing
    shear = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if shear > SHEAR_TOLERANCE:
        raise DataError(
            "the axes of the scan are not at right angles",
            where=path,
            found=f"a cosine of {shear:.3f} between two axes",
            expected=f"at most {SHEAR_TOLERANCE}",
            remedy="resample the scan to a grid with right angles (a tilted gantry needs its tilt undone)",
        )
