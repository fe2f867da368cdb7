"""Labels as a DICOM segmentation object (SEG) that refers to the slices that were segmented."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darnet import __version__
from darnet.errors import ConfigurationError, DataError
from darnet.imaging import colour_of
from darnet.io.files import atomic_path

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_NUMBER = 9000  # after those that scanners give
# What ties the segments to the slices: without it no viewer can lay one over the other.
REQUIRED = {
    "SOPClassUID": "SOP Class UID",
    "SOPInstanceUID": "SOP Instance UID",
    "StudyInstanceUID": "Study Instance UID",
    "SeriesInstanceUID": "Series Instance UID",
    "FrameOfReferenceUID": "Frame of Reference UID",
}
# The standard wants these in every object; they may be empty, and anonymised slices often lack them.
PATIENT_AND_STUDY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


def require_highdicom() -> None:
    """Refuse to write DICOM SEG where the package for it is missing.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            "highdicom, which writes DICOM SEG, is not installed",
            remedy="pip install 'darnet[dicom]', or leave --dicom_seg out",
        ) from None


def read_seg_sources(files: Sequence[Path], names: Mapping[str, int]) -> list[Dataset]:
    """What a SEG takes over from the slices that it refers to: patient, study and geometry, not the pixels.

    A SEG without a voxel is made of them on trial, so that hours of computing are not lost on slices that cannot be
    referred to.

    Args:
        files: The file of each slice k, as of `DicomVolume`.
        names: Value of each class above 0 by its name.

    Raises:
        DataError: A slice cannot be referred to, or the slices are of several studies or frames of reference.
    """
    with _lenient(files[0]):
        sources = [_read_source(path) for path in files]
        for key in ("StudyInstanceUID", "FrameOfReferenceUID", "SOPClassUID"):
            for path, source in zip(files, sources, strict=True):
                if source[key].value != sources[0][key].value:
                    raise _not_referable(path, f"another {REQUIRED[key]} than {files[0].name}")
        first, second = (np.array(source.ImagePositionPatient, float) for source in sources[:2])
        gap = round(float(np.linalg.norm(second - first)), 6)
        for source in sources:
            # Positions are what counts: slices lack these two often, and overlap or leave gaps. A voxel of the mask
            # stands for the whole way to the next slice.
            source.SpacingBetweenSlices = source.SliceThickness = gap
        _segmentation(np.zeros((source.Columns, source.Rows, 2), np.uint8), names, sources[:2])
    return sources


def write_dicom_seg(
    path: str | Path, labels: NDArray[np.integer], names: Mapping[str, int], sources: Sequence[Dataset]
) -> None:
    """Write labels as binary segments, one a class, also of classes without a voxel.

    Classes with the name of a structure that DICOM knows ("liver", "right_kidney") get its SNOMED code; the others are
    coded as tissue. All keep their name as the label of the segment. Frames without a voxel are left out; a mask
    without a voxel has one empty frame a class, since the standard wants a frame.

    Args:
        path: The file.
        labels: (i, j, k): i along rows, j down columns, k as the slices.
        names: Value of each class above 0 by its name.
        sources: Each slice k, of `read_seg_sources`.

    Raises:
        DataError: The slices have a value that DICOM does not allow.
        ResourceError: The disk is full.
    """
    with _lenient(sources[0].filename):
        seg = _segmentation(labels, names, sources)
        with atomic_path(path) as temporary:
            seg.save_as(temporary)


@contextmanager
def _lenient(where: str | Path) -> Iterator[None]:
    """No warnings of odd values, which scanners do write; what stops is an error of the slices."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (AttributeError, TypeError, ValueError) as error:
            raise _not_referable(where, error) from error


def _read_source(path: Path) -> Dataset:
    """A slice without its pixels, with all that the standard wants in a SEG of it."""
    import pydicom

    source = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    missing = [name for key, name in REQUIRED.items() if not source.get(key)]
    if missing:
        raise _not_referable(path, f"no {', '.join(missing)}")
    for key in PATIENT_AND_STUDY:
        if key not in source:
            setattr(source, key, None)
    return source


def _segmentation(labels: NDArray[np.integer], names: Mapping[str, int], sources: Sequence[Dataset]) -> Dataset:
    """The object itself; arguments as of `write_dicom_seg`."""
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian

    kind = np.uint8 if len(names) < 256 else np.uint16
    empty = not labels.any()
    if empty:
        labels = labels[:, :, :1]
    seg = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=np.ascontiguousarray(labels.transpose(2, 1, 0), kind),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        # Segments are numbered from 1 without gaps, as the classes of a plan are.
        segment_descriptions=[_describe(name, names[name]) for name in sorted(names, key=lambda name: names[name])],
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="darnet",
        manufacturer_model_name="darnet",
        software_versions=__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_description="Segmentation by darnet, for research",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        # The object refers to all slices also where it has frames of the first alone.
        plane_positions=[_place_of(sources[0])] if empty else None,
        omit_empty_frames=not empty,
    )
    seg.SeriesDescription = "darnet segmentation"
    seg.SpecificCharacterSet = "ISO_IR 192"  # UTF-8, for names of classes in any language
    return seg


def _place_of(source: Dataset) -> Any:
    """Where a slice lies."""
    import highdicom

    patient = highdicom.CoordinateSystemNames.PATIENT
    return highdicom.PlanePositionSequence(patient, image_position=source.ImagePositionPatient)


def _describe(name: str, number: int) -> Any:
    """Name, code, colour and origin of a segment."""
    import highdicom
    from pydicom.sr.codedict import codes

    kind, side = _code_of(name)
    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],  # the longest that DICOM allows
        segmented_property_category=codes.cid7150.AnatomicalStructure if kind else codes.cid7150.Tissue,
        segmented_property_type=kind or codes.cid7150.Tissue,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="darnet", family=codes.DCM.ArtificialIntelligence, version=__version__
        ),
        display_color=highdicom.color.CIELabColor.from_string(colour_of(number)),
    )
    if side:
        (type_code,) = description.SegmentedPropertyTypeCodeSequence
        type_code.SegmentedPropertyTypeModifierCodeSequence = [highdicom.sr.CodedConcept.from_code(side)]
    return description


def _code_of(name: str) -> tuple[Any, Any]:
    """Code of the structure that a class is named after, and of its side; None for each that is not known."""
    from pydicom.sr.codedict import codes

    words = re.findall(r"[a-z]+", name.lower())
    sides = [word for word in words if word in ("right", "left")]
    structure = _structure(words)
    if structure or len(sides) != 1:
        return structure, None
    structure = _structure([word for word in words if word not in sides])
    return structure, getattr(codes.cid244, sides[0].capitalize()) if structure else None


def _structure(words: Sequence[str]) -> Any:
    """Code of the anatomical structure of that name, None where there is none."""
    from pydicom.sr.codedict import codes

    return getattr(codes.cid7192, "".join(word.capitalize() for word in words), None) if words else None


def _not_referable(where: str | Path, found: object) -> DataError:
    return DataError(
        "DICOM SEG cannot refer to these slices",
        where=where,
        found=found,
        expected="the slices of one series, with patient, study and frame of reference",
        remedy="export the series again, or leave --dicom_seg out",
    )
