from __future__ import annotations

import json
import os
import sys

import highdicom
import nibabel as nib
import numpy as np
import pytest

from darnet.cli.predict import main

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


@pytest.fixture
def model(tmp_path, make_small_plans, write_results):
    plans = make_small_plans((5.0, 2.0, 2.0), patch_size=(8, 16, 16), low=-200.0, high=300.0)
    return write_results(tmp_path / "results" / plans.dataset, plans, folds=(0, 1))


@pytest.fixture
def scans(tmp_path, small_scan):
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed, case in enumerate(("a", "b", "c")):
        nib.Nifti1Image(small_scan(seed)[0], AFFINE).to_filename(folder / f"{case}_0000.nii.gz")
    return folder


@pytest.fixture
def command(tmp_path, model, scans):
    def run(*flags, source=None, output="out", chosen=("-m", None)):
        chosen = ("-m", model) if chosen == ("-m", None) else chosen
        fixed = ("-i", source or scans, "-o", tmp_path / output, *chosen, "-device", "cpu")
        return main([str(flag) for flag in (*fixed, *flags)])

    return run


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_chosen_without_a_choice_is_said(command, scans, capsys):
    assert command("--chosen", "--quiet", source=scans / "a_0000.nii.gz") == 0
    assert "warning: --chosen changes nothing: there is no round of self-training in" in capsys.readouterr().err


def test_folder(command, tmp_path, model, capsys, hashes_of_tree, scans):
    before = hashes_of_tree(scans), hashes_of_tree(model)
    assert command() == 0
    assert names(tmp_path / "out") == ["a.nii.gz", "b.nii.gz", "c.nii.gz", "prediction.json"]
    said = capsys.readouterr().out
    assert "2 networks of" in said
    assert "3 cases segmented" in said
    labels = nib.load(tmp_path / "out" / "a.nii.gz")
    assert labels.shape == (16, 14, 8)
    np.testing.assert_array_equal(labels.affine, AFFINE)
    assert set(np.unique(np.asanyarray(labels.dataobj))) <= {0, 1, 2}
    assert (hashes_of_tree(scans), hashes_of_tree(model)) == before


def test_the_record_tells_how_long_the_networks_were_trained(command, tmp_path):
    assert command() == 0
    iterations = json.loads((tmp_path / "out" / "prediction.json").read_text())["iterations"]
    assert sorted(iterations) == ["0", "1"]
    assert all(set(own) == {"done", "planned"} for own in iterations.values())


def test_single_file_of_any_name(command, tmp_path, scans):
    (scans / "a_0000.nii.gz").rename(tmp_path / "some scan.nii.gz")
    assert command(source=tmp_path / "some scan.nii.gz") == 0
    assert names(tmp_path / "out") == ["prediction.json", "some scan.nii.gz"]


def test_dicom_slices_give_the_same_mask_as_nifti(command, tmp_path, scans, small_scan, write_dicom):
    """Geometry read back: the mask of a folder of slices lies where that of the same scan in NIfTI does."""
    array, folder = small_scan(0)[0], tmp_path / "Serie 1 ä"
    folder.mkdir()
    for k in range(array.shape[2]):
        # Names run against positions; L, P, S of DICOM is R, A, S of NIfTI with two signs turned.
        write_dicom(folder / f"IM{array.shape[2] - k:03d}.dcm", array[:, :, k].T, (0, 0, 5.0 * k), spacing=(2.0, 2.0))
    nib.Nifti1Image(array, AFFINE).to_filename(tmp_path / "whole.nii.gz")
    assert command(source=folder) == 0
    assert command(source=tmp_path / "whole.nii.gz", output="other") == 0
    ours, theirs = (nib.load(tmp_path / p) for p in ("out/Serie 1 ä.nii.gz", "other/whole.nii.gz"))
    np.testing.assert_allclose(ours.affine, AFFINE, atol=1e-5)
    np.testing.assert_array_equal(np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj))
    assert ours.header.get_xyzt_units()[0] == "mm"


FRAME = {"g0020_0052": (b"UI", b"1.2.3.8")}


