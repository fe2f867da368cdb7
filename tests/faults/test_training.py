"""Faults 45, 46, 48, 49, 51 and 54: numbers that are not finite, checkpoints of something else, collapse."""

from __future__ import annotations

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch

from benchmarks.chaos import NAME, STAGES, compare, hashes
from darnet.cli import predict, train
from darnet.io import load_checkpoint, save_checkpoint
from darnet.plans import Plans
from darnet.synthesis import styles as styles_module
from darnet.training import CHECKPOINT
from darnet.training.loaders import SliceTable
from tests.faults.scans import tree

PREPROCESSING, TRANSLATION, SYNTHESIS, SEGMENTATION, SELF_TRAINING, PREDICTION = STAGES
FOLD = f"results/{NAME}/segmentation/fold_0"

# The loss, or only its gradient, is not finite from iteration `first` to `last`.
BAD_LOSS = """
import math
import torch
import darnet.training.segmentation as s
loss, calls = s.segmentation_loss, 0
def bad(outputs, *arguments):
    global calls
    calls += 1
    value = loss(outputs, *arguments)
    return value {bad} if {first} <= calls - 1 <= {last} else value
s.segmentation_loss = bad
"""
KINDS = {
    "NaN": "* math.nan",
    "Inf": "+ math.inf",
    "gradient": "+ torch.sqrt(0 * next(iter(outputs if isinstance(outputs, tuple) else (outputs,))).sum())",
}


@pytest.mark.parametrize("kind", KINDS)
def test_45_loss_that_is_not_finite_once(before, run, kind):
    root = before(SEGMENTATION)
    assert run(SEGMENTATION, root, inject=BAD_LOSS.format(bad=KINDS[kind], first=2, last=3)).code == 0
    tensors, meta = load_checkpoint(root / FOLD / CHECKPOINT)
    assert all(torch.isfinite(t).all() for t in tensors.values())
    log = [json.loads(line) for line in (root / FOLD / "log.jsonl").read_text().splitlines()]
    assert sum(row["skipped"] for row in log) == 2
    assert {float(t) for name, t in tensors.items() if name.endswith(".step")} == {meta["iteration"] - 2.0}


@pytest.mark.parametrize("kind", KINDS)
def test_45_loss_that_stays_bad(campaign, before, run, kind):
    root = before(SEGMENTATION)
    few = "import darnet.training.loop as loop\nloop.MOST_BAD_ITERATIONS = 3\n"
    outcome = run(SEGMENTATION, root, inject=few + BAD_LOSS.format(bad=KINDS[kind], first=2, last=99))
    assert outcome.code == 3
    assert "not finite for 3 iterations in a row" in outcome.err
    assert "segmentation fold 0" in outcome.err and "iteration 4" in outcome.err
    assert "cases ct_" in outcome.err
    assert "lower the learning rate" in outcome.err
    tensors, _ = load_checkpoint(root / FOLD / CHECKPOINT, notice=pytest.fail)
    assert all(torch.isfinite(t).all() for t in tensors.values())
    assert {float(t) for name, t in tensors.items() if name.endswith(".step")} == {2.0}


def test_45_good_checkpoint_is_never_overwritten(before, run):
    root = before(SEGMENTATION)
    spoil = "import darnet.training.segmentation as s\nupdate, calls = s.SegmentationStep.update, 0\n"
    spoil += "def run(self, i):\n    losses = update(self, i)\n    if i == 3:\n"
    spoil += "        next(self.network.parameters()).data[0] = float('nan')\n    return losses\n"
    outcome = run(SEGMENTATION, root, inject=spoil + "s.SegmentationStep.update = run\n")
    assert outcome.code == 3
    assert "are not finite any more and are not saved" in outcome.err
    assert "after iteration 4" in outcome.err
    tensors, meta = load_checkpoint(root / FOLD / CHECKPOINT, notice=pytest.fail)
    assert meta["iteration"] == 3
    assert all(torch.isfinite(t).all() for t in tensors.values())


@pytest.fixture
def model(tmp_path, make_small_plans, write_results):
    return write_results(tmp_path / "model", make_small_plans((5.0, 2.0, 2.0), patch_size=(4, 8, 8)))


