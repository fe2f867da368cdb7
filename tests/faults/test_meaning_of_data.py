"""Faults 16 to 31: files that can be read, but do not say what a data set must say."""

from __future__ import annotations

import json
import shutil
import sys

import nibabel as nib
import numpy as np
import pytest

from darnet.io import only_one
from tests.faults.scans import AFFINE, NAME, Bench, content_of, load, put, save


@pytest.fixture
def bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results):
    return Bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results)


def repaint(path, change):
    array, affine = load(path)
    save(path, change(array), affine)


def test_16_label_values_not_in_dataset_json(bench):
    others = bench.raw / "labelsTr" / "s2.nii.gz"

    def add(values):
        def change(labels):
            labels[0, 0, : len(values)] = values
            return labels

        return change

    repaint(bench.labels, add([7, 7, 7, 200]))
    repaint(others, add([3]))
    bench.refused(
        bench.plan, "2 faults", bench.labels, others, "7 (3 voxels), 200 (1 voxels)", "3 (1 voxels)", "1 cube, 2 rod"
    )


def test_16_a_scan_in_the_place_of_labels(bench):
    repaint(bench.labels, lambda labels: np.arange(labels.size, dtype=np.int16).reshape(labels.shape))
    said = bench.refused(bench.plan, bench.labels, "3 (1 voxels), 4 (1 voxels), 5", "and 1784 more", "is it a scan?")
    assert len(said) < 1000


def test_16_labels_that_changed_after_planning(bench):
    bench.shrink()
    repaint(bench.labels, lambda labels: np.where(labels == 2, 9, labels).astype(np.uint8))
    code, _, err = bench.plan("--keep_plan", "--quiet")
    assert code == 3
    assert "9 (24 voxels)" in err
    assert str(bench.labels) in err


@pytest.mark.parametrize("offset", [0.5, 0.01])
def test_17_labels_that_are_no_whole_numbers(bench, offset):
    repaint(bench.labels, lambda labels: labels.astype(np.float32) + np.float32(offset))
    bench.refused(bench.plan, bench.labels, "no whole numbers", "1792 voxels, such as 0.", "nearest-neighbour")


def test_18_labels_of_another_shape(bench):
    repaint(bench.labels, lambda labels: labels[:, :, 1:])
    bench.refused(bench.plan, bench.labels, "differ in shape", "(16, 14, 7)", "(16, 14, 8)", "resample")


def test_19_labels_of_another_affine(bench):
    labels, _ = load(bench.labels)
    near, far = AFFINE.copy(), AFFINE.copy()
    near[0, 3], far[0, 3] = 0.1, 3.0
    save(bench.labels, labels, near)
    assert bench.plan("--verify", "--quiet")[0] == 0
    save(bench.labels, labels, far)
    bench.refused(bench.plan, bench.labels, "different grids", "3.00 mm apart", "the affine of the scan", "resample")


ORIENTATIONS = ("LPS", "RAS", "ASL", "SRP", "IPR")


def turned(image, codes):
    ornt = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(tuple(codes))
    )
    return image.as_reoriented(ornt)


def test_20_mixed_orientations(bench):
    folder = bench.scan.parent
    image = nib.load(bench.scan)
    for codes in ORIENTATIONS:
        turned(image, codes).to_filename(folder / f"{codes}_0000.nii.gz")
    bench.scan.unlink()
    assert bench.predict("--quiet", source=folder)[0] == 0
    masks = []
    for codes in ORIENTATIONS:
        scan, mask = nib.load(folder / f"{codes}_0000.nii.gz"), nib.load(bench.root / "out" / f"{codes}.nii.gz")
        assert nib.aff2axcodes(mask.affine) == tuple(codes)
        assert mask.shape == scan.shape
        np.testing.assert_array_equal(mask.affine, scan.affine)
        masks.append(np.asanyarray(turned(mask, "RAS").dataobj))
    assert len(np.unique(masks[0])) > 1
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


def test_20_mixed_orientations_in_training(bench):
    assert bench.plan("--plan_only", "--quiet")[0] == 0
    before = bench.plans()
    for path in (bench.source, bench.labels):
        turned(nib.load(path), "SRA").to_filename(path)
    assert bench.plan("--plan_only", "--quiet")[0] == 0
    assert bench.plans() == before


