"""Faults 1 to 15: files that are damaged, and headers that do not tell what the voxels are."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest

from tests.faults.scans import AFFINE, INF, NAN, Bench, content_of, load, put, save, set_fields, tree

DAMAGED = ("truncated or damaged", "copy or export it again")


@pytest.fixture
def bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results):
    return Bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results)


def cut(path, kept):
    path.write_bytes(path.read_bytes()[:kept])


@pytest.mark.parametrize("kept", [30, 0.5, -9, -1], ids=["header", "half", "trailer", "last byte"])
def test_01_truncated_nii_gz(bench, kept):
    bench.refused_scan(lambda p: cut(p, int(kept * p.stat().st_size) if kept == 0.5 else kept), *DAMAGED)


def test_01_truncated_nii_gz_in_a_process_of_its_own(bench):
    cut(bench.source, -200)
    before = tree(bench.root)
    command = ["-c", "import sys; from darnet.cli.plan_and_preprocess import main; sys.exit(main())"]
    flags = ["-d", "7", "-np", "2", *bench.common()]
    done = subprocess.run([sys.executable, *command, *flags], capture_output=True, text=True, timeout=120)
    assert done.returncode == 3
    assert "truncated or damaged" in done.stderr
    assert str(bench.source) in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(bench.root) == before


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8, -6, -2], ids=["early", "middle", "late", "checksum", "length"])
def test_02_bit_flip_in_nii_gz(bench, place):
    def flip(path):
        content = bytearray(path.read_bytes())
        content[int(place * len(content)) if isinstance(place, float) else place] ^= 16
        path.write_bytes(content)

    bench.refused_scan(flip, *DAMAGED)


@pytest.mark.parametrize("kept", [100, 350, -1], ids=["header", "before the voxels", "last byte"])
def test_03_truncated_nii(bench, kept):
    path = bench.root / "scans" / "y_0000.nii"
    path.write_bytes(content_of(bench.scan)[:kept])
    bench.refused(lambda *flags: bench.predict(*flags, source=path), path, "copy or export it again")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda path: b"", ("the file is empty", "copy or export it again")),
        (content_of, ("named .gz but is not compressed", "rename it to .nii")),
        (lambda path: gzip.compress(b""), ("no NIfTI scan",)),
    ],
    ids=["empty", "plain", "nothing compressed"],
)
def test_04_empty_file_and_plain_nifti_named_gz(bench, content, words):
    bench.refused_scan(lambda path: path.write_bytes(content(path)), *words)


def peak_of(call):
    """The most memory that Python and NumPy hold at once during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_05_gzip_bomb(bench):
    def huge_header(path):
        set_fields(path, dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])

    def huge_within_the_limit(path):
        set_fields(path, dim=[3, 1290, 1290, 1290, 1, 1, 1, 1])

    whole, limit = bench.scan.read_bytes(), 2**31
    for spoil, words in (
        (huge_header, ("more voxels than darnet reads", "32767", f"at most {limit}", "crop the scan")),
        (huge_within_the_limit, ("shorter than its header says", "bytes of header and voxels (1290, 1290, 1290)")),
    ):
        spoil(bench.scan)
        assert peak_of(lambda words=words: bench.refused(bench.predict, bench.scan, *words)) < 40 << 20
        bench.scan.write_bytes(whole)
    # A few hundred kilobytes that unfold to 200 megabytes behind a sound volume.
    pack = zlib.compressobj(1, wbits=31)
    parts = [pack.compress(bytes(content_of(bench.scan)))]
    parts += [pack.compress(bytes(1 << 20)) for _ in range(200)]
    bench.scan.write_bytes(b"".join(parts) + pack.flush())
    assert bench.scan.stat().st_size < 2 << 20
    peak = peak_of(lambda: bench.refused(bench.predict, bench.scan, "longer than its header says", "4096 zero bytes"))
    assert peak < 40 << 20


