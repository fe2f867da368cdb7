from __future__ import annotations

import json
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest

from darnet.cli.evaluate import main

LABELS = {"background": 0, "liver": 1, "spleen": 2}
DESCRIPTION = {"channel_names": {"0": "CT"}, "labels": LABELS, "file_ending": ".nii.gz"}


def save_labels(path, shift=0):
    array = np.zeros((10, 10, 8), np.uint8)
    array[1 + shift : 5 + shift, 1:6, 1:5] = 1
    array[7, 7:9, 2:4] = 2
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(array, np.diag([2.0, 1.0, 3.0, 1.0])).to_filename(path)


@pytest.fixture
def folders(tmp_path):
    """predictions/out and references/labelsTs, so that each has a parent of its own."""
    predictions, references = tmp_path / "predictions" / "out", tmp_path / "references" / "labelsTs"
    for case, shift in (("case_1", 0), ("case_2", 1)):
        save_labels(predictions / f"{case}.nii.gz", shift)
        save_labels(references / f"{case}.nii.gz")
    return predictions, references


@pytest.fixture
def command(folders):
    def run(*flags):
        return main(["-p", str(folders[0]), "-r", str(folders[1]), *map(str, flags)])

    return run


def summary_of(folders):
    return json.loads((folders[0] / "summary.json").read_text("utf-8"))


def test_table_and_summary(folders, command, capsys):
    (folders[1] / "dataset.json").write_text(json.dumps(DESCRIPTION))
    assert command() == 0
    out = capsys.readouterr().out
    assert "liver" in out and "spleen" in out and "summary.json" in out
    assert out.index("case_2") < out.index("case_1")
    values = summary_of(folders)
    assert list(values) == ["labels", "mean", "classes", "cases", "notes"]
    assert values["labels"] == {"liver": 1, "spleen": 2}
    assert values["classes"]["liver"]["dice_mean"] == pytest.approx((1 + 0.75) / 2)
    assert values["classes"]["spleen"]["dice_mean"] == 1.0
    assert values["cases"][1]["classes"]["liver"]["asd_mm"] > values["cases"][1]["classes"]["liver"]["asd_voxels"]
    assert command() == 0, "an earlier result is replaced"


def test_quiet_prints_nothing(folders, command, capfd):
    assert command("--quiet") == 0
    assert capfd.readouterr() == ("", "")
    assert summary_of(folders)["mean"]["n"] == 4


def test_progress_is_shown(command, capfd):
    assert command() == 0
    assert "evaluate" in capfd.readouterr().err


def test_output_may_be_elsewhere(folders, command, tmp_path):
    output = tmp_path / "new folder" / "scores.json"
    assert command("-o", output, "--quiet") == 0
    assert json.loads(output.read_text("utf-8"))["mean"]["failures"] == 0
    assert not (folders[0] / "summary.json").exists()


@pytest.mark.parametrize("place", ["predictions/out", "predictions", "references/labelsTs", "references"])
def test_classes_are_named_by_a_dataset_json_nearby(folders, command, tmp_path, place):
    (tmp_path / place / "dataset.json").write_text(json.dumps(DESCRIPTION))
    assert command("--quiet") == 0
    assert list(summary_of(folders)["classes"]) == ["liver", "spleen"]


def test_classes_are_named_by_the_record_of_the_prediction(folders, command):
    (folders[0] / "prediction.json").write_text(json.dumps({"dataset": "Dataset001_X", "labels": LABELS}))
    assert command("--quiet") == 0
    assert list(summary_of(folders)["classes"]) == ["liver", "spleen"]


def test_given_classes_come_first(folders, command, tmp_path):
    (folders[0] / "dataset.json").write_text(json.dumps(DESCRIPTION))
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**DESCRIPTION, "labels": {"background": 0, "x": 1, "y": 2}}))
    assert command("-l", other, "--quiet") == 0
    assert list(summary_of(folders)["classes"]) == ["x", "y"]


def test_without_names_the_values_are_the_names(folders, command, capsys):
    assert command() == 0
    assert "values in the references: 1, 2" in capsys.readouterr().out
    assert list(summary_of(folders)["classes"]) == ["1", "2"]


def test_a_missing_prediction_is_a_failure_and_the_rest_is_kept(folders, command, capsys):
    (folders[0] / "case_2.nii.gz").unlink()
    assert command() == 5
    captured = capsys.readouterr()
    assert "case_2" in captured.err and "without a prediction" in captured.out
    values = summary_of(folders)
    assert values["classes"]["1"]["failures"] == 1
    assert values["classes"]["1"]["asd_mm_mean"] == "inf"
    assert values["classes"]["1"]["asd_mm_finite_mean"] == 0.0
    assert values["cases"][1]["missing"] is True


def test_bad_files_are_all_named(folders, command, capsys):
    for case in ("case_1", "case_2"):
        path = folders[0] / f"{case}.nii.gz"
        path.write_bytes(path.read_bytes()[:-9])
    assert command("--quiet") == 3
    error = capsys.readouterr().err
    assert "case_1.nii.gz" in error and "case_2.nii.gz" in error and "Traceback" not in error
    assert not (folders[0] / "summary.json").exists()


def test_debug_shows_the_traceback(folders, command, capsys):
    (folders[0] / "case_1.nii.gz").write_bytes(b"")
    assert command("--quiet", "--debug") == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_dataset_json_that_lacks_a_class(command, tmp_path, capsys):
    short = tmp_path / "dataset.json"
    short.write_text(json.dumps({**DESCRIPTION, "labels": {"background": 0, "liver": 1}}))
    assert command("-l", short, "--quiet") == 3
    assert "2 (4 voxels)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["plans.json", "fast.json", "summary.json"])
