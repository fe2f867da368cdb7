from __future__ import annotations

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from darnet.cli import plan_and_preprocess, predict

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


def load(path):
    image = nib.load(path)
    return np.asanyarray(image.dataobj).copy(), image.affine


def save(path, array, affine=AFFINE):
    nib.Nifti1Image(array, affine).to_filename(path)


# Each of these spoils one file, which is a whole scan before.
def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut_to_nothing(path):
    path.write_bytes(b"")


def decompress(path):
    plain = path.with_name("plain.nii")
    save(plain, load(path)[0])
    plain.replace(path)


def stack_two_volumes(path):
    array, affine = load(path)
    save(path, np.stack([array, array], -1), affine)


def keep_one_slice(path):
    array, _ = load(path)
    save(path, array[:, :, 3])


def put_nan(path):
    array = load(path)[0].astype(np.float32)
    array[3, 3, :2] = np.nan
    save(path, array)


def make_constant(path):
    save(path, np.full_like(load(path)[0], 5))


def shear(path):
    affine = AFFINE.copy()
    affine[1, 2] = 1.0
    save(path, load(path)[0], affine)


def make_complex(path):
    save(path, load(path)[0].astype(np.complex64))


def write_text(path):
    path.write_bytes(b"this is no scan at all, and neither is it compressed")


SPOILED_SCANS = [
    (truncate, "truncated or damaged", "copy or export it again"),
    (flip_bit, "truncated or damaged", "copy or export it again"),
    (cut_to_nothing, "the file is empty", "copy or export it again"),
    (decompress, "named .gz but is not compressed", "rename it to .nii"),
    (write_text, "named .gz but is not compressed", "compress it"),
    (stack_two_volumes, "several volumes or channels", "in a file of its own"),
    (keep_one_slice, "no volume", "stack the slices"),
    (put_nan, "2 NaN and 0 infinite", "replace them"),
    (make_constant, "the scan is constant", "export it again"),
    (shear, "not at right angles", "resample the scan"),
    (make_complex, "voxels of this type are not read", "complex numbers to their magnitude"),
]
SPOILED_IDS = [spoil.__name__ for spoil, _, _ in SPOILED_SCANS]


@pytest.fixture
def raw(tmp_path, write_raw_dataset):
    return write_raw_dataset(tmp_path)


@pytest.fixture
def refused(tmp_path, capsys, hashes_of_tree):
    """Run a command that must fail: no traceback, nothing written; gives what it said."""

    def run(main, *flags, code):
        before = hashes_of_tree(tmp_path)
        assert main(["--root", str(tmp_path), "-device", "cpu", "--quiet", *map(str, flags)]) == code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert "internal error" not in said.err
        assert said.out == ""
        assert hashes_of_tree(tmp_path) == before
        return said.err

    return run


@pytest.fixture
def refused_plan(refused):
    def run(dataset="7", code=3):
        return refused(plan_and_preprocess.main, "-d", dataset, "-np", "1", "--preset", "fast", code=code)

    return run


@pytest.mark.parametrize("dataset", ["8", "Dataset008_Nothing", "some/where"])
def test_no_such_data_set(raw, refused_plan, dataset):
    said = refused_plan(dataset, code=2)
    assert f"there is no data set {dataset}" in said
    assert "Dataset007_Small" in said
    assert "remedy" in said


def test_empty_folder_as_data_set(tmp_path, refused_plan):
    (tmp_path / "nothing").mkdir()
    said = refused_plan(tmp_path / "nothing")
    assert "dataset.json" in said
    assert "nothing" in said
    assert "write one" in said


@pytest.mark.parametrize(("place", "spoiled"), [("imagesTr", "s1"), ("imagesTr_target", "t2")])
@pytest.mark.parametrize(("spoil", "what", "remedy"), SPOILED_SCANS, ids=SPOILED_IDS)
def test_spoiled_scan_is_not_planned_with(raw, refused_plan, spoil, what, remedy, place, spoiled):
    path = raw / place / f"{spoiled}_0000.nii.gz"
    spoil(path)
    said = refused_plan()
    assert what in said
    assert str(path) in said
    assert remedy in said


@pytest.mark.parametrize("spoil", [truncate, flip_bit, cut_to_nothing, decompress, stack_two_volumes])
def test_spoiled_labels(raw, refused_plan, spoil):
    path = raw / "labelsTr" / "s2.nii.gz"
    spoil(path)
    assert str(path) in refused_plan()


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def shift_labels(raw):
    path = raw / "labelsTr" / "s1.nii.gz"
    affine = AFFINE.copy()
    affine[0, 3] = 3.0
    save(path, load(path)[0], affine)


