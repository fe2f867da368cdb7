"""The contrast of source scans from raw files to the case stores."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from darnet import baselines, pipeline
from darnet.errors import ConfigurationError
from darnet.experiment.rows import find_rows, plans_of
from darnet.imaging import invert_contrast
from darnet.inference import doubts
from darnet.io import CaseStore, only_one, read_json, write_json
from darnet.layout import DatasetLayout, fold_lock
from darnet.planning import find_preset
from darnet.plans import Plans
from darnet.preprocessing import case_hash
from darnet.selection import Contrasts, source_contrast
from darnet.training import REPLACED, RunOptions, plan_hash, read_fold, refuse_unfinished

FAST = find_preset("fast")
OPTIONS = RunOptions(torch.device("cpu"), quiet=True)
SOURCE, TARGET = ("s1", "s2", "s3", "s4"), ("t1", "t2")


@pytest.fixture
def prepare(tmp_path, write_raw_dataset, monkeypatch):
    """Plan and preprocess a data set where a comparison says so; gives its layout, data set and plan."""

    def prepare(name: str, contrasts: Contrasts, preset=FAST):
        def compare(source, target, *_):
            assert [v.labels is not None for v in (*source, *target)] == [True] * 4 + [False] * 2
            return contrasts

        monkeypatch.setattr(source_contrast, "compare_contrasts", compare)
        write_raw_dataset(tmp_path / name, source=SOURCE, target=TARGET)
        layout = DatasetLayout(tmp_path / name, "Dataset007_Small")
        dataset, fingerprint = pipeline.verify(layout)
        plans = pipeline.plan(layout, dataset, fingerprint, preset)
        pipeline.preprocess(layout, dataset, plans)
        return layout, dataset, plans

    return prepare


def volumes(layout: DatasetLayout, domain: str) -> dict[str, np.ndarray]:
    store = CaseStore(layout.cases(domain))
    return {case: np.array(store.image(case)[0]) for case in store.case_ids()}


def test_source_scans_are_turned_round_and_target_scans_are_not(prepare):
    as_is, _, _ = prepare("as_is", Contrasts(0.5, 0.1))
    turned, _, plans = prepare("turned", Contrasts(0.1, 0.5))
    assert plans.preprocessing.source_inverted
    assert Plans.read(turned.plans) == plans
    for case, before in volumes(as_is, "source").items():
        np.testing.assert_allclose(
            volumes(turned, "source")[case], invert_contrast(before), atol=0.005
        )  # half precision
    for case, before in volumes(as_is, "target").items():
        np.testing.assert_array_equal(volumes(turned, "target")[case], before)


def test_target_cases_stay_when_the_choice_changes(prepare):
    _, dataset, plans = prepare("as_is", Contrasts(0.5, 0.1))
    other = dataclasses.replace(plans, preprocessing=dataclasses.replace(plans.preprocessing, source_inverted=True))
    same = {files.case_id: case_hash(files, plans) == case_hash(files, other) for files in dataset.cases}
    assert same == {**dict.fromkeys(SOURCE, False), **dict.fromkeys(TARGET, True)}


def test_the_paper_is_followed_to_the_letter(prepare):
    _, _, plans = prepare("paper", Contrasts(0.1, 0.5), dataclasses.replace(FAST, source_contrast=False))
    assert not plans.preprocessing.source_inverted
    assert not find_preset("paper").source_contrast


def test_no_adaptation_learns_from_source_scans_as_they_are(prepare, monkeypatch):
    as_is, _, _ = prepare("as_is", Contrasts(0.5, 0.1))
    turned, _, plans = prepare("turned", Contrasts(0.1, 0.5))
    write_json(turned.splits, read_json(turned.splits)[::-1])  # as a user may deal folds
    trained = []
    monkeypatch.setattr(baselines, "train_segmentation", lambda *arguments: trained.append(arguments))
    results = baselines.train_without_adaptation(turned, plans, 0, OPTIONS)
    own, store, _, _, split, *_ = trained[0]
    assert results == turned.results / "no_adaptation"
    assert own.preprocessing.source_inverted is None
    for case, before in volumes(as_is, "source").items():
        np.testing.assert_array_equal(store.image(case)[0], before)
    assert split == read_fold(turned.splits, 0)


def test_no_adaptation_refuses_what_has_changed_since_the_data_set_was_preprocessed(prepare, monkeypatch):
    turned, _, plans = prepare("turned", Contrasts(0.1, 0.5))
    monkeypatch.setattr(baselines, "train_segmentation", pytest.fail)
    scan, description = turned.images("source") / "s2_0000.nii.gz", turned.dataset_json.read_text()
    before = scan.read_bytes()
    scan.write_bytes((turned.images("source") / "s1_0000.nii.gz").read_bytes())
    with pytest.raises(ConfigurationError, match="have changed since they were preprocessed") as refused:
        baselines.train_without_adaptation(turned, plans, 0, OPTIONS)
    assert refused.value.found == "source s2"
    scan.write_bytes(before)
    turned.dataset_json.write_text(description.replace('"cube": 1, "rod": 2', '"rod": 1, "cube": 2'))
    with pytest.raises(ConfigurationError, match="the classes have changed") as refused:
        baselines.train_without_adaptation(turned, plans, 0, OPTIONS)
    assert refused.value.where == turned.dataset_json
    assert not (turned.results / "no_adaptation").exists()


def test_no_adaptation_preprocesses_nothing_that_one_of_its_folds_learns_from(prepare, monkeypatch, hashes_of_tree):
    turned, _, plans = prepare("turned", Contrasts(0.1, 0.5))
    trained = []
    monkeypatch.setattr(baselines, "train_segmentation", lambda *arguments: trained.append(arguments[5]))
    baselines.train_without_adaptation(turned, plans, 0, OPTIONS)
    own = turned.preprocessed / "preprocessed" / "no_adaptation"
    before = hashes_of_tree(own)
    with only_one(fold_lock(turned.results / "no_adaptation", 0), "trains fold 0"):
        baselines.train_without_adaptation(turned, plans, 1, OPTIONS)
        scans = turned.images("source")
        (scans / "s2_0000.nii.gz").write_bytes((scans / "s1_0000.nii.gz").read_bytes())
        monkeypatch.setattr(baselines, "check_preprocessed", check_own(turned, baselines.check_preprocessed))
        with pytest.raises(ConfigurationError, match="another process trains on this data set"):
            baselines.train_without_adaptation(turned, plans, 1, OPTIONS)
        assert hashes_of_tree(own) == before
    baselines.train_without_adaptation(turned, plans, 1, OPTIONS)
    assert trained == ["0", "1", "1"] and hashes_of_tree(own) != before


def check_own(layout, check):
    """A check that lets the data set itself pass, as if it had been preprocessed again meanwhile."""
    return lambda other, *rest: {} if other == layout else check(other, *rest)


def test_folds_of_no_adaptation_wait_for_the_one_that_preprocesses(prepare, monkeypatch):
    turned, _, plans = prepare("turned", Contrasts(0.1, 0.5))
    waiting, side_by_side, made = threading.Event(), threading.Barrier(2), []

    def preprocess(*arguments):
        made.append(arguments)
        assert waiting.wait(60)
        return pipeline.preprocess(*arguments)

    monkeypatch.setattr(baselines, "preprocess", preprocess)
    monkeypatch.setattr(baselines, "train_segmentation", lambda *_: side_by_side.wait(60))
    options = dataclasses.replace(OPTIONS, notice=lambda sentence: waiting.set())
    with ThreadPoolExecutor(2) as folds:
        list(folds.map(lambda fold: baselines.train_without_adaptation(turned, plans, fold, options), (0, 1)))
    assert len(made) == 1


def test_a_plan_without_the_key_is_of_the_same_training(prepare):
    layout, _, plans = prepare("as_is", Contrasts(0.5, 0.1))
    values = plans.to_json()
    del values["preprocessing"]["source_inverted"]
    write_json(layout.plans, values)
    assert Plans.read(layout.plans) == plans
    other = dataclasses.replace(plans, preprocessing=dataclasses.replace(plans.preprocessing, source_inverted=True))
    assert plan_hash(other) != plan_hash(plans)


def test_replaced_voxels_are_remembered(prepare):
    layout, dataset, plans = prepare("as_is", Contrasts(0.5, 0.1))
    assert refuse_unfinished(layout, plans)[REPLACED] is False
    source = tuple(dataclasses.replace(files, replace_non_finite=True) for files in dataset.source)
    pipeline.preprocess(layout, dataclasses.replace(dataset, source=source), plans)
    assert refuse_unfinished(layout, plans)[REPLACED] is True


@pytest.mark.parametrize(
    ("inverted", "appearance", "source_share", "words"),
    [
        (None, 0.2, 0.7, "set preprocessing.source_inverted to true"),
        (None, 1.0, 0.7, "translation.iterations"),
        (None, 1.0, 1.0, "set segmentation.source_share to 0.7"),
        (True, 0.2, 0.7, "set it to null"),
    ],
)
def test_advice_on_doubtful_shapes_knows_the_contrast(make_small_plans, inverted, appearance, source_share, words):
    plans = make_small_plans()
    plans = dataclasses.replace(
        plans,
        preprocessing=dataclasses.replace(plans.preprocessing, source_inverted=inverted),
        segmentation=dataclasses.replace(plans.segmentation, appearance=appearance, source_share=source_share),
    )
    assert words in doubts._advice(plans)


@pytest.mark.parametrize(
    ("row", "inverted", "appearance"),
    [
        ("no_adaptation", None, 0.0),
        ("multi_style", None, 0.0),
        ("random_appearance", None, FAST.appearance_of_sequences),
        ("inverted_source", True, 0.0),
        ("all_upgrades", True, FAST.appearance),
        ("default", True, FAST.appearance),
    ],
)
def test_rows_of_an_inverted_plan(prepare, row, inverted, appearance):
    _, _, plans = prepare("turned", Contrasts(0.1, 0.5))
    mr = {domain: dataclasses.replace(plans.domain(domain), modality=f"MR {domain}") for domain in ("source", "target")}
    own = plans_of(find_rows([row])[0], dataclasses.replace(plans, **mr))
    assert own.preprocessing.source_inverted is inverted
    assert own.segmentation.appearance == appearance


def test_labelled_target_scans_are_never_turned_round_or_cropped(prepare, tmp_path):
    layout, dataset, plans = prepare("turned", Contrasts(0.1, 0.5))
    grid = dataclasses.replace(plans.preprocessing, source_depth=10.0, source_height=10.0, source_width=10.0)
    plans = dataclasses.replace(plans, preprocessing=grid)
    images = {files.case_id: files.image for files in dataset.source}
    labels = {files.case_id: files.labels for files in dataset.source}
    own, as_source = baselines.prepare_supervised(
        tmp_path / "own", baselines.as_labelled(dataset, images, labels), plans
    )
    assert as_source.preprocessing.source_inverted is None
    assert as_source.preprocessing.source_limits == (np.inf, np.inf, np.inf)
    turned = volumes(layout, "source")
    for case, image in volumes(own, "source").items():
        assert np.corrcoef(image[image > -0.8], turned[case][image > -0.8])[0, 1] < -0.9
