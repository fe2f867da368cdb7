"""Rows on tiny phantoms, through the command: trained once, shared, gone on with, scored, and without a leak."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from darnet import pipeline
from darnet.cli.experiment import main
from darnet.cli.plan_and_preprocess import main as plan_and_preprocess
from darnet.errors import DataError, Interrupted
from darnet.evaluation import evaluate_folders
from darnet.experiment import Experiment, ExperimentOptions, make_table
from darnet.experiment import run as module
from darnet.experiment.run import train_run
from darnet.io import only_one, read_meta, write_json
from darnet.layout import DatasetLayout
from darnet.plans import Plans
from darnet.training import CHECKPOINT, RunOptions, resolve_device
from darnet.training import run as training

NAME = "Dataset007_Tiny"
ROWS = ("no_adaptation", "supervised", "entangled", "multi_style", "deep_supervision", "default")
TRAINED = ("no_adaptation", "multi_style", "all_upgrades")  # folders of the rows that learn without target labels


def command(root, *flags):
    return main(["-d", "7", "-np", "1", "--root", str(root), "-device", "cpu", *flags])


def checkpoints(root):
    """Every checkpoint of the rows that learn without target labels, and its bytes."""
    folder = root / "results" / NAME / "experiment"
    paths = [p for p in sorted(folder.rglob(CHECKPOINT)) if "supervised" not in p.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def table(root, fold=0):
    values = json.loads((root / "results" / NAME / "experiment" / f"table_fold_{fold}.json").read_text("utf-8"))
    return {row["row"]: row for row in values["rows"]}


@pytest.fixture(scope="module")
def done(prepared, tmp_path_factory):
    """A root after an experiment, with what the command printed."""
    root = tmp_path_factory.mktemp("done") / "root"
    shutil.copytree(prepared.root, root)
    assert command(root, "--quiet", "--rows", *ROWS) == 0
    assert command(root, "--quiet", "--rows", "multi_style", "--seeds", "2") == 0
    return root


def test_table_has_all_that_is_done(done):
    rows = table(done)
    assert set(rows) >= {"no_adaptation", "supervised", "multi_style", "deep_supervision", "default", "all_upgrades"}
    assert (rows["no_adaptation"]["seeds"], rows["multi_style"]["seeds"]) == ([0], [0, 1])
    assert rows["deep_supervision"]["note"] == "the same plan as multi_style"
    assert rows["deep_supervision"]["dice"] == rows["multi_style"]["dice"]
    assert set(rows["default"]["classes"]) == {"liver", "right_kidney", "left_kidney", "spleen"}
    assert all(row["seconds"]["mean"] > 0 for row in rows.values() if row["seeds"])
    if sys.platform == "linux":
        assert all(row["memory_gb"] >= 0 for row in rows.values() if row["seeds"])
    folder = done / "results" / NAME / "experiment"
    assert (folder / "table_fold_0.png").stat().st_size > 1000
    assert "| multi_style | 2 |" in (folder / "table_fold_0.md").read_text("utf-8")


def test_scores_are_those_of_the_masks(done):
    folder = done / "results" / NAME / "experiment"
    found = []
    for seed in (0, 1):
        masks = folder / "multi_style" / f"seed_{seed}" / "predictions" / "fold_0"
        labels = Plans.read(done / "preprocessed" / NAME / "plans.json").foreground
        found.append(evaluate_folders(masks, done / "raw" / NAME / "labelsTs", labels).mean.dice_mean)
    dice = table(done)["multi_style"]["dice"]
    assert dice["mean"] == pytest.approx(np.mean(found))
    assert dice["std"] == pytest.approx(np.std(found))


def test_stages_are_shared(done):
    shared = done / "results" / NAME / "experiment" / "shared"
    assert len(list(shared.glob("translation_*"))) == 3  # one a seed, and the entangled one
    assert len(list((done / "preprocessed" / NAME / "experiment").glob("synthetic_*"))) == 3
    rows = {path.name for path in shared.parent.iterdir() if path.is_dir()}
    assert rows == {"no_adaptation", "supervised", "entangled", "multi_style", "all_upgrades", "shared"}


def test_budget_is_the_same(done):
    folder = done / "results" / NAME / "experiment"

    def iterations(row):
        return sum(int(read_meta(p)["iteration"]) for p in (folder / row / "seed_0").rglob(CHECKPOINT))

    assert {row: iterations(row) for row in (*TRAINED, "supervised")} == dict.fromkeys((*TRAINED, "supervised"), 6)


def test_again_computes_nothing(done, capsys, monkeypatch, hashes_of_tree):
    before = hashes_of_tree(done / "results" / NAME / "experiment" / "multi_style")
    monkeypatch.setattr(module, "train_run", None)
    assert command(done, "--rows", "multi_style", "default", "--seeds", "1") == 0
    said = capsys.readouterr().out
    assert "1 of 2: multi_style, seed 0 is done" in said
    assert "default, seed 0 is done, as all_upgrades has the same plan" in said
    assert "about 0 s of training on cpu for 0 runs" in said
    assert hashes_of_tree(done / "results" / NAME / "experiment" / "multi_style") == before


def test_no_label_of_the_target_is_opened_while_training(done, layout, tmp_path):
    """The same weights, bit for bit, in a process that may not open the folders of the target's labels."""
    script = tmp_path / "train.py"
    script.write_text(
        """
import sys
from pathlib import Path
from darnet.experiment import Experiment, ExperimentOptions
from darnet.experiment.run import train_run
from darnet.evaluation import evaluate_folders
from darnet.layout import DatasetLayout
from darnet.plans import Plans
from darnet.training import RunOptions, resolve_device

def watch(event, args):
    if event in ("open", "os.listdir", "os.scandir") and args and "labelsT" in str(args[0]):
        if "labelsTs" in str(args[0]) or "labelsTr_target" in str(args[0]):
            raise PermissionError(f"{event} of {args[0]}")

sys.addaudithook(watch)
layout = DatasetLayout(Path(sys.argv[1]), sys.argv[2])
plans = Plans.read(layout.plans)
experiment = Experiment(layout, plans, ExperimentOptions(("no_adaptation", "multi_style", "default")))
for run in experiment.runs():
    train_run(run, "0", RunOptions(resolve_device("cpu"), quiet=True), print)
for folder in ("labelsTs", "labelsTr_target"):
    try:
        evaluate_folders(layout.raw / folder, layout.raw / folder, plans.foreground)
    except PermissionError:
        continue
    sys.exit(f"{folder} could be read")
"""
    )
    done_there = subprocess.run(
        [sys.executable, str(script), str(layout.root), NAME], capture_output=True, text=True, timeout=600
    )
    assert done_there.returncode == 0, done_there.stderr
    expected = {name: data for name, data in checkpoints(done).items() if "seed_1" not in name}
    found = checkpoints(layout.root)
    assert len(found) == 5  # translator, no adaptation, the paper's method, the default and its round
    assert {name for name, data in found.items() if expected[name] != data} == set()