def test_21_mixed_spacings(bench):
    thin, thick = np.diag([1.0, 1.0, 1.0, 1.0]), np.diag([1.0, 1.0, 10.0, 1.0])
    for path in bench.raw.rglob("*.nii.gz"):
        save(path, load(path)[0], thick if path.name.startswith(("s2", "t2")) else thin)
    code, _, err = bench.plan("--quiet")
    assert code == 0
    # Of a cube of 4 mm, and of nothing else.
    assert all(line.startswith("warning: cube keeps ") for line in err.splitlines()), err
    assert 1.0 < bench.plans()["preprocessing"]["spacing"][0] < 10.0
    for name, affine in (("thin", thin), ("thick", thick)):
        path = bench.scan.with_name(f"{name}_0000.nii.gz")
        save(path, load(bench.scan)[0], affine)
        assert bench.predict("--quiet", source=path, output=name)[0] == 0
        mask, found = load(bench.root / name / f"{name}.nii.gz")
        assert mask.shape == (16, 14, 8)
        np.testing.assert_array_equal(found, affine)


@pytest.mark.parametrize("value", [0, -1000])
def test_22_constant_volume(bench, value):
    bench.refused_scan(
        lambda path: repaint(path, lambda array: np.full_like(array, value)),
        "the scan is constant",
        f"all voxels are {value}",
        "export it again",
    )


def test_22_labels_in_the_place_of_a_scan(bench):
    labels = load(bench.labels)[0].astype(np.float32)
    repaint(bench.target, lambda _: labels)
    bench.refused(bench.plan, "nothing but values of labels", bench.target.name, "put the scan in its place")


def without_rod(labels):
    return np.where(labels == 2, 0, labels).astype(np.uint8)


def test_23_class_in_no_case(bench):
    for path in (bench.raw / "labelsTr").iterdir():
        repaint(path, without_rod)
    bench.refused(bench.plan, "no case shows the class rod", "labelsTr", "label 2", "take the class out")


def test_23_class_in_no_case_of_a_fold(bench):
    repaint(bench.labels, without_rod)
    code, out, _ = bench.plan()
    assert code == 0
    folds = json.loads((bench.preprocessed() / "splits.json").read_text())
    fold = next(number for number, parts in enumerate(folds) if parts["train"] == ["s1"])
    assert f"note: fold {fold} trains on no case with rod" in out
    assert f"note: fold {1 - fold} validates on no case with rod" in out
    # Training says it too, of its own fold, before anything else.
    (bench.root / "results" / NAME).mkdir(parents=True)
    with only_one(bench.root / "results" / NAME / f".fold_{fold}.lock", "trains"):
        code, _, err = bench.train("--quiet", fold=str(fold))
    assert code == 2
    assert f"fold {fold} trains on no case with rod" in err
    assert "validates on no case" not in err


def test_24_labels_of_background_only(bench):
    repaint(bench.labels, np.zeros_like)
    code, out, _ = bench.plan("--verify")
    assert code == 0
    assert "note: s1: its labels show background only" in out


def test_25_duplicate_ids(bench):
    twin = bench.source.with_name("s1_0000.nii")
    twin.write_bytes(content_of(bench.source))
    bench.refused(bench.plan, "case s1 is there twice", "s1_0000.nii and s1_0000.nii.gz", "remove or rename")
    twin.unlink()
    twin = bench.source.with_name("S1_0000.nii.gz")
    shutil.copy(bench.source, twin)
    bench.refused(bench.plan, "is there twice", "S1_0000.nii.gz and s1_0000.nii.gz", "remove or rename")


@pytest.mark.parametrize("how", ["copied", "packed again", "stored otherwise"])
def test_25_identical_contents(bench, how):
    other = bench.raw / "imagesTr_target" / "t9_0000.nii.gz"
    shutil.copy(bench.target, other)
    if how == "packed again":
        put(other, content_of(other))
        assert other.read_bytes() != bench.target.read_bytes()
    elif how == "stored otherwise":
        repaint(other, lambda array: array.astype(np.float32))
    bench.refused(bench.plan, "two cases are the same scan", "target t1 and target t9", "take one of them away")


def test_26_missing_channel_or_label(bench):
    bench.source.rename(bench.source.with_name("s1_0001.nii.gz"))
    bench.refused(bench.plan, "a further channel", "channel 0001", "s1_0001.nii.gz", "as CASE_0000")
    bench.source.with_name("s1_0001.nii.gz").rename(bench.source)
    bench.labels.unlink()
    bench.refused(bench.plan, "source case s1 has no labels", bench.source, bench.labels, "add its labels")


