from __future__ import annotations

import numpy as np
import pytest

from darnet.errors import DataError
from darnet.io import read_dicom

# Directions along a row and down a column, in L, P, S: axial, coronal, sagittal and oblique.
TILT = np.deg2rad(25)
STACKS = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "oblique": ((np.cos(TILT), np.sin(TILT), 0), (-np.sin(TILT), np.cos(TILT), 0)),
}
SPACING = (1.5, 0.75)  # between rows, between columns
GAP = 4.0


@pytest.fixture
def volume():
    return np.random.default_rng(3).integers(-500, 500, (6, 5, 7)).astype(np.int16)  # slice, row, column


def write_stack(folder, volume, write_dicom, stack="axial", skip=(), drift=0.0, **tags):
    """Slices whose names run against their positions; returns where voxel (column, row, slice) lies in R, A, S."""
    folder.mkdir(parents=True, exist_ok=True)
    row, column = (np.array(v, float) for v in STACKS[stack])
    normal = np.cross(row, column)
    origin = np.array([10.0, -20.0, 30.0])
    for k, pixels in enumerate(volume):
        if k not in skip:
            position = origin + normal * GAP * k + row * drift * k
            path = folder / f"IMG-{len(volume) - k:04d}.dcm"
            write_dicom(path, pixels, position, row, column, SPACING, **tags)

    def place(i, j, k):
        return (origin + row * SPACING[1] * i + column * SPACING[0] * j + normal * GAP * k) * [-1, -1, 1]

    return place


@pytest.mark.parametrize("stack", STACKS)
def test_voxels_and_places(tmp_path, volume, write_dicom, stack):
    place = write_stack(tmp_path, volume, write_dicom, stack)
    found = read_dicom(tmp_path)
    assert found.array.dtype == np.float32
    np.testing.assert_array_equal(found.array, volume.transpose(2, 1, 0))
    for voxel in ((0, 0, 0), (6, 0, 0), (0, 4, 0), (0, 0, 5), (3, 2, 4)):
        np.testing.assert_allclose(found.affine @ (*voxel, 1), (*place(*voxel), 1), atol=1e-4)
    assert [path.name for path in found.files] == [f"IMG-{n:04d}.dcm" for n in range(6, 0, -1)]


def test_rescaled(tmp_path, volume, write_dicom):
    write_stack(tmp_path, volume, write_dicom, g0028_1052=(b"DS", b"-1024"), g0028_1053=(b"DS", b"0.5"))
    np.testing.assert_allclose(read_dicom(tmp_path).array, volume.transpose(2, 1, 0) * 0.5 - 1024)


def test_unicode_spaces_and_other_files(tmp_path, volume, write_dicom):
    folder = tmp_path / "Größe 1 é"
    write_stack(folder, volume, write_dicom)
    for name in ("._IMG-0001.dcm", "notes.txt", "DICOMDIR"):
        (folder / name).write_bytes(b"\0" * 128 + b"DICM" if name == "DICOMDIR" else b"x")
    (folder / "IMG-0002.dcm").rename(folder / "IM2")  # known by its content
    assert read_dicom(folder).array.shape == (7, 5, 6)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"skip": (3,)}, "not evenly spaced"),
        ({"drift": 0.5}, "not stacked at right angles"),
        ({"g0020_0032": None}, "no usable Image Position"),
        ({"g0020_0037": None}, "no usable Image Orientation"),
        ({"g0028_0030": (b"DS", b"0\\1 ")}, "no usable Pixel Spacing"),
        ({"g0020_0032": (b"DS", b"1\\2\\3 ")}, "two slices lie at the same position"),
        ({"g0028_0002": (b"US", b"\3\0"), "g0028_0004": (b"CS", b"RGB")}, "IMG-000"),
        ({"skip": range(1, 6)}, "one slice only"),
        ({"skip": range(6)}, "no DICOM slices"),
    ],
)
def test_refused(tmp_path, volume, write_dicom, spoil, words):
    write_stack(tmp_path, volume, write_dicom, **spoil)
    with pytest.raises(DataError, match=words) as error:
        read_dicom(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_two_series(tmp_path, volume, write_dicom):
    write_stack(tmp_path, volume, write_dicom)
    write_dicom(tmp_path / "other.dcm", volume[0], (10, -20, 90), series="1.2.4", spacing=SPACING)
    with pytest.raises(DataError, match="2 DICOM series"):
        read_dicom(tmp_path)


def test_slices_of_another_size(tmp_path, volume, write_dicom):
    write_stack(tmp_path, volume, write_dicom)
    write_dicom(tmp_path / "other.dcm", volume[0, :3], (10, -20, 54), spacing=SPACING)
    with pytest.raises(DataError, match="differ in size"):
        read_dicom(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="the folder is missing"):
        read_dicom(tmp_path / "nowhere")


@pytest.mark.parametrize("left", [0.9, 0.5, 0.1, 0.0])
def test_truncated_slice(tmp_path, volume, write_dicom, left):
    write_stack(tmp_path, volume, write_dicom)
    path = tmp_path / "IMG-0003.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(DataError, match="IMG-0003") as error:
        read_dicom(tmp_path)
    assert error.value.remedy