def test_05_gzip_bomb_between_header_and_voxels(bench):
    content = content_of(bench.scan)
    pack = zlib.compressobj(1, wbits=31)
    parts = [pack.compress(bytes(content[:348]))]
    parts += [pack.compress(bytes(1 << 20)) for _ in range(100)]
    bench.scan.write_bytes(b"".join(parts) + pack.flush())
    whole = bench.scan.read_bytes()
    set_fields(bench.scan, vox_offset=2.0**26)
    assert peak_of(lambda: bench.predict("--quiet")) < 40 << 20
    bench.scan.write_bytes(whole)
    assert bench.predict("--quiet")[0] == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dim": [3, 16, 0, 8, 1, 1, 1, 1]}, ("wrong dimensions", "export it again")),
        ({"dim": [3, 16, -14, 8, 1, 1, 1, 1]}, ("wrong dimensions", "export it again")),
        ({"dim": [0, 16, 14, 8, 1, 1, 1, 1]}, ("wrong dimensions", "export it again")),
        ({"dim": [3, 16, 14, 4, 1, 1, 1, 1]}, ("longer than its header says", "dimensions of the header")),
        ({"datatype": 999}, ("voxels of this type are not read", "datatype 999")),
        ({"datatype": 0}, ("voxels of this type are not read",)),
        ({"datatype": 1}, ("voxels of this type are not read",)),
    ],
    ids=["zero", "negative", "no axis", "fewer than there are", "unknown type", "no type", "bits"],
)
def test_06_dimensions_and_types(bench, fields, words):
    bench.refused_scan(lambda path: set_fields(path, **fields), *words)


@pytest.mark.parametrize(
    "fields",
    [
        {"pixdim": [1, 0, 2, 5, 0, 0, 0, 0]},
        {"pixdim": [1, 2, NAN, 5, 0, 0, 0, 0]},
        {"pixdim": [1, 2, 2, -5, 0, 0, 0, 0], "sform_code": 0, "qform_code": 0},
        {"pixdim": [1, 0, 0, 0, 0, 0, 0, 0], "sform_code": 0, "qform_code": 0},
        {"srow_x": [NAN, 0, 0, 0]},
        {"srow_y": [0, INF, 0, 0]},
        {"srow_x": [0, 0, 0, 0]},
        {"srow_x": [-2, 0, 0, 0], "srow_y": [-2, 0, 0, 0]},
        {"quatern_b": NAN, "sform_code": 0, "qform_code": 1},
    ],
    ids=["zero", "NaN", "negative", "no spacing", "NaN affine", "Inf affine", "no axis", "singular", "NaN quaternion"],
)
def test_07_undefined_geometry_is_never_1_mm(bench, fields):
    bench.refused_scan(lambda path: set_fields(path, **fields), "found", "header")


def test_08_sheared_affine(bench):
    affine = AFFINE.copy()
    affine[1, 2] = 1.0
    bench.refused_scan(
        lambda path: save(path, load(path)[0], affine), "not at right angles", "0.196", "at most 0.01", "resample"
    )


def test_09_qform_and_sform_differ(bench):
    moved = {"srow_x": [-2, 0, 0, 40], "qform_code": 1}
    set_fields(bench.source, **moved)
    set_fields(bench.labels, **moved)
    code, out, err = bench.plan("--verify")
    assert (code, err.count("fault")) == (0, 0)
    assert "note: s1: sform and qform differ; the sform is used" in out
    set_fields(bench.scan, **moved)
    code, out, _ = bench.predict()
    assert code == 0
    assert "x: sform and qform differ; the sform is used" in out
    # The result has both forms as the scan has them.
    result = nib.load(bench.root / "out" / "x.nii.gz")
    assert result.get_sform()[0, 3] == 40
    assert result.get_qform()[0, 3] == 0
    wider = {"srow_x": [-3, 0, 0, 0]}
    bench.scan.write_bytes(bench.target.read_bytes())
    bench.refused_scan(lambda path: set_fields(path, **wider), "contradicts itself about the spacing", "3.0", "2.0")


def test_10_four_dimensions(bench):
    array, _ = load(bench.scan)
    assert bench.predict("--quiet")[0] == 0
    expected = load(bench.root / "out" / "x.nii.gz")[0]
    save(bench.scan, array[..., None, None])
    set_fields(bench.scan, dim=[5, 16, 14, 8, 1, 1, 1, 1])
    code, out, _ = bench.predict()
    assert code == 0
    assert "note: x: the file has 5 dimensions but one volume, which is read" in out
    np.testing.assert_array_equal(load(bench.root / "out" / "x.nii.gz")[0], expected)
    save(bench.scan, array)
    bench.refused_scan(
        lambda path: save(path, np.stack([load(path)[0]] * 2, -1)), "several volumes", "(16, 14, 8, 2)", "of its own"
    )


def test_11_two_dimensions(bench):
    bench.refused_scan(lambda path: save(path, load(path)[0][:, :, 3]), "no volume", "(16, 14)", "stack the slices")


