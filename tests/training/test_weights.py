"""Weights that are there: of which plan, data and teacher a training may find them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from darnet.errors import ConfigurationError
from darnet.inference.checkpoints import candidates
from darnet.io import CaseStore, only_one, save_checkpoint, sha256_of
from darnet.layout import DatasetLayout, volumes_lock
from darnet.training import CHECKPOINT, data_of, refuse_trained, refuse_while_read, tell_changed_cases
from tests.cases import write_case


def weights(folder, value=0.0, **meta):
    path = folder / CHECKPOINT
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, {"network.x": torch.full((1,), value)}, {"iteration": 1000, **meta})
    return path


@pytest.fixture
def layout(tmp_path):
    return DatasetLayout(tmp_path, "Dataset001_X")


def test_nothing_is_in_the_way_of_a_first_training(layout):
    for resume in (False, True):
        refuse_trained(layout, 0, resume)


def test_a_training_from_the_start_finds_no_weights(layout):
    weights(layout.self_training(0, 1))
    refuse_trained(layout, 1, False)
    with pytest.raises(ConfigurationError, match="there is a checkpoint already"):
        refuse_trained(layout, 0, False)


def test_rounds_do_not_outlive_the_network_that_they_began_from(layout):
    teacher, round_1 = weights(layout.segmentation(0)), weights(layout.self_training(0, 1))
    refuse_trained(layout, 0, True)
    teacher.unlink()
    with pytest.raises(ConfigurationError, match="fold 0 has no network that they began from") as refused:
        refuse_trained(layout, 0, True)
    assert refused.value.where == round_1


def test_rounds_of_another_teacher_are_not_predicted_with(layout, make_small_plans):
    plans = make_small_plans()
    first = weights(layout.segmentation(0), stage="segmentation")
    second = weights(layout.self_training(0, 1), 1.0, stage="self_training", teacher=sha256_of(first))
    weights(layout.self_training(0, 2), 2.0, stage="self_training", teacher=sha256_of(second))
    assert list(candidates(layout.results, "0", plans)) == ["segmentation", "round_1", "round_2"]
    said: list[str] = []
    weights(layout.self_training(0, 1), 3.0, stage="self_training", teacher=sha256_of(first))
    assert list(candidates(layout.results, "0", plans, said.append)) == ["segmentation", "round_1"]
    weights(layout.segmentation(0), 4.0, stage="segmentation")
    assert list(candidates(layout.results, "0", plans, said.append)) == ["segmentation"]
    assert [sentence[:7] for sentence in said] == ["round 2", "round 1"]
    assert all("left out: they did not begin from" in sentence for sentence in said)


def test_changed_and_missing_cases_of_finished_weights_are_told(tmp_path):
    store = CaseStore(tmp_path / "source")
    for case in "abc":
        write_case(store, case, np.zeros((1, 2, 4, 4)), content_hash=case)
    path = weights(tmp_path / "results", data={**data_of((store, "abc")), "elsewhere/x": "0"})
    said: list[str] = []
    tell_changed_cases(path, {"source": store}, said.append)
    tell_changed_cases(tmp_path / "none", {"source": store}, said.append)
    assert said == []
    write_case(store, "b", np.zeros((1, 2, 4, 4)), content_hash="changed")
    store.remove("c")
    tell_changed_cases(path, {"source": store}, said.append)
    (sentence,) = said
    assert sentence.startswith(f"{path} was trained before these cases changed: source/b, source/c;")


def test_volumes_that_a_fold_reads_are_not_replaced(layout):
    refuse_while_read(layout)
    lock = volumes_lock(layout.results, 1)
    with only_one(lock, "reads", keep=False):
        with pytest.raises(ConfigurationError, match="another fold learns from translated volumes") as refused:
            refuse_while_read(layout)
        assert refused.value.found == lock.name
    refuse_while_read(layout)
