from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest

from darnet.errors import DataError
from darnet.io import read_header, read_scan, write_labels, write_new_image, write_new_labels
from darnet.io import scans as scans_module

SHAPE = (5, 4, 3)
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 3.0, -20], [0, 1.5, 0, 30], [0, 0, 0, 1]])


def header_of(array, affine=AFFINE, **fields):
    """A sound header with some fields overwritten."""
    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_xyzt_units("mm")
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    for name, value in fields.items():
        header[name] = value
    return header


def content_of(array, affine=AFFINE, **fields):
    return header_of(array, affine, **fields).binaryblock + bytes(4) + array.tobytes(order="F")


def voxels(dtype=np.int16, shape=SHAPE):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def write(folder, content, name="scan.nii"):
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(path, labels=False):
    with pytest.raises(DataError) as caught:
        read_scan(path, labels)
    assert path.name in str(caught.value.where)
    assert caught.value.remedy
    return str(caught.value)


def test_sound_scan(tmp_path):
    scan = read_scan(write(tmp_path, content_of(voxels())))
    assert scan.array.dtype == np.float32
    np.testing.assert_array_equal(scan.array, voxels())
    np.testing.assert_array_equal(scan.affine, AFFINE)
    assert scan.spacing == (2.0, 1.5, 3.0)
    assert scan.notes == ()
    header = read_header(scan.path)
    assert header.shape == SHAPE
    np.testing.assert_array_equal(header.affine, AFFINE)


# Bytes of the file


@pytest.mark.parametrize("kept", [0, 1, 9, 30, 80, -9, -5, -1])
def test_truncated_gzip(tmp_path, kept):
    whole = gzip.compress(content_of(voxels(shape=(12, 11, 10))))
    message = refusal(write(tmp_path, whole[:kept], "scan.nii.gz"))
    assert any(word in message for word in ("truncated", "empty", "not compressed", "ends within"))


@pytest.mark.parametrize("kept", [2, 200, 348, 352, 352 + 40, 352 + 119])
def test_truncated_plain_file(tmp_path, kept):
    message = refusal(write(tmp_path, content_of(voxels())[:kept]))
    assert any(word in message for word in ("no NIfTI", "ends within", "shorter", "truncated"))


def test_truncated_voxels_of_a_sound_gzip_stream(tmp_path):
    # The stream ends with its own checksum, but the header asked for more.
    assert "is truncated" in refusal(write(tmp_path, gzip.compress(content_of(voxels())[:-6]), "scan.nii.gz"))


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("read", [read_header, read_scan])
def test_files_that_the_disk_does_not_give(tmp_path, monkeypatch, error, name, read):
    content = content_of(voxels())
    path = write(tmp_path, gzip.compress(content) if name.endswith(".gz") else content, name)

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(DataError, match="the file cannot be read") as caught:
        read(path)
    assert caught.value.where == path
    assert caught.value.remedy == "mend the file or its rights"


@pytest.mark.parametrize(("name", "kept"), [("scan.nii", -6), ("scan.nii.gz", -40), ("scan.nii.gz", -1)])
def test_header_of_a_file_that_was_cut_short(tmp_path, name, kept):
    rng = np.random.default_rng(0)
    content = content_of(rng.integers(0, 4000, (12, 11, 10)).astype(np.int16))
    whole = gzip.compress(content) if name.endswith(".gz") else content
    path = write(tmp_path, whole, name)
    assert read_header(path, whole=True).shape == (12, 11, 10)
    write(tmp_path, whole[:kept], name)
    assert read_header(path).shape == (12, 11, 10)
    with pytest.raises(DataError, match="truncated|shorter"):
        read_header(path, whole=True)


def test_header_of_a_file_read_to_its_end(tmp_path):
    array = voxels(np.float32)
    array[0, 0, 0] = np.nan
    assert read_header(write(tmp_path, content_of(array)), whole=True).shape == SHAPE
    for content in (content_of(array)[:-6], content_of(array) + bytes(5000), content_of(array, scl_slope=1e30)):
        path = write(tmp_path, gzip.compress(content), "scan.nii.gz")
        with pytest.raises(DataError):
            read_header(path, whole=True)


