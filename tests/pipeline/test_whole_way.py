"""The whole way on tiny phantoms, through the commands: plan, train, predict, evaluate; and what may go wrong."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock

from darnet import pipeline
from darnet.cli import evaluate, plan_and_preprocess, predict, train
from darnet.demo import DEMO_PRESET, DemoResult, format_demo, run_demo, write_demo_dataset
from darnet.demo.dataset import Protocol
from darnet.errors import ConfigurationError
from darnet.evaluation import CaseScores, Scores, summarize
from darnet.io import load_checkpoint, only_one, save_checkpoint, write_json
from darnet.layout import DatasetLayout
from darnet.planning import make_plans
from darnet.plans import Plans
from darnet.training import CHECKPOINT, RunOptions, plan_hash, refuse_unfinished, resolve_device

NAME = "Dataset007_Tiny"
SOURCE = Protocol("CT", (16, 40, 40), (10.0, 8.0, 8.0), "LPS")
TARGET = Protocol("MR", (14, 40, 40), (12.0, 8.0, 8.0), "ARI")


def shrink(path: Path) -> None:
    """Make the plan so small that each stage takes seconds."""
    plans = Plans.read(path)
    small = dataclasses.replace(
        plans,
        translation=dataclasses.replace(
            plans.translation, width=4, iterations=4, batch_size=2, discriminator_width=4, residual_blocks=1
        ),
        synthesis=dataclasses.replace(plans.synthesis, number_of_styles=2),
        segmentation=dataclasses.replace(plans.segmentation, channels=(8, 8, 8, 8, 8), iterations=4),
        self_training=dataclasses.replace(plans.self_training, iterations=2),
    )
    write_json(path, small.to_json())


def test_cases_belong_to_the_plan_as_it_is_written(tmp_path, monkeypatch):
    def whole_numbers(*arguments):
        plans = make_plans(*arguments)
        window = dataclasses.replace(plans.source.intensity, low=-125, high=420)
        return dataclasses.replace(plans, source=dataclasses.replace(plans.source, intensity=window))

    layout = DatasetLayout(tmp_path, NAME)
    write_demo_dataset(layout.raw, 1, 2, 2, 1, source=SOURCE, target=TARGET)
    monkeypatch.setattr(pipeline, "make_plans", whole_numbers)
    dataset, fingerprint = pipeline.verify(layout)
    plans = pipeline.plan(layout, dataset, fingerprint, dataclasses.replace(DEMO_PRESET, source_contrast=False))
    pipeline.preprocess(layout, dataset, plans)
    assert refuse_unfinished(layout, Plans.read(layout.plans))["plan"] == plan_hash(plans)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root folder after all commands; the exit codes of all of them are checked here."""
    root = tmp_path_factory.mktemp("root")
    raw = root / "raw" / NAME
    write_demo_dataset(raw, 1, 3, 2, 1, source=SOURCE, target=TARGET)
    common = ["--root", str(root), "-device", "cpu", "--quiet"]
    assert plan_and_preprocess.main(["-d", "7", "--preset", "fast", "--plan_only", "-np", "1", *common]) == 0
    shrink(root / "preprocessed" / NAME / "plans.json")
    assert plan_and_preprocess.main(["-d", "7", "--keep_plan", "-np", "1", *common]) == 0
    with pytest.MonkeyPatch.context() as patch:
        # After four iterations a network finds a few voxels of each class: they must do for both rounds.
        patch.setattr("darnet.self_training.pseudo_labels.LEAST_SHARE", 0.0)
        assert train.main(["7", "0", *common]) == 0
    assert predict.main(["-i", str(raw / "imagesTs"), "-o", str(root / "out"), "-d", "7", "--preview", *common]) == 0
    assert evaluate.main(["-p", str(root / "out"), "-r", str(raw / "labelsTs"), "--quiet"]) == 0
    return root