def cut_labels(raw):
    path = raw / "labelsTr" / "s1.nii.gz"
    save(path, load(path)[0][:, :, 1:])


def label_seven(raw):
    path = raw / "labelsTr" / "s1.nii.gz"
    labels = load(path)[0]
    labels[5, 5, 2:5] = 7
    save(path, labels)


def halve_labels(raw):
    path = raw / "labelsTr" / "s1.nii.gz"
    save(path, load(path)[0].astype(np.float32) / 2)


def take_class_out(raw):
    for path in (raw / "labelsTr").iterdir():
        labels = load(path)[0]
        labels[labels == 2] = 0
        save(path, labels)


def break_description(raw):
    (raw / "dataset.json").write_text('{\n"channel_names": {"0": "CT"},\n"labels": {"background": 0 "cube": 1}\n}')


def describe_two_channels(raw):
    values = json.loads((raw / "dataset.json").read_text())
    (raw / "dataset.json").write_text(json.dumps(values | {"channel_names": {"0": "CT", "1": "PET"}}))


SPOILED_SETS = {
    "empty target": (lambda raw: empty(raw / "imagesTr_target"), ["no scan", "imagesTr_target", "CASE_0000.nii.gz"]),
    "empty source": (lambda raw: empty(raw / "imagesTr"), ["no scan", "imagesTr"]),
    "no target folder": (lambda raw: shutil.rmtree(raw / "imagesTr_target"), ["folder is missing", "imagesTr_target"]),
    "no channel number": (
        lambda raw: (raw / "imagesTr/s1_0000.nii.gz").rename(raw / "imagesTr/s1.nii.gz"),
        ["no channel number", "imagesTr/s1.nii.gz", "rename it to s1_0000.nii.gz"],
    ),
    "label without image": (
        lambda raw: (raw / "imagesTr/s1_0000.nii.gz").unlink(),
        ["labels of s1 have no scan", "labelsTr/s1.nii.gz", "imagesTr/s1_0000.nii.gz", "add the scan"],
    ),
    "image without label": (
        lambda raw: (raw / "labelsTr/s2.nii.gz").unlink(),
        ["source case s2 has no labels", "imagesTr/s2_0000.nii.gz", "labelsTr/s2.nii.gz", "add its labels"],
    ),
    "second channel": (
        lambda raw: shutil.copy(raw / "imagesTr/s1_0000.nii.gz", raw / "imagesTr/s1_0001.nii.gz"),
        ["a further channel", "s1_0001.nii.gz", "keep one channel"],
    ),
    "second channel of a target": (
        lambda raw: shutil.copy(raw / "imagesTr_target/t1_0000.nii.gz", raw / "imagesTr_target/t1_0001.nii.gz"),
        ["a further channel", "imagesTr_target/t1_0001.nii.gz"],
    ),
    "labels on another grid": (shift_labels, ["different grids", "labelsTr/s1.nii.gz", "3.00 mm", "resample"]),
    "labels of another shape": (cut_labels, ["differ in shape", "labelsTr/s1.nii.gz", "(16, 14, 7)", "resample"]),
    "unknown label": (
        label_seven,
        ["does not name", "labelsTr/s1.nii.gz", "7 (3 voxels)", "1 cube", "name all values", "--classes"],
    ),
    "half labels": (halve_labels, ["no whole numbers", "labelsTr/s1.nii.gz", "nearest-neighbour"]),
    "class in no case": (take_class_out, ["no case shows the class rod", "labelsTr", "take the class out"]),
    "the same scan twice": (
        lambda raw: shutil.copy(raw / "imagesTr/s1_0000.nii.gz", raw / "imagesTr_target/t1_0000.nii.gz"),
        ["two cases are the same scan", "s1", "t1", "take one of them away"],
    ),
    "another ending": (
        lambda raw: (raw / "imagesTr_target/t1_0000.nii.gz").rename(raw / "imagesTr_target/t1_0000.nrrd"),
        ["another ending", "t1_0000.nrrd", "convert it to NIfTI or rename it"],
    ),
    "malformed dataset.json": (break_description, ["not valid JSON", "dataset.json, line 3", "mend this line"]),
    "two channels": (describe_two_channels, ["several channels", "dataset.json, line 1", "keep one channel"]),
}


@pytest.mark.parametrize("fault", SPOILED_SETS)
def test_spoiled_data_set(raw, refused_plan, fault):
    spoil, words = SPOILED_SETS[fault]
    spoil(raw)
    said = refused_plan()
    for word in words:
        assert word in said, said