def test_bit_flips_are_caught_by_the_checksum(tmp_path):
    rng = np.random.default_rng(0)
    whole = gzip.compress(content_of(rng.integers(0, 4000, (9, 8, 7)).astype(np.int16)))
    for place in rng.integers(20, len(whole), 60):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(DataError):
            read_scan(write(tmp_path, bytes(flipped), "scan.nii.gz"))


def test_wrong_checksum_alone_is_enough(tmp_path):
    whole = bytearray(gzip.compress(content_of(voxels())))
    whole[-8] ^= 1
    assert "truncated or damaged" in refusal(write(tmp_path, bytes(whole), "scan.nii.gz"))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "scan.nii.gz", "the file is empty"),
        (b"", "scan.nii", "the file is empty"),
        (content_of(voxels()), "scan.nii.gz", "named .gz but is not compressed"),
        (gzip.compress(content_of(voxels())), "scan.nii", "no NIfTI scan"),
        (gzip.compress(b"nothing of the kind" * 40), "scan.nii.gz", "no NIfTI scan"),
        (gzip.compress(b""), "scan.nii.gz", "no NIfTI scan"),
        (content_of(voxels(), magic=b"ni1"), "scan.nii", "no NIfTI scan"),
    ],
    ids=["empty gz", "empty", "plain named gz", "gz named plain", "text", "empty stream", "pair"],
)
def test_other_content(tmp_path, content, name, message):
    assert message in refusal(write(tmp_path, content, name))


def test_missing_file(tmp_path):
    assert "the file is missing" in refusal(tmp_path / "nothing.nii.gz")
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "nothing.nii.gz")
    assert "the file is missing" in refusal(tmp_path / "link.nii.gz")


@pytest.mark.parametrize("tail", [b"\1", bytes(5000), bytes(3 << 20), bytes(40) + b"\2"])
@pytest.mark.parametrize(("name", "pack"), [("scan.nii", bytes), ("scan.nii.gz", gzip.compress)])
def test_more_than_the_header_says(tmp_path, name, pack, tail):
    assert "longer than its header says" in refusal(write(tmp_path, pack(content_of(voxels()) + tail), name))


def test_filling_behind_the_voxels(tmp_path):
    np.testing.assert_array_equal(read_scan(write(tmp_path, content_of(voxels()) + bytes(100))).array, voxels())


def test_a_volume_cut_short_by_its_header_is_refused(tmp_path):
    path = write(tmp_path, content_of(voxels(), dim=[3, 5, 4, 2, 1, 1, 1, 1]))
    assert "longer than its header says" in refusal(path)


def test_huge_header_is_refused_before_room_is_made(tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("room was made")

    monkeypatch.setattr(scans_module.np, "empty", never)
    dim = [3, 32767, 32767, 32767, 1, 1, 1, 1]
    for name, pack in (("scan.nii", bytes), ("scan.nii.gz", gzip.compress)):
        message = refusal(write(tmp_path, pack(content_of(voxels(), dim=dim)), name))
        assert "more voxels than darnet reads" in message
        assert str(2**31) in message
    # Within the limit, but more than the file can hold even if it were compressed.
    dim = [3, 1000, 1000, 1000, 1, 1, 1, 1]
    message = refusal(write(tmp_path, gzip.compress(content_of(voxels(), dim=dim)), "scan.nii.gz"))
    assert "shorter than its header says" in message


# Fields of the header


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        ([0, 5, 4, 3, 1, 1, 1, 1], "wrong dimensions"),
        ([9, 5, 4, 3, 1, 1, 1, 1], "wrong dimensions"),
        ([-1, 5, 4, 3, 1, 1, 1, 1], "wrong dimensions"),
        ([3, 5, 0, 3, 1, 1, 1, 1], "wrong dimensions"),
        ([3, 5, 4, -3, 1, 1, 1, 1], "wrong dimensions"),
        ([4, 5, 4, 3, 0, 1, 1, 1], "wrong dimensions"),
        ([2, 5, 12, 1, 1, 1, 1, 1], "no volume"),
        ([1, 60, 1, 1, 1, 1, 1, 1], "no volume"),
        ([4, 5, 4, 1, 3, 1, 1, 1], "several volumes"),
        ([5, 5, 4, 1, 1, 3, 1, 1], "several volumes"),
    ],
)
def test_dimensions(tmp_path, dim, message):
    path = write(tmp_path, content_of(voxels(), dim=dim))
    assert message in refusal(path)
    with pytest.raises(DataError):
        read_header(path)