def test_every_stage_leaves_what_it_should(root):
    results, preprocessed = root / "results" / NAME, root / "preprocessed" / NAME
    expected = [
        preprocessed / "fingerprint.json",
        preprocessed / "splits.json",
        preprocessed / "synthetic" / "style_bank.json",
        preprocessed / "synthetic" / "style_space.png",
        preprocessed / "synthetic" / "styles.png",
        results / "plans.json",
        results / "translation" / "checkpoint.safetensors",
        results / "translation" / "log.jsonl",
        results / "translation" / "progress.png",
        results / "segmentation" / "fold_0" / "checkpoint.safetensors",
        results / "segmentation" / "fold_0" / "validation.json",
        results / "segmentation" / "fold_0" / "progress.png",
        results / "self_training" / "round_1" / "fold_0" / "checkpoint.safetensors",
        results / "self_training" / "round_1" / "fold_0" / "validation.json",
        results / "health.json",
        results / "choice.json",
        preprocessed / "pseudo_labels" / "round_1" / "fold_0" / "mr_01.json",
    ]
    assert [str(path) for path in expected if not path.is_file()] == []
    assert list((results / "translation" / "previews").glob("*.png"))


def test_health_of_the_translation_is_kept_and_told(root):
    """After four iterations translations are nothing like target scans: that is said before segmentation."""
    layout = DatasetLayout(root, NAME)
    findings = json.loads((layout.results / "health.json").read_text())["findings"]
    doubtful = [finding for finding in findings if finding["level"] != "good"]
    assert doubtful
    assert all(finding["found"] and finding["expected"] and finding["remedy"] for finding in doubtful)
    said: list[str] = []
    options = RunOptions(resolve_device("cpu"), quiet=True)
    pipeline.train(layout, Plans.read(layout.plans), 0, options, "synthesis", said.append)
    for finding in doubtful:
        assert any(finding["found"] in sentence and finding["remedy"] in sentence for sentence in said)
    assert len([sentence for sentence in said if sentence.startswith(("bad: ", "doubtful: "))]) == len(doubtful)


def test_masks_lie_on_the_grid_of_the_scan(root):
    for mask in (root / "out").glob("*.nii.gz"):
        scan = nib.load(root / "raw" / NAME / "imagesTs" / mask.name.replace(".nii.gz", "_0000.nii.gz"))
        result = nib.load(mask)
        assert result.shape == scan.shape
        np.testing.assert_allclose(result.affine, scan.affine, atol=1e-5)
        assert set(np.unique(np.asarray(result.dataobj))) <= set(range(5))


def test_prediction_without_self_training_is_another(root):
    scans, out = root / "raw" / NAME / "imagesTs", root / "before"
    common = ["--root", str(root), "-device", "cpu", "--quiet"]
    command = ["-i", str(scans), "-o", str(out), "-d", "7", "--no_self_training", *common]
    assert predict.main(command) == 0
    before, after = (np.asarray(nib.load(f / "mr_test_01.nii.gz").dataobj) for f in (out, root / "out"))
    assert before.shape == after.shape
    assert (before != after).any()


def test_prediction_with_the_round_that_was_chosen(root):
    choice = json.loads((root / "results" / NAME / "choice.json").read_text())["folds"]["0"]
    assert list(choice["candidates"]) == ["segmentation", "round_1", "round_2"]
    scans, out = root / "raw" / NAME / "imagesTs", root / "chosen"
    common = ["--root", str(root), "-device", "cpu", "--quiet"]
    assert predict.main(["-i", str(scans), "-o", str(out), "-d", "7", "--chosen", *common]) == 0
    assert list(out.glob("*.nii.gz"))
    both = ["--chosen", "--no_self_training"]
    assert predict.main(["-i", str(scans), "-o", str(out), "-d", "7", *both, *common]) == 2


def test_summary_has_every_class(root):
    summary = json.loads((root / "out" / "summary.json").read_text())
    assert set(summary["classes"]) == {"liver", "right_kidney", "left_kidney", "spleen"}


def test_training_again_is_refused_and_continuing_is_not(root, capsys):
    common = ["--root", str(root), "-device", "cpu", "--quiet"]
    assert train.main(["7", "0", *common]) == 2
    assert "--continue" in capsys.readouterr().err
    assert train.main(["7", "0", "--continue", *common]) == 0


def test_continuing_what_was_never_begun_is_refused(root, tmp_path, capsys):
    shutil.copytree(root / "preprocessed", tmp_path / "preprocessed")
    assert train.main(["7", "1", "--continue", "--root", str(tmp_path), "-device", "cpu", "--quiet"]) == 2
    assert "no checkpoint to go on from" in capsys.readouterr().err


