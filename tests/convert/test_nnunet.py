from __future__ import annotations

import errno
import json
import shlex
import shutil

import nibabel as nib
import numpy as np
import pytest

from darnet.convert import find_nnunet
from darnet.io import only_one
from darnet.layout import DatasetLayout
from darnet.pipeline import verify

CLASSES = {"background": 0, "spleen": 1, "left kidney": 2, "Liver": 3}


@pytest.fixture
def write_nnunet(tmp_path, save):
    """A data set of nnU-Net; returns its folder and the labels of each case."""

    def write(name, cases, classes=CLASSES, channels=("CT",), ending=".nii.gz", test=(), **keys):
        folder = tmp_path / "nnU-Net raw" / name
        labels = {}
        for seed, case in enumerate((*cases, *test), sum(map(ord, name))):
            images, masks = ("imagesTs", "labelsTs") if case in test else ("imagesTr", "labelsTr")
            for channel in range(len(channels)):
                save(folder / images / f"{case}_{channel:04d}{ending}", seed + 100 * channel)
            values = [v for v in classes.values() if v]
            labels[case] = save(folder / masks / f"{case}{ending}", seed, values)
        values = {
            "channel_names": {str(n): channel for n, channel in enumerate(channels)},
            "labels": classes,
            "numTraining": len(cases),
            "file_ending": ending,
            "overwrite_image_reader_writer": "SimpleITKIO",
            **keys,
        }
        (folder / "dataset.json").write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
        return folder, labels

    return write


def test_two_data_sets(write_nnunet, convert, root, load, description, capsys):
    ct, labels = write_nnunet("Dataset003_CT", ["c1", "c2", "c3"])
    mr, of_mr = write_nnunet("Dataset004_MR", ["m1", "m2", "m3"], {"background": 0, "liver": 1, "Spleen": 2}, ["T2"])
    kept = ["--classes", "liver", "spleen"]
    assert convert("nnunet", "--source", ct, "--target", mr, *kept, "--test_cases", "m3") == 0
    said = capsys.readouterr().out
    for words in (
        "3 labelled source scans, CT",
        "2 target scans without labels, T2",
        "1 target scans for testing, 1 with",
        "3 files converted, 7 files linked",
        "note: classes left out, which are background now: left kidney in 3 label files\n",
        f"next: darnet_plan_and_preprocess -d Dataset101_New --root {shlex.quote(str(root))}",
    ):
        assert words in said
    raw = root / "raw" / "Dataset101_New"
    assert sorted(str(p.relative_to(raw)) for p in raw.rglob("*") if not p.is_dir()) == [
        "conversion.json", "dataset.json",
        "imagesTr/c1_0000.nii.gz", "imagesTr/c2_0000.nii.gz", "imagesTr/c3_0000.nii.gz",
        "imagesTr_target/m1_0000.nii.gz", "imagesTr_target/m2_0000.nii.gz", "imagesTs/m3_0000.nii.gz",
        "labelsTr/c1.nii.gz", "labelsTr/c2.nii.gz", "labelsTr/c3.nii.gz", "labelsTs/m3.nii.gz",
    ]  # fmt: skip
    assert description() == {
        "name": "New",
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "Liver": 1, "spleen": 2},
        "numTraining": 3,
        "file_ending": ".nii.gz",
        "domains": {"source": "CT", "target": "T2"},
    }
    table = np.array([0, 2, 0, 1])  # spleen 1 -> 2, kidney 2 -> none, liver 3 -> 1
    for case in ("c1", "c2", "c3"):
        np.testing.assert_array_equal(load(raw / "labelsTr" / f"{case}.nii.gz"), table[labels[case]])
        image = raw / "imagesTr" / f"{case}_0000.nii.gz"
        assert image.is_symlink()
        assert image.resolve() == (ct / "imagesTr" / f"{case}_0000.nii.gz").resolve()
    np.testing.assert_array_equal(load(raw / "labelsTs" / "m3.nii.gz"), of_mr["m3"])
    record = {line["file"]: line for line in json.loads((raw / "conversion.json").read_text("utf-8"))}
    assert record["labelsTr/c1.nii.gz"] == {
        "file": "labelsTr/c1.nii.gz", "from": str(ct / "labelsTr" / "c1.nii.gz"), "how": "converted"
    }  # fmt: skip
    dataset, _ = verify(DatasetLayout(root, "Dataset101_New"))
    assert (len(dataset.source), len(dataset.target)) == (3, 2)