@pytest.fixture
def series(tmp_path, small_scan, write_dicom):
    """An oblique series whose names run against positions."""
    array, folder = small_scan(0)[0], tmp_path / "series"
    row, column = np.array([0.96, 0.28, 0.0]), np.array([-0.28, 0.96, 0.0])
    folder.mkdir()
    for k in range(array.shape[2]):
        write_dicom(folder / f"{9 - k}.dcm", array[:, :, k].T, (5.0, -7.0, 5.0 * k), row, column, (2.0, 2.0), **FRAME)
    return folder


def test_dicom_seg_lies_where_the_nifti_mask_does(command, tmp_path, series, capfd):
    assert command("--dicom_seg", "--quiet", source=series) == 0
    assert capfd.readouterr() == ("", "")
    assert names(tmp_path / "out") == ["prediction.json", "series.dcm", "series.nii.gz"]
    mask = nib.load(tmp_path / "out" / "series.nii.gz")
    expected = np.asanyarray(mask.dataobj)
    assert expected.any()
    seg = highdicom.seg.segread(tmp_path / "out" / "series.dcm")
    assert [seg.get_segment_description(n).SegmentLabel for n in seg.segment_numbers] == ["cube", "rod"]
    volume = seg.get_volume(combine_segments=True, rescale_fractional=False)
    indices = np.argwhere(volume.array)
    places = volume.map_indices_to_reference(indices) * [-1, -1, 1]
    voxels = nib.affines.apply_affine(np.linalg.inv(mask.affine), places)
    np.testing.assert_allclose(voxels, np.rint(voxels), atol=1e-3)
    found = np.zeros_like(expected)
    found[tuple(np.rint(voxels).astype(int).T)] = volume.array[tuple(indices.T)]
    np.testing.assert_array_equal(found, expected)


def test_continue_writes_a_dicom_seg_that_is_missing(command, tmp_path, series):
    assert command("--continue", source=series) == 0
    assert command("--continue", "--dicom_seg", source=series) == 0
    assert (tmp_path / "out" / "series.dcm").is_file()


def test_dicom_seg_of_slices_that_cannot_be_referred_to(command, tmp_path, series, write_dicom, capsys):
    pixels = np.zeros((14, 16), np.int16)
    write_dicom(series / "5.dcm", pixels, (5, -7, 20), (0.96, 0.28, 0), (-0.28, 0.96, 0), (2, 2))
    assert command("--dicom_seg", source=series) == 3
    error = capsys.readouterr().err
    assert "no Frame of Reference UID" in error
    assert "5.dcm" in error
    assert not (tmp_path / "out").exists()