@pytest.fixture
def predicted(tmp_path, model, small_scan, capsys):
    """Predict two scans; gives exit code and errors."""
    (tmp_path / "scans").mkdir()
    for seed, case in enumerate("ab"):
        image = nib.Nifti1Image(small_scan(seed)[0], np.diag([2.0, 2.0, 5.0, 1.0]))
        image.to_filename(tmp_path / "scans" / f"{case}_0000.nii.gz")

    def call():
        flags = ["-i", tmp_path / "scans", "-o", tmp_path / "out", "-m", model, "-device", "cpu", "--quiet"]
        code = predict.main([str(flag) for flag in flags])
        said = capsys.readouterr().err
        assert "Traceback" not in said and "internal error" not in said, said
        return code, said

    return call


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_46_logits_that_are_not_finite(tmp_path, model, predicted, value):
    path = model / "segmentation" / "fold_0" / CHECKPOINT
    tensors, meta = load_checkpoint(path)
    name = next(n for n in tensors if n.endswith("weight"))
    tensors[name] = torch.full_like(tensors[name], value)
    path.unlink()
    save_checkpoint(path, tensors, meta)
    code, said = predicted()
    assert code == 3
    assert "the network's output is not finite" in said
    for case in "ab":
        assert str(tmp_path / "scans" / f"{case}_0000.nii.gz") in said
    assert "expected: finite logits" in said
    assert not list(tmp_path.glob("out/*.nii.gz"))


def other_dataset(values):
    values["dataset"] = "Dataset008_Other"


def other_labels(values):
    values["labels"] = {"background": 0, "cube": 1, "ball": 2}


def other_plan(values):
    values["segmentation"]["patch_size"] = [4, 16, 16]


DIFFERENCES = {
    "dataset": (other_dataset, ["Dataset008_Other", "Dataset007_Small"]),
    "labels": (other_labels, ["'ball': 2", "'rod': 2"]),
    "plan": (other_plan, []),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_48_checkpoint_of_another(model, predicted, tmp_path, what):
    change, words = DIFFERENCES[what]
    values = json.loads((model / "plans.json").read_text())
    change(values)
    (model / "plans.json").write_text(json.dumps(values))
    code, said = predicted()
    assert code == 2
    assert f"the checkpoint was trained with another {what}" in said
    assert "found:" in said and "expected:" in said and "use the checkpoint with the plan" in said
    for word in words:
        assert word in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["plan", "labels"])
def test_48_training_on_from_another(before, run, campaign, what):
    root = before(SELF_TRAINING)
    path = root / "preprocessed" / NAME / "plans.json"
    values = json.loads(path.read_text())
    if what == "plan":
        values["segmentation"]["learning_rate"] *= 2
    else:
        values["labels"] = {f"x{name}" if value else name: value for name, value in values["labels"].items()}
        places = values["inference"]["places"] or {}
        values["inference"]["places"] = {f"x{name}": place for name, place in places.items()}
    path.write_text(json.dumps(values))
    contents = hashes(root)
    outcome = run(SEGMENTATION, root)
    assert outcome.code == 2
    assert "another plan" in outcome.err
    assert "remedy" in outcome.err
    assert hashes(root) == contents


@pytest.mark.parametrize("key", ["dataset", "plan", "stage"])
def test_48_translator_of_another(before, run, key):
    root = before(SYNTHESIS)
    path = root / "results" / NAME / "translation" / CHECKPOINT
    tensors, meta = load_checkpoint(path)
    save_checkpoint(path, tensors, meta | {key: "segmentation" if key == "stage" else "another"})
    outcome = run(SYNTHESIS, root)
    assert outcome.code == 2
    assert "the checkpoint is of another" in outcome.err and "remedy" in outcome.err
    assert not (root / "preprocessed" / NAME / "synthetic").exists()


def test_49_a_fold_that_has_no_checkpoint_is_said(before, run):
    outcome = run(SEGMENTATION, before(SEGMENTATION))
    assert outcome.code == 0
    assert "fold 0 has no checkpoint yet: its segmentation is trained from the start" in outcome.err


@pytest.mark.parametrize("stage", ["all", "segmentation"])
def test_49_continue_without_a_checkpoint(before, capsys, stage):
    said = refused_to_go_on(before(TRANSLATION), capsys, stage)
    assert "there is no checkpoint to go on from" in said
    assert "leave out --continue" in said


@pytest.mark.parametrize("stage", ["all", "translation", "segmentation"])
def test_49_continue_without_the_translator_of_a_fold(before, capsys, stage):
    root = before(SELF_TRAINING)
    shutil.rmtree(root / "results" / NAME / "translation")
    said = refused_to_go_on(root, capsys, stage)
    assert "the translator whose volumes it learned from is gone" in said
    assert "put that folder back" in said


