from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from darnet.convert import find_mmwhs
from darnet.errors import ConfigurationError, DataError
from darnet.layout import DatasetLayout
from darnet.pipeline import verify

VALUES = (205, 420, 500, 550, 600, 820, 850)
FOUR = {"myocardium": 205, "left_atrium": 420, "left_ventricle": 500, "ascending_aorta": 820}
TEST_CASES = ("--test_cases", "*_train_1002")


@pytest.fixture
def hearts(tmp_path, save):
    """The downloads as they unpack; returns their folder and the labels of each case."""
    folder = tmp_path / "MM-WHS"
    labels = {}
    for m, modality in enumerate(("ct", "mr")):
        for number in (1001, 1002, 1010):
            case = f"{modality}_train_{number}"
            values = VALUES if number != 1010 else [421 if value == 420 else value for value in VALUES]
            save(folder / f"{modality}_train" / f"{case}_image.nii.gz", (m, number))
            labels[case] = save(folder / f"{modality}_train" / f"{case}_label.nii.gz", (m, number), values)
        save(folder / f"{modality}_test" / f"{modality}_test_2001_image.nii.gz", (m, 2001))
    return folder, labels


def as_source(modality, *flags):
    return "--modality", modality, "--as", "source", *flags


def as_target(modality, *flags):
    return "--modality", modality, "--as", "target", *flags


def renumbered(labels, classes):
    """Each value of the download as the number of its class; 421 is the left atrium too."""
    table = np.zeros(1000, int)
    for number, value in enumerate(classes, 1):
        table[value] = number
    table[421] = table[420]
    return table[labels]


@pytest.mark.parametrize(("source", "target"), [("CT", "MR"), ("MR", "CT")])
def test_both_ways(hearts, convert, root, load, description, capsys, source, target):
    folder, labels = hearts
    assert convert("mmwhs", folder, *as_source(source, "--classes", *FOUR)) == 0
    said = capsys.readouterr().out
    assert f"3 labelled source scans, {source}\nnote: 1 scans of the source are left behind" in said
    dropped = ", ".join(f"{name} in 3 label files" for name in ("right_atrium", "right_ventricle", "pulmonary_artery"))
    assert f"background now: {dropped}\n" in said
    assert convert("mmwhs", folder, *as_target(target, *TEST_CASES), dataset="101") == 0
    said = capsys.readouterr().out
    assert f"3 target scans without labels, {target}\n1 target scans for testing, 1 with labels" in said

    raw, (s, t) = root / "raw" / "Dataset101_New", (source.lower(), target.lower())
    assert description()["labels"] == {"background": 0} | {name: n for n, name in enumerate(FOUR, 1)}
    assert description()["domains"] == {"source": source, "target": target}
    trained = [f"{s}_train_{number}" for number in (1001, 1002, 1010)]
    for below, case in (*(("labelsTr", case) for case in trained), ("labelsTs", f"{t}_train_1002")):
        made = load(raw / below / f"{case}.nii.gz")
        np.testing.assert_array_equal(made, renumbered(labels[case], FOUR.values()))
    # The labels of target scans to train with are nowhere.
    unlabelled = [f"{t}_test_2001", f"{t}_train_1001", f"{t}_train_1010"]
    assert sorted(p.relative_to(raw).as_posix() for p in raw.rglob("*.nii.gz")) == [
        *(f"imagesTr/{case}_0000.nii.gz" for case in trained),
        *(f"imagesTr_target/{case}_0000.nii.gz" for case in unlabelled),
        f"imagesTs/{t}_train_1002_0000.nii.gz",
        *(f"labelsTr/{case}.nii.gz" for case in trained),
        f"labelsTs/{t}_train_1002.nii.gz",
    ]
    came_from = [line["from"] for line in json.loads((raw / "conversion.json").read_text("utf-8"))]
    assert [name for name in came_from if f"{t}_train" in name and name.endswith("_label.nii.gz")] == [
        str(folder / f"{t}_train" / f"{t}_train_1002_label.nii.gz")
    ]
    dataset, _ = verify(DatasetLayout(root, "Dataset101_New"))
    assert (len(dataset.source), len(dataset.target)) == (3, 3)


def test_all_classes_are_numbered_by_value(hearts, convert, root, load, description):
    folder, labels = hearts
    assert convert("mmwhs", folder, *as_source("CT")) == 0
    names = ["background", "myocardium", "left_atrium", "left_ventricle", "right_atrium", "right_ventricle"]
    assert list(description()["labels"]) == [*names, "ascending_aorta", "pulmonary_artery"]
    made = load(root / "raw" / "Dataset101_New" / "labelsTr" / "ct_train_1010.nii.gz")
    np.testing.assert_array_equal(made, renumbered(labels["ct_train_1010"], VALUES))