def test_26_hidden_files_are_ignored(bench):
    for folder in (*(bench.raw / n for n in ("imagesTr", "labelsTr", "imagesTr_target")), bench.scan.parent):
        for name in (".DS_Store", "._s1_0000.nii.gz", "._s1.nii.gz", "Thumbs.db"):
            (folder / name).write_bytes(b"\0\5\26\7")
    assert bench.plan("--verify", "--quiet")[0] == 0
    assert bench.predict("--quiet", source=bench.scan.parent)[0] == 0
    assert sorted(p.name for p in (bench.root / "out").iterdir()) == ["prediction.json", "x.nii.gz"]


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def test_27_empty_folder(bench):
    for folder in ("imagesTr", "imagesTr_target", "labelsTr"):
        shutil.copytree(bench.raw / folder, bench.root / "kept")
        empty(bench.raw / folder)
        bench.refused(bench.plan, "no labels" if folder == "labelsTr" else "no scan", bench.raw / folder, "CASE")
        shutil.rmtree(bench.raw / folder)
        (bench.root / "kept").rename(bench.raw / folder)
    empty(bench.scan.parent)
    bench.refused(lambda *flags: bench.predict(*flags, source=bench.scan.parent), "no scan", bench.scan.parent)
    for folders in ((bench.scan.parent, bench.raw / "labelsTr"), (bench.raw / "labelsTr", bench.scan.parent)):
        bench.refused(
            lambda *flags, f=folders: bench.evaluate(*flags, predictions=f[0], references=f[1]), bench.scan.parent
        )


def test_27_wrong_ending(bench):
    other = bench.target.with_name("t1_0000.mha")
    bench.target.rename(other)
    bench.refused(bench.plan, "another ending", other, "CASE_0000.nii.gz", "convert it to NIfTI or rename it")
    scan = bench.scan.with_name("x_0000.mha")
    bench.scan.rename(scan)
    bench.refused(lambda *flags: bench.predict(*flags, source=scan.parent), "another ending", scan)
    bench.refused(lambda *flags: bench.predict(*flags, source=scan), "not a scan that can be read", scan)


def test_27_no_channel_number(bench):
    other = bench.source.with_name("s1.nii.gz")
    bench.source.rename(other)
    bench.refused(bench.plan, "no channel number", other, "rename it to s1_0000.nii.gz")
    scan = bench.scan.with_name("x.nii.gz")
    bench.scan.rename(scan)
    bench.refused(lambda *flags: bench.predict(*flags, source=scan.parent), "no channel number", scan)


def test_28_target_folder_is_the_source_folder(bench):
    targets = bench.raw / "imagesTr_target"
    shutil.rmtree(targets)
    targets.symlink_to(bench.raw / "imagesTr")
    bench.refused(bench.plan, "scans are in both domains", targets, "s1_0000.nii.gz, s2_0000.nii.gz", "imagesTr_target")
    targets.unlink()
    shutil.copytree(bench.raw / "imagesTr", targets)
    bench.refused(bench.plan, "2 faults", "two cases are the same scan", "source s1 and target s1")


def test_28_one_target_case(bench):
    (bench.raw / "imagesTr_target" / "t2_0000.nii.gz").unlink()
    code, out, _ = bench.plan("--verify")
    assert code == 0
    assert "note: only 1 target scan: few styles can be learnt from them" in out


def test_28_fewer_styles_than_clusters(bench):
    for path in (bench.raw / "imagesTr_target").iterdir():
        repaint(path, lambda array: array[:, :, 3:4])
    bench.shrink(number_of_styles=5)
    code, _, err = bench.train("--quiet")
    assert code == 2
    for word in ("fewer target slices than style clusters", "2 slices", "at least 5", "lower synthesis.number_of_st"):
        assert word in err
    # It is noticed before anything is trained.
    assert not list(bench.root.rglob("results/**/checkpoint*"))


OPENED: list[str] = []


def _note_opening(event, arguments):
    if event == "open" and OPENED and isinstance(arguments[0], str):
        OPENED.append(arguments[0])