def test_one_volume_of_four_dimensions_is_squeezed(tmp_path):
    path = write(tmp_path, content_of(voxels(), dim=[5, 5, 4, 3, 1, 1, 1, 1]))
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.array, voxels())
    assert any("5 dimensions but one volume" in note for note in scan.notes)


def test_a_single_slice_is_a_volume(tmp_path):
    array = voxels(shape=(5, 4, 1))
    assert read_scan(write(tmp_path, content_of(array))).array.shape == (5, 4, 1)


@pytest.mark.parametrize("datatype", [0, 1, 32, 128, 1792, 2048, 2304, 999, -1])
def test_types_that_are_not_read(tmp_path, datatype):
    # Unknown, binary, complex64, RGB, complex128, complex256, RGBA, and numbers that mean nothing.
    path = write(tmp_path, content_of(voxels(), datatype=datatype) + bytes(4000))
    assert "voxels of this type" in refusal(path)


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4", "<i8", ">i8", "<u8", "<f4", ">f4", "<f8", ">f8"]
)
def test_every_type_gives_the_same_voxels(tmp_path, dtype):
    array = voxels(dtype)
    header = nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(array.dtype)
    header.set_data_shape(SHAPE)
    header.set_sform(AFFINE, 1)
    header.set_qform(AFFINE, 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path = write(tmp_path, header.binaryblock + bytes(4) + array.tobytes(order="F"))
    scan = read_scan(path)
    assert scan.array.dtype == np.float32
    np.testing.assert_array_equal(scan.array, voxels())
    np.testing.assert_allclose(scan.affine, AFFINE)
    labels = read_scan(path, labels=True)
    assert labels.array.dtype == np.uint8
    np.testing.assert_array_equal(labels.array, voxels())


def test_second_version_of_the_format(tmp_path):
    image = nib.Nifti2Image(voxels(), AFFINE)
    image.to_filename(tmp_path / "two.nii.gz")
    scan = read_scan(tmp_path / "two.nii.gz")
    np.testing.assert_array_equal(scan.array, voxels())
    write_labels(tmp_path / "out.nii.gz", np.ones(SHAPE, np.uint8), scan)
    again = read_scan(tmp_path / "out.nii.gz", labels=True)
    assert again.array.min() == 1
    np.testing.assert_array_equal(again.affine, AFFINE)


def pixdim(*values):
    return [1, *values, 0, 0, 0, 0]


def sheared(cosine):
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 2] = 0, 2 * cosine, 2 * np.sqrt(1 - cosine**2)
    return affine