def test_all_faults_at_once(raw, refused_plan):
    flip_bit(raw / "imagesTr" / "s1_0000.nii.gz")
    put_nan(raw / "imagesTr_target" / "t1_0000.nii.gz")
    path = raw / "labelsTr" / "s2.nii.gz"
    labels = load(path)[0]
    labels[0, 0, 0] = 9
    save(path, labels)
    said = refused_plan()
    assert "3 faults" in said
    for name in ("s1_0000.nii.gz", "t1_0000.nii.gz", "s2.nii.gz", "9 (1 voxels)"):
        assert name in said


def test_the_undamaged_data_set_passes(raw, tmp_path, capsys):
    # Without this the refusals above would prove nothing.
    assert plan_and_preprocess.main(["-d", "7", "--root", str(tmp_path), "-np", "1", "--verify", "-device", "cpu"]) == 0
    assert "the data set is in order" in capsys.readouterr().out
    assert not (tmp_path / "preprocessed").exists()


@pytest.fixture
def model(tmp_path, make_small_plans, write_results):
    return write_results(tmp_path / "model", make_small_plans((5.0, 2.0, 2.0), patch_size=(4, 8, 8)))


@pytest.fixture
def scans(tmp_path, small_scan):
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed, case in enumerate(("a", "b")):
        save(folder / f"{case}_0000.nii.gz", small_scan(seed)[0])
    return folder


@pytest.fixture
def refused_prediction(refused, tmp_path, model):
    def run(source, code, output=None):
        return refused(predict.main, "-m", model, "-i", source, "-o", output or tmp_path / "out", code=code)

    return run


@pytest.mark.parametrize(("spoil", "what", "remedy"), SPOILED_SCANS, ids=SPOILED_IDS)
def test_spoiled_scan_is_not_predicted(scans, refused_prediction, spoil, what, remedy):
    path = scans / "a_0000.nii.gz"
    spoil(path)
    said = refused_prediction(path, code=3)
    assert what in said
    assert str(path) in said
    assert remedy in said


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda folder: shutil.rmtree(folder), 2, ["the input does not exist", "scans", "with -i"]),
        (empty, 3, ["the folder has no scan", "scans", "CASE_0000.nii.gz"]),
        (
            lambda folder: (folder / "a_0000.nii.gz").rename(folder / "a.nii.gz"),
            3,
            ["no channel number", "a.nii.gz", "rename it to a_0000.nii.gz"],
        ),
        (
            lambda folder: shutil.copy(folder / "a_0000.nii.gz", folder / "a_0001.nii.gz"),
            3,
            ["a further channel", "a_0001.nii.gz", "keep one channel"],
        ),
        (
            lambda folder: shutil.copy(folder / "a_0000.nii.gz", folder / "A_0000.nii.gz"),
            3,
            ["is there twice", "A_0000.nii.gz and a_0000.nii.gz", "remove or rename"],
        ),
        (lambda folder: (folder / "a_0000.nii.gz").rename(folder / "a_0000.mha"), 3, ["another ending", "a_0000.mha"]),
    ],
    ids=["missing", "empty", "no channel number", "second channel", "twice", "ending"],
)
def test_spoiled_folder_is_not_predicted(scans, refused_prediction, spoil, code, words):
    spoil(scans)
    said = refused_prediction(scans, code=code)
    for word in words:
        assert word in said, said


def test_results_never_replace_other_files(scans, refused_prediction):
    # A scan named as its own result would be lost.
    own = scans.parent / "own"
    own.mkdir()
    (scans / "a_0000.nii.gz").rename(own / "a.nii.gz")
    said = refused_prediction(own / "a.nii.gz", code=2, output=own)
    assert "would replace" in said
    assert "a.nii.gz" in said
    assert "give another folder" in said


def test_every_scan_spoiled(scans, refused_prediction):
    flip_bit(scans / "a_0000.nii.gz")
    truncate(scans / "b_0000.nii.gz")
    said = refused_prediction(scans, code=3)
    assert "2 faults" in said
    assert "a_0000.nii.gz" in said
    assert "b_0000.nii.gz" in said


def test_one_scan_of_two_spoiled(scans, tmp_path, model, capsys, hashes_of_tree):
    flip_bit(scans / "a_0000.nii.gz")
    before = hashes_of_tree(scans)
    flags = ["-m", model, "-i", scans, "-o", tmp_path / "out", "-device", "cpu", "--quiet"]
    assert predict.main([str(flag) for flag in flags]) == 5
    said = capsys.readouterr().err
    assert str(scans / "a_0000.nii.gz") in said
    assert "--continue" in said
    assert "Traceback" not in said
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b.nii.gz", "prediction.json"]
    assert hashes_of_tree(scans) == before
