"""The kinds of translators on tiny phantoms, through the commands."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from darnet.cli import plan_and_preprocess, report, train
from darnet.demo import write_demo_dataset
from darnet.demo.dataset import Protocol
from darnet.imaging import flicker
from darnet.io import CaseStore, only_one, write_json
from darnet.layout import DatasetLayout, volumes_lock
from darnet.plans import Plans

NAME = "Dataset007_Tiny"
SOURCE = Protocol("CT", (16, 40, 40), (10.0, 8.0, 8.0), "LPS")
TARGET = Protocol("MR", (14, 40, 40), (12.0, 8.0, 8.0), "ARI")
SMALL = {"width": 2, "iterations": 3, "batch_size": 2, "discriminator_width": 2, "residual_blocks": 1}


def edit(root: Path, **translation: object) -> DatasetLayout:
    """Change the plan of the translation, and make all so small that it takes seconds."""
    layout = DatasetLayout(root, NAME)
    plans = Plans.read(layout.plans)
    small = dataclasses.replace(
        plans,
        translation=dataclasses.replace(plans.translation, **{**SMALL, **translation}),
        synthesis=dataclasses.replace(plans.synthesis, number_of_styles=2),
        segmentation=dataclasses.replace(plans.segmentation, channels=(8, 8, 8, 8, 8), iterations=2),
        self_training=dataclasses.replace(plans.self_training, rounds=0),
    )
    write_json(layout.plans, small.to_json())
    return layout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A root folder with a preprocessed data set."""
    root = tmp_path_factory.mktemp("root")
    write_demo_dataset(root / "raw" / NAME, 1, 2, 2, 1, source=SOURCE, target=TARGET)
    assert plan_and_preprocess.main(["-d", "7", "-np", "1", "--root", str(root), "-device", "cpu", "--quiet"]) == 0
    return root


@pytest.fixture
def root(prepared, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(prepared, tmp_path / "root"))


def run_training(root: Path, *flags: str) -> None:
    assert train.main(["7", "0", *flags, "--root", str(root), "-device", "cpu", "--quiet"]) == 0


def test_entangled_translator_gives_one_volume_a_case(root):
    layout = edit(root, method="entangled")
    layout.synthetic.mkdir()
    (layout.synthetic / "style_bank.json").write_text("of a translator with styles")
    run_training(root)
    source, synthetic = CaseStore(layout.cases("source")), CaseStore(layout.synthetic)
    for case in source.case_ids():
        image, translated = source.image(case), synthetic.image(f"{case}_style_1")
        assert translated.shape == image.shape
        assert np.abs(translated - image).mean() > 0.01
    assert len(synthetic.case_ids()) == len(source.case_ids())
    assert not (layout.synthetic / "style_bank.json").exists()
    assert (layout.synthetic / "styles.png").exists()
    assert list((layout.translation / "previews").glob("*.png"))
    assert (layout.segmentation(0) / "validation.json").exists()
    losses = json.loads((layout.translation / "log.jsonl").read_text().splitlines()[-1])
    assert losses["cycle"] > 0 and losses["identity"] > 0
    page = root / "report.html"
    assert report.main(["-d", "7", "-o", str(page), "--root", str(root), "--quiet"]) == 0
    assert "in 1 style." in page.read_text("utf-8")


def test_most_cases_in_one_style(root, monkeypatch):
    monkeypatch.setattr("darnet.plans.schema.COMPLETE_CASES", 1)
    layout = edit(root)
    plans = Plans.read(layout.plans)
    few = dataclasses.replace(plans, synthesis=dataclasses.replace(plans.synthesis, styles_a_case=1))
    write_json(layout.plans, few.to_json())
    run_training(root)
    first, second = CaseStore(layout.cases("source")).case_ids()
    names = {f"{first}_style_1", f"{first}_style_2", f"{second}_style_1"}
    assert set(CaseStore(layout.synthetic).case_ids()) == names
    page = root / "report.html"
    with monkeypatch.context() as patched:  # what was found of the same volumes is not measured again
        patched.setattr("darnet.health.run.measure", None)
        assert report.main(["-d", "7", "-o", str(page), "--root", str(root), "--quiet"]) == 0
    assert "style 2" in page.read_text("utf-8")


