from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import pytest

from darnet.errors import ConfigurationError, DataError
from darnet.evaluation import Scores, evaluate_folders, find_labels

LABELS = {"background": 0, "liver": 1, "spleen": 2}
AFFINE = np.array([[0, -2.0, 0, 5], [1.0, 0, 0, -7], [0, 0, 5.0, 3], [0, 0, 0, 1]])


def reference_array():
    array = np.zeros((8, 9, 6), np.uint8)
    array[1:5, 1:6, 1:4] = 1
    array[6, 6:8, 2:4] = 2
    return array


def save(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(array, affine).to_filename(path)


@pytest.fixture
def folders(tmp_path):
    for case in ("a", "b"):
        save(tmp_path / "p" / f"{case}.nii.gz", reference_array())
        save(tmp_path / "r" / f"{case}.nii.gz", reference_array())
    return tmp_path / "p", tmp_path / "r"


def test_equal_labels(folders):
    summary = evaluate_folders(*folders, LABELS)
    assert [case.case_id for case in summary.cases] == ["a", "b"]
    assert all(s == Scores(1.0, 0.0, 0.0) for case in summary.cases for s in case.classes.values())
    assert list(summary.classes) == ["liver", "spleen"]
    assert summary.notes == ()


def test_spacing_is_that_of_the_array_axes(folders):
    predicted, true = np.zeros((8, 9, 6), np.uint8), np.zeros((8, 9, 6), np.uint8)
    predicted[:, 2], true[:, 6] = 1, 1  # four voxels of 2 mm along j
    save(folders[0] / "a.nii.gz", predicted)
    save(folders[1] / "a.nii.gz", true)
    liver = evaluate_folders(*folders, LABELS).cases[0].classes["liver"]
    assert (liver.asd_mm, liver.asd_voxels) == pytest.approx((8.0, 4.0))


def test_endings_and_dtypes_may_differ(folders):
    for path in folders[0].iterdir():
        path.unlink()
    for case in ("a", "b"):
        save(folders[0] / f"{case}.nii", reference_array().astype(np.float32))
    (folders[0] / "a.png").write_bytes(b"a picture")
    (folders[0] / "._a.nii.gz").write_bytes(b"hidden")
    assert evaluate_folders(*folders, LABELS).mean.dice_mean == 1.0


def test_a_missing_prediction_counts_as_predicted_empty(folders):
    (folders[0] / "b.nii.gz").unlink()
    array = reference_array()
    array[array == 2] = 0
    save(folders[1] / "b.nii.gz", array)
    summary = evaluate_folders(*folders, LABELS)
    case = summary.cases[1]
    assert case.missing and not summary.cases[0].missing
    assert case.classes["liver"] == Scores(0.0, math.inf, math.inf)
    assert not case.classes["spleen"].applicable
    assert (summary.classes["liver"].failures, summary.classes["liver"].dice_mean) == (1, 0.5)
    assert len(summary.notes) == 1 and "without a prediction" in summary.notes[0] and "(1): b" in summary.notes[0]


def test_predictions_without_reference_are_noted(folders):
    save(folders[0] / "z.nii.gz", reference_array())
    summary = evaluate_folders(*folders, LABELS)
    assert len(summary.cases) == 2
    assert len(summary.notes) == 1 and "without a reference" in summary.notes[0] and "(1): z" in summary.notes[0]


def test_no_common_name_is_an_error(folders):
    for path in sorted(folders[0].iterdir()):
        path.rename(path.with_name("other_" + path.name))
    with pytest.raises(DataError, match="other_a, other_b"):
        evaluate_folders(*folders, LABELS)


@pytest.mark.parametrize(
    ("array", "affine", "message"),
    [
        (reference_array()[1:], AFFINE, r"shape \(7, 9, 6\)"),
        (np.moveaxis(reference_array(), 0, 2), AFFINE, r"shape \(9, 6, 8\)"),
        (reference_array(), AFFINE + np.diag([0, 0, 0.05, 0]), "corners up to 0.25 mm apart"),
        (reference_array(), AFFINE * [[-1], [-1], [1], [1]], "another grid"),
    ],
)
def test_another_grid_is_refused(folders, array, affine, message):
    save(folders[0] / "a.nii.gz", array, affine)
    with pytest.raises(DataError, match=message) as caught:
        evaluate_folders(*folders, LABELS)
    assert str(folders[0] / "a.nii.gz") in str(caught.value)


def test_affines_may_differ_by_rounding(folders):
    save(folders[0] / "a.nii.gz", reference_array(), AFFINE + 5e-4 * (AFFINE != 0) * [[1], [1], [1], [0]])
    assert evaluate_folders(*folders, LABELS).mean.dice_mean == 1.0


def test_all_bad_files_are_named_at_once(folders):
    strange = reference_array()
    strange[0, 0, :3] = 7
    save(folders[0] / "a.nii.gz", strange)
    save(folders[1] / "a.nii.gz", reference_array() * 0.5)
    (folders[0] / "b.nii.gz").write_bytes((folders[1] / "b.nii.gz").read_bytes()[:-20])
    for case in ("c", "d"):
        save(folders[1] / f"{case}.nii.gz", reference_array())
    save(folders[0] / "c.nii.gz", reference_array()[:, 1:])
    seen = []

    def progress(cases):
        for case in cases:
            seen.append(case)
            yield case

    with pytest.raises(DataError, match="4 faults") as caught:
        evaluate_folders(*folders, LABELS, progress)
    message = str(caught.value)
    bad = (folders[0] / "a.nii.gz", folders[1] / "a.nii.gz", folders[0] / "b.nii.gz", folders[0] / "c.nii.gz")
    assert all(str(path) in message for path in bad)
    assert "7 (3 voxels)" in message and "1 liver, 2 spleen" in message
    assert "renumbered by darnet_convert with --test_cases, into labelsTs" in message
    assert seen == ["a", "b", "c", "d"]


def test_many_strange_values_are_cut_short(folders):
    save(folders[0] / "a.nii.gz", np.arange(8 * 9 * 6, dtype=np.int16).reshape(8, 9, 6))
    with pytest.raises(DataError, match=r"12 \(1 voxels\) and 419 more values"):
        evaluate_folders(*folders, LABELS)


@pytest.mark.parametrize("labels", [{}, {"background": 0}])
def test_no_class_is_an_error(folders, labels):
    with pytest.raises(ConfigurationError, match="no class"):
        evaluate_folders(*folders, labels)


def test_missing_and_empty_folders(folders, tmp_path):
    with pytest.raises(ConfigurationError, match="no such folder"):
        evaluate_folders(tmp_path / "nowhere", folders[1], LABELS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        evaluate_folders(folders[0], tmp_path / "empty", LABELS)


def test_labels_are_found_in_the_references(folders):
    save(folders[1] / "b.nii.gz", reference_array() * 5)
    assert find_labels(folders[1]) == {"1": 1, "2": 2, "5": 5, "10": 10}


def test_labels_cannot_be_found_in_background_or_bad_files(folders):
    for path in folders[1].iterdir():
        save(path, np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(DataError, match="background"):
        find_labels(folders[1])
    for path in folders[1].iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="2 faults"):
        find_labels(folders[1])
