from __future__ import annotations

import json

import pytest

from darnet.cli import train
from darnet.cli.plan_and_preprocess import main
from darnet.io import CaseStore, only_one
from darnet.layout import DatasetLayout
from darnet.plans import Plans

NAME = "Dataset007_Small"


@pytest.fixture
def layout(tmp_path, write_raw_dataset):
    write_raw_dataset(tmp_path)
    return DatasetLayout(tmp_path, NAME)


@pytest.fixture
def command(tmp_path):
    def run(*flags, dataset="7"):
        common = ["-d", dataset, "--root", tmp_path, "-np", "1", "-device", "cpu"]
        return main([str(flag) for flag in (*common, *flags)])

    return run


def change_plan(layout, **values):
    plan = json.loads(layout.plans.read_text())
    for key, value in values.items():
        part, name = key.split("__")
        assert name in plan[part]
        plan[part][name] = value
    layout.plans.write_text(json.dumps(plan))


def test_plan_and_preprocess(layout, command, capsys, hashes_of_tree):
    raw = hashes_of_tree(layout.raw)
    assert command("--preset", "fast") == 0
    said = capsys.readouterr().out
    for words in (
        "2 labelled source scans, 2 target scans",
        "preset fast",
        "mm (through plane, in plane)",
        "strides",
        "note: only 2 target scans",
        "4 cases preprocessed, 0 were there",
        "is ready for training",
        "2 CT scans with labels, 2 MR scans",
        "mm (medians of the scans)",
        " a fold on this machine (cpu): translator",
        " GB here",
        "darnet_train 7 0",
        "darnet_report -d 7",
    ):
        assert words in said
    plans = Plans.read(layout.plans)
    assert plans.dataset == NAME
    assert plans.labels == {"background": 0, "cube": 1, "rod": 2}
    assert plans.source.intensity.rule == "window"
    assert plans.target.intensity.rule == "percentile"
    assert json.loads(layout.fingerprint.read_text())["cases"][0]["case_id"] == "s1"
    splits = json.loads(layout.splits.read_text())
    assert sorted(case for split in splits for case in split["val"]) == ["s1", "s2"]
    assert CaseStore(layout.cases("source")).case_ids() == ("s1", "s2")
    assert CaseStore(layout.cases("target")).case_ids() == ("t1", "t2")
    assert hashes_of_tree(layout.raw) == raw


def test_second_run_is_the_same(layout, command, capsys, hashes_of_tree):
    assert command("--preset", "fast", "--quiet") == 0
    before = hashes_of_tree(layout.preprocessed)
    capsys.readouterr()
    assert command("--preset", "fast") == 0
    assert "0 cases preprocessed, 4 were there" in capsys.readouterr().out
    assert hashes_of_tree(layout.preprocessed) == before


def test_quiet_says_nothing(layout, command, capfd):
    assert command("--preset", "fast", "--quiet") == 0
    assert capfd.readouterr() == ("", "")


def test_verify_writes_nothing(layout, command, capsys):
    assert command("--verify") == 0
    assert "the data set is in order" in capsys.readouterr().out
    assert not layout.preprocessed.exists()


def test_plan_only(layout, command):
    assert command("--plan_only", "--preset", "paper") == 0
    written = ["fingerprint.json", "planned.json", "plans.json", "splits.json"]
    assert sorted(p.name for p in layout.preprocessed.iterdir()) == written
    assert layout.planned.read_bytes() == layout.plans.read_bytes()
    assert Plans.read(layout.plans).preset == "paper"


def test_without_a_graphics_card_the_plan_is_fast(layout, command):
    assert command("--plan_only") == 0
    assert Plans.read(layout.plans).preset == "fast"


def test_seed(layout, command):
    assert command("--plan_only", "--seed", "5") == 0
    assert Plans.read(layout.plans).seed == 5