def test_without_labels_of_the_target_rows_are_trained_and_not_scored(layout, capsys):
    for folder in ("labelsTs", "labelsTr_target"):
        shutil.rmtree(layout.raw / folder)
    assert command(layout.root, "--rows", "no_adaptation", "supervised") == 0
    said, warned = capsys.readouterr()
    assert "supervised: needs labels of the target training scans in labelsTr_target" in said
    assert "nothing is scored" in said
    assert "nothing is scored" in warned  # before the training begins
    rows = table(layout.root)
    assert rows["no_adaptation"]["dice"] == {"mean": None, "std": None}
    assert (rows["no_adaptation"]["seeds"], rows["supervised"]["seeds"]) == ([0], [])
    assert "labelsTr_target" in rows["supervised"]["note"]


def test_supervised_leaves_each_scan_out(layout, capsys):
    shutil.rmtree(layout.raw / "labelsTr_target")
    scans, labels = (str(layout.raw / name) for name in ("imagesTs", "labelsTs"))
    assert command(layout.root, "--quiet", "--rows", "supervised", "--labelled_target", scans, labels) == 0
    folder = layout.results / "experiment" / "supervised" / "seed_0"
    networks = {path.parent.name: read_meta(path)["cases"] for path in folder.rglob(CHECKPOINT)}
    assert sorted(networks.values()) == [["mr_test_01"], ["mr_test_02"]]
    # Both share the six iterations of a row.
    assert {read_meta(path)["iteration"] for path in folder.rglob(CHECKPOINT)} == {3}
    masks = sorted((folder / "predictions" / "fold_0").glob("*.nii.gz"))
    assert [path.name for path in masks] == ["mr_test_01.nii.gz", "mr_test_02.nii.gz"]
    assert table(layout.root)["supervised"]["out_of"] == 8
    # Later, without naming them again, the row is still in the table.
    assert command(layout.root, "--quiet", "--rows", "no_adaptation") == 0
    assert table(layout.root)["supervised"]["seeds"] == [0]


