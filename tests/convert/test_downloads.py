from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from darnet.convert import find_btcv, find_chaos, find_crossmoda
from darnet.errors import DataError
from darnet.layout import DatasetLayout
from darnet.pipeline import verify

ORGANS = ("liver", "right_kidney", "left_kidney", "spleen")
GREY = np.array([0, 63, 126, 189, 252], np.uint8)
AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


@pytest.fixture
def btcv(tmp_path, save):
    """RawData.zip as it unpacks; returns its folder and the labels of each number."""
    folder = tmp_path / "Abdomen" / "RawData"
    labels = {}
    for number in ("0001", "0002", "0035"):
        save(folder / "Training" / "img" / f"img{number}.nii.gz", int(number))
        path = folder / "Training" / "label" / f"label{number}.nii.gz"
        labels[number] = save(path, int(number), range(1, 14))
    save(folder / "Testing" / "img" / "img0061.nii.gz", 61)
    return folder, labels


@pytest.fixture
def write_chaos(tmp_path, write_dicom):
    """Train_Sets of CHAOS; returns its folder and the classes of each patient (column, row, slice)."""

    def write(patients=("1", "13", "2")):
        labels = {}
        for patient in patients:
            rng = np.random.default_rng(int(patient))
            labels[patient] = rng.integers(0, 5, (7, 6, 5))
            mr = tmp_path / "CHAOS Train" / "Train_Sets" / "MR" / patient
            series = [(mr / "T2SPIR" / "DICOM_anon", 2, mr / "T2SPIR" / "Ground")]
            series += [(mr / "T1DUAL" / "DICOM_anon" / "InPhase", 3, mr / "T1DUAL" / "Ground")]
            series += [(mr / "T1DUAL" / "DICOM_anon" / "OutPhase", 4, None)]
            for number, (folder, series_number, ground) in enumerate(series):
                folder.mkdir(parents=True)
                for k in range(5):
                    # Names run against positions, as they do in the download.
                    name = f"IMG-{series_number:04d}-{5 - k:05d}"
                    pixels = np.full((6, 7), 100 * k + number, np.int16)
                    pixels[0, 1] = 999
                    pixels[5, 6] = int(patient)
                    write_dicom(folder / f"{name}.dcm", pixels, (-50, -60, 7.5 * k), spacing=(1.5, 1.25),
                                series=f"1.2.{series_number}")  # fmt: skip
                    if ground:
                        ground.mkdir(exist_ok=True)
                        mask = GREY[labels[patient][:, :, k]].T
                        sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(mask)), str(ground / f"{name}.png"))
        return tmp_path / "CHAOS Train" / "Train_Sets", labels

    return write


FOLDERS = ("source_training", "target_training", "target_validation")


@pytest.fixture
def write_crossmoda(tmp_path, save):
    def write(prefix="crossmoda_", folders=FOLDERS, ends=("ceT1", "Label", "hrT2"), values=(1, 2)):
        folder = tmp_path / "crossMoDA"
        for number in (1, 2):
            save(folder / folders[0] / f"{prefix}{number}_{ends[0]}.nii.gz", (number, *prefix.encode()))
            save(folder / folders[0] / f"{prefix}{number}_{ends[1]}.nii.gz", number, values)
        for number, place in ((106, folders[1]), (107, folders[1]), (211, folders[2])):
            save(folder / place / f"{prefix}{number}_{ends[2]}.nii.gz", (number, *prefix.encode()))
        return folder

    return write


