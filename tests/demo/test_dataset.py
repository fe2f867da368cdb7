from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from darnet.demo.anatomy import LABELS
from darnet.demo.dataset import Protocol, stored_affine, to_stored, write_demo_dataset
from darnet.io import list_cases, list_labels, read_dataset_json, read_scan

SOURCE = Protocol("CT", (10, 30, 28), (20.0, 9.6, 10.0), "LPS")
TARGET = Protocol("MR", (8, 26, 32), (26.0, 11.0, 9.0), "ARI")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "Dataset900_Phantoms"
    write_demo_dataset(folder, 7, source_cases=3, target_cases=2, test_cases=1, source=SOURCE, target=TARGET)
    return folder


def test_is_a_complete_data_set(raw: Path):
    info = read_dataset_json(raw / "dataset.json")
    assert info.labels == LABELS
    assert (info.source_modality, info.target_modality) == ("CT", "MR")
    assert list(list_cases(raw / "imagesTr", ".nii.gz")) == ["ct_01", "ct_02", "ct_03"]
    assert list(list_labels(raw / "labelsTr", ".nii.gz")) == ["ct_01", "ct_02", "ct_03"]
    assert list(list_cases(raw / "imagesTr_target", ".nii.gz")) == ["mr_01", "mr_02"]
    assert list(list_cases(raw / "imagesTs", ".nii.gz")) == ["mr_test_01"]
    assert list(list_labels(raw / "labelsTs", ".nii.gz")) == ["mr_test_01"]
    assert json.loads((raw / "dataset.json").read_text())["numTraining"] == 3


def test_labels_of_target_lie_apart(raw: Path):
    assert not (raw / "labelsTr_target").exists()
    supervised = raw / "supervised"
    assert read_dataset_json(supervised / "dataset.json").source_modality == "MR"
    for case, path in list_cases(raw / "imagesTr_target", ".nii.gz").items():
        image, twin = read_scan(path), read_scan(list_cases(supervised / "imagesTr", ".nii.gz")[case])
        labels = read_scan(list_labels(supervised / "labelsTr", ".nii.gz")[case], labels=True)
        np.testing.assert_array_equal(image.array, twin.array)
        assert labels.array.shape == image.array.shape
        np.testing.assert_allclose(labels.affine, image.affine)


@pytest.mark.parametrize(("folder", "protocol"), [("labelsTr", SOURCE), ("labelsTs", TARGET)])
def test_files_tell_where_left_and_head_are(raw: Path, folder: str, protocol: Protocol):
    for path in list_labels(raw / folder, ".nii.gz").values():
        scan = read_scan(path, labels=True)
        assert "".join(nibabel.aff2axcodes(scan.affine)) == protocol.codes
        middle = {}
        for name, value in LABELS.items():
            voxels = np.argwhere(scan.array == value).mean(axis=0)
            middle[name] = scan.affine[:3, :3] @ voxels + scan.affine[:3, 3]
        assert middle["liver"][0] > middle["spleen"][0]
        assert middle["right_kidney"][0] > middle["left_kidney"][0]
        assert middle["liver"][2] > middle["right_kidney"][2]


def test_same_seed_same_voxels_whatever_the_number_of_cases(raw: Path, tmp_path: Path):
    write_demo_dataset(tmp_path, 7, source_cases=1, target_cases=1, test_cases=0, source=SOURCE, target=TARGET)
    for name in ("imagesTr/ct_01_0000.nii.gz", "imagesTr_target/mr_01_0000.nii.gz"):
        np.testing.assert_array_equal(read_scan(tmp_path / name).array, read_scan(raw / name).array)


def test_cases_differ(raw: Path):
    arrays = [read_scan(p).array for p in list_cases(raw / "imagesTr", ".nii.gz").values()]
    assert not np.array_equal(arrays[0], arrays[1])


@pytest.mark.parametrize("codes", ["LPS", "ARI", "SLA", "RAS", "PIR"])
def test_stored_voxel_and_affine_name_the_same_point(codes: str):
    protocol = Protocol("CT", (3, 4, 5), (5.0, 2.0, 1.5), codes)
    phantom = np.arange(60).reshape(protocol.shape)
    stored, affine = to_stored(phantom, codes), stored_affine(protocol, np.array([10.0, -20.0, 30.0]))
    assert "".join(nibabel.aff2axcodes(affine)) == codes
    for d, h, w in [(0, 0, 0), (2, 3, 4), (1, 2, 0)]:
        voxel = np.argwhere(stored == phantom[d, h, w])[0]
        # Right is against W, anterior against H, superior along D.
        expected = np.array([10 - (w - 2) * 1.5, -20 - (h - 1.5) * 2, 30 + (d - 1) * 5])
        np.testing.assert_allclose(affine[:3, :3] @ voxel + affine[:3, 3], expected)
