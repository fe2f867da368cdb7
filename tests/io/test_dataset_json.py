from __future__ import annotations

import json

import pytest

from darnet.errors import DarnetError, DataError
from darnet.io import list_cases, list_labels, read_dataset_json

GOOD = {
    "name": "Abdomen",
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "spleen": 2, "liver": 1},
    "domains": {"source": "CT", "target": "MR"},
    "numTraining": 3,
    "file_ending": ".nii.gz",
    "something": "else",
}


def write(folder, values):
    path = folder / "dataset.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values, indent=1))
    return path


def test_a_good_one(tmp_path):
    info = read_dataset_json(write(tmp_path, GOOD))
    assert (info.name, info.source_modality, info.target_modality) == ("Abdomen", "CT", "MR")
    assert list(info.labels.items()) == [("background", 0), ("liver", 1), ("spleen", 2)]
    assert info.doubts == ()


def test_a_data_set_of_nnunet_as_it_stands(tmp_path):
    info = read_dataset_json(write(tmp_path, {k: v for k, v in GOOD.items() if k not in ("domains", "name")}))
    assert (info.source_modality, info.target_modality) == ("CT", "unknown")
    assert info.name == tmp_path.name
    (doubt,) = info.doubts
    for words in (str(tmp_path), 'source scans are taken for "CT"', 'target scans are taken for "unknown"', "write"):
        assert words in doubt


@pytest.mark.parametrize(("said", "missing"), [("source", "target"), ("target", "source")])
def test_a_kind_of_scan_that_is_not_said(tmp_path, said, missing):
    (doubt,) = read_dataset_json(write(tmp_path, {**GOOD, "domains": {said: "MR"}})).doubts
    assert f"the {missing} scans are taken for" in doubt
    assert f"the {said} scans" not in doubt


def test_the_content_that_is_suggested_leaves_no_doubt(tmp_path):
    with pytest.raises(DataError) as caught:
        read_dataset_json(tmp_path / "other" / "dataset.json")
    suggested = caught.value.remedy.removeprefix("write one: ")
    assert read_dataset_json(write(tmp_path, suggested)).doubts == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"0": "background", "1": "liver"}}, "old nnU-Net"),
        ({"modality": {"0": "CT"}}, "old nnU-Net"),
        ({"labels": {"background": 0}}, "background must be 0"),
        ({"labels": {"liver": 0, "spleen": 1}}, "background must be 0"),
        ({"labels": {"background": 0, "liver": 2}}, "gaps"),
        ({"labels": {"background": 0, "liver": "1"}}, "gaps"),
        ({"labels": {"background": 0, "both": [1, 2]}}, "regions"),
        ({"labels": {"background": 0, "liver": 1, "ignore": 2}}, "ignore"),
        ({"labels": []}, "wrong value"),
        ({"channel_names": {"0": "CT", "1": "PET"}}, "several channels"),
        ({"channel_names": {"1": "CT"}}, "wrong number"),
        ({"domains": {"sauce": "CT"}}, "domains"),
        ({"domains": {"source": 3}}, "domains"),
        ({"file_ending": ".png"}, "not read"),
    ],
)
def test_what_is_refused(tmp_path, change, message):
    with pytest.raises(DataError, match=message) as caught:
        read_dataset_json(write(tmp_path, {**GOOD, **change}))
    assert "dataset.json" in str(caught.value)
    assert caught.value.expected or caught.value.remedy


@pytest.mark.parametrize("key", ["labels", "channel_names"])
def test_missing_keys(tmp_path, key):
    with pytest.raises(DataError, match=f'"{key}" is missing'):
        read_dataset_json(write(tmp_path, {k: v for k, v in GOOD.items() if k != key}))


def test_what_is_no_dataset_json(tmp_path):
    with pytest.raises(DataError, match="line 3"):
        read_dataset_json(write(tmp_path, '{\n "a": 1,\n "b" 2\n}'))
    with pytest.raises(DataError, match="no object"):
        read_dataset_json(write(tmp_path, "[1]"))
    with pytest.raises(DataError, match="no such file"):
        read_dataset_json(tmp_path / "other" / "dataset.json")


def fill(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_cases_are_found(tmp_path):
    fill(tmp_path, "b_0000.nii.gz", "a b_0000.nii.gz", ".hidden_0000.nii.gz", "._b_0000.nii.gz", "notes.txt")
    assert list(list_cases(tmp_path)) == ["a b", "b"]
    assert list(list_labels(tmp_path)) == ["a b_0000", "b_0000"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.nii.gz"], "no channel number"),
        (["a_0000.nii.gz", "a_0001.nii.gz"], "further channel"),
        (["a_0000.nii.gz", "a_0000.nii"], "there twice"),
        (["a_0000.nii.gz", "A_0000.nii.gz"], "there twice"),
        (["a_0000.nrrd"], "another ending(.|\n)*convert it to NIfTI or rename it"),
        (["a_0000.nii"], "another ending(.|\n)*compress it"),
        ([], "no scan"),
        (["readme.txt"], "no scan"),
    ],
)
def test_faults_of_names(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        list_cases(fill(tmp_path, *names))


def test_a_file_beside_its_scan_is_not_renamed(tmp_path):
    with pytest.raises(DataError) as caught:
        list_cases(fill(tmp_path, "a.nii.gz", "a_0000.nii.gz"))
    assert "rename" not in str(caught.value)
    assert caught.value.found == "a_0000.nii.gz is there already"
    assert "labelsTr" in caught.value.remedy


def test_all_faults_at_once(tmp_path):
    with pytest.raises(DarnetError) as caught:
        list_cases(fill(tmp_path, "a.nii.gz", "b_0001.nii.gz"))
    assert "a_0000.nii.gz" in str(caught.value)
    assert "0001" in str(caught.value)


def test_folders_and_links(tmp_path):
    with pytest.raises(DataError, match="folder is missing"):
        list_labels(tmp_path / "none")
    with pytest.raises(DataError, match="no labels"):
        list_labels(tmp_path)
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    with pytest.raises(DataError, match="nowhere"):
        list_labels(tmp_path)