def test_continuing_goes_on_after_an_interruption_between_stages(root, tmp_path):
    shutil.copytree(root, tmp_path / "root")
    shutil.rmtree(tmp_path / "root" / "results" / NAME / "segmentation")
    shutil.rmtree(tmp_path / "root" / "results" / NAME / "self_training")
    common = ["--root", str(tmp_path / "root"), "-device", "cpu", "--quiet"]
    assert train.main(["7", "0", "--continue", *common]) == 0
    assert (tmp_path / "root" / "results" / NAME / "self_training" / "round_1" / "fold_0").is_dir()


def test_segmentation_anew_under_old_self_training_is_refused(root, tmp_path, capsys):
    shutil.copytree(root, tmp_path / "root")
    shutil.rmtree(tmp_path / "root" / "results" / NAME / "segmentation")
    for stage in ("all", "segmentation"):
        command = ["7", "0", "--stage", stage, "--root", str(tmp_path / "root"), "-device", "cpu", "--quiet"]
        assert train.main(command) == 2
        assert "self_training" in capsys.readouterr().err


def test_cases_of_another_plan_or_missing_ones_are_refused(root, tmp_path, capsys):
    shutil.copytree(root / "preprocessed", tmp_path / "preprocessed")
    folder = tmp_path / "preprocessed" / NAME
    command = ["7", "0", "--root", str(tmp_path), "-device", "cpu", "--quiet"]
    (folder / "target" / "mr_01.json").unlink()
    assert train.main(command) == 2
    assert "mr_01" in capsys.readouterr().err
    plans = Plans.read(folder / "plans.json")
    intensity = dataclasses.replace(plans.target.intensity, high=80.0)
    write_json(
        folder / "plans.json",
        dataclasses.replace(plans, target=dataclasses.replace(plans.target, intensity=intensity)).to_json(),
    )
    assert train.main(command) == 2
    assert "made with another plan" in capsys.readouterr().err
    (folder / "preprocessing.json").unlink()
    assert train.main(command) == 2
    assert "not finished" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_no_adaptation_and_its_prediction(root):
    common = ["--root", str(root), "-device", "cpu", "--quiet"]
    assert train.main(["7", "0", "--no_adaptation", *common]) == 0
    scans, model = root / "raw" / NAME / "imagesTs", root / "results" / NAME / "no_adaptation"
    assert predict.main(["-i", str(scans), "-o", str(root / "plain"), "-m", str(model), *common]) == 0
    assert list((root / "plain").glob("*.nii.gz"))


def test_self_training_is_left_out_where_the_network_misses_organs(root, monkeypatch, capsys):
    common = ["--root", str(root), "-device", "cpu", "--quiet"]
    monkeypatch.setattr("darnet.pipeline.missing_classes", lambda *_: ["spleen"])
    assert train.main(["7", "0", "--stage", "self_training", *common]) == 0
    assert "finds spleen in less than half" in capsys.readouterr().err


def test_self_training_over_a_finished_one_is_refused(root, capsys):
    common = ["--root", str(root), "-device", "cpu", "--quiet"]
    assert train.main(["7", "0", "--stage", "self_training", *common]) == 2
    assert "there is a checkpoint already" in capsys.readouterr().err


def test_self_training_needs_a_finished_network(root, tmp_path, capsys):
    shutil.copytree(root, tmp_path / "root")
    path = tmp_path / "root" / "results" / NAME / "segmentation" / "fold_0" / CHECKPOINT
    tensors, meta = load_checkpoint(path)
    save_checkpoint(path, tensors, meta | {"iteration": 1})
    command = ["7", "0", "--stage", "self_training", "--root", str(tmp_path / "root"), "-device", "cpu", "--quiet"]
    assert train.main(command) == 2
    assert "not trained to its end" in capsys.readouterr().err


def test_self_training_needs_a_network_that_has_not_seen_the_held_out_cases(root, tmp_path, capsys):
    shutil.copytree(root, tmp_path / "root")
    path = tmp_path / "root" / "results" / NAME / "segmentation" / "fold_0" / CHECKPOINT
    tensors, meta = load_checkpoint(path)
    save_checkpoint(path, tensors, meta | {"cases": [*meta["cases"], "zz_held_out"]})
    command = ["7", "0", "--stage", "self_training", "--root", str(tmp_path / "root"), "-device", "cpu", "--quiet"]
    assert train.main(command) == 2
    said = capsys.readouterr().err
    assert "the checkpoint is of other cases" in said and "zz_held_out" in said