def test_dicom_seg_of_nifti(command, tmp_path, capsys):
    assert command("--dicom_seg") == 2
    assert "the input is NIfTI" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_dicom_seg_without_highdicom(command, tmp_path, series, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert command("--dicom_seg", source=series) == 2
    assert "pip install 'darnet[dicom]'" in capsys.readouterr().err
    assert command(source=series) == 0


def test_a_slice_of_a_series_is_missing(command, tmp_path, small_scan, write_dicom, capsys):
    folder = tmp_path / "series"
    folder.mkdir()
    for k in (0, 1, 2, 4, 5):
        write_dicom(folder / f"{k}.dcm", small_scan(0)[0][:, :, k].T, (0, 0, 5.0 * k))
    assert command(source=folder) == 3
    assert "not evenly spaced" in capsys.readouterr().err
    assert not (tmp_path / "out" / "series.nii.gz").exists()


def test_quiet(command, capfd):
    assert command("--quiet", source=None) == 0
    assert capfd.readouterr() == ("", "")


def test_data_set_instead_of_a_folder(command, tmp_path, capsys):
    assert command("--root", tmp_path, chosen=("-d", "7"), output="one") == 0
    assert command(output="two") == 0
    for name in names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_probabilities_and_previews(command, tmp_path, scans):
    assert command("--save_probabilities", "--preview", source=scans / "a_0000.nii.gz") == 0
    assert names(tmp_path / "out") == ["a.nii.gz", "a.npz", "a.png", "prediction.json"]
    with np.load(tmp_path / "out" / "a.npz") as file:
        np.testing.assert_allclose(file["probabilities"].astype(float).sum(0), 1, atol=5e-3)


@pytest.mark.parametrize(("flags", "count"), [(["-f", "0"], 1), (["-f", "0", "1"], 2), (["-f", "all"], 2), ([], 2)])
def test_folds(command, capsys, flags, count):
    assert command(*flags) == 0
    assert f"{count} network{'s' * (count > 1)} of" in capsys.readouterr().out


def test_continue(command, tmp_path, capsys):
    assert command() == 0
    (tmp_path / "out" / "b.nii.gz").unlink()
    first = (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns
    capsys.readouterr()
    assert command("--continue") == 0
    said = capsys.readouterr().out
    assert "2 of 3 cases are done already" in said
    assert "1 case segmented" in said
    assert (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns == first
    assert (tmp_path / "out" / "b.nii.gz").exists()


def test_parts_are_all_cases_and_none_twice(command, tmp_path):
    made = []
    for part in range(2):
        output = f"part_{part}"
        assert command("-num_parts", 2, "-part_id", part, output=output) == 0
        made += [name for name in names(tmp_path / output) if name.endswith(".nii.gz")]
    assert sorted(made) == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-num_parts", "2", "-part_id", "2"], "there is no such part"),
        (["-part_id", "1"], "there is no such part"),
        (["-num_parts", "0"], "at least 1"),
        (["-part_id", "-1"], "-part_id"),
        (["-step_size", "0"], "above 0 and at most 1"),
        (["-step_size", "1.5"], "above 0 and at most 1"),
        (["-step_size", "nan"], "above 0 and at most 1"),
        (["-f", "7"], "fold 7 is not trained"),
        (["-f", "0", "3", "4"], "fold 3, 4 is not trained"),
        (["-f"], "-f"),
        (["--save_prob"], "--save_prob"),
        (["-device", "tpu"], "invalid choice"),
        (["-d", "7"], "not allowed with"),
    ],
)
def test_wrong_flags(command, tmp_path, capsys, flags, words):
    assert command(*flags) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "darnet_predict" in said
    assert not (tmp_path / "out").exists()


def test_required_flags(capsys):
    for flags in ([], ["-i", "x"], ["-i", "x", "-o", "y"], ["-o", "y", "-d", "7"]):
        assert main(flags) == 2
        assert "required" in capsys.readouterr().err


def test_no_trained_network(command, tmp_path, capsys):
    (tmp_path / "bare").mkdir()
    for folder in ("bare", "missing"):
        assert command(chosen=("-m", tmp_path / folder)) == 2
        said = capsys.readouterr().err
        assert "there is no trained network" in said
        assert folder in said
        assert "darnet_train" in said
    assert not (tmp_path / "out").exists()


def test_no_such_data_set(command, tmp_path, capsys):
    assert command("--root", tmp_path, chosen=("-d", "8")) == 2
    assert "there is no data set 8" in capsys.readouterr().err


def test_damaged_checkpoint(command, model, tmp_path, capsys):
    path = model / "segmentation" / "fold_1" / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 8
    path.write_bytes(content)
    assert command() == 2
    said = capsys.readouterr().err
    assert "the checkpoint is damaged" in said
    assert str(path) in said
    assert not (tmp_path / "out").exists()
    assert command("-f", "0") == 0


def test_checkpoint_of_another_plan(command, model, capsys, make_small_plans):
    from darnet.io import write_json

    write_json(model / "plans.json", make_small_plans((5.0, 3.0, 3.0)).to_json())
    assert command() == 2
    assert "trained with another plan" in capsys.readouterr().err


def test_output_that_is_a_file(command, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for output in ("file", "file/below", "a.nii.gz"):
        assert command(output=output) == 2
        assert "output" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_read_only_output(command, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert command(output="locked") == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_other_files_are_never_replaced(command, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.nii.gz").write_bytes(b"a segmentation by hand")
    assert command() == 2
    assert "would replace files that are no predictions" in capsys.readouterr().err
    assert (tmp_path / "out" / "b.nii.gz").read_bytes() == b"a segmentation by hand"
    assert names(tmp_path / "out") == ["b.nii.gz"]


def test_results_may_be_written_again(command, tmp_path):
    assert command() == 0
    before = (tmp_path / "out" / "a.nii.gz").read_bytes()
    (tmp_path / "out" / "a.nii.gz").write_bytes(b"half a result")
    assert command() == 0
    assert (tmp_path / "out" / "a.nii.gz").read_bytes() == before
