from __future__ import annotations

import os
import shutil

import pytest

from darnet.errors import DataError
from darnet.layout import DatasetLayout
from darnet.planning import verify_dataset

NAME = "Dataset007_Small"


@pytest.fixture
def layout(tmp_path, write_raw_dataset):
    write_raw_dataset(tmp_path, source=("b", "a"), target=("t2", "t1", "t3"))
    return DatasetLayout(tmp_path, NAME)


def refusal(layout):
    with pytest.raises(DataError) as caught:
        verify_dataset(layout)
    return str(caught.value)


def test_pairs(layout):
    dataset = verify_dataset(layout)
    assert [files.case_id for files in dataset.source] == ["a", "b"]
    assert [files.case_id for files in dataset.target] == ["t1", "t2", "t3"]
    assert [files.domain for files in dataset.cases] == ["source"] * 2 + ["target"] * 3
    assert dataset.source[0].image == layout.images("source") / "a_0000.nii.gz"
    assert dataset.source[0].labels == layout.labels / "a.nii.gz"
    assert dataset.info.source_modality == "CT"
    assert dataset.notes == ()


def test_labels_of_target_scans_are_never_looked_for(layout):
    for folder in ("labelsTr_target", "labelsTs"):
        (layout.raw / folder).mkdir()
        (layout.raw / folder / "t1.nii.gz").write_bytes(b"must not be opened")
    assert all(files.labels is None for files in verify_dataset(layout).target)


def test_hidden_files_are_ignored(layout):
    for folder in (layout.images("source"), layout.labels, layout.images("target")):
        for name in (".DS_Store", "._a_0000.nii.gz", "notes.txt"):
            (folder / name).write_bytes(b"\0")
    assert len(verify_dataset(layout).cases) == 5


def test_few_target_scans_are_noted(layout):
    (layout.images("target") / "t3_0000.nii.gz").unlink()
    assert any("only 2 target scans" in note for note in verify_dataset(layout).notes)


def test_patients_in_both_domains_are_noted(layout):
    test = layout.raw / "imagesTs"
    test.mkdir()
    shutil.copy(layout.images("target") / "t3_0000.nii.gz", test / "b_0000.nii.gz")
    (tested,) = verify_dataset(layout).notes
    assert tested.startswith("cases of one name in imagesTr and imagesTs (1): b; if these are the same patients")
    assert "take these cases out of imagesTr and labelsTr" in tested
    shutil.move(layout.images("target") / "t1_0000.nii.gz", layout.images("target") / "a_0000.nii.gz")
    also, paired = verify_dataset(layout).notes
    assert also == tested
    assert paired.startswith("cases of one name in imagesTr and imagesTr_target (1): a; if")


def test_faults_of_all_folders_are_listed_together(layout):
    (layout.images("source") / "a_0000.nii.gz").rename(layout.images("source") / "a.nii.gz")
    shutil.rmtree(layout.images("target"))
    message = refusal(layout)
    assert "2 faults" in message
    assert "a.nii.gz" in message
    assert "imagesTr_target" in message


def test_every_unpaired_case_is_listed(layout):
    (layout.images("source") / "a_0000.nii.gz").unlink()
    (layout.labels / "b.nii.gz").unlink()
    message = refusal(layout)
    assert "labels of a have no scan" in message
    assert "source case b has no labels" in message
    assert "too few labelled scans" not in message.split("- ")[0]


def test_labels_with_the_names_of_their_scans_are_one_fault(layout):
    for case in ("a", "b"):
        (layout.labels / f"{case}.nii.gz").rename(layout.labels / f"{case}_0000.nii.gz")
    with pytest.raises(DataError) as caught:
        verify_dataset(layout)
    (fault,) = caught.value.faults
    assert "names of their scans" in fault.what
    assert fault.found == "a_0000.nii.gz, b_0000.nii.gz"
    assert "take _0000 off" in fault.remedy
    # A case whose name ends so is none of them.
    for case in ("a", "b"):
        scan = layout.images("source") / f"{case}_0000.nii.gz"
        scan.rename(layout.images("source") / f"{case}_0000_0000.nii.gz")
    assert [files.case_id for files in verify_dataset(layout).source] == ["a_0000", "b_0000"]


def test_labels_among_the_scans(layout):
    (layout.labels / "a.nii.gz").rename(layout.images("source") / "a.nii.gz")
    message = refusal(layout)
    assert "a_0000.nii.gz is there already" in message
    assert "rename" not in message


def test_one_labelled_scan_is_too_few(layout):
    (layout.images("source") / "a_0000.nii.gz").unlink()
    (layout.labels / "a.nii.gz").unlink()
    message = refusal(layout)
    assert "too few labelled scans" in message
    assert "at least 2" in message


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_target_folder_that_is_the_source_folder(layout):
    shutil.rmtree(layout.images("target"))
    layout.images("target").symlink_to(layout.images("source"))
    assert "scans are in both domains" in refusal(layout)


def test_missing_description(layout):
    layout.dataset_json.unlink()
    assert "dataset.json" in refusal(layout)