def test_btcv_and_chaos(btcv, write_chaos, convert, root, load, description, capsys):
    ct, of_ct = btcv
    mr, of_mr = write_chaos()
    assert convert("btcv", ct, "--as", "source", "--classes", *ORGANS) == 0
    described = root / "raw" / "Dataset101_New" / "dataset.json"
    values = json.loads(described.read_text("utf-8"))
    assert values.pop("file_ending") == ".nii.gz"  # which is what is meant where it is not said
    described.write_text(json.dumps(values), encoding="utf-8")
    assert convert("chaos", mr, "--as", "target", "--test_cases", "chaos_13", dataset="101") == 0
    said = capsys.readouterr().out
    assert "3 labelled source scans, CT\nnote: 1 scans of the source are left behind" in said
    assert "2 target scans without labels, MR T2-SPIR" in said
    assert "1 target scans for testing, 1 with labels" in said
    raw = root / "raw" / "Dataset101_New"
    assert sorted(p.name for p in (raw / "imagesTr_target").iterdir()) == [
        "chaos_01_0000.nii.gz", "chaos_02_0000.nii.gz"
    ]  # fmt: skip
    assert description()["labels"] == {"background": 0} | {name: n for n, name in enumerate(ORGANS, 1)}
    table = np.zeros(14, int)
    table[[6, 2, 3, 1]] = 1, 2, 3, 4
    np.testing.assert_array_equal(load(raw / "labelsTr" / "btcv_0035.nii.gz"), table[of_ct["0035"]])
    np.testing.assert_array_equal(load(raw / "labelsTs" / "chaos_13.nii.gz"), of_mr["13"])
    dataset, _ = verify(DatasetLayout(root, "Dataset101_New"))
    assert (len(dataset.source), len(dataset.target)) == (3, 2)


def test_geometry_of_chaos(write_chaos, convert, root):
    folder, labels = write_chaos()
    assert convert("chaos", folder, "--as", "source") == 0
    raw = root / "raw" / "Dataset101_New"
    image = sitk.ReadImage(str(raw / "imagesTr" / "chaos_02_0000.nii.gz"))
    masks = sitk.ReadImage(str(raw / "labelsTr" / "chaos_02.nii.gz"))
    for one in (image, masks):
        np.testing.assert_allclose(one.GetSpacing(), (1.25, 1.5, 7.5), atol=1e-5)
        # A second reader: where voxel (column 3, row 2, slice 4) lies in L, P, S.
        place = one.TransformIndexToPhysicalPoint((3, 2, 4))
        np.testing.assert_allclose(place, (-50 + 3 * 1.25, -60 + 2 * 1.5, 30), atol=1e-4)
    assert [image[3, 2, k] for k in range(5)] == [0, 100, 200, 300, 400]
    assert image[1, 0, 2] == 999
    np.testing.assert_array_equal(sitk.GetArrayFromImage(masks).transpose(2, 1, 0), labels["2"])


@pytest.mark.parametrize("phase", ["InPhase", "OutPhase"])
def test_both_phases_of_chaos_share_their_masks(write_chaos, convert, root, load, phase):
    folder, labels = write_chaos()
    assert convert("chaos", folder.parent, "--as", "source", "--sequence", f"T1DUAL_{phase}") == 0
    raw = root / "raw" / "Dataset101_New"
    np.testing.assert_array_equal(load(raw / "labelsTr" / "chaos_13.nii.gz"), labels["13"])
    assert load(raw / "imagesTr" / "chaos_13_0000.nii.gz")[3, 2, 4] == 400 + (1 if phase == "InPhase" else 2)


def spoil_value(folder):
    path = next((folder / "MR" / "1" / "T2SPIR" / "Ground").iterdir())
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    mask[:] = 70
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(path))


def drop_mask(folder):
    next((folder / "MR" / "1" / "T2SPIR" / "Ground").iterdir()).unlink()


def rename_mask(folder):
    path = next((folder / "MR" / "1" / "T2SPIR" / "Ground").iterdir())
    path.rename(path.with_stem("IMG-0009-00001"))


def crop_mask(folder):
    path = next((folder / "MR" / "1" / "T2SPIR" / "Ground").iterdir())
    sitk.WriteImage(sitk.ReadImage(str(path))[:, 1:], str(path))