def test_folds_of_a_plan_that_is_gone_are_still_dealt_ones(layout, command, capsys):
    assert command("--plan_only") == 0
    before = json.loads(layout.splits.read_text())
    layout.plans.unlink()
    capsys.readouterr()
    assert command("--plan_only", "--seed", "3") == 0
    said = capsys.readouterr().err
    assert "the folds are of seed 0, and it is 3 now" in said and "by hand" not in said
    assert json.loads(layout.splits.read_text()) != before


def test_edited_plan_is_kept(layout, command):
    assert command("--plan_only") == 0
    change_plan(layout, preprocessing__spacing=[10.0, 4.0, 4.0], segmentation__iterations=17)
    assert command("--keep_plan") == 0
    plans = Plans.read(layout.plans)
    assert plans.segmentation.iterations == 17
    assert CaseStore(layout.cases("source")).record("s1").shape == (4, 7, 8)
    # Without the flag the plan is made anew.
    assert command("--plan_only") == 0
    assert Plans.read(layout.plans).segmentation.iterations != 17


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"segmentation__patch_size": [7, 16, 16]}, "segmentation.patch_size"),
        ({"preprocessing__spacing": [0.0, 1.0, 1.0]}, "preprocessing.spacing"),
        ({"translation__iterations": "many"}, "translation.iterations"),
        ({"inference__step_size": 2.0}, "inference.step_size"),
    ],
)
def test_wrong_edits_are_refused_by_name(layout, command, capsys, edit, words):
    assert command("--plan_only") == 0
    change_plan(layout, **edit)
    assert command("--keep_plan") == 2
    said = capsys.readouterr().err
    assert words in said
    assert "plans.json" in said
    assert not layout.cases("source").exists()


def test_keep_plan_without_a_plan(layout, command, capsys):
    assert command("--keep_plan") == 2
    said = capsys.readouterr().err
    assert "there is no plan" in said
    assert "run darnet_plan_and_preprocess first" in said


def test_plan_of_other_labels(layout, command, capsys):
    assert command("--plan_only") == 0
    description = json.loads(layout.dataset_json.read_text())
    description["labels"] = {"background": 0, "rod": 1, "cube": 2}
    layout.dataset_json.write_text(json.dumps(description))
    assert command("--keep_plan") == 2
    assert "the plan was made for other labels" in capsys.readouterr().err


def test_classes_that_were_swapped_after_planning_are_not_trained_on(layout, command, capsys, tmp_path):
    assert command() == 0
    description = json.loads(layout.dataset_json.read_text())
    description["labels"] = {"background": 0, "rod": 1, "cube": 2}
    layout.dataset_json.write_text(json.dumps(description))
    assert train.main(["7", "0", "--root", str(tmp_path), "-device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "the classes have changed since the data set was planned" in said
    assert str(layout.dataset_json) in said
    assert not layout.segmentation(0).exists()


def test_folds_that_are_not_as_many_as_planned_are_kept_and_told(layout, command, capsys):
    assert command("--plan_only") == 0
    assert "is kept" not in capsys.readouterr().out
    dealt = json.loads(layout.splits.read_text())
    own = json.dumps([{"train": sorted(case for fold in dealt for case in fold["val"]), "val": []}])
    layout.splits.write_text(own)
    assert command("--keep_plan") == 0
    said = capsys.readouterr().out
    assert f"note: splits.json has 1 fold and is kept; the plan says {len(dealt)}: move {layout.splits} away" in said
    assert layout.splits.read_text() == own
    layout.splits.unlink()
    assert command("--keep_plan") == 0
    assert "is kept" not in capsys.readouterr().out
    assert json.loads(layout.splits.read_text()) == dealt


@pytest.mark.parametrize("lock", [".fold_0.lock", "no_adaptation/.fold_1.lock", "experiment/.lock"])
def test_nothing_is_written_while_a_fold_trains(layout, command, capsys, hashes_of_tree, lock):
    assert command("--plan_only") == 0
    dealt = json.loads(layout.splits.read_text())
    layout.splits.write_text(json.dumps([{"train": ["s1", "s2"], "val": ["s3"]}, *dealt]))
    before = hashes_of_tree(layout.preprocessed)
    with only_one(layout.results / lock, "trains"):
        for flag in ("--keep_plan", "--plan_only"):
            assert command(flag) == 2
            assert "another process trains on this data set" in capsys.readouterr().err
            assert hashes_of_tree(layout.preprocessed) == before
    assert command("--keep_plan") == 0
    assert "gone: s3" in capsys.readouterr().err and json.loads(layout.splits.read_text()) == dealt


@pytest.mark.parametrize("dataset", ["7", "007", NAME, "path"])
def test_names_of_a_data_set(layout, command, dataset):
    assert command("--plan_only", dataset=str(layout.raw) if dataset == "path" else dataset) == 0
    assert layout.plans.exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--preset", "slow"],
        ["-np", "0"],
        ["-np", "two"],
        ["--seed", "-1"],
        ["--verify", "--plan_only"],
        ["--keep_plan", "--plan_only"],
        ["--plan"],
        ["--unknown"],
        ["-device", "tpu"],
        ["further"],
    ],
)
def test_wrong_flags(layout, command, capsys, flags):
    assert command(*flags) == 2
    assert "darnet_plan_and_preprocess" in capsys.readouterr().err
    assert not layout.preprocessed.exists()