def test_supervised_replaces_what_preprocessing_replaced(layout, capsys):
    scan = layout.raw / "imagesTr_target" / next(layout.images("target").iterdir()).name
    test = next((layout.raw / "imagesTs").iterdir())
    for path in (scan, test):
        image = nib.load(path)
        voxels = np.asarray(image.dataobj, np.float32)
        voxels[0, 0, 0] = np.nan
        nib.Nifti1Image(voxels, image.affine).to_filename(path)
    refused = command(layout.root, "--quiet", "--rows", "supervised")
    assert refused == 2  # the scans have changed
    plan = ["-d", "7", "--root", str(layout.root), "--keep_plan", "--replace_non_finite", "--quiet", "-np", "1"]
    assert plan_and_preprocess(plan) == 0
    capsys.readouterr()
    assert command(layout.root, "--quiet", "--rows", "supervised") == 0, capsys.readouterr().err
    assert table(layout.root)["supervised"]["out_of"] == 8


def test_labelled_scans_that_cannot_be_used(layout, tmp_path, capsys):
    scans, labels = str(layout.raw / "imagesTs"), str(layout.raw / "labelsTs")
    assert command(layout.root, "--rows", "supervised", "--labelled_target", scans, str(tmp_path / "none")) == 2
    assert "two folders: --labelled_target" in capsys.readouterr().err
    assert command(layout.root, "--rows", "supervised", "--labelled_target", str(layout.raw / "imagesTr"), labels) == 3
    assert "labels of target scans have no scan" in capsys.readouterr().err
    (layout.raw / "labelsTs" / "mr_test_02.nii.gz").unlink()
    assert command(layout.root, "--rows", "supervised", "--labelled_target", scans, labels) == 3
    assert "too few labelled target scans" in capsys.readouterr().err


def experiment_of(layout, *rows):
    return Experiment(layout, Plans.read(layout.plans), ExperimentOptions(rows))


OPTIONS = RunOptions(resolve_device("cpu"), quiet=True)


def test_self_training_that_was_left_out_is_in_the_table(layout, monkeypatch):
    monkeypatch.setattr(pipeline, "missing_classes", lambda *_: ["spleen"])
    assert command(layout.root, "--quiet", "--rows", "self_training") == 0
    assert table(layout.root)["self_training"]["note"] == "self-training left out with seed 0"


def test_a_row_that_fails_leaves_the_others(layout, monkeypatch, capsys):
    def fail(*args, **_):
        raise DataError("the translation has collapsed")

    monkeypatch.setattr(pipeline, "train", fail)
    assert command(layout.root, "--rows", "no_adaptation", "multi_style") == 5
    said = capsys.readouterr()
    assert "the translation has collapsed" in said.err
    assert table(layout.root)["multi_style"]["note"] == "multi_style, seed 0 failed; not run yet"
    assert table(layout.root)["no_adaptation"]["seeds"] == [0]
    assert command(layout.root, "--rows", "multi_style") == 3


def test_an_interrupted_row_is_gone_on_with(done, layout, monkeypatch):
    """A signal in the middle of the segmentation: the same command ends with the same weights."""
    experiment, run_training = experiment_of(layout, "multi_style"), training.run_training

    def stop(step, iterations, hooks, start):
        middle = step.stage.startswith("segmentation") and start < 2
        run_training(step, 2 if middle else iterations, hooks, start)
        if middle:
            raise Interrupted("stopped")

    monkeypatch.setattr(training, "run_training", stop)
    (run,) = experiment.runs()
    with pytest.raises(Interrupted):
        experiment.run(OPTIONS, lambda _: None)
    assert int(read_meta(run.layout.segmentation("0") / CHECKPOINT)["iteration"]) == 2
    assert not experiment.done(run)
    assert experiment.run(OPTIONS, lambda _: None) == {}
    assert experiment.done(run)
    expected, found = checkpoints(done), checkpoints(layout.root)
    assert len(found) == 2
    assert {name for name, data in found.items() if expected[name] != data} == set()


