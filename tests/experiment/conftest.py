from __future__ import annotations

import dataclasses
import shutil

import pytest

from darnet import pipeline
from darnet.demo import write_demo_dataset
from darnet.demo.dataset import Protocol
from darnet.experiment import run
from darnet.io import write_json
from darnet.layout import DatasetLayout
from darnet.planning import find_preset

NAME = "Dataset007_Tiny"
SOURCE = Protocol("CT", (16, 40, 40), (10.0, 8.0, 8.0), "LPS")
TARGET = Protocol("MR", (14, 40, 40), (12.0, 8.0, 8.0), "ARI")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A root with phantoms, planned so small that a row takes seconds, and preprocessed."""
    root = tmp_path_factory.mktemp("experiment")
    layout = DatasetLayout(root, NAME)
    write_demo_dataset(layout.raw, 1, 3, 2, 2, source=SOURCE, target=TARGET)
    shutil.move(layout.raw / "supervised" / "labelsTr", layout.raw / "labelsTr_target")
    shutil.rmtree(layout.raw / "supervised")
    dataset, fingerprint = pipeline.verify(layout)
    plans = pipeline.plan(layout, dataset, fingerprint, find_preset("fast"))
    small = dataclasses.replace(
        plans,
        translation=dataclasses.replace(
            plans.translation, width=4, iterations=4, batch_size=2, discriminator_width=4, residual_blocks=1
        ),
        synthesis=dataclasses.replace(plans.synthesis, number_of_styles=2),
        segmentation=dataclasses.replace(plans.segmentation, channels=(8, 8, 8, 8, 8), iterations=4),
        self_training=dataclasses.replace(plans.self_training, rounds=1, iterations=2),
    )
    write_json(layout.plans, small.to_json())
    pipeline.preprocess(layout, dataset, small)
    return layout


@pytest.fixture
def layout(prepared, tmp_path, monkeypatch):
    """A copy of the prepared root; memory, which takes a process of its own, is not measured on it."""
    monkeypatch.setattr(run, "memory_of_training", lambda *_: None)
    shutil.copytree(prepared.root, tmp_path / "root")
    return DatasetLayout(tmp_path / "root", NAME)