def srow(affine, **others):
    return {"srow_x": affine[0], "srow_y": affine[1], "srow_z": affine[2]} | others


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pixdim": pixdim(0, 1.5, 3), "sform_code": 0, "qform_code": 0}, "undefined"),
        ({"pixdim": pixdim(2, NAN, 3), "sform_code": 0, "qform_code": 0}, "undefined"),
        ({"pixdim": pixdim(2, -1.5, 3), "sform_code": 0, "qform_code": 0}, "undefined"),
        ({"pixdim": pixdim(2, INF, 3), "sform_code": 0, "qform_code": 0}, "undefined"),
        ({"pixdim": pixdim(0, 1.5, 3), "sform_code": 0}, "undefined"),
        ({"pixdim": pixdim(2, NAN, 3), "sform_code": 0}, "undefined"),
        ({"pixdim": pixdim(NAN, NAN, NAN), "qform_code": 0}, "contradicts itself about the spacing"),
        ({"pixdim": pixdim(0, 0, 0), "qform_code": 0}, "contradicts itself about the spacing"),
        ({"pixdim": pixdim(2, 1.5, 3.5), "qform_code": 0}, "contradicts itself about the spacing"),
        ({"pixdim": pixdim(2, 1.5, 3.5)}, "contradicts itself about the spacing"),
        ({"quatern_b": NAN, "sform_code": 0}, "undefined"),
        ({"quatern_b": 0.9, "quatern_c": 0.9, "sform_code": 0}, "undefined"),
        ({"srow_x": [NAN, 0, 0, 0]}, "undefined"),
        ({"srow_x": [-2, 0, 0, INF]}, "undefined"),
        ({"srow_x": [0, 0, 0, 0]}, "undefined"),
        (srow(np.zeros((3, 4))), "undefined"),
        (srow(AFFINE * 1e6, pixdim=pixdim(2e6, 1.5e6, 3e6)), "undefined"),
        # Two axes in one direction.
        (srow(np.array([[2.0, 1.5, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 0]])), "not at right angles"),
        (srow(sheared(0.02), pixdim=pixdim(1, 1, 2), qform_code=0), "not at right angles"),
        (srow(sheared(-0.3), pixdim=pixdim(1, 1, 2), qform_code=0), "not at right angles"),
        ({"xyzt_units": 1}, "another unit than mm"),
        ({"xyzt_units": 3 + 8}, "another unit than mm"),
        ({"sform_code": -1}, "unknown codes of its geometry"),
        ({"qform_code": 6}, "unknown codes of its geometry"),
        ({"vox_offset": 100}, "wrong place of the voxels"),
        ({"vox_offset": 352.5}, "wrong place of the voxels"),
        ({"vox_offset": -1}, "wrong place of the voxels"),
        ({"vox_offset": NAN}, "wrong place of the voxels"),
        ({"vox_offset": 1e12}, "wrong place of the voxels"),
        ({"vox_offset": 4096}, "shorter"),
    ],
)
def test_geometry_that_is_refused(tmp_path, fields, message):
    path = write(tmp_path, content_of(voxels(), **fields))
    assert message in refusal(path)


def test_slight_shear_of_rounding_is_read(tmp_path):
    scan = read_scan(
        write(tmp_path, content_of(voxels(), **srow(sheared(0.005), pixdim=pixdim(1, 1, 2), qform_code=0)))
    )
    np.testing.assert_allclose(scan.affine, sheared(0.005), rtol=1e-6)


def test_which_form_is_used(tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] += 40
    scan = read_scan(write(tmp_path, content_of(voxels(), **srow(moved))))
    np.testing.assert_array_equal(scan.affine, moved)
    assert any("the sform is used" in note for note in scan.notes)
    scan = read_scan(write(tmp_path, content_of(voxels(), **srow(moved, sform_code=0))))
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-5)
    assert scan.notes == ()


def test_neither_form(tmp_path):
    scan = read_scan(write(tmp_path, content_of(voxels(), sform_code=0, qform_code=0)))
    assert scan.spacing == (2.0, 1.5, 3.0)
    assert any("neither sform nor qform" in note for note in scan.notes)


# Voxels


@pytest.mark.parametrize(
    ("slope", "inter", "expected"),
    [
        (1.0, 0.0, voxels()),
        (0.0, 7.0, voxels()),
        (NAN, 7.0, voxels()),
        (NAN, NAN, voxels()),
        (2.0, -1024.0, voxels() * 2.0 - 1024),
        (-0.5, 3.0, voxels() * -0.5 + 3),
    ],
)
def test_scaling(tmp_path, slope, inter, expected):
    scan = read_scan(write(tmp_path, content_of(voxels(), scl_slope=slope, scl_inter=inter)))
    np.testing.assert_array_equal(scan.array, expected)


@pytest.mark.parametrize(
    ("slope", "inter"), [(INF, 0.0), (1e13, 0.0), (1e-13, 0.0), (1.0, NAN), (1.0, INF), (1.0, -1e13), (-INF, 0.0)]
)
def test_absurd_scaling(tmp_path, slope, inter):
    path = write(tmp_path, content_of(voxels(), scl_slope=slope, scl_inter=inter))
    assert "scaling of the header is absurd" in refusal(path)
    assert "scaling of the header is absurd" in refusal(path, labels=True)


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_voxels_that_are_not_finite_are_counted(tmp_path, dtype):
    array = voxels(dtype)
    array[0, :3, 0], array[1, 0, 0], array[2, 1, 1] = np.nan, np.inf, -np.inf
    message = refusal(write(tmp_path, content_of(array)))
    assert "3 NaN and 2 infinite of 60 voxels" in message


