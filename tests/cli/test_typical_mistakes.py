"""What is typed wrong on the first day: the message says what is wrong and what to do, and nothing is written."""

from __future__ import annotations

import importlib
import shlex

import numpy as np
import pytest

MISTAKES = {
    "-d without a data set": ("darnet_train 7 0 -d", 2, "unrecognized arguments: -d"),
    "a shortened flag": ("darnet_train 7 0 -dev cpu", 2, "unrecognized arguments: -dev"),
    "no plan yet": ("darnet_train 7 0 -device cpu", 2, "run darnet_plan_and_preprocess first"),
    "no root": ("darnet_train 7 0 --root nowhere", 2, "no such folder"),
    "a file as root": ("darnet_train 7 0 --root notes.txt", 2, "notes.txt is a file, no folder"),
    "root too deep": ("darnet_train 7 0 --root darnet_data/raw", 2, "give --root {here}/darnet_data\n"),
    "no raw folder": ("darnet_train 7 0 --root loose", 2, "move the data set to raw/ below the root"),
    "the folder above": ("darnet_plan_and_preprocess -d darnet_data/raw", 2, "found:    Dataset007_Small"),
    "no target scans": ("darnet_plan_and_preprocess -d 8 -device cpu", 3, "make it and put the scans there"),
    "nothing to predict with": ("darnet_predict -i study/a -o out -d 7", 2, "name a trained data set with -d"),
    "a study": ("darnet_predict -i study -o out -d 7", 3, "found:    a, b\n"),
    "one slice": ("darnet_predict -i study/a/0.dcm -o out -d 7", 3, "of DICOM slices, give the folder"),
    "another format": ("darnet_predict -i other -o out -d 7", 3, "convert it to NIfTI"),
    "output among scans": ("darnet_predict -i {target} -o {target} -d 7", 2, "the output folder holds scans"),
    "output among slices": ("darnet_predict -i {target} -o study/a -d 7", 2, "found:    DICOM slices"),
    "a file to evaluate": ("darnet_evaluate -p notes.txt -r {labels}", 2, "this is a file, no folder"),
    "a folder as model": ("darnet_import_model -i study", 2, "this is a folder, no zip"),
    "demo into a file": ("darnet_demo -o notes.txt -device cpu --quiet", 2, "give another folder with -o"),
    "no download": ("darnet_convert btcv nowhere -d Dataset009_X --as source", 2, "another folder with FOLDER"),
    "no source": ("darnet_convert nnunet --source nowhere -d Dataset009_X", 2, "another folder with --source"),
    "number for a name": ("darnet_convert nnunet --source {raw} -d 9", 2, "give its whole name with -d"),
}  # fmt: skip


@pytest.fixture
def here(tmp_path, write_raw_dataset, write_dicom, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DARNET_ROOT", raising=False)
    write_raw_dataset(tmp_path / "darnet_data")
    other = write_raw_dataset(tmp_path / "darnet_data", "Dataset008_NoTarget")
    (other / "imagesTr_target").rename(other / "imagesTarget")
    for folder in ("a", "b"):
        (tmp_path / "study" / folder).mkdir(parents=True)
        for k in range(2):
            write_dicom(tmp_path / "study" / folder / f"{k}.dcm", np.eye(8, dtype=np.int16), (0, 0, 3.0 * k))
    (tmp_path / "loose" / "Dataset007_Small").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "scan.nrrd").write_bytes(b"NRRD0004")
    (tmp_path / "notes.txt").write_text("notes")
    return tmp_path


def run(line, here):
    raw = here / "darnet_data" / "raw" / "Dataset007_Small"
    places = {"here": here, "raw": raw, "target": raw / "imagesTr_target", "labels": raw / "labelsTr"}
    name, *flags = shlex.split(line.format(**places))
    return importlib.import_module(f"darnet.cli.{name.removeprefix('darnet_')}").main(flags)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake(here, capsys, hashes_of_tree, mistake):
    line, code, words = MISTAKES[mistake]
    before = hashes_of_tree(here)
    assert run(line, here) == code
    assert words.format(here=here) in capsys.readouterr().err
    assert hashes_of_tree(here) == before


def test_a_value_may_follow_its_flag_without_a_space(here, capsys):
    assert run("darnet_predict -d7 -i study/a -oout", here) == 2
    assert "there is no trained network" in capsys.readouterr().err


def test_report_of_nothing(here, capsys):
    assert run("darnet_report -d 7", here) == 0
    assert "there is nothing yet that a health check could judge" in capsys.readouterr().out