def test_classes_of_test_cases_that_are_left_out(write_nnunet, convert, save, capsys):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"], {"background": 0, "liver": 1, "lesion": 2, "cyst": 3})
    save(ct / "labelsTr" / "c1.nii.gz", values=[1])
    more = {"background": 0, "aorta": 1, "lesion": 2, "liver": 3}
    mr, _ = write_nnunet("Dataset004_MR", ["m1"], more, ["T2"], test=["m8", "m9"])
    assert convert("nnunet", "--source", ct, "--target", mr, "--classes", "liver") == 0
    said = capsys.readouterr().out
    why = "lesion in 3 label files, cyst in 1 label file, aorta in 2 label files\n"
    assert f"note: classes left out, which are background now: {why}" in said
    assert said.count("note:") == 1


def test_labels_of_the_target_are_left_behind(write_nnunet, convert, root):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    mr, _ = write_nnunet("Dataset004_MR", ["m1", "m2"], {"background": 0, "other": 1})
    assert convert("nnunet", "--source", ct, "--target", mr) == 0
    raw = root / "raw" / "Dataset101_New"
    assert not (raw / "labelsTs").exists()
    assert all((raw / "labelsTr" / f"c{n}.nii.gz").is_symlink() for n in (1, 2))
    assert not [p for p in raw.rglob("m*") if "imagesTr_target" not in str(p)]


def test_one_data_set_of_two_modalities(write_nnunet, convert, root, description):
    both, _ = write_nnunet("Dataset005_Both", ["amos_001", "amos_002", "amos_501", "amos_502"], channels=["any"])
    names = ["--source_modality", "CT", "--target_modality", "MR"]
    assert convert("nnunet", "--source", both, "--target_cases", "amos_5*", *names) == 0
    raw = root / "raw" / "Dataset101_New"
    assert sorted(p.name for p in (raw / "imagesTr").iterdir()) == ["amos_001_0000.nii.gz", "amos_002_0000.nii.gz"]
    target = sorted(p.name for p in (raw / "imagesTr_target").iterdir())
    assert target == ["amos_501_0000.nii.gz", "amos_502_0000.nii.gz"]
    assert description()["domains"] == {"source": "CT", "target": "MR"}


@pytest.mark.parametrize(
    ("channels", "flags"),
    [
        (["CT"], []),
        (["CT"], ["--source_modality", "CT of A"]),
        (["CT"], ["--target_channel", "CT"]),
        (["MR", "MR"], ["--source_channel", "0", "--target_channel", "1"]),
    ],
)
def test_target_cases_need_a_name_of_their_own(write_nnunet, convert, root, capsys, channels, flags):
    both, _ = write_nnunet("Dataset005_Both", ["amos_001", "amos_501"], channels=channels)
    assert convert("nnunet", "--source", both, "--target_cases", "amos_5*", *flags) == 2
    said = capsys.readouterr().err
    assert "not said what kind of scan the target cases are" in said
    assert "--target_modality" in said
    assert not root.exists()


def test_source_first_and_target_later(write_nnunet, convert, root, description, capsys):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"], test=["c9"])
    mr, _ = write_nnunet("Dataset004_MR", ["m1"], channels=["T2"], test=["m9"])
    assert convert("nnunet", "--source", ct) == 0
    said = capsys.readouterr().out
    assert "1 scans of the source are left behind" in said
    assert "next: add target scans" in said
    assert convert("nnunet", "--target", mr, dataset="101") == 0
    assert "; in" in (said := capsys.readouterr().out)
    assert "3 files linked" in said
    raw = root / "raw" / "Dataset101_New"
    assert (raw / "labelsTs" / "m9.nii.gz").is_symlink()
    assert description()["domains"] == {"source": "CT", "target": "T2"}
    assert len(json.loads((raw / "conversion.json").read_text("utf-8"))) == 7
    assert convert("nnunet", "--target", mr, dataset="101") == 2
    assert "has target scans already" in capsys.readouterr().err


def test_target_without_labels(write_nnunet, convert, root):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    mr, _ = write_nnunet("Dataset004_MR", ["m1", "m2"])
    shutil.rmtree(mr / "labelsTr")
    assert convert("nnunet", "--source", ct, "--target", mr) == 0
    assert len(list((root / "raw" / "Dataset101_New" / "imagesTr_target").iterdir())) == 2