def test_weights_of_another_plan_are_refused(done, tmp_path):
    shutil.copytree(done, tmp_path / "root")
    layout = DatasetLayout(tmp_path / "root", NAME)
    plans = Plans.read(layout.plans)
    changed = dataclasses.replace(plans, segmentation=dataclasses.replace(plans.segmentation, learning_rate=0.5))
    write_json(layout.plans, changed.to_json())
    experiment = experiment_of(layout, "no_adaptation")
    assert experiment.records(experiment.rows[0]) == ("no_adaptation", [])
    assert list(experiment.left_out(experiment.rows[0]).values()) == [[0]]
    failed = experiment.run(OPTIONS, lambda _: None)
    assert "another plan" in str(failed["no_adaptation, seed 0"])
    # Another way to predict needs no training.
    changed = dataclasses.replace(plans, inference=dataclasses.replace(plans.inference, step_size=1.0))
    write_json(layout.plans, changed.to_json())
    experiment = experiment_of(layout, "no_adaptation")
    (run,) = experiment.runs()
    assert not experiment.done(run)
    assert experiment.run(OPTIONS, lambda _: None) == {}
    assert experiment.done(run)


def test_an_upper_bound_of_other_test_scans_is_not_counted(done, tmp_path):
    shutil.copytree(done, tmp_path / "root")
    layout = DatasetLayout(tmp_path / "root", NAME)
    experiment = experiment_of(layout, "supervised")
    assert [record["seed"] for record in experiment.records(experiment.rows[0])[1]] == [0]
    (layout.raw / "labelsTs" / "mr_test_02.nii.gz").unlink()
    experiment = experiment_of(layout, "supervised")
    assert experiment.records(experiment.rows[0])[1] == []
    ((why, seeds),) = experiment.left_out(experiment.rows[0]).items()
    assert "scored on other test scans" in why and seeds == [0]


def test_own_grid_is_preprocessed_apart(layout, hashes_of_tree):
    before = hashes_of_tree(layout.cases("source"))
    experiment = experiment_of(layout, "isotropic_grid")
    assert experiment.run(OPTIONS, lambda _: None) == {}
    (run,) = experiment.runs()
    assert run.layout.own_grid
    assert run.layout.preprocessed.parent == layout.preprocessed / "experiment"
    assert hashes_of_tree(layout.cases("source")) == before


def test_two_experiments_at_once_are_refused(layout, capsys):
    with only_one(layout.results / "experiment" / ".lock", "runs an experiment of this data set"):
        assert command(layout.root, "--rows", "no_adaptation") == 2
    assert "another process runs an experiment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--rows", "ghost"], 2, "there is no such row"),
        (["--fold", "9"], 2, "there is no fold 9"),
        (["--seeds", "0"], 2, "whole number"),
        (["--list"], 2, "not allowed"),
    ],
)
def test_wrong_flags(prepared, capsys, flags, code, words):
    assert command(prepared.root, *flags) == code
    assert words in capsys.readouterr().err


def test_list_and_estimate(prepared, capsys, hashes_of_tree):
    assert main(["--list"]) == 0
    assert "Table III: CycleGAN" in capsys.readouterr().out
    before = hashes_of_tree(prepared.root)
    assert command(prepared.root, "--estimate", "--rows", "multi_style", "supervised", "--seeds", "2") == 0
    said = capsys.readouterr().out
    assert said.count("multi_style ") == 2
    assert "for 4 runs" in said
    assert hashes_of_tree(prepared.root) == before