def refused_to_go_on(root, capsys, stage):
    """What darnet_train --continue says where it is refused and changes nothing."""
    contents = tree(root)
    flags = ["7", "0", "--stage", stage, "--continue", "--root", str(root), "-device", "cpu", "--quiet"]
    assert train.main(flags) == 2
    assert tree(root) == contents
    return capsys.readouterr().err


OTHER = next(
    (d for d, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())) if there), None
)


def test_51_resume_on_another_device(campaign, before, run):
    """A checkpoint knows no device: training goes on on another where there is one; else that is said."""
    root = before(SEGMENTATION)
    stop = "import os, signal, darnet.training.loop as loop\nu = loop._update\n"
    stop += "def update(step, i):\n    if i == 3: os.kill(os.getpid(), signal.SIGTERM)\n    return u(step, i)\n"
    stop += "loop._update = update\n"
    assert run(SEGMENTATION, root, inject=stop).code == 143
    tensors, meta = load_checkpoint(root / FOLD / CHECKPOINT)
    assert {t.device.type for t in tensors.values()} == {"cpu"}
    assert meta["iteration"] == 4
    assert "cpu" not in json.dumps(meta)
    saved = (root / FOLD / CHECKPOINT).read_bytes()
    outcome = run(SEGMENTATION, root, "-device", OTHER or "cuda")
    if OTHER:
        assert outcome.code == 0
        assert load_checkpoint(root / FOLD / CHECKPOINT)[1]["iteration"] == campaign.iterations
        return
    assert outcome.code == 2
    assert "device cuda is not available" in outcome.err and "found:    cpu" in outcome.err
    assert (root / FOLD / CHECKPOINT).read_bytes() == saved
    assert run(SEGMENTATION, root).code == 0
    compare(hashes(root), campaign.reference[SEGMENTATION.name])


def spoil_translator(root, change):
    path = root / "results" / NAME / "translation" / CHECKPOINT
    tensors, meta = load_checkpoint(path)
    for name in [n for n in tensors if n.startswith("average.decoder.")]:
        tensors[name] = change(name, tensors[name])
    save_checkpoint(path, tensors, meta)


def test_54_collapsed_translation(before, run):
    """A decoder that gives the same grey for everything."""
    root = before(SYNTHESIS)
    spoil_translator(root, lambda name, tensor: torch.zeros_like(tensor))
    outcome = run(SEGMENTATION, root)
    assert outcome.code == 3
    assert "the translation has collapsed: it shows no contrast within the body" in outcome.err
    assert "case ct_01, style 1" in outcome.err
    assert "translation/previews" in outcome.err
    assert not (root / FOLD).exists()
    assert not list((root / "preprocessed" / NAME / "synthetic").glob("*.b2nd"))


def test_54_one_picture_for_everything(before, run):
    """A translator that draws the same picture whatever it is given."""
    root = before(SYNTHESIS)
    same = "import numpy as np, darnet.synthesis.run as r\ntranslate = r.translate_volume\n"
    same += "def call(translator, volume, *rest):\n    out = translate(translator, volume, *rest)\n"
    same += "    out[:] = np.linspace(-1, 1, out.shape[-1])\n    return out\nr.translate_volume = call\n"
    outcome = run(SEGMENTATION, root, inject=same)
    assert outcome.code == 3
    assert "it shows the same picture in all planes" in outcome.err
    assert not (root / FOLD).exists()


def test_54_cluster_of_one(before, run):
    """One target slice in a style of its own: found, with its case, before a segmentation learns on it."""
    root = before(SYNTHESIS)
    plans = Plans.read(root / "preprocessed" / NAME / "plans.json")
    assert plans.synthesis.number_of_styles == 2
    far = "import darnet.synthesis.run as r\nencode = r.encode_styles\n"
    far += "def call(*a):\n    codes = encode(*a)\n    codes[3] += 1000\n    return codes\nr.encode_styles = call\n"
    outcome = run(SYNTHESIS, root, inject=far)
    assert "is that of a single slice (mr_01, plane " in outcome.err
    assert "number_of_styles" in outcome.err


def test_54_lonely_styles():
    table = SliceTable(("a", "a", "b", "b", "b"), (0, 1, 0, 1, 2))
    codes = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [0.1, 0.1], [9.0, 9.0]], np.float32)
    bank = styles_module.cluster_styles(codes, table, 2, 0)
    (sentence,) = styles_module.lonely_styles(bank)
    assert "(b, plane 2)" in sentence
    even = np.vstack([codes[:4], codes[:1] + 9])[[0, 1, 4, 4, 2]]
    assert styles_module.lonely_styles(styles_module.cluster_styles(even, table, 2, 0)) == []