def test_one_of_several_channels(write_nnunet, convert, root, load, capsys):
    folder, _ = write_nnunet("Dataset003_MR", ["c1", "c2"], channels=["T1", "T2"])
    assert convert("nnunet", "--source", folder) == 2
    assert "0 T1, 1 T2" in capsys.readouterr().err
    assert convert("nnunet", "--source", folder, "--source_channel", "T2") == 0
    raw = root / "raw" / "Dataset101_New"
    np.testing.assert_array_equal(
        load(raw / "imagesTr" / "c1_0000.nii.gz"), load(folder / "imagesTr" / "c1_0001.nii.gz")
    )


def test_another_channel_for_the_target_cases(write_nnunet, convert, root, load, description, capsys):
    folder, labels = write_nnunet("Dataset003_MR", ["c1", "c2", "t1", "t2"], channels=["T1ce", "T2"], test=["t9", "c9"])
    flags = ["--source_channel", "T1ce", "--target_cases", "t*", "--target_channel", "T2", "--test_cases", "t2"]
    assert convert("nnunet", "--source", folder, *flags) == 0
    assert "1 scans of the source are left behind" in capsys.readouterr().out
    raw = root / "raw" / "Dataset101_New"
    for made, kept in (
        ("imagesTr/c1", "imagesTr/c1_0000"),
        ("imagesTr/c2", "imagesTr/c2_0000"),
        ("imagesTr_target/t1", "imagesTr/t1_0001"),
        ("imagesTs/t2", "imagesTr/t2_0001"),
        ("imagesTs/t9", "imagesTs/t9_0001"),
    ):
        np.testing.assert_array_equal(load(raw / f"{made}_0000.nii.gz"), load(folder / f"{kept}.nii.gz"))
    assert len(list(raw.rglob("*_0000.nii.gz"))) == 5
    np.testing.assert_array_equal(load(raw / "labelsTs" / "t2.nii.gz"), labels["t2"])
    assert description()["domains"] == {"source": "T1ce", "target": "T2"}


def test_patients_in_both_domains_are_told(write_nnunet, convert, capsys):
    folder, _ = write_nnunet("Dataset003_MR", ["p1", "p2", "p3"], channels=["T1ce", "T2"])
    channels = ["--source_channel", "T1ce", "--target_channel", "T2"]
    assert convert("nnunet", "--source", folder, "--target", folder, *channels, "--test_cases", "p3") == 0
    said = capsys.readouterr().out
    assert "note: cases of one name in imagesTr and imagesTs (1): p3; if these are the same patients" in said
    assert "take these cases out of imagesTr and labelsTr" in said
    assert "note: cases of one name in imagesTr and imagesTr_target (2): p1, p2; if" in said
    assert said.count("note:") == 2


def test_patients_that_are_added_later_are_told(write_nnunet, convert, capsys):
    folder, _ = write_nnunet("Dataset003_MR", ["p1", "p2"], channels=["T1ce", "T2"])
    assert convert("nnunet", "--source", folder, "--source_channel", "T1ce") == 0
    assert "of one name" not in capsys.readouterr().out
    flags = ["--target_channel", "T2", "--test_cases", "p2"]
    assert convert("nnunet", "--target", folder, *flags, dataset="101") == 0
    said = capsys.readouterr().out
    assert "imagesTr and imagesTs (1): p2" in said
    assert "imagesTr and imagesTr_target (1): p1" in said


def test_the_channel_of_the_source_is_that_of_target_cases_too(write_nnunet, convert, root, load):
    folder, _ = write_nnunet("Dataset003_MR", ["c1", "c2", "t1"], channels=["T1", "T2"])
    flags = ["--source_channel", "T2", "--target_cases", "t1", "--target_modality", "T2 of B"]
    assert convert("nnunet", "--source", folder, *flags) == 0
    made = root / "raw" / "Dataset101_New" / "imagesTr_target" / "t1_0000.nii.gz"
    np.testing.assert_array_equal(load(made), load(folder / "imagesTr" / "t1_0001.nii.gz"))


