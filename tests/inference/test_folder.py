from __future__ import annotations

import dataclasses
import json
import os

import nibabel as nib
import numpy as np
import pytest
import torch

from darnet.errors import ConfigurationError, DataError, SomeCasesFailed
from darnet.inference import FolderOptions, InputCase, Predictor, check_output, find_inputs, predict_folder, select_part
from darnet.inference.doubts import other_size
from darnet.io import only_one
from darnet.plans import DomainPlan, IntensityPlan
from darnet.words import number

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


def brightness(x):
    """Class 1 where the patch is bright."""
    return torch.cat((-10 * x, 10 * x, torch.full_like(x, -20)), 1)


@pytest.fixture
def scans(tmp_path, small_scan):
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed, case in enumerate(("a", "b", "c")):
        nib.Nifti1Image(small_scan(seed)[0], AFFINE).to_filename(folder / f"{case}_0000.nii.gz")
    return folder


@pytest.fixture
def predictor(make_small_plans):
    return Predictor(make_small_plans(spacing=(5.0, 2.0, 2.0), low=-100.0, high=300.0), [brightness])


QUIET = FolderOptions(quiet=True)


def predict(scans, output, predictor, options=QUIET):
    said: list[str] = []
    return predict_folder(scans, output, predictor, options, notice=said.append), said


def test_a_folder(scans, tmp_path, predictor):
    paths, _ = predict(scans, tmp_path / "out", predictor)
    assert [p.name for p in paths] == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]
    assert nib.load(paths[0]).shape == nib.load(scans / "a_0000.nii.gz").shape


def test_one_scan_of_any_name(scans, tmp_path, predictor):
    (scans / "c_0000.nii.gz").rename(tmp_path / "patient 7.nii.gz")
    paths, _ = predict(tmp_path / "patient 7.nii.gz", tmp_path / "out", predictor)
    assert paths == [tmp_path / "out" / "patient 7.nii.gz"]
    assert paths[0].exists()