def test_replacing_voxels_that_are_not_finite(tmp_path):
    array = voxels("<f4") - 7
    array[0, :3, 0], array[1, 0, 0] = np.nan, np.inf
    scan = read_scan(write(tmp_path, content_of(array)), replace_non_finite=True)
    expected = np.where(np.isfinite(array), array, array[np.isfinite(array)].min())
    np.testing.assert_array_equal(scan.array, expected)
    assert scan.notes == ("3 NaN and 1 infinite of 60 voxels replaced by the scan's lowest value, -6",)
    path = write(tmp_path, content_of(np.full(SHAPE, np.nan, np.float32)))
    with pytest.raises(DataError, match="60 NaN"):
        read_scan(path, replace_non_finite=True)


def test_signalling_nan(tmp_path):
    array = voxels("<f4")
    array.view(np.uint32)[0, 0, 0] = 0x7F800001
    assert "1 NaN" in refusal(write(tmp_path, content_of(array)))
    assert "no whole numbers" in refusal(write(tmp_path, content_of(array)), labels=True)


def test_values_beyond_single_precision(tmp_path):
    array = voxels("<f8")
    array[0, 0, 0] = 1e300
    assert "0 NaN and 1 infinite" in refusal(write(tmp_path, content_of(array)))


@pytest.mark.parametrize(
    ("values", "fields", "message"),
    [
        ([0.0, 1.5], {}, "1 voxels, such as 1.5"),
        ([0.0, NAN], {}, "no whole numbers"),
        ([0.0, INF], {}, "no whole numbers"),
        ([0.0, 1.0], {"scl_slope": 0.5}, "such as 0.5"),
        ([-1.0, 1.0], {}, "negative or too large"),
        ([0.0, 70000.0], {}, "negative or too large"),
        ([0, 1], {"scl_slope": 1.0, "scl_inter": -1.0}, "negative or too large"),
    ],
)
def test_labels_that_are_refused(tmp_path, values, fields, message):
    array = np.zeros(SHAPE, np.float32)
    array[0, 0, :2] = values
    assert message in refusal(write(tmp_path, content_of(array, **fields)), labels=True)


@pytest.mark.parametrize(
    ("values", "fields", "expected", "dtype"),
    [
        ([0.0, 2.0], {}, [0, 2], np.uint8),
        ([0.0, 1.99999], {}, [0, 2], np.uint8),
        ([0.0, 300.0], {}, [0, 300], np.uint16),
        ([0.0, 1.0], {"scl_slope": 3.0}, [0, 3], np.uint8),
    ],
)
def test_labels_that_are_read(tmp_path, values, fields, expected, dtype):
    array = np.zeros(SHAPE, np.float32)
    array[0, 0, :2] = values
    labels = read_scan(write(tmp_path, content_of(array, **fields)), labels=True).array
    assert labels.dtype == dtype
    assert labels[0, 0, :2].tolist() == expected


# Writing


def turned(degrees):
    angle = np.deg2rad(degrees)
    affine = AFFINE.copy()
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = rotation @ affine[:3, :3]
    return affine