@pytest.fixture
def write_own(write_nnunet, save):
    """A data set of darnet whose classes have gaps; returns its folder and the labels of each case."""

    def write(**keys):
        classes = {"background": 0, "myocardium": 205, "aorta": 250}
        domains = {"domains": {"source": "MR cine", "target": "CT angio"}}
        folder, labels = write_nnunet("Dataset005_Own", ["s1", "s2"], classes, ["MR"], test=["t8"], **(domains | keys))
        for case in ("t1", "t2", "t3"):
            save(folder / "imagesTr_target" / f"{case}_0000.nii.gz", ord(case[1]))
        return folder, labels

    return write


def test_a_data_set_of_darnet_keeps_its_target_scans(write_own, save, convert, root, load, description, capsys):
    folder, labels = write_own()
    save(folder / "labelsTr_target" / "t1.nii.gz", values=[205])
    save(folder / "imagesTr_target" / "t4.nii.gz")
    assert convert("nnunet", "--source", folder) == 0
    said = capsys.readouterr().out
    assert "2 labelled source scans, MR cine" in said
    assert "3 target scans without labels, CT angio" in said
    assert f"left out of {folder}: imagesTr_target/t4.nii.gz (not named CASE_0000.nii.gz)" in said
    assert (
        f"left out of {folder}: labelsTr_target (only imagesTr, labelsTr, imagesTr_target, imagesTs, labelsTs are"
        in said
    )
    assert said.count("note:") == 2
    raw = root / "raw" / "Dataset101_New"
    assert description()["domains"] == {"source": "MR cine", "target": "CT angio"}
    assert description()["labels"] == {"background": 0, "myocardium": 1, "aorta": 2}
    assert [p.name[:2] for p in sorted((raw / "imagesTr_target").iterdir())] == ["t1", "t2", "t3"]
    assert (raw / "imagesTs" / "t8_0000.nii.gz").is_symlink()
    np.testing.assert_array_equal(load(raw / "labelsTs" / "t8.nii.gz"), np.searchsorted([0, 205, 250], labels["t8"]))
    dataset, _ = verify(DatasetLayout(root, "Dataset101_New"))
    assert (len(dataset.source), len(dataset.target)) == (2, 3)


def test_a_data_set_of_darnet_with_other_target_scans(write_own, write_nnunet, convert, root, description, capsys):
    folder, _ = write_own()
    mr, _ = write_nnunet("Dataset004_MR", ["m1", "m2"], channels=["T2"])
    assert convert("nnunet", "--source", folder, "--target", mr) == 0
    said = capsys.readouterr().out
    assert f"left out of {folder}: imagesTr_target, imagesTs, labelsTs (target scans of its own; they come" in said
    assert said.count("note:") == 1
    assert description()["domains"] == {"source": "MR cine", "target": "T2"}
    assert not (root / "raw" / "Dataset101_New" / "imagesTs").exists()


def test_a_data_set_of_darnet_whose_domains_are_not_named(write_own, convert, description, capsys):
    folder, _ = write_own(domains=None)
    assert convert("nnunet", "--source", folder) == 2
    assert "name it with --target_modality" in capsys.readouterr().err
    assert convert("nnunet", "--source", folder, "--target_modality", "CT") == 0
    assert description()["domains"] == {"source": "MR", "target": "CT"}


@pytest.mark.parametrize("domains", [["site A", "site B"], {"site": 1}, {"source": 3}, {"source": ""}])
def test_domains_that_mean_something_else_do_no_harm(write_nnunet, convert, description, domains):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"domains": domains}))
    assert convert("nnunet", "--source", folder) == 0
    assert description()["domains"] == {"source": "CT"}


def test_an_empty_folder_of_target_scans_is_none(write_nnunet, convert, description, root):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    (folder / "imagesTr_target").mkdir()
    (folder / "imagesTr_target" / ".DS_Store").write_bytes(b"")
    assert convert("nnunet", "--source", folder) == 0
    assert description()["domains"] == {"source": "CT"}
    assert not (root / "raw" / "Dataset101_New" / "imagesTr_target").exists()


def test_target_cases_of_a_channel_are_named_after_it(write_nnunet, convert, description):
    """Whatever "domains" says of the data set that they are taken from."""
    folder, _ = write_nnunet("Dataset003_MR", ["p1", "p2", "p3"], channels=["T1", "T2"])
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"domains": {"source": "T1", "target": "T2"}}))
    flags = ["--source_channel", "T1", "--target_channel", "T2", "--target_cases", "p3"]
    assert convert("nnunet", "--source", folder, *flags) == 0
    assert description()["domains"] == {"source": "T1", "target": "T2"}


