"""darnet_plan_and_preprocess --verify: all faults of a data set at once, as a table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.faults.scans import Bench, content_of, load, save, set_fields, tree


@pytest.fixture
def bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results):
    return Bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results)


def rows_of(table):
    """Cells of each row, long ones put together again."""
    lines = table.splitlines()
    rule = next(n for n, line in enumerate(lines) if line.startswith("--"))
    starts = [n for n, sign in enumerate(lines[rule]) if sign == "-" and (n == 0 or lines[rule][n - 1] == " ")]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    rows = []
    for line in lines[rule + 1 :]:
        cells = [line[start:stop].strip() for start, stop in spans]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True)]
    head = [lines[rule - 1][start:stop].strip() for start, stop in spans]
    return head, rows


def spoil_everything(bench):
    """A fault in names, in pairs, in a header, in voxels, and in both files of one case."""
    bench.source.write_bytes(bench.source.read_bytes()[:-20])
    labels, affine = load(bench.labels)
    labels[0, 0, 0] = 9
    save(bench.labels, labels, affine)
    (bench.raw / "labelsTr" / "s3.nii.gz").write_bytes(bench.labels.read_bytes())
    (bench.raw / "labelsTr" / "s2.nii.gz").rename(bench.raw / "labelsTr" / "s2.nii")
    set_fields(bench.target, dim=[3, 0, 14, 8, 1, 1, 1, 1])
    scan = bench.raw / "imagesTr_target" / "t2_0000.nii.gz"
    array = load(scan)[0].astype(np.float32)
    array[0, 0, 0] = np.nan
    save(scan, array)


def change_description(bench, **values):
    path = bench.raw / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_missing_folder_below_a_relative_root(bench, monkeypatch):
    (bench.raw / "imagesTr_target").rename(bench.raw / "imagesTarget")
    monkeypatch.chdir(bench.root.parent)
    bench.root = bench.root.relative_to(bench.root.parent)
    code, _, err = bench.plan("--verify")
    assert code == 3
    _, rows = rows_of(err)
    assert [row[1] for row in rows] == ["imagesTr_target"]


def test_all_faults_at_once(bench):
    spoil_everything(bench)
    before = tree(bench.root)
    code, out, err = bench.plan("--verify", "--quiet")
    assert code == 3
    assert out == ""
    assert tree(bench.root) == before
    first = err.splitlines()[0]
    assert first == f"darnet_plan_and_preprocess: the data set Dataset007_Small in {bench.raw} has 6 faults"
    head, rows = rows_of(err)
    assert head == ["no", "where", "fault", "found", "expected", "remedy"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert {(row[1], row[2]) for row in rows} == {
        ("imagesTr/s1_0000.nii.gz", "the file is truncated or damaged"),
        ("imagesTr_target/t1_0000.nii.gz", "the header has wrong dimensions"),
        ("imagesTr_target/t2_0000.nii.gz", "voxels are not finite"),
        ("labelsTr/s1.nii.gz", "labels have values that dataset.json does not name"),
        ("labelsTr/s2.nii", "a file has another ending"),
        ("labelsTr/s3.nii.gz", "labels of s3 have no scan"),
    }
    for row in rows:
        assert row[5] or row[4], row  # each says what to do, or at least what is expected
    assert max(map(len, err.splitlines()[2:])) < 200


@pytest.mark.parametrize("missing", [False, True])
def test_dataset_json_is_checked_before_scans_are_read(bench, monkeypatch, missing):
    spoil_everything(bench)
    change_description(bench, domains={"sauce": "CT"})
    if missing:
        (bench.raw / "dataset.json").unlink()
    monkeypatch.setattr("darnet.pipeline.survey_cases", lambda *_: pytest.fail("scans are read"))
    code, _, err = bench.plan("--verify")
    assert code == 3
    description = "dataset.json" if missing else 'dataset.json, line 1, key "domains"'
    assert [row[1] for row in rows_of(err)[1]] == [description, "labelsTr/s2.nii", "labelsTr/s3.nii.gz"]


@pytest.mark.parametrize("flag", ["--verify", "--plan_only"])
def test_kinds_of_scan_that_are_not_said_are_warned_of(bench, flag):
    path = bench.raw / "dataset.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "domains"}))
    code, _, err = bench.plan(flag, "--quiet")
    assert code == 0
    for words in ("warning: ", str(path), 'target scans are taken for "unknown"', '"domains": {"source": "CT"'):
        assert words in err
    change_description(bench, domains={"source": "CT", "target": "MR"})
    assert bench.plan(flag, "--quiet") == (0, "", "")


def test_both_files_of_a_case(bench):
    bench.source.write_bytes(bench.source.read_bytes()[:-20])
    labels, affine = load(bench.labels)
    labels[0, 0, 0] = 9
    save(bench.labels, labels, affine)
    code, _, err = bench.plan("--verify")
    assert code == 3
    _, rows = rows_of(err)
    assert [row[1] for row in rows] == ["imagesTr/s1_0000.nii.gz", "labelsTr/s1.nii.gz"]
    assert rows[1][3] == "9 (1 voxels)"


def test_one_fault(bench):
    bench.target.write_bytes(content_of(bench.target))
    code, _, err = bench.plan("--verify")
    assert code == 3
    assert "has 1 fault\n" in err
    assert len(rows_of(err)[1]) == 1


def test_planning_names_all_of_them_too(bench):
    spoil_everything(bench)
    err = bench.refused(bench.plan, "6 faults")
    assert err.count("remedy:") >= 5


def test_a_data_set_in_order(bench):
    (bench.raw / "imagesTr_target" / "t3_0000.nii.gz").write_bytes(bench.target.read_bytes())
    array, affine = load(bench.target)
    save(bench.raw / "imagesTr_target" / "t3_0000.nii.gz", array + 1, affine)
    with bench.unchanged():
        code, out, err = bench.plan("--verify")
    assert code == 0
    assert out.splitlines() == [
        "Dataset007_Small: the data set is in order: 2 labelled source scans, 3 target scans, 2 classes"
    ]


def test_replacing_non_finite_voxels(bench):
    array = load(bench.target)[0].astype(np.float32)
    array[0, 0, 0] = np.nan
    save(bench.target, array)
    assert bench.plan("--verify")[0] == 3
    code, out, _ = bench.plan("--verify", "--replace_non_finite")
    assert code == 0
    assert "note: t1: 1 NaN and 0 infinite" in out