def test_unexpected_errors_are_not_swallowed(layout, monkeypatch):
    experiment = experiment_of(layout, "no_adaptation")
    monkeypatch.setattr(module, "train_run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        experiment.run(OPTIONS, lambda _: None)
    monkeypatch.setattr(module, "train_run", lambda *_: (_ for _ in ()).throw(RuntimeError("CUDA out of memory")))
    failed = experiment.run(OPTIONS, lambda _: None)
    assert "ran out of memory" in str(failed["no_adaptation, seed 0"])


def test_training_needs_no_more_than_a_run(layout):
    """A single run from Python."""
    (run,) = experiment_of(layout, "no_adaptation").runs()
    seconds = train_run(run, "0", OPTIONS, lambda _: None)
    assert seconds["segmentation"] > 0
    assert Path(run.layout.segmentation("0"), CHECKPOINT).is_file()


def test_a_row_without_translator_is_not_charged_for_that_of_another(layout, monkeypatch):
    (run,) = experiment_of(layout, "default").runs()
    plain = dataclasses.replace(
        run.plans,
        segmentation=dataclasses.replace(run.plans.segmentation, source_share=1.0),
        self_training=dataclasses.replace(run.plans.self_training, matched_translated=None),
    )
    monkeypatch.setattr(module.pipeline, "train", lambda *_, **__: None)
    monkeypatch.setattr(module, "training_seconds", lambda folder: 900.0)
    runs = run, dataclasses.replace(run, plans=plain)
    charged = [train_run(one, "0", OPTIONS, lambda _: None)["translation"] for one in runs]
    assert charged == [900.0, 0.0]


def test_test_scans_that_changed_are_scored_again(layout):
    experiment = experiment_of(layout, "no_adaptation")
    assert experiment.run(OPTIONS, lambda _: None) == {}
    (run,) = experiment.runs()
    weights = checkpoints(layout.root)
    first, second = sorted(path.name for path in (layout.raw / "labelsTs").iterdir())
    reference = layout.raw / "labelsTs" / first
    image = nib.load(reference)

    def scored_again():
        experiment = experiment_of(layout, "no_adaptation")
        assert not experiment.done(run) and experiment.records(run.row)[1] == []
        assert experiment.run(OPTIONS, lambda _: None) == {}
        assert experiment.done(run)
        return [case["case"] for case in experiment.records(run.row)[1][0]["scores"]["cases"]]

    nib.Nifti1Image(np.roll(np.asanyarray(image.dataobj), 3, 0), image.affine).to_filename(reference)
    assert len(scored_again()) == 2
    (layout.raw / "labelsTs" / second).unlink()
    (layout.raw / "imagesTs" / second.replace(".nii", "_0000.nii")).unlink()
    said = make_table(experiment_of(layout, "multi_style"))[0]
    assert (said.name, said.seeds) == ("no_adaptation", ())
    assert said.note.startswith("seed 0 left out: scored on other test scans or labels than are there now: run the row")
    assert scored_again() == [first.removesuffix(".nii.gz")]
    assert not (run.layout.predictions("0") / second).exists()
    assert checkpoints(layout.root) == weights, "nothing is trained again"


def test_other_folds_are_another_row(layout):
    experiment = experiment_of(layout, "no_adaptation")
    assert experiment.run(OPTIONS, lambda _: None) == {}
    (run,) = experiment.runs()
    assert experiment.left_out(run.row) == {}
    folds = json.loads(layout.splits.read_text())
    write_json(layout.splits, [folds[1], folds[0], *folds[2:]])
    experiment = experiment_of(layout, "no_adaptation")
    assert not experiment.done(run) and experiment.records(run.row)[1] == []
    assert [(words[:22], seeds) for words, seeds in experiment.left_out(run.row).items()] == [
        ("trained on other cases", [0])
    ]
    failed = experiment.run(OPTIONS, lambda _: None)
    assert "the checkpoint is of other cases" in str(failed["no_adaptation, seed 0"])
    write_json(layout.splits, folds)
    assert experiment_of(layout, "no_adaptation").done(run)
    assert len(list(run.layout.predictions("0").glob("*.nii.gz"))) == 2, "a row that fails keeps its masks"
    record = json.loads(run.layout.record("0").read_text())
    write_json(run.layout.record("0"), {k: v for k, v in record.items() if k not in ("cases", "tested")})
    assert experiment_of(layout, "no_adaptation").done(run), "what a record does not tell is taken for true"