def test_folders_that_are_not_read_are_told(write_nnunet, convert, save, capsys):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2", "m1"], test=["m9"])
    for path in ("imagesVa/c5_0000", "labelsVa/c5"):
        save(folder / f"{path}.nii.gz", values=[1])
    (folder / "imagesTe").mkdir()
    (folder / "figures").mkdir()
    (folder / "figures" / "c1.png").write_bytes(b"")
    flags = ["--target_cases", "m*", "--target_modality", "MR"]
    assert convert("nnunet", "--source", folder, *flags) == 0
    said = capsys.readouterr().out
    only = "only imagesTr, labelsTr, imagesTs, labelsTs are read"
    assert f"note: left out of {folder}: imagesVa, labelsVa ({only})" in said
    assert said.count("note:") == 1


def test_folders_of_a_list_of_files_are_not_left_out(write_nnunet, convert, capsys):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    for name in ("images", "labels"):
        (folder / f"{name}Tr").rename(folder / f"{name}Va")
    files = {c: {"images": [f"./imagesVa/{c}_0000.nii.gz"], "label": f"labelsVa/{c}.nii.gz"} for c in ("c1", "c2")}
    text = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(text | {"dataset": files}))
    assert convert("nnunet", "--source", folder) == 0
    assert "note:" not in capsys.readouterr().out


def test_the_older_layout(write_nnunet, convert, description):
    old = {"channel_names": None, "file_ending": None, "modality": {"0": "MRI"}}
    folder, _ = write_nnunet("Task05_MR", ["c1", "c2"], **old, labels={"0": "background", "1": "a", "2": "b", "3": "c"})
    assert convert("nnunet", "--source", folder) == 0
    assert description()["labels"] == {"background": 0, "a": 1, "b": 2, "c": 3}
    assert description()["channel_names"] == {"0": "MRI"}


def test_a_list_of_files(write_nnunet, convert, root, load):
    folder, labels = write_nnunet("Dataset003_CT", ["c1", "c2"])
    files = {f"Fall {n}": {"images": [f"imagesTr/c{n}_0000.nii.gz"], "label": f"labelsTr/c{n}.nii.gz"} for n in (1, 2)}
    text = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(text | {"dataset": files}))
    assert convert("nnunet", "--source", folder) == 0
    np.testing.assert_array_equal(load(root / "raw" / "Dataset101_New" / "labelsTr" / "Fall 2.nii.gz"), labels["c2"])


def test_another_ending(write_nnunet, convert, root, load, description):
    ct, labels = write_nnunet("Dataset003_CT", ["c1", "c2"], ending=".nii")
    mr, _ = write_nnunet("Dataset004_MR", ["m1", "m2"])
    assert convert("nnunet", "--source", ct, "--target", mr) == 0
    raw = root / "raw" / "Dataset101_New"
    assert description()["file_ending"] == ".nii"
    assert (raw / "imagesTr" / "c1_0000.nii").is_symlink()
    target = raw / "imagesTr_target" / "m1_0000.nii"
    assert not target.is_symlink()
    np.testing.assert_array_equal(load(target), load(mr / "imagesTr" / "m1_0000.nii.gz"))