def break_mask(folder):
    path = next((folder / "MR" / "1" / "T2SPIR" / "Ground").iterdir())
    path.write_bytes(path.read_bytes()[:20])


def drop_slice(folder):
    (folder / "MR" / "1" / "T2SPIR" / "DICOM_anon" / "IMG-0002-00003.dcm").unlink()
    (folder / "MR" / "1" / "T2SPIR" / "Ground" / "IMG-0002-00003.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_value, "70 (42 voxels)"),
        (drop_mask, "slices without a mask: IMG-0002-"),
        (rename_mask, "masks without a slice: IMG-0009-00001"),
        (crop_mask, "another size than its slice"),
        (break_mask, "a mask cannot be read"),
        (drop_slice, "not evenly spaced"),
    ],
)
def test_chaos_that_does_not_fit(write_chaos, convert, root, capsys, spoil, words):
    folder, _ = write_chaos()
    spoil(folder)
    assert convert("chaos", folder, "--as", "source") == 3
    said = capsys.readouterr().err
    assert words in said
    assert "Ground" in said or "DICOM_anon" in said
    assert list((root / "raw").iterdir()) == []


def test_phases_at_other_positions(write_chaos, convert, capsys, write_dicom):
    folder, _ = write_chaos(["1"])
    for k in range(5):
        path = folder / "MR" / "1" / "T1DUAL" / "DICOM_anon" / "OutPhase" / f"IMG-0004-{5 - k:05d}.dcm"
        write_dicom(path, np.zeros((6, 7), np.int16), (-50, -60, 7.5 * k + 7.5), spacing=(1.5, 1.25), series="1.2.4")
    assert convert("chaos", folder, "--as", "source", "--sequence", "T1DUAL_OutPhase") == 3
    assert "should lie at the same positions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prefix", "folders"),
    [
        ("crossmoda_", ("source_training", "target_training", "target_validation")),
        ("crossmoda2022_ldn_", ("training_source", "training_target", "crossmoda2022_validation")),
    ],
)
def test_crossmoda(write_crossmoda, convert, root, description, prefix, folders):
    assert convert("crossmoda", write_crossmoda(prefix, folders)) == 0
    raw = root / "raw" / "Dataset101_New"
    assert [p.name for p in sorted((raw / "labelsTr").iterdir())] == [f"{prefix}1.nii.gz", f"{prefix}2.nii.gz"]
    assert [p.name for p in sorted((raw / "imagesTs").iterdir())] == [f"{prefix}211_0000.nii.gz"]
    assert len(list((raw / "imagesTr_target").iterdir())) == 2
    assert all(p.is_symlink() for p in raw.rglob("*.nii.gz"))
    assert description()["labels"] == {"background": 0, "vestibular_schwannoma": 1, "cochlea": 2}
    assert description()["domains"] == {"source": "MR ceT1", "target": "MR hrT2"}
    verify(DatasetLayout(root, "Dataset101_New"))


OF_2023 = {"background": 0, "intra_meatal_tumour": 1, "extra_meatal_tumour": 2, "cochlea": 3}


@pytest.mark.parametrize(
    ("prefix", "folders", "ends", "values"),
    [
        ("crossmoda23_etz_", ("TrainingSource", "TrainingTarget", "Validation"), ("ContrastT1", "Label", "T2"), (1, 3)),
        ("crossmoda2023_ukm_", ("a/training_source", "b", "c/VALIDATION"), ("ceT1", "label", "hrT2"), (1, 2, 3)),
        ("crossmoda23_ldn_", FOLDERS, ("T1", "Labels", "HRT2"), (1, 2)),
        ("crossmoda_", FOLDERS, ("CET1", "Label", "t2"), (1, 2, 3)),
    ],
)
def test_crossmoda_2023(write_crossmoda, convert, root, description, prefix, folders, ends, values):
    assert convert("crossmoda", write_crossmoda(prefix, folders, ends, values)) == 0
    raw = root / "raw" / "Dataset101_New"
    assert [p.name for p in sorted((raw / "labelsTr").iterdir())] == [f"{prefix}1.nii.gz", f"{prefix}2.nii.gz"]
    assert [p.name for p in sorted((raw / "imagesTs").iterdir())] == [f"{prefix}211_0000.nii.gz"]
    assert len(list((raw / "imagesTr_target").iterdir())) == 2
    assert description()["labels"] == OF_2023
    assert description()["domains"] == {"source": "MR ceT1", "target": "MR hrT2"}


