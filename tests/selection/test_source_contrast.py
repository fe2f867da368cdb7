"""The contrast of source scans from raw files to the case stores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from darnet import baselines, pipeline
from darnet.imaging import invert_contrast
from darnet.io import CaseStore
from darnet.layout import DatasetLayout
from darnet.planning import find_preset
from darnet.plans import Plans
from darnet.preprocessing import case_hash
from darnet.selection import Contrasts, source_contrast

FAST = find_preset("fast")
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


def test_labelled_target_scans_are_never_turned_round(prepare, tmp_path):
    layout, dataset, plans = prepare("turned", Contrasts(0.1, 0.5))
    images = {files.case_id: files.image for files in dataset.source}
    labels = {files.case_id: files.labels for files in dataset.source}
    own, as_source = baselines.prepare_supervised(
        tmp_path / "own", baselines.as_labelled(dataset, images, labels), plans
    )
    assert not as_source.preprocessing.source_inverted
    assert volumes(own, "source").keys() == volumes(layout, "source").keys()