@pytest.mark.parametrize("forms", [(0, 0), (1, 0), (0, 1), (2, 1), (4, 3)])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_geometry_is_written_byte_for_byte(tmp_path, forms, ending):
    sform, qform = forms
    header = header_of(voxels(), turned(17), sform_code=sform, qform_code=qform, descrip=b"private name", scl_slope=2.0)
    content = header.binaryblock + bytes(4) + voxels().tobytes(order="F")
    scan = read_scan(write(tmp_path, content))
    result = np.arange(60).reshape(SHAPE) % 3
    write_labels(tmp_path / f"out{ending}", result, scan)
    raw = (tmp_path / f"out{ending}").read_bytes()
    written = nib.Nifti1Header(gzip.decompress(raw)[:348] if ending == ".nii.gz" else raw[:348])
    # qform and sform codes, quaternion, offsets and the three rows of the sform lie side by side in the header.
    assert written.binaryblock[252:328] == header.binaryblock[252:328]
    assert written.binaryblock[76:92] == header.binaryblock[76:92]  # qfac and spacing
    assert written["xyzt_units"] == header["xyzt_units"]
    assert b"private" not in written.binaryblock
    again = read_scan(tmp_path / f"out{ending}")
    np.testing.assert_array_equal(again.array, result)
    np.testing.assert_array_equal(again.affine, scan.affine)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_big_endian_scan_gives_results_on_its_grid(tmp_path):
    header = header_of(voxels(), turned(5)).as_byteswapped(">")
    scan = read_scan(write(tmp_path, header.binaryblock + bytes(4) + voxels(">i2").tobytes(order="F")))
    np.testing.assert_array_equal(scan.array, voxels())
    write_labels(tmp_path / "out.nii.gz", np.ones(SHAPE, np.int64), scan)
    np.testing.assert_array_equal(read_scan(tmp_path / "out.nii.gz").affine, scan.affine)


@pytest.mark.parametrize(("largest", "dtype"), [(2, "uint8"), (255, "uint8"), (256, "int32"), (65000, "int32")])
def test_type_of_written_labels(tmp_path, largest, dtype):
    scan = read_scan(write(tmp_path, content_of(voxels())))
    array = np.zeros(SHAPE, np.int64)
    array[0, 0, 0] = largest
    write_labels(tmp_path / "out.nii.gz", array, scan)
    assert nib.load(tmp_path / "out.nii.gz").get_data_dtype() == np.dtype(dtype)
    assert read_scan(tmp_path / "out.nii.gz", labels=True).array.max() == largest


def test_results_of_another_shape_are_refused(tmp_path):
    scan = read_scan(write(tmp_path, content_of(voxels())))
    with pytest.raises(DataError, match="does not fit its scan"):
        write_labels(tmp_path / "out.nii.gz", np.zeros((5, 4, 2), np.uint8), scan)
    assert not (tmp_path / "out.nii.gz").exists()


def test_the_same_voxels_give_the_same_bytes(tmp_path):
    scan = read_scan(write(tmp_path, content_of(voxels())))
    (tmp_path / "later").mkdir()
    for folder in (tmp_path, tmp_path / "later"):
        write_labels(folder / "out.nii.gz", voxels(), scan)
    assert (tmp_path / "out.nii.gz").read_bytes() == (tmp_path / "later" / "out.nii.gz").read_bytes()
    assert (tmp_path / "out.nii.gz").read_bytes()[4:8] == bytes(4)  # no time of writing


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (voxels(np.float64), "int16"),
        (voxels(np.int32) - 1024, "int16"),
        (np.full(SHAPE, 2**15 - 1), "int16"),
        (np.full(SHAPE, 2**15), "float32"),
        (voxels(np.float64) / 4, "float32"),
    ],
)
def test_new_image(tmp_path, array, dtype):
    write_new_image(tmp_path / "new.nii.gz", array, AFFINE)
    scan = read_scan(tmp_path / "new.nii.gz")
    np.testing.assert_array_equal(scan.array, array)
    np.testing.assert_array_equal(scan.affine, AFFINE)
    assert scan.header.get_data_dtype() == np.dtype(dtype)


def test_new_labels(tmp_path):
    write_new_labels(tmp_path / "new.nii.gz", voxels(np.int64), AFFINE)
    labels = read_scan(tmp_path / "new.nii.gz", labels=True)
    assert labels.header.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(labels.array, voxels())


def test_a_qfac_of_zero_is_one(tmp_path):
    header = header_of(voxels(), turned(17), sform_code=0, qform_code=1)
    expected = read_scan(write(tmp_path, header.binaryblock + bytes(4) + voxels().tobytes(order="F"))).affine
    header["pixdim"][0] = 0
    found = read_scan(write(tmp_path, header.binaryblock + bytes(4) + voxels().tobytes(order="F"), "zero.nii")).affine
    np.testing.assert_array_equal(found, expected)