def test_data_set_must_be_named(capsys):
    assert main([]) == 2
    assert "-d" in capsys.readouterr().err


def test_device_that_is_not_there(layout, command, capsys):
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("it is there")
    assert command("-device", "mps") == 2
    assert "device mps is not available" in capsys.readouterr().err


def test_time_that_cannot_be_measured_is_said(layout, command, capsys, monkeypatch):
    def fail(*args):
        raise RuntimeError("CUDA out of memory\nand much more")

    monkeypatch.setattr("darnet.training.measure_time", fail)
    assert command() == 0
    said = capsys.readouterr().out
    assert "time          not measured, an iteration failed on cpu: CUDA out of memory\n" in said
    assert "darnet_train 7 0" in said


def test_names_of_scans_that_are_swapped_are_warned_of(layout, command, capsys):
    description = json.loads(layout.dataset_json.read_text())
    layout.dataset_json.write_text(json.dumps(description | {"domains": {"source": "MR", "target": "CT"}}))
    assert command("--plan_only", "--quiet") == 0
    said = capsys.readouterr().err
    assert "warning: the source scans, called MR, have values from -1" in said
    assert "warning: the target scans, called CT, have values from 2" in said


def test_memory_that_is_not_there_is_said(layout, command, capsys, monkeypatch):
    monkeypatch.setattr("darnet.training.memory_here", lambda device: 1e-6)
    assert command() == 0
    assert "it does not fit, give --memory" in capsys.readouterr().out


def test_a_plan_changed_by_hand_stays_beside_the_one_that_takes_its_place(layout, command, capsys):
    assert command("--plan_only") == 0
    assert command("--plan_only") == 0
    previous = layout.plans.with_name("plans.json.previous")
    assert "changed by hand" not in capsys.readouterr().err and not previous.exists()
    as_planned = layout.plans.read_bytes()
    edited = layout.plans.read_text("utf-8").replace('"iterations": ', '"iterations": 1')
    for content, copy in ((edited, previous), (edited + "}", previous.with_suffix(".previous_2")), (edited, previous)):
        layout.plans.write_text(content, "utf-8")
        assert command("--plan_only") == 0
        said = capsys.readouterr().err
        assert f"{layout.plans} was changed by hand" in said and f"as it was it is {copy}." in said
        assert copy.read_text("utf-8") == content
        assert layout.plans.read_bytes() == as_planned
    layout.planned.unlink()
    assert command("--plan_only") == 0
    assert "changed by hand" not in capsys.readouterr().err
    layout.planned.unlink()
    layout.plans.write_text(edited, "utf-8")
    assert command("--plan_only") == 0
    assert f"{layout.plans} may have been changed by hand" in capsys.readouterr().err
    assert previous.read_text("utf-8") == edited