def test_crossmoda_2023_of_several_sites(write_crossmoda, convert, root):
    for site in ("etz", "ldn", "ukm"):
        folder = write_crossmoda(f"crossmoda23_{site}_", values=(1, 2, 3))
    assert convert("crossmoda", folder, "--classes", "cochlea") == 0
    dataset, _ = verify(DatasetLayout(root, "Dataset101_New"))
    assert (len(dataset.source), len(dataset.target)) == (6, 6)


def test_crossmoda_of_two_editions(write_crossmoda, convert, capsys):
    write_crossmoda("crossmoda2022_ldn_")
    folder = write_crossmoda("crossmoda23_ldn_", values=(1, 2, 3))
    assert convert("crossmoda", folder) == 3
    said = capsys.readouterr().err
    assert "crossmoda23_ldn_1 and crossmoda2022_ldn_1" in said
    assert "one of the two editions" in said


def test_crossmoda_that_is_not_understood(write_crossmoda, convert, save, root, capsys):
    folder = write_crossmoda()
    odd = folder / "source_training" / "crossmoda_3_FLAIR.nii.gz"
    save(odd)
    assert convert("crossmoda", folder) == 3
    said = capsys.readouterr().err
    assert "names do not say" in said and str(odd.relative_to(folder)) in said
    odd.unlink()
    save(folder / "source_training" / "crossmoda_1_Label.nii.gz", 1, (1, 2, 9))
    (folder / "source_training" / "crossmoda_2_Label.nii.gz").write_bytes(b"")
    assert convert("crossmoda", folder) == 3
    said = capsys.readouterr().err
    assert "1 vestibular_schwannoma, 2 cochlea or 1 intra_meatal_tumour" in said
    assert "crossmoda_2_Label.nii.gz" in said
    assert not (root / "raw").exists()


def test_a_folder_of_the_name_of_a_scan_is_no_scan(write_crossmoda):
    folder = write_crossmoda()
    scan = folder / "source_training" / "crossmoda_1_ceT1.nii.gz"
    moved = scan.rename(folder / "moved.nii.gz")
    scan.mkdir()
    moved.rename(scan / scan.name)
    source, _ = find_crossmoda(folder)
    assert source.cases[0].image == scan / scan.name


def test_crossmoda_of_one_domain(write_crossmoda, convert, capsys):
    folder = write_crossmoda()
    for place in FOLDERS[1:]:
        shutil.rmtree(folder / place)
    assert convert("crossmoda", folder) == 3
    assert "2 scans of the source, 2 labels of the source, 0 scans of the target" in capsys.readouterr().err


def test_btcv_as_target_has_its_testing_scans(btcv, write_crossmoda, convert, root, capsys):
    folder, _ = btcv
    assert convert("crossmoda", write_crossmoda(), dataset="Dataset102_A") == 0
    found = find_btcv(folder.parent)
    assert [case.case_id for case in found.cases] == ["btcv_0001", "btcv_0002", "btcv_0035", "btcv_0061"]
    assert [case.labels is None for case in found.cases] == [False, False, False, True]
    assert convert("btcv", folder, "--as", "target", dataset="102") == 2
    assert "has target scans already" in capsys.readouterr().err
    shutil.rmtree(root / "raw" / "Dataset102_A" / "imagesTr_target")
    shutil.rmtree(root / "raw" / "Dataset102_A" / "imagesTs")
    assert convert("btcv", folder, "--as", "target", dataset="102") == 0
    assert len(list((root / "raw" / "Dataset102_A" / "imagesTr_target").iterdir())) == 4