def test_copies(write_nnunet, convert, root):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    assert convert("nnunet", "--source", ct, "--copy") == 0
    copy = root / "raw" / "Dataset101_New" / "imagesTr" / "c1_0000.nii.gz"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (ct / "imagesTr" / "c1_0000.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        ({"labels": {"background": 0, "organ": [1, 2]}}, 3, "labels of regions"),
        ({"labels": {"background": 0, "a": 1, "ignore": 2}}, 3, "ignore label"),
        ({"labels": {"a": 1}}, 3, "background must be 0"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, 3, "there twice"),
        ({"labels": None}, 3, "labels are missing"),
        ({"channel_names": None}, 3, "channels are missing"),
        ({"file_ending": ".mha"}, 3, "convert scans and labels to NIfTI"),
        ({"dataset": {"c1": {"images": []}}}, 3, "entry of c1 is wrong"),
        ({"dataset": {"c1": {"images": ["no.nii.gz"], "label": "labelsTr/c1.nii.gz"}}}, 3, "no.nii.gz"),
    ],
)
def test_dataset_json_refused(write_nnunet, convert, root, capsys, keys, code, words):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2"], **keys)
    assert convert("nnunet", "--source", folder) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not list(root.rglob("*0000*"))


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--source", "{ct}", "--classes", "heart"), 2, "there is no class heart"),
        (("--source", "{ct}", "--classes", "liver", "LIVER"), 2, "asked for twice"),
        (("--source", "{ct}", "--test_cases", "c1"), 2, "names target scans"),
        (("--source", "{ct}", "--target_cases", "x*"), 2, "no case is named x*"),
        (("--source", "{ct}", "--target_cases", "c*", "--target_modality", "MR"), 3, "no scans to convert"),
        (("--source", "{ct}", "--target", "{ct}", "--target_cases", "c1"), 2, "leave --target out"),
        (("--source", "{ct}", "--target", "{ct}", "--source_modality", "A"), 2, "source and target are the same scans"),
        (("--source", "{ct}", "--target", "{mr}", "--test_cases", "m*"), 3, "no target scan is left"),
        (("--source", "{ct}", "--target_cases", "c1", "--target_channel", "T9"), 2, "there is no channel T9"),
        (("--source", "{ct}", "--target_channel", "0"), 2, "found:    --target_channel 0\n"),
        (("--source", "{ct}", "--target_modality", "MR"), 2, "with --target or --target_cases, or leave the flag out"),
        (("--target", "{ct}", "--source_modality", "CT", "--source_channel", "0"), 2, "about source scans, and none"),
        (("--source", "nowhere"), 2, "there is no such folder"),
        (("--source", "{ct}/imagesTr"), 3, "no data set of nnU-Net"),
        ((), 2, "no data set of nnU-Net is given"),
        (("--target", "{ct}"), 2, "there is no data set Dataset101_New"),
        (("--sorce", "{ct}"), 2, "unrecognized"),
    ],
)
def test_flags_refused(write_nnunet, convert, capsys, flags, code, words):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    mr, _ = write_nnunet("Dataset004_MR", ["m1", "m2"], channels=["T2"])
    assert convert("nnunet", *(flag.format(ct=ct, mr=mr) for flag in flags)) == code
    assert words in capsys.readouterr().err


ALIKE = {"background": 0, "tumor": 1, "tumor-": 2, "Tu mor": 3}


@pytest.mark.parametrize(
    ("flags", "kept", "table"),
    [
        ((), ["tumor", "tumor-", "Tu mor"], [0, 1, 2, 3]),
        (("--classes", "tumor-", "tumor"), ["tumor-", "tumor"], [0, 2, 1, 0]),
    ],
)
def test_classes_of_names_that_are_alike(write_nnunet, convert, root, load, description, flags, kept, table):
    folder, labels = write_nnunet("Dataset003_CT", ["c1", "c2"], ALIKE)
    assert convert("nnunet", "--source", folder, *flags) == 0
    assert description()["labels"] == {"background": 0} | {name: n for n, name in enumerate(kept, 1)}
    made = load(root / "raw" / "Dataset101_New" / "labelsTr" / "c1.nii.gz")
    np.testing.assert_array_equal(made, np.array(table)[labels["c1"]])


def test_a_name_that_could_be_any_of_several(write_nnunet, convert, capsys):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2"], ALIKE)
    assert convert("nnunet", "--source", folder, "--classes", "TUMOR") == 2
    said = capsys.readouterr().err
    assert "class TUMOR could be any of several" in said
    assert "tumor, tumor-, Tu mor" in said


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ({"background": 0, "Tumor": 1}, {"background": 0, "tumor": 1, "tumor-": 2}, "tumor, tumor-"),
        ({"background": 0, "tumor": 1, "tumor-": 2}, {"background": 0, "tumor": 1}, "tumor, tumor-"),
    ],
)
def test_test_cases_of_classes_that_are_alike(write_nnunet, convert, capsys, source, target, words):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"], source)
    mr, _ = write_nnunet("Dataset004_MR", ["m1", "m2"], target)
    assert convert("nnunet", "--source", ct, "--target", mr, "--test_cases", "m2") == 3
    said = capsys.readouterr().err
    assert "too much alike" in said
    assert words in said