def test_29_labels_beside_target_images_are_never_read(bench):
    for folder in ("labelsTr_target", "labelsTs", "imagesTr_target/labels"):
        (bench.raw / folder).mkdir()
        for case in ("t1", "t2"):
            shutil.copy(bench.labels, bench.raw / folder / f"{case}.nii.gz")
    sys.addaudithook(_note_opening)
    OPENED.append("begin")
    try:
        bench.shrink()
        assert bench.train("--quiet")[0] == 0
        opened = set(OPENED)
    finally:
        OPENED.clear()
    assert str(bench.labels) in opened
    assert str(bench.target) in opened
    assert [path for path in opened if "labelsT" in path and "labelsTr/" not in path] == []
    assert [path for path in opened if "imagesTr_target/labels" in path] == []
    # A label file among the scans themselves is not taken for one: it is refused by its name.
    stray = bench.target.with_name("t1.nii.gz")
    shutil.copy(bench.labels, stray)
    bench.refused(bench.plan, "no channel number", stray, "if it is a label file, move it")


@pytest.mark.parametrize("repacked", [False, True])
def test_30_a_scan_in_training_and_test(bench, repacked):
    folder = bench.raw / "imagesTs"
    folder.mkdir()
    shutil.copy(bench.target, folder / "unseen_0000.nii.gz")
    if repacked:
        put(folder / "unseen_0000.nii.gz", content_of(bench.target))
    other = folder / "other_0000.nii.gz"
    shutil.copy(bench.target, other)
    repaint(other, lambda array: array + 1)
    code, out, _ = bench.plan("--verify")
    assert code == 0
    assert "note: the test scan unseen_0000.nii.gz is the training case t1 (target) too" in out
    assert "other_0000" not in out


def test_30_a_patient_in_training_and_test(bench):
    folder = bench.raw / "imagesTs"
    folder.mkdir()
    path = folder / "s1_0000.nii.gz"
    shutil.copy(bench.target, path)
    repaint(path, lambda array: array + 1)
    code, out, _ = bench.plan("--verify")
    assert code == 0
    assert "note: cases of one name in imagesTr and imagesTs (1): s1; if these are the same patients" in out


def test_30_test_scans_that_cannot_be_used_are_said(bench):
    folder = bench.raw / "imagesTs"
    folder.mkdir()
    (folder / "broken_0000.nii.gz").write_bytes(bench.target.read_bytes()[:-9])
    (folder / "unnamed.nii.gz").write_bytes(bench.target.read_bytes())
    code, out, _ = bench.plan("--verify")
    assert code == 0
    assert "note: the test scan broken_0000.nii.gz cannot be used: the file is truncated or damaged" in out
    assert f"note: imagesTs: a scan's name has no channel number ({folder / 'unnamed.nii.gz'})" in out


GOOD = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "cube": 1, "rod": 2},
    "file_ending": ".nii.gz",
}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n"channel_names": {"0": "CT"},\n"labels": {"background": 0 "cube": 1}\n}', ("line 3", "mend this line")),
        (
            '{"labels": {\n"background": 0,\n"cube": 1,\n"cube": 2}}',
            ("line 4", 'the key "cube" is there twice', "remove this line"),
        ),
        ("[" * 100_000, ("not JSON that can be used", "mend the file")),
        (json.dumps({**GOOD, "labels": {"0": "background", "1": "cube"}}), ("old nnU-Net", 'key "labels"')),
        (json.dumps({**GOOD, "modality": {"0": "CT"}}, indent=1), ("old nnU-Net", "line 11", "channel_names")),
        (json.dumps({**GOOD, "labels": {"background": 0, "cube": 3}}, indent=1), ("line 5", "gaps", "without gaps")),
        (json.dumps({k: v for k, v in GOOD.items() if k != "labels"}), ('"labels" is missing', 'add "labels"')),
    ],
    ids=["comma", "twice", "nested", "old labels", "old modality", "gap", "no labels"],
)
def test_31_dataset_json(bench, text, words):
    (bench.raw / "dataset.json").write_text(text)
    bench.refused(bench.plan, "dataset.json", *words)


def test_31_all_faults_of_dataset_json_at_once(bench):
    (bench.raw / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "CT", "1": "PET"}, "labels": {"cube": 1}, "file_ending": ".png"})
    )
    bench.refused(bench.plan, "3 faults", "several channels", "the values of the labels", "not read")