def test_classes_of_a_file_that_darnet_wrote(folders, command, tmp_path, name):
    given = tmp_path / name
    given.write_text(json.dumps({"dataset": "Dataset001_X", "labels": LABELS}))
    assert command("-l", given, "--quiet") == 0
    assert list(summary_of(folders)["classes"]) == ["liver", "spleen"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"plans_name": "nnUNetPlans", "configurations": {}}, "keys plans_name, configurations"),
        ({"labels": {"0": "background"}}, "\"labels\" with a wrong value: {'0': 'background'}"),
        ([], "keys none"),
    ],
)
def test_a_file_that_names_no_classes(command, tmp_path, capsys, content, words):
    given = tmp_path / "plans.json"
    given.write_text(json.dumps(content))
    assert command("-l", given, "--quiet") == 2
    error = capsys.readouterr().err
    for part in (str(given), words, "give the dataset.json or the plans.json of the data set with -l"):
        assert part in error


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_against_itself(folders, tmp_path, capsys, linked):
    other = folders[0]
    if linked:
        other = tmp_path / "other"
        other.symlink_to(folders[0], target_is_directory=True)
    (folders[0] / "dataset.json").write_text(json.dumps(DESCRIPTION))
    assert main(["-p", str(folders[0]), "-r", str(other)]) == 0
    assert "the same file, so these scores say nothing: case_1, case_2" in capsys.readouterr().out
    (folders[0] / "case_1.nii.gz").write_bytes(b"")
    (folders[0] / "case_2.nii.gz").write_bytes(b"")
    assert main(["-p", str(folders[0]), "-r", str(other), "--quiet"]) == 3
    error = capsys.readouterr().err
    assert "(2 faults)" in error and error.count("case_1.nii.gz") == 1


@pytest.mark.parametrize("flags", [("-l", "nowhere.json"), ("-o", "table.txt"), ("-o", "."), ("--wrong",)])
def test_wrong_flags(command, flags):
    assert command(*flags) == 2


@pytest.mark.parametrize("flag", ["-p", "-r"])
def test_a_missing_folder(folders, flag, capsys):
    paths = {"-p": str(folders[0]), "-r": str(folders[1]), flag: "nowhere"}
    assert main([word for pair in paths.items() for word in pair]) == 2
    assert flag in capsys.readouterr().err


def test_a_record_without_labels(folders, command, capsys):
    (folders[0] / "prediction.json").write_text("{}")
    assert command() == 2
    assert "prediction.json" in capsys.readouterr().err


@pytest.mark.parametrize("content", ['{"metric_per_case": []}', "[]", "{"])
def test_a_file_of_something_else_is_not_replaced(folders, command, content):
    path = folders[0] / "summary.json"
    path.write_text(content)
    assert command("--quiet") == 2
    assert path.read_text() == content


def test_an_output_that_cannot_be_written_is_refused_before_computing(folders, command, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("darnet.evaluation.evaluate_folders", lambda *_: pytest.fail("it computed"))
    assert command() == 2
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.undo()
    assert command("-o", folders[1] / "case_1.nii.gz" / "x.json") == 2


def test_help_is_instant_and_light():
    code = (
        "import sys; from darnet.cli.evaluate import main; code = main(['-h']);"
        "sys.exit(code or 9 * bool({'numpy', 'torch', 'tqdm', 'nibabel', 'edt'} & set(sys.modules)))"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "exit codes" in done.stdout
    assert time.monotonic() - started < 5


def test_names_that_contradict_each_other_are_refused(folders, command, capsys):
    (folders[0] / "prediction.json").write_text(json.dumps({"labels": LABELS}))
    swapped = folders[1] / "dataset.json"
    swapped.write_text(json.dumps(DESCRIPTION | {"labels": {"background": 0, "spleen": 1, "liver": 2}}))
    assert command() == 2
    said = capsys.readouterr().err
    assert "say otherwise which value is which class" in said and str(swapped) in said and "-l" in said
    assert not (folders[0] / "summary.json").exists()
    assert command("-l", swapped, "--quiet") == 0
    swapped.write_text(json.dumps({"hello": 1}))  # of something else
    assert command("--quiet") == 0
    swapped.write_text(json.dumps(DESCRIPTION | {"labels": {"background": 0, "hepar": 1, "spleen": 2, "aorta": 3}}))
    assert command("--quiet") == 0
    assert list(summary_of(folders)["classes"]) == ["liver", "spleen"]


def test_dicom_seg_beside_masks_is_no_second_mask(folders, command):
    (folders[0] / "case_1.dcm").write_bytes(b"the same as DICOM SEG")
    assert command("--quiet") == 0
    assert summary_of(folders)["mean"]["n"] == 4
    (folders[0] / "case_3.dcm").write_bytes(b"of no mask")
    assert command("--quiet") == 3


def test_two_classes_of_one_value_are_refused(command, tmp_path, capsys):
    (tmp_path / "plans.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1, "spleen": 1}}))
    assert command("-l", tmp_path / "plans.json") == 2
    assert "two classes have one value" in capsys.readouterr().err


def test_an_evaluation_of_nothing_is_told(folders, command, tmp_path, capsys):
    for path in (*folders[0].iterdir(), *folders[1].iterdir()):
        nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_filename(path)
    (tmp_path / "plans.json").write_text(json.dumps({"labels": {"background": 0, "aorta": 7}}))
    assert command("-l", tmp_path / "plans.json") == 0
    assert "nothing was compared" in capsys.readouterr().err
