from __future__ import annotations

import dataclasses
import json
import sys

import pytest
import torch

from darnet.experiment import measure
from darnet.experiment.measure import Estimate, memory_of_training, network_of, training_seconds
from darnet.experiment.rows import find_rows
from darnet.io import CaseStore
from darnet.plans import Plans
from darnet.training import ExpectedTime


def test_seconds_of_a_log(tmp_path):
    assert training_seconds(tmp_path) == 0
    lines = [(10, 2.0), (20, 1.0), (20, 3.0), (25, 4.0)]  # iterations 11 to 20 were done again
    rows = [{"iteration": i, "seconds_per_iteration": s} for i, s in lines]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert training_seconds(tmp_path) == pytest.approx(10 * 2 + 10 * 3 + 5 * 4)


@pytest.fixture
def plans(prepared):
    return Plans.read(prepared.plans)


def row_of(name):
    (row,) = find_rows([name])
    return row


def test_what_is_shared_counts_once(plans, prepared, monkeypatch, tmp_path):
    calls = []

    def measured(plans, source, target, device):
        calls.append(plans)
        return ExpectedTime(2.0 * plans.translation.iterations, 3.0 * plans.segmentation.iterations, 0.0)

    monkeypatch.setattr(measure, "measure_time", measured)
    estimate = Estimate(CaseStore(tmp_path), CaseStore(tmp_path), torch.device("cpu"))
    # 4 iterations of translation, 4 of segmentation, a round of 2
    assert estimate.add(row_of("default"), plans, tmp_path / "a") == pytest.approx(2 * 4 + 3 * 6)
    assert estimate.add(row_of("default"), plans, tmp_path / "a") == pytest.approx(3 * 6)
    assert estimate.add(row_of("default"), plans, tmp_path / "b") == pytest.approx(2 * 4 + 3 * 6)
    assert estimate.add(row_of("no_adaptation"), plans, tmp_path / "c") == pytest.approx(3 * 4)
    assert estimate.add(row_of("supervised"), plans, tmp_path / "c") == pytest.approx(3 * 4)
    assert len(calls) == 1
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "log.jsonl").write_text('{"iteration": 3, "seconds_per_iteration": 1}\n')
    assert estimate.add(row_of("default"), plans, tmp_path / "d") == pytest.approx(2 * 1 + 3 * 6)


def test_a_row_without_a_translator_does_not_count_one_and_leaves_it_to_the_next(
    plans, prepared, monkeypatch, tmp_path
):
    def measured(plans, source, target, device):
        return ExpectedTime(
            2.0 * plans.translation.iterations * plans.translates, 3.0 * plans.segmentation.iterations, 0
        )

    monkeypatch.setattr(measure, "measure_time", measured)
    estimate = Estimate(CaseStore(tmp_path), CaseStore(tmp_path), torch.device("cpu"))
    none = dataclasses.replace(
        plans,
        segmentation=dataclasses.replace(plans.segmentation, source_share=1.0),
        self_training=dataclasses.replace(plans.self_training, matched_translated=None),
    )
    assert estimate.add(row_of("default"), none, tmp_path / "a") == pytest.approx(3 * 6)
    assert estimate.add(row_of("default"), plans, tmp_path / "a") == pytest.approx(2 * 4 + 3 * 6)


def test_memory_grows_with_the_patch_and_is_measured_once(plans, prepared, tmp_path, monkeypatch):
    source, record = CaseStore(prepared.cases("source")), tmp_path / "shared" / "memory.json"
    wide = dataclasses.replace(plans.segmentation, channels=(16, 16, 16, 16, 16))
    larger = dataclasses.replace(plans, segmentation=dataclasses.replace(wide, batch_size=8))
    device = torch.device("cpu")
    small, large = (memory_of_training(p, source, device, record) for p in (plans, larger))
    if sys.platform == "linux":
        assert 0 <= small < large
        features = 8 * 16 * 4 * torch.tensor(plans.segmentation.patch_size).prod().item()
        assert large > features / 2**30  # more than one map of features of the first level
    monkeypatch.setattr(measure, "ProcessPoolExecutor", None)
    assert memory_of_training(plans, source, device, record) == small
    assert set(json.loads(record.read_text())) == {f"cpu {network_of(p)}" for p in (plans, larger)}


def test_a_killed_measurement_is_no_measurement(plans, prepared, tmp_path, monkeypatch):
    class Broken:
        def __init__(self, *args, **kwargs):
            raise measure.BrokenProcessPool("killed")

    monkeypatch.setattr(measure, "ProcessPoolExecutor", Broken)
    source = CaseStore(prepared.cases("source"))
    assert memory_of_training(plans, source, torch.device("cpu"), tmp_path / "memory.json") is None
    assert not (tmp_path / "memory.json").exists()


def test_memory_that_does_not_suffice_is_no_measurement(plans, prepared, monkeypatch):
    class Step:
        def __init__(self, *args):
            raise MemoryError

    monkeypatch.setattr(measure, "SegmentationStep", Step)
    assert measure._peak_gb(plans, prepared.cases("source"), "cpu") is None