def test_11_a_single_slice_is_planned_for(bench):
    for path in (*bench.raw.rglob("*.nii.gz"), bench.scan):
        save(path, load(path)[0][:, :, 3:4])
    code, _, err = bench.plan("--quiet")
    assert (code, err) == (0, "")
    assert bench.plans()["segmentation"]["strides"] == [[1, 2, 2]] * 4
    assert bench.predict("--quiet")[0] == 0
    assert load(bench.root / "out" / "x.nii.gz")[0].shape == (16, 14, 1)


COLOURS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize("kind", [np.complex64, np.complex128, COLOURS], ids=["complex64", "complex128", "RGB"])
def test_12_colours_and_complex_numbers(bench, kind):
    def convert(path):
        array, _ = load(path)
        save(path, np.zeros(array.shape, COLOURS) if kind is COLOURS else array.astype(kind))

    bench.refused_scan(convert, "voxels of this type are not read", "convert colours to grey values")


@pytest.mark.parametrize("kind", ["<i8", "<f8", ">i2", ">f4", ">f8"])
def test_13_every_type_gives_the_same_result(bench, kind):
    def convert(path):
        array, affine = load(path)
        header = nib.Nifti1Header(endianness=kind[0])
        header.set_data_dtype(np.dtype(kind))
        image = nib.Nifti1Image(array.astype(kind), affine, header, dtype=np.dtype(kind))
        image.to_filename(path)

    assert bench.plan("--plan_only", "--quiet")[0] == 0
    before = (bench.preprocessed() / "plans.json").read_bytes()
    assert bench.predict("--quiet")[0] == 0
    mask = (bench.root / "out" / "x.nii.gz").read_bytes()
    for path in (*bench.raw.rglob("*.nii.gz"), bench.scan):
        convert(path)
    assert content_of(bench.scan)[:4] == (348).to_bytes(4, "little" if kind[0] == "<" else "big")
    assert bench.plan("--plan_only", "--quiet")[0] == 0
    assert (bench.preprocessed() / "plans.json").read_bytes() == before
    assert bench.predict("--quiet")[0] == 0
    assert (bench.root / "out" / "x.nii.gz").read_bytes() == mask


@pytest.mark.parametrize("slope", [0.0, NAN])
def test_14_slope_of_0_or_nan_means_none(bench, slope):
    assert bench.predict("--quiet")[0] == 0
    mask = (bench.root / "out" / "x.nii.gz").read_bytes()
    set_fields(bench.scan, scl_slope=slope, scl_inter=7.0)
    assert bench.predict("--quiet")[0] == 0
    assert (bench.root / "out" / "x.nii.gz").read_bytes() == mask


@pytest.mark.parametrize(("slope", "inter"), [(INF, 0.0), (1e20, 0.0), (1e-20, 0.0), (1.0, NAN), (1.0, 1e30)])
def test_14_absurd_scaling(bench, slope, inter):
    bench.refused_scan(
        lambda path: set_fields(path, scl_slope=slope, scl_inter=inter), "scaling of the header is absurd", "scl_slope"
    )


def put_non_finite(path):
    array, affine = load(path)
    array = array.astype(np.float32)
    array[3, 3, :2], array[4, 4, 4] = NAN, -INF
    save(path, array, affine)


def test_15_nan_and_inf_voxels(bench):
    bench.refused_scan(put_non_finite, "2 NaN and 1 infinite of 1792 voxels", "--replace_non_finite")


def test_15_replacing_them_is_opt_in(bench):
    lowest = load(bench.scan)[0].min()
    for path in (bench.source, bench.target, bench.scan):
        put_non_finite(path)
    code, out, _ = bench.plan("--replace_non_finite")
    assert code == 0
    for case in ("s1", "t1"):
        assert f"note: {case}: 2 NaN and 1 infinite of 1792 voxels replaced by the scan's lowest value" in out
    code, out, _ = bench.predict("--replace_non_finite")
    assert code == 0
    assert f"replaced by the scan's lowest value, {lowest}" in out
    expected = load(bench.scan)[0]
    expected[~np.isfinite(expected)] = lowest
    put(bench.scan, nib.Nifti1Image(expected, AFFINE).to_bytes())
    assert bench.predict("--quiet", output="replaced")[0] == 0
    masks = [load(bench.root / folder / "x.nii.gz")[0] for folder in ("out", "replaced")]
    np.testing.assert_array_equal(*masks)