def test_nothing_is_overwritten(write_nnunet, convert, root, capsys, hashes_of_tree):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    assert convert("nnunet", "--source", ct) == 0
    before = hashes_of_tree(root)
    assert convert("nnunet", "--source", ct) == 2
    assert "there is such a data set already" in capsys.readouterr().err
    assert convert("nnunet", "--source", ct, dataset="Dataset101_Other") == 2
    assert "the number 101 belongs to another data set" in capsys.readouterr().err
    assert convert("nnunet", "--source", ct, dataset="Abdomen") == 2
    assert "DatasetNNN_Name" in capsys.readouterr().err
    assert hashes_of_tree(root) == before


def test_all_faults_at_once_and_nothing_left(write_nnunet, convert, root, capsys):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2", "c3"])
    for case in ("c1", "c3"):
        path = ct / "labelsTr" / f"{case}.nii.gz"
        image = nib.load(path)
        array = np.asanyarray(image.dataobj).copy()
        array[0, 0, :2] = 77
        nib.Nifti1Image(array, image.affine).to_filename(path)
    assert convert("nnunet", "--source", ct, "--classes", "Liver") == 3
    said = capsys.readouterr().err
    assert "77 (2 voxels)" in said
    assert "name them in the dataset.json of the data set of nnU-Net too, and choose the others with --classes" in said
    assert "c1.nii.gz" in said
    assert "c3.nii.gz" in said
    assert list((root / "raw").iterdir()) == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-12])


def give_another_value(path):
    image = nib.load(path)
    array = np.asanyarray(image.dataobj).copy()
    array[0, 0, 0] = 77
    nib.Nifti1Image(array, image.affine).to_filename(path)


def crop(path):
    image = nib.load(path)
    nib.Nifti1Image(np.asanyarray(image.dataobj)[..., 1:], image.affine).to_filename(path)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
@pytest.mark.parametrize("classes", [(), ("--classes", "Liver")])
def test_files_to_link_are_read_to_their_end(write_nnunet, convert, root, capsys, ending, classes):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2", "c3", "c4", "c5"], ending=ending)
    cut(folder / "imagesTr" / f"c1_0000{ending}")
    for case, spoil in (("c1", give_another_value), ("c2", cut), ("c3", give_another_value), ("c4", crop)):
        spoil(folder / "labelsTr" / f"{case}{ending}")
    assert convert("nnunet", "--source", folder, *classes) == 3
    said = capsys.readouterr().err
    assert "(5 faults)" in said
    assert f"c1_0000{ending}" in said and f"c5{ending}" not in said
    assert said.count("copy or export it again") == 2
    assert said.count("77 (1 voxels)") == 2
    assert "(8, 7, 5) voxels" in said and "(8, 7, 6) voxels, as" in said
    assert list((root / "raw").iterdir()) == []


def test_a_damaged_scan_and_its_labels_are_one_fault(write_nnunet, convert, capsys):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    (folder / "imagesTr" / "c1_0000.nii.gz").write_bytes(b"")
    assert convert("nnunet", "--source", folder) == 3
    assert capsys.readouterr().err.count("the file is empty") == 1


def test_scans_with_voxels_that_are_not_finite_are_linked(write_nnunet, convert, root):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    path = folder / "imagesTr" / "c1_0000.nii.gz"
    image = nib.load(path)
    array = image.get_fdata(dtype=np.float32)
    array[0, 0, 0] = np.nan
    nib.Nifti1Image(array, image.affine).to_filename(path)
    assert convert("nnunet", "--source", folder) == 0
    assert (root / "raw" / "Dataset101_New" / "imagesTr" / "c1_0000.nii.gz").is_symlink()


@pytest.mark.parametrize(("ending", "other"), [(".nii", ".nii.gz"), (".nii.gz", ".nii")])
def test_damaged_scans_of_another_ending(write_nnunet, convert, root, capsys, ending, other):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"], ending=ending)
    mr, _ = write_nnunet("Dataset004_MR", ["m1", "m2", "m3"], ending=other)
    for case in ("m1", "m3"):
        cut(mr / "imagesTr" / f"{case}_0000{other}")
    assert convert("nnunet", "--source", ct, "--target", mr) == 3
    said = capsys.readouterr().err
    assert "(2 faults)" in said
    assert f"m1_0000{other}" in said and f"m3_0000{other}" in said
    assert list((root / "raw").iterdir()) == []