def test_a_class_of_two_values_that_is_left_out_is_one_class(hearts, convert, save, capsys):
    folder, _ = hearts
    save(folder / "ct_train" / "ct_train_1001_label.nii.gz", 1, (205, 420, 421))
    assert convert("mmwhs", folder, *as_source("CT", "--classes", "myocardium")) == 0
    assert "left_atrium in 3 label files" in capsys.readouterr().out


def test_files_by_their_names_alone(tmp_path, hearts, convert, root, load):
    """In one folder, in capitals, as .nii, or each in a folder of its own name."""
    folder, labels = hearts
    for number, path in enumerate(sorted(folder.rglob("*_train_*.nii.gz"))):
        name = path.name.removesuffix(".gz")
        to = tmp_path / "Hearts" / (name if number % 3 else f"{name}/{name}")
        to.parent.mkdir(parents=True, exist_ok=True)
        nib.load(path).to_filename(to.with_name(to.name.replace("ct_train", "CT_Train")))
    assert convert("mmwhs", tmp_path / "Hearts", *as_source("CT")) == 0
    assert convert("mmwhs", tmp_path / "Hearts", *as_target("MR", *TEST_CASES), dataset="101") == 0
    raw = root / "raw" / "Dataset101_New"
    made = load(raw / "labelsTr" / "ct_train_1001.nii")
    np.testing.assert_array_equal(made, renumbered(labels["ct_train_1001"], VALUES))
    assert len(list((raw / "imagesTr_target").iterdir())) == 2


def test_an_unknown_value(hearts, convert, save, root, capsys):
    folder, _ = hearts
    save(folder / "ct_train" / "ct_train_1002_label.nii.gz", 2, (205, 422))
    assert convert("mmwhs", folder, *as_source("CT")) == 3
    said = capsys.readouterr().err
    assert "values that stand for no class" in said and "ct_train_1002_label.nii.gz" in said
    assert "422 (" in said and "0, 205, 420, 421, 500, 550, 600, 820, 850" in said
    assert list((root / "raw").iterdir()) == []


def test_a_missing_label_is_a_fault_of_the_source_alone(hearts, convert, root, capsys):
    folder, _ = hearts
    for modality in ("ct", "mr"):
        (folder / f"{modality}_train" / f"{modality}_train_1002_label.nii.gz").unlink()
    assert convert("mmwhs", folder, *as_source("CT")) == 3
    assert "only one of the two for ct_train_1002\n" in capsys.readouterr().err
    (folder / "ct_train" / "ct_train_1002_image.nii.gz").unlink()
    assert convert("mmwhs", folder, *as_source("CT")) == 0
    assert convert("mmwhs", folder, *as_target("MR", *TEST_CASES), dataset="101") == 0
    assert "1 target scans for testing, 0 with labels" in capsys.readouterr().out


@pytest.mark.parametrize("labelled", [True, False])
def test_labels_without_a_scan(hearts, labelled):
    folder, _ = hearts
    (folder / "ct_train" / "ct_train_1002_image.nii.gz").unlink()
    with pytest.raises(DataError, match="only one of the two for ct_train_1002\n"):
        find_mmwhs(folder, "CT", labelled)


def test_what_is_left_out_is_named(hearts, convert, save, capsys):
    folder, _ = hearts
    stray = ("ct_train/ct_train_1001_label_old", "mr_train/heart")
    sealed = ("ct_test/ct_test_2001_label", "mr_test/mr_test_2001_label_encrypt_1mm")
    for name in (*stray, *sealed, "mr_test/.heart"):
        save(folder / f"{name}.nii.gz")
    (folder / "readme.txt").write_text("")
    assert convert("mmwhs", folder, *as_source("CT")) == 0
    said = capsys.readouterr().out
    for names, why in ((stray, "their names are not those of MM-WHS"), (sealed, "labels of test scans are published")):
        assert f"note: left out of {folder}: {', '.join(f'{name}.nii.gz' for name in names)} ({why}" in said


def test_a_file_that_is_there_twice(hearts, save):
    folder, _ = hearts
    save(folder / "again" / "ct_train_1001_label.nii", 5, (205,))
    with pytest.raises(DataError, match="is there twice"):
        find_mmwhs(folder, "CT")
    assert len(find_mmwhs(folder, "MR").cases) == 4


def test_a_folder_without_scans_of_the_modality(hearts):
    folder, _ = hearts
    for place, labelled in (("mr_train", True), ("mr_train", False), ("ct_test", True)):
        with pytest.raises(DataError, match="is no download of MM-WHS with (labelled )?scans of CT") as error:
            find_mmwhs(folder / place, "CT", labelled)
        assert str(folder / place) in str(error.value) and error.value.expected
    assert [case.case_id for case in find_mmwhs(folder / "ct_test", "CT", labelled=False).cases] == ["ct_test_2001"]
    with pytest.raises(ConfigurationError, match="there is no modality PET"):
        find_mmwhs(folder, "PET")