def test_volumes_in_styles_that_a_case_has_no_more_are_removed(root, monkeypatch):
    monkeypatch.setattr("darnet.plans.schema.COMPLETE_CASES", 1)
    layout = edit(root)
    for stage in ("translation", "synthesis"):
        run_training(root, "--stage", stage)
    plans, synthetic = Plans.read(layout.plans), CaseStore(layout.synthetic)
    assert len(synthetic.case_ids()) == 4
    few = dataclasses.replace(plans, synthesis=dataclasses.replace(plans.synthesis, styles_a_case=1))
    write_json(layout.plans, few.to_json())
    run_training(root, "--stage", "synthesis")
    assert len(synthetic.case_ids()) == 3


def test_volumes_that_another_fold_reads_stay_as_they_are(root, capsys):
    layout = edit(root)
    for stage in ("translation", "synthesis"):
        run_training(root, "--stage", stage)
    plans, before = Plans.read(layout.plans), {p: p.read_bytes() for p in layout.synthetic.glob("*.b2nd")}
    one = dataclasses.replace(plans, synthesis=dataclasses.replace(plans.synthesis, choice="mean"))
    write_json(layout.plans, one.to_json())
    command = ["7", "0", "--stage", "synthesis", "--root", str(root), "-device", "cpu", "--quiet"]
    with only_one(volumes_lock(layout.results, 1), "reads", keep=False):
        assert train.main(command) == 2
    said = capsys.readouterr().err
    assert "another fold learns from translated volumes" in said and ".volumes_fold_1.lock" in said
    assert {p: p.read_bytes() for p in layout.synthetic.glob("*.b2nd")} == before
    assert train.main(command) == 0
    assert {name[-7:] for name in CaseStore(layout.synthetic).case_ids()} == {"style_1"}


def test_stages_done_alone_tell_of_changed_cases(root, capsys):
    layout = edit(root)
    run_training(root)
    changed = layout.images("target") / f"{CaseStore(layout.cases('target')).case_ids()[0]}_0000.nii.gz"
    scan = nib.load(changed)
    nib.Nifti1Image(np.asanyarray(scan.dataobj) * 2, scan.affine).to_filename(changed)
    keep = ["-d", "7", "-np", "1", "--root", str(root), "-device", "cpu", "--quiet", "--keep_plan"]
    assert plan_and_preprocess.main(keep) == 0
    capsys.readouterr()
    run_training(root, "--stage", "synthesis")
    said = capsys.readouterr().err
    assert f"{layout.translation / 'checkpoint.safetensors'} was trained before these cases changed: target/" in said


def test_head_and_consistency_need_nothing_but_source_labels(root):
    layout = edit(root, segmentation_weight=1.0, depth_consistency=1.0)
    run_training(root, "--stage", "translation")
    run_training(root, "--stage", "synthesis")
    losses = json.loads((layout.translation / "log.jsonl").read_text().splitlines()[-1])
    assert losses["segmentation"] > 0 and losses["depth"] > 0
    source, target, synthetic = map(CaseStore, (*map(layout.cases, ("source", "target")), layout.synthetic))
    assert not any(target.record(case).has_labels for case in target.case_ids())
    assert len(synthetic.case_ids()) == 2 * len(source.case_ids())
    case = source.case_ids()[0]
    assert 0 < flicker(synthetic.image(f"{case}_style_1")[0], source.image(case)[0]) < 100


def test_no_translator_where_no_patch_comes_out_of_translated_volumes(root, capsys):
    layout = edit(root)
    plans = Plans.read(layout.plans)
    assert plans.translates
    segmentation = dataclasses.replace(plans.segmentation, source_share=1.0)
    rounds = dataclasses.replace(plans.self_training, rounds=1, iterations=2, matched_share=1.0)
    for share, translates in ((0.5, True), (None, False)):
        own = dataclasses.replace(rounds, matched_translated=share)
        none = dataclasses.replace(plans, segmentation=segmentation, self_training=own)
        assert none.translates is translates
    write_json(layout.plans, none.to_json())
    run_training(root)
    assert not layout.translation.exists() and not CaseStore(layout.synthetic).case_ids()
    validation = json.loads((layout.segmentation(0) / "validation.json").read_text())
    assert validation
    page = root / "report.html"
    assert report.main(["-d", "7", "-o", str(page), "--root", str(root), "--quiet"]) == 0
    text = page.read_text("utf-8")
    assert "No translator is trained" in text and "has no training log yet" not in text
    assert plan_and_preprocess.main(["-d", "7", "--keep_plan", "-np", "1", "--root", str(root), "-device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "  translation   none: " in said and "(once for all)" not in said and ", predicting between them" in said
    for stage in ("translation", "synthesis"):
        run_training(root, "--stage", stage)
    assert list((layout.translation / "previews").glob("*.png")) and CaseStore(layout.synthetic).case_ids()
    run_training(root, "--continue")