def test_a_training_under_way_does_not_go_on_with_another_seed(root, tmp_path, capsys):
    shutil.copytree(root, tmp_path / "root")
    path = tmp_path / "root" / "results" / NAME / "segmentation" / "fold_0" / CHECKPOINT
    tensors, meta = load_checkpoint(path)
    save_checkpoint(path, tensors, meta | {"iteration": 1, "seed": meta["seed"] + 1})
    common = ["--root", str(tmp_path / "root"), "-device", "cpu", "--quiet"]
    assert train.main(["7", "0", "--stage", "segmentation", "--continue", *common]) == 2
    assert "the checkpoint is of another seed" in capsys.readouterr().err
    save_checkpoint(path, tensors, meta | {"seed": meta["seed"] + 1})
    assert train.main(["7", "0", "--stage", "segmentation", "--continue", *common]) == 0


def test_a_second_preprocessing_keeps_what_is_there(root, capsys):
    command = ["-d", "7", "--keep_plan", "-np", "1", "--root", str(root), "-device", "cpu"]
    assert plan_and_preprocess.main(command) == 0
    assert "0 cases preprocessed, 5 were there" in capsys.readouterr().out


def test_another_plan_is_refused_by_the_checkpoint(root, capsys):
    path = root / "preprocessed" / NAME / "plans.json"
    before = path.read_text()
    plans = Plans.read(path)
    changed = dataclasses.replace(plans, segmentation=dataclasses.replace(plans.segmentation, learning_rate=0.5))
    write_json(path, changed.to_json())
    published = (root / "results" / NAME / "plans.json").read_bytes()
    try:
        assert train.main(["7", "0", "--continue", "--root", str(root), "-device", "cpu", "--quiet"]) == 2
    finally:
        path.write_text(before)
    assert "another plan" in capsys.readouterr().err
    assert (root / "results" / NAME / "plans.json").read_bytes() == published


def test_a_fold_in_training_is_refused(root, capsys):
    command = ["7", "0", "--continue", "--root", str(root), "-device", "cpu", "--quiet"]
    with only_one(root / "results" / NAME / ".fold_0.lock", "trains fold 0"):
        assert train.main(command) == 2
    assert "another process trains fold 0" in capsys.readouterr().err


def test_a_translator_in_training_is_waited_for(root):
    layout = DatasetLayout(root, NAME)
    other = FileLock(layout.results / ".translation.lock")
    other.acquire()
    said: list[str] = []

    def notice(sentence: str) -> None:
        said.append(sentence)
        other.release()

    options = RunOptions(resolve_device("cpu"), quiet=True)
    pipeline.train(layout, Plans.read(layout.plans), 0, options, "translation", notice)
    assert said == ["another process trains the translator; waiting for it to end"]


def test_demo(tmp_path):
    preset = dataclasses.replace(
        DEMO_PRESET,
        channels=(8, 8, 8, 8, 8),
        translator_width=4,
        plane_pixels=36,
        patch_plane=32,
        translation_pixels=1,
        segmentation_voxels=1,
        least_iterations=3,
    )
    said: list[str] = []
    options = RunOptions(resolve_device("cpu"), quiet=True, notice=print)
    result = run_demo(tmp_path, options, preset=preset, cases=(2, 2, 1), processes=2, notice=said.append)
    assert any("beside it" in sentence for sentence in said)
    assert set(result.rows) == {"no adaptation", "darnet", "supervised"}
    assert (tmp_path / "results").is_dir()
    for path in result.pictures.values():
        assert path.exists(), path
    text = format_demo(result)
    assert "left_kidney" in text and "Pictures" in text
    with pytest.raises(ConfigurationError, match="another seed"):
        run_demo(tmp_path, options, seed=1, preset=preset, notice=said.append)
    again = run_demo(tmp_path, options, preset=preset, cases=(2, 2, 1), processes=1, notice=said.append)
    assert again.rows["darnet"].mean.dice_mean == result.rows["darnet"].mean.dice_mean


def test_share_of_the_gap():
    def row(value: float):
        return summarize([CaseScores("a", {"liver": Scores(value, 1.0, 1.0)})])

    result = DemoResult({"no adaptation": row(0.2), "darnet": row(0.6), "supervised": row(0.7)}, {}, {})
    assert result.gap == pytest.approx(0.5)
    assert result.closed == pytest.approx(0.8)
    assert "closes 80%" in format_demo(result)
    none = DemoResult({"no adaptation": row(0.7), "darnet": row(0.6), "supervised": row(0.7)}, {}, {})
    assert math.isnan(none.closed)
    assert "none to close" in format_demo(none)
