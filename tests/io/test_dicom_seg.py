from __future__ import annotations

import sys

import highdicom
import numpy as np
import pydicom
import pytest

from darnet.errors import ConfigurationError, DataError
from darnet.io import read_dicom_scan, read_seg_sources, require_highdicom, write_dicom_seg

TILT = np.deg2rad(25)
# Directions along a row and down a column, in L, P, S.
STACKS = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "axial, upside down": ((-1, 0, 0), (0, 1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "oblique": ((np.cos(TILT), 0, np.sin(TILT)), (0, 1, 0)),
}
NAMES = {"liver": 1, "right_kidney": 2, "Läsion 肝": 3, "spleen": 4}
FRAME = {"g0020_0052": (b"UI", b"1.2.3.8")}
SHAPE = (7, 5, 6)  # i, j, k


@pytest.fixture
def labels():
    """Every class but the spleen, and the liver on some of the slices only."""
    array = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    array[:, :, :2][array[:, :, :2] == 1] = 0
    return array


@pytest.fixture
def series(tmp_path, write_dicom):
    def write(stack="axial", backwards=False, **tags):
        """A folder of slices; their names run along the normal or against it."""
        folder = tmp_path / "series"
        folder.mkdir()
        row, column = (np.array(v, float) for v in STACKS[stack])
        for k in range(SHAPE[2]):
            place = np.array([10.0, -20.0, 30.0]) + np.cross(row, column) * 4.0 * k
            name = f"IM{SHAPE[2] - k if backwards else k:02d}"
            pixels = np.full((SHAPE[1], SHAPE[0]), k, np.int16)
            write_dicom(folder / name, pixels, place, row, column, (1.5, 0.75), **(FRAME | tags))
        return folder

    return write


def written(scan, labels, path):
    write_dicom_seg(path, labels, NAMES, read_seg_sources(scan.slices, NAMES))
    return path


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_every_frame_lies_on_its_slice_and_on_the_grid_of_the_mask(tmp_path, series, labels, stack, backwards):
    """Read back with pydicom alone: pixels, their places in the patient, and the slice that each frame refers to."""
    scan = read_dicom_scan(series(stack, backwards))
    seg = pydicom.dcmread(written(scan, labels, tmp_path / "seg.dcm"))
    shared = seg.SharedFunctionalGroupsSequence[0]
    turn = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    gap_rows, gap_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = np.zeros_like(labels)
    to_voxel = np.linalg.inv(scan.affine)
    for group, frame in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        rows, columns = np.nonzero(frame)
        origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        place = origin + np.outer(columns, turn[:3]) * gap_columns + np.outer(rows, turn[3:]) * gap_rows
        place = np.c_[place * [-1, -1, 1], np.ones(len(place))]
        voxels = np.rint(to_voxel @ place.T)[:3].astype(int)
        np.testing.assert_allclose(to_voxel @ place.T, np.r_[voxels, np.ones((1, len(rows)))], atol=1e-3)
        assert len(set(voxels[2])) == 1
        found[tuple(voxels)] = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        source = pydicom.dcmread(scan.slices[voxels[2, 0]])
        assert set(source.pixel_array.ravel()) == {voxels[2, 0]}
        (derived,) = group.DerivationImageSequence
        assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    np.testing.assert_array_equal(found, labels)
    assert (seg.FrameOfReferenceUID, seg.StudyInstanceUID) == ("1.2.3.8", "1.2.3.9")


def test_read_back_by_highdicom(tmp_path, series, labels):
    scan = read_dicom_scan(series("oblique", backwards=True))
    volume = highdicom.seg.segread(written(scan, labels, tmp_path / "seg.dcm")).get_volume(
        combine_segments=True, skip_overlap_checks=True
    )
    voxels = np.argwhere(volume.array)
    places = volume.map_indices_to_reference(voxels) * [-1, -1, 1]
    ours = np.rint(np.linalg.inv(scan.affine) @ np.c_[places, np.ones(len(places))].T)[:3].astype(int)
    found = np.zeros_like(labels)
    found[tuple(ours)] = volume.array[tuple(voxels.T)]
    np.testing.assert_array_equal(found, labels)


def test_segments_are_named_and_coded(tmp_path, series, labels):
    path = written(read_dicom_scan(series()), labels, tmp_path / "seg.dcm")
    segments = pydicom.dcmread(path).SegmentSequence
    assert [(s.SegmentNumber, s.SegmentLabel) for s in segments] == [(n, name) for name, n in NAMES.items()]
    kinds = [s.SegmentedPropertyTypeCodeSequence[0] for s in segments]
    assert [kind.CodeMeaning for kind in kinds] == ["Liver", "Kidney", "Tissue", "Spleen"]
    assert kinds[1].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    assert "SegmentedPropertyTypeModifierCodeSequence" not in kinds[0]
    categories = [s.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning for s in segments]
    assert categories == ["Anatomical Structure", "Anatomical Structure", "Tissue", "Anatomical Structure"]
    assert {s.SegmentAlgorithmName for s in segments} == {"darnet"}
    assert len({tuple(s.RecommendedDisplayCIELabValue) for s in segments}) == len(NAMES)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("stack", STACKS)
def test_mask_without_a_voxel(tmp_path, series, labels, caplog, stack):
    """A frame a class, for an object must have one, and the place and the references of any other mask."""
    scan = read_dicom_scan(series(stack))
    seg = highdicom.seg.segread(written(scan, np.zeros_like(labels), tmp_path / "seg.dcm"))
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == list(NAMES)
    assert seg.NumberOfFrames == len(NAMES)
    assert not seg.pixel_array.any()
    slices = [pydicom.dcmread(path) for path in scan.slices]
    (referred,) = seg.ReferencedSeriesSequence
    assert {one.ReferencedSOPInstanceUID for one in referred.ReferencedInstanceSequence} == {
        one.SOPInstanceUID for one in slices
    }
    for group in seg.PerFrameFunctionalGroupsSequence:
        assert group.PlanePositionSequence[0].ImagePositionPatient == slices[0].ImagePositionPatient
        (derived,) = group.DerivationImageSequence
        assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == slices[0].SOPInstanceUID
    assert not seg.get_volume(combine_segments=True).array.any()
    everywhere = seg.get_pixels_by_source_instance(
        [one.SOPInstanceUID for one in slices], combine_segments=True, assert_missing_frames_are_empty=True
    )
    assert everywhere.shape == SHAPE[::-1]
    assert not everywhere.any()
    assert not caplog.records


def test_patient_is_taken_over(tmp_path, series, labels):
    named = {"g0008_0005": (b"CS", b"ISO_IR 100"), "g0010_0010": (b"PN", "Müller^Jörg".encode("latin-1"))}
    path = written(read_dicom_scan(series(**named)), labels, tmp_path / "seg.dcm")
    seg = pydicom.dcmread(path)
    assert (str(seg.PatientName), seg.SegmentSequence[2].SegmentLabel) == ("Müller^Jörg", "Läsion 肝")
    assert seg.PatientID == ""


@pytest.mark.parametrize(
    ("spoil", "words"),
    [({"g0020_0052": None}, "no Frame of Reference UID"), ({"g0020_000D": None}, "no Study Instance UID")],
)
def test_slices_that_cannot_be_referred_to(series, spoil, words):
    scan = read_dicom_scan(series(**spoil))
    with pytest.raises(DataError, match=words) as error:
        read_seg_sources(scan.slices, NAMES)
    assert str(scan.slices[0]) in str(error.value)


def test_slices_of_two_frames_of_reference(series, write_dicom):
    folder = series()
    other = {"g0020_0052": (b"UI", b"1.2.3.7")}
    pixels = np.zeros((SHAPE[1], SHAPE[0]), np.int16)
    write_dicom(folder / "IM99", pixels, (10.0, -20.0, 54.0), spacing=(1.5, 0.75), **other)
    scan = read_dicom_scan(folder)
    with pytest.raises(DataError, match="another Frame of Reference UID than IM00") as error:
        read_seg_sources(scan.slices, NAMES)
    assert "IM99" in str(error.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "odd",
    [
        {"g0010_0020": (b"LO", b"x" * 80)},  # longer than allowed
        {"g0018_0050": (b"DS", b"thin")},
        {"g0018_0088": (b"DS", b"-4")},
        {"g0008_0080": (b"LO", b"\xff\xfe")},
    ],
)
def test_odd_values_are_no_fault(tmp_path, series, labels, odd):
    seg = pydicom.dcmread(written(read_dicom_scan(series(**odd)), labels, tmp_path / "seg.dcm"))
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (measures.SliceThickness, measures.SpacingBetweenSlices) == (4, 4)
    assert tuple(measures.PixelSpacing) == (1.5, 0.75)


def test_value_that_cannot_be_taken_over(series):
    scan = read_dicom_scan(series(g0008_0020=(b"DA", b"unknown")))
    with pytest.raises(DataError, match="unknown") as error:
        read_seg_sources(scan.slices, NAMES)
    assert "leave --dicom_seg out" in str(error.value)


def test_highdicom_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'darnet\[dicom\]'"):
        require_highdicom()