@pytest.mark.parametrize("find", [find_btcv, find_chaos, find_crossmoda])
def test_another_folder(tmp_path, find):
    with pytest.raises(DataError, match="is no download of") as error:
        find(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert error.value.expected


def test_pairs(btcv, write_crossmoda):
    folder, _ = btcv
    (folder / "Training" / "label" / "label0002.nii.gz").unlink()
    with pytest.raises(DataError, match="only one of the two for 0002"):
        find_btcv(folder)
    other = write_crossmoda()
    (other / "source_training" / "crossmoda_2_Label.nii.gz").unlink()
    with pytest.raises(DataError, match="only one of the two for crossmoda_2"):
        find_crossmoda(other)


def test_files_that_are_there_twice(btcv, write_crossmoda, save):
    folder, _ = btcv
    save(folder / "Training" / "label" / "label0001.nii", 5, (1, 2))
    with pytest.raises(DataError, match="is there twice") as error:
        find_btcv(folder)
    assert "label0001.nii and " in str(error.value.found)
    assert error.value.remedy
    other = write_crossmoda()
    save(other / "again" / "crossmoda_1_Label.nii.gz", 5, (1, 2))
    with pytest.raises(DataError, match="is there twice"):
        find_crossmoda(other)


def test_what_is_left_out_of_btcv_is_named(btcv, convert, save, capsys):
    folder, _ = btcv
    for name in ("Training/img/image0003", "Training/label/label_0003", "Testing/img/img62b", "Testing/img/.img63"):
        save(folder / f"{name}.nii.gz")
    save(folder.parent / "Second" / "Training" / "img" / "img0070.nii.gz")
    assert convert("btcv", folder.parent, "--as", "source") == 0
    said = capsys.readouterr().out
    names = "Testing/img/img62b.nii.gz, Training/img/image0003.nii.gz, Training/label/label_0003.nii.gz"
    assert f"note: left out of {folder}: {names} (their names are not those of BTCV)" in said
    assert f"note: left out of {folder.parent}: Second/Training (RawData/Training is read)" in said


def test_patients_of_chaos_that_are_left_out_are_named(write_chaos, convert, capsys):
    folder, _ = write_chaos()
    assert convert("chaos", folder, "--as", "source") == 0
    assert "note:" not in capsys.readouterr().out
    shutil.rmtree(folder / "MR" / "2" / "T2SPIR" / "DICOM_anon")
    (folder / "MR" / "13 copy").mkdir()
    assert convert("chaos", folder, "--as", "source", dataset="Dataset102_B") == 0
    said = capsys.readouterr().out
    assert f"note: left out of {folder}: MR/13 copy, MR/2 (no patient's number, or no T2SPIR/DICOM_anon within)" in said


def test_what_is_left_out_of_crossmoda_is_named(write_crossmoda, convert, save, capsys):
    folder = write_crossmoda()
    save(folder / "source_training" / "moda_3_ceT1.nii.gz")
    assert convert("crossmoda", folder) == 0
    said = capsys.readouterr().out
    assert said.count("note:") == said.count("source_training/moda_3_ceT1.nii.gz (their names are not those") == 1


def test_test_cases_without_a_class_of_the_data_set(btcv, write_chaos, convert, root, capsys):
    ct, _ = btcv
    mr, _ = write_chaos()
    assert convert("btcv", ct, "--as", "source", "--classes", "liver", "aorta") == 0
    assert convert("chaos", mr, "--as", "target", "--test_cases", "chaos_01", dataset="101") == 3
    said = capsys.readouterr().err
    assert "have no class aorta" in said
    assert not (root / "raw" / "Dataset101_New" / "imagesTr_target").exists()
    assert convert("chaos", mr, "--as", "target", dataset="101") == 0