def test_a_full_disk_is_no_fault_of_a_scan(write_nnunet, convert, root, capsys, monkeypatch):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"], ending=".nii")
    mr, _ = write_nnunet("Dataset004_MR", ["m1", "m2"])

    def fill(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", fill)
    assert convert("nnunet", "--source", ct, "--target", mr) == 4
    assert "the disk is full" in capsys.readouterr().err
    assert list((root / "raw").iterdir()) == []


def test_files_that_the_disk_does_not_give(write_nnunet, convert, root, capsys, monkeypatch):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    cut(folder / "labelsTr" / "c2.nii.gz")
    path = folder / "imagesTr" / "c1_0000.nii.gz"
    kind = type(path)
    of_path = kind.open

    def refuse(self, *args, **keys):
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return of_path(self, *args, **keys)

    monkeypatch.setattr(kind, "open", refuse)
    assert convert("nnunet", "--source", folder) == 3
    said = capsys.readouterr().err
    assert "(2 faults)" in said
    assert "mend the file or its rights" in said
    assert "c2.nii.gz" in said
    assert list((root / "raw").iterdir()) == []


def test_scans_that_are_left_out_are_named(write_nnunet, convert, save, root, capsys):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"], numTraining=40)
    mr, _ = write_nnunet("Dataset004_MR", ["m1", "m2"], test=["m9"])
    shutil.rmtree(mr / "labelsTr")
    for name in ("imagesTr/m3_0001", "imagesTr/m4-0000", "imagesTs/x1", "labelsTs/x1"):
        save(mr / f"{name}.nii.gz")
    assert convert("nnunet", "--source", ct, "--target", mr) == 0
    said = capsys.readouterr().out
    assert f"note: 2 training cases are there, numTraining in {ct / 'dataset.json'} is 40" in said
    named = "imagesTr/m3_0001.nii.gz, imagesTr/m4-0000.nii.gz, imagesTs/x1.nii.gz (not named CASE_0000.nii.gz)"
    assert f"note: left out of {mr}: {named}" in said
    assert f"note: left out of {mr}: labelsTs/x1.nii.gz (no scan of this name in imagesTs)" in said
    assert said.count("note:") == 3
    assert len(list((root / "raw" / "Dataset101_New").rglob("*_0000.nii.gz"))) == 5


def test_other_channels_are_not_left_out(write_nnunet, convert, save, capsys):
    folder, _ = write_nnunet("Dataset003_MR", ["c1", "c2", "t1"], channels=["T1", "T2"])
    divided = ["--target_cases", "t1", "--source_channel", "T2", "--target_modality", "T2 of B"]
    assert convert("nnunet", "--source", folder, *divided) == 0
    assert "note:" not in capsys.readouterr().out
    save(folder / "imagesTr" / "c3_0000.nii.gz")
    assert convert("nnunet", "--source", folder, *divided, dataset="Dataset102_B") == 0
    said = capsys.readouterr().out
    assert said.count("note:") == said.count("imagesTr/c3_0000.nii.gz (not named CASE_0001.nii.gz)") == 1


def test_pairs(write_nnunet):
    folder, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    (folder / "labelsTr" / "c1.nii.gz").rename(folder / "labelsTr" / "c8.nii.gz")
    with pytest.raises(Exception, match="do not pair") as error:
        find_nnunet(folder)
    assert "case c1 has no labels" in str(error.value)
    assert "labels of c8 have no scan" in str(error.value)


def test_another_process_converts_the_same_data_set(write_nnunet, convert, root, capsys):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    (root / "raw").mkdir(parents=True)
    with only_one(root / "raw" / ".Dataset101_New.convert.lock", "converts Dataset101_New", keep=False):
        assert convert("nnunet", "--source", ct) == 2
    assert "another process" in capsys.readouterr().err
    assert convert("nnunet", "--source", ct) == 0


def test_a_root_that_is_a_file(write_nnunet, convert, root, capsys):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    root.write_text("in the way")
    assert convert("nnunet", "--source", ct) == 2
    assert "cannot be written to" in capsys.readouterr().err
    assert root.read_text() == "in the way"


def test_what_a_killed_run_left_is_removed(write_nnunet, convert, root):
    ct, _ = write_nnunet("Dataset003_CT", ["c1", "c2"])
    left = root / "raw" / ".Dataset101_New.convert" / "imagesTr"
    left.mkdir(parents=True)
    (left / "old_0000.nii.gz").write_text("half")
    assert convert("nnunet", "--source", ct) == 0
    assert [p.name for p in (root / "raw").iterdir()] == ["Dataset101_New"]
    assert not list(root.rglob("old*"))