def test_probabilities_and_previews(scans, tmp_path, predictor):
    options = FolderOptions(save_probabilities=True, preview=True, quiet=True)
    predict(scans / "a_0000.nii.gz", tmp_path / "out", predictor, options)
    stored = np.load(tmp_path / "out" / "a.npz")["probabilities"]
    labels = np.asarray(nib.load(tmp_path / "out" / "a.nii.gz").dataobj)
    assert stored.shape == (3, *labels.shape)
    assert (stored.argmax(0) == labels).mean() > 0.99
    assert (tmp_path / "out" / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_a_damaged_scan_does_not_stop_the_others(scans, tmp_path, predictor):
    data = (scans / "b_0000.nii.gz").read_bytes()
    (scans / "b_0000.nii.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(SomeCasesFailed, match="1 of 3") as caught:
        predict(scans, tmp_path / "out", predictor)
    assert "b_0000.nii.gz" in str(caught.value)
    assert sorted(p.name for p in (tmp_path / "out").glob("*.nii.gz")) == ["a.nii.gz", "c.nii.gz"]


def test_damaged_scans_alone(scans, tmp_path, predictor):
    for path in scans.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="3 faults"):
        predict(scans, tmp_path / "out", predictor)
    assert not (tmp_path / "out").exists()


def test_no_mask_is_written_from_values_that_are_not_finite(scans, tmp_path, make_small_plans):
    broken = Predictor(make_small_plans(), [lambda x: torch.full((len(x), 3, *x.shape[2:]), float("nan"))])
    with pytest.raises(DataError, match="not finite"):
        predict(scans / "a_0000.nii.gz", tmp_path / "out", broken)
    assert not list(tmp_path.glob("out/*.nii.gz"))


def test_going_on(scans, tmp_path, predictor):
    predict(scans, tmp_path / "out", predictor)
    (tmp_path / "out" / "b.nii.gz").unlink()
    before = (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns
    _, said = predict(scans, tmp_path / "out", predictor, FolderOptions(resume=True, quiet=True))
    assert "2 of 3 cases are done already" in said[0]
    assert (tmp_path / "out" / "b.nii.gz").exists()
    assert (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns == before


@pytest.mark.parametrize("num_parts", [1, 2, 3, 7])
def test_parts_are_all_cases_once(num_parts):
    cases = [InputCase(str(n), None, ".nii.gz") for n in range(5)]
    parts = [case for part in range(num_parts) for case in select_part(cases, num_parts, part)]
    assert sorted(case.case_id for case in parts) == [case.case_id for case in cases]
    with pytest.raises(ConfigurationError, match="no such part"):
        select_part(cases, num_parts, num_parts)


def test_files_that_are_no_predictions_are_never_replaced(scans, tmp_path, predictor):
    output = tmp_path / "labels"
    output.mkdir()
    (output / "b.nii.gz").write_bytes(b"drawn by hand")
    with pytest.raises(ConfigurationError, match="would replace"):
        predict(scans, output, predictor)
    assert [p.name for p in output.iterdir()] == ["b.nii.gz"]


def test_outputs_that_are_no_folder(scans, tmp_path):
    cases = find_inputs(scans)
    (tmp_path / "file").write_text("x")
    for output in (tmp_path / "file", tmp_path / "mask.nii.gz"):
        with pytest.raises(ConfigurationError, match="not a folder"):
            check_output(output, cases, QUIET)


def test_inputs_that_are_none(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist"):
        find_inputs(tmp_path / "none")
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match="not a scan"):
        find_inputs(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no scan"):
        find_inputs(tmp_path / "empty")


def test_going_on_beside_masks_that_were_edited_or_damaged(scans, tmp_path, predictor):
    predict(scans, tmp_path / "out", predictor)
    edited, damaged = tmp_path / "out" / "a.nii.gz", tmp_path / "out" / "b.nii.gz"
    image = nib.load(edited)
    nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine).to_filename(edited)
    kept, whole = edited.read_bytes(), damaged.read_bytes()
    damaged.write_bytes(whole[:-20])
    _, said = predict(scans, tmp_path / "out", predictor, FolderOptions(resume=True, quiet=True))
    assert any(f"{damaged} is made again" in line for line in said)
    assert any("kept as they are: a.nii.gz" in line for line in said)
    assert edited.read_bytes() == kept
    assert damaged.read_bytes() == whole


def summary_of(*cases):
    return json.dumps({"mean": {}, "classes": {}, "cases": [{"case": case} for case in cases]})


def test_previews_and_scores_of_earlier_masks_do_not_stay(scans, tmp_path, predictor):
    output = tmp_path / "out"
    predict(scans, output, predictor, FolderOptions(preview=True, quiet=True))
    (output / "summary.json").write_text(summary_of("a", "b"))
    _, said = predict(scans, output, predictor, FolderOptions(resume=True, quiet=True))
    assert (output / "summary.json").exists(), "no mask was made again"
    _, said = predict(scans / "c_0000.nii.gz", output, predictor, FolderOptions(preview=True, quiet=True))
    assert not any("removed" in line for line in said)
    assert (output / "summary.json").exists(), "it has no scores of c"
    _, said = predict(scans / "a_0000.nii.gz", output, predictor)
    assert "removed, as they tell of earlier masks: a.png, summary.json" in said
    assert not (output / "summary.json").exists()
    assert sorted(p.name for p in output.glob("*.png")) == ["b.png", "c.png"]


def test_what_darnet_did_not_write_stays(scans, tmp_path, predictor):
    output = tmp_path / "out"
    predict(scans, output, predictor)
    others = {"a.png": b"\x89PNG of someone else", "a.npz": b"x", "summary.json": b'{"cases": "of a hospital"}'}
    for name, content in others.items():
        (output / name).write_bytes(content)
    _, said = predict(scans, output, predictor)
    assert "kept, but perhaps of earlier masks: a.npz, a.png" in said
    assert {name: (output / name).read_bytes() for name in others} == others


@pytest.mark.parametrize(
    ("modality", "rule", "shift", "words"),
    [("MR", "percentile", -80, "as of CT"), ("CT", "window", 824, "hardly Hounsfield units"),
     ("MR", "percentile", 0, None), ("CT", "window", -200, None), ("unknown", "percentile", -80, None)],
)  # fmt: skip
def test_values_of_another_kind_are_told(scans, tmp_path, make_small_plans, small_scan, modality, rule, shift, words):
    low, high = (0.5, 99.5) if rule == "percentile" else (-100.0, 300.0)
    plans = make_small_plans(spacing=(5.0, 2.0, 2.0))
    plans = dataclasses.replace(plans, target=DomainPlan(modality, IntensityPlan(rule, low, high)))
    scan = nib.Nifti1Image((small_scan(4)[0] + shift).astype(np.float32), AFFINE)
    scan.to_filename(tmp_path / "odd_0000.nii.gz")
    told: list[str] = []
    predict(tmp_path / "odd_0000.nii.gz", tmp_path / "out", Predictor(plans, [brightness], notice=told.append))
    if words is None:
        assert told == []
        return
    (doubt,) = told
    assert doubt.startswith("case odd: doubtful: its values within the body are ")
    assert f"{words}, but the model is for {modality};" in doubt


def test_planes_of_another_direction_are_told(scans, tmp_path, predictor, small_scan):
    axial = np.asarray(small_scan(4)[0])  # (i, j, k), k to superior
    coronal = nib.Nifti1Image(np.swapaxes(axial, 1, 2), np.diag([-2.0, -2.0, 5.0, 1.0])[:, [0, 2, 1, 3]])
    sparse = np.diag([-2.0, -5.0, 2.0, 1.0])  # 5 mm from anterior to posterior: coronal planes
    folder = tmp_path / "mixed"
    folder.mkdir()
    coronal.to_filename(folder / "turned_0000.nii.gz")
    nib.Nifti1Image(axial, sparse).to_filename(folder / "coronal_0000.nii.gz")
    nib.Nifti1Image(axial, np.diag([-4.0, -4.0, 4.0, 1.0])).to_filename(folder / "cube_0000.nii.gz")
    with pytest.warns(UserWarning, match="doubtful") as told:
        predict(folder, tmp_path / "out", predictor)
    (doubt,) = (str(warning.message) for warning in told)
    assert doubt.startswith("case coronal: doubtful: the planes are coronal, those of most training scans axial")
    with pytest.warns(UserWarning, match="the planes are coronal"):
        predictor.predict(folder / "coronal_0000.nii.gz")


def test_a_mask_of_another_scan_is_not_replaced(scans, tmp_path, predictor):
    """Series of two patients often bear one name."""
    for patient, case in enumerate("ab"):
        (tmp_path / str(patient)).mkdir()
        (scans / f"{case}_0000.nii.gz").rename(tmp_path / str(patient) / "series.nii.gz")
    predict(tmp_path / "0" / "series.nii.gz", tmp_path / "out", predictor)
    mask = (tmp_path / "out" / "series.nii.gz").read_bytes()
    for resume in (False, True):
        with pytest.raises(DataError, match="of another scan of the same name"):
            predict(tmp_path / "1" / "series.nii.gz", tmp_path / "out", predictor, FolderOptions(resume=resume))
    assert (tmp_path / "out" / "series.nii.gz").read_bytes() == mask
    predict(tmp_path / "0" / "series.nii.gz", tmp_path / "out", predictor)


def test_a_scan_of_a_folder_that_changed_is_segmented_again_where_the_run_goes_on(scans, tmp_path, predictor):
    predict(scans, tmp_path / "out", predictor)
    mask = (tmp_path / "out" / "a.nii.gz").read_bytes()
    (scans / "b_0000.nii.gz").rename(scans / "a_0000.nii.gz")
    with pytest.raises(SomeCasesFailed, match="of another scan"):
        predict(scans, tmp_path / "out", predictor)
    assert (tmp_path / "out" / "a.nii.gz").read_bytes() == mask
    _, said = predict(scans, tmp_path / "out", predictor, FolderOptions(resume=True, quiet=True))
    assert "scans have changed: a" in said
    assert (tmp_path / "out" / "a.nii.gz").read_bytes() != mask


@pytest.mark.parametrize("header", [True, False])
def test_a_mask_corrected_by_hand_is_not_replaced(scans, tmp_path, predictor, header):
    output = tmp_path / "out"
    predict(scans, output, predictor, FolderOptions(preview=True, quiet=True))
    (output / "summary.json").write_text(summary_of("a"))
    image = nib.load(output / "a.nii.gz")
    voxels = np.asanyarray(image.dataobj).copy()
    voxels[0, 0, 0] = 1 - voxels[0, 0, 0]
    nib.Nifti1Image(voxels, image.affine, image.header if header else None).to_filename(output / "a.nii.gz")
    kept = (output / "a.nii.gz").read_bytes()
    with pytest.raises(SomeCasesFailed, match="written or changed by another program"):
        predict(scans, output, predictor)
    assert (output / "a.nii.gz").read_bytes() == kept
    assert (output / "a.png").exists() and (output / "summary.json").exists()
    _, said = predict(scans, output, predictor, FolderOptions(resume=True, quiet=True))
    assert any("kept as they are: a.nii.gz" in line for line in said)


def test_scores_stay_where_the_scan_of_a_mask_can_no_longer_be_read(scans, tmp_path, predictor):
    output = tmp_path / "out"
    predict(scans, output, predictor, FolderOptions(preview=True, quiet=True))
    (output / "summary.json").write_text(summary_of("a"))
    (scans / "a_0000.nii.gz").write_bytes(b"nothing")
    with pytest.raises(SomeCasesFailed):
        predict(scans, output, predictor, FolderOptions(preview=True, quiet=True))
    assert (output / "a.png").exists() and (output / "summary.json").exists()
    said: list[str] = []
    with pytest.raises(SomeCasesFailed):
        predict_folder(scans, output, predictor, QUIET, notice=said.append)
    assert f"note: a: {output / 'a.nii.gz'} stays as it was before" in said


def test_masks_of_other_classes_are_not_mixed(scans, tmp_path, predictor, make_small_plans):
    predict(scans / "a_0000.nii.gz", tmp_path / "out", predictor)
    plans = make_small_plans(spacing=(5.0, 2.0, 2.0), low=-100.0, high=300.0)
    names = list(plans.labels)
    swapped = plans.labels | {names[1]: plans.labels[names[2]], names[2]: plans.labels[names[1]]}
    other = Predictor(dataclasses.replace(plans, labels=swapped), [brightness])
    with pytest.raises(ConfigurationError, match="other classes") as refused:
        predict(scans / "b_0000.nii.gz", tmp_path / "out", other)
    assert "another folder with -o" in str(refused.value)
    assert not (tmp_path / "out" / "b.nii.gz").exists()
    (tmp_path / "out" / "prediction.json").write_text("{")
    predict(scans / "b_0000.nii.gz", tmp_path / "out", other)


def test_a_mask_with_the_other_ending_is_told(scans, tmp_path, predictor):
    predict(scans / "a_0000.nii.gz", tmp_path / "out", predictor)
    nib.load(scans / "b_0000.nii.gz").to_filename(tmp_path / "a.nii")
    with pytest.raises(DataError, match="with another ending is there"):
        predict(tmp_path / "a.nii", tmp_path / "out", predictor)
    assert not (tmp_path / "out" / "a.nii").exists()


@pytest.mark.parametrize(("scale", "told"), [(0.1, True), (1.0, False), (10.0, True)])
def test_a_body_of_another_size_is_told(make_small_plans, scale, told):
    plans = make_small_plans(spacing=(5.0, 2.0, 2.0))
    h, w = plans.translation.slice_size
    said = other_size((round(h * scale) or 1, round(w * scale) or 1), plans)
    assert (said is not None) == told
    if told:
        assert f"{number(round(h * scale) * 2.0)} x {number(round(w * scale) * 2.0)} mm in plane" in said
        assert f"about {number(h * 2.0)} x {number(w * 2.0)} mm" in said


@pytest.mark.parametrize("name", ["_0000.nii.gz", ".nii.gz", ".nii"])
def test_a_scan_without_a_name_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match="no name of its own"):
        find_inputs(tmp_path / name)


def test_an_export_of_several_series_is_told_beside_other_files(tmp_path):
    for series in ("t1", "t2"):
        (tmp_path / series).mkdir()
        (tmp_path / series / "1.dcm").write_bytes(bytes(128) + b"DICM")
    for other in ("README.txt", "DICOMDIR"):
        (tmp_path / other).write_bytes(bytes(128) + b"DICM" if other == "DICOMDIR" else b"x")
        with pytest.raises(DataError, match="several folders with DICOM slices") as refused:
            find_inputs(tmp_path)
        assert "t1, t2" in str(refused.value)


ALL_BESIDE = FolderOptions(resume=True, preview=True, save_probabilities=True, quiet=True)


@pytest.mark.parametrize("beside", [{"preview": True}, {"save_probabilities": True}])
def test_going_on_with_another_network_is_refused_whatever_else_is_written(scans, tmp_path, predictor, beside):
    predict(scans, tmp_path / "out", predictor)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    other = Predictor(predictor.plans, [brightness], step_size=0.7)
    with pytest.raises(ConfigurationError, match="of other networks"):
        predict(scans, tmp_path / "out", other, FolderOptions(resume=True, quiet=True, **beside))
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_going_on_keeps_a_mask_corrected_by_hand_and_tells_what_is_not_written_for_it(scans, tmp_path, predictor):
    output = tmp_path / "out"
    predict(scans, output, predictor)
    image = nib.load(output / "a.nii.gz")
    nib.Nifti1Image((np.asanyarray(image.dataobj) == 0).astype(np.uint8), image.affine).to_filename(output / "a.nii.gz")
    kept = (output / "a.nii.gz").read_bytes()
    _, said = predict(scans, output, predictor, ALL_BESIDE)
    assert "written by another program and kept as they are: a.nii.gz" in said
    assert "not written, as those masks are not of these networks: a.npz, a.png" in said
    assert (output / "a.nii.gz").read_bytes() == kept
    assert sorted(path.name for path in output.glob("*.npz")) == ["b.npz", "c.npz"]
    assert sorted(path.name for path in output.glob("*.png")) == ["b.png", "c.png"]


def test_going_on_draws_pictures_of_masks_that_are_there(scans, tmp_path, predictor, monkeypatch):
    preview = FolderOptions(resume=True, preview=True, quiet=True)
    predict(scans, tmp_path / "new", predictor, preview)
    predict(scans, tmp_path / "out", predictor)
    monkeypatch.setattr(Predictor, "predict_array", lambda *_, **__: pytest.fail("segmented again"))
    _, said = predict(scans, tmp_path / "out", predictor, preview)
    assert "3 of 3 cases are done already" in said
    for case in "abc":
        assert (tmp_path / "out" / f"{case}.png").read_bytes() == (tmp_path / "new" / f"{case}.png").read_bytes()


@pytest.mark.parametrize("there", ["here", "link", "folder"])
def test_a_folder_that_was_there_before_stays_where_nothing_is_written(scans, tmp_path, predictor, monkeypatch, there):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    monkeypatch.chdir(tmp_path / ("folder" if there == "here" else "."))
    (scans / "a_0000.nii.gz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="a_0000"):
        predict(scans / "a_0000.nii.gz", "." if there == "here" else there, predictor)
    predict(scans, "." if there == "here" else there, predictor, FolderOptions(num_parts=4, part_id=3, quiet=True))
    assert (tmp_path / "link").is_symlink()
    assert list((tmp_path / "folder").iterdir()) == []


def test_masks_of_an_earlier_run_count_where_the_rest_fails(scans, tmp_path, predictor):
    predict(scans / "a_0000.nii.gz", tmp_path / "out", predictor)
    for case in "bc":
        (scans / f"{case}_0000.nii.gz").write_bytes(b"nothing")
    with pytest.raises(SomeCasesFailed, match="2 of 3 cases failed"):
        predict(scans, tmp_path / "out", predictor, FolderOptions(resume=True, quiet=True))


def test_no_case_counts_where_all_masks_stay(scans, tmp_path, predictor):
    predict(scans, tmp_path / "out", predictor)
    for case in "abc":
        image = nib.load(tmp_path / "out" / f"{case}.nii.gz")
        nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine).to_filename(tmp_path / "out" / f"{case}.nii.gz")
    with pytest.raises(DataError, match="3 faults"):
        predict(scans, tmp_path / "out", predictor)


@pytest.mark.parametrize(
    ("held", "parts"), [("0_of_1", (2, 0)), ("0_of_1", (2, 1)), ("1_of_2", (1, 0)), ("1_of_3", (2, 0))]
)
def test_another_division_of_the_scans_is_refused(scans, tmp_path, predictor, held, parts):
    options = FolderOptions(num_parts=parts[0], part_id=parts[1], quiet=True)
    with only_one(tmp_path / "out" / f".part_{held}.lock", "predicts", keep=False):
        with pytest.raises(ConfigurationError, match="another process predicts") as refused:
            predict(scans, tmp_path / "out", predictor, options)
        assert f"process {os.getpid()} on" in str(refused.value)
        assert not list((tmp_path / "out").glob("*.nii.gz"))
    assert len(predict(scans, tmp_path / "out", predictor, options)[0]) in (1, 2, 3)


def test_parts_of_one_division_run_side_by_side(scans, tmp_path, predictor):
    with only_one(tmp_path / "out" / ".part_1_of_2.lock", "predicts", keep=False):
        predict(scans, tmp_path / "out", predictor, FolderOptions(num_parts=2, part_id=0, quiet=True))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")) == ["a.nii.gz", "c.nii.gz"]


def test_a_lock_that_a_killed_run_of_another_division_left_does_not_count(scans, tmp_path, predictor):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".part_0_of_2.lock").touch()
    assert len(predict(scans, tmp_path / "out", predictor)[0]) == 3


def test_the_given_name_of_a_series_wins_over_that_of_the_folder_it_links_to(tmp_path, monkeypatch):
    series = tmp_path / "store" / "series"
    (series / "below").mkdir(parents=True)
    (series / "1.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "patient_07").symlink_to(series)
    assert find_inputs(tmp_path / "patient_07")[0].case_id == "patient_07"
    for inside, given in ((series, "."), (series / "below", "..")):
        monkeypatch.chdir(inside)
        assert find_inputs(given)[0].case_id == "series"


@pytest.mark.parametrize("kind", ["file", "series"])
def test_names_that_are_too_long_are_refused(tmp_path, kind):
    for length in (200, 201):
        source = tmp_path / ("ü" * 100 + "n" * (length - 200) + (".nii.gz" if kind == "file" else ""))
        if kind == "file":
            source.write_bytes(b"x")
        else:
            source.mkdir()
            (source / "1.dcm").write_bytes(bytes(128) + b"DICM")
        if length == 200:
            assert find_inputs(source)[0].case_id == "ü" * 100
            continue
        with pytest.raises(DataError, match="name of a case is too long") as refused:
            find_inputs(source)
        assert "201 bytes" in str(refused.value) and "at most 200" in str(refused.value)
